"""What people said is kept for good, counts once a record, and never touches a test row."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.workbench import reviews as kept
from eval.workbench.reviews import Review
from tagger.errors import SettingsError, SourceError, TaskError
from tagger.record import Record
from tagger.task import Task, load_task

TASK = """
about = "goods"
[columns.title]
[columns.brand]
required = false
[fields.category]
kind = "label"
labels = ["Tea", "Coffee", "茶具"]
[fields.colours]
kind = "texts"
"""


@pytest.fixture
def task(folder: Path) -> Task:
    return load_task(folder)


def review(author: str, title: str, category: str = "Tea", name: str = "1", **more: Any) -> Review:
    return Review(author, Record(name, {"title": title, "brand": ""}), {"category": category}, **more)


def lines(folder: Path, name: str = "reviews.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


def test_the_last_verdict_of_a_person_on_a_record_counts_and_none_is_lost(folder: Path, task: Task) -> None:
    said = {"category": ("Coffee", 0.4)}
    kept.add(folder, task, review("anna", "Green  Tea", "Coffee", "a"), review("ben", "红茶 100g", name="b", said=said))
    kept.add(folder, task, replace(review("anna", "green tea", name="other id"), rows="june"))

    found = kept.reviews(folder, task)

    assert [(r.author, r.record.id, r.answer["category"], r.rows) for r in found.valid] == [
        ("anna", "other id", "Tea", "june"),
        ("ben", "b", "Tea", ""),
    ]
    assert found.valid[1].said == said
    assert found.stale == ()
    assert len(lines(folder)) == 3
    assert list(lines(folder)[0]) == ["at", "author", "id", "record", "answer", "use", "said", "rows"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"category": "Tee"}, "does not fit the task: category: 'Tee' is not one of the 3 labels"),
        ({}, "category: missing, and it is required"),
        ({"category": "Tea", "colours": "red"}, "colours: expected a list of texts"),
        ({"category": "Tea", "size": "L"}, "size: no such field"),
    ],
)
def test_a_wrong_answer_is_refused_in_plain_words_and_with_it_all_that_came_along(
    folder: Path, task: Task, answer: dict[str, Any], told: str
) -> None:
    wrong = replace(review("anna", "Mate", name="7"), answer=answer)

    with pytest.raises(TaskError, match=told) as caught:
        kept.add(folder, task, review("anna", "Tea"), wrong)

    assert caught.value.where == "record 7"
    assert "$" not in str(caught.value)
    assert kept.reviews(folder, task).valid == ()


def test_names_and_uses_that_there_are_not_are_refused(folder: Path, task: Task) -> None:
    with pytest.raises(SettingsError, match="name of a person"):
        kept.add(folder, task, review("../anna", "Tea"))
    with pytest.raises(SettingsError, match="cannot be used as 'test'"):
        kept.add(folder, task, review("anna", "Tea", use="test"))


def test_verdicts_that_no_longer_fit_the_task_are_told_apart_with_the_reason(folder: Path, task: Task) -> None:
    kept.add(folder, task, review("anna", "Pot", "茶具", "p"), review("anna", "Assam", name="t"))
    (folder / "task.toml").write_text(TASK.replace("茶具", "Teaware"), "utf-8")

    found = kept.reviews(folder, load_task(folder))

    assert [r.record.id for r in found.valid] == ["t"]
    assert [(s.review.record.id, s.review.author, s.review.answer) for s in found.stale] == [
        ("p", "anna", {"category": "茶具"})
    ]
    assert "'茶具' is not one of the 3 labels" in found.stale[0].reason


def test_what_is_no_verdict_is_said_with_its_place(folder: Path, task: Task) -> None:
    kept.add(folder, task, review("anna", "Tea"))
    with (folder / "reviews.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"author": "anna"}\n')

    with pytest.raises(SourceError, match=r"verdict 2: not a verdict: .*answer"):
        kept.reviews(folder, task)


def test_a_record_is_labelled_once_with_an_id_of_its_own_and_not_while_people_disagree(
    folder: Path, task: Task
) -> None:
    kept.add(
        folder, task,
        review("anna", "Assam"), review("ben", "ASSAM"),
        review("anna", "Mocha", "Coffee"),
        review("anna", "Mate"), review("ben", "Mate", "Coffee"),
    )  # fmt: skip
    found = kept.reviews(folder, task).valid

    examples = kept.labelled(found, "dev")

    assert [(e.record.id, e.answer["category"]) for e in examples] == [("1", "Tea"), ("1 (2)", "Coffee")]
    assert [[(r.author, r.answer["category"]) for r in group] for group in kept.disputes(found)] == [
        [("anna", "Tea"), ("ben", "Coffee")]
    ]
    assert kept.labelled(found, "train") == []

    kept.set_use(folder, Record("1", {"title": "Mocha"}), "train")
    found = kept.reviews(folder, task).valid
    assert [e.record.id for use in kept.USES for e in kept.labelled(found, use)] == ["1", "1 (2)"]


def test_a_record_keeps_its_use_whoever_reviews_it_until_it_is_moved(folder: Path, task: Task) -> None:
    first = review("anna", "Assam")
    kept.add(folder, task, first)
    kept.set_use(folder, first.record, "train")
    kept.add(folder, task, review("ben", "Assam"), review("anna", "assam", "Coffee"), review("ben", "assam", "Coffee"))
    found = kept.reviews(folder, task).valid

    assert [e.answer["category"] for e in kept.labelled(found, "train")] == ["Coffee"]
    assert kept.labelled(found, "dev") == []

    kept.set_use(folder, first.record, "dev")

    found = kept.reviews(folder, task).valid
    assert [e.answer["category"] for e in kept.labelled(found, "dev")] == ["Coffee"]
    assert [(r.author, r.answer["category"]) for r in found] == [("anna", "Coffee"), ("ben", "Coffee")]
    with pytest.raises(SourceError, match="nobody has reviewed"):
        kept.set_use(folder, Record("9", {"title": "Mocha"}), "dev")


def test_no_test_row_is_reviewed_and_no_reviewed_row_becomes_a_test_row(
    folder: Path, task: Task, tmp_path: Path
) -> None:
    rows = [{"record": {"id": "x", "title": title}, "answer": {"category": "Tea"}} for title in ("Assam", "大吉岭")]
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    kept.add(folder, task, review("anna", "Mocha", "Coffee"), review("ben", "ASSAM "))

    with pytest.raises(SourceError, match="1 of 2 rows are reviewed already"):
        kept.import_test(folder, task, path)
    assert kept.test_rows(folder, task) == []

    path.write_text(json.dumps(rows[1]) + "\n", "utf-8")
    assert kept.import_test(folder, task, path) == 1
    assert [(e.record.values["title"], e.answer) for e in kept.test_rows(folder, task)] == [
        ("大吉岭", rows[1]["answer"])
    ]
    with pytest.raises(SourceError, match="is a test row"):
        kept.add(folder, task, review("anna", "Ceylon"), review("anna", "大吉岭"))
    assert len(kept.reviews(folder, task).valid) == 2
    with pytest.raises(SourceError, match="test rows already"):
        kept.import_test(folder, task, path)


def test_a_test_row_is_guarded_even_if_its_label_was_renamed(folder: Path, task: Task, tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"record": {"title": "Pot", "brand": "Acme"}, "answer": {"category": "茶具"}}\n', "utf-8")
    kept.import_test(folder, task, path)
    renamed = TASK.replace("茶具", "Teaware").replace("[columns.title]\n[columns.brand]\nrequired = false", (
        "[columns.brand]\nrequired = false\n[columns.title]"
    ))  # fmt: skip
    (folder / "task.toml").write_text(renamed, "utf-8")
    task = load_task(folder)

    with pytest.raises(TaskError, match="not one of the 3 labels"):
        kept.test_rows(folder, task)
    with pytest.raises(SourceError, match="is a test row"):
        kept.add(folder, task, Review("anna", Record("1", {"brand": "acme", "title": "pot"}), {"category": "Tea"}))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"record": {"title": "Assam"}, "answer": {"category": "Tea"}, "pseudo": True}, "pseudo-labels"),
        ({"title": "Assam", "answer": {"category": ["Tea", "Coffee"]}}, "several right answers"),
        ({"record": {"title": "A shot"}, "answer": {"category": "Tea"}}, "also shots"),
    ],
)
def test_a_row_that_nothing_can_be_judged_on_is_no_test_row(
    folder: Path, tmp_path: Path, row: dict[str, Any], told: str
) -> None:
    (folder / "examples.jsonl").write_text('{"record": {"title": "a shot"}, "answer": {"category": "Tea"}}\n', "utf-8")
    (tmp_path / "gold.jsonl").write_text(json.dumps(row) + "\n", "utf-8")

    with pytest.raises(SourceError, match=told):
        kept.import_test(folder, load_task(folder), tmp_path / "gold.jsonl")
    assert not (folder / "test.jsonl").exists()


def test_agreement_is_more_than_the_same_answers_by_chance(folder: Path, task: Task) -> None:
    anna = ["Tea"] * 5 + ["Coffee"] * 5
    ben = ["Tea"] * 4 + ["Coffee"] * 6
    for author, answers in (("anna", anna), ("ben", ben)):
        kept.add(folder, task, *(review(author, f"cup no {n}", said) for n, said in enumerate(answers)))
    kept.add(folder, task, review("cleo", "cup no 0"), review("cleo", "seen by nobody else"))

    ab, ac, bc = kept.agreement(kept.reviews(folder, task).valid)

    assert (ab.a, ab.b, ab.records, ab.same) == ("anna", "ben", 10, 9)
    assert ab.kappa == pytest.approx((0.9 - 0.5) / (1 - 0.5))
    assert (ac.b, ac.records, ac.same, ac.kappa) == ("cleo", 1, 1, None)
    assert (bc.a, bc.b, bc.records) == ("ben", "cleo", 1)


def test_leaving_a_field_out_disagrees_with_giving_it(folder: Path, task: Task) -> None:
    answers = [{"category": "Tea"}, {"category": "Tea", "colours": ["red"]}]
    for author, answer in zip(("anna", "ben"), answers, strict=True):
        kept.add(folder, task, replace(review(author, "red tea"), answer=answer))

    (pair,) = kept.agreement(kept.reviews(folder, task).valid)

    assert (pair.records, pair.same, pair.kappa) == (1, 0, 0.0)


def test_verdicts_given_at_the_same_time_are_all_kept(folder: Path, task: Task) -> None:
    def work(author: str) -> None:
        for n in range(20):
            kept.add(folder, task, review(author, f"tea {n}"))

    people = [threading.Thread(target=work, args=(name,)) for name in ("anna", "ben", "cleo")]
    for person in people:
        person.start()
    for person in people:
        person.join()

    assert len(kept.reviews(folder, task).valid) == 60


def test_a_label_that_is_called_otherwise_now_is_reworded_in_all_that_was_said(folder: Path, task: Task) -> None:
    kept.add(folder, task, review("anna", "green tea"), review("ben", "mug", "Coffee"), review("ben", "green tea"))
    (folder / "task.toml").write_text(TASK.replace('"Tea"', '"Teas"'), "utf-8")
    renamed = load_task(folder)
    assert len(kept.reviews(folder, renamed).stale) == 2

    assert kept.reword(folder, "category", "Tea", "Teas") == 2

    found = kept.reviews(folder, renamed)
    assert ([r.answer["category"] for r in found.valid], found.stale) == (["Teas", "Coffee", "Teas"], ())
    assert kept.reword(folder, "category", "Tea", "Teas") == 0
