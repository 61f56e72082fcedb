"""A run and its verdicts in, lines for a person out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from eval.figures import bootstrap, share
from eval.kinds import figures_of_kind
from eval.record import Run
from eval.score import Verdict, counts, one_value, outcomes
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
