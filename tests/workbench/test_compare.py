"""What is made live is what was compared."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.workbench.pages import compare
from eval.workbench.pages.compare import Comparing


def test_the_version_that_was_compared_is_made_live_whatever_is_chosen_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task.toml").write_text("about = 'goods'\n[columns.title]\n[fields.kind]\nkind = 'text'\n", "utf-8")
    desk: Any = SimpleNamespace(folder=lambda _: tmp_path)
    person: Any = SimpleNamespace(name="ann")
    made: list[int] = []

    async def promoted(*told: Any) -> bool:
        made.append(told[3])
        return False

    monkeypatch.setattr(compare, "promoted", promoted)
    page = Comparing(desk, person, "goods")
    page.pair = "live", "3"
    for since in ("5", "draft"):
        vars(page)["b"] = SimpleNamespace(value=since)
        asyncio.run(page._promote())

    assert made == [3, 3]
