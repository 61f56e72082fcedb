"""Jobs: a file is handed in, tagged beside all other requests, and not lost by a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tagger import ScriptedEngine, Tagger
from tagger.engines.base import Completion, Request
from tagger.errors import EngineError
from tagger.keys import Key, Keys, digest, new_key
from tagger.server import create_app
from tagger.service import Service

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
    assert [path.name for path in tmp_path.iterdir()] == [next_one["id"]]


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

    assert list(tmp_path.iterdir()) == []


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
    assert message in answer.json()["message"]
    assert list(tmp_path.iterdir()) == []
