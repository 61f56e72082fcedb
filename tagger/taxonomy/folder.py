"""A Proposal in, a task folder out that a person reviews and edits, and back.

task.toml       what is asked; `tagger check` passes on it
labels.tsv      the labels as the task reads them
plan.toml       how they are asked
examples.jsonl  typical rows of each label, to show to the model
labels.csv      the labels with their figures, and two empty columns for decisions (review.py)
rows.csv        every row with its proposed label, which a person may change
review.md       what to look at first
proposal.json   how it was made, and figures of the whole
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tagger.errors import SourceError
from tagger.sinks import write_whole
from tagger.taxonomy.kinds import language_of
from tagger.taxonomy.proposal import Label, Proposal, Row

LABELS, ROWS, REVIEW, FACTS = "labels.csv", "rows.csv", "review.md", "proposal.json"
SHOWN = 2
"""Rows of each label that become examples of the task."""
MOST_AT_ONCE, SHORTLIST = 60, 20
"""From more labels on, only the likeliest stand before the model."""
LABEL_COLUMNS = ("label", "do", "to", "rows", "cohesion", "ambiguity", "nearest", "includes", "excludes", "examples")
ROW_COLUMNS = ("id", "text", "proposed", "label", "fit", "margin", "other")
BETWEEN = " | "
"""Between the examples in a cell."""

Read = TypeVar("Read")

NAMES = ("name", "product_name", "product_title", "text", "标题", "评论", "商品名称")
"""Other names of the column with the product text."""
ABOUT = {"en": "Product type of a listing, from its text", "zh": "商品标题或评论所属的品类"}
TASK = """about = {about}

[columns.title]
about = "what the listing says"
names = {names}

[fields.category]
kind = "{kind}"
about = {field}
labels = "labels.tsv"
"""
FIELD = {"en": "what kind of product it is", "zh": "所属品类"}
PLAN = """# How the task is asked; `python -m eval plan` chooses it on labelled rows.

[[ask]]
form = "label"
fields = ["category"]
{shortlist}
[shots]
fixed = {fixed}
"""


def write_folder(proposal: Proposal, folder: Path, review: str) -> None:
    """Write a proposal as a task folder, with `review` as what to look at first.

    Raises SourceError for a folder in which a task lies already, and for what cannot be written.
    """
    if (folder / "task.toml").exists():
        raise SourceError("a task lies there already", where=str(folder), hint="choose another --out")
    labels = proposal.labels
    language = language_of(" ".join(label.name for label in labels))
    kind = "path" if any(len(label.path) > 1 for label in labels) else "label"
    shown = list(_shown(labels))
    shortlist = f"shortlist = {SHORTLIST}\n" if len(labels) > MOST_AT_ONCE else ""
    called = ((proposal.facts or {}).get("mapping") or {}).get("title")
    task = TASK.format(
        about=json.dumps(ABOUT[language], ensure_ascii=False),
        names=json.dumps(
            [*([called] if called else []), *(name for name in NAMES if name != called)], ensure_ascii=False
        ),
        kind=kind,
        field=json.dumps(FIELD[language], ensure_ascii=False),
    )
    write_whole(folder / "labels.tsv", "".join(f"{label.name}\t{label.about}\n" for label in labels))
    write_whole(folder / "plan.toml", PLAN.format(shortlist=shortlist, fixed=min(len(shown), MOST_AT_ONCE)))
    if shown:
        write_whole(folder / "examples.jsonl", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in shown))
    write_whole(folder / LABELS, _csv(LABEL_COLUMNS, map(_label_cells, labels)))
    write_whole(folder / ROWS, _csv(ROW_COLUMNS, map(_row_cells, proposal.rows)))
    write_whole(folder / REVIEW, review)
    facts = {"labels": len(labels), "rows": len(proposal.rows), "coverage": round(proposal.coverage, 4)}
    write_whole(folder / FACTS, json.dumps(facts | {"made": proposal.facts}, ensure_ascii=False, indent=2) + "\n")
    write_whole(folder / "task.toml", task)  # last: with it, the folder is whole


def read_folder(folder: Path) -> Proposal:
    """The proposal as a folder holds it, with the labels that a person gave to rows.

    Raises SourceError for a folder without these files, and for a row whose label is none of the folder's.
    """
    facts = json.loads((folder / FACTS).read_text("utf-8"))["made"] if (folder / FACTS).is_file() else None
    labels = list(_read(folder / LABELS, LABEL_COLUMNS, _label))
    known, rows = {label.name for _, label in labels}, []
    for number, row in _read(folder / ROWS, ROW_COLUMNS, _row):
        if row.label and row.label not in known:
            hint = f"the labels stand in {LABELS}; an empty cell says that the row fits none"
            raise SourceError(f"no label {row.label!r}", where=f"{folder / ROWS}:{number}", hint=hint)
        rows.append(row)
    return Proposal([label for _, label in labels], rows, facts)


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The lines of a CSV with their numbers; SourceError if it is missing, broken or lacks a column."""
    if not path.is_file():
        raise SourceError("no such file", where=str(path), hint="tagger taxonomy propose or import writes it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, strict=True)
            if missing := [name for name in columns if name not in (table.fieldnames or ())]:
                raise SourceError(f"no column {missing[0]!r}", where=str(path))
            found = [(table.line_num, {name: (row[name] or "").strip() for name in columns}) for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        hint = "save it as CSV with commas, in UTF-8"
        raise SourceError(f"cannot be read: {error}", where=str(path), hint=hint) from None
    return found


def _read(path: Path, columns: Sequence[str], read: Callable[[Mapping[str, str]], Read]) -> Iterator[tuple[int, Read]]:
    """The lines of a table as what they are; SourceError where a figure is no number."""
    for number, line in read_table(path, columns):
        try:
            yield number, read(line)
        except ValueError as error:
            raise SourceError(f"not a figure: {error}", where=f"{path}:{number}") from None


def _shown(labels: Iterable[Label]) -> Iterable[Mapping[str, Any]]:
    """Typical rows with their labels, one of each label before the second of any."""
    labels = list(labels)
    for place in range(SHOWN):
        for label in labels:
            if place < len(label.examples):
                yield {"record": {"title": label.examples[place]}, "answer": {"category": label.name}}


def _label_cells(label: Label) -> list[Any]:
    figures = [label.rows, f"{label.cohesion:.3f}", f"{label.ambiguity:.3f}", label.nearest]
    return [label.name, "", "", *figures, label.includes, label.excludes, BETWEEN.join(label.examples)]


def _row_cells(row: Row) -> list[Any]:
    return [row.id, row.text, row.label, row.label, f"{row.fit:.3f}", f"{row.margin:.3f}", row.other]


def _label(line: Mapping[str, str]) -> Label:
    return Label(
        line["label"], line["includes"], line["excludes"],
        tuple(text for text in line["examples"].split(BETWEEN) if text),
        int(line["rows"] or 0), float(line["cohesion"] or 0), float(line["ambiguity"] or 0), line["nearest"],
    )  # fmt: skip


def _row(line: Mapping[str, str]) -> Row:
    return Row(
        line["id"], line["text"], line["label"], float(line["fit"] or 0), line["other"], float(line["margin"] or 0)
    )


def _csv(columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A CSV with the mark by which spreadsheets know UTF-8."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(lines)
    return "\ufeff" + text.getvalue()
