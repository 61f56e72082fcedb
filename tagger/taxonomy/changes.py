"""Two versions of a label tree in, what has become of each label out: by the products they hold, and by names.

Products tell first: where those of an old label have gone says whether it was renamed, split or merged, whatever the
labels are called. Only where no product is in both versions do names decide.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tagger.errors import TaskError
from tagger.schema import PATH_SEPARATOR, ClosedField
from tagger.task import Task, load_task
from tagger.taxonomy.folder import ROW_COLUMNS, ROWS, read_table

Kind = Literal["renamed", "split", "merged", "reordered", "redefined", "removed", "added"]
SHARE = 0.1
"""Of an old label's products, from which a new label counts as one that it has gone to: fewer are strays."""
SHOWN, TITLE = 3, 60
"""Products of a move that people are shown, and characters of each; JSON has all."""
ORDER: tuple[Kind, ...] = ("split", "merged", "renamed", "removed", "added", "reordered", "redefined")


@dataclass(frozen=True, slots=True)
class Version:
    """A label tree: each label's description, and the label of each product that is known."""

    labels: Mapping[str, str]
    holds: Mapping[str, str] = field(default_factory=dict)
    """By the product's text, case and white space aside; "" for one that fits no label."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """By the same, how the text is written."""


@dataclass(frozen=True, slots=True)
class Move:
    """The products, by their texts, that stand under another label than before."""

    old: str
    new: str
    products: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of labels. `products` are those that both versions know and that tell it; 0: names tell it."""

    kind: Kind
    old: tuple[str, ...]
    new: tuple[str, ...]
    products: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes, and for each old label the new one that takes its place whole (None: its rows must be asked)."""

    changes: tuple[Change, ...]
    successors: Mapping[str, str | None]
    unknown: tuple[str, ...]
    """New labels of which no old one is known to be the origin."""
    moves: tuple[Move, ...] = ()
    """Which products have another label: those that tell the changes, and those too few to tell one."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        changes, moves = ([asdict(one) for one in some] for some in (self.changes, self.moves))
        return {"changes": changes, "successors": dict(self.successors), "moves": moves}


def read_version(folder: str | Path, name: str | None = None) -> tuple[Task, str, Version]:
    """The task in a folder, the field that is the tree, and the tree with what it holds.

    Products are those of `rows.csv` where there is one, under the labels with which it was written (what a person put
    there since is for `tagger taxonomy review` to carry out), and the examples. TaskError for a task with no such
    field, or with several and no `name`.
    """
    task = load_task(folder)
    closed = [key for key, one in task.fields.items() if isinstance(one, ClosedField) and one.closed is not None]
    chosen = [key for key in closed if name in (None, key)]
    if len(chosen) != 1:
        told = f"expected one field of kind label or path, found {', '.join(closed) or 'none'}"
        raise TaskError(told, where=str(folder), hint="name the one that is the tree with --field" if closed else None)
    tree = task.fields[chosen[0]]
    assert isinstance(tree, ClosedField)
    rows = Path(folder) / ROWS
    lines = [line for _, line in read_table(rows, ROW_COLUMNS)] if rows.is_file() else []
    known = [
        (" ".join(one.record.values.values()), str(one.answer[chosen[0]]))
        for one in task.examples
        if chosen[0] in one.answer
    ]
    known += [
        (line["text"], line["proposed"]) for line in lines if not line["proposed"] or line["proposed"] in tree.labels
    ]
    holds = {folded(text): label for text, label in known}
    return task, chosen[0], Version(tree.labels, holds, {folded(text): text for text, _ in known})


def folded(text: str) -> str:
    """A text without regard to case, width and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def changes(old: Version, new: Version) -> Changes:
    """What became of each old label, and where each new one came from."""
    went, counts = _went(old, new)
    came: dict[str, list[str]] = defaultdict(list)
    for label, targets in went.items():
        for target in targets:
            came[target].append(label)
    found = [*_of_old(old, new, went, came, counts), *_merged(new, went, came, counts)]
    unknown = tuple(label for label in new.labels if label not in old.labels and not came[label])
    found += [Change("added", (), (label,)) for label in unknown]
    unsure = {label for change in found if change.kind in ("redefined", "reordered") for label in change.old}
    successors = {
        label: targets[0] if len(targets) == 1 and label not in unsure else None for label, targets in went.items()
    }
    found.sort(key=lambda change: (ORDER.index(change.kind), change.old, change.new))
    return Changes(tuple(found), successors, unknown, _moves(old, new))


def _moves(old: Version, new: Version) -> tuple[Move, ...]:
    """Which products stand under another label, by old and new label, in the order of the tree."""
    moved: dict[tuple[str, str], list[str]] = defaultdict(list)
    for text, label in old.holds.items():
        if new.holds.get(text, label) != label:
            moved[label, new.holds[text]].append(new.texts.get(text, text))
    place = {label: i for i, label in enumerate((*old.labels, *new.labels, ""))}
    pairs = sorted(moved, key=lambda pair: (place[pair[0]], place[pair[1]]))
    return tuple(Move(was, now, tuple(moved[was, now])) for was, now in pairs)


def _went(old: Version, new: Version) -> tuple[dict[str, list[str]], Mapping[str, Counter[str]]]:
    """For each old label the new ones that it has gone to, the largest first, and how many products say so."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for text, label in old.holds.items():
        if label and new.holds.get(text):
            counts[label][new.holds[text]] += 1
    ends = Counter(label.split(PATH_SEPARATOR)[-1] for label in new.labels)
    went = {}
    for label in old.labels:
        total = counts[label].total()
        went[label] = [target for target, count in counts[label].most_common() if count >= SHARE * total]
        if not total:  # no product tells: the same name, or the same leaf at another place
            last = label.split(PATH_SEPARATOR)[-1]
            moved = [name for name in new.labels if name.split(PATH_SEPARATOR)[-1] == last and name not in old.labels]
            went[label] = [label] if label in new.labels else moved if ends[last] == 1 else []
        elif label in new.labels and label not in went[label]:
            went[label].append(label)  # it is still there, though its products are gone
    return went, counts


def _of_old(
    old: Version,
    new: Version,
    went: Mapping[str, list[str]],
    came: Mapping[str, list[str]],
    counts: Mapping[str, Counter[str]],
) -> list[Change]:
    """Changes that are told of one old label."""
    found = []
    for label, targets in went.items():
        products = sum(counts[label][target] for target in targets)
        if not targets:
            found.append(Change("removed", (label,), ()))
        elif len(targets) > 1:
            fresh = any(target not in old.labels for target in targets)
            found.append(Change("split" if fresh else "reordered", (label,), tuple(targets), products))
        elif targets == [label]:
            if old.labels[label] != new.labels[label]:
                found.append(Change("redefined", (label,), (label,)))
        elif targets[0] not in old.labels and came[targets[0]] == [label]:
            found.append(Change("renamed", (label,), (targets[0],), products))
    return found


def _merged(
    new: Version, went: Mapping[str, list[str]], came: Mapping[str, list[str]], counts: Mapping[str, Counter[str]]
) -> list[Change]:
    """New labels that have taken in whole old ones."""
    found = []
    for label in new.labels:
        whole = tuple(sorted(origin for origin in came.get(label, ()) if went[origin] == [label]))
        if len(whole) > 1:
            found.append(Change("merged", whole, (label,), sum(counts[origin][label] for origin in whole)))
    return found


def in_words(found: Changes) -> list[str]:
    """Each change as a line for people, below it the products that tell it, and at the end those that moved beside."""
    lines, left = [], list(found.moves)
    for change in found.changes:
        telling = [move for move in left if move.old in change.old and move.new in (change.new or ("",))]
        lines += [_line(change), *(f"  - {_told(move)}" for move in telling)]
        left = [move for move in left if move not in telling]
    lines += [f"moved: {_told(move)}" for move in left]
    return lines or ["nothing has changed"]


def _told(move: Move) -> str:
    """How many products have moved, and the first of them."""
    texts = [" ".join(text.split()) for text in move.products[:SHOWN]]
    shown = [text if len(text) <= TITLE else f"{text[:TITLE]}..." for text in texts]
    more = [f"and {len(move.products) - SHOWN} more"] if len(move.products) > SHOWN else []
    was, now = (f"{name!r}" if name else "no label" for name in (move.old, move.new))
    return f"{len(move.products)} of {was} now under {now}: {'; '.join([*shown, *more])}"


def _line(change: Change) -> str:
    old, new = (", ".join(map(repr, side)) for side in (change.old, change.new))
    told = f" ({change.products} products tell)" if change.products else ""
    match change.kind:
        case "added":
            return f"added: {new}"
        case "removed":
            return f"removed: {old}"
        case "redefined":
            return f"redefined: {old} has another description"
        case "reordered":
            return f"reordered: products of {old} now stand under {new}{told}"
        case _:
            return f"{change.kind}: {old} -> {new}{told}"
