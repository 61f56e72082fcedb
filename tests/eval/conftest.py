"""Labelled rows and a scripted run over them."""

from __future__ import annotations

import pytest

from eval.record import Header, Run
from eval.run import header_of, run
from tagger import ScriptedEngine, Tagger
from tagger.example import Example
from tagger.record import Record


def example(title: str, label: str) -> Example:
    return Example(Record(title, {"title": title}), {"category": label})


ROWS = [example("green tea", "Tea"), example("tea cup", "Coffee"), example("mocha", "Coffee"), example("soup", "Tea")]
"""By the engine below: right, wrong, right, rejected."""


@pytest.fixture
def rows() -> list[Example]:
    return ROWS


@pytest.fixture
def tea_tagger() -> Tagger:
    def answer(prompt) -> str:  # type: ignore[no-untyped-def]
        return "Soup" if prompt.record == "soup" else "Tea" if "tea" in prompt.record else "Coffee"

    return Tagger("category", engine=ScriptedEngine(answer))


@pytest.fixture
def header(tea_tagger: Tagger) -> Header:
    return header_of(tea_tagger, ROWS, set_name="mine", split="dev", sample=None, seed=0, shots=0)


@pytest.fixture
def tea_run(tea_tagger: Tagger, header: Header) -> Run:
    return run(tea_tagger, ROWS, header)
