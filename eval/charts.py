"""Rows of figures in, charts as SVG out, to stand in the page of a report.

They keep their words as text, so that the reader's own fonts show every script, and take their colours from the page,
so that light and dark both work.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from rich.cells import cell_len, chop_cells

COLOURS = {"#111101": "--ink", "#777701": "--soft", "#dddd01": "--line", "#115501": "--accent", "#993301": "--wrong"}
"""Colours of the charts, and those of the page that take their place."""
INK, SOFT, LINE, ACCENT, WRONG = COLOURS
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}
MOST_TICKS = 6
"""Periods that are named below a chart."""
POINTS = 72
"""Of an inch: what a chart is measured in."""


@rc_context(STYLE)
def reliability_chart(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Share right over mean probability, a point with its interval for each bin."""
    p = [row["p"] for row in bins]
    low, right, high = ([row["right"][part] for row in bins] for part in ("low", "value", "high"))
    least = np.floor(10 * min(*p, *low)) / 10
    canvas, axes = _axes("mean probability of the answers", "share of them that is right", least)
    axes.plot([least, 1], [least, 1], color=SOFT, linestyle=(0, (3, 3)), linewidth=1)
    axes.vlines(p, low, high, color=ACCENT, linewidth=2, alpha=0.45, clip_on=False)
    axes.plot(p, right, "o-", color=ACCENT, markersize=4, linewidth=1, clip_on=False)
    axes.set_xlim(least, 1)
    return _svg(canvas, "reliability", "Reliability curve: share of right answers over probability")


@rc_context(STYLE)
def coverage_chart(curve: Sequence[Mapping[str, Any]]) -> Markup:
    """Precision over coverage."""
    coverage, precision = ([row[part] for row in curve] for part in ("coverage", "precision"))
    canvas, axes = _axes(
        "share of the values that is answered", "share of the answers that is right", np.floor(10 * min(precision)) / 10
    )
    axes.plot(coverage, precision, color=ACCENT, linewidth=1.5)
    axes.set_xlim(0, 1)
    return _svg(canvas, "coverage", "Share of right answers over share of values answered")


@rc_context(STYLE)
def time_chart(
    name: str, periods: Mapping[str, date], shares: Sequence[Mapping[str, Any] | None], marked: int | None
) -> Markup:
    """A share over periods (by name, with their first days), its interval as a band; that at place `marked` stands
    out."""
    days = [start.toordinal() for start in periods.values()]
    known = [(day, found) for day, found in zip(days, shares, strict=True) if found]
    low, value, high = ([found[part] for _, found in known] for part in ("low", "value", "high"))
    canvas, axes = _small(max(high))
    axes.fill_between([day for day, _ in known], low, high, color=ACCENT, alpha=0.15, linewidth=0)
    axes.plot([day for day, _ in known], value, "o-", color=ACCENT, markersize=3, linewidth=1.2, clip_on=False)
    if marked is not None and (found := shares[marked]):
        axes.plot(days[marked], found["value"], "o", color=WRONG, markersize=5.5, clip_on=False)
    told = sorted({round(place) for place in np.linspace(0, len(days) - 1, MOST_TICKS)})
    axes.set_xticks([days[place] for place in told], [list(periods)[place] for place in told])
    return _svg(canvas, name, "Share over time")


@rc_context(STYLE)
def interval_chart(
    name: str, labels: Sequence[str], figures: Sequence[Mapping[str, Any] | None], marked: Collection[int], about: str
) -> Markup:
    """A line for each label: its figure as a dot with its interval; those at places `marked` stand out."""
    short = [label if cell_len(label) <= 46 else f"{chop_cells(label, 45)[0]}…" for label in labels]
    edge, side = 4.7 * max(map(cell_len, short)) + 14, 15.0 * len(labels)
    wide, high = edge + 240, side + 34
    canvas = Canvas(figsize=(wide / POINTS, high / POINTS))
    axes = canvas.add_axes((edge / wide, 28 / high, 226 / wide, side / high))
    for place, found in enumerate(figures):
        if found:
            colour = WRONG if place in marked else ACCENT
            axes.hlines(place, found["low"], found["high"], color=colour, linewidth=2, alpha=0.45, clip_on=False)
            axes.plot(found["value"], place, "o", color=colour, markersize=4, clip_on=False)
    axes.set(ylim=(len(labels) - 0.5, -0.5), xlabel=about)
    least, most = axes.get_xlim()
    axes.set_xlim(0 if least >= 0 or min(f["low"] for f in figures if f) >= 0 else least, most)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.locator_params(axis="x", nbins=5, steps=[1, 2, 5, 10])
    axes.set_yticks(range(len(labels)), short)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(axis="x")
    return _svg(canvas, name, about)


@rc_context(STYLE)
def confusion_chart(name: str, labels: Sequence[str], table: Sequence[Sequence[int]], **_: Any) -> Markup:
    """A cell for each pair of labels: its row is the right one, its column the answered one."""
    short = [label if cell_len(label) <= 26 else f"{chop_cells(label, 25)[0]}…" for label in labels]
    # Words are measured by the columns that they take in a terminal: the reader's fonts are not known here.
    edge, side = 4.7 * max(map(cell_len, short)) + 26, 26.0 * len(labels)
    wide, high = edge + side + 8, 0.75 * edge + side + 8
    canvas = Canvas(figsize=(wide / POINTS, high / POINTS))
    axes = canvas.add_axes((edge / wide, 1 - (side + 4) / high, side / wide, side / high))
    most = max(times for i, line in enumerate(table) for j, times in enumerate(line) if i != j)
    for i, j in np.argwhere(np.array(table)):
        colour, depth = (SOFT, 0.15) if i == j else (WRONG, 0.15 + 0.5 * table[i][j] / most)
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=colour, alpha=depth))
        axes.text(j, i, str(table[i][j]), ha="center", va="center")
    places = range(len(labels))
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), ylabel="right", xlabel="answered")
    axes.set_xticks(places, short, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, short)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xticks(np.arange(0.5, len(labels) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(labels) - 1), minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor")
    return _svg(canvas, name, "Which label was taken for which")


def _axes(across: str, up: str, least: float) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(330 / POINTS, 250 / POINTS), layout="constrained")
    axes = canvas.add_subplot()
    axes.set(xlabel=across, ylabel=up, ylim=(least, 1.005))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.locator_params(nbins=6, steps=[1, 2, 5, 10])  # whole per cents
    axes.grid()
    return canvas, axes


def _small(most: float) -> tuple[Canvas, Axes]:
    """The axes of a share between 0 and `most`."""
    canvas = Canvas(figsize=(300 / POINTS, 130 / POINTS), layout="constrained")
    axes = canvas.add_subplot()
    axes.set_ylim(0, max(most, 0.01))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.locator_params(axis="y", nbins=4, steps=[1, 2, 5, 10])
    axes.grid(axis="y")
    return canvas, axes


def _svg(canvas: Canvas, name: str, about: str) -> Markup:
    """A chart to stand in a page: ids that no other chart has, and the page's own fonts and colours."""
    file = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # from a font that shows nothing here
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(file, format="svg", transparent=True, metadata=nothing)

    def own(tag: re.Match[str]) -> str:
        text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag[0])
        text = re.sub('font-family: [^;"]*', "font-family: var(--font)", text)
        for colour, variable in COLOURS.items():
            text = text.replace(colour, f"var({variable})")
        return text

    svg = file.getvalue()
    svg = re.sub("<defs>\\s*<style.*?</defs>", "", svg[svg.index("<svg") :], count=1, flags=re.DOTALL)
    svg = re.sub("<[^>]*>", own, svg)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{about}"', 1))
