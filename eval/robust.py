"""An example in, the same example with its surface changed out; the verdicts on two runs in, what flipped out.

Typos, case, width and the order of words leave a product what it is: for a closed field a flipped answer is then a
failure (an invariance test: Ribeiro et al. 2020, CheckList, arXiv 2005.04118). A dropped word may be the one that
decides, so that kind says how far answers hang on single words.

The value of a verbatim text field changes with the text that it stands in, so there a change is no failure by itself.
Its perturbed form is what becomes of the characters of the first place where it stands. An answer counts as kept
that is the plain run's answer or the perturbed form of it; a label is right as it was and in its perturbed form.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from random import Random
from typing import Any

from eval.figures import Figure, share
from eval.score import Counts, Kind, Verdict, aligned, counts, folded
from tagger.errors import SettingsError, SourceError
from tagger.evidence import find
from tagger.example import Example
from tagger.record import Record
from tagger.schema import ClaimsField, TextField, TextsField
from tagger.task import Task

CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
WORD = re.compile(r"\S+")
CHINESE_PART = re.compile(r"[^\s,，、]+")
MISTYPED, SWAPPED = 1 / 8, 1 / 20
"""Share of words that get a typo; of the places in a Chinese word where two characters are swapped."""
DROPPED, DROPPED_CHINESE = 0.15, 0.05
"""Share of words that are dropped; of characters in a Chinese word."""
RIGHT, WRONG = ("right", "absent"), ("wrong", "invented", "missing")
"""Verdicts on what was answered or rightly not; the others are silence."""

Piece = tuple[int, str]
"""A bit of perturbed text, and the place in the plain text that it comes from; -1 for what parts moved words."""
Pieces = Mapping[str, Sequence[Piece]]
"""The perturbed text of every free-text column."""


@dataclass(frozen=True, slots=True)
class Flips:
    """What a perturbation did to the answers."""

    records: Figure
    """Share of all records of which at least one answer was not kept."""
    altered: int
    """Records whose text differs at all: upper case leaves most Chinese as it is, and what is the same cannot flip."""
    moves: Counter[tuple[Kind, Kind]]
    """Values that were not kept, by their verdict before and after."""
    before: Counts
    after: Counts
    """Strict counts. A label that a perturbation left nothing of counts before it alone."""

    @property
    def right_to_wrong(self) -> int:
        """Values that were right (or rightly absent) and are now wrong, invented or missing."""
        return sum(n for (old, new), n in self.moves.items() if old in RIGHT and new in WRONG)

    @property
    def wrong_to_right(self) -> int:
        """Values that were wrong, invented or missing and are now right (or rightly absent)."""
        return sum(n for (old, new), n in self.moves.items() if old in WRONG and new in RIGHT)


def perturbed(example: Example, kind: str, seed: int, task: Task) -> Example:
    """The example with every free-text column of its record changed; columns with `allowed` values stay.

    The id and the labels stay too, but a label of a verbatim text field is right in its perturbed form as well, and
    is no longer a label if nothing is left of it. The same kind, seed, id and text give the same change.
    Raises SettingsError for a kind that is not one of KINDS.
    """
    pieces = _pieces(example.record, kind, seed, task)
    record = replace(example.record, values={**example.record.values, **_texts(pieces)})
    answer: dict[str, Any] = {}
    also: dict[str, tuple[Any, ...]] = {}
    verbatim = _verbatim(task)
    for name, value in example.answer.items():
        right = [value, *example.also.get(name, ())]
        if name in verbatim:
            forms = {value: _form(value, example.record, pieces) for value in right}
            right = [value for value, form in forms.items() if form]
            right = list(dict.fromkeys([*right, *(forms[value] for value in right)]))
        answer |= {name: right[0]} if right else {}
        also |= {name: tuple(right[1:])} if right[1:] else {}
    return replace(example, record=record, answer=answer, also=also)


def flips(
    plain: Sequence[Verdict], changed: Sequence[Verdict], examples: Sequence[Example], kind: str, seed: int, task: Task
) -> Flips:
    """What became of the answers of a `plain` run in the `changed` one, which read `perturbed` examples.

    `examples` are the plain ones. The answer is what the user got: falling silent (abstained, rejected, failed) is
    a flip too, but neither right nor wrong. Texts are compared without regard to case, width and white space.
    Raises SourceError for no verdicts and for runs of different records or fields.
    """
    if several := [name for name, field in task.fields.items() if isinstance(field, TextsField | ClaimsField)]:
        raise SettingsError(f"flips are not defined for fields of several texts: {', '.join(several)}")
    if {(v.id, v.field) for v in plain} != {(v.id, v.field) for v in changed}:
        hint = "run both to their end, with the same task, --split, --sample and --seed"
        raise SourceError(f"not runs of the same rows: {len(plain)} and {len(changed)} values", hint=hint)
    records = {e.record.id: e.record for e in examples}
    pieces = {v.id: _pieces(records[v.id], kind, seed, task) for v in plain}
    verbatim = _verbatim(task)
    flipped = dict.fromkeys(pieces, False)
    moves: Counter[tuple[Kind, Kind]] = Counter()
    for old, new in aligned(plain, changed):
        said, now = _said(old), _said(new)
        if old.field in verbatim:
            form = "" if said is None else _form(said, records[old.id], pieces[old.id])
            kept = not form if now is None else said is not None and folded(now) in (folded(said), folded(form))
        else:
            kept = now == said
        if not kept:
            flipped[old.id] = True
            moves[old.kind, new.kind] += 1
    altered = sum(_texts(found) != {name: records[key].values[name] for name in found} for key, found in pieces.items())
    return Flips(share(sum(flipped.values()), len(flipped)), altered, moves, counts(plain), counts(changed))


def _said(verdict: Verdict) -> Any:
    return verdict.value if verdict.kind in ("right", "wrong", "invented") else None


def _verbatim(task: Task) -> set[str]:
    return {name for name, field in task.fields.items() if isinstance(field, TextField) and field.verbatim}


def _pieces(record: Record, kind: str, seed: int, task: Task) -> Pieces:
    if kind not in KINDS:
        raise SettingsError(f"no perturbation {kind!r}", hint=f"there are: {', '.join(KINDS)}")
    return {
        name: KINDS[kind](record.values[name], Random(f"{seed}/{kind}/{record.id}/{name}"))
        for name in task.text_columns
    }


def _texts(pieces: Pieces) -> dict[str, str]:
    return {column: "".join(text for _, text in found) for column, found in pieces.items()}


def _form(value: str, record: Record, pieces: Pieces) -> str:
    """What becomes of a value that stands in the record; "" if nothing is left, itself if it does not stand there."""
    place = find(value, {column: record.values[column] for column in pieces})
    if place is None:
        return value
    own = "".join(text if place.start <= at < place.end else "\0" for at, text in pieces[place.column])
    return re.sub("\0+", " ", own).strip()


def _typos(text: str, rng: Random) -> list[Piece]:
    """One letter swapped with the next, dropped or doubled in some words; neighbours swapped in Chinese ones."""
    cells = [[(at, char)] for at, char in enumerate(text)]
    for word in WORD.finditer(text):
        places = [at for at in range(word.start(), word.end() - 1) if _swappable(text[at], text[at + 1])]
        if CHINESE.search(word[0]):
            swaps = [at for at in places if rng.random() < SWAPPED]
            swaps = [at for at in swaps if at - 1 not in swaps]
        elif places and rng.random() < MISTYPED:
            at, how = rng.choice(places), rng.choice(("swap", "drop", "double"))
            swaps = [at] if how == "swap" else []
            cells[at] *= {"swap": 1, "drop": 0, "double": 2}[how]
        else:
            swaps = []
        for at in swaps:
            cells[at], cells[at + 1] = cells[at + 1], cells[at]
    return list(chain.from_iterable(cells))


def _swappable(left: str, right: str) -> bool:
    return left.isalpha() and right.isalpha() and left != right


def _each(change: Callable[[str], str]) -> Callable[[str, Random], list[Piece]]:
    return lambda text, rng: [(at, change(char)) for at, char in enumerate(text)]


def _wide(char: str) -> str:
    return chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char


def _order(text: str, rng: Random) -> list[Piece]:
    """The words shuffled; of text with Chinese in it the parts between commas and white space, if there are several."""
    parts = [part.span() for part in (CHINESE_PART if CHINESE.search(text) else WORD).finditer(text)]
    pieces: list[Piece] = []
    end = 0
    for (start, after), (first, last) in zip(parts, rng.sample(parts, len(parts)), strict=True):
        pieces += [(-1, char) for char in text[end:start]]
        pieces += [(at, text[at]) for at in range(first, last)]
        end = after
    return pieces + [(-1, char) for char in text[end:]]


def _dropped(text: str, rng: Random) -> list[Piece]:
    """Some words left out, with the space behind them; some characters of Chinese words. At least one word stays."""
    words = [word.span() for word in WORD.finditer(text)]
    gone: set[int] = set()
    for start, end in words:
        if CHINESE.search(text, start, end):
            gone.update(at for at in range(start, end) if rng.random() < DROPPED_CHINESE)
        elif rng.random() < DROPPED:
            gone.update(range(start, end))
    if words and all(gone.issuperset(range(*word)) for word in words):
        gone -= set(range(*rng.choice(words)))
    pieces: list[Piece] = []
    for at, char in enumerate(text):
        doubled = char.isspace() and at - 1 in gone and (not pieces or pieces[-1][1].isspace())
        if at not in gone and not doubled:
            pieces.append((at, char))
    while gone and pieces[-1][1].isspace():
        pieces.pop()
    return pieces


KINDS: Mapping[str, Callable[[str, Random], Sequence[Piece]]] = {
    "typos": _typos,
    "upper": _each(str.upper),
    "lower": _each(str.lower),
    "wide": _each(_wide),
    "order": _order,
    "dropped": _dropped,
}
"""The perturbations by name."""
