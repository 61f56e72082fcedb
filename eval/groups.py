"""Files of rows and one of their columns in, the group of every row out: its value, its band, its week or month.

Rows are known by their ids, as `tagger tag` and the readers of labelled rows call them. What cannot be read is counted
and named, never guessed: dates are written year first, numbers plainly.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tagger.errors import SourceError
from tagger.example import dig
from tagger.formats import rows
from tagger.record import ID, Record, Rejected, printable, read_record
from tagger.sources import files

Every = Literal["day", "week", "month", "quarter"]
OTHERS, EMPTY = "(others)", "(empty)"
MOST_GROUPS = 30
"""Values of a column that are groups of their own: the most frequent; the rest are OTHERS."""
BANDS = 4
_DATE = re.compile(r"(\d{4})([-/.年])(\d{1,2})(?:([-/.月])(\d{1,2})日?(?:[T ].*)?|月?)", re.DOTALL)


@dataclass(frozen=True)
class Groups:
    """The group of each row, by its id."""

    of: Mapping[str, str]
    unread: Mapping[str, str]
    """Rows in no group, with what stands in their column, as text."""

    def told(self, name: str, wanted: str) -> list[str]:
        """What a reader has to know of rows in no group."""
        if not self.unread:
            return []
        first, text = next(iter(self.unread.items()))
        number, left = len(self.unread), "rows have" if len(self.unread) > 1 else "row has"
        return [f"{number:,} {left} no {wanted} in {name!r}, left out here; the first is {first!r}: {text!r}."]


def cells(source: Path, name: str, mapping: Mapping[str, str] | None = None) -> dict[str, Any]:
    """By the id of each row of a catalogue, a file or a folder, what stands in column `name`; of two rows with one id
    the first counts, as it does to `tagger tag`.

    `mapping` says which column is the id. Raises SourceError where no row has the column, or the id.
    """
    found: dict[str, Any] = {}
    seen: dict[str, None] = {}
    key = (mapping or {}).get(ID, ID)
    for path in files(source):
        called = printable(path.relative_to(source).as_posix() if source.is_dir() else path.name)
        for number, row in enumerate(
            rows(path, lambda names: [n for n in names if n in (name, key)] or list(names)), 1
        ):
            if isinstance(row, Mapping):
                seen |= dict.fromkeys(map(str, row))
            identity = _id(row, f"{called}:{number}", mapping)
            found.setdefault(identity, row.get(name) if isinstance(row, Mapping) else None)
    for needed in (name, *([key] if mapping and ID in mapping else [])):
        if needed not in seen:
            raise SourceError(f"no column {needed!r} (there are: {', '.join(seen)})", where=str(source))
    return found


def labelled_cells(sources: Sequence[Path], name: str) -> dict[str, Any]:
    """The same of JSONL files of labelled rows; `name` may be a dotted path into a row ("labels.brand").

    Raises SourceError where no row has it.
    """
    found: dict[str, Any] = {}
    for path in sources:
        for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
            if line.strip():
                row = json.loads(line)
                record = row["record"] if "record" in row and "answer" in row else row
                value = dig(row, name)
                found.setdefault(_id(record, str(number), None), dig(record, name) if value is None else value)
    if all(value is None for value in found.values()):
        raise SourceError(f"no row has a column {name!r}", where=", ".join(map(str, sources)))
    return found


def by_value(found: Mapping[str, Any], most: int = MOST_GROUPS) -> Groups:
    """Rows by what stands in the column; beyond the `most` frequent values they are OTHERS, without one EMPTY."""
    texts = {name: _text(value) or EMPTY for name, value in found.items()}
    often = {text for text, _ in Counter(texts.values()).most_common(most)}
    return Groups({name: text if text in often else OTHERS for name, text in texts.items()}, {})


def by_band(found: Mapping[str, Any], parts: int = BANDS) -> Groups:
    """Rows in `parts` bands of numbers, about equally many in each; equal numbers are in one band.

    Raises SourceError where no row has a number.
    """
    numbers, unread = {}, {}
    for name, value in found.items():
        number = _number(value)
        if number is None:
            unread[name] = _text(value)
        else:
            numbers[name] = number
    if not numbers:
        raise SourceError("no row has a number there", hint="numbers are written plainly: 1299.5")
    ordered = np.sort(list(numbers.values()))
    bounds = np.unique(np.quantile(ordered, np.arange(1, parts) / parts, method="lower"))
    bounds = bounds[bounds < ordered[-1]]
    ends = [f"up to {bound:g}" for bound in bounds[:1]]
    ends += [f"over {low:g}, up to {high:g}" for low, high in pairwise(bounds)]
    ends += [f"over {bounds[-1]:g}"] if len(bounds) else [f"up to {ordered[-1]:g}"]
    names = [f"{place} of {len(ends)}, {end}" for place, end in enumerate(ends, start=1)]
    places = np.searchsorted(bounds, list(numbers.values()), side="left")
    return Groups({name: names[place] for name, place in zip(numbers, places.tolist(), strict=True)}, unread)


def by_period(found: Mapping[str, Any], every: Every) -> Groups:
    """Rows by the day, ISO week, month or quarter of a date; names of periods sort by time.

    Dates are read as `read_date` does. Raises SourceError where no row has one.
    """
    of, unread = {}, {}
    for name, value in found.items():
        day = read_date(value, whole=every in ("day", "week"))
        if day is None:
            unread[name] = _text(value)
        else:
            of[name] = period(day, every)
    if not of:
        told = f"no row has a date there; the first is {next(iter(unread.values()), '')!r}"
        raise SourceError(told, hint="dates are written year first: 2024-01-31, 2024/1/31, 2024年1月31日")
    return Groups(of, unread)


def period(day: date, every: Every) -> str:
    """The period that a day is in: 2024-01-31, 2024-W05, 2024-01, 2024-Q1."""
    year, week, _ = day.isocalendar()
    return {
        "day": day.isoformat(),
        "week": f"{year:04}-W{week:02}",
        "month": f"{day:%Y-%m}",
        "quarter": f"{day:%Y}-Q{(day.month + 2) // 3}",
    }[every]


def start_of(name: str) -> date:
    """The first day of a period."""
    if "Q" in name:
        return date(int(name[:4]), 3 * int(name[-1]) - 2, 1)
    if "W" in name:
        return date.fromisoformat(f"{name}-1")
    return date.fromisoformat(name if len(name) > 7 else f"{name}-01")


def read_date(value: Any, *, whole: bool) -> date | None:
    """A date: one of a table, or text with the year first (ISO 8601 with or without a time, 2024/1/31, 2024年1月31日);
    of a time with a zone the day that is written. A month without a day is its first, unless the date must be `whole`.

    None for all else: of 03/04/2024 nobody can tell what it means.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = _text(value)
    if re.fullmatch(r"(19|20)\d{6}", text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    found = _DATE.fullmatch(text)
    if not found or (found[5] is None and whole) or (found[4] and found[4] != {"年": "月"}.get(found[2], found[2])):
        return None
    try:
        return date(int(found[1]), int(found[3]), int(found[5] or 1))
    except ValueError:
        return None


def _id(row: Any, name: str, mapping: Mapping[str, str] | None) -> str:
    """What a row is called."""
    if isinstance(row, Rejected):
        return name
    found: Record | Rejected = read_record(row, {}, name, mapping)
    return found.id


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()


def _number(value: Any) -> float | None:
    try:
        number = float("nan") if isinstance(value, bool) else float(_text(value))
    except ValueError:
        return None
    return number if isfinite(number) else None


def in_order(names: Iterable[str]) -> Iterator[str]:
    """Names of groups as they are shown: by name, what is pooled or empty last."""
    yield from sorted(set(names), key=lambda name: (name in (OTHERS, EMPTY), name))
