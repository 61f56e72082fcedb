"""Taggings in, counts of them out: those of an evaluation, which are kept as a baseline, and the latest of a service.

A baseline is made of a run over dev rows (`python -m eval baseline`) and lies beside the task, one file for each model.
A window holds the latest taggings of a service, or all of a bulk run. Where they no longer look alike, drift.py says.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagger.calibration import calibration_file
from tagger.errors import TaskError
from tagger.plan import validation_text
from tagger.result import Outcome, Tagging
from tagger.schema import FieldBase, LabelsField
from tagger.sinks import tag_lines
from tagger.task import Task

EDGES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
"""Between the ten bins of probabilities: finest at the top, where most answers lie."""
LATEST = 2000
"""Taggings in the window of a service."""
ANSWERED = "(answered)"
"""In the place of the values of an open field."""
Count = Annotated[int, Field(ge=0)]


class Counts(BaseModel):
    """One field, as it was answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: Mapping[str, Count]
    """Rows by the value that was said, as text; of a list by each of its labels, of an open field ANSWERED alone."""
    bins: tuple[Count, ...] = Field(min_length=len(EDGES) + 1, max_length=len(EDGES) + 1)
    """Answers by their probability, between EDGES."""
    abstained: Count

    @property
    def answers(self) -> int:
        """Rows with an answer, said or withheld."""
        return sum(self.bins)


class Baseline(BaseModel):
    """How the rows of an evaluation were tagged, and what tagged them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    task_version: str
    plan: str
    """With pool and calibration, as taggings have it (result.py: Provenance)."""
    model: str
    adapter: str | None = None
    rows_id: str
    """Which rows those were (eval/record.py)."""
    outcomes: Mapping[Outcome, Count]
    fields: Mapping[str, Counts]

    @property
    def rows(self) -> int:
        """All rows, whatever became of them."""
        return sum(self.outcomes.values())


_Key = str | int | None
"""What is counted of a field: a value that is said, the bin of the probability, None for an answer withheld."""
_Seen = tuple[Outcome, tuple[tuple[str, tuple[_Key, ...]], ...]]


class Window:
    """Counts over the latest `most` taggings (None: over all) of a task with these `fields`. Not safe for threads."""

    def __init__(self, fields: Mapping[str, FieldBase], most: int | None = LATEST) -> None:
        self.fields, self.outcomes = fields, Counter[Outcome]()
        self._most, self._kept = most, deque[_Seen]()
        self._counted = {name: Counter[_Key]() for name in fields}

    def add(self, found: Tagging | Mapping[str, Any]) -> None:
        """Count a tagging, or one in plain values (a line of tags); it takes no longer in a larger window."""
        if isinstance(found, Tagging):
            outcome, tags = found.outcome, {name: (tag.value, tag.probability) for name, tag in found.tags.items()}
        else:
            outcome = found["outcome"]
            tags = {name: (tag["value"], tag["probability"]) for name, tag in found["tags"].items()}
        # Probabilities are rounded as they are written (result.py): a line counts as the tagging that it was.
        seen = (
            outcome,
            tuple(
                (name, (*_said(self.fields[name], value), bisect_right(EDGES, round(p, 6))))
                for name, (value, p) in tags.items()
            ),
        )
        self._count(seen, 1)
        if self._most is not None:
            self._kept.append(seen)
            if len(self._kept) > self._most:
                self._count(self._kept.popleft(), -1)

    def counts(self) -> dict[str, Counts]:
        """Every field as it was answered."""
        return {
            name: Counts(
                values={key: n for key, n in counted.items() if isinstance(key, str) and n},
                bins=tuple(counted[place] for place in range(len(EDGES) + 1)),
                abstained=counted[None],
            )
            for name, counted in self._counted.items()
        }

    def _count(self, seen: _Seen, by: int) -> None:
        self.outcomes[seen[0]] += by
        for name, keys in seen[1]:
            for key in keys:
                self._counted[name][key] += by


def baseline_file(folder: Path, model: str, adapter: str | None = None) -> Path:
    """Where the baseline of a task's answers by `model` lies, alone or with an adapter (its name and id)."""
    return folder / "baseline" / calibration_file(folder, model, adapter).name


def load_baseline(path: Path, made: Mapping[str, Any]) -> Baseline | None:
    """The baseline in a file; None where there is none.

    Raises TaskError if the file is broken, or is of another task version, plan, calibration, model or adapter than
    `made` names (what a Provenance or a manifest has), or one with a pool where there is none now, or the other way
    round: other answers have other counts. (A pool that has grown changes little.)
    """
    if not path.is_file():
        return None
    hint = "make it anew (python -m eval baseline), or remove the file to go on without"
    try:
        found = Baseline.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise TaskError(validation_text(error), where=str(path), hint=hint) from None
    for key in ("task", "task_version", "plan", "model", "adapter"):
        own, other = getattr(found, key), made[key]
        if own != other and (key != "plan" or _without_pool(own) != _without_pool(other)):
            raise TaskError(f"the baseline of {key} {own}, this is {other}", where=str(path), hint=hint)
    return found


def save_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline where `load_baseline` will find it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(baseline.model_dump_json()), ensure_ascii=False, indent=1)
    path.write_text(text + "\n", "utf-8")


def bulk_window(folder: Path, task: Task) -> Window:
    """All rows of a finished bulk run, in any of its formats: the latest alone would be the end of a catalogue.

    Raises SourceError for an unfinished run, one of another task or version of it, and for broken files.
    """
    window = Window(task.fields, most=None)
    for line in tag_lines(folder, task):
        window.add(line)
    return window


def _said(asked: FieldBase, value: Any) -> tuple[_Key, ...]:
    """What is counted of a value; a tag without one was withheld."""
    if value is None:
        return (None,)
    if isinstance(asked, LabelsField):
        return tuple(value)
    if asked.closed is None:
        return (ANSWERED,)
    return (value if isinstance(value, str) else json.dumps(value),)


def _without_pool(plan: str) -> str:
    return re.sub(r"\+\w+", "+", plan)
