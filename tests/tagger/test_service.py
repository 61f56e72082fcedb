"""The service beside its plain answers: second tries, other versions, personal data, logs, metrics of drift, traces."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.baseline import Baseline, Window, baseline_file, save_baseline
from tagger.engines.base import Completion, Request
from tagger.keys import Key, Keys, digest, new_key
from tagger.service import Service
from tests.tagger.test_origin import Dying
from tests.tagger.test_server import Slow, asked, running, service

TEA = {"task": "category", "record": {"title": "Tea bags"}}


def test_every_fault_has_one_shape_and_an_id_that_the_caller_may_choose() -> None:
    with asked(service()) as client:
        answers = [
            client.get("/v1/nothing", headers={"X-Request-ID": "mine-1"}),
            client.get("/v1/tag"),
            client.post("/v1/tag", json={**TEA, "task": "x"}),
            client.post("/v1/tag", json=TEA, headers={"X-Request-ID": "two\tparts"}),
        ]

    assert [answer.status_code for answer in answers] == [404, 405, 404, 200]
    assert answers[0].headers["X-Request-ID"] == "mine-1" == answers[0].json()["request_id"]
    for answer in answers[:3]:
        assert set(answer.json()) == {"message", "hint", "request_id"}
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert len(answers[3].headers["X-Request-ID"]) == 32  # what was sent is no id


def test_the_same_idempotency_key_is_answered_once_and_another_request_refused() -> None:
    engine = Slow()
    with asked(service(engine)) as client:
        known = {"Idempotency-Key": "order 7"}
        answers = [client.post("/v1/tag", json=TEA, headers=known) for _ in range(3)]
        other = client.post("/v1/tag", json={"task": "category", "record": {"title": "Coffee"}}, headers=known)

    assert engine.sizes == [1]
    assert len({answer.text for answer in answers}) == 1
    assert (other.status_code, "Idempotency-Key" in other.json()["message"]) == (422, True)


def test_what_failed_under_an_idempotency_key_is_asked_again() -> None:
    engine = Dying(Slow())
    with asked(service(engine)) as client:
        known = {"Idempotency-Key": "order 7"}
        first, second = (client.post("/v1/tag", json=TEA, headers=known).status_code for _ in range(2))

    assert (first, second) == (503, 200)


def test_an_accident_in_the_program_has_the_shape_of_every_fault(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ScriptedEngine):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            raise KeyError("a mistake")

    with asked(service(Broken())) as client:
        answer = client.post("/v1/tag", json=TEA)

    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert "a mistake" not in answer.text
    assert "a mistake" in caplog.text


def test_rows_of_a_batch_wait_for_a_place_in_the_queue() -> None:
    found = service(Slow(0.01), most_waiting=20)
    with asked(found) as client:
        records = [{"title": f"Tea {n}"} for n in range(40)]
        answer = client.post("/v1/tag:batch", json={"task": "category", "records": records})

    assert [json.loads(line)["outcome"] for line in answer.text.splitlines()] == ["tagged"] * 40


def test_not_even_the_body_of_a_stranger_is_read() -> None:
    known = new_key()
    keys = Keys({digest(known): Key(name="shop", hash=digest(known))})
    with asked(service(keys=keys)) as client:
        answers = [client.post(path, content=b'{"task": ').status_code for path in ("/v1/tag", "/v1/jobs", "/metrics")]

    assert answers == [401, 401, 401]


def test_personal_data_reaches_neither_model_nor_log_and_comes_back_in_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Slow()
    caplog.set_level(logging.INFO)
    with asked(service(engine, mask=True)) as client:
        body = {"task": "category", "record": {"title": "Tea from anna@example.org, tel. 13800138000"}}
        answer = client.post("/v1/tag", json=body)
        (shown,) = client.post("/v1/tasks/category/render", json=body["record"]).json()

    read = engine.history[-1].prompt.record
    assert "anna" not in read + json.dumps(shown) + caplog.text
    assert "13800138000" not in read + json.dumps(shown) + caplog.text
    assert answer.json()["tags"]["category"]["value"] == "Tea"


def test_the_audit_log_says_who_asked_for_what_and_no_product_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tagger.audit")
    with asked(service()) as client:
        client.post("/v1/tag", json={"task": "category", "record": {"title": "Secret Tea"}})

        client.post("/v1/tasks/category/render", json={"title": "Secret Tea"})

    line, render = [record for record in caplog.records if record.name == "tagger.audit"]
    assert (render.__dict__["task"], render.__dict__["status"]) == ("category", 200)
    told = {name: getattr(line, name) for name in ("key", "route", "task", "records", "status", "outcome")}
    assert told == {
        "key": "anyone", "route": "/v1/tag", "task": "category", "records": 1, "status": 200, "outcome": "tagged"
    }  # fmt: skip
    assert "Secret" not in json.dumps(line.__dict__, default=str)


def test_what_failed_is_asked_again_under_the_same_key() -> None:
    class Once(Slow):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            found = super().complete(requests)
            return [Completion("timed out", "error")] if len(self.sizes) == 1 else found

    with asked(service(Once())) as client:
        known = {"Idempotency-Key": "order 7"}
        seen = [client.post("/v1/tag", json=TEA, headers=known).json()["outcome"] for _ in range(3)]

    assert seen == ["failed", "tagged", "tagged"]


def test_logs_are_lines_of_json_with_the_id_of_the_request(tmp_path: Path) -> None:
    with running(tmp_path) as (at, process):
        httpx.post(f"{at}/v1/tag", json=TEA, headers={"X-Request-ID": "mine-2"})
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)

    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    (audit,) = [line for line in lines if line.get("logger") == "tagger.audit" and line["route"] == "/v1/tag"]
    assert (audit["request_id"], audit["status"]) == ("mine-2", 200)


def test_a_service_that_is_told_to_stop_says_so_before_it_closes_its_door(tmp_path: Path) -> None:
    with running(tmp_path) as (at, process):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        ready, answer = httpx.get(f"{at}/readyz"), httpx.post(f"{at}/v1/tag", json=TEA)
        process.wait(20)

    assert (ready.status_code, answer.status_code) == (503, 200)


def test_a_shift_of_labels_shows_in_the_metrics(category: Any, tmp_path: Path) -> None:
    folder = tmp_path / "category"
    shutil.copytree(category.folder, folder)
    tagger = Tagger(folder, engine=Slow())
    window, made = Window(tagger.task.fields, None), tagger.provenance
    for n in range(400):
        window.add(tagger.tag({"title": ("Tea", "Coffee")[n % 2]}))
    baseline = Baseline(
        task=made.task, task_version=made.task_version, plan=made.plan, model=made.model, rows_id="x",
        outcomes=window.outcomes, fields=window.counts(),
    )  # fmt: skip
    save_baseline(baseline_file(folder, made.model), baseline)
    sizes = []
    with asked(Service({"category": Tagger(folder, engine=Slow())})) as client:
        first = [line.split()[-1] for line in client.get("/metrics").text.splitlines() if "tagger_drift{" in line]
    for titles in (("Tea", "Coffee"), ("Tea", "Tea")):
        with asked(Service({"category": Tagger(folder, engine=Slow())})) as client:
            records = [{"title": titles[n % 2]} for n in range(400)]
            client.post("/v1/tag:batch", json={"task": "category", "records": records})
            lines = [line for line in client.get("/metrics").text.splitlines() if 'kind="mix"' in line]
            sizes.append(float(lines[0].split()[-1]))

    assert first == ["NaN"] * 3  # mix, confidence, silence: too few answers to tell
    assert sizes[0] == 0
    assert sizes[1] > 0.25


def test_the_pages_of_documentation_ask_no_other_host() -> None:
    with asked(service()) as client:
        page = client.get("/docs").text
        scripts = [part.split('"')[0] for part in page.split('src="')[1:]]

        assert scripts
        assert all(part.startswith("/") and client.get(part).status_code == 200 for part in scripts)
        assert "https://" not in page


def test_a_batch_is_linked_to_the_requests_that_are_in_it() -> None:
    from opentelemetry import trace
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from starlette.testclient import TestClient

    from tagger.server import create_app

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)
    app = create_app(service())
    FastAPIInstrumentor.instrument_app(app)
    with TestClient(app) as client:
        client.post("/v1/tag", json=TEA)

    spans = {span.name: span for span in kept.get_finished_spans()}
    (link,) = spans["batch"].links
    assert spans["batch"].attributes == {"task": "category", "records": 1}
    assert link.context.trace_id == spans["POST /v1/tag"].context.trace_id


def test_a_slow_reader_holds_up_nobody_and_gets_everything(tmp_path: Path) -> None:
    rows = 10_000
    body = json.dumps({"task": "category", "records": [{"title": f"Tea {n}"} for n in range(rows)]}).encode()
    with running(tmp_path) as (at, _):
        host, port = at.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as reader:
            head = "POST /v1/tag:batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            reader.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(3)  # it reads nothing
            answered = records_of(httpx.get(f"{at}/metrics").text)
            other = httpx.post(f"{at}/v1/tag", json=TEA)
            told = b"".join(iter(lambda: reader.recv(1 << 16), b""))

    assert answered < rows  # what it does not read is not asked far ahead
    assert other.status_code == 200
    assert told.count(b'"outcome": "tagged"') == rows


def records_of(metrics: str) -> int:
    return round(sum(float(line.split()[-1]) for line in metrics.splitlines() if "tagger_records_total{" in line))
