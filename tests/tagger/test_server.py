"""The service: many callers at once, each with its own answer; strangers, floods and accidents are answered plainly."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.batching import Batcher, BusyError, LateError
from tagger.engines.base import Completion, Request
from tagger.errors import EngineError, SettingsError
from tagger.keys import Key, Keys, digest, entry, new_key, read_keys
from tagger.record import Record
from tagger.server import create_app
from tagger.service import Service

LABELS = ("Tea", "Coffee")


class Slow(ScriptedEngine):
    """Says what the title says, after a while; remembers the sizes of its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(lambda prompt: next((label for label in LABELS if label in prompt.record), "Shoes"))
        self.seconds, self.sizes = seconds, list[int]()

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        self.sizes.append(len(requests))
        time.sleep(self.seconds)
        return super().complete(requests)


def service(engine: ScriptedEngine | None = None, **options: Any) -> Service:
    return Service({"category": Tagger("category", engine=engine or Slow())}, **options)


@contextmanager
def asked(found: Service) -> Iterator[Any]:
    """What a request to the service gives."""
    from starlette.testclient import TestClient

    with TestClient(create_app(found)) as client:
        yield client


def test_a_record_is_tagged(category: Any) -> None:
    with asked(service()) as client:
        answer = client.post("/v1/tag", json={"task": "category", "record": {"id": "7", "title": "Tea bags"}})

    assert answer.status_code == 200
    line = answer.json()
    assert (line["id"], line["outcome"], line["tags"]["category"]["value"]) == ("7", "tagged", "Tea")
    assert line["task_version"] == category.version


def test_a_batch_comes_as_lines_in_order() -> None:
    records = [{"id": str(i), "title": LABELS[i % 2]} for i in range(700)] + [{"title": ""}]

    with asked(service()) as client:
        answer = client.post("/v1/tag:batch", json={"task": "category", "records": records})

    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["id"] for line in lines] == [*map(str, range(700)), "701"]
    assert [line["tags"]["category"]["value"] for line in lines[:-1]] == [LABELS[i % 2] for i in range(700)]
    assert lines[-1]["outcome"] == "rejected"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/tag", {"task": "nothing", "record": {"title": "x"}}, 404, "no task 'nothing'"),
        ("/v1/tag", {"task": "category"}, 422, "body.record: Field required"),
        ("/v1/tag", {"task": "category", "record": {}, "model": "x"}, 422, "body.model: Extra inputs"),
        ("/v1/tag", {"task": "category", "record": {"title": "x"}, "seconds": -1}, 422, "greater than 0"),
        ("/v1/tag:batch", {"task": "category", "records": []}, 422, "at least 1 item"),
        ("/v1/tag:batch", {"task": "category", "records": [{"title": "x" * 9_000_000}]}, 413, "larger than 8 MiB"),
        ("/v1/tasks/category/render", {"what": "x"}, 422, "no column 'title'"),
    ],
)
def test_what_cannot_be_answered_is_said(path: str, body: Mapping[str, Any], status: int, message: str) -> None:
    with asked(service()) as client:
        answer = client.post(path, json=body)

    assert answer.status_code == status, answer.text
    assert message in answer.json()["message"]


def test_malformed_json_is_said() -> None:
    with asked(service()) as client:
        answer = client.post("/v1/tag", content=b'{"task": ', headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert "JSON" in answer.json()["message"]


def test_tasks_and_prompts_are_shown() -> None:
    with asked(service()) as client:
        tasks, one = client.get("/v1/tasks").json(), client.get("/v1/tasks/category").json()
        (shown,) = client.post("/v1/tasks/category/render", json={"title": "Tea bags"}).json()

    assert tasks == [one]
    assert "Tea" in one["fields"]["category"]["labels"]
    assert shown["messages"][-1] == {"role": "user", "content": "Tea bags"}


def test_keys_open_their_tasks_alone_and_are_counted() -> None:
    known, other = new_key(), new_key()
    keys = Keys({
        digest(known): Key(name="shop", hash=digest(known), tasks=("category",), per_minute=3),
        digest(other): Key(name="desk", hash=digest(other), tasks=("zh_category",)),
    })  # fmt: skip
    body = {"task": "category", "record": {"title": "Tea"}}

    with asked(service(keys=keys)) as client:
        status = {
            name: client.post("/v1/tag", json=body, headers={"Authorization": f"Bearer {text}"}).status_code
            for name, text in (("shop", known), ("desk", other), ("stranger", "tg_guess"))
        }
        flood = client.post(
            "/v1/tag:batch", json={"task": "category", "records": [{"title": "Tea"}] * 3},
            headers={"Authorization": f"Bearer {known}"},
        )  # fmt: skip
        open_to_all = client.get("/healthz").status_code, client.get("/metrics").status_code

    assert status == {"shop": 200, "desk": 403, "stranger": 401}
    assert (flood.status_code, flood.headers["Retry-After"]) == (429, "60")
    assert open_to_all == (200, 401)


def test_a_file_of_keys_holds_no_key(tmp_path: Path) -> None:
    text = new_key()
    (tmp_path / "keys.toml").write_text(entry(Key(name="shop", hash=digest(text), tasks=("category",))), "utf-8")

    found = read_keys(tmp_path / "keys.toml")

    assert found.of(text) == Key(name="shop", hash=digest(text), tasks=("category",))
    assert found.of(text + "x") is None
    assert text not in (tmp_path / "keys.toml").read_text("utf-8")
    for content in ("", "[[key]]\nname = 'x'\nhash = 'short'\n", "not TOML ["):
        (tmp_path / "keys.toml").write_text(content, "utf-8")
        with pytest.raises(SettingsError):
            read_keys(tmp_path / "keys.toml")


def test_metrics_count_what_was_done_without_product_text() -> None:
    with asked(service()) as client:
        client.post("/v1/tag", json={"task": "category", "record": {"title": "Secret Tea"}})
        client.post("/v1/tag", json={"task": "category", "record": {"title": ""}})
        text = client.get("/metrics").text

    assert 'tagger_records_total{outcome="tagged",task="category"} 1.0' in text
    assert 'tagger_records_total{outcome="rejected",task="category"} 1.0' in text
    assert 'tagger_requests_total{route="/v1/tag",status="200"} 2.0' in text
    assert "Secret" not in text


def titled(title: str) -> Record:
    return Record(title, {"title": title})


def test_callers_share_batches_and_take_turns() -> None:
    async def go() -> tuple[list[str], list[int]]:
        engine, order = Slow(0.02), list[str]()
        batcher, tagger = Batcher(), Tagger("category", engine=engine)
        asks = [("big", f"Tea {i}") for i in range(40)] + [("small", "Coffee")]

        async def one(caller: str, title: str) -> None:
            found = await batcher.tag(tagger, titled(title), caller, 30)
            assert found.id == title
            assert found.value("category") == title.split()[0]
            order.append(caller)

        waiting = [asyncio.create_task(one(*ask)) for ask in asks]
        await asyncio.sleep(0)
        await batcher.start()
        await asyncio.gather(*waiting)
        await batcher.drain()
        return order, engine.sizes

    order, sizes = asyncio.run(go())
    assert order.index("small") < 2 * 8  # in the first of two batches that are under way at once, not behind the forty
    assert max(sizes) > 8


def test_a_full_queue_and_a_deadline_are_said_and_a_vanished_caller_costs_nothing() -> None:
    async def go() -> None:
        engine = Slow()
        batcher, tagger = Batcher(most=2), Tagger("category", engine=engine)
        gone, late = (
            asyncio.create_task(batcher.tag(tagger, titled(title), caller, seconds))
            for title, caller, seconds in (("gone", "a", 30), ("late", "b", 0.05))
        )
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await batcher.tag(tagger, titled("full"), "c", 30)
        gone.cancel()
        with pytest.raises(LateError):
            await late
        await batcher.start()
        await batcher.drain()
        assert engine.sizes == []

    asyncio.run(go())


def test_a_dead_engine_is_told_to_all_who_wait() -> None:
    class Dead(ScriptedEngine):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            raise EngineError("out of memory")

    with asked(service(Dead())) as client:
        answer = client.post("/v1/tag", json={"task": "category", "record": {"title": "Tea"}})

    assert answer.status_code == 503
    assert "out of memory" in answer.json()["message"]


@contextmanager
def running(tmp_path: Path, *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A service in a process of its own, and where it is."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tagger",
        "serve",
        "--task",
        "category",
        "--engine",
        "scripted",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    at = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{at}/readyz")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield at, process
    finally:
        process.kill()
        process.communicate()


def test_a_service_is_started_asked_and_stopped(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "tagger", "key", "shop"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    known = {"Authorization": f"Bearer {made.stdout.strip()}"}
    with running(tmp_path, "--keys", "keys.toml") as (at, process):
        body = {"task": "category", "record": {"title": "Tea"}}
        stranger, friend = httpx.post(f"{at}/v1/tag", json=body), httpx.post(f"{at}/v1/tag", json=body, headers=known)
        process.send_signal(signal.SIGTERM)
        process.wait(20)

    assert (stranger.status_code, friend.status_code) == (401, 200)
    assert process.returncode == -signal.SIGTERM  # uvicorn hands the signal on once all is answered


def made(tmp_path: Path, *arguments: str) -> Any:
    """What `tagger key` has said, and the file of keys after it."""
    from typer.testing import CliRunner

    from tagger.cli import app

    said = CliRunner().invoke(app, ["key", *arguments, "--keys", str(tmp_path / "keys.toml")])
    return said, read_keys(tmp_path / "keys.toml") if (tmp_path / "keys.toml").exists() else None


def test_a_key_may_be_one_for_no_task_or_for_so_many_records_a_minute(tmp_path: Path) -> None:
    said, _ = made(tmp_path, "prometheus", "--no-task")
    other, found = made(tmp_path, "shop", "--per-minute", "600", "--task", "category")
    both, _ = made(tmp_path, "both", "--no-task", "--task", "category")

    assert found.of(said.stdout.strip()) == Key(name="prometheus", hash=digest(said.stdout.strip()), tasks=())
    assert found.of(other.stdout.strip()).per_minute == 600
    assert said.stderr == other.stderr == ""
    assert isinstance(both.exception, SettingsError)


def test_a_key_for_a_task_that_there_is_not_is_made_with_a_warning(tmp_path: Path, shop: Path) -> None:
    said, found = made(tmp_path, "desk", "--task", "catgory", "--task", str(shop))

    assert "no task is called 'catgory'" in said.stderr
    assert "shop" not in said.stderr
    assert found.of(said.stdout.strip()).tasks == ("catgory", "shop")


def test_a_body_that_is_not_said_to_be_json_is_told_how_to_say_so() -> None:
    body = json.dumps({"task": "category", "record": {"title": "Tea"}})
    with asked(service()) as client:
        kinds = [
            {"Content-Type": kind} for kind in ("application/x-www-form-urlencoded", "application/JSON; charset=x")
        ]
        answers = [client.post("/v1/tag", content=body, headers=headers).json() for headers in ({}, *kinds)]

    assert [answer.get("hint") for answer in answers] == ["send Content-Type: application/json"] * 2 + [None]


def test_labelled_rows_and_a_promise_are_for_the_service_too(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tagger.cli import app

    (tmp_path / "rows.jsonl").write_text('{"title": "Sencha", "labels": {"category": "Tea"}}\n', "utf-8")
    serve = ["serve", "--engine", "scripted", "--port", "18999", "--task", "category"]
    two = CliRunner().invoke(app, [*serve, "--task", "zh_category", "--shots", str(tmp_path / "rows.jsonl")])
    promised = CliRunner().invoke(app, [*serve, "--promise", "0.95"])
    with running(tmp_path, "--shots", "rows.jsonl") as (at, _):
        plan = httpx.get(f"{at}/v1/tasks/category").json()["plan"]

    assert "labelled rows are those of one task" in str(two.exception)
    assert "without a calibration nothing can be promised" in str(promised.exception)
    assert "+" in plan


def test_a_blocklist_is_for_the_service_too_and_a_missing_one_is_said_before_a_model_loads(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tagger import Client, load_task
    from tagger.cli import app

    serve = ["serve", "--engine", "warp", "--port", "18997", "--task", "category"]
    none = CliRunner().invoke(app, [*serve, "--blocklist", str(tmp_path / "none.txt")])
    (tmp_path / "list.txt").write_text("\n".join(load_task("category").fields["category"].closed or {}), "utf-8")
    with running(tmp_path, "--blocklist", "list.txt") as (at, _):
        found = Client(at, "category").tag({"title": "Tea"})

    assert "no such blocklist" in str(none.exception)
    assert (found.outcome, found.value("category")) == ("abstained", None)
    assert "on the blocklist (list.txt" in (found.tags["category"].withheld or "")


def test_a_service_whose_jobs_folder_is_taken_says_so_before_it_loads_a_model(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tagger.cli import app

    with running(tmp_path, "--jobs", "jobs"):
        second = CliRunner().invoke(
            app,
            ["serve", "--task", "category", "--engine", "warp", "--port", "18998", "--jobs", str(tmp_path / "jobs")],
        )

    assert "another service keeps its jobs there" in str(second.exception)


def test_without_keys_no_other_machine_is_let_in() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tagger", "serve", "--task", "category", "--engine", "scripted", "--host", "0.0.0.0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "without keys whoever reaches 0.0.0.0 could ask" in done.stderr
