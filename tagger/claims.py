"""A sentence about a product and its tags in, the tags that prove all of it out, or what it says beyond them.

A sentence is read as a row of pieces: values and names of tags (stated.py), words that speak of a tag ("weighs"), words
that deny (denials.py), and small words that say nothing (lexicon.toml). It is proved where

- no word, number or sign is left over;
- each name, and each word that speaks of a tag, stands nearest to a value of such a tag, in one clause with it: "the
  sole is leather" is not proved by `sole: rubber` and `upper: leather`, nor "weighs 30 cm" by `length: 30 cm`;
- a value of a part (`sole: rubber`), and a bare number, stand with the whole name of their tag, and nothing else is
  said as if it were of the part (parts.py);
- what it denies is denied by a tag (`waterproof: no`), and what a tag denies is not said.

The check is one of words, not of meaning: prompts/README.md says what it cannot see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

from tagger.denials import denials
from tagger.lexicon import Token, lexicon, phrase, tokens
from tagger.parts import astray, names, what_it_is
from tagger.pieces import JOINTS, Piece, behind, joined_text
from tagger.stated import Role, Sayings, Stated

_ENDS = frozenset(".,;!。()")
"""Signs that end a clause, after NFKC. A question states nothing, so its sign is left over."""
_SIGNS = _ENDS | frozenset(':、-/&"“”')
_TURNS = frozenset(phrase(word) for word in ("but", "while", "whereas", "但", "但是", "而", "而且"))
"""Words that end a clause."""
_OF, _DE = phrase("of"), phrase("的")


@dataclass(frozen=True, slots=True)
class Trace:
    """The tags that prove a sentence, in the record's order, and why it is not proved: no reason if it is."""

    proof: tuple[Stated, ...]
    reasons: tuple[str, ...]


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
                reasons.append(
                    f"{pieces[n].text!r} is said without {names(self._sayings, pieces[n])}, of which it is the value"
                )
        reasons += astray(self._sayings, pieces)
        reasons += _made_up(pieces)
        reasons += denials(pieces)
        if not any(piece.role in ("value", "affirmed", "denied") for piece in pieces):
            reasons.append("states no tag")
        return Trace(tuple(self._sayings.tags[n] for n in sorted(proof)), tuple(dict.fromkeys(reasons)))

    def _pieces(self, row: Sequence[Token]) -> list[Piece]:
        """A sentence as pieces: from its beginning on the longest phrase each."""
        found: list[Piece] = []
        at = clause = 0
        while at < len(row):
            keys = tuple(token.key for token in row[at : at + self._sayings.longest])
            size = next((n for n in range(len(keys), 0, -1) if keys[:n] in self._sayings.of), 0)
            text = joined_text([token.text for token in row[at : at + (size or 1)]])
            if roles := self._sayings.of.get(keys[:size]):
                role = min(roles, key=get_args(Role).index)
                tags = frozenset(tag for tag in roles[role] if role != "value" or self._is_written(text, tag))
                found.append(Piece(text, keys[:size], role if tags or not roles[role] else "unknown", clause, tags))
            else:
                found.append(Piece(text, keys[:1], "sign" if keys[0] in _SIGNS else "unknown", clause))
            clause += keys[0] in _ENDS or keys[:size] in _TURNS
            at += size or 1
        return found

    def _is_written(self, text: str, tag: int) -> bool:
        """Whether words are a name as it is written: "perfect" is not the brand Perfect."""
        if not self._sayings.is_called(tag, lexicon().proper):
            return True
        name = joined_text([token.text for token in tokens(self._sayings.tags[tag].value)])
        return text.removesuffix("'s") in (name, name[:1].upper() + name[1:])

    def _bound(self, pieces: Sequence[Piece]) -> Iterator[str]:
        """Find for each cue the values that it speaks of, and say why one speaks of none of its own."""
        for n, cue in enumerate(pieces):
            if cue.role != "cue":
                continue
            if cue.keys in lexicon().bound:
                yield from self._linked(pieces, n)
                continue
            others = [v for v in range(len(pieces)) if self._reaches(pieces, n, v)]
            least = min((_between(pieces, n, v) for v in others), default=0)
            nearest = [v for v in others if _between(pieces, n, v) == least]
            cue.near = tuple(v for v in nearest if cue.tags & pieces[v].tags)  # an affirmed name is nobody's value
            if not cue.tags:
                yield f"{cue.text!r} speaks of what no tag states"
            elif not nearest:
                yield f"{cue.text!r} is said without its value"
            elif not cue.near:
                said = pieces[nearest[0]]
                yield f"{cue.text!r} is said of {said.text!r}, which is what {names(self._sayings, said)} states"

    def _linked(self, pieces: Sequence[Piece], n: int) -> Iterator[str]:
        """Of a word that only certain values may follow: say which of those that do may not. Where none does, one may
        stand before it."""
        cue = pieces[n]
        there = [v for v, piece in enumerate(pieces) if piece.role in ("value", "affirmed", "denied")]
        there = [v for v in there if pieces[v].clause == cue.clause]
        there = [v for v in there if cue.tags & pieces[v].tags or not what_it_is(self._sayings, pieces[v])]
        after, before = [v for v in there if v > n], [v for v in there if v < n]
        if not there:
            yield f"{cue.text!r} is said without its value"
            return
        at = after[0] if after else before[-1]
        cue.near = (at,)
        while at < len(pieces) and pieces[at].role in ("value", "affirmed", "denied"):
            said = pieces[at]
            if said.role == "value" and not any(tag in cue.tags or self._sayings.needed(tag) for tag in said.tags):
                yield f"{cue.text!r} is said of {said.text!r}, which is what {names(self._sayings, said)} states"
            at = behind(pieces, at, JOINTS)

    def _reaches(self, pieces: Sequence[Piece], n: int, v: int) -> bool:
        """Whether a cue may speak of a piece: a value or an affirmed name in its clause. What the product is stands in
        nobody's way in "the sole of this boot is rubber", and parts the two in "a rubber boot with a sole"."""
        cue, piece = pieces[n], pieces[v]
        if piece.role not in ("value", "affirmed") or piece.clause != cue.clause:
            return False
        own = cue.tags & piece.tags
        if not own:
            return not what_it_is(self._sayings, piece)
        between = pieces[min(n, v) + 1 : max(n, v)]
        if v < n and all(self._sayings.needed(tag) for tag in own):  # "rubber with a sole" is no rubber sole
            return all(
                one.keys in (_OF, _DE)
                or one.keys in lexicon().bound
                or (one.tags and not what_it_is(self._sayings, one))
                for one in between
            )
        owned = v > n and pieces[n + 1].keys == _OF
        return owned or not any(what_it_is(self._sayings, one) for one in between)

    def _own(self, pieces: Sequence[Piece], n: int) -> set[int]:
        """The tags whose value a piece is: those of which it says enough; among them, those that a cue there names."""
        named = {tag for cue in pieces if n in cue.near for tag in cue.tags}
        own = {tag for tag in pieces[n].tags if self._says_enough(tag, pieces, n)}
        return own & named or own

    def _says_enough(self, tag: int, pieces: Sequence[Piece], n: int) -> bool:
        """Whether a value that needs the name of its tag stands with it: a cue speaks of it, or of another value of the
        same tag in its clause."""
        keys, clause = pieces[n].keys, pieces[n].clause
        cues = [
            cue
            for cue in pieces
            if tag in cue.tags
            and cue.clause == clause
            and (n in cue.near or any(tag in pieces[v].tags and pieces[v].keys != keys for v in cue.near))
        ]
        bare = len(keys) == 1 and isinstance(keys[0], tuple) and keys[0][0] == ""
        told = {word for cue in cues for word in self._sayings.told(cue.keys, tag)}
        return self._sayings.needed(tag) <= told and (bool(cues) or not bare)


def _made_up(pieces: Sequence[Piece]) -> Iterator[str]:
    """Find two small Chinese words of one character each that stand side by side: they may be another word (可可)."""
    for one, two in pairwise(pieces):
        if all(p.role in ("carrier", "cue") and re.fullmatch("[\u3400-\u9fff]", p.text) for p in (one, two)):
            yield f"no tag states {one.text + two.text!r}"


def _between(pieces: Sequence[Piece], a: int, b: int) -> int:
    """How many pieces stand between two, signs aside."""
    return sum(piece.role != "sign" for piece in pieces[min(a, b) + 1 : max(a, b)])


def _unknown(pieces: Sequence[Piece]) -> list[str]:
    """What is left over, neighbours as one."""
    runs: list[list[str]] = [[]]
    for piece in pieces:
        if piece.role == "unknown":
            runs[-1].append(piece.text)
        elif runs[-1]:
            runs.append([])
    return [joined_text(run) for run in runs if run]
