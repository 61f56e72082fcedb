"""By what the tags in a folder are made: one task version, plan, model and adapter; those of others are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tagger.answers import ANSWERS, Answers, claimed
from tagger.errors import SourceError
from tagger.pipeline import Tagger
from tagger.sinks import MANIFEST


def claim(answers: Answers, tagger: Tagger, out: Path) -> None:
    """Make the folder one of this task version, plan, model and adapter; SourceError if it is one of others."""
    made, before = made_by(tagger), answers.fact("made")
    if before is None and (out / MANIFEST).is_file():
        raise SourceError("the folder holds a run without its answers", where=str(out), hint="choose another --out")
    _refuse_other(out, before, made)
    answers.note(made=made)


def made_by(tagger: Tagger) -> dict[str, Any]:
    """What answers depend on (result.py: Provenance): all but the engine, for any gives the same."""
    return {name: fact for name, fact in asdict(tagger.provenance).items() if name != "engine"}


def refuse_other(out: Path, made: Mapping[str, Any]) -> None:
    """Raise SourceError if the folder holds a run of which one of these facts (`made_by`) is another."""
    if (out / ANSWERS).is_file():
        with claimed(out), Answers(out) as answers:
            _refuse_other(out, answers.fact("made"), made)


def _refuse_other(out: Path, before: Mapping[str, Any] | None, made: Mapping[str, Any]) -> None:
    other = next((name for name in made if made[name] != before.get(name)), None) if before else None
    if before and other:
        was, now = str(before.get(other)), str(made[other])
        what = other.replace("_", " ")
        if other == "plan" and was.partition("~")[0] == now.partition("~")[0]:  # only what is fitted to it differs
            what = "calibration or promise"
        told = f"the folder holds tags of another {what}: {was}, now {now}"
        raise SourceError(told, where=str(out), hint="choose another --out, or remove that folder")
