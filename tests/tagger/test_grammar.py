"""The bytes that the grammar allows are the bytes that `spell` writes, for every kind of field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tagger.ask import Answer, constraint, read_answer
from tagger.engines.base import Completion
from tagger.grammar import choice_grammar, object_grammar, read_value, spell
from tagger.schema import NumberField, TextField
from tagger.task import load_task

xgrammar_testing = pytest.importorskip("xgrammar.testing")


def accepts(grammar: str, text: str) -> bool:
    return bool(xgrammar_testing._is_grammar_accept_string(grammar, text))


def test_every_kind_is_spelled_as_its_grammar_allows(shop: Path) -> None:
    task = load_task(shop)
    answer = task.examples[0].answer

    for name, field in task.fields.items():
        fields = {name: field}
        assert accepts(object_grammar(fields), spell(fields, {name: answer[name]})), name


def test_a_whole_answer_survives_writing_and_reading(shop: Path) -> None:
    task = load_task(shop)
    answer = task.examples[0].answer

    written = spell(task.fields, answer)

    assert accepts(object_grammar(task.fields), written)
    assert {n: read_value(task.fields[n], v) for n, v in json.loads(written).items()} == answer


@pytest.mark.parametrize(
    "text",
    [
        '{"kind":"tea"}',
        '{"kind": "tea" }',
        '{"kind": "milk"}',
        '{"stars": 6, "kind": "tea"}',
        '{"traits": ["gift", "new"], "kind": "tea"}',
        '{"traits": ["new", "new"]}',
        '{"kind": "tea", "volume": "250 kg"}',
        '{"kind": "tea", "brand": "a\nb"}',
        '{"brand": "x"}',
    ],
)
def test_other_bytes_are_refused(shop: Path, text: str) -> None:
    assert not accepts(object_grammar(load_task(shop).fields), text)


def test_fields_may_be_left_out_but_required_ones_may_not(shop: Path) -> None:
    grammar = object_grammar(load_task(shop).fields)

    assert accepts(grammar, '{"kind": "tea", "leaf": "Food > Tea"}')
    assert not accepts(grammar, '{"kind": "tea"}')


def test_the_sample_of_a_constraint_is_an_answer(shop: Path) -> None:
    task = load_task(shop)
    required = {name: field.model_copy(update={"required": True}) for name, field in task.fields.items()}
    for ask in (task.plan.ask[0], task.plan.ask[0].model_copy(update={"form": "dense"})):
        for fields in (task.fields, required):
            asked = constraint(ask, fields)
            assert accepts(asked.grammar, asked.sample)
            assert isinstance(read_answer(ask, fields, Completion(asked.sample, "stop")), Answer)


def test_a_dense_object_names_every_field(shop: Path) -> None:
    fields = load_task(shop).fields
    grammar, written = (
        object_grammar(fields, dense=True),
        spell(fields, {"kind": "tea", "leaf": "Food > Tea"}, dense=True),
    )

    assert list(json.loads(written)) == list(fields)
    assert accepts(grammar, written)
    assert accepts(grammar, spell(fields, load_task(shop).examples[0].answer, dense=True))
    assert not accepts(grammar, spell(fields, {"kind": "tea", "leaf": "Food > Tea"}))
    assert not accepts(grammar, written.replace('"kind": "tea"', '"kind": null'))  # required


def test_a_choice_allows_its_sentences_alone() -> None:
    grammar = choice_grammar(['a "b"', "茶", "a\\"])

    assert all(accepts(grammar, text) for text in ('a "b"', "茶", "a\\"))
    assert not accepts(grammar, "a")


@pytest.mark.parametrize("value", [0, -3, 250, 0.5, -0.25, 999999999.123456, 1e-6])
def test_numbers_survive_writing_and_reading(value: float) -> None:
    field = NumberField()

    assert field.problem(value) is None
    assert accepts(object_grammar({"n": field}), spell({"n": field}, {"n": value}))
    assert json.loads(spell({"n": field}, {"n": value})) == {"n": value}


@pytest.mark.parametrize("value", [1e-7, 1e9, float("nan"), float("inf"), True, "3", 10**400])
def test_numbers_that_could_not_be_written_are_refused(value: object) -> None:
    assert NumberField().problem(value) is not None


@pytest.mark.parametrize("text", ["-0", "1.50", "01", "1e5", "1" * 12])
def test_other_spellings_of_numbers_are_not_allowed(text: str) -> None:
    assert not accepts(object_grammar({"n": NumberField()}), f'{{"n": {text}}}')


@pytest.mark.parametrize(
    ("text", "right"), [("a b", True), (" a", True), ('"\\', True), ("\x85", False), ("\n", False)]
)
def test_grammar_and_check_agree_on_text(text: str, right: bool) -> None:
    field = TextField()

    assert (field.problem(text) is None) == right
    assert accepts(object_grammar({"s": field}), spell({"s": field}, {"s": text})) == right


@pytest.mark.parametrize("text", ["x" * 21, " ", "\u3000"])
def test_a_long_or_blank_text_is_left_to_the_check(text: str) -> None:
    assert TextField(max_chars=20).problem(text) is not None
