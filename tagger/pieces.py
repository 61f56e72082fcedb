"""What a sentence is cut into when it is held against tags, and how to step through it."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal

from tagger.lexicon import Phrase, phrase
from tagger.stated import Role

JOINTS = frozenset(phrase(word) for word in ("and", "or", "&", "和", "或", "与", "及", "、", ","))
"""What joins two words that are said of one thing. A Chinese comma ends a clause, and joins none."""
ARTICLES = frozenset(phrase(word) for word in ("a", "an", "the"))


@dataclass(slots=True)
class Piece:
    """Words of a sentence that are read as one; `tags` are those that they say, or speak of, by their places."""

    text: str
    keys: Phrase
    role: Role | Literal["sign", "unknown"]
    clause: int
    tags: frozenset[int] = frozenset()
    near: tuple[int, ...] = ()
    """Of a cue: the pieces with the values that it speaks of, by their places."""


def behind(pieces: Sequence[Piece], n: int, skipped: Set[Phrase]) -> int:
    """The place of the next piece behind one that is none of those skipped."""
    n += 1
    while n < len(pieces) and pieces[n].keys in skipped:
        n += 1
    return n


def joined_text(texts: Sequence[str]) -> str:
    """Words with spaces between them, Chinese characters without."""
    return re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", " ".join(texts))
