"""Gaps in, their report out: which slices are served worse, in sentences, charts and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from eval.charts import interval_chart
from eval.compare import LEVEL, POWER
from eval.gaps import LEAST_ROWS, MEASURES, Gap
from eval.pages import Facts, markdown_cell, markdown_table, page

ABOUT = {
    "error": "of the values said, the share that is wrong",
    "coverage": "of the values asked for, the share that is said",
    "overconfidence": "mean probability less the share right",
}


def facts(found: Sequence[Gap], made: Mapping[str, str], notes: Sequence[str]) -> Facts:
    """All that a report says; `made` says what made the run, `notes` what a reader has to know."""
    told = [one for one in found if one.told]
    return {
        "made": dict(made),
        "notes": list(notes),
        "sentence": summary(found),
        "level": LEVEL,
        "power": POWER,
        "least_rows": LEAST_ROWS,
        "told": [one.sentence for one in sorted(told, key=lambda one: -abs(one.difference.value))],
        "gaps": [{**asdict(one), "told": one.told, "sentence": one.sentence} for one in found],
    }


def summary(found: Sequence[Gap]) -> str:
    """How many gaps there are, in a sentence."""
    tested, told = sum(one.p is not None for one in found), sum(one.told for one in found)
    if not tested:
        return f"Nothing to tell: no slice and its rest have {LEAST_ROWS} records each."
    gaps = f"{told} of {tested:,} gaps are more than chance"
    return gaps if told else f"No gap is told from chance ({tested:,} were tested); that is no proof that there is none"


def as_html(known: Facts) -> str:
    """One page that holds all it needs."""
    charts = []
    for measure in MEASURES:
        mine = [one for one in known["gaps"] if one["measure"] == measure]
        marked = [place for place, one in enumerate(mine) if one["told"]]
        if mine:
            names = [f"{one['slice']} ({one['rows']})" for one in mine]
            figures = [one["there"] for one in mine]
            chart = interval_chart(measure, names, figures, marked, ABOUT[measure])
            charts.append({"measure": measure, "about": ABOUT[measure], "chart": chart})
    return page("gaps.html.jinja", r=known, charts=charts)


def as_markdown(known: Facts) -> str:
    """The gaps that are told, and all of them as a table in points of a hundred."""
    parts = [f"# Gaps: {markdown_cell(known['made']['labelled rows'])}", *map(markdown_cell, known["notes"])]
    parts.append("## What made it\n\n" + markdown_table([{"what": k, "is": v} for k, v in known["made"].items()]))
    parts.append(gaps_in_words(known["sentence"], known["told"]))
    if known["gaps"]:
        parts.append("## Every slice\n\n" + gaps_table(known["gaps"]))
        parts.append("## In words\n\n" + "\n".join(f"- {markdown_cell(one['sentence'])}" for one in known["gaps"]))
    return "\n\n".join(parts) + "\n"


def gaps_in_words(told: str, sentences: Sequence[str]) -> str:
    """The sentences of the gaps that are told, below one of how many there are."""
    return "\n".join(
        [f"{markdown_cell(told)}.", "", *(f"- {markdown_cell(sentence)}" for sentence in sentences)]
    ).rstrip()


def gaps_table(found: Sequence[Facts]) -> str:
    """Gaps as a table of Markdown, in per cent and points."""
    return markdown_table([
        {
            "slice": one["slice"], "measure": one["measure"], "records": one["rows"],
            "here [95 %]": _interval(one["there"]), "elsewhere [95 %]": _interval(one["rest"]),
            "gap [95 %]": _interval(one["difference"]),
            "adjusted p": "not tested" if one["adjusted"] is None else f"{one['adjusted']:.2g}",
            "more rows to tell": one["more_rows"] or "",
        }
        for one in found
    ])  # fmt: skip


def _interval(figure: Facts) -> str:
    return f"{100 * figure['value']:.1f} ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"
