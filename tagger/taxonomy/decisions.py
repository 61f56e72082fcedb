"""A proposal and what a person wrote into its tables in, the proposal as decided out.

In labels.csv the columns `do` and `to`:

    rename   to another name; a name without " > " keeps its place in the tree
    move     under another node, whose path `to` is (empty: to the top)
    merge    into another label; its rows go there
    drop     the label; its rows fit none

In rows.csv the column `label`: another label, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from tagger.errors import SourceError
from tagger.schema import PATH_SEPARATOR
from tagger.taxonomy.folder import LABEL_COLUMNS, LABELS, ROW_COLUMNS, ROWS, read_table
from tagger.taxonomy.measures import measured
from tagger.taxonomy.proposal import Label, Proposal

Action = Literal["rename", "move", "merge", "drop"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a label; `where` is its line."""

    label: str
    do: Action
    to: str
    where: str


def read_decisions(folder: Path) -> list[Decision]:
    """What stands in the columns `do` and `to` of the labels. SourceError for what is no decision."""
    found = []
    for number, line in read_table(folder / LABELS, LABEL_COLUMNS):
        where = f"{folder / LABELS}:{number}"
        if not line["do"]:
            if line["to"]:
                raise SourceError(f"`to` says {line['to']!r}, `do` says nothing", where=where, hint=_HINT)
            continue
        if line["do"] not in get_args(Action):
            raise SourceError(f"no decision {line['do']!r}", where=where, hint=_HINT)
        if bool(line["to"]) == (line["do"] == "drop") and line["do"] != "move":
            told = "takes no `to`" if line["do"] == "drop" else "needs a `to`"
            raise SourceError(f"{line['do']} {told}", where=where, hint=_HINT)
        found.append(Decision(line["label"], cast(Action, line["do"]), line["to"], where))
    return found


def moved_rows(folder: Path) -> int:
    """How many rows a person gave another label than was proposed."""
    return sum(line["label"] != line["proposed"] for _, line in read_table(folder / ROWS, ROW_COLUMNS))


def decided(proposal: Proposal, decisions: Sequence[Decision]) -> Proposal:
    """The proposal with every decision carried out, and its figures counted again.

    SourceError for a merge into what is not there (any more), and for two labels that would have one name.
    """
    names = {label.name: label.name for label in proposal.labels}
    by_label = {decision.label: decision for decision in decisions}
    final = {name: _final(name, by_label, names) for name in names}
    kept = [label for label in proposal.labels if _does(by_label, label.name) not in ("drop", "merge")]
    taken: dict[str, str] = {}
    for label in kept:
        name = final[label.name] or ""
        if name.casefold() in taken:
            where = by_label[label.name].where if label.name in by_label else None
            told = f"{taken[name.casefold()]!r} and {label.name!r} would both be called {name!r}"
            raise SourceError(told, where=where, hint="merge one into the other")
        taken[name.casefold()] = label.name
    rows = [replace(row, label=final.get(row.label) or "", other=final.get(row.other) or "") for row in proposal.rows]
    _refuse_inner([final[label.name] or "" for label in kept])
    renamed = [replace(label, name=final[label.name] or "", nearest=final.get(label.nearest) or "") for label in kept]
    return Proposal(measured([_whole(label, proposal, final) for label in renamed], rows), rows, proposal.facts)


def _final(name: str, decisions: Mapping[str, Decision], names: Mapping[str, str]) -> str | None:
    """What a label is called in the end; None where it is dropped."""
    way = [name]
    while decision := decisions.get(way[-1]):
        if decision.do == "drop":
            return None
        if decision.do == "rename":
            parent = way[-1].rpartition(PATH_SEPARATOR)[0]
            below = bool(parent) and PATH_SEPARATOR not in decision.to
            return f"{parent}{PATH_SEPARATOR}{decision.to}" if below else decision.to
        if decision.do == "move":
            leaf = way[-1].split(PATH_SEPARATOR)[-1]
            return f"{decision.to}{PATH_SEPARATOR}{leaf}" if decision.to else leaf
        if decision.to not in names or decision.to in way:
            told = "goes round in a circle" if decision.to in way else "is no label of the table"
            raise SourceError(f"merge into {decision.to!r}, which {told}", where=decision.where, hint=_HINT)
        way.append(decision.to)
    return way[-1]


def _does(decisions: Mapping[str, Decision], name: str) -> str:
    return decisions[name].do if name in decisions else ""


def _whole(label: Label, proposal: Proposal, final: Mapping[str, str | None]) -> Label:
    """A label with what it takes in of those that are merged into it."""
    parts = [part for part in proposal.labels if final[part.name] == label.name]
    included = dict.fromkeys(piece for part in parts for piece in part.includes.split(", ") if piece)
    return replace(label, includes=", ".join(included))


def _refuse_inner(names: Sequence[str]) -> None:
    """A label that is the beginning of another's path could not be asked level by level."""
    inner = {
        name.rsplit(PATH_SEPARATOR, depth)[0] for name in names for depth in range(1, name.count(PATH_SEPARATOR) + 1)
    }
    if both := sorted(inner & set(names)):
        raise SourceError(f"{both[0]!r} would be a label and a node above others", hint="rename or move one of them")


_HINT = "`do` is rename, move, merge or drop; `to` the new name, the node above, or the label that takes it in"
