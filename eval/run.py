"""Labelled rows and a Tagger in, counts and figures out.

Right, wrong, rejected, abstained and failed are separate counts: what was not answered is not wrong, and
what is wrong was answered.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from scipy.stats import binomtest

from tagger.errors import SourceError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.result import Tagging


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `total` with the Wilson interval at 95 % (Wilson 1927)."""

    hits: int
    total: int

    def __str__(self) -> str:
        if not self.total:
            return "none"
        low, high = binomtest(self.hits, self.total).proportion_ci(method="wilson")
        return (
            f"{100 * self.hits / self.total:.1f} %  [{100 * low:.1f}, {100 * high:.1f}]  ({self.hits} of {self.total})"
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a run: records by outcome, values by verdict, speed."""

    outcomes: Counter[str]
    """Records that are right (every value as labelled), wrong, rejected, abstained, failed."""
    found: int
    predicted: int
    labelled: int
    """Values that are as labelled, that were answered, and that the labels hold: precision and recall."""
    seconds: float

    @property
    def accuracy(self) -> Share:
        """Records that are right in every value, of all records."""
        return Share(self.outcomes["right"], sum(self.outcomes.values()))

    @property
    def f1(self) -> float:
        """Micro F1 over values, exact match; a value that no label mentions counts as wrong ('strict')."""
        return 2 * self.found / (self.predicted + self.labelled) if self.found else 0.0


def sample(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """`count` examples drawn without replacement, or all of them in order."""
    if count is None or count >= len(examples):
        return list(examples)
    return random.Random(seed).sample(list(examples), count)


def refuse_leaks(judged: Sequence[Example], shots: Sequence[Example]) -> None:
    """Raise SourceError if a judged row is also shown to the model as a shot."""
    shown = {tuple(sorted(e.record.values.items())) for e in shots}
    if leaked := [e.record.id for e in judged if tuple(sorted(e.record.values.items())) in shown]:
        hint = "take them out of one of the two files"
        raise SourceError(f"{len(leaked)} judged rows are also shots, the first is {leaked[0]!r}", hint=hint)


def run(tagger: Tagger, examples: Sequence[Example]) -> tuple[Figures, list[Tagging]]:
    """Tag the examples' records and hold the tags against the labels; SourceError for no examples."""
    if not examples:
        raise SourceError("no labelled rows to judge on")
    start = perf_counter()
    taggings = tagger.tag_records([example.record for example in examples])
    seconds = perf_counter() - start
    outcomes = Counter(verdict(t, e) for t, e in zip(taggings, examples, strict=True))
    found = predicted = labelled = 0
    for tagging, example in zip(taggings, examples, strict=True):
        values = {name: tag.value for name, tag in tagging.tags.items() if not tag.abstained}
        found += sum(example.answer.get(name) == value for name, value in values.items())
        predicted += len(values)
        labelled += len(example.answer)
    return Figures(outcomes, found, predicted, labelled, seconds), taggings


def verdict(tagging: Tagging, example: Example) -> str:
    """right, wrong, rejected, abstained or failed."""
    if tagging.outcome != "tagged":
        return tagging.outcome
    values = {name: tag.value for name, tag in tagging.tags.items() if not tag.abstained}
    silent = {name for name, tag in tagging.tags.items() if tag.abstained}
    if values == {name: value for name, value in example.answer.items() if name not in silent}:
        return "abstained" if silent & set(example.answer) else "right"
    return "wrong"
