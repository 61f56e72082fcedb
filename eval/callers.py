"""Many callers of single records beside a bulk run, on one engine: python -m eval callers.

What a service loses by getting its records one at a time, and how much of it batching across callers wins back.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from tagger.demo import catalogue
from tagger.engines.base import Engine
from tagger.pipeline import Tagger
from tagger.run import tag_file
from tagger.server import create_app
from tagger.service import Service

TASK, CALLERS, ROUNDS = "category", 32, 2
WARM = 16
"""Rows asked before anything is timed."""


def shared(engine: Engine, rows: int) -> dict[str, Any]:
    """Rates of a bulk run and of CALLERS callers at once over the same rows, in rounds of `rows` that take turns."""
    tagger = Tagger(TASK, engine=engine)
    titles = [product["title"] for product in catalogue("en")]
    records = [{"id": str(n), "title": f"{titles[n % len(titles)]}, no {n}"} for n in range(WARM + ROUNDS * rows)]
    tagger.tag(records[:WARM])
    rates: dict[str, list[float]] = {"bulk": [], "callers": []}
    with tempfile.TemporaryDirectory() as place:
        for number in range(ROUNDS):
            part = records[WARM + number * rows :][:rows]
            rates["bulk"].append(rows / _bulk(tagger, part, Path(place) / str(number)))
            rates["callers"].append(rows / _called(tagger, part))
    share = [called / bulk for called, bulk in zip(rates["callers"], rates["bulk"], strict=True)]
    info = engine.info
    told: dict[str, Any] = {"engine": info.engine, "model": info.model, "rows": rows, "callers": CALLERS}
    return told | {"rows_per_second": rates, "share": share, "versions": info.versions}


def _bulk(tagger: Tagger, records: Sequence[dict[str, Any]], folder: Path) -> float:
    folder.mkdir()
    source = folder / "catalogue.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    begun = time.perf_counter()
    tag_file(tagger, source, folder / "tags")
    return time.perf_counter() - begun


def _called(tagger: Tagger, records: Sequence[dict[str, Any]]) -> float:
    """Seconds until all records are answered, CALLERS of them asked at once."""
    server = uvicorn.Server(uvicorn.Config(create_app(Service({TASK: tagger})), port=0, log_config=None))
    running = threading.Thread(target=server.run)
    running.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as http, ThreadPoolExecutor(CALLERS) as threads:
        begun = time.perf_counter()
        asks = ({"task": TASK, "record": record, "seconds": 600} for record in records)
        for answer in threads.map(lambda ask: http.post("/v1/tag", json=ask), asks):
            answer.raise_for_status()
        seconds = time.perf_counter() - begun
    server.should_exit = True
    running.join()
    return seconds
