"""A card says what is recorded, and of the rest that it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eval.card import NOT, data_sheet, limits, measured, model_card
from eval.cli_pages import card as command
from eval.datasheet import composition
from eval.record import Run, write_run
from eval.score import judge
from tagger import Task
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Record
from tagger.task import load_task
from tagger.weights import bundles


def example(name: str, title: str, label: str | None, **more: Any) -> Example:
    return Example(Record(name, {"title": title}), {"category": label} if label else {}, **more)


def sections(text: str) -> Mapping[str, str]:
    return {part.splitlines()[0]: part for part in text.split("\n## ")[1:]}


def test_the_card_has_every_section_of_the_paper_and_invents_nothing(
    category: Task, tea_run: Run, rows: list[Example]
) -> None:
    found = measured(tea_run, category, rows, judge(tea_run, category, rows))

    told = sections(model_card(category, [found]))

    assert list(told) == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    assert f"version {category.version}" in told["Model details"]
    assert f"| licence of the model | {NOT} |" in told["Model details"]
    assert "Product type of a listing" in told["Intended use"]
    assert "| accuracy | 50.0" in told["Quantitative analyses"]
    assert NOT in told["Ethical considerations"]
    assert "not recorded" in told["Training data"]
    assert "raw: no calibration fits this run" in told["Quantitative analyses"]


def test_the_licence_of_a_bundle_is_known(category: Task, tea_run: Run, rows: list[Example]) -> None:
    name = "qwen2.5-coder-0.5b-instruct"
    tea_run.header = tea_run.header.model_copy(update={"model": name})

    card = model_card(category, [measured(tea_run, category, rows, judge(tea_run, category, rows))])

    assert f"| licence of the model | {bundles()[name].licence} |" in card


def test_limits_follow_from_the_facts(category: Task, tea_run: Run, rows: list[Example]) -> None:
    told = "\n".join(limits(category, [measured(tea_run, category, rows, judge(tea_run, category, rows))]))

    assert "these rows were there to choose on" in told
    assert "all rows are of one language: English" in told
    labels = len(category.fields["category"].closed or {})
    assert f"no judged row has {labels - 2} of the {labels} labels of category" in told
    assert "fewer than 10 judged rows have each of 2 labels of category: Coffee, Tea." in told.replace(
        "Tea, Coffee", "Coffee, Tea"
    )
    assert "1 of 4 rows got no answer (1 rejected, 0 failed)" in told
    cut = Run(tea_run.header, tea_run.rows[:2])
    assert "not finished, 2 of 4" in "\n".join(
        limits(category, [measured(cut, category, rows, judge(cut, category, rows))])
    )


def test_a_data_sheet_counts_what_the_rows_hold(category: Task, tea_run: Run, rows: list[Example]) -> None:
    train = [
        example("1", "Sencha", "Tea"),
        example("2", "ＳＥＮＣＨＡ ", "Tea"),
        example("3", "红茶", None, pseudo=True),
    ]
    test = [example("4", "sencha", "Tea"), example("5", "mocha", "Coffee")]

    first, second = composition(category, {"train": train, "test": test})

    assert (first["rows"], first["repeated"], first["shared"], first["pseudo"]) == (3, 1, 0, 1)
    assert (second["repeated"], second["shared"]) == (0, 1)
    assert first["languages"] == {"English": 2, "Chinese": 1}
    assert first["lengths"]["shortest"] == 2
    assert first["fields"][0] | {} == {
        "field": "category",
        "labelled": 2,
        "looked_at": 3,
        "different": 1,
        "values": {"Tea": 2},
        "others": 0,
    }
    judged = measured(tea_run, category, rows, judge(tea_run, category, rows))
    told = sections(data_sheet(category, [first, second], [judged]))
    assert list(told) == [
        "Motivation",
        "Composition",
        "Collection process",
        "Preprocessing, cleaning, labelling",
        "Uses",
        "Distribution",
        "Maintenance",
    ]
    assert "| train | 3 | 1 | 0 |" in told["Composition"]
    assert "| Tea | 2 |" in told["Composition"]
    assert "1 rows were labelled by a tagger" in told["Preprocessing, cleaning, labelling"]
    assert "4 rows were judged" in told["Uses"]
    assert all(NOT in told[name] for name in ("Motivation", "Collection process", "Maintenance"))


def test_foreign_text_is_no_markdown(tea_run: Run, category: Task, rows: list[Example]) -> None:
    hostile = [example("1", "x", "Tea"), example("2", "y", "| <b>a</b> # `")]

    found = composition(category, {"own | split": hostile})
    sheet = data_sheet(category, found, [measured(tea_run, category, rows, judge(tea_run, category, rows))])

    assert "<b>" not in sheet.replace("\\<b\\>", "")
    assert "own \\| split" in sheet


def test_the_command_writes_both(tmp_path: Path, tea_run: Run, rows: list[Example]) -> None:
    lines = [{"id": row.record.id, "title": row.record.id, "labels": row.answer, "seller": "x"} for row in rows]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    tea_run.header = tea_run.header.model_copy(update={"split": "own"})
    write_run(tmp_path / "run.jsonl.gz", tea_run)

    command(
        "category", [tmp_path / "run.jsonl.gz"], data=[tmp_path / "rows.jsonl"], by=["seller"], folder=tmp_path / "c"
    )

    card = (tmp_path / "c" / "model-card.md").read_text("utf-8")
    assert card.startswith(f"# Model card: category, version {load_task('category').version}\n")
    assert "sliced by language, category, length, seller" in card
    assert "### judged (--data)" in (tmp_path / "c" / "data-sheet.md").read_text("utf-8")
    (tmp_path / "zh.jsonl").write_text(
        json.dumps({"id": "1", "text": "茶", "labels": {"category": "水果"}}) + "\n", "utf-8"
    )
    with pytest.raises(SourceError, match="one of task 'category', not of 'zh"):
        command("zh_category", [tmp_path / "run.jsonl.gz"], data=[tmp_path / "zh.jsonl"], folder=tmp_path)
