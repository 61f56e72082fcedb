"""The columns of a record in, the tags that they state out, and the phrases by which a sentence may say each.

A tag is a line `name: value`; a line without a colon is a value called as its column is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tagger.lexicon import Key, Phrase, lexicon, phrase

LONGEST = 16
"""Words or Chinese characters of a value: what is longer is free text, and proves nothing."""
Role = Literal["value", "affirmed", "denied", "carrier", "cue", "free", "negator"]
"""What a phrase is in a sentence: the value of a tag; the name of a tag that says yes (affirmed) or no (denied); a word
that says nothing; the name of a tag, or a word that speaks of one (cue); a word that denies what stands before it
(free) or behind it (negator). Of two that a phrase may have, the earlier one counts."""
_LINE = re.compile(r"[^\n]*\S[^\n]*")
_COLON = re.compile(r"：|(?<!\d):|:(?!\d)")
_APART = re.compile(r"(?:[;；、|]|,(?!\d)|，|(?<!\d)\s/\s(?!\d))(?![^(（]*[)）])")
"""What stands between the items of a list; in brackets it does not, for these belong to the item before them."""
_JOINED = re.compile(r"(\S+) (?:and|&) (\S+)")
"""Two words alone: in "hot and cold drinks" the drinks are of both."""
_COUNTED = re.compile("[数位量]$")


@dataclass(frozen=True, slots=True)
class Stated:
    """A tag; `start` and `end` count the characters of its line, without white space around it, in column `column`."""

    name: str
    value: str
    column: str
    start: int
    end: int


def stated(columns: Mapping[str, str]) -> list[Stated]:
    """The tags in the columns of a record, in order."""
    found = []
    for column, text in columns.items():
        for match in _LINE.finditer(text):
            line = match[0].strip()
            start = match.start() + match[0].index(line)
            parts = _COLON.split(line, maxsplit=1)
            name, value = parts if len(parts) == 2 and all(part.strip() for part in parts) else (column, line)
            found.append(Stated(name.strip(), value.strip(), column, start, start + len(line)))
    return found


class Sayings:
    """The phrases that a sentence about a record may be made of, each with its roles and, by their places in `tags`,
    the tags that it says or speaks of."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.tags = stated(columns)
        self.names = [name_words(tag.name) for tag in self.tags]
        self.of: dict[Phrase, dict[Role, set[int]]] = {}
        valued = {place for place, tag in enumerate(self.tags) if self._learn(place, tag)}
        self._learn_small_words(valued)
        self.longest = max(map(len, self.of))

    def needed(self, tag: int) -> set[Phrase]:
        """The words of a tag's name beside which alone its value may be said: none of a name that is known, else all,
        but not "material" behind others, nor what the value says itself (`cover: hardcover`)."""
        words, value = lexicon(), phrase(self.tags[tag].value)
        if self.is_called(tag, words.whole | words.pairs):
            return set()
        names = self.names[tag]
        names = names[:-1] if len(names) > 1 and names[-1] in words.dropped else names
        return {word for word in names if not _holds(value, word)}

    def is_called(self, tag: int, listed: frozenset[Phrase]) -> bool:
        """Whether the whole name of a tag is one of those listed."""
        return phrase(self.tags[tag].name) in listed

    def told(self, word: Phrase, tag: int) -> set[Phrase]:
        """The words of a tag's name that a cue tells: itself, those of which it is another word, or all of them."""
        words = lexicon()
        linked = self.is_called(tag, words.links.get(word, frozenset()))
        return {word, *words.cues.get(word, ()), *(self.names[tag] if linked else ())}

    def _learn(self, place: int, tag: Stated) -> bool:
        """Note by what a tag is said; whether it has a value, other than yes and no."""
        words, value = lexicon(), phrase(tag.value)
        if value in words.yes or value in words.no:
            self._add(phrase(tag.name), "affirmed" if value in words.yes else "denied", place)
            return False
        for word in self.names[place]:
            self._add(word, "cue", place)
        for item in _items(tag.value, split=not self.is_called(place, words.identity)):
            for said in (item, *words.same.get(item, ())):
                self._add(said, "value", place)
        return True

    def _learn_small_words(self, valued: set[int]) -> None:
        """Note the words of the lexicon; a cue of which no tag speaks has to be known, too."""
        words = lexicon()
        spoken: dict[Phrase, set[int]] = {}
        for cue, names in words.cues.items():
            spoken.setdefault(cue, set()).update(n for n in valued if not names.isdisjoint(self.names[n]))
        for cue, names in words.links.items():
            spoken.setdefault(cue, set()).update(n for n in valued if self.is_called(n, names))
        for cue, names in words.bound.items():
            spoken.setdefault(cue, set()).update(n for n in valued if self.names[n] and self.names[n][-1] in names)
        for cue, places in spoken.items():
            self.of.setdefault(cue, {}).setdefault("cue", set()).update(places)
        roles: tuple[tuple[Role, frozenset[Phrase]], ...] = (
            ("carrier", words.carriers | words.having), ("free", words.denied_before), ("negator", words.negators),
        )  # fmt: skip
        for role, listed in roles:
            for one in listed:
                self.of.setdefault(one, {}).setdefault(role, set())

    def _add(self, said: Phrase, role: Role, place: int) -> None:
        if 0 < len(said) <= LONGEST:
            self.of.setdefault(said, {}).setdefault(role, set()).add(place)


def name_words(name: str) -> list[Phrase]:
    """The words of a tag's name, without carriers; Chinese ones are told apart by known ones among them (鞋底 材质)."""
    words = lexicon()
    keys, known = phrase(name), words.segments()
    found: list[Phrase] = []
    rest: Phrase = ()
    at = 0
    while at < len(keys):
        size = next((n for n in range(len(keys) - at, 0, -1) if keys[at : at + n] in known), 0)
        if not size and _is_character(keys[at]):
            rest += (keys[at],)
            at += 1
            continue
        found += [*([rest] if rest else []), keys[at : at + (size or 1)]]
        rest, at = (), at + (size or 1)
    return [word for word in (*found, rest) if word and word not in words.carriers | words.having]


def _items(value: str, *, split: bool) -> list[Phrase]:
    """A value as a whole, and what it lists, with and without the brackets of an item. It is one where something in it
    is denied: in "no sugar, salt" the salt is, too (but in "non-slip, red" not the red)."""
    words, whole = lexicon(), phrase(value)
    listed = (words.negators | words.denied_before) - {phrase("non")}
    sizes = {len(one) for one in listed}
    if not split or any(whole[at : at + size] in listed for at in range(len(whole)) for size in sizes):
        return [whole]
    parts = [part.strip() for part in _APART.split(value)]
    pairs = [one for part in parts if (match := _JOINED.fullmatch(part)) for one in match.groups()]
    found = list(map(phrase, [value, *parts, *pairs]))
    found += [tuple(key for key in item if key not in ("(", ")")) for item in found]
    return list(dict.fromkeys(found))


def _holds(value: Phrase, word: Phrase) -> bool:
    """Whether a word of a name stands in a value (层 of 层数, cover in hardcover)."""
    if all(_is_character(key) for key in word):
        return set(_COUNTED.sub("", "".join(map(str, word)))) <= set(value)
    said = [one for one in value if isinstance(one, str)]
    return all(any(key == one or (len(str(key)) > 3 and one.endswith(str(key))) for one in said) for key in word)


def _is_character(key: Key) -> bool:
    return isinstance(key, str) and len(key) == 1
