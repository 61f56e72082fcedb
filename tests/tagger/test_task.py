"""Every mistake in a task folder is named with its place, before any model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, Field

from tagger import ScriptedEngine, Tagger
from tagger.errors import TaskError
from tagger.schema import ClosedField, LabelField, PathField
from tagger.task import Task, load_task, task_names
from tagger.template import environment, render_block

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
        (edit("examples.jsonl", '"title"', '"name"'), "examples.jsonl:1", "no column 'title'"),
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


REACHING = (
    "{{ ''.__class__.__mro__ }}", "{{ fields.__init__.__globals__ }}", "{{ cycler.__init__.__globals__.os }}",
    "{{ ''|attr('__class__') }}", "{{ ''['__class__'] }}", "{{ '{0.__class__}'.format(1) }}",
    "{{ [1]|map(attribute='__class__')|list }}", "{{ (task.folder / 'task.toml').read_text() }}",
    "{{ (task.folder / 'new').write_text('x') }}", "{{ task.folder.iterdir()|list }}", "{{ task.read_examples(1) }}",
    "{{ task.definition.parse_raw('x', proto='pickle', allow_pickle=True) }}",
    "{{ task.template.environment.from_string('x') }}", "{{ task.template.environment.filters['list'](1) }}",
    "{% for x in task.template.environment.loader.list_templates() %}{% endfor %}",
)  # fmt: skip


@pytest.mark.parametrize("text", REACHING)
def test_a_template_reaches_neither_pythons_inside_nor_a_file(shop: Path, text: str) -> None:
    edit("prompt.jinja", "Describe it.", text)(shop)

    with pytest.raises(TaskError, match="does what a template may not"):
        Tagger(shop, engine=ScriptedEngine()).tag({"title": "x"})
    assert sorted(path.name for path in shop.iterdir()) == ["examples.jsonl", "prompt.jinja", "task.toml"]


NESTED = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}"
ENDLESS = {
    "nested loops": NESTED + "{% endfor %}{% endfor %}",
    "a long text thrice": "{% for a in record.title %}{% for b in record.title %}{% for c in record.title %}x"
    "{% endfor %}{% endfor %}{% endfor %}",
    "a recursive macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "a recursive loop": "{% for a in range(9) recursive %}{% if loop.depth < 50 %}{{ loop(range(9)) }}{% endif %}"
    "{% endfor %}",
    "a filter in a loop": "{% for a in range(99999) %}{% set b = range(99999)|map('string')|list %}{% endfor %}",
    "a search in a loop": "{% set b = range(99999)|list %}{% for a in range(99999) %}{{ a in b }}{% endfor %}",
    "long texts that are thrown away": "{% for a in range(99999) %}{% set b %}{{ task }}{% endset %}{% endfor %}",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_that_would_run_for_hours_is_stopped(shop: Path, name: str) -> None:
    template = environment([]).from_string("{% block x %}" + ENDLESS[name] + "{% endblock %}")
    shown = {"record": {"title": "word " * 200}, "task": load_task(shop)}
    started = perf_counter()

    with pytest.raises(TaskError, match="block 'x': loops more than 200,000 times") as raised:
        render_block(template, "x", shown, "prompt.jinja")

    assert raised.value.hint
    assert perf_counter() - started < (1 if name == "nested loops" else 20)


def doubled(how: str, first: str = "'aaaaaaaa'") -> str:
    return "{% set a = " + first + " %}" + how * 40 + "{{ a }}"


LARGE = (
    "{{ 'a' * 10**10 }}", "{{ 'a' * 10000000000 }}", "{{ 10000000000 * [1] }}", "{{ 9 ** 99999999 }}",
    "{{ 10 ** 10 ** 10 }}", "{{ range(10 ** 9) }}", "{{ 'a'|center(9999999999) }}", "{{ 'a'.ljust(9999999999) }}",
    "{{ '%9999999999d' % 1 }}", "{{ '%*d'|format(999999999, 1) }}", "{{ '{:>9999999999}'.format(1) }}",
    "{{ '{:{w}}'.format(1, w='9999999999') }}", "{{ ('a' * 99999)|replace('a', 'b' * 99999) }}",
    "{{ range(99999)|join('a' * 99999) }}", "{{ range(99999)|map('default', 'a' * 99999, true)|join }}",
    "{{ ', '.join(range(99999)|map('replace', '1', 'a' * 9999)) }}", "{{ [1]|batch(999999999, 0)|list }}",
    "{{ (5).to_bytes(9999999999, 'big') }}", "{{ ('a' * 3999999)|wordwrap(1) }}",
    "{% for a in range(9999) %}{{ 'a' * 3999 }}{% endfor %}", doubled("{% set a = a ~ a %}"),
    doubled("{% set a = a + a %}"), doubled("{% set a %}{{ a }}{{ a }}{% endset %}"), doubled("{% set a = [a, a] %}"),
    doubled("{% set a = dict(x=a, y=a) %}"), doubled("{% set a = cycler(a, a).items %}"),
    doubled("{% set a = a * a %}", "99999"),
    doubled("{% set b = namespace() %}{% set b.x = a %}{% set b.y = a %}{% set a = b %}"),
)  # fmt: skip


@pytest.mark.parametrize("text", LARGE)
def test_a_template_that_would_take_all_memory_is_stopped(text: str) -> None:
    template = environment([]).from_string("{% block x %}" + text + "{% endblock %}")

    with pytest.raises(TaskError, match=r"block 'x': (makes|writes|computes|fills|shows|loops|OverflowError: Range)"):
        render_block(template, "x", {}, "prompt.jinja")


USUAL = """{% macro line(a, b=2) %}{{ a }}-{{ b }};{% endmacro %}{% set n = namespace(x=0) %}
{% for a in 'abc' %}{{ loop.index }}/{{ loop.length }}{% if not loop.last %}, {{ loop.nextitem }}{% endif %}{% endfor %}
{% for a in tree recursive %}{{ a.name }}{% if a.below %}({{ loop(a.below) }}){% endif %}{{ loop.depth }}{% endfor %}
{% for a, b in {'x': 1, 'y': 2}.items() if b > 1 %}{{ line(a, b) }}{% else %}none{% endfor %}
{% for a in [] %}{% else %}empty{% endfor %}{% for a in (1, 2) %}{% set n.x = n.x + a * 3 ** 2 %}{% endfor %}{{ n.x }}
{{ tree|map(attribute='name')|join(', ') }} {{ 'a' ~ 1 ~ 'b' }} {{ 'ab' * 3 }} {{ [1, n.x][:1] }} {{ 5 in [1, n.x] }}
{{ '%5s %-4d|%(a)s'|replace('%(a)s', '') % ('x', 7) }} {{ '{:>6} {a}'.format('z', a=1) }} {{ '%(k)s'|format(k=3) }}
{{ '12345 of %s' % 3 }} {{ [3, 1, 2]|sort|list }} {{ [[1], [2]]|sum(start=[]) }} {{ 'a b'.split()|length }}
{{ tree|selectattr('below')|list|length }} {{ range(5)|batch(2, 0)|list }} {{ 'word ' * 9|int }} {{ tree|tojson(2) }}
{% macro box() %}[{{ caller(1) }}]{% endmacro %}{% call(x) box() %}{{ x }}{% endcall %}
{% filter upper %}a{{ 'b' }}{% endfilter %}{{ cycler('a', 'b').next() }}"""


def test_a_template_within_the_bounds_writes_what_jinja_writes() -> None:
    below = [{"name": "b", "below": []}, {"name": "c", "below": []}]
    shown = {"tree": [{"name": "a", "below": below}, {"name": "d", "below": []}]}
    plain = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)

    written = render_block(environment([]).from_string("{% block x %}" + USUAL + "{% endblock %}"), "x", shown, "")

    assert written == plain.from_string(USUAL).render(shown).strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}", "too deep in each other"),
        ("{% for a in 'x' %}" * 30 + "{% endfor %}" * 30, "too deep in each other"),
        ("{{ " + "9" * 9000 + " }}", "a number is too long"),
        ("{% include form %}", "must be a text in quotes"),
    ],
)
def test_a_template_that_cannot_be_read_is_the_tasks_mistake(shop: Path, text: str, message: str) -> None:
    edit("prompt.jinja", "Describe it.", text)(shop)

    with pytest.raises(TaskError, match=message):
        load_task(shop)


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


def text_of(row: Mapping[str, Any]) -> str:
    """What a row says: its title, its text, the query that it is, what was viewed or what its tags are; empty if it
    has none of them."""
    text = next((row[name] for name in ("title", "text", "query", "history", "tags") if row.get(name)), "")
    return " ".join(str(text).casefold().split())


@cache
def labelled_texts(folder: Path) -> frozenset[str]:
    """Those of all rows of all sets."""
    lines = (line for path in folder.glob("*/*.jsonl") for line in path.read_text("utf-8").splitlines())
    return frozenset(text_of(json.loads(line)) for line in lines) - {""}


@pytest.mark.parametrize("name", task_names())
def test_no_shipped_example_is_a_labelled_row(name: str, labelled: Path) -> None:
    shown = {text_of(example.record.values) for example in load_task(name).examples}

    assert all(shown)
    assert shown & labelled_texts(labelled) == set()


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


@pytest.mark.parametrize("kind", [LabelField, PathField])
def test_a_field_among_some_of_its_labels_knows_those_alone(kind: type[ClosedField]) -> None:
    field = kind(labels={"tea": "leaves", "coffee": "beans", "cocoa": ""})  # type: ignore[arg-type]
    assert list(field.closed or ()) == ["tea", "coffee", "cocoa"]

    fewer = field.among(["coffee", "tea"])

    assert list(fewer.closed or ()) == ["coffee", "tea"]
    assert fewer == kind(labels={"coffee": "beans", "tea": "leaves"})
    assert fewer.problem("cocoa")
