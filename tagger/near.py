"""Records in, for each the earlier record that is nearly the same out, so that one answer serves both.

MinHash with locality-sensitive hashing (Broder 1997; Leskovec et al., Mining of Massive Datasets, chapter 3) over
pieces of five characters. Nearly the same is not the same: records with other numbers or pictures are never taken for
each other, and an answer is only handed on where its texts stand in the other record, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

from tagger.errors import SettingsError
from tagger.evidence import find
from tagger.likeness import plain_text
from tagger.record import Record
from tagger.schema import ClaimsField, FieldBase, LabelsField, NumberField, takes_several, takes_spans

PIECE, HASHES = 5, 64
SURE = 0.9
"""Likeness beyond which bands of hashes cannot tell pairs apart."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A record that stands for those like it, and what these have to have in common with it."""

    place: int
    record: Record
    hashed: Any
    same: tuple[str, ...]


class Near:
    """The records that were met so far and stand for those like them; `least` is the Jaccard likeness, above 0 to 1."""

    def __init__(self, least: float) -> None:
        """Raises SettingsError for another `least`, and where the library is missing."""
        if not 0 < least <= 1:
            raise SettingsError(f"likeness is above 0 and at most 1, found {least:g}", hint="0.9, for instance")
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError:
            raise SettingsError("near-duplicates need datasketch", hint="pip install 'tagger[near]'") from None
        self._least = least
        # Copied for each record: drawing its permutations costs as much as hashing the record.
        self._blank = MinHash(num_perm=HASHES, hashfunc=crc32)
        # Bands that miss few pairs (those that are not alike enough are told apart by their hashes later).
        self._index = MinHashLSH(threshold=min(least, SURE), num_perm=HASHES, weights=(0.05, 0.95))
        self._known: dict[bytes, _Known] = {}

    def like(self, key: bytes, record: Record, group: str) -> Record | None:
        """The earlier record that stands for this one, the most alike and of those the first; None: it stands for
        itself from now on. Records of another group, which are asked other fields, are not looked at."""
        if key in self._known:
            return None
        text = plain_text(record)
        pieces = {text[i : i + PIECE].encode() for i in range(max(1, len(text) - PIECE + 1))}
        hashed = self._blank.copy()
        hashed.update_batch(sorted(pieces))
        seen = [picture.digest.hex() for picture in record.pictures.values()]
        own = _Known(len(self._known), record, hashed, (group, *seen, *re.findall(r"\S*\d\S*", text)))
        close = [known for name in self._index.query(hashed) if (known := self._known[name]).same == own.same]
        alike = {known.place: (hashed.jaccard(known.hashed), known.record) for known in close}
        if alike and (best := max(alike.items(), key=lambda item: (item[1][0], -item[0]))[1])[0] >= self._least:
            return best[1]
        self._known[key] = own
        self._index.insert(key, hashed)
        return None


def inherited(answer: Mapping[str, Any], fields: Mapping[str, FieldBase], record: Record) -> dict[str, Any] | None:
    """The answer of a record as that of one which is nearly the same, its evidence found there; None if a text of it
    does not stand there, it has a number, or it is no answer."""
    if answer["outcome"] in ("rejected", "failed"):
        return None
    tags = {}
    for name, tag in answer["tags"].items():
        field = fields[name]
        tags[name] = tag
        if "corrections" in tag:
            return None  # what stood there before a rule is the other record's
        if field.closed or isinstance(field, LabelsField):
            continue
        if tag["value"] is None or isinstance(field, NumberField | ClaimsField):
            return None  # what was nearly said there, a number in words and a description are the other record's
        several = takes_several(field)
        places = [find(text, record.values) for text in (tag["value"] if several else [tag["value"]])]
        if None in places:
            return None
        found = [asdict(place) for place in places if place]
        tags[name] = {**tag, "evidence": found if several else found[0]} if takes_spans(field) else tag
    return {**answer, "tags": tags, "tokens": dict.fromkeys(answer["tokens"], 0)}
