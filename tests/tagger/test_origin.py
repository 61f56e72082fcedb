"""What a service was started with, read and opened again: tasks, keys, blocklist and engine."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tagger import ScriptedEngine, Tagger
from tagger.baseline import Baseline, Window, baseline_file, save_baseline
from tagger.calibration import calibration_file
from tagger.engines.base import Completion, Request
from tagger.errors import EngineError, SettingsError
from tagger.keys import Key, digest, entry, new_key, read_keys
from tagger.origin import Origin
from tagger.record import Record
from tagger.service import Service
from tests.tagger.test_server import Slow, asked

TEA = {"task": "category", "record": {"title": "Tea bags"}}


class Dying(ScriptedEngine):
    """Dies of its first question, and is another's from then on."""

    def __init__(self, then: ScriptedEngine) -> None:
        super().__init__()
        self.then, self.dead = then, False

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        if not self.dead:
            self.dead = True
            raise EngineError("out of memory")
        return self.then.complete(requests)


def test_an_engine_that_dies_under_load_is_opened_again_and_everyone_answered() -> None:
    opened: list[ScriptedEngine] = []

    def open_again() -> ScriptedEngine:
        opened.append(Slow())
        return opened[-1]

    dying = Dying(Slow())
    origin = Origin((), open_again)
    found = Service({"category": Tagger("category", engine=dying)}, origin=origin)
    records = [{"title": f"Tea {n}"} for n in range(300)]
    with asked(found) as client:
        answer = client.post("/v1/tag:batch", json={"task": "category", "records": records})

    assert [json.loads(line)["outcome"] for line in answer.text.splitlines()] == ["tagged"] * 300
    assert len(opened) == 1


def test_an_engine_that_cannot_be_opened_at_once_is_opened_when_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagger.service.PAUSE", 0.0)
    tries: list[int] = []

    def open_again() -> ScriptedEngine:
        tries.append(len(tries))
        if len(tries) < 3:
            raise SettingsError("the server lists another model")
        return Slow()

    found = Service({"category": Tagger("category", engine=Dying(Slow()))}, origin=Origin((), open_again))
    with asked(found) as client:
        statuses = [(client.post("/v1/tag", json=TEA).status_code, client.get("/readyz").status_code) for _ in range(4)]

    assert statuses == [(503, 503), (503, 503), (200, 200), (200, 200)]


def test_an_engine_that_cannot_be_opened_for_any_reason_is_not_tried_for_every_request() -> None:
    tries: list[int] = []

    def open_again() -> ScriptedEngine:
        tries.append(len(tries))
        raise RuntimeError("CUDA out of memory")

    found = Service({"category": Tagger("category", engine=Dying(Slow()))}, origin=Origin((), open_again))
    with asked(found) as client:
        statuses = [client.post("/v1/tag", json=TEA).status_code for _ in range(4)]

    assert statuses == [503] * 4
    assert len(tries) == 1


def changed(folder: Path, engine: ScriptedEngine) -> Service:
    return Service({folder.name: Tagger(folder, engine=engine)}, origin=Origin((str(folder),), lambda: engine))


def test_tasks_are_read_again_and_a_broken_one_stays_as_it_was(shop: Path) -> None:
    found = changed(shop, ScriptedEngine())
    with asked(found) as client:
        versions = [client.get("/v1/tasks/shop").json()["version"]]
        prompt = shop / "prompt.jinja"
        good = prompt.read_text("utf-8")
        for text in (good.replace("Describe it", "Describe this product"), "{% block"):
            prompt.write_text(text, "utf-8")
            found.reload()
            versions.append(client.get("/v1/tasks/shop").json()["version"])
        metrics = client.get("/metrics").text

    assert versions[0] != versions[1] == versions[2]
    assert 'tagger_reloads_total{outcome="done"} 1.0' in metrics
    assert 'tagger_reloads_total{outcome="refused"} 1.0' in metrics


def test_keys_are_read_again_and_a_broken_file_keeps_those_there_are(shop: Path, tmp_path: Path) -> None:
    file, texts = tmp_path / "keys.toml", [new_key(), new_key()]
    lines = [entry(Key(name=name, hash=digest(text))) for name, text in zip(("a", "b"), texts, strict=True)]
    file.write_text(lines[0], "utf-8")
    origin = Origin((str(shop),), ScriptedEngine, lambda: read_keys(file))
    found = Service({"shop": Tagger(shop, engine=ScriptedEngine())}, read_keys(file), origin)
    seen = []
    with asked(found) as client:
        for content in (lines[0], lines[1], "[[key"):
            file.write_text(content, "utf-8")
            troubles = found.reload()
            shown = [{"Authorization": f"Bearer {text}"} for text in texts]
            seen.append([client.get("/v1/tasks", headers=headers).status_code for headers in shown])

    assert seen == [[200, 401], [401, 200], [401, 200]]
    assert [trouble.startswith("the keys stay as they were") for trouble in troubles] == [True]


def test_tasks_that_are_read_again_keep_their_labelled_rows(shop: Path, tmp_path: Path) -> None:
    example = json.loads((shop / "examples.jsonl").read_text("utf-8"))
    (tmp_path / "rows.jsonl").write_text(json.dumps({**example["record"], "answer": example["answer"]}), "utf-8")
    origin = Origin((str(shop),), ScriptedEngine, shots=tmp_path / "rows.jsonl")
    found = Service({"shop": origin.tagger(str(shop), ScriptedEngine(), None)}, origin=origin)
    before = found.taggers["shop"]

    assert found.reload() == []
    assert found.taggers["shop"] is not before
    assert found.taggers["shop"].provenance == before.provenance
    assert "+" in before.provenance.plan


def test_of_several_tasks_the_sound_ones_are_read_again(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(shop, other)
    engine = ScriptedEngine()
    taggers = {folder.name: Tagger(folder, engine=engine) for folder in (shop, other)}
    found = Service(taggers, origin=Origin((str(shop), str(other)), lambda: engine))
    before = {name: tagger.task.version for name, tagger in taggers.items()}
    (shop / "prompt.jinja").write_text("{% block", "utf-8")
    prompt = other / "prompt.jinja"
    prompt.write_text(prompt.read_text("utf-8").replace("Describe it", "Describe this"), "utf-8")

    troubles = found.reload()

    assert len(troubles) == 1
    assert "shop" in troubles[0]
    assert found.taggers["shop"].task.version == before["shop"]
    assert found.taggers["other"].task.version != before["other"]


def test_bytes_that_are_no_text_refuse_one_task_and_not_the_others(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(shop, other)
    engine = ScriptedEngine()
    taggers = {folder.name: Tagger(folder, engine=engine) for folder in (shop, other)}
    found, before = Service(taggers, origin=Origin((str(shop), str(other)), lambda: engine)), taggers["other"]
    file = calibration_file(shop, engine.info.model)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\xff\xfe{}")

    (trouble,) = found.reload()

    assert "shop stays as it was" in trouble
    assert found.taggers["other"] is not before


def test_what_was_begun_before_a_reload_is_answered_by_the_task_of_then(shop: Path) -> None:
    engine = ScriptedEngine()
    found = changed(shop, engine)
    before = found.taggers["shop"]
    for file, old, new in (("task.toml", "[fields.kind]", "[fields.sort]"), ("examples.jsonl", '"kind"', '"sort"')):
        (shop / file).write_text((shop / file).read_text("utf-8").replace(old, new), "utf-8")
    now = Tagger(shop, engine=engine)
    window, made = Window(now.task.fields), now.provenance
    facts = {name: getattr(made, name) for name in ("task", "task_version", "plan", "model", "adapter")}
    baseline = Baseline(**facts, rows_id="x", outcomes=window.outcomes, fields=window.counts())
    save_baseline(baseline_file(shop, made.model, made.adapter), baseline)

    async def asked_before() -> list[str]:
        await found.start()
        assert found.reload() == []
        record = Record("1", {"title": "Tea"})
        told = [(await found._tag("a", tagger, record, 10)).outcome for tagger in (before, found.taggers["shop"])]
        await found.stop()
        return told

    assert asyncio.run(asked_before()) == ["tagged", "tagged"]


def screening(folder: Path, entry: str, engine: ScriptedEngine) -> Service:
    """A service that keeps back what is in the file list.txt, now an `entry`."""
    (folder / "list.txt").write_text(entry, "utf-8")
    origin = Origin(("category",), lambda: engine, blocklist=folder / "list.txt")
    return Service({"category": origin.tagger("category", engine, origin.listed())}, origin=origin)


def test_values_on_the_blocklist_go_out_by_no_route_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    records = [{"id": str(n), "title": title} for n, title in enumerate(["Tea bags", "Coffee beans"])]
    with asked(screening(tmp_path, "# mine\ncoffee", Slow())) as client:
        answer = client.post("/v1/tag:batch", json={"task": "category", "records": records})
        single = client.post("/v1/tag", json={"task": "category", "record": records[1]})
        metrics = client.get("/metrics").text
        schema = client.get("/openapi.json").json()

    tea, coffee = [json.loads(line) for line in answer.text.splitlines()]
    assert (tea["outcome"], tea["tags"]["category"]["value"]) == ("tagged", "Tea")
    assert {name: coffee[name] for name in ("outcome", "reason")} == {
        "outcome": "abstained", "reason": "category: withheld, on the blocklist (list.txt, line 2)"
    }  # fmt: skip
    told = coffee["tags"]["category"]
    assert (told["value"], told["abstained"]) == (None, True)
    assert told["withheld"] == "withheld, on the blocklist (list.txt, line 2)"
    assert (single.json()["tags"], single.json()["reason"]) == (coffee["tags"], coffee["reason"])
    assert "coffee" not in single.text.casefold() + caplog.text.casefold()
    assert [line.outcome for line in caplog.records if getattr(line, "route", "") == "/v1/tag"] == ["abstained"]  # type: ignore[attr-defined]
    assert 'tagger_withheld_total{field="category",task="category"} 2.0' in metrics
    assert "200" in schema["paths"]["/v1/tag"]["post"]["responses"]


def test_another_blocklist_is_for_old_answers_too_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    engine, seen, troubles = Slow(), [], []
    found = screening(tmp_path, "coffee", engine)
    with asked(found) as client:
        for entry in (b"coffee", b"tea", b"# nothing", b"\xff"):
            (tmp_path / "list.txt").write_bytes(entry)
            troubles.append(found.reload())
            answer = client.post("/v1/tag", json=TEA, headers={"Idempotency-Key": "order 7"})
            seen.append(answer.json()["tags"]["category"]["value"])

    assert seen == ["Tea", None, None, None]
    assert engine.sizes == [1]  # what was answered is kept whole
    assert [len(each) for each in troubles] == [0, 0, 1, 1]
    assert troubles[2][0].startswith("the blocklist stays as it was: ")
    assert "the blocklist holds no entry" in troubles[2][0]


def test_a_task_that_cannot_be_read_again_heeds_the_new_blocklist(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("nothing", "utf-8")
    origin = Origin((str(shop),), ScriptedEngine, blocklist=tmp_path / "list.txt")
    found = Service({"shop": origin.tagger(str(shop), ScriptedEngine(), origin.listed())}, origin=origin)
    (shop / "prompt.jinja").write_text("{% block", "utf-8")
    (tmp_path / "list.txt").write_text("gift", "utf-8")

    before = found.taggers["shop"]

    (trouble,) = found.reload()

    assert "task" in trouble
    lists = [tagger.blocklist for tagger in (before, found.taggers["shop"])]
    assert [listed and listed.line("a gift") for listed in lists] == [
        None,
        1,
    ]  # a job goes on with what it has begun with
