"""Old tags and what has changed in, tags of the new version out: only rows that the change can touch are asked again.

The answers of the old run are mapped and put where a run keeps its own (answers.py), so the usual run finds them there
and asks for what is missing. Asked again are rows whose label was split, redefined, removed or lost products, rows for
which such a label was the near runner-up, and, where a label is new, those that may be its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tagger.answers import ANSWERS, Answers, claimed, content_key
from tagger.decide import quoted
from tagger.errors import SourceError, TaskError
from tagger.likeness import vectorizer
from tagger.made import made_by, refuse_other
from tagger.pipeline import Tagger
from tagger.record import Record
from tagger.run import Progress, tag_file
from tagger.schema import PATH_SEPARATOR
from tagger.sinks import Format
from tagger.sources import batches, catalogue
from tagger.task import Task
from tagger.taxonomy.changes import Changes, Version

NEAR = 0.2
"""Probability from which a runner-up might win under other labels."""
NEAREST = 3
"""Old labels, the likest by name and description, whose rows a new label from nowhere may take."""
AT_ONCE = 10_000
KEPT_FROM = "kept_from"
"""In a line of tags: the version of the task under which it was said."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of applying a new version."""

    rows: int
    kept: int
    """Rows whose tag was carried over, by another name or the same."""
    progress: Progress
    mixed: bool = False
    """Whether the probabilities of kept tags and of new ones were calibrated in different ways, or some not at all."""

    @property
    def saved(self) -> float:
        """Share of the rows that were not asked again."""
        return self.kept / self.rows if self.rows else 0.0


def touched(changes: Changes, old: Version, new: Version) -> frozenset[str]:
    """Old labels whose rows must be asked again."""
    without = {label for label, successor in changes.successors.items() if successor is None}
    for label in changes.unknown:
        without |= _neighbours(label, new.labels[label], old.labels)
    return frozenset(without)


def carry(
    tagger: Tagger,
    name: str,
    old: Task,
    changes: Changes,
    affected: Set[str],
    *,
    source: Path,
    tags: Path,
    out: Path,
    form: Format = "jsonl",
    mapping: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> Carried:
    """Tag `source` into `out` by the tagger's task, with the tags that the run in `tags` has under task `old`.

    Without a `mapping` columns are those that the old run read, its ids too. `name` is the field that is the tree,
    `affected` are the old labels whose rows are asked (`touched`). Given again, it goes on. Raises TaskError for tasks
    that differ in more than the tree, SourceError for tags of another task version, and what `tag_file` raises.
    """
    _refuse_other_tasks(old, tagger.task, name)
    _refuse_other_tags(tags, old)
    refuse_other(out, made_by(tagger))
    rows = kept = 0
    with claimed(tags), Answers(tags) as before, claimed(out), Answers(out) as after:
        mapping = mapping or (before.fact("command") or {}).get("mapping")
        for part in batches(catalogue(source, old.columns, mapping), AT_ONCE):
            rows += len(part)
            keys = [content_key(row) for row in part if isinstance(row, Record)]
            known, there = before.get(keys), after.get(keys)
            mapped = {
                key: moved
                for key, answer in known.items()
                if (moved := carried(answer, name, changes.successors, affected, bool(changes.unknown), old.version))
            }
            after.add({key: answer for key, answer in mapped.items() if key not in there}, 0)
            kept += sum(key in mapped for key in keys)
        fitted = [
            str(made["plan"]).partition("~")[2] for made in (before.fact("made") or {"plan": ""}, made_by(tagger))
        ]
    done = tag_file(tagger, source, out, form=form, mapping=mapping, progress=progress, stop=stop)
    return Carried(rows, kept, done, fitted[0] != fitted[1])


def carried(
    answer: Mapping[str, Any],
    name: str,
    successors: Mapping[str, str | None],
    affected: Set[str],
    fresh: bool,
    version: str,
) -> dict[str, Any] | None:
    """An old answer under the names of the new version; None where it must be asked again.

    `fresh`: whether there are labels from nowhere, which rows without a tag may have waited for.
    """
    tag = answer["tags"].get(name)
    if tag is None or (fresh and tag["value"] is None):
        return None
    chances = {other["value"]: other["probability"] for other in tag.get("alternatives", ())}
    if tag["value"] is not None:
        chances = {tag["value"]: tag["probability"], **chances}
    best = max(chances, key=lambda label: chances[label], default=None)
    if best is None or any(
        label in affected and (label == best or chance >= NEAR) for label, chance in chances.items()
    ):
        return None
    moved: dict[str, float] = {}
    for label, chance in chances.items():
        successor = successors.get(label)
        if successor is not None:
            moved[successor] = round(moved.get(successor, 0.0) + chance, 6)
    value = successors[tag["value"]] if tag["value"] is not None else None
    others = sorted((label for label in moved if label != value), key=lambda label: -moved[label])
    fresh_tag = {**tag, "value": value, "probability": moved[value] if value is not None else tag["probability"]}
    if others or "alternatives" in tag:
        fresh_tag["alternatives"] = [{"value": label, "probability": moved[label]} for label in others]
    found = {**answer, "tags": {**answer["tags"], name: fresh_tag}, KEPT_FROM: version}
    if value is None and answer.get("reason"):
        old, new = best, successors[best]
        if new is not None and moved[new] == round(chances[old], 6):
            found["reason"] = answer["reason"].replace(f"{name}: {quoted(old)} ", f"{name}: {quoted(new)} ")
        else:  # it would name a label that is no more, or tell another probability
            found["reason"] = f"{name}: version {version} of the task was silent here"
    return found


def _neighbours(label: str, about: str, old: Mapping[str, str]) -> set[str]:
    """Old labels whose rows a new one may take: its siblings, or where it has none the likest."""
    parent = label.rpartition(PATH_SEPARATOR)[0]
    siblings = {other for other in old if parent and other.rpartition(PATH_SEPARATOR)[0] == parent}
    if siblings:
        return siblings
    names = list(old)
    matrix = vectorizer().fit_transform([f"{label} {about}", *(f"{one} {old[one]}" for one in names)])
    likeness = (matrix[1:] @ matrix[0].T).toarray().ravel()
    return {names[i] for i in np.argsort(-likeness, kind="stable")[:NEAREST] if likeness[i] > 0}


def _refuse_other_tasks(old: Task, new: Task, name: str) -> None:
    if old.columns.keys() != new.columns.keys():
        told = f"the versions read other columns: {', '.join(old.columns)} and {', '.join(new.columns)}"
        raise TaskError(told, where=str(new.folder), hint="tag the catalogue anew with tagger tag")
    rest = [{key: one for key, one in task.fields.items() if key != name} for task in (old, new)]
    if name not in new.fields or rest[0] != rest[1]:
        told = f"the versions differ in more than the field {name!r}"
        raise TaskError(told, where=str(new.folder), hint="tag the catalogue anew with tagger tag")


def _refuse_other_tags(tags: Path, old: Task) -> None:
    if not (tags / ANSWERS).is_file():
        raise SourceError("the folder holds no answers of a run", where=str(tags), hint="give the --out of tagger tag")
    with claimed(tags), Answers(tags) as answers:
        made = answers.fact("made") or {}
    if made.get("task_version") != old.version:
        told = f"the tags are of version {made.get('task_version')} of the task, OLD is {old.version}"
        raise SourceError(told, where=str(tags), hint="give the folder of the task that they were made with")
