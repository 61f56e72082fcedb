"""A run and its verdicts, a comparison or flips in, lines for a person out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.compare import Comparison
from eval.metrics import metrics
from eval.record import Run
from eval.robust import Flips
from eval.score import Verdict, counts, one_value, outcomes
from eval.sets import Span
from eval.slices import print_table
from tagger.example import Example
from tagger.task import Task


def print_run(
    found: Run,
    task: Task,
    judged: Sequence[Verdict],
    examples: Sequence[Example],
    spans: Mapping[str, set[Span]] | None,
    out: Console,
) -> None:
    """What was run, its figures, tokens and rate."""
    head = found.header
    out.print(f"{head.set} {head.split}: task {head.task} {head.task_version}, plan {head.plan}, model {head.model}, "
              f"{head.engine}", highlight=False, soft_wrap=True)  # fmt: skip
    print_figures(task, judged, examples, spans, out)
    tokens = [sum(row.tokens[i] for row in found.rows) / len(found.rows) for i in range(3)]
    rate = f"{len(found.rows) / found.seconds:.2f} rows/s" if found.seconds else "from the record"
    out.print(f"{rate}; tokens a row: {tokens[0]:.0f} read, {tokens[1]:.0f} of them cached, {tokens[2]:.1f} written")
    if not found.whole:
        out.print(f"{len(found.rows)} of {head.rows} rows: run the same command again to go on")


def print_figures(
    task: Task,
    judged: Sequence[Verdict],
    examples: Sequence[Example],
    spans: Mapping[str, set[Span]] | None,
    out: Console,
) -> None:
    """Values by verdict, and the figures that fit the task."""
    said = ", ".join(f"{n} {what}" for what, n in sorted(outcomes(judged).items()))
    out.print(f"values: {said}", highlight=False, soft_wrap=True)
    for metric in metrics(task, judged, examples, spans):
        out.print(f"{metric.name}: {metric}", highlight=False)
    strict, alike = counts(judged), counts(judged, normalized=True)
    if alike.right > strict.right:
        figure = f"{100 * (alike.recall if one_value(task) else alike.f1):.1f} %"
        out.print(f"  {figure} without regard to case, width and white space", highlight=False)


def in_points(value: float, low: float, high: float) -> str:
    """A difference and its interval, in percentage points."""
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def print_comparison(found: Comparison, console: Console) -> None:
    """Show a comparison: what was set differently, the figures, the verdict, slices and flips."""
    figure = found.figure
    lines = [f"{name}: a {a}, b {b}" for name, (a, b) in found.settings.items()]
    lines += [
        f"{found.measure}: a {100 * figure.a:.1f} %, b {100 * figure.b:.1f} % over {figure.rows:,} rows",
        f"b - a: {in_points(figure.b - figure.a, figure.low, figure.high)}, p = {figure.p:.2g}",
        f"wholly right in a alone {found.whole[0]:,}, in b alone {found.whole[1]:,}: McNemar's p = {found.mcnemar:.2g}",
    ]
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)
    console.print(found.sentence, style="bold", highlight=False, soft_wrap=True)
    clearest = sorted(found.slices, key=lambda part: (part.adjusted, part.p, -abs(part.b - part.a)))
    columns = ("slice", "rows", "a %", "b %", "b - a", "p", "adjusted p")
    rows = [(s.name, s.rows, f"{100 * s.a:.1f}", f"{100 * s.b:.1f}", f"{100 * (s.b - s.a):+.1f}", f"{s.p:.2g}",
             f"{s.adjusted:.2g}") for s in clearest]  # fmt: skip
    print_table("slices, the clearest first", columns, rows, console)
    for title, flips in (("lost: right in a alone", found.lost), ("gained: right in b alone", found.gained)):
        print_table(title, ("id", "field", "right", "a", "b"), [astuple(flip) for flip in flips], console)


def print_flips(found: Flips, change: str, one: bool, out: Console) -> None:
    """Show what a change of the records' surface did; `one`: the task has one value a record."""
    table = Table(
        "change", "records altered", "answer changed, %", "right to wrong", "wrong to right", "before", "after"
    )
    figures = (f"{100 * (c.recall if one else c.f1):.1f}" for c in (found.before, found.after))
    table.add_row(
        change, f"{found.altered} of {found.records.n}", str(found.records), str(found.right_to_wrong),
        str(found.wrong_to_right), *figures,
    )  # fmt: skip
    out.print(table)
    out.print("before, after: " + ("share of labels right, %" if one else "micro F1, strict, %"), highlight=False)
