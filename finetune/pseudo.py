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


def refuse_uncalibrated(folder: Path) -> None:
    """Raise SourceError for tags whose probabilities nobody has fitted: sure is then only a word."""
    if "~" not in read_manifest(folder)["plan"]:
        hint = "calibrate the task on dev rows first: python -m eval calibrate"
        raise SourceError("the tags are not calibrated", where=str(folder), hint=hint)


def pseudo_rows(records: Iterable[Record | Rejected], tags: Tags, least: float) -> Iterator[dict[str, Any]]:
    """Labelled lines of the records whose every answer has a probability of at least `least`."""
    for record in records:
        if isinstance(record, Rejected):
            continue
        line = tags.get(record.id)
        if line is None or line["outcome"] != "tagged" or not line["tags"]:
            continue
        if all(tag["probability"] >= least and not tag.get("abstained") for tag in line["tags"].values()):
            answer = {name: tag["value"] for name, tag in line["tags"].items()}
            yield {"record": {"id": record.id, **record.values}, "answer": answer, "pseudo": True}
