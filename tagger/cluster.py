"""Records in, answers out, from many machines: Ray Data runs a Tagger an engine, as many as the cluster has room for.

The catalogue is read, and its output written, where the command runs; what is to be asked lies in between as Parquet,
in a folder that the machines share. Answers come back as they are ready and are kept like those of one machine, so a
run that was killed goes on where it was, on the cluster or without it.
"""

from __future__ import annotations

import json
import logging
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tagger.asking import Answered, Here, Stop
from tagger.engines.base import Completion, EngineInfo, Request
from tagger.engines.scripted import CANARY
from tagger.errors import EngineError, SettingsError
from tagger.picture import Picture
from tagger.pipeline import Tagger
from tagger.record import Record

BLOCK = 2048
"""Records of a piece of work, which one engine answers."""
WAIT = 5.0
"""Seconds in which a cluster has to answer."""


_STAGED = pa.schema([("id", "string"), ("values", "string"), ("pictures", "string"), ("data", pa.list_(pa.binary()))])
"""What is asked, as it lies in Parquet."""


class Elsewhere:
    """Stands in the command's own process for the engines of the cluster: it has their name and is never asked."""

    def __init__(self, name: str, model: str | None) -> None:
        """`name` and `model` as on the cluster; SettingsError if they are left open: each machine would choose."""
        if name == "auto" or (model is None and name != "scripted"):
            raise SettingsError("on a cluster engine and model have to be named", hint="give --engine and --model")
        self.info = EngineInfo(name, model or "none", "as on the cluster", {"ray": _ray().__version__})

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Passes the canary, which each engine is asked where it is; raises EngineError for anything else."""
        if any(request.prompt.head.instruction != CANARY for request in requests):
            raise EngineError("the engines are on the cluster")
        return [Completion(request.constraint.grammar.split('"')[1], "stop") for request in requests]

    def close(self) -> None:
        """Nothing to give back."""


class OnRay:
    """Asks the engines of a Ray cluster. `made_with` are the arguments of a Tagger, the same on every machine."""

    whole = True

    def __init__(self, address: str, made_with: Mapping[str, Any], shared: Path) -> None:
        """`address` is that of a cluster (ray://host:10001, auto), or `local` for one on this machine alone; `shared`
        a folder that all its machines see. Raises SettingsError where Ray is missing or no cluster answers."""
        ray, (host, colon, port) = _ray(), address.removeprefix("ray://").rpartition(":")
        try:
            if colon:  # Ray itself tries for minutes
                socket.create_connection((host, int(port)), timeout=WAIT).close()
            ray.init(address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            hint = "start one with `ray start --head`, or say --on local"
            raise SettingsError(f"no Ray cluster at {address!r}: {error}", hint=hint) from None
        ray.data.DataContext.get_current().enable_progress_bars = False  # tagger shows its own
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        self._made_with, self._todo = dict(made_with), shared / ".todo"

    def __call__(self, records: Iterable[Record], stop: Stop) -> Iterator[Answered]:
        """A block at a time, as they are ready; after a stop none. Raises EngineError for a cluster that breaks."""
        self._stage(records)
        files = sorted(map(str, self._todo.glob("*.parquet")))
        if not files:
            return
        ray = _ray()
        room = ray.cluster_resources()
        gpus = int(room.get("GPU", 0))
        most = gpus or max(1, int(room.get("CPU", 1)) // 2)
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=most)
        found = ray.data.read_parquet(files).map_batches(
            Remote, fn_constructor_args=(self._made_with,), batch_size=BLOCK, batch_format="pyarrow", compute=pool,
            **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
        )  # fmt: skip
        try:
            for block in found.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield [(_record(line), json.loads(line["answer"])) for line in block.to_pylist()]
                if stop():
                    return
        except ray.exceptions.RayError as error:
            raise EngineError(f"the cluster broke down: {error}", hint="the same command goes on") from error
        shutil.rmtree(self._todo)

    def _stage(self, records: Iterable[Record]) -> None:
        """Write what is to be asked, a file a block."""
        shutil.rmtree(self._todo, ignore_errors=True)
        self._todo.mkdir(parents=True)
        left, number = iter(records), 0
        while part := list(islice(left, BLOCK)):
            pq.write_table(pa.Table.from_pylist(list(map(_line, part)), _STAGED), self._todo / f"{number:06d}.parquet")
            number += 1


class Remote:
    """A Tagger on one of the cluster's machines."""

    def __init__(self, made_with: Mapping[str, Any]) -> None:
        self._ask = Here(Tagger(**made_with))

    def __call__(self, block: pa.Table) -> pa.Table:
        """The block with a column `answer`, JSON."""
        records = [_record(line) for line in block.to_pylist()]
        answers = [json.dumps(answer) for part in self._ask(records, lambda: False) for _, answer in part]
        return block.append_column("answer", pa.array(answers, pa.string()))


def _line(record: Record) -> dict[str, Any]:
    told = {name: [p.media, p.width, p.height] for name, p in record.pictures.items()}
    data = [picture.data for picture in record.pictures.values()]
    return {"id": record.id, "values": json.dumps(dict(record.values)), "pictures": json.dumps(told), "data": data}


def _record(line: Mapping[str, Any]) -> Record:
    told = json.loads(line["pictures"])
    pictures = {name: Picture(data, *told[name]) for name, data in zip(told, line["data"], strict=True)}
    return Record(line["id"], json.loads(line["values"]), pictures)


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise SettingsError("--on needs Ray", hint="pip install 'tagger[ray]'") from None
    return ray
