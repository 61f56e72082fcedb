"""A sentence in pieces in, what it says of a part of the product that tags say of the product, or of another part, out.

`colour: black` and `sole: rubber` do not prove "a black rubber sole", nor does `lid: yes` with them "the lid is black".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tagger.lexicon import lexicon, phrase
from tagger.pieces import JOINTS, Piece, behind
from tagger.stated import Sayings

_OF, _NOR, _DE = phrase("of"), phrase("nor"), phrase("的")
_PRONOUNS = frozenset(
    phrase(word)
    for word in ("it", "its", "they", "their", "this", "these", "it", "它", "其", "这款", "本品", "该款", "here")
)
_VERBS = frozenset(phrase(word) for word in ("is", "are", "has", "have", "comes", "was", "were", "是", "为", "有"))
_SAID = ("value", "affirmed", "denied")


def what_it_is(sayings: Sayings, piece: Piece) -> bool:
    """Whether a piece says what the product is, as its category and its brand do."""
    return piece.role == "value" and all(sayings.is_called(tag, lexicon().identity) for tag in piece.tags)


def names(sayings: Sayings, piece: Piece) -> str:
    """The names of the tags of a piece, for a reason."""
    return " or ".join(repr(sayings.tags[tag].name) for tag in sorted(piece.tags))


def astray(sayings: Sayings, pieces: Sequence[Piece]) -> Iterator[str]:
    """What is said of a part, or as if it were one, though no tag says it of that part."""
    for n, piece in enumerate(pieces):
        if _is_value_of_part(sayings, piece):
            yield from (_astray(sayings, pieces, other, n) for other in _beside(sayings, pieces, n))
            if not any(isinstance(key, tuple) for key in piece.keys) and _is_followed(sayings, pieces, n):
                yield _astray(sayings, pieces, n, n + 1)
        if piece.keys in lexicon().having and (at := _had(sayings, pieces, n)) is not None:
            yield _astray(sayings, pieces, at, n)
        if piece.role == "affirmed" and _is_noun(sayings, pieces, n):
            yield _astray(sayings, pieces, n - 1, n)
        if piece.role in _SAID and not what_it_is(sayings, piece) and (part := _owner(sayings, pieces, n)) is not None:
            yield _astray(sayings, pieces, n, part)


def _astray(sayings: Sayings, pieces: Sequence[Piece], said: int, of: int) -> str:
    return f"{pieces[said].text!r} is said of {pieces[of].text!r}, and is what {names(sayings, pieces[said])} states"


def _is_value_of_part(sayings: Sayings, piece: Piece) -> bool:
    return piece.role == "value" and all(sayings.needed(tag) for tag in piece.tags)


def _describes(sayings: Sayings, piece: Piece) -> bool:
    return piece.role == "value" and not what_it_is(sayings, piece)


def _named(pieces: Sequence[Piece], n: int) -> bool:
    return any(n in cue.near for cue in pieces)


def _beside(sayings: Sayings, pieces: Sequence[Piece], n: int) -> Iterator[int]:
    """What stands in a row with the value of a part, and has no name: "a black rubber sole", "is rubber and black"."""
    last = n
    while (last := behind(pieces, last, JOINTS)) < len(pieces) and _describes(sayings, pieces[last]):
        if not _named(pieces, last):
            yield last
    first = n
    while first and (_describes(sayings, pieces[first - 1]) or pieces[first - 1].keys in JOINTS | {_DE}):
        first -= 1
        if pieces[first].role == "value" and not _named(pieces, first):
            yield first


def _is_followed(sayings: Sayings, pieces: Sequence[Piece], n: int) -> bool:
    """Whether what the product is follows the value of a part, as if that were its own: "the sole: rubber shoe"."""
    return n + 1 < len(pieces) and what_it_is(sayings, pieces[n + 1])


def _is_noun(sayings: Sayings, pieces: Sequence[Piece], n: int) -> bool:
    """Whether an affirmed name is a noun to the value before it: "a red lid", but not "a red foldable chair"."""
    first = n - 1
    while first > 0 and what_it_is(sayings, pieces[first]) and pieces[n].text.isascii():
        first -= 1  # "a red cup lid"
    if first < 0 or not _describes(sayings, pieces[first]) or _named(pieces, first):
        return False
    return n + 1 == len(pieces) or pieces[n + 1].role != "value"


def _had(sayings: Sayings, pieces: Sequence[Piece], n: int) -> int | None:
    """What is said to be had that no product has but is, or looks like: "it has gold" of `colour: gold`."""
    words = lexicon()
    at = behind(pieces, n, words.carriers)
    if at == len(pieces) or pieces[at].role != "value" or _named(pieces, at):
        return None
    return at if all(sayings.is_called(tag, words.identity | words.looks) for tag in pieces[at].tags) else None


def _owner(sayings: Sayings, pieces: Sequence[Piece], n: int) -> int | None:
    """The part of which a sentence says something that stands at a place: what comes before it there, behind small
    words and those that speak of it, or the subject of its clause. None where that is the product."""
    piece, words = pieces[n], lexicon()
    small = words.carriers | words.having | frozenset(words.bound) | (words.negators - {_NOR})
    at, steps = n - 1, 0
    while at >= 0 and pieces[at].clause == piece.clause and pieces[at].keys not in _PRONOUNS:
        before = pieces[at]
        if before.keys in JOINTS:
            if pieces[at + 1].keys not in _VERBS:
                return None
            first = next(
                m for m, one in enumerate(pieces) if one.clause == piece.clause and one.keys not in small - _PRONOUNS
            )
            return first if _is_part(sayings, pieces[first], piece) else None
        if what_it_is(sayings, before):
            while at > 0 and (what_it_is(sayings, pieces[at]) or pieces[at].keys in small - {_OF}):
                at -= 1
            if pieces[at].keys != _OF:
                return None
        elif before.keys not in small and not (before.role == "cue" and before.tags & piece.tags):
            return at if steps and _is_part(sayings, before, piece) else None
        steps += before.role != "sign"
        at -= 1
    return None


def _is_part(sayings: Sayings, part: Piece, said: Piece) -> bool:
    """Whether a piece is a part of the product, or the value of one, and what is said is no value of it."""
    if part.tags & said.tags or part.role not in ("cue", *_SAID):
        return False
    return part.role in ("affirmed", "denied") or any(sayings.needed(tag) for tag in part.tags)
