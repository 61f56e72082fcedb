"""Taggings of today and the baseline of what was evaluated in, out: in which fields they no longer look alike.

A baseline is made of a run over dev rows (`python -m eval baseline`) and lies beside the task, one file for each model.
A window holds the latest taggings of a service, or all of a bulk run. They are held against each other field by field
in three ways: the values that are said, how probable answers are, and how often the tagger is silent. No labels are
needed, so drift does not say that answers are wrong: it says that the figures of the evaluation may no longer hold.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.stats import chi2_contingency, fisher_exact

from tagger.calibration import calibration_file
from tagger.errors import SourceError, TaskError
from tagger.plan import validation_text
from tagger.record import Rejected
from tagger.result import Outcome, Tagging
from tagger.schema import FieldBase, LabelsField
from tagger.sinks import read_manifest
from tagger.sources import rows as rows_of_file
from tagger.task import Task, columns_of

EDGES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
"""Between the ten bins of probabilities: finest at the top, where most answers lie."""
LATEST = 2000
"""Taggings in the window of a service."""
LEAST_ROWS = 200
"""Answered rows of a window from which on it can tell: beside as many a large drift is found three times in four."""
LEVEL = 0.01
"""Chance of a false alarm in a whole comparison."""
MODERATE, LARGE = 0.1, 0.25
"""Population Stability Index from which on a drift is worth telling, and is large: the convention of credit scoring
(Lewis 1994, An Introduction to Credit Scoring; Siddiqi 2006, Credit Risk Scorecards)."""
LEAST_EXPECTED = 5
"""Rows that chance has to bring to a value on either side, or it is pooled with other rare ones (Cochran 1954)."""
TOLD = 5
"""Findings that are named in a sentence."""
ANSWERED, WITHHELD, ABSENT, RARE = "(answered)", "(withheld)", "(no answer)", "(rare ones)"

Kind = Literal["mix", "confidence", "abstained"]
"""mix: which values are said, or that none is; confidence: the probabilities of answers, withheld ones too; abstained:
how many of them are withheld."""
Table = Mapping[str, tuple[int, int]]
"""How often something was counted, in the baseline and in the window."""
Count = Annotated[int, Field(ge=0)]


class Counts(BaseModel):
    """One field, as it was answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: Mapping[str, Count]
    """Rows by the value that was said, as text; of a list by each of its labels, of an open field ANSWERED alone."""
    bins: tuple[Count, ...] = Field(min_length=len(EDGES) + 1, max_length=len(EDGES) + 1)
    """Answers by their probability, between EDGES."""
    abstained: Count

    @property
    def answers(self) -> int:
        """Rows with an answer, said or withheld."""
        return sum(self.bins)


class Baseline(BaseModel):
    """How the rows of an evaluation were tagged, and what tagged them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    task_version: str
    plan: str
    """With pool and calibration, as taggings have it (result.py: Provenance)."""
    model: str
    adapter: str | None = None
    rows_id: str
    """Which rows those were (eval/record.py)."""
    outcomes: Mapping[Outcome, Count]
    fields: Mapping[str, Counts]

    @property
    def rows(self) -> int:
        """All rows, whatever became of them."""
        return sum(self.outcomes.values())


_Key = str | int | None
"""What is counted of a field: a value that is said, the bin of the probability, None for an answer withheld."""
_Seen = tuple[Outcome, tuple[tuple[str, tuple[_Key, ...]], ...]]


class Window:
    """Counts over the latest `most` taggings (None: over all) of a task with these `fields`. Not safe for threads."""

    def __init__(self, fields: Mapping[str, FieldBase], most: int | None = LATEST) -> None:
        self.fields, self.outcomes = fields, Counter[Outcome]()
        self._most, self._kept = most, deque[_Seen]()
        self._counted = {name: Counter[_Key]() for name in fields}

    def add(self, found: Tagging | Mapping[str, Any]) -> None:
        """Count a tagging, or one in plain values (a line of tags); it takes no longer in a larger window."""
        if isinstance(found, Tagging):
            outcome, tags = found.outcome, {name: (tag.value, tag.probability) for name, tag in found.tags.items()}
        else:
            outcome = found["outcome"]
            tags = {name: (tag["value"], tag["probability"]) for name, tag in found["tags"].items()}
        # Probabilities are rounded as they are written (result.py): a line counts as the tagging that it was.
        seen = (
            outcome,
            tuple(
                (name, (*_said(self.fields[name], value), bisect_right(EDGES, round(p, 6))))
                for name, (value, p) in tags.items()
            ),
        )
        self._count(seen, 1)
        if self._most is not None:
            self._kept.append(seen)
            if len(self._kept) > self._most:
                self._count(self._kept.popleft(), -1)

    def counts(self) -> dict[str, Counts]:
        """Every field as it was answered."""
        return {
            name: Counts(
                values={key: n for key, n in counted.items() if isinstance(key, str) and n},
                bins=tuple(counted[place] for place in range(len(EDGES) + 1)),
                abstained=counted[None],
            )
            for name, counted in self._counted.items()
        }

    def _count(self, seen: _Seen, by: int) -> None:
        self.outcomes[seen[0]] += by
        for name, keys in seen[1]:
            for key in keys:
                self._counted[name][key] += by


@dataclass(frozen=True, slots=True)
class Finding:
    """One field in one respect. `p` is the chance of such a difference by chance alone, `adjusted` the same with regard
    to the number of comparisons (Holm 1979); `psi` says how large it is."""

    field: str
    kind: Kind
    statistic: float
    """G of the likelihood-ratio test; of a list, that of its clearest label."""
    p: float
    adjusted: float
    psi: float
    moved: str
    """What has changed most: a value, a range of probabilities."""
    before: float
    """Its share in the baseline, and `now` in the window."""
    now: float

    @property
    def level(self) -> Literal["", "moderate", "large"]:
        """How large a drift this is; "" for none: too small, or chance may have brought it."""
        if self.adjusted >= LEVEL or self.psi < MODERATE:
            return ""
        return "large" if self.psi >= LARGE else "moderate"


@dataclass(frozen=True, slots=True)
class Drift:
    """A window held against a baseline."""

    rows: int
    """Answered ones in the window."""
    more_rows: int
    """Answered rows that it lacks to tell anything; 0: it tells."""
    findings: tuple[Finding, ...] = ()

    @property
    def found(self) -> tuple[Finding, ...]:
        """The findings that are drift, the largest first."""
        return tuple(sorted((one for one in self.findings if one.level), key=lambda one: -one.psi))

    @property
    def sentence(self) -> str:
        """What a person has to know."""
        if self.more_rows:
            return f"cannot tell yet: {self.more_rows:,} more rows"
        places = [f"{one.field} ({one.kind}, {one.level})" for one in self.found]
        more = f" and {len(places) - TOLD} more" if len(places) > TOLD else ""
        return f"drift: {', '.join(places[:TOLD])}{more}" if places else f"no drift in {self.rows:,} rows"


def compare(baseline: Baseline, window: Window) -> Drift:
    """Hold a window against the baseline of its task.

    Each field is tested in each respect that has counts to test: by Fisher's exact test where there are two, else by
    the likelihood-ratio test (G), rare values pooled. Of a list, in which labels may come together, each label is
    tested by itself and the clearest one corrected for their number (Bonferroni). The tests take rows to be
    independent: a catalogue of near-duplicates has fewer of them than it seems.
    """
    rows = _answered(baseline.outcomes), _answered(window.outcomes)
    if rows[1] < LEAST_ROWS:
        return Drift(rows[1], LEAST_ROWS - rows[1])
    today, found = window.counts(), []
    for name, asked in window.fields.items():
        for kind, tables in _tables(asked, (baseline.fields[name], today[name]), rows):
            if tests := [tested for table in tables if (tested := _test(name, kind, table))]:
                clearest = min(tests, key=lambda test: (test.p, -test.statistic))
                p, psi = min(1.0, len(tests) * clearest.p), max(0.0, sum(test.psi for test in tests))
                found.append(replace(clearest, p=p, psi=psi))
    corrected = holm([one.p for one in found])
    return Drift(rows[1], 0, tuple(replace(one, adjusted=p) for one, p in zip(found, corrected, strict=True)))


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the order given (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.asarray(p, float)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1)
    return [float(one) for one in corrected]


def baseline_file(folder: Path, model: str, adapter: str | None = None) -> Path:
    """Where the baseline of a task's answers by `model` lies, alone or with an adapter (its name and id)."""
    return folder / "baseline" / calibration_file(folder, model, adapter).name


def load_baseline(path: Path, made: Mapping[str, Any]) -> Baseline | None:
    """The baseline in a file; None where there is none.

    Raises TaskError if the file is broken, or is of another task version, plan, calibration, model or adapter than
    `made` names (what a Provenance or a manifest has), or one with a pool where there is none now, or the other way
    round: other answers have other counts. (A pool that has grown changes little.)
    """
    if not path.is_file():
        return None
    hint = "make it anew (python -m eval baseline), or remove the file to go on without"
    try:
        found = Baseline.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise TaskError(validation_text(error), where=str(path), hint=hint) from None
    for key in ("task", "task_version", "plan", "model", "adapter"):
        own, other = getattr(found, key), made[key]
        if own != other and (key != "plan" or _without_pool(own) != _without_pool(other)):
            raise TaskError(f"the baseline of {key} {own}, this is {other}", where=str(path), hint=hint)
    return found


def save_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline where `load_baseline` will find it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(baseline.model_dump_json()), ensure_ascii=False, indent=1)
    path.write_text(text + "\n", "utf-8")


def bulk_window(folder: Path, task: Task) -> Window:
    """All rows of a finished bulk run, in any of its formats: the latest alone would be the end of a catalogue.

    Raises SourceError for an unfinished run, one of another task or version of it, and for broken files.
    """
    facts = read_manifest(folder)
    if (facts["task"], facts["task_version"]) != (task.id, task.version):
        told = f"tags of task {facts['task']} {facts['task_version']}, this is {task.id} {task.version}"
        raise SourceError(told, where=str(folder), hint="tag again with the task as it is now")
    window = Window(task.fields, most=None)
    for name in facts["output"]:
        try:
            for line in _lines(folder / name, task.fields):
                window.add(line)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SourceError(f"not a file of tags: {error!r}", where=str(folder / name)) from None
    return window


def _lines(path: Path, fields: Mapping[str, FieldBase]) -> Iterator[Mapping[str, Any]]:
    """The lines of a shard, as far as a window counts them."""
    columns = {name: columns_of(name)[:2] for name in fields}
    wanted = ["outcome", *(column for pair in columns.values() for column in pair)]
    for row in rows_of_file(path, lambda _: wanted):
        if isinstance(row, Rejected):
            raise ValueError(row.reason)
        if path.suffix == ".jsonl":
            yield row
            continue
        tags = {}
        for name, (value, probability) in columns.items():
            if row[probability] not in (None, ""):
                cell = row[value] or None
                said = json.loads(cell) if cell and isinstance(fields[name], LabelsField) else cell
                tags[name] = {"value": said, "probability": float(row[probability])}
        yield {"outcome": row["outcome"], "tags": tags}


def _said(asked: FieldBase, value: Any) -> tuple[_Key, ...]:
    """What is counted of a value; a tag without one was withheld."""
    if value is None:
        return (None,)
    if isinstance(asked, LabelsField):
        return tuple(value)
    if asked.closed is None:
        return (ANSWERED,)
    return (value if isinstance(value, str) else json.dumps(value),)


def _answered(outcomes: Mapping[Outcome, int]) -> int:
    return outcomes.get("tagged", 0) + outcomes.get("abstained", 0)


def _without_pool(plan: str) -> str:
    return re.sub(r"\+\w+", "+", plan)


def _tables(
    asked: FieldBase, sides: tuple[Counts, Counts], rows: tuple[int, int]
) -> Iterator[tuple[Kind, Sequence[Table]]]:
    """What is to be tested of a field, of baseline and window; a field that is not asked of a row is absent there."""
    before, now = sides
    names = dict.fromkeys([*before.values, *now.values])
    said = {name: (before.values.get(name, 0), now.values.get(name, 0)) for name in names}
    if isinstance(asked, LabelsField):
        heard = rows[0] - before.abstained, rows[1] - now.abstained
        yield "mix", [{name: n, "": (heard[0] - n[0], heard[1] - n[1])} for name, n in said.items()]
    else:
        yield "mix", [{**said, ABSENT: (rows[0] - before.answers, rows[1] - now.answers)}]
    bounds = [f"{low:g} to {high:g}" for low, high in zip((0, *EDGES), (*EDGES, 1), strict=True)]
    yield "confidence", [dict(zip(bounds, zip(before.bins, now.bins, strict=True), strict=True))]
    silent = before.abstained, now.abstained
    yield "abstained", [{WITHHELD: silent, ANSWERED: (before.answers - silent[0], now.answers - silent[1])}]


def _test(name: str, kind: Kind, table: Table) -> Finding | None:
    """The test of a table and its Population Stability Index; None where there is nothing to tell apart.

    To both sides half a row is added for each value, so that none is infinitely rare; from the index is taken what
    chance alone brings to it on the average, (values - 1)(1/n + 1/m) (Yurdakul and Naranjo 2020, Statistical
    properties of the population stability index, Journal of Risk Model Validation), which many values would make large.
    """
    pooled = _pooled({name: n for name, n in table.items() if any(n)})
    counts, kinds = np.array(list(pooled.values()), np.int64).reshape(-1, 2).T, len(pooled)
    sizes = counts.sum(axis=1)
    if kinds < 2 or not sizes.all():
        return None
    found = chi2_contingency(counts, correction=False, lambda_="log-likelihood")
    p = fisher_exact(counts).pvalue if kinds == 2 else found.pvalue
    before, now = (counts + 0.5) / (sizes + 0.5 * kinds)[:, None]
    each = (now - before) * np.log(now / before)
    psi = each.sum() - (kinds - 1) * (1 / sizes).sum()
    most = int(np.argmax(each)) if kinds > 2 else 0  # of two values the first: the other is what it is not
    was, is_now = (counts[:, most] / sizes).tolist()
    return Finding(name, kind, float(found.statistic), float(p), float(p), float(psi), list(pooled)[most], was, is_now)


def _pooled(table: Table) -> Table:
    """A table of more than two values with the rare ones as one; if they are still rare, the next frequent joins them.

    What is rare is said by both sides together, so that pooling does not favour either.
    """
    if len(table) <= 2:
        return table
    sizes = [sum(side) for side in zip(*table.values(), strict=True)]
    least = ceil(LEAST_EXPECTED * sum(sizes) / max(min(sizes), 1))
    kept, rare = dict(table), (0, 0)
    for name, n in sorted(table.items(), key=lambda item: sum(item[1])):
        if sum(n) >= least and not 0 < sum(rare) < least:
            break
        rare = rare[0] + n[0], rare[1] + n[1]
        del kept[name]
    return {**kept, RARE: rare} if any(rare) else kept
