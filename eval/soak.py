"""A service under load and under faults: python -m eval soak (make soak) prints what came of it as JSON.

The service runs as a process of its own with the scripted engine, on the same cores as the load. Each step says what it
has seen, and whether that is as it should be.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tagger.errors import SettingsError

CLIENTS, REQUESTS = 64, 10_000
RATE, SECONDS = 200, 20
"""Requests a second of the steady load, and for how long."""
MOST_MS, MOST_GROWTH = 25.0, 0.1
"""Latency beyond the engine's own that 99 of 100 requests stay below; share by which memory may grow under load."""
ROWS = 20_000
"""Of the job in whose middle the service is killed."""
TASK = "category"


@dataclass(frozen=True, slots=True)
class Process:
    """A service that runs; `at` is its address."""

    at: str
    running: subprocess.Popen[bytes]

    @property
    def mebibytes(self) -> float:
        """Of memory that it holds now (Linux)."""
        lines = Path(f"/proc/{self.running.pid}/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def soaked(less: int, told: Callable[[str], None]) -> dict[str, Any]:
    """What came of each step, under a load divided by `less`. Raises SettingsError without the load generator."""
    if shutil.which("wrk") is None:
        raise SettingsError("the load generator wrk is missing", hint="apt-get install wrk")
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for name, step in STEPS.items():
            told(name.replace("_", " "))
            found[name] = step(Path(place) / name, less)
    return {"passed": all(step["passed"] for step in found.values()), **found}


@contextmanager
def served(folder: Path, *more: str) -> Iterator[Process]:
    """A service in a process of its own, with jobs in `folder`; killed in the end if it still runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tagger", "serve", "--task", TASK, "--engine", "scripted", "--port", str(port)]
    with (folder / "log").open("ab") as log:
        running = subprocess.Popen([*command, "--jobs", str(folder / "jobs"), *more], stderr=log)
    found = Process(f"http://127.0.0.1:{port}", running)
    try:
        _until(lambda: _ready(found), 60)
        yield found
    finally:
        running.kill()
        running.wait()


def burst(folder: Path, less: int) -> dict[str, Any]:
    """All requests of all clients, as fast as they come: each gets its own answer, and memory does not grow."""
    with served(folder) as service:
        asyncio.run(_ask(service.at, REQUESTS // 5 // less))  # so that caches are full
        before, begun = service.mebibytes, time.perf_counter()
        outcomes = asyncio.run(_ask(service.at, REQUESTS // less))
        seconds, after = time.perf_counter() - begun, service.mebibytes
    right = outcomes == {"right": REQUESTS // less}
    return {
        "passed": right and after < before * (1 + MOST_GROWTH), "outcomes": outcomes,
        "requests_per_second": round(REQUESTS / less / seconds), "mebibytes": [round(before), round(after)],
    }  # fmt: skip


def steady(folder: Path, less: int) -> dict[str, Any]:
    """RATE requests a second by a compiled load generator: how long the slowest of a hundred takes."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "load.lua"
    body = json.dumps({"task": TASK, "record": {"title": "Sencha Green Tea Bags"}})
    script.write_text(
        f"wrk.method, wrk.body = 'POST', '{body}'\nwrk.headers['Content-Type'] = 'application/json'\n"
        f"function delay() return math.random(0, {2000 * CLIENTS // RATE}) end\n",
        "utf-8",
    )  # in milliseconds, at random, so that the clients do not ask in step
    with served(folder) as service:
        load = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{max(5, SECONDS // less)}s", "--latency", "-s", str(script)]
        told = subprocess.run([*load, f"{service.at}/v1/tag"], capture_output=True, text=True, check=True).stdout
        metrics = httpx.get(f"{service.at}/metrics").text
    slow = {share: _milliseconds(told, share) for share in ("50%", "99%")}
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", told)[0])
    took, batches = (
        float(re.findall(rf"tagger_batch_seconds_{name}\S* ([\d.e-]+)", metrics)[0]) for name in ("sum", "count")
    )
    engine = 1000 * took / batches
    failed = "Non-2xx" in told or "Socket errors" in told
    return {
        "passed": not failed and slow["99%"] - engine <= MOST_MS and rate > 0.8 * RATE,
        "milliseconds": slow, "engine_milliseconds": round(engine, 2), "requests_per_second": round(rate),
    }  # fmt: skip


def vanishing(folder: Path, less: int) -> dict[str, Any]:
    """Clients that hang up: their records are dropped, and everybody else is answered."""

    async def go(at: str) -> int:
        async with httpx.AsyncClient(base_url=at, limits=_limits()) as http:
            for n in range(CLIENTS):
                asking = asyncio.create_task(http.post("/v1/tag", json=_body(f"v{n}")))
                await asyncio.sleep(0.002)
                asking.cancel()
            return (await http.post("/v1/tag", json=_body("last"))).status_code

    with served(folder) as service:
        status = asyncio.run(go(service.at))
        _until(lambda: "tagger_waiting_records 0.0" in httpx.get(f"{service.at}/metrics").text, 10)
    return {"passed": status == 200, "status_after": status}


def stopped_under_load(folder: Path, less: int) -> dict[str, Any]:
    """SIGTERM under load: every request that the service has heard of is answered, and what comes later is refused.

    A request may meet the closing door; its connection then breaks before the service hears of it, so it is not in the
    service's own log.
    """
    with served(folder) as service:

        async def go() -> Counter[str]:
            asking = asyncio.create_task(_ask(service.at, REQUESTS))  # enough to go on when the door is closed
            await asyncio.sleep(1)
            service.running.send_signal(signal.SIGTERM)
            return await asking

        outcomes = asyncio.run(go())
        service.running.wait(30)
    lines = (json.loads(line) for line in (folder / "log").read_text("utf-8").splitlines() if line.startswith("{"))
    heard = Counter(line["status"] for line in lines if line.get("route") == "/v1/tag")
    sound = heard == {200: outcomes["right"]} and outcomes["refused"] > 0 and "wrong" not in outcomes
    return {"passed": sound, "outcomes": outcomes, "heard_of": heard}


def killed_in_a_job(folder: Path, less: int) -> dict[str, Any]:
    """SIGKILL in the middle of a job: started again, the service finishes it, each row once."""
    rows = ROWS // less
    lines = "".join(json.dumps({"id": f"p{n}", "title": f"Green Tea no {n}"}) + "\n" for n in range(rows))
    with served(folder) as service:
        params = {"task": TASK}
        name = httpx.post(f"{service.at}/v1/jobs", params=params, content=lines.encode()).json()["id"]
        job = f"/v1/jobs/{name}"
        _until(lambda: httpx.get(service.at + job).json()["rows"] > rows // 4, 60)
        os.kill(service.running.pid, signal.SIGKILL)
    with served(folder) as service:
        _until(lambda: httpx.get(service.at + job).json()["state"] == "finished", 300)
        told = httpx.get(f"{service.at}{job}/tags", timeout=60).text
    names = [json.loads(line)["id"] for line in told.splitlines()]
    return {"passed": names == [f"p{n}" for n in range(rows)], "rows": len(names)}


def flooded(folder: Path, less: int) -> dict[str, Any]:
    """Bodies that are too large, malformed or late, beside good requests: each is told what is wrong."""
    json = {"Content-Type": "application/json"}
    with served(folder) as service, httpx.Client(base_url=service.at, timeout=60, headers=json) as http:
        statuses = {
            "oversized": http.post("/v1/tag", content=b" " * (9 << 20)).status_code,
            "malformed": http.post("/v1/tag", content=b"{").status_code,
            "late": http.post("/v1/tag", json=_body("x") | {"seconds": 1e-6}).status_code,
            "good": http.post("/v1/tag", json=_body("x")).status_code,
        }
    return {"passed": list(statuses.values()) == [413, 422, 504, 200], "statuses": statuses}


STEPS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "burst": burst,
    "steady": steady,
    "vanishing": vanishing,
    "stopped_under_load": stopped_under_load,
    "killed_in_a_job": killed_in_a_job,
    "flooded": flooded,
}


async def _ask(at: str, count: int) -> Counter[str]:
    """What became of so many requests of CLIENTS clients."""
    left, outcomes = iter(range(count)), Counter[str]()

    async def client(http: httpx.AsyncClient) -> None:
        for n in left:
            try:
                answer = await http.post("/v1/tag", json=_body(f"r{n}"))
            except httpx.ConnectError:
                outcomes["refused"] += 1
                continue
            except httpx.TransportError as error:
                outcomes[f"cut off: {type(error).__name__}"] += 1
                continue
            right = answer.status_code == 200 and answer.json()["id"] == f"r{n}"
            outcomes["right" if right else "refused" if answer.status_code == 503 else "wrong"] += 1

    async with httpx.AsyncClient(base_url=at, limits=_limits(), timeout=60) as http:
        await asyncio.gather(*(client(http) for _ in range(CLIENTS)))
    return outcomes


def _body(name: str) -> dict[str, Any]:
    return {"task": TASK, "record": {"id": name, "title": f"Green Tea {name}"}}


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)


def _ready(service: Process) -> bool:
    try:
        return httpx.get(f"{service.at}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not so within {seconds:g} s")
        time.sleep(0.05)


def _milliseconds(told: str, share: str) -> float:
    """A quantile in what wrk has printed."""
    number, unit = re.findall(rf"{share}\s+([\d.]+)(us|ms|s)", told)[0]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
