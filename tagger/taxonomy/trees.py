"""A file with a label tree that exists already in, a Proposal without rows out.

Read are the Google product taxonomy as Google hands it out (a path a line, with or without its number before it, a
comment on top) and CSV, either with a column `path` or with a column for each level.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tagger.errors import SourceError
from tagger.schema import PATH_SEPARATOR
from tagger.taxonomy.proposal import Label, Proposal

_NUMBER = re.compile(r"^\d+ - ")
_SEPARATOR = re.compile(r"\s*>\s*")
ID, PATH = "id", "path"
"""Columns of a CSV: one that is no level, and one that holds whole paths."""


def read_tree(path: Path) -> Proposal:
    """The leaves of a tree in a file: `.csv`, or `.txt` in Google's format.

    A path that goes on in another line is an inner node, no label. Raises SourceError for a missing file, another
    format, what is not UTF-8, an empty level and a path that stands there twice.
    """
    if not path.is_file():
        raise SourceError("no such file", where=str(path))
    readers = {".txt": _google, ".csv": _table}
    if path.suffix.lower() not in readers:
        hint = "give a .txt in the format of Google's product taxonomy, or a .csv of paths"
        raise SourceError(f"format {path.suffix!r} is not read as a tree", where=str(path), hint=hint)
    try:
        paths = _checked(readers[path.suffix.lower()](path), path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"cannot be read: {error}", where=str(path)) from None
    inner = {node[:depth] for node in paths for depth in range(1, len(node))}
    leaves = [PATH_SEPARATOR.join(node) for node in paths if node not in inner]
    return Proposal([Label(leaf) for leaf in leaves], facts={"source": path.name})


def _checked(lines: Iterable[tuple[int, tuple[str, ...]]], path: Path) -> list[tuple[str, ...]]:
    """The paths in order, each once."""
    seen: dict[tuple[str, ...], int] = {}
    found = []
    for number, node in lines:
        if not all(node):
            raise SourceError(f"a level without a name: {PATH_SEPARATOR.join(node)!r}", where=f"{path}:{number}")
        folded = tuple(name.casefold() for name in node)
        if folded in seen:
            told = f"{PATH_SEPARATOR.join(node)!r} stands already on line {seen[folded]}"
            raise SourceError(told, where=f"{path}:{number}", hint="keep one of them")
        seen[folded] = number
        found.append(node)
    if not found:
        raise SourceError("the file holds no path", where=str(path))
    return found


def _google(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, tuple(_SEPARATOR.split(_NUMBER.sub("", line.strip())))


def _table(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines, strict=True)
        names = [name for name in table.fieldnames or () if name.casefold() != ID]
        if not names:
            raise SourceError("no column of names", where=str(path), hint=f"call it {PATH}, or have one for each level")
        whole = next((name for name in names if name.casefold() == PATH), None)
        for row in table:
            if whole:
                yield table.line_num, tuple(_SEPARATOR.split((row[whole] or "").strip()))
                continue
            cells = [(row[name] or "").strip() for name in names]
            while cells and not cells[-1]:
                cells.pop()  # a shallower path leaves its last levels empty
            yield table.line_num, tuple(cells) or ("",)
