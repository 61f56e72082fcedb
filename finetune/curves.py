"""Losses by step in, a picture out: whether it learned, and when it began to learn by heart."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {"svg.hashsalt": "curves", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


@rc_context(STYLE)
def loss_curves(history: Sequence[Mapping[str, float]]) -> str:
    """An SVG of train and dev loss (nats a token) over steps, from the entries of transformers' log."""
    canvas = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = canvas.add_subplot()
    for key, name, style in (("loss", "train rows", "-"), ("eval_loss", "dev rows", "o-")):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        axes.plot(*zip(*points, strict=True), style, label=name, linewidth=1.2, markersize=4)
    axes.set(xlabel="step", ylabel="loss, nats a token", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    file = io.StringIO()
    canvas.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return file.getvalue()
