"""Fixtures: one per concept. Real weights are fetched once into the cache that the product itself uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagger.demo import catalogue
from tagger.engines import canary, model_folder, open_engine
from tagger.engines.scripted import ScriptedEngine
from tagger.task import Task, load_task

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def category() -> Task:
    return load_task("category")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small task folder with a field of every kind; tests break it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "task.toml").write_text(SHOP, "utf-8")
    (folder / "prompt.jinja").write_text(
        "{% block instruction %}\nDescribe it.\n{% endblock %}{% block record %}\n{{ record.title }}\n{% endblock %}",
        "utf-8",
    )
    (folder / "examples.jsonl").write_text(json.dumps(SHOP_EXAMPLE, ensure_ascii=False) + "\n", "utf-8")
    return folder


@pytest.fixture
def products() -> list[dict[str, Any]]:
    """Twelve products of the sample catalogue, six English and six Chinese."""
    return catalogue("en")[:6] + catalogue("zh")[:6]


@pytest.fixture
def scripted() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture(scope="session")
def transformers_engine() -> Iterator[Any]:
    """In float32, so that batches of any shape give the same numbers."""
    from tagger.engines.transformers import TransformersEngine

    model = "qwen2.5-coder-0.5b-instruct"
    engine = TransformersEngine(model_folder(model), model, dtype="float32")
    canary(engine)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vllm_engine() -> Iterator[Any]:
    engine = open_engine("vllm", "qwen2.5-coder-0.5b-instruct")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def labelled() -> Path:
    """The folder of labelled sets; tests that read it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no labelled sets at {DATA}")
    return DATA


SHOP_EXAMPLE = {
    "record": {"title": "Acme 红茶 250 ml"},
    "answer": {
        "kind": "tea",
        "traits": ["new", "gift"],
        "leaf": "Food > Tea",
        "brand": 'A"c\\me 茶',
        "volume": {"value": 250, "unit": "ml"},
        "count": 0.5,
        "organic": True,
        "stars": 4,
    },
}
SHOP = """
about = "a shop"
[columns.title]
[fields.kind]
kind = "label"
labels = ["tea", "coffee"]
[fields.traits]
kind = "labels"
labels = ["new", "sale", "gift"]
[fields.leaf]
kind = "path"
labels = ["Food > Tea", "Food > Coffee"]
[fields.brand]
kind = "text"
[fields.volume]
kind = "number"
units = ["ml", "l"]
[fields.count]
kind = "number"
[fields.organic]
kind = "boolean"
[fields.stars]
kind = "score"
"""
