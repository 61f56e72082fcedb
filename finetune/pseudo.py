"""A catalogue and its calibrated tags in, train rows that nobody has labelled out: the answers that are sure enough.

They train, and are marked, so that they never judge (Lee 2013: pseudo-labels).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from finetune.active import Tags
from tagger.errors import SourceError
from tagger.record import Record, Rejected
from tagger.sinks import read_manifest
from tagger.task import Task


def refuse_unfit(folder: Path, task: Task) -> None:
    """Raise SourceError for tags whose probabilities nobody has fitted, for sure is then only a word, and for those of
    another version of the task."""
    made = read_manifest(folder)
    if made["task_version"] != task.version:
        told = f"the tags are of version {made['task_version']} of the task, which is {task.version} now"
        raise SourceError(told, where=str(folder), hint="tag the file again")
    if "~" not in made["plan"]:
        hint = "calibrate the task on dev rows first: python -m eval calibrate"
        raise SourceError("the tags are not calibrated", where=str(folder), hint=hint)


def pseudo_rows(records: Iterable[Record | Rejected], tags: Tags, least: float) -> Iterator[dict[str, Any]]:
    """Labelled lines of the records whose every answer has a probability of at least `least` and is as the model gave
    it: what a rule has reworded need not stand in the record, as what is learned must."""
    for record in records:
        if isinstance(record, Rejected):
            continue
        line = tags.get(record.id)
        if line is None or line["outcome"] != "tagged" or not line["tags"]:
            continue
        given = [tag for tag in line["tags"].values() if not tag.get("abstained") and not tag.get("corrections")]
        if len(given) == len(line["tags"]) and all(tag["probability"] >= least for tag in given):
            answer = {name: tag["value"] for name, tag in line["tags"].items()}
            yield {"record": {"id": record.id, **record.values}, "answer": answer, "pseudo": True}
