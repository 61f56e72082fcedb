"""Pairs of committed runs in, what each part is worth out: a paired difference with its interval.

`results/gains.toml` says which part run b has and run a has not; `results/gains.json` has the figures as they were last
worked out.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from eval.compare import Difference, difference
from eval.record import Run
from eval.score import aligned
from eval.show import in_points
from eval.table import RESULTS, Decided, judged
from tagger.errors import SourceError

WORKED_OUT = RESULTS / "gains.json"


class Pair(BaseModel):
    """Two runs that differ in one part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: str
    """What b has and a has not."""
    a: Decided
    b: Decided


@dataclass(frozen=True, slots=True)
class Gain(Difference):
    """What a part is worth in the figure of its set, over the rows that both runs have read; `fresh` are the tokens of
    a record that came from no cache and those written, in a and in b."""

    part: str
    set: str
    split: str
    model: str
    fresh: tuple[float, float]


def pairs() -> list[Pair]:
    """What stands in the table of gains, in order."""
    return [Pair.model_validate(entry) for entry in tomllib.loads((RESULTS / "gains.toml").read_text("utf-8"))["gain"]]


def stored() -> list[Gain]:
    """The gains as they were last worked out."""
    return [Gain(**{**row, "fresh": tuple(row["fresh"])}) for row in json.loads(WORKED_OUT.read_text("utf-8"))]


def gain(pair: Pair, root: Path) -> Gain:
    """What the part is worth on the labelled rows in `root`; SourceError for runs over other sets or without a row
    in common."""
    (run_a, task, left), (run_b, _, right) = (judged(side, root) for side in (pair.a, pair.b))
    head, other = run_a.header, run_b.header
    if (head.set, head.split) != (other.set, other.split):
        raise SourceError(f"runs over {head.set} {head.split} and {other.set} {other.split}", where=pair.part)
    both = {row.id for row in run_a.rows} & {row.id for row in run_b.rows}
    found = difference(aligned([v for v in left if v.id in both], [v for v in right if v.id in both]), task)
    numbers = {name: round(value, 6) for name, value in asdict(found).items()}
    fresh = _fresh(run_a, both), _fresh(run_b, both)
    return Gain(**numbers, part=pair.part, set=head.set, split=head.split, model=head.model, fresh=fresh)


def _fresh(run: Run, ids: Set[str]) -> float:
    """Tokens of a record that a model had to compute; 0 where there was no model."""
    parts = [row.tokens for row in run.rows if row.id in ids and run.header.model != "none"]
    return round(sum(read - cached + written for read, cached, written in parts) / len(ids), 1)


def as_markdown(found: Sequence[Gain]) -> str:
    """The gains for people."""
    lines = ["| part | set, rows | without | with | gain, points | fresh tokens a row |", "| --- " * 6 + "|"]
    for one in found:
        cells = [one.part, f"{one.set} {one.split}, {one.rows}", f"{100 * one.a:.1f}", f"{100 * one.b:.1f}",
                 in_points(one.b - one.a, one.low, one.high), f"{one.fresh[0]:.0f} → {one.fresh[1]:.0f}"]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
