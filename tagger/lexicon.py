"""A text in, the keys of its words and quantities out, by which texts of one meaning are the same; and the small words
that say nothing of a product by themselves (lexicon.toml), in the same keys.

A key forgets case, width and inflection ("boots", "boot") but not derivation ("colour", "colourful"), and of a quantity
how it is told (30 cm, 300 mm). Chinese characters are keys of their own, so that no segmenter decides what is a word.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from tagger.units import measured, named

Key = str | tuple[str, float]
"""A word's, or a quantity's: what it measures ("" for a bare number) and how much of it."""
Phrase = tuple[Key, ...]

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})|(?P<word>[^\W\d_\u3400-\u9fff]+(?:'[^\W\d_]+)?)|(?P<other>\S)")
_UNIT = re.compile(r"[ -]?(fl\.? ?oz|sq ?m|sq ?ft|%|[^\W\d_\u3400-\u9fff]+|[°″\"][CF]?)|([\u3400-\u9fff]{1,4})")
_NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SAME = str.maketrans({"，": "。", "×": "x", "’": "'", "–": "-", "—": "-", "～": "-", "~": "-"})
"""Signs of one meaning. A Chinese comma ends a clause; what a list has between its items is 、."""
_DERIVED = (
    "ful", "less", "ness", "ly", "able", "ible", "ation", "ity", "ic", "ical", "al", "ive", "ous", "er", "or", "est",
    "ism", "ist", "ment", "ish", "ant", "ent", "ance", "ence",
)  # fmt: skip
"""Endings that make another word; a stemmer takes some of them away."""
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
    negators: frozenset[Phrase]
    denied_before: frozenset[Phrase]
    privatives: frozenset[Phrase]
    yes: frozenset[Phrase]
    no: frozenset[Phrase]
    whole: frozenset[Phrase]
    identity: frozenset[Phrase]
    headed: frozenset[Phrase]
    cues: Mapping[Phrase, frozenset[Phrase]]
    links: Mapping[Phrase, frozenset[Phrase]]


@cache
def lexicon() -> Lexicon:
    """The lexicon of both languages."""
    told = tomllib.loads((Path(__file__).parent / "lexicon.toml").read_text("utf-8"))
    cues, links = (_spoken(told.pop(table)) for table in ("cues", "links"))
    return Lexicon(cues=cues, links=links, **{name: _phrases(words) for name, words in told.items()})


def phrase(text: str) -> Phrase:
    """The keys of a text, in order; hyphens between words say nothing."""
    return tuple(token.key for token in tokens(text))


def tokens(text: str) -> list[Token]:
    """The words, quantities and signs of a text."""
    return list(_tokens(unicodedata.normalize("NFKC", text.translate(_SAME))))


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
            yield Token(match["other"], match["other"])


def _within(text: str, place: int) -> bool:
    """Whether a hyphen joins two words, or a number and a word; between numbers it is a range."""
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return before.isalnum() and after.isalnum() and not (before.isdigit() and after.isdigit())


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
    return frozenset(map(_key, [*told["carriers"], *told["cues"], *told["links"]]))


@lru_cache(maxsize=50_000)
def _key(word: str) -> str:
    import snowballstemmer

    base = word.removesuffix("'s").removesuffix("'")
    if not base.isascii():
        return base
    stem = snowballstemmer.stemmer("english").stemWord(base)
    single = base if base.endswith("ss") else base.removesuffix("s")
    lost = (end for end in _DERIVED if single.endswith(end) and len(stem) <= len(single) - len(end))
    return f"{stem}|{next(lost, '')}"


def _spoken(table: Mapping[str, Iterable[str]]) -> Mapping[Phrase, frozenset[Phrase]]:
    """A word -> the names that it speaks of; inflections of one word together."""
    found: dict[Phrase, frozenset[Phrase]] = {}
    for word, names in table.items():
        found[phrase(word)] = found.get(phrase(word), frozenset()) | _phrases(names)
    return found


def _phrases(words: Iterable[str]) -> frozenset[Phrase]:
    return frozenset(phrase(word) for word in words)
