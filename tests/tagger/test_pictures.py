"""Records with pictures on their way from file to answer, and that texts are asked as before."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.answers import content_key
from tagger.engines.base import Completion, Request
from tagger.engines.http import HttpEngine
from tagger.errors import SettingsError, TaskError
from tagger.example import Example
from tagger.picture import read_picture
from tagger.record import Column, Record, read_record
from tagger.run import tag_file
from tagger.server import create_app
from tagger.service import Service
from tagger.task import Task, load_task
from tests.tagger.test_picture import BLUE, COLUMNS, RED, file_of, url

TASK = """
about = "What a photo shows"
[columns.title]
required = false
[columns.photo]
kind = "image"
[fields.colour]
kind = "label"
labels = ["red", "blue"]
[fields.brand]
kind = "text"
"""


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    folder = tmp_path / "shown"
    folder.mkdir()
    (folder / "task.toml").write_text(TASK, "utf-8")
    return folder


def seeing() -> ScriptedEngine:
    """Says what colour the first pixel of the picture has."""

    def answer(prompt: Any) -> str:
        red = prompt.pictures[0].image().getpixel((0, 0))[0] > 100
        return json.dumps({"colour": "red" if red else "blue", "brand": "Acme"}) if "JSON" in prompt.head.instruction \
            else ("red" if red else "blue")  # fmt: skip

    return ScriptedEngine(answer)


def write(folder: Path, form: str, rows: Sequence[dict[str, Any]]) -> Path:
    path = folder / f"in.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif form == "csv":
        path.write_text("title,photo\n" + "".join(f"{row['title']},{row['photo']}\n" for row in rows), "utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(out.glob("tags-*.jsonl")) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_catalogue_names_its_pictures_by_paths(shown: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    (tmp_path / "blue.png").write_bytes(BLUE)
    rows = [{"title": f"pot {n}", "photo": f"{colour}.png"} for n, colour in enumerate(["red", "blue", "gone"])]

    tag_file(Tagger(shown, engine=seeing()), write(tmp_path, form, rows), tmp_path / "out")

    first, second, third = lines_of(tmp_path / "out")
    assert [line["tags"]["colour"]["value"] for line in (first, second)] == ["red", "blue"]
    assert first["tags"]["brand"] == {"value": "Acme", "probability": 1.0, "inferred": True}
    assert third["outcome"] == "rejected"
    assert "row 3, column 'photo': no picture 'gone.png' beside the file" in third["reason"]


def test_parquet_holds_pictures_themselves(shown: Path, tmp_path: Path) -> None:
    rows = [{"title": "pot", "photo": RED}, {"title": "pot", "photo": BLUE}, {"title": "pot", "photo": b"no"}]

    tag_file(Tagger(shown, engine=seeing()), write(tmp_path, "parquet", rows), tmp_path / "out")

    found = lines_of(tmp_path / "out")
    assert [line["outcome"] for line in found] == ["tagged", "tagged", "rejected"]
    assert [line["tags"]["colour"]["value"] for line in found[:2]] == ["red", "blue"]


def test_an_answer_belongs_to_what_a_picture_shows_not_to_its_name(shown: Path, tmp_path: Path) -> None:
    for name, data in (("a.png", RED), ("b.png", RED), ("c.png", BLUE)):
        (tmp_path / name).write_bytes(data)
    source = write(tmp_path, "jsonl", [{"title": "pot", "photo": f"{name}.png"} for name in "abc"])
    tagger = Tagger(shown, engine=seeing())

    first = tag_file(tagger, source, tmp_path / "out")
    (tmp_path / "a.png").write_bytes(BLUE)
    second = tag_file(tagger, source, tmp_path / "out")
    (tmp_path / "a.png").write_bytes(file_of("green"))
    third = tag_file(tagger, source, tmp_path / "out")

    assert (first.asked, second.asked, third.asked) == (2, 0, 1)
    assert [line["tags"]["colour"]["value"] for line in lines_of(tmp_path / "out")] == ["blue", "red", "blue"]


def test_texts_have_the_keys_and_versions_that_they_had() -> None:
    record = Record("1", {"title": "Acme tea", "more": ""})

    assert content_key(record).hex() == "80ee151f18786c543587b44ce41bcaf9"
    assert Column().model_dump() == {
        "about": "", "names": (), "required": True, "max_chars": 4000, "allowed": (),
    }  # fmt: skip


def test_the_prompt_names_the_picture_and_render_says_what_stands_there(shown: Path) -> None:
    tagger = Tagger(shown, engine=ScriptedEngine())
    record = read_record({"title": "pot", "photo": RED}, tagger.task.columns, "1")
    assert isinstance(record, Record)

    prompt = tagger.prompts(tagger.task.plan.ask[0], [record])[0]

    assert prompt.record == "title: pot\nphoto: (picture 1)"
    assert prompt.pictures == (record.pictures["photo"],)
    assert prompt.messages[-1]["content"] == [
        {"type": "image_url", "image_url": {"url": url(RED)}},
        {"type": "text", "text": prompt.record},
    ]
    told = prompt.conversation(str)[-1]["content"][0]["image_url"]["url"]
    assert told == f"image/png, 20 x 10, {len(RED)} bytes"
    assert "iVBOR" not in repr(prompt)


class Blind(ScriptedEngine):
    """Sees no pictures."""

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        done = super().complete(requests)
        blind = Completion("the model sees no pictures", "refused")
        return [blind if r.prompt.pictures else d for r, d in zip(requests, done, strict=True)]


def test_a_blind_model_is_refused_when_the_tagger_is_made(shown: Path) -> None:
    with pytest.raises(SettingsError, match="which 'none' does not take: the model sees no pictures") as caught:
        Tagger(shown, engine=Blind())

    assert "task 'shown' shows the picture in column 'photo'" in str(caught.value)
    assert "what to do: choose a vision-language model" in str(caught.value)
    assert Tagger("category", engine=Blind()).tag({"title": "tea"}).outcome == "tagged"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TASK.replace('kind = "image"', 'kind = "image"\nmax_chars = 9'), "max_chars is for texts"),
        (TASK.replace('kind = "image"', 'kind = "image"\nallowed = ["x"]'), "allowed is for texts"),
        (TASK.replace('kind = "image"', 'kind = "film"'), "columns.photo.kind"),
    ],
)
def test_a_column_of_pictures_has_no_settings_of_texts(shown: Path, text: str, reason: str) -> None:
    (shown / "task.toml").write_text(text, "utf-8")

    with pytest.raises(TaskError, match=reason):
        load_task(shown)


def test_a_task_of_pictures_alone_is_asked_without_texts(shown: Path) -> None:
    (shown / "task.toml").write_text(TASK.replace("[columns.title]\nrequired = false\n", ""), "utf-8")
    (shown / "red.png").write_bytes(RED)
    line = {"record": {"photo": "red.png"}, "answer": {"colour": "red"}}
    (shown / "examples.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    engine = seeing()
    task = load_task(shown)
    assert task.examples[0].record.pictures["photo"].data == RED

    tagging = Tagger(task, engine=engine).tag({"photo": BLUE})

    assert tagging.value("colour") == "blue"
    assert engine.history[-1].prompt.record == "photo: (picture 1)"
    assert not engine.history[-1].prompt.head.shots
    with pytest.raises(SettingsError, match="compared by their texts"):
        Tagger(task, engine=seeing(), shots=list(task.examples))
    (shown / "plan.toml").write_text('[[ask]]\nform = "label"\nfields = ["colour"]\nshortlist = 2\n[[ask]]\n'
                                     'form = "json"\n', "utf-8")  # fmt: skip
    with pytest.raises(TaskError, match="shortlist is drawn up by a record's text"):
        load_task(shown)


def test_examples_with_pictures_teach_and_are_not_shown(shown: Path) -> None:
    task, engine = load_task(shown), seeing()
    red = read_picture(RED, None)
    pool = [
        *(Example(Record(f"p{n}", {"title": f"pot {n}"}, {"photo": red}), {"colour": "red"}) for n in range(4)),
        *(Example(Record(f"t{n}", {"title": f"cup {n}"}), {"colour": "blue"}) for n in range(2)),
    ]

    Tagger(task, engine=engine, shots=pool).tag({"title": "pot 9", "photo": RED})

    asks = [turn[0] for request in engine.history for turn in (*request.prompt.head.shots, *request.prompt.shots)]
    assert asks
    assert all("cup" in ask for ask in asks)


def test_the_service_takes_pictures_and_never_paths(shown: Path) -> None:
    from starlette.testclient import TestClient

    tagger = Tagger(shown, engine=seeing())
    (shown / "red.png").write_bytes(RED)
    with TestClient(create_app(Service({"shown": tagger}))) as client:

        def tag(photo: str) -> dict[str, Any]:
            answer = client.post("/v1/tag", json={"task": "shown", "record": {"title": "pot", "photo": photo}})
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        assert tag(url(BLUE))["tags"]["colour"]["value"] == "blue"
        assert tag(base64.b64encode(RED).decode())["tags"]["colour"]["value"] == "red"
        for path in (str(shown / "red.png"), "red.png", f"file://{shown}/red.png"):
            assert "paths are read in files alone" in tag(path)["reason"]
        rendered = client.post("/v1/tasks/shown/render", json={"title": "pot", "photo": url(RED)}).json()
        assert rendered[0]["messages"][-1]["content"][0]["image_url"]["url"].startswith("image/png, 20 x 10")
        columns = client.get("/v1/tasks/shown").json()["columns"]
        assert (columns["photo"]["kind"], "kind" in columns["title"]) == ("image", False)


def test_a_file_that_is_handed_in_cannot_name_files_of_the_service(shown: Path, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    source = write(tmp_path, "jsonl", [{"title": "a", "photo": "red.png"}, {"title": "b", "photo": url(RED)}])

    tag_file(Tagger(shown, engine=seeing()), source, tmp_path / "out", paths=False)

    refused, tagged = lines_of(tmp_path / "out")
    assert "paths are read in files alone" in refused["reason"]
    assert tagged["outcome"] == "tagged"


def test_the_client_sends_bytes_as_base64(shown: Path) -> None:
    from tagger import Client

    app = create_app(Service({"shown": Tagger(shown, engine=seeing())}))

    async def ask() -> Any:
        client = Client("http://service", "shown")
        client._options["transport"] = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app):
            return await client.atag({"title": "pot", "photo": BLUE})

    assert asyncio.run(ask()).value("colour") == "blue"


def test_a_server_is_sent_the_picture_as_a_data_url(shown: Path) -> None:
    import openai

    sent: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        sent.append(body["messages"][-1]["content"])
        if body["model"] == "blind":
            return httpx.Response(400, json={"error": {"message": "blind is not a multimodal model"}})
        text = body["grammar"].split('"')[1] if "quartz" in body["grammar"] else "{}"
        one = {"token": text, "bytes": list(text.encode()), "logprob": -0.1}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text},
                  "logprobs": {"content": [{**one, "top_logprobs": [one]}]}}  # fmt: skip
        told = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        return httpx.Response(200, json=told)

    def engine(model: str) -> HttpEngine:
        http = httpx.Client(transport=httpx.MockTransport(answer))
        client = openai.OpenAI(base_url="http://server/v1", api_key="none", http_client=http, max_retries=0)
        return HttpEngine(client, model, "http://server/v1")

    task = load_task(shown)
    record = read_record({"title": "pot", "photo": RED}, task.columns, "1")
    Tagger(task, engine=engine("sees")).tag_records([record])
    assert sent[-1] == [
        {"type": "image_url", "image_url": {"url": url(RED)}},
        {"type": "text", "text": "title: pot\nphoto: (picture 1)"},
    ]
    with pytest.raises(SettingsError, match="not a multimodal model"):
        Tagger(task, engine=engine("blind"))


def test_pictures_travel_to_a_cluster_and_back() -> None:
    from tagger.cluster import _STAGED, _line, _record

    record = Record("1", {"title": "pot"}, {"photo": read_picture(RED, None), "back": read_picture(BLUE, None)})
    text = Record("2", {"title": "cup"})

    table = pa.Table.from_pylist([_line(record), _line(text)], _STAGED)

    assert [_record(line) for line in table.to_pylist()] == [record, text]


def test_near_texts_with_other_pictures_are_not_the_same() -> None:
    pytest.importorskip("datasketch", reason="the extra [near] is not installed")
    from tagger.near import Near

    near, red, blue = Near(0.9), read_picture(RED, None), read_picture(BLUE, None)
    texts = {"title": "a green tea pot of iron"}
    records = [Record("1", texts, {"photo": red}), Record("2", texts, {"photo": blue}), Record("3", texts)]

    assert [near.like(content_key(record), record, "") for record in records] == [None, None, None]


def test_masking_keeps_the_pictures() -> None:
    from tagger.masking import masked

    record = Record("1", {"title": "write to a@b.example"}, {"photo": read_picture(RED, None)})

    found = masked(record, COLUMNS).record

    assert (found.values["title"], found.pictures) == ("write to [EMAIL_1]", record.pictures)


def test_adapters_are_not_trained_on_pictures(shown: Path) -> None:
    from finetune.rows import training_rows

    task: Task = load_task(shown)
    with pytest.raises(SettingsError, match="adapters are trained on texts"):
        list(training_rows(task, []))
