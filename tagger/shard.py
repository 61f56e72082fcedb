"""Rows of a shard in, their contents out, by which answers are kept; and what the shard is made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from tagger.answers import content_key
from tagger.record import Record, Rejected


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a shard, with the content of each, its records by content, and for each what it is nearly the same
    as (near.py), if that was asked."""

    rows: Sequence[Record | Rejected]
    keys: Sequence[bytes | None]
    records: Mapping[bytes, Record]
    likes: Mapping[bytes, Record | None]


def digest(part: Part, settings: str) -> str:
    """What a shard is made of: its rows, and the records whose answers others take."""
    rows = ((one.id, key.hex() if key else str(one)) for one, key in zip(part.rows, part.keys, strict=True))
    likes = ((key.hex(), like.id, content_key(like).hex()) for key, like in part.likes.items() if like)
    told = [settings, *rows, *likes]
    return blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


def sealed(digest: str, path: Path) -> str:
    """What a shard is made of, and the size of its file: one that was cut is written anew."""
    return f"{digest} {path.stat().st_size if path.is_file() else None}"


def keys_of(part: Iterable[Record | Rejected]) -> list[bytes | None]:
    """The content of each record; None for what is none."""
    return [content_key(one) if isinstance(one, Record) else None for one in part]


def by_content(part: Iterable[Record | Rejected], keys: Iterable[bytes | None]) -> dict[bytes, Record]:
    """The records by their content, of equal ones the first."""
    found: dict[bytes, Record] = {}
    for one, key in zip(part, keys, strict=True):
        if key and isinstance(one, Record):
            found.setdefault(key, one)
    return found
