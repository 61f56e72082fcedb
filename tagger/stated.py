"""The columns of a record in, the tags that they state out, and the phrases by which a sentence may say each.

A tag is a line `name: value`; a line without a colon is a value called as its column is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
_APART = re.compile(r"[;；、|()（）]|,(?!\d)|，|\s/\s")
_JOINED = re.compile(r"\band\b|&|和|与|及")


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
        """The words of a tag's name beside which alone its value may be said: those of a part of the product, unless
        the value says them itself (`cover: hardcover`)."""
        words, value = lexicon(), phrase(self.tags[tag].value)
        return {
            word
            for word in self.names[tag]
            if word not in words.whole and word not in words.carriers and not _holds(value, word)
        }

    def what_it_is(self, tag: int) -> bool:
        """Whether a tag says what the product is, as its category and its brand do."""
        return not lexicon().identity.isdisjoint(self.names[tag])

    def _learn(self, place: int, tag: Stated) -> bool:
        """Note by what a tag is said; whether it has a value, other than yes and no."""
        words, value, names = lexicon(), phrase(tag.value), self.names[place]
        if value in words.yes or value in words.no:
            self._add(phrase(tag.name), "affirmed" if value in words.yes else "denied", place)
            return False
        for word in names:
            if word not in words.carriers:
                self._add(word, "cue", place)
        headed = not words.headed.isdisjoint(names)
        for item in _items(tag.value, split=headed or not self.what_it_is(place)):
            for said in _endings(item) if headed else [item]:
                self._add(said, "value", place)
        return True

    def _learn_small_words(self, valued: set[int]) -> None:
        """Note the words of the lexicon; a cue of which no tag speaks has to be known, too."""
        words = lexicon()
        for cue, names in (*words.cues.items(), *words.links.items()):
            spoken = {place for place in valued if not names.isdisjoint(self.names[place])}
            self.of.setdefault(cue, {}).setdefault("cue", set()).update(spoken)
        roles: tuple[tuple[Role, frozenset[Phrase]], ...] = (
            ("carrier", words.carriers), ("free", words.denied_before), ("negator", words.negators),
        )  # fmt: skip
        for role, listed in roles:
            for one in listed:
                self.of.setdefault(one, {}).setdefault(role, set())

    def _add(self, said: Phrase, role: Role, place: int) -> None:
        if 0 < len(said) <= LONGEST:
            self.of.setdefault(said, {}).setdefault(role, set()).add(place)


def name_words(name: str) -> list[Phrase]:
    """The words of a tag's name; Chinese ones are told apart by the general ones among them (鞋底 材质)."""
    keys, whole = phrase(name), lexicon().whole
    found: list[Phrase] = []
    rest: Phrase = ()
    at = 0
    while at < len(keys):
        size = next((n for n in range(len(keys) - at, 0, -1) if keys[at : at + n] in whole), 0)
        if not size and _is_character(keys[at]):
            rest += (keys[at],)
            at += 1
            continue
        found += [*([rest] if rest else []), keys[at : at + (size or 1)]]
        rest, at = (), at + (size or 1)
    return [*found, *([rest] if rest else [])]


def _items(value: str, *, split: bool) -> list[Phrase]:
    """A value as a whole, and what it lists: "and" joins two items only where nothing in it is denied. Without what is
    longer than LONGEST."""
    parts = _APART.split(value) if split else []
    joined = [one for part in parts if not _blocked(phrase(part)) for one in _JOINED.split(part)]
    found = dict.fromkeys(map(phrase, [value, *parts, *joined]))
    return [item for item in found if 0 < len(item) <= LONGEST]


def _endings(item: Phrase) -> Iterator[Phrase]:
    """A value, and its last words: they say the same, only less. Not where a word denies, or makes something else of
    them, nor behind a part of a hundred; two Chinese characters at least."""
    yield item
    for cut in range(1, 0 if _blocked(item) else len(item)):
        before, ending = item[:cut], item[cut:]
        partly = any(isinstance(key, tuple) and key[0] == "%" and key[1] != 100 for key in before)
        if not (partly or isinstance(ending[0], tuple) or (len(ending) == 1 and _is_character(ending[0]))):
            yield ending


def _blocked(item: Phrase) -> bool:
    """Whether a word stands in a value that denies what follows, or makes something else of it."""
    listed = lexicon().negators | lexicon().privatives
    sizes = {len(one) for one in listed}
    return any(item[at : at + size] in listed for at in range(len(item)) for size in sizes)


def _holds(value: Phrase, word: Phrase) -> bool:
    """Whether a word of a name, or a part of it that means the same (页 of 页数), stands in a value."""
    stems = [key.partition("|")[0] for key in word if isinstance(key, str)]
    said = [key.partition("|")[0] for key in value if isinstance(key, str)]
    return any(stem == one or (len(stem) > 3 and stem in one) for stem in stems for one in said)


def _is_character(key: Key) -> bool:
    return isinstance(key, str) and len(key) == 1
