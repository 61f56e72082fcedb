"""Facts in, a page out: HTML that needs nothing but itself, the same as JSON, and tables in Markdown.

What comes from a record, a label or a model is untrusted and gets onto a page as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from tagger.sinks import write_whole

Facts = dict[str, Any]
"""Plain values, as the JSON has them: shares from 0 to 1, None for what is not defined."""


def page(template: str, **facts: Any) -> str:
    """A page that holds all it needs, from a template beside this file."""
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    env = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return env.get_template(template).render(**facts)


def as_json(known: Facts) -> str:
    """All facts; what is not defined is null."""
    return json.dumps(known, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_pages(folder: Path, name: str, **texts: str) -> Path:
    """Write texts as `name`.html and so on, by their kinds, into a folder; the first of these files."""
    for kind, text in texts.items():
        write_whole(folder / f"{name}.{kind}", text)
    return folder / f"{name}.{next(iter(texts))}"


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as a table."""
    lines = [[markdown_cell(value) for value in line] for line in (rows[0], *(row.values() for row in rows))]
    lines.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_cell(value: Any) -> str:
    """A value on one line, with nothing in it that Markdown reads as its own."""
    text = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(text.split()))
