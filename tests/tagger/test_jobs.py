"""Jobs: a file is handed in, tagged beside all other requests, and not lost by a restart."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.answers import LOCK, Answers, claimed, content_key
from tagger.engines.base import Completion, Request
from tagger.errors import EngineError, SettingsError
from tagger.job import TAGS
from tagger.keys import Key, Keys, digest, new_key
from tagger.origin import Origin
from tagger.record import Record
from tagger.server import create_app
from tagger.service import Service
from tests.tagger.test_server import asked, running

ROWS, MANY = 400, 3000


def lines_of(rows: int) -> str:
    titles = (f"{('Tea', 'Coffee')[n % 2]} no {n}" for n in range(rows))
    return "".join(json.dumps({"id": f"p{n}", "title": title}) + "\n" for n, title in enumerate(titles))


FILE = lines_of(ROWS)


class Slow(ScriptedEngine):
    """Says what the title says; remembers which it was asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(lambda prompt: "Tea" if "Tea" in prompt.record else "Coffee")
        self.seconds, self.asked = seconds, list[str]()

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        time.sleep(self.seconds)
        self.asked += [request.prompt.record for request in requests]
        return super().complete(requests)


@contextmanager
def served(folder: Path, engine: ScriptedEngine | None = None, keys: Keys | None = None) -> Iterator[Any]:
    from starlette.testclient import TestClient

    service = Service({"category": Tagger("category", engine=engine or Slow())}, keys, folder=folder)
    with TestClient(create_app(service)) as client:
        yield client


def hand_in(client: Any, content: str = FILE, **headers: str) -> Any:
    return client.post("/v1/jobs", params={"task": "category"}, content=content.encode(), headers=headers)


def ended(client: Any, name: str) -> Any:
    for _ in range(600):
        told = client.get(f"/v1/jobs/{name}").json()
        if told["state"] in ("finished", "failed"):
            return told
        time.sleep(0.02)
    raise AssertionError(f"the job does not end: {told}")


def test_a_file_is_tagged_row_by_row_in_its_order(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        answer = hand_in(client)
        told = ended(client, answer.json()["id"])
        lines = [json.loads(line) for line in client.get(f"{answer.headers['Location']}/tags").text.splitlines()]

    assert answer.status_code == 202
    assert (told["rows"], told["outcomes"]) == (ROWS, {"tagged": ROWS})
    assert [line["id"] for line in lines] == [f"p{n}" for n in range(ROWS)]
    assert [line["tags"]["category"]["value"] for line in lines[:2]] == ["Tea", "Coffee"]


def test_a_job_withholds_what_is_on_the_blocklist_and_keeps_its_answers_whole(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("coffee", "utf-8")
    tagger = Tagger("category", engine=Slow(), blocklist=tmp_path / "list.txt")
    with asked(Service({"category": tagger}, folder=tmp_path / "jobs")) as client:
        name = hand_in(client).json()["id"]
        told = ended(client, name)
        lines = [json.loads(line) for line in client.get(f"/v1/jobs/{name}/tags").text.splitlines()]
        metrics = client.get("/metrics").text
    with Answers(tmp_path / "jobs" / name / TAGS) as answers:
        kept = answers.get([content_key(Record("p1", {"title": "Coffee no 1"}))])

    assert told["outcomes"] == {"tagged": ROWS / 2, "abstained": ROWS / 2}
    assert [line["tags"]["category"]["value"] for line in lines[:2]] == ["Tea", None]
    assert lines[1]["reason"] == "category: withheld, on the blocklist (list.txt, line 1)"
    assert f'tagger_withheld_total{{field="category",task="category"}} {ROWS / 2}' in metrics
    assert [answer["tags"]["category"]["value"] for answer in kept.values()] == ["Coffee"]


def test_a_restart_goes_on_with_a_job_and_asks_nothing_twice(tmp_path: Path) -> None:
    first, second = Slow(0.05), Slow()
    with served(tmp_path, first) as client:
        name = hand_in(client, lines_of(MANY)).json()["id"]
        while client.get(f"/v1/jobs/{name}").json()["rows"] == 0:
            time.sleep(0.01)
        assert client.get(f"/v1/jobs/{name}/tags").status_code == 409
    with served(tmp_path, second) as client:
        told = ended(client, name)

    assert told["outcomes"] == {"tagged": MANY}
    assert 0 < len(second.asked) < MANY
    assert len(set(first.asked) | set(second.asked)) == MANY


def test_the_same_key_and_file_are_one_job_and_another_file_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        a, b = (hand_in(client, **{"Idempotency-Key": "monday"}).json()["id"] for _ in range(2))
        other = hand_in(client, FILE[: FILE.index("\n") + 1], **{"Idempotency-Key": "monday"})
        jobs = client.get("/v1/jobs").json()

    assert a == b
    assert other.status_code == 422
    assert [job["id"] for job in jobs] == [a]
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_a_job_is_its_callers_alone(tmp_path: Path) -> None:
    texts = [new_key(), new_key()]
    keys = Keys({digest(text): Key(name=f"caller {n}", hash=digest(text)) for n, text in enumerate(texts)})
    mine, other = ({"Authorization": f"Bearer {text}"} for text in texts)
    with served(tmp_path, keys=keys) as client:
        name = hand_in(client, **mine).json()["id"]
        seen = [client.get(f"/v1/jobs/{name}", headers=headers).status_code for headers in (mine, other)]
        dropped = client.delete(f"/v1/jobs/{name}", headers=other).status_code

    assert (seen, dropped) == ([200, 404], 404)


def test_a_dropped_job_leaves_nothing_behind(tmp_path: Path) -> None:
    with served(tmp_path, Slow(0.05)) as client:
        name = hand_in(client).json()["id"]
        assert client.delete(f"/v1/jobs/{name}").status_code == 204
        assert client.get(f"/v1/jobs/{name}").status_code == 404
        next_one = ended(client, hand_in(client, FILE[: FILE.index("\n") + 1]).json()["id"])

    assert next_one["state"] == "finished"
    assert [path.name for path in tmp_path.iterdir() if path.name != LOCK] == [next_one["id"]]


def test_a_page_does_not_wait_for_a_job(tmp_path: Path) -> None:
    engine = Slow(0.02)
    with served(tmp_path, engine) as client:
        name = hand_in(client, lines_of(MANY)).json()["id"]
        while "tagger_waiting_records 0.0" in client.get("/metrics").text:
            time.sleep(0.01)
        client.post("/v1/tag", json={"task": "category", "record": {"title": "Tea of a page"}})
        state = client.get(f"/v1/jobs/{name}").json()["state"]

    assert state == "running"
    assert engine.asked.index("Tea of a page") < 512  # the records that wait at once are not all before it


def test_an_engine_that_dies_fails_the_job_and_the_next_start_goes_on(tmp_path: Path) -> None:
    class Dead(ScriptedEngine):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            raise EngineError("out of memory")

    with served(tmp_path, Dead()) as client:
        name = hand_in(client).json()["id"]
        failed = ended(client, name)
    with served(tmp_path) as client:
        again = ended(client, name)

    assert failed["state"] == "failed"
    assert "out of memory" in failed["reason"]
    assert again["outcomes"] == {"tagged": ROWS}


def test_a_job_waits_while_an_engine_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    class Dead(ScriptedEngine):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            raise EngineError("out of memory")

    tries: list[int] = []

    def open_again() -> ScriptedEngine:
        tries.append(len(tries))
        if len(tries) == 3:
            return Slow()
        time.sleep(0.1)  # until another batch is in line to open it
        assert client.portal
        client.portal.start_task_soon(time.sleep, 0.3)  # it has, before anybody hears that this one could not
        raise SettingsError("the server is not up yet")

    monkeypatch.setattr("tagger.service.PAUSE", 0)
    taggers = {"category": Tagger("category", engine=Dead())}
    with TestClient(create_app(Service(taggers, origin=Origin((), open_again), folder=tmp_path))) as client:
        found = ended(client, hand_in(client).json()["id"])

    assert (found["state"], found["outcomes"]) == ("finished", {"tagged": ROWS})
    assert len(tries) == 3


def test_the_tags_of_a_job_can_be_fetched_as_long_as_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path) as client:
        name = hand_in(client).json()["id"]
        ended(client, name)
        before = client.get(f"/v1/jobs/{name}/tags").status_code
        monkeypatch.setattr("tagger.jobs.KEPT", timedelta(0))
        after = [client.get(f"/v1/jobs/{name}{part}").status_code for part in ("", "/tags")]

    assert (before, after) == (200, [404, 404])


def test_an_accident_ends_one_job_and_not_the_others(tmp_path: Path) -> None:
    class Poisoned(Slow):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            if any("poison" in request.prompt.record for request in requests):
                raise KeyError("a mistake")
            return super().complete(requests)

    with served(tmp_path, Poisoned()) as client:
        names = [hand_in(client, text).json()["id"] for text in ('{"title": "poison"}\n', FILE)]
        states = [ended(client, name)["state"] for name in names]

    assert states == ["failed", "finished"]


def test_a_job_that_waits_for_its_keys_next_minute_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    text = new_key()
    keys = Keys({digest(text): Key(name="slow", hash=digest(text), per_minute=5)})
    with served(tmp_path, keys=keys) as client:
        hand_in(client, Authorization=f"Bearer {text}")
        time.sleep(0.2)
        begun = time.monotonic()

    assert time.monotonic() - begun < 3


def test_a_job_of_a_task_that_was_changed_meanwhile_is_tagged_anew(shop: Path, tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    folder, prompt = tmp_path / "jobs", shop / "prompt.jinja"
    lines = "".join(json.dumps({"title": f"Acme no {n}"}) + "\n" for n in range(MANY))

    class Late(ScriptedEngine):
        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            time.sleep(0.02)
            return super().complete(requests)

    with TestClient(create_app(Service({"shop": Tagger(shop, engine=Late())}, folder=folder))) as client:
        name = client.post("/v1/jobs", params={"task": "shop"}, content=lines.encode()).json()["id"]
        while client.get(f"/v1/jobs/{name}").json()["rows"] == 0:
            time.sleep(0.01)
    prompt.write_text(prompt.read_text("utf-8").replace("Describe it", "Describe this"), "utf-8")
    changed = Tagger(shop, engine=ScriptedEngine())
    with TestClient(create_app(Service({"shop": changed}, folder=folder))) as client:
        told = ended(client, name)
        found = client.get(f"/v1/jobs/{name}/tags").text.splitlines()

    assert told["state"] == "finished", told
    assert {json.loads(line)["task_version"] for line in found} == {changed.task.version}


def test_a_dropped_job_does_not_come_back_after_a_kill(tmp_path: Path) -> None:
    with served(tmp_path, Slow(0.2)) as client:
        name = hand_in(client, lines_of(MANY)).json()["id"]
        while client.get(f"/v1/jobs/{name}").json()["state"] != "running":
            time.sleep(0.01)
        client.delete(f"/v1/jobs/{name}")
        assert not (tmp_path / name / "job.json").exists()  # a kill from here on leaves a folder that is none
    cut = tmp_path / ("0" * 32)
    cut.mkdir()
    (cut / "catalogue.jsonl").write_text("{", "utf-8")
    with served(tmp_path) as client:
        assert client.get("/v1/jobs").json() == []

    assert [path for path in tmp_path.iterdir() if path.name != LOCK] == []


def test_what_is_no_job_in_the_folder_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("x", "utf-8")
    with served(tmp_path):
        pass

    assert (tmp_path / "photos" / "one.jpg").read_text("utf-8") == "x"


@pytest.mark.parametrize(
    ("content", "params", "status", "message"),
    [
        ('{"what": "x"}\n', {"task": "category"}, 422, "no column 'title'"),
        ("", {"task": "category"}, 422, "holds no rows"),
        (FILE, {"task": "category", "form": "parquet"}, 422, "not a Parquet file"),
        ("\n\ntitle\nTea\n", {"task": "category"}, 422, "form=csv"),
        ("title\nTea\n", {"task": "category", "form": "parquet"}, 422, "form=csv"),
        ("\ufeff" + FILE, {"task": "category", "form": "csv"}, 422, "form=jsonl"),
        ("PAR1", {"task": "category"}, 422, "form=parquet"),
        ("PAR1", {"task": "category", "form": "csv"}, 422, "form=parquet"),
        ("PK\3\4\0\0", {"task": "category"}, 422, "it is no text"),
        ("PAR1 but no", {"task": "category", "form": "parquet"}, 422, "not a Parquet file: "),
        ("id;title\n1;Tea\n", {"task": "category", "form": "csv"}, 422, "separate its columns by commas"),
        ('{"what": "x"}\n', {"task": "category"}, 422, "call the column so"),
        (FILE, {"task": "category", "form": "../../etc"}, 422, "form"),
        (FILE, {"task": "../category"}, 404, "no task"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, content: str, params: dict[str, str], status: int, message: str
) -> None:
    with served(tmp_path) as client:
        answer = client.post("/v1/jobs", params=params, content=content.encode())

    assert answer.status_code == status, answer.text
    assert message in answer.json()["message"] + answer.json().get("hint", "")
    assert "--map" not in answer.text
    assert [path for path in tmp_path.iterdir() if path.name != LOCK] == []


def partly(folder: Path) -> str:
    """A job of which some rows are tagged when its service stops."""
    with served(folder, Slow(0.05)) as client:
        name: str = hand_in(client, lines_of(MANY)).json()["id"]
        while client.get(f"/v1/jobs/{name}").json()["rows"] == 0:
            time.sleep(0.01)
    return name


def test_a_second_service_on_the_same_folder_does_not_start_and_the_first_loses_nothing(tmp_path: Path) -> None:
    engine, arriving = Slow(0.01), tmp_path / ("a" * 32)
    with served(tmp_path, engine) as client:
        name = hand_in(client, lines_of(MANY)).json()["id"]
        arriving.mkdir()  # a file that is on its way
        with (
            pytest.raises(SettingsError, match=r"another service keeps its jobs there(.|\n)*of its own"),
            served(tmp_path),
        ):
            pass
        told = ended(client, name)
        assert arriving.is_dir()

    assert told["outcomes"] == {"tagged": MANY}
    assert len(engine.asked) == MANY


def test_tags_that_another_run_holds_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagger.answers.PATIENCE", 0.0)
    name = partly(tmp_path)
    with claimed(tmp_path / name / "tags"), served(tmp_path) as client:
        told = ended(client, name)
    with served(tmp_path, again := Slow()) as client:
        after = ended(client, name)

    assert (told["state"], told["reason"]) == ("failed", "tags: another run writes there now")
    assert after["outcomes"] == {"tagged": MANY}
    assert len(again.asked) < MANY


def test_a_failed_job_says_why_and_neither_where_nor_what_its_caller_cannot_do(tmp_path: Path) -> None:
    name = partly(tmp_path)
    (tmp_path / name / "tags" / "_answers.sqlite").write_bytes(b"no database" * 1000)
    with served(tmp_path) as client:
        told, metrics = ended(client, name), client.get("/metrics").text

    assert told["reason"] == "tags/_answers.sqlite: cannot be used: file is not a database"
    assert "tagger_failed_jobs 1.0" in metrics


@pytest.mark.parametrize("later", [True, False], ids=["of a later version", "cut"])
def test_a_job_that_cannot_be_read_has_failed_and_the_others_go_on(tmp_path: Path, later: bool) -> None:
    name = partly(tmp_path)
    broken = tmp_path / ("b" * 32)
    broken.mkdir()
    facts = json.loads((tmp_path / name / "job.json").read_text("utf-8")) | {"id": broken.name, "priority": 3}
    (broken / "job.json").write_text(json.dumps(facts) if later else "{", "utf-8")

    with served(tmp_path) as client:
        told, other = ended(client, broken.name), ended(client, name)
        listed = len(client.get("/v1/jobs").json())
        client.delete(f"/v1/jobs/{broken.name}")

    assert (told["state"], "priority" in told["reason"]) == ("failed", later)
    assert "cannot be read" in told["reason"]
    assert (other["state"], listed) == ("finished", 1 + later)
    assert not broken.exists()


def test_the_audit_log_names_task_and_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tagger.audit")
    with served(tmp_path) as client:
        name = hand_in(client).json()["id"]
        for ask in (client.get, client.delete):
            ask(f"/v1/jobs/{name}")

    lines = [vars(record) for record in caplog.records if record.name == "tagger.audit"]
    assert [(line["method"], line["task"], line["job"]) for line in lines] == [
        (method, "category", name) for method in ("POST", "GET", "DELETE")
    ]


def test_a_job_of_a_slow_key_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagger.queued.LONG", 0.0)
    text, file = new_key(), io.BytesIO()
    keys = Keys({digest(text): Key(name="slow", hash=digest(text), per_minute=5)})
    pq.write_table(pa.table({"title": ["Tea"] * 3 + [f"Tea no {n}" for n in range(ROWS)]}), file)
    known = {"Authorization": f"Bearer {text}"}
    with served(tmp_path, keys=keys) as client:
        name = client.post(
            "/v1/jobs", params={"task": "category", "form": "parquet"}, content=file.getvalue(), headers=known
        ).json()["id"]
        for _ in range(200):
            if (told := client.get(f"/v1/jobs/{name}", headers=known).json())["rows"] >= 5:
                break
            time.sleep(0.02)

    assert (told["state"], told["rows"], told["total"]) == ("running", 5, ROWS + 3)


def test_what_is_handed_in_is_for_nobody_else_on_the_machine(tmp_path: Path) -> None:
    with running(tmp_path, "--jobs", "jobs") as (at, _):
        name = httpx.post(f"{at}/v1/jobs", params={"task": "category"}, content=FILE.encode()).json()["id"]
        while httpx.get(f"{at}/v1/jobs/{name}").json()["state"] != "finished":
            time.sleep(0.05)
    made = [tmp_path / "jobs", *(path for path in (tmp_path / "jobs").rglob("*") if path.name != LOCK)]

    assert {(path.is_dir(), path.stat().st_mode & 0o777) for path in made} == {(True, 0o700), (False, 0o600)}
