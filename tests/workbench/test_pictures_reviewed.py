"""Verdicts on rows with pictures: what is the same product, and how they leave and come back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.workbench.exchange import from_csv, from_jsonl, to_csv, to_jsonl
from eval.workbench.judging import LEAST, fair
from eval.workbench.known import take_known
from eval.workbench.label_studio import from_label_studio, labelling_config, to_label_studio
from eval.workbench.pictures import carried, opened
from eval.workbench.queues import queue, reviewable
from eval.workbench.records import write_mapping
from eval.workbench.reviews import add, content, import_test, labelled, reviews
from eval.workbench.reviews import test_contents as contents_apart
from eval.workbench.reviews import test_rows as rows_apart
from tagger.errors import SourceError, TaskError
from tagger.example import Example
from tagger.record import Record, Rejected
from tagger.task import load_task
from tests.tagger.test_picture import BLUE, RED, url
from tests.tagger.test_pictures import TASK, seeing
from tests.workbench.pictured import ROWS, brought, reviewed, tried


def test_verdicts_are_on_a_text_with_its_picture(folder: Path) -> None:
    pot, blue, cup, _ = brought(folder)

    found = reviewed(folder, [pot, blue])

    task = load_task(folder)
    assert [row.record for row in found] == [pot, blue]
    assert content(pot) != content(blue)
    trial = tried(folder, [pot, blue, cup], seeing())
    records = {record.id: record for record in (pot, blue, cup)}
    left = queue("sampled", trial.taggings, records, reviews(folder, task).valid, contents_apart(folder), task=task)
    assert left == ["p3"]
    looked_at = opened(pot, task.columns, folder)
    assert isinstance(looked_at, Record)
    assert content(looked_at) == content(pot)


def test_a_row_whose_picture_is_none_waits_for_no_verdict(folder: Path) -> None:
    records = brought(folder)
    trial, task = tried(folder, records, seeing()), load_task(folder)

    found = reviewable([*records, Rejected("x", "why", "row 9")], trial.taggings, task, folder)

    assert list(found) == ["p1", "p2", "p3"]
    assert sorted(queue("sampled", trial.taggings, found, (), frozenset(), task=task)) == ["p1", "p2", "p3"]


def test_reviewed_rows_leave_and_come_back_with_their_pictures(folder: Path, tmp_path: Path) -> None:
    rows, task = reviewed(folder, brought(folder)[:3]), load_task(folder)
    whole = [carried(row.record, task.columns, folder) for row in rows]
    examples = [Example(one, row.answer) for one, row in zip(whole, rows, strict=True) if isinstance(one, Record)]
    (tmp_path / "out.jsonl").write_text(to_jsonl(examples), "utf-8")
    (tmp_path / "out.csv").write_text(to_csv(task, rows), "utf-8-sig")

    assert task.read_examples(tmp_path / "out.jsonl")[1].record.pictures["photo"].data == BLUE
    assert "base64" not in (tmp_path / "out.csv").read_text("utf-8")
    for found in (from_csv(task, tmp_path / "out.csv", "bo"), from_jsonl(task, tmp_path / "out.jsonl", "bo")):
        (tmp_path / "other").mkdir(exist_ok=True)
        (folder / "reviews.jsonl").unlink()
        add(folder, task, *found.reviews)
        assert [row.record for row in labelled(reviews(folder, task).valid, "dev")] == [row.record for row in rows]
    assert "base64" not in (folder / "reviews.jsonl").read_text("utf-8")


def test_another_task_takes_the_pictures_over(folder: Path, tmp_path: Path) -> None:
    (row,), task = reviewed(folder, brought(folder)[:1]), load_task(folder)
    whole = carried(row.record, task.columns, folder)
    assert isinstance(whole, Record)
    (tmp_path / "out.jsonl").write_text(to_jsonl([Example(whole, row.answer)]), "utf-8")
    other = tmp_path / "other"
    other.mkdir()
    (other / "task.toml").write_text(TASK, "utf-8")

    add(other, load_task(other), *from_jsonl(load_task(other), tmp_path / "out.jsonl", "bo").reviews)

    (found,) = labelled(reviews(other, load_task(other)).valid, "dev")
    assert found.record == row.record
    assert (other / found.record.values["photo"]).read_bytes() == RED


def test_test_rows_with_pictures_are_apart_and_read_by_others_too(folder: Path, tmp_path: Path) -> None:
    pot, blue, *_ = brought(folder)
    task, line = load_task(folder), {"record": {"title": "a pot", "photo": url(RED)}, "answer": {"colour": "red"}}
    (tmp_path / "test.jsonl").write_text(json.dumps(line) + "\n", "utf-8")

    assert import_test(folder, task, tmp_path / "test.jsonl") == 1

    assert contents_apart(folder) == {content(pot)}
    assert content(blue) not in contents_apart(folder)
    assert [row.record.values["photo"] for row in rows_apart(folder, task)] == [pot.values["photo"]]
    assert task.read_examples(folder / "test.jsonl")[0].record.pictures["photo"].data == RED


def test_label_studio_shows_small_copies_and_gives_the_names_back(folder: Path, tmp_path: Path) -> None:
    records, task = brought(folder), load_task(folder)
    trial = tried(folder, records, seeing())

    sent = to_label_studio(task, trial.taggings, {record.id: record for record in records}, folder)

    assert '<Image name="text_photo" value="$_0_photo" />' in labelling_config(task)
    assert sent[0]["data"]["_0_photo"].startswith("data:image/jpeg;base64,")
    back = [
        {**one, "annotations": [{"completed_by": 7, "result": one["predictions"][0]["result"]}]} for one in sent[:1]
    ]
    (tmp_path / "export.json").write_text(json.dumps(back), "utf-8")
    (review,) = from_label_studio(task, tmp_path / "export.json").reviews
    assert (review.record, review.answer["colour"]) == (records[0], "red")


def test_known_answers_of_rows_with_pictures_are_taken(folder: Path) -> None:
    (folder / "task.toml").write_text(TASK.replace('[fields.brand]\nkind = "text"\n', ""), "utf-8")
    rows = [{**row, "shade": shade} for row, shade in zip(ROWS[:3], ("red", "blue", "red"), strict=True)]
    renamed = [{"picture of it" if key == "photo" else key: cell for key, cell in row.items()} for row in rows]
    write_mapping(folder, "goods", {"photo": "picture of it"})
    assert len(brought(folder, renamed)) == 3

    assert take_known(folder, "goods", "shade", "ann") == "3 known answers judge"

    found = labelled(reviews(folder, load_task(folder)).valid, "dev")
    assert [(folder / row.record.values["photo"]).read_bytes() for row in found] == [RED, BLUE, RED]


def test_rows_that_are_examples_judge_nothing_whatever_names_their_picture(folder: Path) -> None:
    rows = [{"sku": f"p{n}", "title": f"pot {n}", "photo": RED} for n in range(LEAST + 1)]
    found = reviewed(folder, brought(folder, rows))
    line = {"record": {"title": "pot 0", "photo": url(RED)}, "answer": {"colour": "red"}}
    (folder / "examples.jsonl").write_text(json.dumps(line) + "\n", "utf-8")

    left = fair(found, load_task(folder))

    assert [row.record.id for row in left] == [f"p{n}" for n in range(1, LEAST + 1)]


def test_an_example_without_its_picture_is_still_the_same_product(folder: Path, tmp_path: Path) -> None:
    (folder / "task.toml").write_text(TASK.replace('kind = "image"', 'kind = "image"\nrequired = false'), "utf-8")
    rows = [{"sku": f"p{n}", "title": f"pot {n}", "photo": RED} for n in range(LEAST + 1)]
    found = reviewed(folder, brought(folder, rows))
    line = {"record": {"title": "Pot 0"}, "answer": {"colour": "red"}}
    (folder / "examples.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    test = {"record": {"id": "t", "title": "pot 0", "photo": url(RED)}, "answer": {"colour": "red"}}
    (tmp_path / "test.jsonl").write_text(json.dumps(test) + "\n", "utf-8")
    task = load_task(folder)

    assert [row.record.id for row in fair(found, task)] == [f"p{n}" for n in range(1, LEAST + 1)]
    with pytest.raises(SourceError, match="1 judged rows are also shots"):
        import_test(folder, task, tmp_path / "test.jsonl")


def test_examples_that_name_a_picture_that_is_not_there_are_refused(folder: Path) -> None:
    line = {"record": {"title": "pot", "photo": "gone.png"}, "answer": {"colour": "red"}}
    (folder / "examples.jsonl").write_text(json.dumps(line) + "\n", "utf-8")

    with pytest.raises(TaskError, match=r"no picture 'gone\.png'"):
        load_task(folder)
