"""Trends in, their report out: what moved in sentences and charts, and every share, as a page, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from markupsafe import Markup

from eval.charts import interval_chart, time_chart
from eval.groups import start_of
from eval.pages import Facts, markdown_cell, markdown_table, page
from eval.trends import LEAST_ROWS, LEVEL, OUTCOME, Cell, Counted, Mover, Trends

MOST_DRAWN = 12
"""Movers with a chart."""
MOST_COLUMNS = 8
"""Values of a field in a table of Markdown: the most frequent; the JSON has all."""


def facts(found: Trends, of: Counted, made: Mapping[str, str], notes: Sequence[str], *, ordered: bool) -> Facts:
    """All that a report says. `made` says what was tagged and how, `notes` what a reader has to know."""
    return {
        "made": dict(made),
        "notes": list(notes),
        "ordered": ordered,
        "groups": [{"group": g, "rows": of.rows[g], "answered": of.answered(g)} for g in found.groups],
        "tests": found.tests,
        "level": LEVEL,
        "least_rows": LEAST_ROWS,
        "movers": [{"sentence": sentence(one, ordered=ordered), **asdict(one)} for one in found.movers],
        "fields": [
            {"field": name, "values": [_value(text, cells) for text, cells in values.items()]}
            for name, values in found.shares.items()
        ],
    }


def sentence(one: Mover, *, ordered: bool) -> str:
    """What moved, as a person would say it."""
    what = one.value if one.field == OUTCOME else f"{one.field}: {one.value}"
    whole = "all rows" if one.field == OUTCOME else "the answered rows"
    more = "more" if one.change.value > 0 else "less"
    points = f"{100 * abs(one.change.value):.1f} points {more}"
    rest = "before" if ordered else "elsewhere"
    return f"{what} is {one.there.value:.1%} of {whole} of {one.group}, {one.rest.value:.1%} {rest}: {points}"


def as_html(known: Facts) -> str:
    """One page that holds all it needs."""
    names = [group["group"] for group in known["groups"]]
    movers = [_drawn(f"mover{place}", one, known, names) for place, one in enumerate(known["movers"][:MOST_DRAWN])]
    outcomes = [
        {"value": value["value"], "chart": _chart(f"outcome{place}", value["shares"], names, None, known["ordered"])}
        for place, value in enumerate(known["fields"][0]["values"])
    ]
    return page("trends.html.jinja", r=known, names=names, movers=movers, outcomes=outcomes)


def as_markdown(known: Facts) -> str:
    """The movers, and of each field a table of shares in per cent, a line for each group."""
    parts = [f"# Trends: {markdown_cell(known['made']['tags'])}", *map(markdown_cell, known["notes"])]
    parts.append("## What made it\n\n" + markdown_table([{"what": k, "is": v} for k, v in known["made"].items()]))
    told = "\n".join(f"- {markdown_cell(one['sentence'])}" for one in known["movers"])
    parts.append(f"## What {'moved' if known['ordered'] else 'differs'}\n\n{told or nothing(known)}")
    for one in known["fields"]:
        shown = one["values"][:MOST_COLUMNS]
        lines = [
            {"group": group["group"], "rows": group["rows"]}
            | {value["value"]: _percent(value["shares"][place]) for value in shown}
            for place, group in enumerate(known["groups"])
        ]
        more = len(one["values"]) - len(shown)
        left = f"\n\n{more} more values are in the JSON." if more else ""
        parts.append(f"## {markdown_cell(one['field'])}, per cent\n\n{markdown_table(lines)}{left}")
    return "\n\n".join(parts) + "\n"


def nothing(known: Facts) -> str:
    """What is said where nothing moved."""
    if not known["tests"]:
        return f"Too few rows to tell: a group is tested from {LEAST_ROWS} rows on."
    return f"Nothing that chance would not bring ({known['tests']:,} comparisons)."


def _value(text: str, cells: Sequence[Cell]) -> Facts:
    shares = [asdict(figure) if (figure := cell.figure) else None for cell in cells]
    return {"value": text, "rows": sum(cell.count for cell in cells), "shares": shares}


def _drawn(name: str, one: Facts, known: Facts, names: Sequence[str]) -> Facts:
    """A mover with its chart."""
    values = next(each["values"] for each in known["fields"] if each["field"] == one["field"])
    shares = next(value["shares"] for value in values if value["value"] == one["value"])
    return {**one, "chart": _chart(name, shares, names, names.index(one["group"]), known["ordered"])}


def _chart(
    name: str, shares: Sequence[Facts | None], names: Sequence[str], marked: int | None, ordered: bool
) -> Markup:
    if ordered:
        return time_chart(name, {group: start_of(group) for group in names}, shares, marked)
    return interval_chart(name, names, shares, () if marked is None else (marked,), "share of the rows")


def _percent(share: Facts | None) -> str:
    return "" if share is None else f"{100 * share['value']:.1f}"
