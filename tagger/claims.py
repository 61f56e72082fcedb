"""A sentence about a product and its tags in, the tags that prove all of it out, or what it says beyond them.

A sentence is read as a row of pieces: values and names of tags (stated.py), words that speak of a tag ("weighs"), words
that deny, and small words that say nothing (lexicon.toml). It is proved where

- no word, number or sign is left over;
- each name, and each word that speaks of a tag, stands nearest to a value of such a tag: "the sole is leather" is not
  proved by `sole: rubber` and `upper: leather`, nor "weighs 30 cm" by `length: 30 cm`;
- a value of a part (`sole: rubber`), and a bare number, stand with the name of their tag;
- what it denies is denied by a tag (`waterproof: no`), and what a tag denies is not said.

The check is one of words, not of meaning: prompts/README.md says what it cannot see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tagger.lexicon import Phrase, Token, lexicon, phrase, tokens
from tagger.stated import Role, Sayings, Stated

NEAR = 3
"""Pieces that may stand between a word that denies and what it denies."""
_ENDS = frozenset(".,;:!。()")
"""Signs that end a clause, after NFKC. A question states nothing, so its sign is left over."""
_SIGNS = _ENDS | frozenset('、-/&"“”')
_TURNS = frozenset(phrase(word) for word in ("but", "while", "whereas", "但", "而"))
"""Words that end a clause."""
_JOINTS = frozenset(phrase(word) for word in ("and", "or", "nor", "和", "或", "与", "、", ","))


@dataclass(frozen=True, slots=True)
class Trace:
    """The tags that prove a sentence, in the record's order, and why it is not proved: no reason if it is."""

    proof: tuple[Stated, ...]
    reasons: tuple[str, ...]


@dataclass(slots=True)
class _Piece:
    """Words of a sentence that are read as one; `tags` are those that they say, or speak of, by their places."""

    text: str
    keys: Phrase
    role: Role | Literal["sign", "unknown"]
    clause: int
    tags: frozenset[int] = frozenset()
    near: tuple[int, ...] = ()
    """Of a cue: the pieces with the values that it speaks of, by their places."""


class Tracer:
    """Traces sentences to the tags in the columns of one record."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._sayings = Sayings(columns)

    def trace(self, sentence: str) -> Trace:
        """Hold a sentence against the tags."""
        pieces = self._pieces(tokens(sentence))
        values = [n for n, piece in enumerate(pieces) if piece.role == "value"]
        reasons = [f"no tag states {text!r}" for text in _unknown(pieces)]
        reasons += self._bound(pieces)
        proof = {min(piece.tags) for piece in pieces if piece.role in ("affirmed", "denied")}
        for n in values:
            if own := self._own(pieces, n):
                proof.add(min(own))
            else:
                name = self._sayings.tags[min(pieces[n].tags)].name
                reasons.append(f"{pieces[n].text!r} is said without {name!r}, of which it is the value")
        reasons += _denials(pieces)
        if not any(piece.role in ("value", "affirmed", "denied") for piece in pieces):
            reasons.append("states no tag")
        return Trace(tuple(self._sayings.tags[n] for n in sorted(proof)), tuple(dict.fromkeys(reasons)))

    def _pieces(self, row: Sequence[Token]) -> list[_Piece]:
        """A sentence as pieces: from its beginning on the longest phrase each."""
        found: list[_Piece] = []
        at = clause = 0
        while at < len(row):
            keys = tuple(token.key for token in row[at : at + self._sayings.longest])
            size = next((n for n in range(len(keys), 0, -1) if keys[:n] in self._sayings.of), 0)
            text = _joined([token.text for token in row[at : at + (size or 1)]])
            if roles := self._sayings.of.get(keys[:size]):
                role = min(roles, key=get_args(Role).index)
                found.append(_Piece(text, keys[:size], role, clause, frozenset(roles[role])))
            else:
                found.append(_Piece(text, keys[:1], "sign" if text in _SIGNS else "unknown", clause))
            clause += text in _ENDS or keys[:size] in _TURNS
            at += size or 1
        return found

    def _bound(self, pieces: Sequence[_Piece]) -> Iterator[str]:
        """Find for each cue the values that it speaks of, and say why one speaks of none of its own."""
        values = [n for n, piece in enumerate(pieces) if piece.role in ("value", "affirmed")]
        for n, cue in enumerate(pieces):
            if cue.role != "cue":
                continue
            # "The sole of this boot is rubber": what the product is stands in nobody's way.
            others = [v for v in values if cue.tags & pieces[v].tags or not self._what_it_is(pieces[v])]
            others = [v for v in others if pieces[v].clause == cue.clause] or others
            least = min((_between(pieces, n, v) for v in others), default=0)
            nearest = [v for v in others if _between(pieces, n, v) == least]
            cue.near = tuple(v for v in nearest if cue.tags & pieces[v].tags)  # an affirmed name is nobody's value
            if not cue.tags:
                yield f"{cue.text!r} speaks of what no tag states"
            elif not nearest:
                yield f"{cue.text!r} is said without its value"
            elif not cue.near:
                said = pieces[nearest[0]]
                names = " or ".join(repr(self._sayings.tags[tag].name) for tag in sorted(said.tags))
                yield f"{cue.text!r} is said of {said.text!r}, which is what {names} states"

    def _what_it_is(self, value: _Piece) -> bool:
        return all(self._sayings.what_it_is(tag) for tag in value.tags)

    def _own(self, pieces: Sequence[_Piece], n: int) -> set[int]:
        """The tags whose value a piece is: those of which it says enough; among them, those that a cue there names."""
        named = {tag for cue in pieces if n in cue.near for tag in cue.tags}
        own = {tag for tag in pieces[n].tags if self._says_enough(tag, pieces, n)}
        return own & named or own

    def _says_enough(self, tag: int, pieces: Sequence[_Piece], n: int) -> bool:
        """Whether a value that needs the name of its tag stands with it: a cue speaks of it, or of another value of the
        same tag."""
        keys = pieces[n].keys
        cues = [
            cue
            for cue in pieces
            if tag in cue.tags
            and (n in cue.near or any(tag in pieces[v].tags and pieces[v].keys != keys for v in cue.near))
        ]
        bare = len(keys) == 1 and isinstance(keys[0], tuple) and keys[0][0] == ""
        told = {word for cue in cues for word in (cue.keys, *lexicon().cues.get(cue.keys, ()))}
        return self._sayings.needed(tag) <= told and (bool(cues) or not bare)


def _denials(pieces: Sequence[_Piece]) -> Iterator[str]:
    """What is wrong with what a sentence denies, and with what it does not."""
    used: set[int] = set()
    for n, piece in enumerate(pieces):
        if piece.role != "denied":
            continue
        before = [m for m in range(max(0, n - NEAR - 1), n) if pieces[m].role == "negator"]
        before = [m for m in before if pieces[m].clause == piece.clause]
        behind = [m for m in (n + 1,) if m < len(pieces) and pieces[m].role == "free"]
        if not before and not behind:
            yield f"a tag denies {piece.text!r}"
            continue
        used |= {*before, *behind}
        end = n
        while end + 1 < len(pieces) and pieces[end + 1].keys in _JOINTS:
            end += 2
        said = [p.text for p in pieces[min([*before, n]) : end + 1] if p.role in ("value", "affirmed")]
        yield from (f"{text!r} is denied, and a tag states it" for text in said)
    for n, piece in enumerate(pieces):
        if piece.role in ("negator", "free") and n not in used:
            yield f"no tag denies what {piece.text!r} denies"


def _between(pieces: Sequence[_Piece], a: int, b: int) -> int:
    """How many pieces stand between two, signs aside."""
    return sum(piece.role != "sign" for piece in pieces[min(a, b) + 1 : max(a, b)])


def _unknown(pieces: Sequence[_Piece]) -> list[str]:
    """What is left over, neighbours as one."""
    runs: list[list[str]] = [[]]
    for piece in pieces:
        if piece.role == "unknown":
            runs[-1].append(piece.text)
        elif runs[-1]:
            runs.append([])
    return [_joined(run) for run in runs if run]


def _joined(texts: Sequence[str]) -> str:
    """Words with spaces between them, Chinese characters without."""
    return re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", " ".join(texts))
