"""Each queue has the rows that it says, in its order; no reviewed row twice, no test row at all; a fair accuracy is."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from eval.workbench.queues import QUEUES, Kind, accuracy, against, mix, queue
from eval.workbench.reviews import Review, content
from tagger.definition import Definition
from tagger.errors import SettingsError, SourceError
from tagger.record import Column, Record
from tagger.result import Alternative, Conflict, Outcome, Provenance, Tag, Tagging
from tagger.schema import LabelField, TextsField
from tagger.task import Task

LABELS = ["Tea", "Coffee", "Mate"]
MADE = Provenance("goods", "v", "p", "m", None, "scripted")
TASK = Task.define(
    "goods",
    Definition(
        about="goods",
        columns={"title": Column()},
        fields={"category": LabelField(labels=LABELS), "words": TextsField()},
    ),
    examples=(({"title": "a shot"}, {"category": "Tea"}),),
)


def tagging(
    name: str, value: str | None = "Tea", p: float = 0.9, outcome: Outcome = "tagged", **others: Tag
) -> Tagging:
    tag = Tag(value, p) if value else Tag(None, p, abstained=True, alternatives=(Alternative("Tea", p),))
    said = outcome in ("tagged", "abstained")
    return Tagging(name, outcome, {"category": tag, **others} if said else {}, MADE)


CONFLICT = Conflict(("implies.1",), ("category",), 'where words is "x", category is "Mate", but it is "Tea"')


@dataclass
class Rows:
    """Taggings of records whose titles are `cup ID`, unless it says otherwise."""

    taggings: Sequence[Tagging]
    titles: Mapping[str, str] = field(default_factory=dict)
    reviews: list[Review] = field(default_factory=list)
    test: frozenset[str] = frozenset()

    def record(self, name: str) -> Record:
        return Record(name, {"title": self.titles.get(name, f"cup {name}")})

    @property
    def given(self) -> Any:
        records = {t.id: self.record(t.id) for t in self.taggings}
        return self.taggings, records, self.reviews, self.test

    def review(self, name: str, author: str = "anna", category: str = "Tea", **answer: Any) -> None:
        self.reviews.append(Review(author, self.record(name), {"category": category, **answer}))

    def queue(self, kind: Kind, **options: Any) -> list[str]:
        return queue(kind, *self.given, task=TASK, **options)

    def accuracy(self, **options: Any) -> Any:
        return accuracy(*self.given, task=TASK, **options)


def test_the_least_probable_value_of_a_record_says_how_doubtful_it_is() -> None:
    rows = Rows([
        tagging("a", p=0.8), tagging("b", p=0.99, words=Tag(["x"], 0.3)), tagging("c", p=0.5),
        tagging("d", None, 0.1, "abstained"), tagging("e", outcome="failed"),
    ])  # fmt: skip

    assert rows.queue("doubtful") == ["b", "c", "a"]
    assert rows.queue("doubtful", most=2) == ["b", "c"]


def test_withheld_values_and_refused_records_have_queues_of_their_own() -> None:
    withheld = Tag(None, 0.2, abstained=True, alternatives=(Alternative(["x"], 0.2),))
    taggings = [
        tagging("a", None, 0.4, "abstained"), tagging("b", words=withheld), tagging("c"),
        tagging("z", outcome="rejected"), tagging("d", outcome="rejected"), tagging("e", outcome="failed"),
    ]  # fmt: skip
    rows = Rows(taggings)
    records = {t.id: rows.record(t.id) for t in taggings if t.id != "z"}  # no record came of the row z

    assert rows.queue("abstained") == ["b", "a"]
    assert queue("rejected", taggings, records, [], frozenset(), task=TASK) == ["z", "d"]
    assert sorted(queue("sampled", taggings, records, [], frozenset(), task=TASK)) == ["a", "b", "c", "d"]


def test_records_that_rules_contradict_most_come_first() -> None:
    one, two = (CONFLICT,), (CONFLICT, CONFLICT)
    found = [tagging("a"), replace(tagging("b"), conflicts=one), replace(tagging("c"), conflicts=two)]

    assert Rows(found).queue("conflicts") == ["c", "b"]


def test_what_a_person_reviewed_is_not_asked_again_but_a_second_person_may_be() -> None:
    rows = Rows([tagging("a", p=0.1), tagging("b", p=0.2), tagging("c", p=0.3)], {"c": "CUP  a"})
    rows.review("a")

    assert rows.queue("doubtful") == ["b"]  # c says what a says
    assert rows.queue("doubtful", author="anna") == ["b"]
    assert rows.queue("doubtful", author="ben") == ["a", "b"]


@pytest.mark.parametrize("kind", QUEUES)
def test_no_queue_offers_a_test_row(kind: Kind) -> None:
    withheld = Tag(None, 0.5, abstained=True, alternatives=(Alternative(["x"], 0.5),))
    rows = Rows([
        *(tagging(name, "Coffee", 0.95, words=withheld) for name in "abcdefgh"),
        tagging("i", outcome="rejected"), tagging("j", outcome="rejected"),
    ])  # fmt: skip
    if kind == "conflicts":
        rows.taggings = [replace(one, conflicts=(CONFLICT,)) for one in rows.taggings[:3]]
    if kind in ("disputed", "label errors"):
        for name in "ab":
            rows.review(name)
        rows.review("a", "ben", "Tea" if kind == "label errors" else "Mate")
        rows.review("b", "ben", "Tea" if kind == "label errors" else "Mate")
    baseline = {"category": {"Tea": 0.9, "Coffee": 0.1}}
    (first, *_) = before = rows.queue(kind, baseline=baseline)
    rows.test = frozenset([content(rows.record(first))])

    assert rows.queue(kind, baseline=baseline) == before[1:]
    assert len(before) > 1


def test_a_sample_is_random_the_same_for_a_seed_and_stays_in_order_as_it_is_reviewed() -> None:
    rows = Rows([tagging(str(n)) for n in range(50)])
    drawn = rows.queue("sampled")

    assert sorted(drawn, key=int) == [str(n) for n in range(50)] != drawn
    assert rows.queue("sampled", seed=1) != drawn == rows.queue("sampled")
    rows.review(drawn[0])
    rows.review(drawn[7])
    assert rows.queue("sampled") == [name for name in drawn if name not in (drawn[0], drawn[7])]


def test_drifted_are_values_said_more_often_than_chance_explains_the_most_moved_first() -> None:
    before = [
        tagging(str(n), "Coffee" if n < 30 else "Tea", words=Tag(["x"], 0.9), gone=Tag("x", 0.9)) for n in range(100)
    ]
    now = [tagging(f"tea{n}", "Tea") for n in range(55)] + [tagging(f"coffee{n}", "Coffee") for n in range(33)]
    now += [tagging(f"mate{n}", "Mate", 0.9 - n / 100, words=Tag([f"new {n}"], 0.9)) for n in range(12)]
    rows = Rows(now)

    assert rows.queue("drifted", baseline=mix(before, TASK)) == [f"mate{n}" for n in range(11, -1, -1)]
    with pytest.raises(SettingsError, match="said before"):
        rows.queue("drifted")


def test_disputed_rows_stay_until_people_agree() -> None:
    rows = Rows([tagging("a"), tagging("b")])
    rows.review("b", "anna", "Tea")
    rows.review("b", "ben", "Coffee")
    rows.review("a", "ben")

    assert rows.queue("disputed", author="anna") == ["b"]
    rows.reviews[1] = replace(rows.reviews[1], answer={"category": "Tea"})
    assert rows.queue("disputed") == []


def test_label_errors_are_verdicts_that_a_sure_answer_contradicts_the_surest_first() -> None:
    rows = Rows([tagging("a", "Tea", 0.91), tagging("b", "Tea", 0.99), tagging("c", "Tea", 0.99), tagging("d")])
    for name, said in (("a", "Coffee"), ("b", "Mate"), ("c", "Tea")):
        rows.review(name, category=said)

    assert rows.queue("label errors", author="anna") == ["b", "a"]


def test_there_is_no_other_queue() -> None:
    with pytest.raises(SettingsError, match="no queue 'hard'"):
        Rows([tagging("a")]).queue("hard")  # type: ignore[arg-type]


def test_a_fair_accuracy_counts_the_sample_alone_whatever_else_was_reviewed() -> None:
    """Of 1000 rows every tenth is wrong. All wrong ones are reviewed as doubtful, then 200 of the sample."""
    rows = Rows([tagging(str(n), p=0.2 if n % 10 == 0 else 0.9) for n in range(1000)])
    truth = {str(n): "Coffee" if n % 10 == 0 else "Tea" for n in range(1000)}
    for name in rows.queue("doubtful", most=100):
        rows.review(name, category=truth[name])
    for name in rows.queue("sampled", most=200):
        rows.review(name, category=truth[name])

    found = rows.accuracy()
    fair, all_of_them = found.all, rows.accuracy(fair=False).all

    assert fair.low < 0.9 < fair.high
    assert 200 <= fair.n < 300
    assert found.waiting == rows.queue("sampled", most=1)[0]
    assert (all_of_them.value, all_of_them.n) == (200 / 300, 300)
    with pytest.raises(SourceError, match="random sample"):
        rows.accuracy(seed=next(s for s in range(99) if not _reviewed(rows, rows_first(s))))


def rows_first(seed: int) -> str:
    names = [str(n) for n in range(1000)]
    random.Random(seed).shuffle(names)
    return names[0]


def _reviewed(rows: Rows, name: str) -> bool:
    return any(review.record.id == name for review in rows.reviews)


def test_a_record_is_right_if_all_of_it_is_and_shots_and_disputed_ones_do_not_count() -> None:
    taggings = [
        tagging("right", words=Tag(["x"], 0.9)), tagging("missing"), tagging("shot", "Coffee"), tagging("disputed"),
        tagging("withheld", None, 0.3, "abstained"), tagging("unseen"),
    ]  # fmt: skip
    rows = Rows(taggings, {"shot": "A shot"})
    rows.review("right", words=["x"])
    rows.review("missing", words=["x"])
    rows.review("shot")
    rows.review("disputed")
    rows.review("disputed", "ben", "Mate")
    rows.review("withheld")

    found = rows.accuracy(fair=False)

    assert (found.all.value, found.all.n) == (1 / 3, 3)
    assert (found.withheld, found.said and found.said.value, found.waiting) == (1, 1 / 2, None)


def test_a_test_row_does_not_end_the_sample() -> None:
    rows = Rows([tagging(str(n)) for n in range(20)])
    drawn = rows.queue("sampled")
    rows.test = frozenset([content(rows.record(drawn[1]))])
    for name in (drawn[0], drawn[2]):
        rows.review(name)

    assert rows.accuracy().all.n == 2


def test_rows_with_known_answers_tell_what_is_confused_but_for_those_shown_and_tested() -> None:
    rows = Rows([tagging(name) for name in "abcde"])
    rows.review("a", category="Coffee")
    rows.review("b")
    for name, use in (("c", "train"), ("d", "example"), ("e", "test")):
        rows.reviews.append(Review("anna", rows.record(name), {"category": "Mate"}, use))
    taggings, records, reviews, _ = rows.given

    verdicts, judged = against(taggings, records, reviews, task=TASK)

    assert [row.record.id for row in judged] == ["a", "b", "c"]
    wrong = [(v.id, v.value, v.gold) for v in verdicts if v.kind == "wrong"]
    assert wrong == [("a", "Tea", "Coffee"), ("c", "Tea", "Mate")]
