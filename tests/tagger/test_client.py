"""The client gives what a Tagger in this process gives, through a service that is late, busy or gone."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

import tagger
from tagger import Client, ScriptedEngine, Tagger, load_task
from tagger.errors import EngineError, SettingsError, SourceError
from tagger.result import tagging_of
from tagger.server import create_app
from tagger.service import Service
from tests.tagger.test_server import Slow, running


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a service runs that says the first label of `category`."""
    with running(tmp_path_factory.mktemp("service")) as (url, _):
        yield url


def test_a_tagging_reads_back_as_it_was(shop: Path) -> None:
    answers = {"kind": "tea", "traits": ["new", "gift"], "leaf": "Food > Tea", "brand": "Acme", "volume": "250 ml"}
    engine = ScriptedEngine(lambda _: json.dumps(answers, ensure_ascii=False))
    taggings = Tagger(load_task(str(shop)), engine=engine).tag([{"title": "Acme 红茶 250 ml"}, {"title": ""}])

    again = [tagging_of(json.loads(json.dumps(tagging.to_dict()))) for tagging in taggings]

    assert [tagging.to_dict() for tagging in again] == [tagging.to_dict() for tagging in taggings]
    assert again[0].value("traits") == taggings[0].value("traits")
    assert again[0].tags["brand"].evidence == taggings[0].tags["brand"].evidence
    assert {tagging.outcome for tagging in again} == {"tagged", "rejected"}


def test_what_a_newer_service_tells_beside_is_left(shop: Path) -> None:
    engine = ScriptedEngine(lambda _: {"tea": 0.6, "coffee": 0.4})
    line = Tagger(load_task(str(shop)), engine=engine).tag({"title": "Acme 红茶"}).to_dict()
    newer = json.loads(json.dumps(line))
    newer["tokens"]["paid"] = 3
    for tag in newer["tags"].values():
        for part in (tag.get("evidence"), *tag.get("alternatives", ())):
            if isinstance(part, dict):
                part["page"] = 1

    assert newer != line
    assert tagging_of(newer) == tagging_of(line)


def test_one_many_and_a_frame_come_back_as_from_a_tagger(at: str) -> None:
    here, records = Tagger("category", engine="scripted"), [{"title": "Tea"}, {"title": ""}]
    frame = pd.DataFrame({"title": ["Tea", None]})

    with Client(at, "category") as client:
        assert client.tag(records[0]) == here.tag(records[0])
        assert client.tag(records) == here.tag(records)
        pd.testing.assert_frame_equal(client.tag(frame), here.tag(frame))
        assert asyncio.run(client.atag(records)) == here.tag(records)
        assert len(client.tag([{"title": f"Tea {i}"} for i in range(2500)])) == 2500


def test_a_field_that_the_task_does_not_have_is_an_error_here_as_there(at: str) -> None:
    with Client(at, "category") as client:
        taggings = [*client.tag([{"title": "Tea"}, {"title": ""}]), asyncio.run(client.atag({"title": "Tea"}))]

    assert taggings[1].value("category") is None
    for tagging in taggings:
        with pytest.raises(tagger.FieldError, match="task 'category' has no field 'categry'"):
            tagging.value("categry")


def test_conflicts_stand_in_a_frame_from_a_service_too(shop: Path, tmp_path: Path) -> None:
    (shop / "rules.toml").write_text('[synonyms.kind]\ncoffee = "tea"\n', "utf-8")
    frame = pd.DataFrame({"title": ["Acme 红茶 250 ml"]})
    here = Tagger(shop, engine="scripted").tag(frame)

    with running(tmp_path, "--task", str(shop)) as (at, _), Client(at, "shop") as client:
        there = client.tag(frame)
        with pytest.raises(SourceError, match="'conflicts' would be overwritten"):
            client.tag(frame.assign(conflicts=""))

    assert "conflicts" in there
    assert list(there) == list(here)


def test_what_a_service_refuses_is_said(at: str) -> None:
    with pytest.raises(SettingsError, match=r"no task 'nothing'(.|\n)*served are: category"):
        Client(at, "nothing").tag({"title": "Tea"})


def test_what_a_service_refuses_names_the_request_as_its_log_does(at: str) -> None:
    with pytest.raises(tagger.SettingsError) as raised, Client(at, "nothing") as client:
        client.tag({"title": "Tea"})

    assert re.search("request [0-9a-f]{32}$", raised.value.where or "")


def test_tries_that_do_not_get_through_are_no_lines_of_their_own() -> None:
    script = "import tagger.client as c; c.TRIES = 2; c.Client('http://127.0.0.1:9', 'category').tag({'title': 'Tea'})"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert "tagger.errors.EngineError: " in done.stderr
    assert "retry" not in done.stderr.splitlines()[0]


def test_no_service_is_said_after_some_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagger.client.TRIES", 2)

    with pytest.raises(EngineError, match="no service answers"):
        Client("http://127.0.0.1:9", "category").tag({"title": "Tea"})


def test_a_busy_service_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[httpx.Request] = []
    line = Tagger("category", engine="scripted").tag({"title": "Tea"}).to_dict()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            told = {"version": line["task_version"], "fields": {"category": {"kind": "label"}}}
            return httpx.Response(200, json=told)
        asked.append(request)
        busy = httpx.Response(429, headers={"Retry-After": "0"}, json={"message": "busy"})
        return busy if len(asked) < 3 else httpx.Response(200, text=json.dumps(line) + "\n")

    client = Client("http://service", "category", key="tg_x")
    monkeypatch.setattr(client, "_http", httpx.Client(base_url="http://service", transport=httpx.MockTransport(answer)))

    assert client.tag({"title": "Tea"}).value("category") == line["tags"]["category"]["value"]
    assert len(asked) == 3


def test_a_record_that_is_late_comes_back_failed(tmp_path: Path) -> None:
    found = Service({"category": Tagger("category", engine=Slow(0.3))})

    async def go() -> list[Any]:
        transport = httpx.ASGITransport(create_app(found))
        await found.batcher.start()
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
            records = [{"id": str(i), "title": "Tea"} for i in range(60)]
            body = {"task": "category", "records": records, "seconds": 0.5}
            answer = await http.post("/v1/tag:batch", json=body)
        await found.batcher.drain()
        return [tagging_of(json.loads(line)) for line in answer.text.splitlines()]

    taggings = asyncio.run(go())

    assert [tagging.id for tagging in taggings] == [str(i) for i in range(60)]
    assert {tagging.outcome for tagging in taggings} == {"tagged", "failed"}
    assert "no answer within" in (taggings[-1].reason or "")
