"""A small catalogue with its expected tags, and what `tagger demo` does with it.

English products get a category and, with the category that was predicted, attributes; Chinese products get
one of ten shopping categories.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tagger.engines.base import Engine
from tagger.pipeline import Tagger
from tagger.result import Tagging

OUTPUT = "tags.jsonl"
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Shown:
    """A product of the catalogue with its tags; `attributes` only for English ones."""

    product: dict[str, Any]
    category: Tagging
    attributes: Tagging | None

    @property
    def right(self) -> bool:
        """Whether the category is the expected one."""
        return bool(self.category.value("category") == self.product["expected"]["category"])


def catalogue(language: str) -> list[dict[str, Any]]:
    """The products of one language, 'en' or 'zh'."""
    path = Path(__file__).parent / f"catalogue_{language}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def steps() -> int:
    """Taggings that `run` makes: two for an English product, one for a Chinese one."""
    return 2 * len(catalogue("en")) + len(catalogue("zh"))


def run(engine: Engine, folder: Path, progress: Callable[[int], None] = lambda done: None) -> list[Shown]:
    """Tag the catalogue and write every tagging to `folder`/tags.jsonl."""
    english, chinese = catalogue("en"), catalogue("zh")
    types = _tag(Tagger("category", engine=engine), english, progress)
    typed = [{**p, "category": t.value("category")} for p, t in zip(english, types, strict=True)]
    attributes = _tag(Tagger("attributes", engine=engine), typed, progress)
    categories = _tag(Tagger("zh_category", engine=engine), chinese, progress)
    shown = [Shown(*row) for row in zip(english, types, attributes, strict=True)]
    shown += [Shown(product, tagging, None) for product, tagging in zip(chinese, categories, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    taggings = [t for s in shown for t in (s.category, s.attributes) if t]
    lines = [json.dumps(t.to_dict(), ensure_ascii=False) + "\n" for t in taggings]
    (folder / OUTPUT).write_text("".join(lines), "utf-8")
    return shown


def table(shown: list[Shown]) -> Table:
    """Products, tags, confidences and evidence for people; evidence is set in colour in the title."""
    grid = Table("product", "category", "p", "attributes", show_lines=True)
    for row in shown:
        chosen = row.category.tags.get("category")
        mark = "[green]✓[/]" if row.right else f"[red]✗ {escape(row.product['expected']['category'])}[/]"
        name = escape(str(chosen.value)) if chosen else escape(row.category.reason or row.category.outcome)
        grid.add_row(_title(row), f"{name} {mark}", f"{chosen.probability:.2f}" if chosen else "", _attributes(row))
    return grid


def summary(shown: list[Shown]) -> str:
    """How many were tagged and how many categories are the expected ones, by language."""
    lines = [f"{sum(s.category.outcome == 'tagged' for s in shown)} of {len(shown)} products tagged"]
    for language, name in (("en", "English"), ("zh", "Chinese")):
        part = [s for s in shown if s.product["lang"] == language]
        right = sum(s.right for s in part)
        lines.append(f"{name} categories right: {right} of {len(part)} ({right / len(part):.0%})")
    right = sum(s.right for s in shown)
    lines.append(f"all categories right: {right} of {len(shown)} ({right / len(shown):.0%})")
    return "\n".join(lines)


def _tag(tagger: Tagger, products: list[dict[str, Any]], progress: Callable[[int], None]) -> list[Tagging]:
    taggings: list[Tagging] = []
    for start in range(0, len(products), _BATCH):
        part = products[start : start + _BATCH]
        taggings += tagger.tag_rows(part)
        progress(len(part))
    return taggings


def _title(row: Shown) -> Text:
    text = Text(row.product["title"])
    for tag in row.attributes.tags.values() if row.attributes else ():
        if not tag.abstained and tag.evidence and tag.evidence.column == "title":
            text.stylize("bold cyan", tag.evidence.start, tag.evidence.end)
    return text


def _attributes(row: Shown) -> Text:
    if row.attributes is None:
        return Text("")
    if row.attributes.outcome != "tagged":
        return Text(row.attributes.reason or row.attributes.outcome, style="red")
    lines = []
    for name, tag in row.attributes.tags.items():
        if not tag.abstained:
            place = f"[{tag.evidence.start}:{tag.evidence.end}]" if tag.evidence else "inferred"
            lines.append(f"{name}: {tag.value}  {tag.probability:.2f} {place}")
    return Text("\n".join(lines))
