"""python -m eval run|plan|calibrate|compare|slices|report|robust|floor|recall|again|table|gains|bench|growth|
baseline|drift|trends|gaps|card|injection|soak|callers|int8|repeats|taxonomy|claims"""

from __future__ import annotations

import typer

from eval.baseline import baseline, drift
from eval.claims import claims
from eval.cli_bench import bench, callers, growth, int8, repeats, soak
from eval.cli_pages import card, gaps, trends
from eval.cli_rows import floor, plan, recall, run
from eval.cli_runs import again, calibrate, compare, gains, report, robust, slices, table
from eval.injection import injection
from eval.taxonomy import taxonomy
from tagger.cli import run_app

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (
    run,
    plan,
    calibrate,
    compare,
    slices,
    report,
    robust,
    floor,
    recall,
    again,
    table,
    gains,
    bench,
    growth,
    baseline,
    drift,
    trends,
    gaps,
    card,
    injection,
    soak,
    callers,
    int8,
    repeats,
    taxonomy,
    claims,
):
    app.command()(command)

if __name__ == "__main__":
    run_app(app)
