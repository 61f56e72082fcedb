"""The steps of the soak, with little load: what they claim of the service, and that they would see it broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from eval import soak
from eval.callers import CALLERS, shared
from tagger import ScriptedEngine


@pytest.mark.parametrize("name", [name for name in soak.STEPS if name != "steady"])
def test_a_step_passes_on_a_sound_service(name: str, tmp_path: Path) -> None:
    found = soak.STEPS[name](tmp_path / name, 20)

    assert found["passed"], found


@pytest.mark.skipif(shutil.which("wrk") is None, reason="the load generator wrk is not installed")
def test_a_steady_load_is_measured(tmp_path: Path) -> None:
    found = soak.steady(tmp_path, 20)

    assert found["requests_per_second"] > 100
    assert 0 < found["milliseconds"]["50%"] <= found["milliseconds"]["99%"]


def test_a_service_that_gives_answers_of_others_does_not_pass(tmp_path: Path, monkeypatch: Any) -> None:
    body = soak._body
    monkeypatch.setattr(soak, "_body", lambda name: body(name) | {"record": {"id": "another's", "title": "Tea"}})

    found = soak.burst(tmp_path, 100)

    assert not found["passed"]
    assert found["outcomes"] == {"wrong": soak.REQUESTS // 100}


def test_many_callers_are_held_against_a_bulk_run() -> None:
    found = shared(ScriptedEngine(), CALLERS)

    assert len(found["share"]) == 2
    assert all(rate > 0 for rates in found["rows_per_second"].values() for rate in rates)
