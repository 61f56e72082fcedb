"""A value and a record in, the characters that prove the value out.

Comparison ignores case, full and half width, compatibility forms (NFKC) and the amount of white space,
as a reader does; offsets always count characters (Unicode code points) of the text as it came.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tagger.schema import plain_number


@dataclass(frozen=True, slots=True)
class Evidence:
    """`text` stands in column `column` from character `start` up to, not including, `end`."""

    column: str
    start: int
    end: int
    text: str


def find(value: str, columns: Mapping[str, str]) -> Evidence | None:
    """The first place where `value` stands, columns in order: letter for letter as whole words; else as a reader
    compares, whole words before parts of words."""
    exact, wanted = value.strip(), _folded(value)[0].strip()
    if not wanted:
        return None
    for column, text in columns.items():
        if (at := next((at for at in _places(exact, text) if _whole(text, at, at + len(exact))), None)) is not None:
            return Evidence(column, at, at + len(exact), exact)
    for column, text in columns.items():
        folded, origin = _folded(text)
        if (at := _place(wanted, folded)) is not None:
            start, end = origin[at][0], origin[at + len(wanted) - 1][1]
            return Evidence(column, start, end, text[start:end])
    return None


def find_number(value: float | Mapping[str, Any], columns: Mapping[str, str]) -> Evidence | None:
    """The first place where a number stands in digits, as 1250, 1,250 or 1250.0; of a quantity rather one with its unit
    behind it, which is then part of the place. Digits within a longer number are none of it, nor are those of a
    quantity in another unit: 3500W does not prove 3500 kg. (A unit in another script may be its name: 500克.)"""
    number, unit = (value["value"], value["unit"]) if isinstance(value, Mapping) else (value, "")
    whole, _, part = plain_number(abs(number)).partition(".")
    decimals = rf"[.,]{part}0*" if part else r"(?:[.,]0+)?"
    sign = "-" if number < 0 else ""
    digits = rf"(?<!\d)(?<!\d[.,]){sign}(?:{whole}|{int(whole):,}){decimals}(?!\d)(?![.,]\d)"
    named = re.escape(_folded(unit)[0])
    words = "|".join(map(re.escape, _folded(unit)[0].split()))
    behind = [rf"\s?{named}(?![^\W\d_])", rf"(?={words}|[^a-z]|$)"] if unit else [""]
    for pattern in (digits + more for more in behind):
        for column, text in columns.items():
            folded, origin = _folded(text)
            if place := re.search(pattern, folded):
                start, end = origin[place.start()][0], origin[place.end() - 1][1]
                return Evidence(column, start, end, text[start:end])
    return None


def same(first: str, second: str) -> bool:
    """Whether two texts are one to a reader."""
    return _folded(first)[0].strip() == _folded(second)[0].strip()


def _place(wanted: str, text: str) -> int | None:
    places = list(_places(wanted, text))
    return next((at for at in places if _whole(text, at, at + len(wanted))), places[0] if places else None)


def _places(wanted: str, text: str) -> Iterator[int]:
    at = text.find(wanted)
    while at >= 0:
        yield at
        at = text.find(wanted, at + 1)


def _whole(text: str, start: int, end: int) -> bool:
    """Whether no letter or digit of the same word goes on at either end (scripts without spaces: always)."""
    before = start > 0 and _joined(text[start - 1], text[start])
    after = end < len(text) and _joined(text[end - 1], text[end])
    return not before and not after


def _joined(left: str, right: str) -> bool:
    return left.isascii() and right.isascii() and left.isalnum() and right.isalnum()


def _folded(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text as a reader compares it, and for each of its characters the range it comes from.

    A character is folded together with the combining marks behind it, for NFKC may join them.
    """
    folded: list[str] = []
    origin: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        for char in unicodedata.normalize("NFKC", text[start:end]).casefold():
            if char.isspace():
                if folded and folded[-1] == " ":
                    continue
                char = " "
            folded.append(char)
            origin.append((start, end))
        start = end
    return "".join(folded), origin
