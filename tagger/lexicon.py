"""A text in, the keys of its words and quantities out, by which texts of one meaning are the same; and the small words
that say nothing of a product by themselves (lexicon.toml), in the same keys.

A key forgets case, width and the endings -s and -'s ("boots", "boot"), but not -ing and -ed, which make other words as
often (coat, coating), nor any other; and of a quantity it forgets how it is told (30 cm, 300 mm). Chinese characters
are keys of their own, so that no segmenter decides what is a word.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tagger.units import measured, named

_TABLES = ("same", "cues", "links", "bound")
Key = str | tuple[str, float]
"""A word's, or a quantity's: what it measures ("" for a bare number) and how much of it."""
Phrase = tuple[Key, ...]

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})|(?P<word>[^\W\d_\u3400-\u9fff]+(?:'[^\W\d_]+)?)|(?P<other>\S)")
_UNIT = re.compile(r"[ -]?(fl\.? ?oz|sq ?m|sq ?ft|%|[^\W\d_\u3400-\u9fff]+|[°″\"][CF]?)|([\u3400-\u9fff]{1,4})")
_NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SAME = str.maketrans({"，": "。", "×": "x", "’": "'", "–": "-", "—": "-", "～": "-", "~": "-", "−": "-"})
"""Signs of one meaning. A Chinese comma ends a clause; what a list has between its items is 、."""
_NO_PLURALS = frozenset({"glasses", "goods", "shorts", "briefs", "tights", "boxers", "overalls", "trunks", "greens"})
"""Words in -s that are other things than many of the word without it."""
_SIZES = frozenset({"码", "两"})
"""Units that mostly are something else behind a number: a shoe size, a pair."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a quantity or a sign as it is written (NFKC), and its key."""

    text: str
    key: Key


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The lists of lexicon.toml, which says what each is for, in keys."""

    carriers: frozenset[Phrase]
    having: frozenset[Phrase]
    negators: frozenset[Phrase]
    denied_before: frozenset[Phrase]
    yes: frozenset[Phrase]
    no: frozenset[Phrase]
    whole: frozenset[Phrase]
    pairs: frozenset[Phrase]
    dropped: frozenset[Phrase]
    looks: frozenset[Phrase]
    identity: frozenset[Phrase]
    proper: frozenset[Phrase]
    same: Mapping[Phrase, frozenset[Phrase]]
    cues: Mapping[Phrase, frozenset[Phrase]]
    links: Mapping[Phrase, frozenset[Phrase]]
    bound: Mapping[Phrase, frozenset[Phrase]]

    def segments(self) -> frozenset[Phrase]:
        """The words by which a Chinese name is told apart."""
        return self.whole.union(self.dropped, *self.cues.values(), *self.bound.values()) - self.pairs


@cache
def lexicon() -> Lexicon:
    """The lexicon of both languages."""
    told = tomllib.loads((Path(__file__).parent / "lexicon.toml").read_text("utf-8"))
    same, cues, links, bound = (_spoken(told.pop(name)) for name in _TABLES)
    lists = {name: _phrases(words) for name, words in told.items()}
    return Lexicon(same=same, cues=cues, links=links, bound=bound, **lists)


def phrase(text: str) -> Phrase:
    """The keys of a text, in order; hyphens between words say nothing."""
    return tuple(token.key for token in tokens(text))


def tokens(text: str) -> list[Token]:
    """The words, quantities and signs of a text. One that belongs to a number (-18, .5) has a key of its own."""
    found = list(_tokens(unicodedata.normalize("NFKC", text.translate(_SAME))))
    for n, token in enumerate(found):
        beside = found[max(0, n - 1) : n + 2]
        if token.text in ("-", "/") and any(isinstance(one.key, tuple) for one in beside):
            found[n] = Token(token.text, f"{token.text} of a number")
    return found


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while match := _TOKEN.search(text, at):
        at = match.end()
        if number := match["number"]:
            value = float(number.replace(",", ""))
            unit, at = _unit(text, at)
            yield Token(text[match.start() : at], (_measured(value, unit) if unit else None) or ("", value))
        elif word := match["word"]:
            plain = word.casefold()
            yield Token(word, ("", float(_NUMERALS.index(plain))) if plain in _NUMERALS else _key(plain))
        elif not (match["other"] == "-" and _within(text, match.start())):
            sign = match["other"]
            counted = sign in ".,:" and text[at : at + 1].isdigit() and (sign != ":" or text[: at - 1][-1:].isdigit())
            yield Token(sign, f"{sign} of a number" if counted else sign)


def _within(text: str, place: int) -> bool:
    """Whether a hyphen joins two words, or a number and a word; before a number it may be a minus, or a range."""
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return before.isalnum() and after.isalpha()


def _unit(text: str, at: int) -> tuple[str, int]:
    """The unit that stands at a place behind a number, and where it ends; "" and the place where none does."""
    match = _UNIT.match(text, at)
    if not match:
        return "", at
    if han := match[2]:
        sizes = range(len(han), 0, -1)
        found = next((han[:n] for n in sizes if named(han[:n]) and han[:n] not in _SIZES), "")
        return found, at + len(found)
    unit, end = match[1], match.end()
    if _key(unit.casefold()) in _small():  # "size 42 in black", "all 6 are": inches stand right behind, or at the end
        alone = match[0] == unit or not re.match(r"\s*\w", text[end:])
        return (unit, end) if unit == "in" and alone else ("", at)
    return (unit, end) if _measured(1.0, unit) else ("", at)


def _measured(value: float, unit: str) -> tuple[str, float] | None:
    """As `units.measured`, in the case that is written (mW, MW) or else in lower case."""
    return measured(value, unit) or measured(value, unit.casefold())


@cache
def _small() -> frozenset[str]:
    """The carriers and cues of one word, read without looking for units in them."""
    told = tomllib.loads((Path(__file__).parent / "lexicon.toml").read_text("utf-8"))
    return frozenset(
        map(_key, [*told["carriers"], *told["having"], *(word for name in _TABLES[1:] for word in told[name])])
    )


def _key(word: str) -> str:
    base = word.removesuffix("'s").removesuffix("'")
    if not base.isascii() or len(base) < 4 or base in _NO_PLURALS or base.endswith(("ss", "us", "is")):
        return base
    if base.endswith("ies") and len(base) > 4:
        return base[:-3] + "y"
    return base[:-2] if base.endswith(("sses", "shes", "ches", "xes")) else base.removesuffix("s")


def _spoken(table: Mapping[str, Iterable[str]]) -> Mapping[Phrase, frozenset[Phrase]]:
    """A word -> the names that it speaks of; inflections of one word together."""
    found: dict[Phrase, frozenset[Phrase]] = {}
    for word, names in table.items():
        found[phrase(word)] = found.get(phrase(word), frozenset()) | _phrases(names)
    return found


def _phrases(words: Iterable[str]) -> frozenset[Phrase]:
    return frozenset(phrase(word) for word in words)
