"""What repeated rows save: python -m eval repeats.

One catalogue, then the same number of rows of which a share are copies of others (the very same, or nearly), then the
first once more with some rows changed. The engine answers at a rate of its own, so time is what is asked of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.parquet as pq

from eval.growth import Tokenizing
from tagger.demo import catalogue
from tagger.pipeline import Tagger
from tagger.run import tag_file

COPIES, CHANGED, NEAR = 0.4, 0.01, 0.7
"""Share of rows that are copies, of rows that change before the second run, and the likeness from which records share
an answer."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: `share` is its time, and `tokens` its fresh tokens, as shares of those of the plain catalogue."""

    name: str
    seconds: float
    share: float
    tokens: float


def repeated(rows: int, served: float, model: str | None) -> Iterator[Cost]:
    """The cost of each catalogue of `rows`, the plain one first, with an engine that answers `served` rows a second."""
    titles = [product["title"] for product in catalogue("en")]
    plain = [f"{titles[n % len(titles)]}, no {n}" for n in range(rows)]
    first = round(rows * (1 - COPIES))
    changed = [title + (", changed" if n % round(1 / CHANGED) == 0 else "") for n, title in enumerate(plain)]
    catalogues = {
        "all different": (plain, None, "plain"),
        f"{COPIES:.0%} copies": ([plain[n % first] for n in range(rows)], None, "copies"),
        f"{COPIES:.0%} near copies": (
            [plain[n % first] + (" (new)" if n >= first else "") for n in range(rows)], NEAR, "near"
        ),
        f"again, {CHANGED:.0%} changed": (changed, None, "plain"),
    }  # fmt: skip
    tagger = Tagger("category", engine=Tokenizing(model, served))
    with tempfile.TemporaryDirectory() as place:
        before: tuple[float, int] | None = None
        for name, (lines, near, folder) in catalogues.items():
            source = Path(place) / f"{len(list(Path(place).iterdir()))}.parquet"
            _write(source, lines)
            begun = perf_counter()
            done = tag_file(tagger, source, Path(place) / folder, form="parquet", near=near)
            seconds, tokens = perf_counter() - begun, done.tokens["read"] - done.tokens["cached"]
            before = before or (seconds, tokens)
            yield Cost(name, seconds, seconds / before[0], tokens / before[1])


def _write(path: Path, titles: Sequence[str]) -> None:
    pq.write_table(pa.table({"id": [str(n) for n in range(len(titles))], "title": list(titles)}), path)
