"""Labelled rows and a record in, the spans that the rows alone would mark in it out.

The rows' view is a conditional random field (Lafferty et al. 2001) over the words of a record, one for each group
of records, with the words around, their shapes and ends as features: what one would take for spans without a
language model. It proposes values of its own and says how probable the model's values are; the two are weighed
against each other in decide.py. The model reads meaning, the rows know which spans the house marks, and how long.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock

import pycrfsuite

from tagger.likeness import Word, plain_text, words
from tagger.record import Record

MOST_ROWS = 3000
"""Rows of a group that are learned from, the first: more take minutes and teach little."""
SETTINGS = {"c1": 0.1, "c2": 0.1, "max_iterations": 100}
"""Of CRFsuite's L-BFGS; chosen on the dev rows of two English sets and a Chinese one."""

Spans = Mapping[str, Sequence[str]]
"""Field -> its values, as they stand in a text."""


@dataclass(frozen=True, slots=True)
class SpanView:
    """What labelled rows say of one field of a record, by value."""

    chances: Mapping[str, float]
    """How probable the rows' own view of the text makes each value."""
    shares: Mapping[str, float]
    """Of the rows whose text holds the value, the share that is labelled with it."""
    usual: float
    """Share of the group's rows that have a value in the field."""
    spelled: Mapping[str, str]
    """The values that the model has written, as the record spells them where the rows propose the same to a reader."""


@dataclass(frozen=True, slots=True)
class _Row:
    texts: Sequence[str]
    plain: str
    values: Spans


@dataclass(frozen=True, slots=True)
class Marks:
    """A text with its words, the label of each on the likeliest path, and how probable each label is at each word."""

    text: str
    words: Sequence[Word]
    path: Sequence[str]
    chances: Mapping[str, Sequence[float]]

    def proposed(self) -> dict[str, dict[str, float]]:
        """Field -> the values on the likeliest path, in the order of the text, with their probabilities."""
        found: dict[str, dict[str, float]] = {}
        for first, label in enumerate(self.path):
            if label.startswith("B-"):
                name, after = label[2:], first + 1
                while after < len(self.path) and self.path[after] == f"I-{name}":
                    after += 1
                value = self.spelled(first, after)
                values = found.setdefault(name, {})
                values[value] = max(values.get(value, 0.0), self._chance(name, first, after))
        return found

    def places(self, value: str) -> list[tuple[int, int]]:
        """Where `value` stands and starts and ends with a word: its first word and that behind its last."""
        starts = {word.start: i for i, word in enumerate(self.words)}
        ends = {word.end: i for i, word in enumerate(self.words)}
        wanted = re.escape(" ".join(value.split()))
        spans = [match.span() for match in re.finditer(wanted, self.text, re.IGNORECASE)]
        return [(starts[a], ends[b] + 1) for a, b in spans if a in starts and b in ends]

    def probability(self, name: str, value: str) -> float:
        """How probable it is that `value` is marked as field `name`, at the likeliest of its places; 0 without one."""
        return max((self._chance(name, first, after) for first, after in self.places(value)), default=0.0)

    def spelled(self, first: int, after: int) -> str:
        """The words from `first` up to `after` as they stand in the text."""
        return self.text[self.words[first].start : self.words[after - 1].end]

    def _chance(self, name: str, first: int, after: int) -> float:
        """The least probability of the labels that mark the words from `first` up to `after`."""
        marks = [f"B-{name}", *[f"I-{name}"] * (after - first - 1)]
        return min(self.chances[mark][first + i] if mark in self.chances else 0.0 for i, mark in enumerate(marks))


class SpanPrior:
    """Labelled rows by group, and what was learned from each group of them when it was first asked for.

    `rows` are pairs of a record and its answer; `groups` has the group of each; `columns` are those that are text.
    """

    def __init__(
        self, rows: Sequence[tuple[Record, Mapping[str, object]]], groups: Sequence[str], columns: Sequence[str]
    ) -> None:
        self._columns = columns
        self._rows: dict[str, list[_Row]] = {}
        for (record, answer), group in zip(rows, groups, strict=True):
            values = {name: [text for text in listed(value) if isinstance(text, str)] for name, value in answer.items()}
            self._rows.setdefault(group, []).append(_Row(self._texts(record), plain_text(record), values))
        self._taggers: dict[str, pycrfsuite.Tagger | None] = {}
        self._lock = Lock()

    def views(self, record: Record, group: str, written: Mapping[str, Sequence[str]]) -> dict[str, SpanView]:
        """What the rows of the record's group say of each field in `written`, of the values that the model has
        written there and of those that the rows propose; what is the same to a reader is one value. Where neither
        has one, a value of the rows that stands in the record is looked up.

        The random field has learned from the record's own row too, should that be among the rows.
        """
        marks = [found for text in self._texts(record) if (found := self._marks(group, text))]
        rows = self._others(record, group)
        views = {}
        for name, values in written.items():
            proposed: dict[str, float] = {}
            for one in marks:
                proposed |= one.proposed().get(name, {})
            if not values and not proposed:
                proposed = _looked_up(name, marks, rows)
            same = {_folded(value): value for value in proposed}
            spelled = {value: same.get(_folded(value), value) for value in values}
            chances = {
                value: max((m.probability(name, value) for m in marks), default=0.0) for value in spelled.values()
            }
            named = set(map(_folded, values))
            chances |= {value: p for value, p in proposed.items() if _folded(value) not in named}
            shares = {value: _share(name, value, rows) for value in chances}
            usual = (sum(bool(row.values.get(name)) for row in rows) + 0.5) / (len(rows) + 1)
            views[name] = SpanView(chances, shares, usual, spelled)
        return views

    def share(self, name: str, value: str, record: Record, group: str) -> float:
        """Of the group's rows whose text holds `value`, the share that label field `name` with it."""
        return _share(name, value, self._others(record, group))

    def _others(self, record: Record, group: str) -> list[_Row]:
        """The group's rows without the record's own, which would give the answer away."""
        own = plain_text(record)
        return [row for row in self._rows.get(group, ()) if row.plain != own]

    def _texts(self, record: Record) -> list[str]:
        """Each column as the model reads it; a value stands in one of them."""
        return [" ".join(record.values[name].split()) for name in self._columns]

    def _marks(self, group: str, text: str) -> Marks | None:
        """The marks of a text; None where the group's rows mark nothing at all, or the text has no words."""
        found = words(text)
        with self._lock:  # a tagger holds one text at a time
            if group not in self._taggers:
                self._taggers[group] = _trained(self._rows.get(group, [])[:MOST_ROWS])
            tagger = self._taggers[group]
            if tagger is None or not found:
                return None
            path = tagger.tag(_features(found))
            chances = {label: [tagger.marginal(label, i) for i in range(len(found))] for label in tagger.labels()}
        return Marks(text, found, path, chances)


def listed(value: object) -> list[object]:
    """The values of a field: a list's, or the one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def marked(found: Sequence[Word], text: str, values: Spans) -> list[str]:
    """A label for each word: B-field where a value of the field begins, I-field where it goes on, O elsewhere.

    Longer values are marked first, wherever they stand between words; no word is marked twice.
    """
    labels = ["O"] * len(found)
    starts, ends = {word.start: i for i, word in enumerate(found)}, {word.end: i for i, word in enumerate(found)}
    wanted = [(value, name) for name, given in values.items() for value in given]
    for value, name in sorted(wanted, key=lambda item: -len(item[0])):
        for match in re.finditer(re.escape(value), text):
            first, last = starts.get(match.start()), ends.get(match.end())
            if first is not None and last is not None and set(labels[first : last + 1]) == {"O"}:
                labels[first : last + 1] = [f"B-{name}"] + [f"I-{name}"] * (last - first)
    return labels


def _share(name: str, value: str, rows: Sequence[_Row]) -> float:
    """The share for one value, drawn towards one half by one more row (Laplace); 0.5 where no row holds it."""
    folded = _folded(value)
    holding = [row for row in rows if folded in row.plain]
    same = sum(folded in map(_folded, row.values.get(name, ())) for row in holding)
    return (same + 0.5) / (len(holding) + 1)


def _looked_up(name: str, marks: Sequence[Marks], rows: Sequence[_Row]) -> dict[str, float]:
    """Of the values that rows have in the field and that stand in the record, the one that is labelled most often
    where it stands, as the record spells it, with its probability; nothing without one.

    On dev rows worth 2 points of published F1 for one set and half a point for another, at no less strict F1; of no
    use where somebody has proposed another value already.
    """
    text = _folded(" ".join(one.text for one in marks))
    known = dict.fromkeys(value for row in rows for value in row.values.get(name, ()) if _folded(value) in text)
    standing = [(one, place, value) for value in known for one in marks for place in one.places(value)[:1]]
    if not standing:
        return {}
    one, place, value = max(standing, key=lambda found: _share(name, found[2], rows))
    return {one.spelled(*place): one.probability(name, value)}


@lru_cache(maxsize=100_000)
def _folded(value: str) -> str:
    return plain_text(Record("", {"value": value}))


def _trained(rows: Sequence[_Row]) -> pycrfsuite.Tagger | None:
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=SETTINGS, verbose=False)
    seen: set[str] = set()
    for row in rows:
        for text in filter(None, row.texts):
            found = words(text)
            labels = marked(found, text, row.values)
            trainer.append(_features(found), labels)
            seen.update(labels)
    if not seen - {"O"}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crf"
        trainer.train(str(path))
        tagger = pycrfsuite.Tagger()
        tagger.open(str(path))  # reads it whole; open_inmemory would need the bytes kept alive
    return tagger


def _features(found: Sequence[Word]) -> list[list[str]]:
    """For each word what it looks like, what stands around it, and where in the text it is."""
    lower = ["^", "^", *(word.text.casefold() for word in found), "$", "$"]
    shapes = ["", *(_shape(word.text) for word in found), ""]
    rows = []
    for i in range(len(found)):
        before2, before, own, after, after2 = lower[i : i + 5]
        rows.append([
            "bias", f"w={own}", f"s={shapes[i + 1]}", f"len={min(len(own), 8)}",
            *(f"p{n}={own[:n]}" for n in (2, 3, 4)), *(f"e{n}={own[-n:]}" for n in (2, 3, 4)),
            f"-2={before2}", f"-1={before}", f"+1={after}", f"+2={after2}",
            f"-1,0={before}|{own}", f"0,+1={own}|{after}", f"-1s={shapes[i]}", f"+1s={shapes[i + 2]}",
            f"start={min(i, 5)}", f"end={min(len(found) - i, 4)}",
        ])  # fmt: skip
    return rows


@cache
def _shape(word: str) -> str:
    """Capitals as X, small letters as x, digits as 0, runs as one: 'iPhone12' -> 'xXx0'."""
    plain = "".join("X" if c.isupper() else "x" if c.isalpha() else "0" if c.isdigit() else c for c in word)
    return re.sub(r"(.)\1+", r"\1", plain)
