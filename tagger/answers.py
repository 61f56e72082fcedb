"""Answers by the content of their records, kept in a file: what was answered once is not asked again, whatever happens.

One SQLite file lies in the output folder of a run. A batch of answers is one transaction, so a process that is killed
loses the batch that was being asked and no other; the shards that are written are noted beside them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tagger.errors import SourceError
from tagger.record import Record

ANSWERS, LOCK = "_answers.sqlite", ".lock"
PATIENCE = 1.0
"""Seconds to wait for a folder: `tagger status` holds it for a moment."""
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, answer TEXT NOT NULL, outcome TEXT NOT NULL, run INTEGER NOT NULL,
    read INTEGER NOT NULL, cached INTEGER NOT NULL, written INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shards (
    number INTEGER PRIMARY KEY, digest TEXT NOT NULL, outcomes TEXT NOT NULL, unread TEXT NOT NULL
);
"""
_JSON = json.JSONEncoder(ensure_ascii=False)
TOKENS = ("read", "cached", "written")
_AT_ONCE = 10_000
"""Keys looked up in one statement; SQLite takes 32,766."""


def content_key(record: Record) -> bytes:
    """What two records share that are asked the same: 16 bytes over their columns, of pictures over what they show and
    not over what they are called."""
    told = "\0".join(text for item in record.values.items() for text in item)  # no text has a NUL in it (record.py)
    seen = "".join(f"\0\0{name}\0{picture.digest.hex()}" for name, picture in record.pictures.items())
    return blake2b((told + seen).encode(), digest_size=16).digest()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder for one process alone; SourceError if another writes there, or a file is there. A process that
    dies gives it free."""
    if folder.exists() and not folder.is_dir():
        raise SourceError("a file is there, and tags go into a folder", where=str(folder), hint="choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=PATIENCE):
            yield
    except Timeout:
        raise SourceError(
            "another run writes there now", where=str(folder), hint="wait, or choose another --out"
        ) from None


class Answers:
    """The answers of one task version, plan, model and adapter. Raises SourceError where the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ANSWERS
        with self._plainly():
            self._file = sqlite3.connect(self.path, isolation_level=None)
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute("PRAGMA journal_mode = TRUNCATE")  # no shared memory: the folder may lie on a network
        with self._at_once():
            for statement in _TABLES.split(";"):
                self._file.execute(statement)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fact(self, name: str) -> Any:
        """What was noted under a name, or None."""
        rows = self._read("SELECT value FROM facts WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def note(self, **facts: Any) -> None:
        """Note facts of the run, as JSON."""
        with self._at_once():
            self._file.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)",
                [(name, json.dumps(value, ensure_ascii=False)) for name, value in facts.items()],
            )

    def get(self, keys: Iterable[bytes]) -> dict[bytes, dict[str, Any]]:
        """The answers that are there."""
        wanted, found = list(keys), {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._read(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part)
            found.update({key: json.loads(answer) for key, answer in rows})
        return found

    def add(self, answers: Mapping[bytes, Mapping[str, Any]], run: int) -> None:
        """Keep the answers of run number `run`, all or none of them."""
        rows = [
            (key, _JSON.encode(answer), answer["outcome"], run, *(answer["tokens"][kind] for kind in TOKENS))
            for key, answer in answers.items()
        ]
        with self._at_once():
            self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def forget(self, outcome: str) -> int:
        """Drop all answers with an outcome, and how many they were; shards have to be written anew."""
        with self._at_once():
            count = self._file.execute("DELETE FROM answers WHERE outcome = ?", (outcome,)).rowcount
            if count:
                self._file.execute("DELETE FROM shards")
        return count

    def shard(self, number: int) -> tuple[str, dict[str, int], list[str]] | None:
        """The digest of a shard's records, its outcomes, and the files that could not be read there."""
        for digest, outcomes, unread in self._read(
            "SELECT digest, outcomes, unread FROM shards WHERE number = ?", (number,)
        ):
            return digest, json.loads(outcomes), json.loads(unread)
        return None

    def put_shard(self, number: int, digest: str, outcomes: Mapping[str, int], unread: Sequence[str]) -> None:
        """Note that a shard is written."""
        with self._at_once():
            row = (number, digest, json.dumps(outcomes), json.dumps(unread, ensure_ascii=False))
            self._file.execute("INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?)", row)

    def drop_shards(self, first: int) -> None:
        """Forget that shards from a number on are written."""
        with self._at_once():
            self._file.execute("DELETE FROM shards WHERE number >= ?", (first,))

    def asked(self, run: int) -> dict[str, int]:
        """How many answers a run has got, and for how many tokens."""
        sums = "COUNT(*), TOTAL(read), TOTAL(cached), TOTAL(written)"
        (row,) = self._read(f"SELECT {sums} FROM answers WHERE run = ?", (run,))
        return {name: int(value) for name, value in zip(("answers", *TOKENS), row, strict=True)}

    def _read(self, query: str, values: Sequence[Any]) -> list[Any]:
        with self._plainly():
            return self._file.execute(query, values).fetchall()

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """All that is written inside, or nothing of it."""
        with self._plainly():
            try:
                self._file.execute("BEGIN")
                yield
                self._file.execute("COMMIT")
            except sqlite3.Error:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """SQLite's errors as what a person can do about them."""
        try:
            yield
        except sqlite3.Error as error:
            hint = "free some space, or see that the folder can be written, and give the same command again"
            if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                hint = "the file is damaged: remove the folder, or choose another --out, and the run begins anew"
            raise SourceError(f"cannot be used: {error}", where=str(self.path), hint=hint) from None
