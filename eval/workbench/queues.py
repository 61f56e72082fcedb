"""Taggings and reviews in, the rows that a person should look at next out; and how often the tagger was right.

Records are the same if their texts and pictures are (reviews.py: content). A test row is in no queue.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Literal, get_args

from scipy.stats import binomtest

from eval.figures import Figure, share
from eval.record import Header, Run, rows_id, run_row
from eval.score import Verdict, judge
from eval.slices import holds, suspects
from eval.workbench.pictures import opened
from eval.workbench.reviews import USES, Review, content, disputes, labelled
from tagger.baseline import ANSWERED, Window
from tagger.drift import LEVEL
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.record import Record, Rejected
from tagger.result import Tagging
from tagger.task import Task

Kind = Literal["doubtful", "abstained", "conflicts", "rejected", "drifted", "sampled", "disputed", "label errors"]
"""doubtful: the least probable value first; abstained: a value was withheld; conflicts: the task's rules contradict
what was said or each other, the records with most conflicts first; rejected: no tags, in the order of the
file; drifted: a value is said more often than in the baseline; sampled: in random order, the only fair one for an
accuracy; disputed: people disagree; label errors: the tagger is sure of something else than a person has said."""
QUEUES: tuple[Kind, ...] = get_args(Kind)
Mix = Mapping[str, Mapping[str, float]]
"""By field, the share of the answers that each value has."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How right the tagger was on reviewed records."""

    all: Figure
    """The share with every field right, a value withheld counting as not said."""
    said: Figure | None
    """The same of those in which nothing was withheld; None if something was in each."""
    withheld: int
    """Records in which a value was withheld."""
    waiting: str | None
    """The record of the random sample up to which it is counted; None if all are reviewed, or it is not a sample."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a queue is made from; `texts` has the content of each record that can be read, by id."""

    taggings: Sequence[Tagging]
    records: Mapping[str, Record]
    texts: Mapping[str, str]
    reviews: Sequence[Review]
    task: Task
    seed: int
    baseline: Mix | None


def queue(
    kind: Kind,
    taggings: Sequence[Tagging],
    records: Mapping[str, Record],
    reviews: Sequence[Review],
    test: AbstractSet[str],
    *,
    task: Task,
    author: str | None = None,
    baseline: Mix | None = None,
    seed: int = 0,
    most: int | None = None,
) -> list[str]:
    """The ids of the first `most` records to look at, in that order; of records with one text the first.

    Left out are test rows (`test` has their contents, reviews.py: test_contents), and what `author`, or anybody where
    none is given, has reviewed; but in the queues "disputed" and "label errors", which are about reviews, nothing is.
    Raises SettingsError for another kind of queue, and for "drifted" without a baseline (`mix`).
    """
    if kind not in QUEUES:
        raise SettingsError(f"there is no queue {kind!r}", hint=f"there are: {', '.join(QUEUES)}")
    rows = _rows(taggings, records, reviews, task, seed, baseline)
    done = set(test)
    if kind not in ("disputed", "label errors"):
        done |= {content(review.record) for review in reviews if author in (None, review.author)}
    found: dict[str, str] = {}
    for name in _ORDERS[kind](rows):
        text = rows.texts.get(name, f"\0{name}")  # a row that is no record has no text, so only its id
        if text not in done:
            found.setdefault(text, name)
    return list(found.values())[:most]


def reviewable(
    rows: Iterable[Record | Rejected], taggings: Iterable[Tagging], task: Task, folder: Path
) -> dict[str, Record]:
    """The records that a person can judge, by id: not those that were rejected because of a picture that nobody can
    look at, either. `folder` is the task's."""
    rejected = {tagging.id for tagging in taggings if tagging.outcome == "rejected"}
    read = (row if row.id not in rejected or isinstance(opened(row, task.columns, folder), Record) else None
            for row in rows)  # fmt: skip
    return {row.id: row for row in read if isinstance(row, Record)}


def accuracy(
    taggings: Sequence[Tagging],
    records: Mapping[str, Record],
    reviews: Sequence[Review],
    test: AbstractSet[str],
    *,
    task: Task,
    fair: bool = True,
    seed: int = 0,
) -> Standing:
    """How many of the reviewed records have every field right, with Wilson's interval.

    What was reviewed because it was doubtful says nothing of the rest. So a fair figure takes of the queue "sampled"
    with this seed the records up to the first that nobody has reviewed, whichever queue they were reviewed in: these
    are a random sample of the rows. Examples that the task shows and disputed records do not count. Raises SourceError
    where no record is left.
    """
    rows = _rows(taggings, records, reviews, task, seed, None)
    truth, shown = _truth(reviews), {content(example.record) for example in task.examples}
    known = {content(review.record) for review in reviews} | shown
    chosen: set[str] = set()
    waiting: str | None = None
    for name in _sampled(rows):
        text = rows.texts[name]
        if fair and text not in known and text not in test:
            waiting = name
            break
        if text in truth and text not in shown:
            chosen.add(name)
    groups = _by_id(_verdicts(rows, chosen))
    if not groups:
        told = "no record of the random sample is reviewed yet" if fair else "no record of these rows is reviewed yet"
        raise SourceError(told, hint="review those of the queue 'sampled', from its first on")
    right = {name for name, group in groups.items() if all(map(holds, group))}
    silent = {name for name, group in groups.items() if any(verdict.kind == "abstained" for verdict in group)}
    said = groups.keys() - silent
    return Standing(
        all=share(len(right), len(groups)),
        said=share(len(right & said), len(said)) if said else None,
        withheld=len(silent),
        waiting=waiting,
    )


def mix(taggings: Iterable[Tagging], task: Task) -> Mix:
    """Which values are said how often; open fields, and those that the task no longer has, have none."""
    window = Window(task.fields, None)
    for tagging in taggings:
        window.add(replace(tagging, tags={name: tag for name, tag in tagging.tags.items() if name in task.fields}))
    return {
        name: {value: n / one.answers for value, n in one.values.items()}
        for name, one in window.counts().items()
        if one.answers and ANSWERED not in one.values
    }


def against(
    taggings: Sequence[Tagging], records: Mapping[str, Record], reviews: Sequence[Review], *, task: Task
) -> tuple[list[Verdict], list[Example]]:
    """The verdicts on taggings of records whose right answers are known, but for those of the final test and those
    that are shown as examples; and those records with their right answers."""
    known = [review for review in reviews if review.use in ("dev", "train")]
    rows = _rows(taggings, records, known, task, 0, None)
    chosen = {tagging.id for tagging in taggings}
    return _verdicts(rows, chosen), _examples(rows, chosen)


def _rows(
    taggings: Sequence[Tagging],
    records: Mapping[str, Record],
    reviews: Sequence[Review],
    task: Task,
    seed: int,
    baseline: Mix | None,
) -> _Rows:
    texts = {tagging.id: content(records[tagging.id]) for tagging in taggings if tagging.id in records}
    return _Rows(taggings, records, texts, reviews, task, seed, baseline)


def _doubtful(rows: _Rows) -> Iterable[str]:
    least = {t.id: min((tag.probability for tag in t.tags.values() if not tag.abstained), default=None)
             for t in rows.taggings if t.outcome == "tagged"}  # fmt: skip
    return sorted((name for name, p in least.items() if p is not None), key=lambda name: least[name] or 0.0)


def _abstained(rows: _Rows) -> Iterable[str]:
    least = {t.id: min(guesses) for t in rows.taggings
             if (guesses := [tag.probability for tag in t.tags.values() if tag.abstained])}  # fmt: skip
    return sorted(least, key=lambda name: least[name])


def _conflicts(rows: _Rows) -> Iterable[str]:
    found = {t.id: len(t.conflicts) for t in rows.taggings if t.conflicts}
    return sorted(found, key=lambda name: found[name], reverse=True)


def _rejected(rows: _Rows) -> Iterable[str]:
    return (t.id for t in rows.taggings if t.outcome == "rejected")


def _sampled(rows: _Rows) -> Iterable[str]:
    """All that was answered, in an order that does not change when some are reviewed."""
    names = [t.id for t in rows.taggings if t.outcome != "failed" and t.id in rows.texts]
    random.Random(rows.seed).shuffle(names)
    return names


def _drifted(rows: _Rows) -> Iterable[str]:
    """By the value of a record that has moved most (its term of the Population Stability Index, drift.py), of those
    that are more frequent than chance brings about; the less probable first where one value has moved."""
    if rows.baseline is None:
        hint = "try rows of another, earlier file first: what is said of these is held against what was said of those"
        raise SettingsError("nothing is known of how often values were said before", hint=hint)
    moved: dict[str, tuple[float, float]] = {}
    for field, before in rows.baseline.items():
        said = [(t.id, tag.probability, _values(tag.value)) for t in rows.taggings if (tag := t.tags.get(field))]
        counts = Counter(value for _, _, values in said for value in values)
        excess = {value: _excess(n, len(said), before.get(value, 0.0)) for value, n in counts.items()}
        for name, p, values in said:
            if most := max((excess[value] for value in values), default=0.0):
                moved[name] = max(moved.get(name, (0.0, 0.0)), (most, -p))
    return sorted(moved, key=lambda name: moved[name], reverse=True)


def _excess(n: int, total: int, before: float) -> float:
    """How much more `n` of `total` is than the share `before`; 0 if chance may have done it. Half a row is added, so
    that no value is infinitely rare."""
    before = max(before, 0.5 / total)
    if n / total <= before or binomtest(n, total, before, alternative="greater").pvalue >= LEVEL:
        return 0.0
    return (n / total - before) * log(n / total / before)


def _values(value: object) -> list[str]:
    """The keys under which a value is counted (tagger/baseline.py)."""
    if value is None:
        return []
    if isinstance(value, list):
        return [str(item) for item in value]
    return [value if isinstance(value, str) else json.dumps(value)]


def _disputed(rows: _Rows) -> Iterable[str]:
    texts = {content(group[0].record) for group in disputes(rows.reviews)}
    return (t.id for t in rows.taggings if rows.texts.get(t.id) in texts)


def _label_errors(rows: _Rows) -> Iterable[str]:
    chosen = {t.id for t in rows.taggings}
    found, examples = _verdicts(rows, chosen), _examples(rows, chosen)
    return (suspect.id for suspect in suspects(found, examples, rows.task))


def _truth(reviews: Sequence[Review]) -> dict[str, Example]:
    """The labelled rows of all uses, by content."""
    return {content(example.record): example for use in USES for example in labelled(reviews, use)}


def _examples(rows: _Rows, chosen: AbstractSet[str]) -> list[Example]:
    truth = _truth(rows.reviews)
    return [
        replace(truth[text], record=rows.records[t.id])
        for t in rows.taggings
        if t.id in chosen and (text := rows.texts.get(t.id)) in truth
    ]


def _verdicts(rows: _Rows, chosen: AbstractSet[str]) -> list[Verdict]:
    """What the taggings are worth where people have said what is right."""
    examples = _examples(rows, chosen)
    names = {example.record.id for example in examples}
    judged = [tagging for tagging in rows.taggings if tagging.id in names]
    if not judged:
        return []
    made, task = judged[0].provenance, rows.task
    head = Header(
        set=task.id, split="own", sample=None, seed=rows.seed, rows=len(judged), plan_text={}, shots=0, versions={},
        rows_id=rows_id(example.record for example in examples), task=made.task, task_version=made.task_version,
        plan=made.plan, model=made.model, adapter=made.adapter, engine=made.engine,
    )  # fmt: skip
    return judge(Run(head, [run_row(tagging) for tagging in judged]), task, examples)


def _by_id(found: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in found:
        groups.setdefault(verdict.id, []).append(verdict)
    return groups


_ORDERS: Mapping[Kind, Callable[[_Rows], Iterable[str]]] = {
    "doubtful": _doubtful,
    "abstained": _abstained,
    "conflicts": _conflicts,
    "rejected": _rejected,
    "drifted": _drifted,
    "sampled": _sampled,
    "disputed": _disputed,
    "label errors": _label_errors,
}
