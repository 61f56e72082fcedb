"""Ratios are those of the same rounds, a share of the limit is one of work done, and a run costs what it costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.bench import Rate, as_json, ratio, reached
from eval.limit import Limit


def rate(side: str, *seconds: float) -> Rate:
    return Rate("category, no shots", side, 20, seconds, 15, 20, 20, 50.0)


def test_a_ratio_is_the_median_of_the_rounds_with_its_spread() -> None:
    assert ratio(rate("d", 1.0, 2.0, 1.0), rate("a", 4.0, 6.0, 10.0)) == (4.0, 3.0, 10.0)
    assert rate("d", 1.0, 3.0).rate == 5.0
    assert rate("d", 1.0).f1 == 0.75


def test_what_was_reached_is_two_operations_a_weight_and_token() -> None:
    limit = Limit(flops=1e9, bandwidth=1e9, weights=1_000_000)

    assert reached([rate("d", 1.0, 3.0), rate("e", 1.0)], limit) == {"category, no shots": pytest.approx(0.5)}


def test_all_that_was_measured_is_json() -> None:
    found = as_json([rate("a", 4.0), rate("d", 1.0), rate("e", 2.0)], Limit(1e9, 1e9, 1))

    assert [(line["ours"], line["ratio"]) for line in json.loads(json.dumps(found))["ratios"]] == [
        ("d", 4.0),
        ("e", 2.0),
    ]


@pytest.mark.model
def test_a_run_without_a_model_costs_time_and_memory() -> None:
    from eval.growth import grow

    (cost,) = grow([1000], 0, None, "smollm2-135m-instruct", None)

    assert (cost.rows, cost.shots) == (1000, 0)
    assert cost.rate > 100
    assert 50 < cost.mebibytes < 4000


@pytest.mark.model
def test_the_rival_answers_what_it_is_asked() -> None:
    from eval.rivals import Outlined
    from tagger.engines import open_engine
    from tagger.engines.transformers import TransformersEngine
    from tagger.prompt import Head, Prompt
    from tagger.schema import LabelField, TextField

    engine = open_engine("transformers", "smollm2-135m-instruct")
    assert isinstance(engine, TransformersEngine)
    outlined, prompt = Outlined(engine), Prompt(Head("Say what it is."), (), "green tea, Acme")
    label, text = {"kind": LabelField(labels={"tea": "", "cup": ""})}, {"brand": TextField()}

    one, several = outlined.one_by_one([label], [prompt]), outlined.in_batches([label, label], [prompt, prompt])

    assert [set(answer or {}) for answer in (*one, *several)] == [{"kind"}] * 3
    assert {(answer or {})["kind"] for answer in (*one, *several)} <= {"tea", "cup"}
    (written,) = outlined.one_by_one([text], [prompt])
    assert written is None or set(written) <= {"brand"}


@pytest.mark.model
def test_copies_and_a_second_run_cost_no_tokens() -> None:
    from eval.repeats import repeated

    tokens = {cost.name: cost.tokens for cost in repeated(400, 100_000, None)}

    assert tokens["40% copies"] == pytest.approx(0.6, abs=0.02)
    assert tokens["40% near copies"] == pytest.approx(0.6, abs=0.05)
    assert tokens["again, 1% changed"] == pytest.approx(0.01, abs=0.002)


@pytest.mark.model
def test_eight_bit_weights_answer_what_float32_does_most_of_the_time(labelled: Path) -> None:
    from eval.int8 import forms

    found = {form.name: form for form in forms("category", labelled, "smollm2-135m-instruct", 12)}

    assert list(found) == ["float32", "int8", "bfloat16"]
    assert found["float32"].same.value == 1.0
    assert all(form.rate > 0 and form.same.value > 0.5 for form in found.values())
