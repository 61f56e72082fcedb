"""Several servers as one engine: real HTTP on this machine, with a model that says what the grammar names first."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tagger import Tagger
from tagger.engines import open_engine
from tagger.engines.base import Constraint, Engine, Request
from tagger.errors import EngineError, TaggerError
from tagger.grammar import choice_grammar
from tagger.prompt import Head, Prompt
from tagger.run import tag_file

CANARY_RECORD = "banana"


class Server:
    """A stand-in for vLLM that can be told to die, to hang, to fail and to come back."""

    def __init__(self) -> None:
        self.model, self.obeys, self.healthy = "m", True, True
        self.fails: Callable[[str], bool] = lambda record: "poison" in record
        self.seconds, self.lives, self.hangs = 0.0, 10**9, False
        self.answered: list[str] = []
        self.looks = 0
        self._lock, self._free = threading.Lock(), threading.Event()
        self._http: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def die(self) -> None:
        with self._lock:
            http, self._http = self._http, None
        if http:
            http.shutdown()
            http.server_close()

    def stop(self) -> None:
        self._free.set()
        self.die()

    def respond(self, path: str, body: dict[str, Any]) -> tuple[int, Any] | None:
        """Status and body; None for a connection that breaks."""
        if self.hangs:
            self._free.wait(60)
        if path == "/health":
            return (200, "") if self.healthy else (404, {"error": {"message": "no such page"}})
        if path == "/v1/models":
            self.looks += 1
            model = {"id": self.model, "object": "model", "created": 0, "owned_by": ""}
            return 200, {"object": "list", "data": [model]}
        record = body["messages"][-1]["content"]
        time.sleep(self.seconds)
        if self.fails(record):
            return 500, {"error": {"message": "it went wrong"}}
        with self._lock:
            gone = self._http is None or len(self.answered) >= self.lives
            if not gone and record != CANARY_RECORD:
                self.answered.append(record)
        if gone:
            self.die()
            return None
        said = json.loads('"' + re.findall(r'"((?:[^"\\]|\\.)*)"', body["grammar"])[0] + '"')
        return 200, _chat(said if self.obeys else "whatever")


def _chat(said: str) -> dict[str, Any]:
    one = {"token": said, "bytes": list(said.encode()), "logprob": -0.1}
    token = {**one, "top_logprobs": [one]}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{**choice, "logprobs": {"content": [token]}}],
        "usage": usage,
    }


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            read = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not (found := server.respond(self.path, json.loads(read or b"{}"))):
                return
            status, body = found
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if body else "text/plain")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode() if body else b"")

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagger.engines.http.RETRIES", 1)
    monkeypatch.setattr("tagger.engines.http.SECONDS", 3.0)
    monkeypatch.setattr("tagger.engines.http.PROBE_SECONDS", 1.0)


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made = [Server() for _ in range(3)]
    yield made
    for server in made:
        server.stop()


@pytest.fixture
def engine(servers: list[Server]) -> Iterator[Engine]:
    opened = fleet(servers)
    yield opened
    for server in servers:
        server.stop()
    opened.close()


def fleet(servers: list[Server]) -> Engine:
    return open_engine("http", "m@" + ",".join(server.url for server in servers))


def requests(*records: str) -> list[Request]:
    """For each record a request to which it is the one answer."""
    head = Head("Say it.")
    return [Request(Prompt(head, (), record), Constraint(choice_grammar((record, "other")))) for record in records]


def ask(engine: Engine, *records: str) -> list[str]:
    return [completion.text for completion in engine.complete(requests(*records))]


def numbered(n: int) -> list[str]:
    return [f"tea {i}" for i in range(n)]


def soon(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not true():
        time.sleep(0.05)
    return true()


def test_requests_are_spread_and_the_order_is_kept(servers: list[Server], engine: Engine) -> None:
    for server in servers:
        server.seconds = 0.1

    assert ask(engine, *numbered(90)) == numbered(90)

    assert all(20 <= len(server.answered) <= 40 for server in servers)
    assert engine.info.model == "m"
    assert engine.info.versions["url"] == ", ".join(server.url for server in servers)


def test_a_slow_server_gets_less(servers: list[Server], engine: Engine) -> None:
    servers[0].seconds, servers[1].seconds, servers[2].seconds = 1.0, 0.02, 0.02

    ask(engine, *numbered(200))

    assert len(servers[0].answered) < min(len(servers[1].answered), len(servers[2].answered)) * 0.8


def test_when_a_server_dies_nothing_is_lost_or_doubled(servers: list[Server], engine: Engine) -> None:
    servers[0].lives = 7

    assert ask(engine, *numbered(120)) == numbered(120)

    assert len(servers[0].answered) == 7
    assert sorted(record for server in servers for record in server.answered) == sorted(numbered(120))


def test_a_server_that_comes_back_is_used_again(servers: list[Server], engine: Engine) -> None:
    servers[0].die()
    assert ask(engine, *numbered(9)) == numbered(9)
    assert servers[0].answered == []

    servers[0].start()

    assert soon(lambda: ask(engine, "tea", "milk", "rice") == ["tea", "milk", "rice"] and servers[0].answered != [])


def test_what_hangs_is_asked_elsewhere(servers: list[Server], engine: Engine) -> None:
    servers[1].hangs = True

    assert ask(engine, *numbered(12)) == numbered(12)

    begun = time.monotonic()
    assert ask(engine, *numbered(12)) == numbered(12)
    assert time.monotonic() - begun < 2


def test_servers_that_all_die_are_named(servers: list[Server], engine: Engine) -> None:
    for server in servers:
        server.lives = 3

    with pytest.raises(EngineError) as raised:
        ask(engine, *numbered(30))

    assert all(server.url in str(raised.value) for server in servers)
    assert str(raised.value).count("refused") == 3


def test_servers_that_live_and_answer_nothing_are_an_outage(servers: list[Server], engine: Engine) -> None:
    for server in servers:
        server.fails = lambda _: True

    with pytest.raises(EngineError, match="it went wrong"):
        ask(engine, *numbered(30))


def test_a_poison_request_fails_alone(servers: list[Server], engine: Engine) -> None:
    records = numbered(60)
    records[10] = records[40] = "poison"

    found = engine.complete(requests(*records))

    assert [i for i, completion in enumerate(found) if completion.finish_reason == "error"] == [10, 40]
    assert [completion.text for completion in found if completion.finish_reason == "stop"] == numbered(60)[:10] + [
        f"tea {i}" for i in range(11, 60) if i != 40
    ]
    assert "it went wrong" in found[10].text
    ask(engine, *numbered(60))
    assert all(server.answered for server in servers)


def test_a_request_that_every_server_fails_once_is_answered(servers: list[Server], engine: Engine) -> None:
    failing = [iter([True]) for _ in servers]
    for server, first in zip(servers, failing, strict=True):
        server.fails = lambda record, first=first: record == "tea 3" and next(first, False)

    assert ask(engine, *numbered(9)) == numbered(9)

    assert all(next(first, None) is None for first in failing)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"model": "other"}, "expected the model m, found: other"), ({"obeys": False}, "allows only quartz-17")],
)
def test_a_server_of_something_else_is_found_on_opening(
    servers: list[Server], change: dict[str, Any], message: str
) -> None:
    for name, value in change.items():
        setattr(servers[2], name, value)

    with pytest.raises(TaggerError, match=message) as raised:
        fleet(servers)

    assert raised.value.where == servers[2].url


def test_a_server_that_is_down_on_opening_is_told_and_comes_later(
    servers: list[Server], caplog: pytest.LogCaptureFixture
) -> None:
    servers[2].healthy = False  # has no page of that name
    servers[2].die()
    with caplog.at_level(logging.WARNING, "tagger"):
        engine = fleet(servers)

    assert f"{servers[2].url} is set aside" in caplog.text
    servers[2].start()
    assert soon(lambda: ask(engine, "tea", "milk", "rice") == ["tea", "milk", "rice"] and servers[2].answered != [])
    engine.close()


def test_a_server_that_comes_back_with_another_model_is_left_aside(servers: list[Server], engine: Engine) -> None:
    servers[0].die()
    ask(engine, *numbered(9))
    servers[0].model, servers[0].looks = "other", 0
    servers[0].start()

    for _ in range(30):
        ask(engine, "tea", "milk", "rice")
        time.sleep(0.1)

    assert servers[0].answered == []
    assert 2 <= servers[0].looks <= 6  # at ever longer intervals


def test_no_server_at_all_is_said_on_opening(servers: list[Server]) -> None:
    for server in servers:
        server.die()

    with pytest.raises(EngineError) as raised:
        fleet(servers)

    assert all(server.url in str(raised.value) for server in servers)


def test_one_url_is_one_server_and_a_bad_one_is_told(servers: list[Server]) -> None:
    engine = fleet(servers[:1])
    assert engine.info.versions["url"] == servers[0].url
    assert ask(engine, *numbered(3)) == numbered(3)
    engine.close()

    with pytest.raises(TaggerError, match="expected NAME@URL"):
        open_engine("http", f"m@{servers[0].url},nowhere")


def test_closing_leaves_no_thread_behind(servers: list[Server]) -> None:
    before = {thread for thread in threading.enumerate() if "Pool" in thread.name}
    engine = fleet(servers)
    ask(engine, *numbered(30))

    engine.close()

    assert {thread for thread in threading.enumerate() if "Pool" in thread.name} == before


def test_servers_that_flap_reject_no_record(servers: list[Server], tmp_path: Path) -> None:
    rows = [{"title": f"tea no {i}"} for i in range(200)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    model = "m@" + ",".join(server.url for server in servers)
    tagger = Tagger("category", engine="http", model=model)
    servers[0].lives = 20
    calls = count()
    servers[1].fails = lambda _: next(calls) % 10 == 9

    done = tag_file(tagger, tmp_path / "in.jsonl", tmp_path / "out")

    assert done.outcomes["tagged"] + done.outcomes["abstained"] == 200
    tagger.engine.close()
