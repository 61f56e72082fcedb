"""An engine that always says the same, and a task for rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tagger.engines.base import Completion, EngineInfo, Request

HOUSE = """
about = "a shop"
[columns.title]
[columns.type]
required = false
[fields.kind]
kind = "label"
labels = ["tea", "coffee", "茶"]
[fields.form]
kind = "label"
labels = ["bags", "loose", "pods", "sachets"]
required = false
[fields.traits]
kind = "labels"
labels = ["new", "sale", "gift"]
[fields.brand]
kind = "text"
[fields.colours]
kind = "texts"
[fields.volume]
kind = "number"
units = ["ml", "l", "g", "斤", "kg"]
[fields.organic]
kind = "boolean"
[fields.seal]
kind = "text"
"""

SEALED = '[[implies]]\nname = "a seal"\nif = { organic = true }\nthen = { seal = "EU" }\n'
"""A rule of that task."""


class FixedEngine:
    """Answers every request with one completion."""

    info = EngineInfo("fixed", "none", "none", {})

    def __init__(self, completion: Completion) -> None:
        self._completion = completion

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        return [self._completion for _ in requests]

    def close(self) -> None: ...


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A task with no rules yet."""
    folder = tmp_path / "house"
    folder.mkdir()
    (folder / "task.toml").write_text(HOUSE, "utf-8")
    return folder
