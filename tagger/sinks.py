"""Taggings in, a file and its manifest out.

The file gets its name only when it is whole, and the manifest is written last: a folder with a manifest
is a finished run.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tagger.engines.base import EngineInfo
from tagger.errors import SourceError
from tagger.result import Tagging
from tagger.task import columns_of

Format = Literal["jsonl", "csv", "parquet"]
MANIFEST = "manifest.json"
FLAT = ("id", "outcome", "reason", "task", "task_version", "plan", "model", "adapter", "engine")


class Sink:
    """A folder that receives the taggings of one run.

    Use as a context manager; `finish` makes the output final. Raises SourceError for a folder that
    already holds a finished run or cannot be written.
    """

    def __init__(self, folder: Path, form: Format, fields: Iterable[str]) -> None:
        self.path = folder / f"tags.{form}"
        self.manifest = folder / MANIFEST
        if self.manifest.exists():
            hint = "choose another --out, or remove that folder"
            raise SourceError("the folder already holds a finished run", where=str(folder), hint=hint)
        self._columns = [*FLAT, *(column for name in fields for column in columns_of(name))]
        self._unfinished = self.path.with_name(self.path.name + ".part")
        self._form = form
        self.outcomes: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self._stack = ExitStack()

    def __enter__(self) -> Sink:
        try:
            self._unfinished.parent.mkdir(parents=True, exist_ok=True)
            opened = {"jsonl": self._jsonl, "csv": self._csv, "parquet": self._parquet}[self._form]()
        except OSError as error:
            raise SourceError(f"cannot write: {error.strerror}", where=str(self._unfinished)) from None
        self._write: Callable[[list[Tagging]], None] = opened
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._stack.close()
        except OSError:
            if kind is None:  # else the first error is already on its way
                raise

    def write(self, taggings: list[Tagging]) -> None:
        """Append taggings, in order."""
        try:
            self._write(taggings)
        except OSError as error:
            hint = "free some space or choose another --out; nothing was finished, so the run can be made again"
            raise SourceError(f"cannot write: {error.strerror}", where=str(self._unfinished), hint=hint) from None
        for tagging in taggings:
            self.outcomes[tagging.outcome] += 1
            self.tokens.update(asdict(tagging.tokens))

    def finish(self, facts: Mapping[str, Any], engine: EngineInfo) -> None:
        """Give the output its name and write the manifest: counts, tokens, and what made them."""
        self._closing()
        self._unfinished.replace(self.path)
        text = json.dumps(
            {
                **facts,
                "rows": sum(self.outcomes.values()),
                "outcomes": dict(self.outcomes),
                "tokens": dict(self.tokens),
                "engine": asdict(engine),
                "output": self.path.name,
            },
            ensure_ascii=False,
            indent=2,
        )
        unfinished = self.manifest.with_suffix(".part")
        unfinished.write_text(text + "\n", "utf-8")
        unfinished.replace(self.manifest)

    def _closing(self) -> None:
        try:
            self._stack.close()
        except OSError as error:
            raise SourceError(f"cannot write: {error.strerror}", where=str(self._unfinished)) from None

    def _jsonl(self) -> Callable[[list[Tagging]], None]:
        file = self._stack.enter_context(self._unfinished.open("w", encoding="utf-8", errors="backslashreplace"))

        def write(taggings: list[Tagging]) -> None:
            file.writelines(json.dumps(t.to_dict(), ensure_ascii=False) + "\n" for t in taggings)
            file.flush()

        return write

    def _csv(self) -> Callable[[list[Tagging]], None]:
        file = self._stack.enter_context(
            self._unfinished.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="")
        )
        table = csv.DictWriter(file, self._columns)
        table.writeheader()

        def write(taggings: list[Tagging]) -> None:
            table.writerows(_flat(t) for t in taggings)
            file.flush()

        return write

    def _parquet(self) -> Callable[[list[Tagging]], None]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = [(c, pa.float64() if c.endswith(("_probability",)) else pa.string()) for c in self._columns]
        schema = pa.schema([(c, pa.int64() if c.endswith(("_start", "_end")) else kind) for c, kind in kinds])
        table = self._stack.enter_context(pq.ParquetWriter(self._unfinished, schema))

        def write(taggings: list[Tagging]) -> None:
            flat = [_flat(t) for t in taggings]
            table.write_table(pa.Table.from_pylist([{c: row.get(c) for c in self._columns} for row in flat], schema))

        return write


def _flat(tagging: Tagging) -> dict[str, Any]:
    """A tagging as one row of a table; values that are not text are written as JSON."""
    row = {key: value for key, value in tagging.to_dict().items() if key in FLAT}
    for name, tag in tagging.tags.items():
        text = (
            tag.value if tag.value is None or isinstance(tag.value, str) else json.dumps(tag.value, ensure_ascii=False)
        )
        places = (tag.evidence.start, tag.evidence.end) if tag.evidence else (None, None)
        row.update(zip(columns_of(name), (text, tag.probability, *places), strict=True))
    return row
