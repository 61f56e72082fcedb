"""An analyst makes a task without writing a file, and what is missing is said in plain words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.workbench.shop import Shop, prompt_text
from eval.workbench.texts import check, own_files
from tagger import ScriptedEngine, Tagger
from tagger.errors import SettingsError
from tagger.task import load_task, prompts_folder, task_names


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


def test_a_new_task_with_categories_tags_at_once(shop: Shop) -> None:
    folder = shop.new_task(
        "drinks",
        "What is in the bottle",
        ["title", " notes "],
        categories="Tea: leaves: any\n\nCoffee\t16:9\n水：\nMilk",
    )
    engine = ScriptedEngine(lambda prompt: "Coffee" if "What is in the bottle" in prompt.head.instruction else "Tea")

    assert load_task(folder).fields["category"].model_dump()["labels"] == {
        "Tea": "leaves: any", "Coffee": "16:9", "水": "", "Milk": "",
    }  # fmt: skip
    assert Tagger(folder, engine=engine).tag({"title": "Espresso"}).value("category") == "Coffee"
    assert shop.tasks() == ["drinks"]
    assert shop.task_folder("drinks") == folder
    assert sorted(path.name for path in folder.iterdir()) == ["labels.tsv", "task.toml"]


def test_a_new_task_with_attributes_copies_them_from_the_text(shop: Shop) -> None:
    folder = shop.new_task(
        "traits", "What a title tells", ["title"], attributes='Brand: who makes it\nNet "content"\n颜色：商品的颜色'
    )
    engine = ScriptedEngine(lambda prompt: json.dumps({"Brand": "Acme"}))
    tagging = Tagger(folder, engine=engine).tag({"title": "Acme bottle"})

    assert {name: field.about for name, field in load_task(folder).fields.items()} == {
        "Brand": "who makes it", 'Net "content"': "", "颜色": "商品的颜色",
    }  # fmt: skip
    assert tagging.value("Brand") == "Acme"
    assert tagging.tags["Brand"].evidence is not None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "a b"}, "cannot be the name of a task"),
        ({"name": "../up"}, "cannot be the name of a task"),
        ({"name": "_default"}, "is where the general template lies"),
        ({"about": " "}, "the task needs a sentence"),
        ({"columns": [" "]}, "no column is read"),
        ({"columns": ["title", "title"]}, "the column 'title' stands there twice"),
        ({"columns": ["category"]}, "'category' is a column and an answer"),
        ({"categories": ""}, "give either categories or attributes"),
        ({"attributes": "Brand"}, "give either categories or attributes"),
        ({"categories": "Tea"}, "one category is no choice"),
        ({"categories": "Tea\n: leaves"}, "a line has no name before its meaning"),
        ({"categories": "Tea\nCoffee\nTea: again"}, "the category or attribute 'Tea' stands there twice"),
        ({"categories": "Tea\nTEA"}, "label 'TEA' stands already on line 1"),
        ({"categories": "", "attributes": "outcome"}, "has the name of an output column"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_made(shop: Shop, asked: dict[str, str], message: str) -> None:
    whole = {"name": "drinks", "about": "x", "columns": ["title"], "categories": "Tea\nCoffee", **asked}

    with pytest.raises(SettingsError, match=message):
        shop.new_task(**whole)  # type: ignore[arg-type]

    assert not shop.folder.exists()


def test_a_task_is_never_made_over_another(shop: Shop) -> None:
    shop.copy_shipped("category")

    with pytest.raises(SettingsError, match="there is a task or a folder 'category' already"):
        shop.new_task("category", "x", ["title"], categories="a\nb")
    with pytest.raises(SettingsError, match="there is a task or a folder 'category' already"):
        shop.copy_shipped("category")

    assert len(load_task(shop.task_folder("category")).examples) == 100


def test_a_shipped_task_comes_as_it_is(shop: Shop) -> None:
    for name in task_names():
        folder = shop.copy_shipped(name)
        assert load_task(folder).version == load_task(name).version
        assert own_files(folder) == own_files(prompts_folder() / name)

    assert shop.tasks() == task_names()
    with pytest.raises(SettingsError, match=r"no task 'none' is shipped\n.*there are: adverts, attributes, category"):
        shop.copy_shipped("none")
    with pytest.raises(SettingsError, match=r"there is no task 'none'\n.*there are: adverts, attributes, category"):
        shop.task_folder("none")
    with pytest.raises(SettingsError, match="cannot be the name of a task"):
        shop.task_folder("../shop/category")


def test_the_general_prompt_can_be_made_the_tasks_own_and_then_says_the_same(shop: Shop) -> None:
    folder = shop.new_task("drinks", "What is in the bottle", ["title"], categories="Tea\nCoffee")
    version, text = load_task(folder).version, prompt_text(folder)

    assert check({**own_files(folder), "prompt.jinja": text}, "drinks") == []
    (folder / "prompt.jinja").write_text(text, "utf-8")
    assert load_task(folder).version == version
    (folder / "prompt.jinja").write_text("own", "utf-8")
    assert prompt_text(folder) == "own"
