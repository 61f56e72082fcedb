"""A sentence in pieces in, what is wrong with what it denies, and with what it does not, out.

A word that denies does so to one thing: the next behind it, or a list that "or" joins. Two in one clause are too much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tagger.lexicon import lexicon, phrase
from tagger.pieces import ARTICLES, JOINTS, Piece, behind

_OR = frozenset(phrase(word) for word in ("or", "或", "、"))
_NOR = phrase("nor")


def denials(pieces: Sequence[Piece]) -> Iterator[str]:
    """What is wrong with what a sentence denies, and with what it does not."""
    deny = [n for n, piece in enumerate(pieces) if piece.role in ("negator", "free")]
    clauses = Counter(pieces[n].clause for n in deny if pieces[n].keys != _NOR)
    yield from (
        f"{pieces[n].text!r} denies in a clause that denies twice" for n in deny if clauses[pieces[n].clause] > 1
    )
    denied: set[int] = set()
    for n in deny:
        before = pieces[n].role == "free" and n > 0 and pieces[n - 1].role == "denied"
        at = n - 1 if before else _object(pieces, n)
        if at == len(pieces) or pieces[at].role != "denied" or pieces[at].clause != pieces[n].clause:
            yield f"no tag denies what {pieces[n].text!r} denies"
            continue
        denied.add(at)
        while not before and at + 1 < len(pieces) and pieces[at + 1].keys in _OR:
            if (also := behind(pieces, at + 1, ARTICLES)) == len(pieces) or pieces[also].role != "denied":
                break
            denied.add(also)
            at = also
        yield from _denied_too(pieces, max(at, n))
    yield from (f"a tag denies {p.text!r}" for n, p in enumerate(pieces) if p.role == "denied" and n not in denied)


def _object(pieces: Sequence[Piece], n: int) -> int:
    """The place of what a word denies: what it says, in "does not contain sugar", behind small words and verbs."""
    words = lexicon()
    return behind(pieces, n, (words.carriers | words.having | frozenset(words.bound)) - JOINTS)


def _denied_too(pieces: Sequence[Piece], at: int) -> Iterator[str]:
    """Find what is joined to something denied so that it is denied, too: not "no hood and 2 pockets"."""
    if at + 1 == len(pieces) or pieces[at + 1].keys not in JOINTS:
        return
    also = behind(pieces, at + 1, ARTICLES)
    if (
        also < len(pieces)
        and (said := pieces[also]).role in ("value", "affirmed")
        and not isinstance(said.keys[0], tuple)
    ):
        yield f"{said.text!r} is denied, and a tag states it"
