"""A run and its verdicts, a comparison or flips in, lines for a person out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.compare import Comparison
from eval.figures import bootstrap, share
from eval.kinds import figures_of_kind
from eval.record import Run
from eval.robust import Flips
from eval.score import Verdict, counts, one_value, outcomes
from eval.slices import print_table
from tagger.example import Example
from tagger.task import Task


def print_run(found: Run, task: Task, judged: Sequence[Verdict], examples: Sequence[Example], out: Console) -> None:
    """What was run, its figures, tokens and rate."""
    head = found.header
    out.print(f"{head.set} {head.split}: task {head.task} {head.task_version}, plan {head.plan}, model {head.model}, "
              f"{head.engine}", highlight=False, soft_wrap=True)  # fmt: skip
    print_figures(task, judged, examples, out)
    tokens = [sum(row.tokens[i] for row in found.rows) / len(found.rows) for i in range(3)]
    rate = f"{len(found.rows) / found.seconds:.2f} rows/s" if found.seconds else "from the record"
    out.print(f"{rate}; tokens a row: {tokens[0]:.0f} read, {tokens[1]:.0f} of them cached, {tokens[2]:.1f} written")
    if not found.whole:
        out.print(f"{len(found.rows)} of {head.rows} rows: run the same command again to go on")


def print_figures(task: Task, judged: Sequence[Verdict], examples: Sequence[Example], out: Console) -> None:
    """Values by verdict; accuracy for one field, F1 for several, and what fits the kinds of the fields."""
    said = ", ".join(f"{n} {what}" for what, n in sorted(outcomes(judged).items()))
    out.print(f"values: {said}", highlight=False, soft_wrap=True)
    if one_value(task):
        out.print(f"right: {share(sum(v.kind == 'right' for v in judged), len(judged))} %", highlight=False)
    for name, published in (("strict", False), ("published scoring", True)) if not one_value(task) else ():
        c = counts(judged, published=published)
        figure = bootstrap(judged, lambda c: c.f1, published=published)
        out.print(f"micro F1, {name}: {figure}; precision {100 * c.precision:.1f}, recall {100 * c.recall:.1f}",
                  highlight=False)  # fmt: skip
        alike = counts(judged, published=published, normalized=True)
        if alike.right > c.right:
            out.print(f"  {100 * alike.f1:.1f} without regard to case, width and white space", highlight=False)
    groups = queries(task, examples)
    for name, field in task.fields.items():
        for metric, figure in figures_of_kind(field, [v for v in judged if v.field == name], groups):
            plain = f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
            shown = figure if metric.startswith("accuracy") else plain
            out.print(f"{name}, {metric}: {shown}", highlight=False)


def queries(task: Task, examples: Sequence[Example]) -> dict[str, str]:
    """By id, the first column of each record: of records that are ranked for it, the query."""
    first = next(iter(task.columns))
    return {example.record.id: example.record.values[first] for example in examples}


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
