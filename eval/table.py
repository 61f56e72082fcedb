"""Committed run files in, the table of their figures out, each scored again from its predictions.

`results/table.toml` says which runs stand in the table and how each is decided: raw, with the calibration of its set,
or with another weight of the labelled rows; and which drafts of descriptions do, which are traced again.
`results/table.json` has the figures as they were last scored; without the labelled rows they are shown as they stand
there, with `rescored: false`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from eval.calibrate import redo
from eval.claims import described, of_judgements, of_tracing, read_drafts, retraced, with_a_sentence
from eval.claims import labelled as labelled_sentences
from eval.figures import Figure, Metric, share
from eval.judged import rows_of
from eval.metrics import metrics, trust
from eval.plan import in_words
from eval.record import Run, read_run
from eval.score import Verdict, judge
from eval.sets import SETS, files_of, labelled_set, rows, spans_of
from tagger.calibration import Calibration, calibration_file, load_calibration
from tagger.errors import SourceError
from tagger.example import Example
from tagger.plan import Plan
from tagger.task import Task

RESULTS = Path(__file__).parent / "results"
SCORED = RESULTS / "table.json"
COLUMNS = ("accuracy", "macro F1", "span F1", "micro F1, published", "micro F1, strict", "ECE", "AUROC")
"""The figures of the table, in order; those of single fields and the promises come behind them."""
OF_FIELDS = ("accuracy", "macro F1", "kappa", "nDCG")
"""The figures of a single field that stand in the table, behind its name."""
NO_ROWS = ", no labelled rows"
"""Behind the name of a set whose labelled rows were neither shown nor learned from."""


class Decided(BaseModel):
    """A run, and how it is decided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: str
    """Name of the run file in `results/`."""
    calibrated: bool | str = False
    """Whether the calibration of the set decides, or which other one of its folder; else raw probabilities do."""
    prior: float | None = None
    """Weight of the labelled rows instead of the plan's; not with a calibration."""


class Entry(Decided):
    """A run in the table."""

    about: str
    """What is special about it, in a few words."""
    promises: tuple[float, ...] = ()
    """Precisions that the calibration promises, held against these rows."""
    chosen: bool = False
    """Whether dev rows chose this plan for its set and model."""


class Drafts(BaseModel):
    """Drafts of descriptions that a person has judged, in the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: str
    """Name of the file of drafts in `results/`."""
    set: str
    split: str
    """The rows of which they were written."""
    model: str
    about: str
    chosen: bool = False
    """Whether dev rows chose how they were asked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one run: `value` between `low` and `high` at 95 %, from `n` records. Tokens are means a record:
    read (of those from a cache) and written."""

    task: str
    set: str
    split: str
    model: str
    engine: str
    plan: str
    adapter: str | None
    about: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    tokens_in: float
    tokens_cached: float
    tokens_out: float
    chosen: bool
    rescored: bool
    record: str


def entries() -> list[Entry]:
    """The runs that stand in the table, in order."""
    return [Entry.model_validate(entry) for entry in _listed()["row"]]


def written() -> list[Drafts]:
    """The drafts that stand in the table, behind the runs."""
    return [Drafts.model_validate(entry) for entry in _listed()["drafts"]]


def stored() -> list[Row]:
    """The rows as they were last scored."""
    return [Row(**{**row, "rescored": False}) for row in json.loads(SCORED.read_text("utf-8"))]


def rescored(root: Path) -> list[Row]:
    """All rows, each scored again where the labelled rows of its set are in `root`, and else as it was stored."""
    found, kept = [], stored()
    for entry in entries():
        run = read_run(RESULTS / entry.record)
        labelled_set = SETS[run.header.set]
        here = all((labelled_set.home(root) / folder).is_dir() for folder in labelled_set.folders)
        mine = [row for row in kept if (row.record, row.about) == (entry.record, entry.about)]
        found += scored(entry, root) if here else mine
    return found + [row for drafts in written() for row in traced(drafts, root)]


def judged(entry: Decided, root: Path) -> tuple[Run, Task, list[Verdict]]:
    """A run, its task with the plan that it had, and its verdicts against the labelled rows in `root`.

    Raises SourceError for a run that is not finished, and TaskError for a calibration of another run.
    """
    run = read_run(RESULTS / entry.record)
    if not run.whole:
        raise SourceError(f"the run is not finished: {len(run.rows)} of {run.header.rows} rows", where=entry.record)
    task, examples = labelled(run, root)
    calibration = calibration_of(run, task, entry.calibrated) if entry.calibrated else None
    return run, task, judge(redo(run, task.fields, calibration, entry.prior), task, examples)


def scored(entry: Entry, root: Path) -> list[Row]:
    """All figures of one run against the labelled rows in `root`. Raises as `judged`."""
    run, task, verdicts = judged(entry, root)
    examples = labelled(run, root)[1]
    spans = spans_of(run.header.set, root, run.header.split)
    every = {m.name: m.figure for m in (*metrics(task, verdicts, examples, spans), *trust(verdicts))}
    columns = [*COLUMNS, *(f"{field}, {name}" for field in task.fields for name in OF_FIELDS)]
    found = {name: every[name] for name in columns if name in every}
    for promise in entry.promises:
        fitted = calibration_of(run, task, entry.calibrated)
        calibration = fitted.promising(promise, fitted.pool)
        found |= promised(promise, judge(redo(run, task.fields, calibration), task, examples))
    return [_row(entry, run, metric, figure) for metric, figure in found.items()]


def traced(entry: Drafts, root: Path) -> list[Row]:
    """All figures of some drafts, traced again: of the rows, of the sentences that were labelled, and of the drafts."""
    task, found = labelled_set(entry.set, root)
    examples = rows(task, found, root, entry.split)
    sentences = labelled_sentences(files_of(found, root, entry.split), examples, described(task))
    drafts, metrics = retraced(read_drafts(RESULTS / entry.record), {e.record.id: e for e in examples}, entry.record)
    figures = [with_a_sentence(drafts, len(examples)), *metrics, of_judgements(drafts, entry.record)]
    figures += [replace(metric, name=f"labelled sentences: {metric.name}") for metric in of_tracing(sentences)]
    return [_row_of_drafts(entry, task, metric) for metric in figures]


def labelled(run: Run, root: Path) -> tuple[Task, list[Example]]:
    """The task of a run, with the plan that it had, and the labelled rows that it read."""
    task, examples, _ = rows_of(run, run.header.set, None, None, root, with_pool=False)
    return task, examples


def calibration_of(run: Run, task: Task, name: bool | str = True) -> Calibration:
    """The calibration that serves a run's set and model, or the file `name` of the set's folder; SourceError where
    there is none."""
    head = run.header
    assert task.folder
    path = task.folder / name if isinstance(name, str) else calibration_file(task.folder, head.model, head.adapter)
    plan, _, pool = head.plan.partition("+")
    expected = {
        "task_version": head.task_version,
        "plan": plan,
        "model": head.model,
        "pool": pool,
        "adapter": head.adapter,
    }
    found = load_calibration(path, expected)
    if not found:
        raise SourceError(f"no calibration for set {head.set!r} and model {head.model}", where=str(path))
    return found


def promised(precision: float, found: Sequence[Verdict]) -> dict[str, Figure]:
    """What became of a promise: the precision of the answers, and the share of labelled values that was answered."""
    given = [v for v in found if v.said]
    labelled = [v for v in found if v.gold is not None]
    name = f"promised {precision:.0%}"
    return {
        f"precision, {name}": share(sum(v.kind == "right" for v in given), len(given)),
        f"coverage, {name}": share(sum(v.kind in ("right", "wrong") for v in labelled), len(labelled)),
    }


def as_markdown(found: Sequence[Row]) -> str:
    """The rows for people: a table for each set, a line for each run, its figures in columns."""
    lines = []
    for name in dict.fromkeys(row.set for row in found):
        mine = [row for row in found if row.set == name]
        metrics = list(dict.fromkeys(row.metric for row in mine))
        heads = ["model", "what", "rows", *metrics, "tokens in + out"]
        lines += [f"**{name}**", "", "| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
        for key in dict.fromkeys((row.record, row.about) for row in mine):
            of = {row.metric: row for row in mine if (row.record, row.about) == key}
            first = next(iter(of.values()))
            tokens = f"{first.tokens_in - first.tokens_cached:.0f} (+ {first.tokens_cached:.0f} cached)"
            tokens = f"{tokens} + {first.tokens_out:.0f}" if first.tokens_in and first.model != "none" else ""
            cells = [_cell(of[metric]) if metric in of else "" for metric in metrics]
            about = first.about + (" *" if first.chosen else "")
            lines.append("| " + " | ".join([first.model, about, str(first.n), *cells, tokens]) + " |")
        lines.append("")
    return "\n".join([*lines, "\\* the plan that dev rows chose. In brackets: intervals at 95 %."])


def _cell(row: Row) -> str:
    scale, digits = (1, 3) if row.metric.endswith(("ECE", "AUROC", "kappa", "nDCG")) else (100, 1)
    return f"{scale * row.value:.{digits}f} [{scale * row.low:.{digits}f}, {scale * row.high:.{digits}f}]"


def _listed() -> dict[str, list[dict[str, object]]]:
    return tomllib.loads((RESULTS / "table.toml").read_text("utf-8"))


def _row_of_drafts(entry: Drafts, task: Task, metric: Metric) -> Row:
    """Drafts hold no plan, engine or tokens."""
    numbers = {part: round(value, 6) for part, value in asdict(metric.figure).items()}
    return Row(
        task=task.id, set=entry.set + NO_ROWS, split=entry.split, model=entry.model, engine="", plan="", adapter=None,
        about=entry.about, metric=metric.name, **numbers, tokens_in=0, tokens_cached=0, tokens_out=0,
        chosen=entry.chosen, rescored=True, record=entry.record,
    )  # fmt: skip


def _row(entry: Entry, run: Run, metric: str, figure: Figure) -> Row:
    head = run.header
    tokens = [round(sum(row.tokens[i] for row in run.rows) / len(run.rows), 1) for i in range(3)]
    plan = Plan.model_validate(head.plan_text)
    name = head.set + ("" if head.shots or head.adapter else NO_ROWS)
    numbers = {part: round(value, 6) for part, value in asdict(figure).items()}
    return Row(
        task=head.task, set=name, split=head.split, model=head.model,
        engine=head.engine, plan=f"{head.plan}: {in_words(plan, head.shots > 0)}", adapter=head.adapter,
        about=entry.about, metric=metric, **numbers, tokens_in=tokens[0], tokens_cached=tokens[1],
        tokens_out=tokens[2], chosen=entry.chosen, rescored=True, record=entry.record,
    )  # fmt: skip
