"""A Run and the labelled rows in, a verdict on every value out.

Right, wrong, rejected, abstained and failed are separate counts: what was not answered is not wrong, and what is
wrong was answered. From the verdicts come all figures (figures.py), slices and comparisons.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from eval.record import Run, RunRow, RunTag
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.rulebook import RuleBook
from tagger.schema import ClaimsField, takes_several
from tagger.task import Task

Kind = Literal["right", "wrong", "invented", "missing", "absent", "abstained", "rejected", "failed"]
"""right, wrong: the label has a value and one was answered; invented: answered though the label has none; missing:
the label has a value and none was answered; absent: neither has one; the rest: what became of the record."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One field of one record."""

    id: str
    field: str
    gold: Any
    """The right value, or None where the record has none."""
    value: Any
    """What was answered, the best guess of an abstention included; None where nothing was."""
    p: float
    """The answer's probability; 0 without one."""
    kind: Kind
    annotated: bool
    """Whether a labeller looked at this field of this record."""
    tag: RunTag | None = None
    golds: tuple[Any, ...] = ()
    """All right values, `gold` among them; empty where the record has none."""
    item: str = ""
    """Of a field that takes several values: the JSON text of the one that the verdict is about."""

    @property
    def said(self) -> bool:
        """Whether a value was answered: not withheld, and not missing."""
        return self.kind in ("right", "wrong", "invented")

    @property
    def correct(self) -> bool:
        """Whether the value (an abstention's best guess too) is the right one."""
        return self.kind == "right" or (self.kind == "abstained" and self.value is not None and self.value == self.gold)


def verdicts(run: Run, examples: Sequence[Example], fields: Mapping[str, Sequence[str]]) -> list[Verdict]:
    """A verdict for each field that is asked of each record of the run, in the run's order; of a field that takes
    several values one for each that was answered, withheld or labelled.

    `fields` has the names of the fields asked, by record id. Raises SourceError for an empty run, for a row
    of the run that no example labels, and for labelled rows of one id.
    """
    if not run.rows:
        raise SourceError("the run has no rows")
    gold = {example.record.id: example for example in examples}
    if len(gold) < len(examples):
        hint = "give every row an `id` of its own; without one a row is called by its number in its file"
        raise SourceError(f"{len(examples) - len(gold)} labelled rows have the id of another", hint=hint)
    if unknown := [row.id for row in run.rows if row.id not in gold]:
        raise SourceError(f"{len(unknown)} rows of the run have no label, the first is {unknown[0]!r}")
    found = []
    for row in run.rows:
        # A field may be answered though it is none of the record's: if it was told a wrong category, say.
        for name in dict.fromkeys([*fields[row.id], *row.tags]):
            found += _verdicts(row, gold[row.id], name)
    return found


def judge(found: Run, task: Task, examples: Sequence[Example]) -> list[Verdict]:
    """Verdicts on the fields that the task asks of each record; what its rules call the same is the same. Descriptions
    get none: claims.py judges them."""
    if task.rules:
        examples = [_as_said(task.rules, example) for example in examples]
    every = verdicts(found, examples, {e.record.id: tuple(task.asked(e.record)) for e in examples})
    return [verdict for verdict in every if not isinstance(task.fields.get(verdict.field), ClaimsField)]


def refuse_descriptions(task: Task) -> None:
    """Raise SettingsError for a task of which every field is a description: it has no one right text."""
    if all(isinstance(field, ClaimsField) for field in task.fields.values()):
        hint = "python -m eval claims judges how its sentences are traced, and what a model writes"
        raise SettingsError(f"task {task.id!r} writes descriptions, of which no one text is the right one", hint=hint)


def _as_said(rules: RuleBook, example: Example) -> Example:
    """A labelled row in the words of the rules: people label what is written, taggings have what is said. What was
    labelled stays right, for a calibration judges candidates as they are written."""
    answer = {name: rules.rewritten(name, value)[0] for name, value in example.answer.items()}
    also = {
        name: (*(rules.rewritten(name, other)[0] for other in example.also.get(name, ())), value)
        for name, value in example.answer.items()
        if not isinstance(value, list)
    }
    return replace(example, answer=answer, also=also)


def aligned(a: Iterable[Verdict], b: Iterable[Verdict]) -> list[tuple[Verdict, Verdict]]:
    """Verdicts of two runs over the same rows in pairs; a value of a list that one run alone named is absent, or
    missing, in the other."""
    left, right = ({(v.id, v.field, v.item): v for v in side} for side in (a, b))
    lost, gone = ({v.id: v.kind for v in side.values() if v.kind in ("rejected", "failed")} for side in (left, right))
    return [
        (left.get(key) or _unsaid(right[key], lost), right.get(key) or _unsaid(left[key], gone))
        for key in dict.fromkeys([*left, *right])
    ]


def _unsaid(verdict: Verdict, lost: Mapping[str, Kind]) -> Verdict:
    """The verdict of a run that did not name the value; `lost` has its rejected and failed records."""
    kind: Kind = lost.get(verdict.id, "absent" if verdict.gold is None else "missing")
    return replace(verdict, value=None, p=0.0, kind=kind, tag=None)


def _verdicts(row: RunRow, example: Example, name: str) -> list[Verdict]:
    tag, gold = row.tags.get(name), example.answer.get(name)
    if not isinstance(gold, list) and not (tag and isinstance(tag.value, list)):
        return [_verdict(row, example, name)]
    said = [] if tag is None or tag.abstained else tag.value
    chances = {json.loads(text): p for text, p in tag.each.items() if text != "[]"} if tag else {}
    annotated = example.annotated is None or name in example.annotated
    found = []
    for value in dict.fromkeys([*(gold or []), *said, *chances]):
        right = value in (gold or [])
        kind: Kind = "right" if right else "invented"
        if row.outcome in ("rejected", "failed"):
            kind = row.outcome
        elif value not in said:
            kind = "abstained" if value in chances else "missing"
        answered = value if value in said or value in chances else None
        found.append(Verdict(
            row.id, name, value if right else None, answered, chances.get(value, 0.0), kind, annotated,
            tag if value in chances else None, (value,) if right else (), json.dumps(value, ensure_ascii=False),
        ))  # fmt: skip
    none: Kind = row.outcome if row.outcome in ("rejected", "failed") else "absent"
    return found or [Verdict(row.id, name, None, None, tag.p if tag else 0.0, none, annotated)]


def one_value(task: Task) -> bool:
    """Whether a record has one value in the task: it is then right or wrong as a whole."""
    return len(task.fields) == 1 and not any(map(takes_several, task.fields.values()))


def _verdict(row: RunRow, example: Example, name: str) -> Verdict:
    tag = row.tags.get(name)
    gold = example.answer.get(name)
    annotated = example.annotated is None or name in example.annotated
    value = tag.value if tag else None
    if tag and example.is_right(name, value):
        gold = value
    kind: Kind
    if row.outcome in ("rejected", "failed"):
        kind = row.outcome
    elif tag and tag.abstained:
        kind = "abstained"
    elif tag:
        kind = "invented" if gold is None else "right" if value == gold else "wrong"
    else:
        kind = "absent" if gold is None else "missing"
    golds = (example.answer[name], *example.also.get(name, ())) if name in example.answer else ()
    return Verdict(row.id, name, gold, value, tag.p if tag else 0.0, kind, annotated, tag, golds)


@dataclass(frozen=True, slots=True)
class Counts:
    """Values right, answered and labelled: precision, recall and F1 follow.

    An empty denominator gives 0: nothing right was answered.
    """

    right: int
    answered: int
    labelled: int

    @property
    def precision(self) -> float:
        return self.right / self.answered if self.answered else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.labelled if self.labelled else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / (self.answered + self.labelled) if self.right else 0.0


def counts(found: Iterable[Verdict], *, published: bool = False, normalized: bool = False) -> Counts:
    """Micro counts over values.

    Strict (default): every field that is asked counts, so an invented value is an error. `published` is the
    scoring of ExtractGPT (Brinkmann et al. 2023, arXiv 2310.12537): fields that a row does not annotate are not
    looked at. `normalized` compares values without regard to case, width and white space.
    """
    right = answered = labelled = 0
    for verdict in found:
        if published and not verdict.annotated:
            continue
        same = verdict.kind == "right"
        if normalized and verdict.kind == "wrong":
            same = folded(verdict.value) == folded(verdict.gold)
        right += same
        answered += verdict.said
        labelled += verdict.gold is not None
    return Counts(right, answered, labelled)


def macro(found: Iterable[Verdict]) -> tuple[float, float, float]:
    """Precision, recall and F1 of every label that is a right value somewhere, their unweighted means; nan where there
    is none. A label that was never said has precision 0."""
    right: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for v in found:
        if v.gold is not None:
            gold[str(v.gold)] += 1
            right[str(v.gold)] += v.kind == "right"
        if v.said:
            said[str(v.value)] += 1
    each = [Counts(right[label], said[label], n) for label, n in gold.items()]
    if not each:
        return (float("nan"),) * 3
    p, r, f1 = (sum(parts) / len(each) for parts in zip(*((c.precision, c.recall, c.f1) for c in each), strict=True))
    return p, r, f1


def outcomes(found: Iterable[Verdict]) -> Counter[str]:
    """How many values got which verdict."""
    return Counter(verdict.kind for verdict in found)


def folded(value: Any) -> str:
    """A value as a reader compares it: NFKC, case and white space aside."""
    return " ".join(unicodedata.normalize("NFKC", str(value)).casefold().split())
