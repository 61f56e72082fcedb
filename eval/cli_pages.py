"""Commands that write pages about tags and runs: trends, gaps, card. No model is asked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eval.groups import by_period, by_value, cells
from eval.pages import as_json, write_pages
from eval.trends import counted
from eval.trends import trends as trends_of
from tagger.cli_options import Mapping, mapped
from tagger.errors import SettingsError, SourceError
from tagger.sinks import read_manifest, tag_lines
from tagger.task import load_task

MOST_PERIODS = 400
out = Console()


class Period(StrEnum):
    """How long a period is."""

    day = "day"
    week = "week"
    month = "month"
    quarter = "quarter"


def trends(
    task: Annotated[str, typer.Argument(help="A shipped task or a folder.")],
    folder: Annotated[Path, typer.Argument(help="The --out of a finished `tagger tag`.")],
    data: Annotated[Path, typer.Option("--data", help="The catalogue that was tagged, a file or a folder.")],
    by: Annotated[str, typer.Option("--by", help="Its column with the date, or with what rows are grouped by.")],
    every: Annotated[
        Period | None, typer.Option("--every", help="The column is a date: group by this; without it by its values.")
    ] = None,
    mapping: Mapping = None,
    report: Annotated[Path, typer.Option("--out", help="Folder for trends.html, trends.json, trends.md.")] = Path("."),
) -> None:
    """Say how the shares of values differ over time or by a column, and which moved: a page with charts."""
    from eval.trends_page import as_html, as_markdown, facts

    loaded, made = load_task(task), read_manifest(folder)
    lines = tag_lines(folder, loaded)
    stand = cells(data, by, mapped(mapping))
    groups = by_period(stand, every.value) if every else by_value(stand)
    if every and len(periods := set(groups.of.values())) > MOST_PERIODS:
        told = f"{len(periods):,} periods from {min(periods)} to {max(periods)} are more than a page holds"
        raise SettingsError(told, where="--every", hint="choose longer ones, or mend dates that are wrong")
    found = counted(lines, groups.of, stand)
    if not found.rows:
        hint = "give the catalogue that was tagged, and --map id=COLUMN as `tagger tag` had it"
        first = f"; the first is {found.unknown[0]!r}" if found.unknown else ""
        raise SourceError(f"no tag has the id of a row with a group{first}", where=str(data), hint=hint)
    notes = groups.told(by, "date")
    if found.unknown:
        number = f"{len(found.unknown):,} line{'s' if len(found.unknown) > 1 else ''} of tags"
        notes.append(
            f"{number} without a row of that id in the data, left out here; the first is {found.unknown[0]!r}."
        )
    if untagged := len(groups.of) - sum(found.rows.values()):
        notes.append(f"{untagged:,} rows of the data have no line of tags.") if untagged > 0 else None
    if made["unread"]:
        notes.append(f"The run could not read all of {', '.join(made['unread'])}.")
    told = {
        "tags": f"{made['task']}, {made['source']}",
        "by": f"{by}, every {every.value}" if every else by,
        "rows": f"{sum(found.rows.values()):,} in {len(found.rows)} groups",
        **{name.replace("_", " "): str(made[name]) for name in ("task_version", "plan", "model")},
    }
    known = facts(trends_of(found, ordered=bool(every)), found, told, notes, ordered=bool(every))
    for line in (*notes, *(one["sentence"] for one in known["movers"])):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    written = write_pages(report, "trends", html=as_html(known), json=as_json(known), md=as_markdown(known))
    out.print(str(written), highlight=False, markup=False, soft_wrap=True)
