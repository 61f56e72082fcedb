"""Every mistake in a task folder is named with its place, before any model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from tagger import ScriptedEngine, Tagger
from tagger.errors import TaskError
from tagger.task import Task, load_task, task_names

Break = Callable[[Path], None]


def edit(file: str, old: str, new: str) -> Break:
    def change(folder: Path) -> None:
        path = folder / file
        assert old in path.read_text("utf-8")
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        (edit("task.toml", "about =", "abuot ="), "task.toml", "unknown key 'abuot'"),
        (edit("task.toml", '"tea", "coffee"', '"tea", "tea"'), "task.toml", "label listed twice: tea"),
        (edit("task.toml", '"tea", "coffee"', '"tea", "ＴＥＡ"'), "task.toml", "the same to a reader"),
        (edit("task.toml", 'kind = "text"', 'kind = "txt"'), "task.toml", "fields.brand"),
        (edit("task.toml", "[columns.title]", "[columns.title"), "task.toml", "not TOML"),
        (edit("prompt.jinja", "record.title", "record.name"), "prompt.jinja:4", "unknown variable 'record.name'"),
        (edit("prompt.jinja", "Describe it.", "{{ shop }}"), "prompt.jinja:2", "unknown variable 'shop'"),
        (edit("prompt.jinja", "Describe it.", "{% if %}"), "prompt.jinja:2", "template syntax"),
        (edit("prompt.jinja", "block record", "block row"), "prompt.jinja", "lacks the block record"),
        (edit("prompt.jinja", "Describe it.", '{% include "x.jinja" %}'), "prompt.jinja", "no such template"),
        (edit("examples.jsonl", '"kind": "tea"', '"kind": "milk"'), "examples.jsonl:1", "'milk' is not one of"),
        (edit("examples.jsonl", '"title"', '"name"'), "examples.jsonl:1", "no text in column 'title'"),
        (edit("examples.jsonl", "{", "["), "examples.jsonl:1", "not a line of JSON"),
    ],
)
def test_a_mistake_is_named_with_its_place(shop: Path, change: Break, place: str, message: str) -> None:
    load_task(shop)
    change(shop)

    with pytest.raises(TaskError) as raised:
        load_task(shop)

    assert place in str(raised.value.where)
    assert message in str(raised.value)


def test_a_label_file_with_a_duplicate_names_both_lines(shop: Path) -> None:
    edit("task.toml", '["tea", "coffee"]', '"labels.tsv"')(shop)
    (shop / "labels.tsv").write_text("tea\tleaves\ncoffee\n\nTea\n", "utf-8")

    with pytest.raises(TaskError, match=r"labels.tsv:4: label 'Tea' stands already on line 1"):
        load_task(shop)


def test_a_plan_that_asks_an_open_field_by_label_is_refused(shop: Path) -> None:
    (shop / "plan.toml").write_text('[[ask]]\nform = "label"\nfields = ["brand"]\n[[ask]]\nform = "json"\n', "utf-8")

    with pytest.raises(TaskError, match="form 'label' needs exactly one field"):
        load_task(shop)


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(TaskError, match="category"):
        load_task("no-such-task")


def test_a_template_cannot_reach_into_python(shop: Path) -> None:
    edit("prompt.jinja", "Describe it.", "{{ fields.__class__.__mro__ }}")(shop)

    with pytest.raises(TaskError, match="may not"):
        Tagger(shop, engine=ScriptedEngine()).tag({"title": "x"})


def test_the_version_changes_with_whatever_is_shown_to_the_model(shop: Path) -> None:
    before = load_task(shop).version
    edit("prompt.jinja", "Describe it.", "Describe it well.")(shop)
    between = load_task(shop).version
    edit("examples.jsonl", "250 ml", "500 ml")(shop)

    assert len({before, between, load_task(shop).version}) == 3


@pytest.mark.parametrize("name", task_names())
def test_shipped_tasks_load(name: str) -> None:
    task = load_task(name)

    assert task.examples


@pytest.mark.parametrize("name", ["category", "zh_category"])
def test_shipped_label_tasks_show_four_examples_a_label_and_describe_it(name: str) -> None:
    task = load_task(name)
    labels = task.fields["category"].labels  # type: ignore[attr-defined]
    shown = [example.answer["category"] for example in task.examples]

    assert all(labels.values())
    assert min(shown.count(label) for label in labels) >= 4


@pytest.mark.parametrize("name", task_names())
def test_no_shipped_example_is_a_labelled_row(name: str, labelled: Path) -> None:
    texts = {
        " ".join(str(row.get("title") or row.get("text")).casefold().split())
        for path in labelled.glob("*/*.jsonl")
        for row in map(json.loads, path.read_text("utf-8").splitlines())
    }

    for example in load_task(name).examples:
        text = example.record.values.get("title") or example.record.values["text"]
        assert " ".join(text.casefold().split()) not in texts


class RunningShoe(BaseModel):
    """What a title says about a running shoe."""

    surface: Literal["road", "trail"]
    uses: list[Literal["race", "training"]] = Field(default=[], description="what for")
    brand: str | None = None
    drop: Annotated[int, Field(ge=0, le=12)] | None = None
    price: float | None = None
    waterproof: bool = False


def test_a_task_from_a_pydantic_model_has_its_kinds_and_runs() -> None:
    task = Task.from_model(RunningShoe)
    kinds = {name: (field.kind, field.required) for name, field in task.definition.fields.items()}

    assert task.id == "running_shoe"
    assert kinds == {
        "surface": ("label", True),
        "uses": ("labels", False),
        "brand": ("text", False),
        "drop": ("score", False),
        "price": ("number", False),
        "waterproof": ("boolean", False),
    }
    engine = ScriptedEngine(lambda prompt: '{"surface": "trail", "brand": "Acme"}')
    tagging = Tagger(task, engine=engine).tag({"title": "Acme trail shoe"})
    assert (tagging.value("surface"), tagging.value("brand")) == ("trail", "Acme")


def test_a_model_field_that_is_no_kind_is_refused() -> None:
    class Odd(BaseModel):
        sizes: dict[str, int]

    with pytest.raises(TaskError, match=r"Odd.sizes: type .* is no kind of field"):
        Task.from_model(Odd)


def test_a_template_that_includes_itself_is_refused(shop: Path) -> None:
    edit("prompt.jinja", "Describe it.", '{% include "prompt.jinja" %}')(shop)

    with pytest.raises(TaskError, match="included more than once"):
        load_task(shop)


def test_an_unknown_filter_is_named(shop: Path) -> None:
    edit("prompt.jinja", "Describe it.", "{{ form | shout }}")(shop)

    with pytest.raises(TaskError, match="shout"):
        load_task(shop)


def test_an_error_inside_a_template_is_the_tasks(shop: Path) -> None:
    edit("prompt.jinja", "{{ record.title }}", "{{ record.title + 1 }}")(shop)

    with pytest.raises(TaskError, match="block 'record': TypeError"):
        Tagger(shop, engine=ScriptedEngine()).tag({"title": "x"})


def test_a_misspelt_field_in_an_example_is_refused(shop: Path) -> None:
    edit("examples.jsonl", '"brand"', '"brnad"')(shop)

    with pytest.raises(TaskError, match=r"\$\.brnad: no such field"):
        load_task(shop)


@pytest.mark.parametrize("name", ["id", "kind_probability"])
def test_a_field_may_not_take_an_output_column(shop: Path, name: str) -> None:
    edit("task.toml", "[fields.brand]", f"[fields.{name}]")(shop)

    with pytest.raises(TaskError, match=f"field '{name}' has the name of an output column"):
        load_task(shop)


def test_examples_of_a_model_are_checked() -> None:
    with pytest.raises(TaskError, match="'sea' is not one of"):
        Task.from_model(RunningShoe, examples=(({"title": "x"}, {"surface": "sea"}),))


def test_examples_that_lack_a_field_asked_alone_are_not_shown(shop: Path) -> None:
    (shop / "plan.toml").write_text('[[ask]]\nform = "label"\nfields = ["organic"]\n[[ask]]\nform = "json"\n', "utf-8")
    edit("examples.jsonl", '"organic": true, ', "")(shop)
    engine = ScriptedEngine(
        lambda prompt: '{"kind": "tea", "leaf": "Food > Tea"}' if "json" in prompt.head.instruction else "true"
    )
    (shop / "prompt.jinja").write_text(
        "{% block instruction %}{{ form }}{% endblock %}{% block record %}{{ record.title }}{% endblock %}", "utf-8"
    )

    tagging = Tagger(shop, engine=engine).tag({"title": "x"})

    assert tagging.value("organic") is True
    assert engine.history[0].prompt.head.shots == ()


def test_every_wrong_line_of_the_examples_is_named(shop: Path) -> None:
    (shop / "examples.jsonl").write_text('{"record": {"title": "x"}}\nnot JSON\n', "utf-8")

    with pytest.raises(TaskError, match=r"examples\.jsonl:1: not a record of this task.*\n.*:2: not a line of JSON"):
        load_task(shop)
