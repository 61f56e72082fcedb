"""A model whose layers look back a window of tokens: what fits in is answered as by a plain pass, the rest refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagger.engines.base import Constraint, Request
from tagger.errors import EngineError
from tagger.grammar import choice_grammar, object_grammar
from tagger.prompt import Head, Prompt
from tagger.schema import LabelField
from tests.engines.conftest import WINDOW

torch = pytest.importorskip("torch", reason="the extra [cpu] is not installed")
HEAD = Head("Is it red, or is it not? Say so.")
WORDS = ("yes", "no", "nothing")


@pytest.fixture(scope="module")
def engine(tiny_window: Path) -> Iterator[Any]:
    from tagger.engines.transformers import TransformersEngine

    opened = TransformersEngine(tiny_window, "tiny", dtype="float32")
    yield opened
    opened.close()


def asked(text: str) -> Request:
    return Request(Prompt(HEAD, (), text), Constraint(choice_grammar(WORDS), WORDS), max_tokens=16)


def test_many_bodies_wider_together_than_the_window_are_answered_as_by_a_plain_pass(engine: Any) -> None:
    requests = [asked(f"number {n} of what there is") for n in range(8)]

    found = engine.complete(requests)

    assert sum(one.tokens_in for one in found) > 3 * WINDOW
    for request, one in zip(requests, found, strict=True):
        ids = [*engine.chat.head_ids(request.prompt.head), *engine.chat.bodies([request.prompt])[0]]
        with torch.inference_mode():
            plain = engine.hf_model(torch.tensor([ids])).logits[0, -1].float()
        first = {word: engine.chat.plain_all([word])[0][0] for word in ("yes", "no")}
        shares = torch.softmax(plain[list(first.values())], 0)
        assert one.masses["yes"] == pytest.approx(float(shares[0]), abs=1e-4)


def test_written_answers_of_unlike_lengths_are_those_written_alone(engine: Any) -> None:
    fields = {"colour": LabelField(kind="label", about="", labels=("red", "not so red"))}
    constraint = Constraint(object_grammar(fields))
    requests = [Request(Prompt(HEAD, (), "x" * n), constraint, max_tokens=60) for n in (1, 9, 30)]

    together, alone = engine.complete(requests), [engine.complete([request])[0] for request in requests]

    assert [one.text for one in together] == [one.text for one in alone]
    for a, b in zip(together, alone, strict=True):
        assert [p for _, p in a.logprobs] == pytest.approx([p for _, p in b.logprobs], abs=1e-4)


def test_a_prompt_longer_than_the_window_is_refused_and_says_why(engine: Any) -> None:
    long, short = engine.complete([asked("red " * WINDOW), asked("red")])

    assert long.finish_reason == "refused"
    assert long.text.endswith(f"tokens; the model takes {WINDOW}, the sliding window of its attention")
    assert short.finish_reason == "stop"


def test_layers_that_keep_no_keys_and_values_are_refused() -> None:
    from transformers import Qwen3NextConfig

    from tagger.engines.packing import _window

    with pytest.raises(EngineError, match="expected layers that attend to tokens, found Linear"):
        _window(Qwen3NextConfig(num_hidden_layers=4))
