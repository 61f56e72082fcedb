"""What goes out and comes back is the same answer, in any language; what was changed or broken on the way is said."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.workbench import exchange
from eval.workbench.exchange import Imported, from_csv, from_jsonl, read_number
from eval.workbench.label_studio import from_label_studio, labelling_config, to_label_studio
from tagger.errors import SourceError, TaskError
from tagger.example import Example
from tagger.record import Record
from tagger.result import Alternative, Provenance, Tag, Tagging
from tagger.task import Task, load_task, task_names

TOML = """
about = "goods"
[columns.title]
[columns."商品 描述"]
required = false
[fields.category]
kind = "label"
labels = ["Tea", "茶具", "Fish & <Chips>"]
[fields.flags]
kind = "labels"
labels = ["new", "sale", "有机"]
[fields.shelf]
kind = "path"
labels = ["Food > Tea > Green tea", "Food > Tea > 红茶", "Home"]
[fields.brand]
kind = "text"
[fields."颜色 colours"]
kind = "texts"
[fields.note]
kind = "text"
verbatim = false
[fields.weight]
kind = "number"
units = ["g", "ml"]
[fields.pieces]
kind = "number"
[fields.sold]
kind = "boolean"
[fields.grade]
kind = "score"
"""
LEAST = {"category": "Tea", "shelf": "Home"}
TITLE, TEXT = 'Acme 🍵 red  cap, "dark green" & red', "龙井绿茶 250g，红色\n礼盒"
ANSWERS: Sequence[Mapping[str, Any]] = [
    {**LEAST, "flags": []},
    {
        "category": "Fish & <Chips>", "flags": ["new", "有机"], "shelf": "Food > Tea > 红茶", "brand": "Acme",
        "颜色 colours": ["red", "dark green", "红色"], "note": "a, \"b\"; 'c'  好",
        "weight": {"value": 250, "unit": "g"}, "pieces": 0.5, "sold": True, "grade": 4,
    },
    {**LEAST, "flags": ["sale"], "brand": "ACME", "颜色 colours": ["red", "red"], "sold": False, "pieces": -3},
    {**LEAST, "flags": [], "颜色 colours": ["dark green", "red"]},
    {**LEAST, "flags": [], "brand": "Other", "颜色 colours": ["红色", "red", "blue"]},
]  # fmt: skip


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "goods").mkdir()
    (tmp_path / "goods" / "task.toml").write_text(TOML, "utf-8")
    return load_task(tmp_path / "goods")


@pytest.fixture
def rows() -> list[Example]:
    texts = {"title": TITLE, "商品 描述": TEXT}
    return [Example(Record(f"号 {n}", texts), answer) for n, answer in enumerate(ANSWERS)]


def tagged(rows: Sequence[Example], p: float = 0.75) -> list[Tagging]:
    made = Provenance("goods", "v", "p", "m", None, "scripted")
    return [Tagging(row.record.id, "tagged", {name: Tag(v, p) for name, v in row.answer.items()}, made) for row in rows]


def annotated(task: Task, rows: Sequence[Example], **more: Any) -> list[dict[str, Any]]:
    """The tasks that go to Label Studio as its export has them, once somebody has accepted the predictions."""
    sent = to_label_studio(task, tagged(rows), {row.record.id: row.record for row in rows})
    return [
        {
            "id": number,
            "data": item["data"],
            "annotations": [
                {"id": number, "completed_by": 7, "was_cancelled": False, "result": item["predictions"][0]["result"]}
                | more
            ],
            "predictions": [],
        }
        for number, item in enumerate(sent, start=1)
    ]


def came_back(task: Task, tasks: Sequence[Mapping[str, Any]], tmp_path: Path) -> Imported:
    (tmp_path / "export.json").write_text(json.dumps(tasks, ensure_ascii=False), "utf-8")
    return from_label_studio(task, tmp_path / "export.json", "june")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.5", 2.5),
        (" 1,250 ", 1250),
        ("-3", -3),
        ("250 g", {"value": 250, "unit": "g"}),
        ("1.5l", {"value": 1.5, "unit": "l"}),
        ("12 fl oz", {"value": 12, "unit": "fl oz"}),
        ("5斤", {"value": 5, "unit": "斤"}),
        ("20 %", {"value": 20, "unit": "%"}),
        ('{"value": 5, "unit": "kg"}', {"value": 5, "unit": "kg"}),
        ("2,5", None),
        ("1.2.3", None),
        ("kg", None),
        ("{5 kg", None),
        ("", None),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, value: Any) -> None:
    assert read_number(text) == value


def same(found: Imported, rows: Sequence[Example]) -> None:
    assert [(r.record, r.answer) for r in found.reviews] == [(row.record, row.answer) for row in rows]
    assert found.unanswered == 0


def test_answers_come_back_from_label_studio_as_they_went(task: Task, rows: list[Example], tmp_path: Path) -> None:
    found = came_back(task, annotated(task, rows), tmp_path)

    same(found, rows)
    assert {(review.author, review.rows, review.use) for review in found.reviews} == {("label-studio-7", "june", "dev")}


@pytest.mark.parametrize("name", task_names())
def test_the_examples_of_a_shipped_task_come_back_from_everywhere(name: str, tmp_path: Path) -> None:
    task = load_task(name)
    rows = list(task.examples)
    (tmp_path / "rows.csv").write_text(exchange.to_csv(task, rows), "utf-8-sig", newline="")
    (tmp_path / "rows.jsonl").write_text(exchange.to_jsonl(rows), "utf-8")

    same(came_back(task, annotated(task, rows), tmp_path), rows)
    same(from_csv(task, tmp_path / "rows.csv", "anna"), rows)
    same(from_jsonl(task, tmp_path / "rows.jsonl", "anna"), rows)


def test_labels_count_in_the_order_of_the_task_however_they_were_clicked(
    task: Task, rows: list[Example], tmp_path: Path
) -> None:
    tasks = annotated(task, rows[1:2])
    for result in tasks[0]["annotations"][0]["result"]:
        if result["from_name"] == "field_flags":
            result["value"]["choices"].reverse()

    same(came_back(task, tasks, tmp_path), rows[1:2])


def test_offsets_count_characters_of_the_text_in_its_column(task: Task, rows: list[Example]) -> None:
    (sent,) = to_label_studio(task, tagged(rows[1:2]), {rows[1].record.id: rows[1].record})
    marks = [r for r in sent["predictions"][0]["result"] if r["type"] == "labels"]

    assert [(r["value"]["labels"], r["value"]["start"], r["value"]["text"]) for r in marks] == [
        (["brand"], 0, "Acme"),
        (["颜色 colours"], 7, "red"),
        (["颜色 colours"], 18, "dark green"),
        (["颜色 colours"], 10, "红色"),
    ]
    assert sent["predictions"][0]["score"] == 0.75
    texts = set(sent["data"].values())
    assert {TITLE, TEXT} < texts


def test_the_labelling_page_has_a_control_for_whatever_a_result_names(task: Task, rows: list[Example]) -> None:
    view = ET.fromstring(labelling_config(task))
    tags = {element.get("name"): element for element in view.iter() if element.get("name")}
    texts = {element.get("name"): str(element.get("value"))[1:] for element in view.iter("Text")}

    for sent in to_label_studio(task, tagged(rows), {row.record.id: row.record for row in rows}):
        assert set(texts.values()) < set(sent["data"])
        for result in sent["predictions"][0]["result"]:
            control = tags[result["from_name"]]
            assert control.tag.lower() == result["type"]
            assert control.get("toName") == result["to_name"] in texts
            named = result["value"].get("choices", []) + result["value"].get("labels", [])
            assert set(named) <= {element.get("value") for element in control}
    assert all(name.isascii() and " " not in name for name in [*filter(None, tags), *texts.values()])
    shelf = tags["field_shelf"]
    assert [e.get("value") for e in shelf] == ["Food", "Home"]
    assert [e.get("value") for e in shelf[0][0]] == ["Green tea", "红茶"]


def test_withheld_values_and_rows_without_tags_are_no_predictions(task: Task, rows: list[Example]) -> None:
    tags = {
        "category": Tag(None, 0.2, abstained=True, alternatives=(Alternative("Tea", 0.2),)),
        "shelf": Tag("Home", 1),
    }
    first, second, third = tagged(rows[:3])
    taggings = [replace(first, tags=tags), replace(second, outcome="rejected", tags={}), third]

    sent = to_label_studio(task, taggings, {row.record.id: row.record for row in rows})

    assert [item["data"]["id"] for item in sent] == ["号 0", "号 2"]
    assert [r["from_name"] for r in sent[0]["predictions"][0]["result"]] == ["field_shelf"]
    assert sent[0]["predictions"][0]["score"] == 0.2


def test_skipped_and_untouched_tasks_of_label_studio_are_counted_not_taken(
    task: Task, rows: list[Example], tmp_path: Path
) -> None:
    tasks = annotated(task, rows)
    tasks[0]["annotations"][0]["was_cancelled"] = True
    tasks[1]["annotations"] = []
    second = {**tasks[2]["annotations"][0], "completed_by": {"id": 8, "email": "b@example.com"}}
    tasks[2]["annotations"].append(second)

    found = came_back(task, tasks, tmp_path)

    assert [(r.author, r.record.id) for r in found.reviews] == [
        ("label-studio-7", "号 2"), ("label-studio-8", "号 2"), ("label-studio-7", "号 3"),
        ("label-studio-7", "号 4"),
    ]  # fmt: skip
    assert found.unanswered == 2


def mark(start: int, end: int, text: str, label: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": text, "labels": [label]}
    return {"id": "x", "from_name": "spans_title", "to_name": "text_title", "type": "labels", "value": value}


def chosen(field: str, kind: str, value: list[Any]) -> dict[str, Any]:
    return {"from_name": f"field_{field}", "to_name": "text_title", "type": kind, "value": {kind: value}}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (mark(5, 9, "Acme", "brand"), "'Acme' is marked, but at its place stands"),
        (mark(7, 10, "red", "brand"), "brand: expected one value, found 2"),
        (mark(0, 4, "Acme", "note"), "note: marked in the text, and written in its box as well"),
        (chosen("gone", "choices", ["a"]), "because of 'field_gone'"),
        (chosen("category", "choices", ["Tee"]), "category: 'Tee' is not one of the 3 labels"),
        (chosen("shelf", "taxonomy", [["Food", "Tea"]]), "shelf: 'Food > Tea' is not one of"),
        ({"type": "relation", "from_id": "a", "to_id": "b"}, "cannot be read"),
    ],
)  # fmt: skip
def test_an_annotation_that_does_not_fit_is_named_and_nothing_is_taken(
    task: Task, rows: list[Example], tmp_path: Path, result: dict[str, Any], told: str
) -> None:
    tasks = annotated(task, rows)
    tasks[1]["annotations"][0]["result"].append(result)

    with pytest.raises(TaskError, match=told) as caught:
        came_back(task, tasks, tmp_path)
    assert caught.value.where == "export.json, task 2"


@pytest.mark.parametrize("text", ["no json", '{"a": 1}', '[{"title": "x", "category": "Tea"}]', "[3]"])
def test_what_is_no_export_of_label_studio_is_refused(task: Task, tmp_path: Path, text: str) -> None:
    (tmp_path / "export.json").write_text(text, "utf-8")

    with pytest.raises(SourceError, match="not a JSON export of Label Studio"):
        from_label_studio(task, tmp_path / "export.json")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_answers_come_back_from_a_table_as_they_went(
    task: Task, rows: list[Example], tmp_path: Path, encoding: str
) -> None:
    if encoding == "gb18030":
        rows = [
            replace(r, record=replace(r.record, values={"title": "红色 cap", "商品 描述": "龙井绿茶，红色礼盒"}))
            for r in rows
        ]
    (tmp_path / "rows.csv").write_text(exchange.to_csv(task, rows), encoding, newline="")

    found = from_csv(task, tmp_path / "rows.csv", "anna", "june")

    same(found, rows)
    assert {(review.author, review.rows) for review in found.reviews} == {("anna", "june")}


def test_a_row_of_a_table_without_answers_is_not_answered_but_one_that_says_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "goods").mkdir()
    toml = 'about = "x"\n[columns.title]\n[fields.title]\nkind = "text"\n[fields.sold]\nkind = "boolean"\n'
    (tmp_path / "goods" / "task.toml").write_text(toml, "utf-8")
    task = load_task(tmp_path / "goods")
    rows = [Example(Record(str(n), {"title": f"cup {n}"}), answer) for n, answer in enumerate([{}, {"sold": True}])]
    text = exchange.to_csv(task, rows)
    assert text.splitlines()[0] == "id,title,title (answer),sold"
    (tmp_path / "rows.csv").write_text(text.replace("true", "TRUE") + "2,cup 2,,\n3,cup 3,,\n", "utf-8")

    found = from_csv(task, tmp_path / "rows.csv", "anna")

    assert [(r.record.id, r.answer) for r in found.reviews] == [("0", {}), ("1", {"sold": True})]
    assert found.unanswered == 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "Fish & <Chips>",
            "Fish",
            "row 2 below the names of columns: the answer does not fit the task: category: 'Fish'",
        ),
        ('"[""red"", ""red""]"', '"red, blue"', "row 3 below the names of columns: 颜色 colours: expected a list as"),
        (",-3,", ",three,", "pieces: expected a number as 2.5"),
        ("sold", "gone", "the table lacks the columns sold"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_the_row(
    task: Task, rows: list[Example], tmp_path: Path, old: str, new: str, told: str
) -> None:
    text = exchange.to_csv(task, rows)
    assert old in text
    (tmp_path / "rows.csv").write_text(text.replace(old, new), "utf-8-sig", newline="")

    with pytest.raises(TaskError, match=told):
        from_csv(task, tmp_path / "rows.csv", "anna")


def test_answers_come_back_from_jsonl_and_are_what_data_reads(task: Task, rows: list[Example], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(exchange.to_jsonl(rows), "utf-8")

    same(from_jsonl(task, path, "anna"), rows)
    assert task.read_examples(path) == rows

    path.write_text(json.dumps({"record": {"title": "x"}, "answer": LEAST, "pseudo": True}) + "\n", "utf-8")
    with pytest.raises(SourceError, match="1 rows have answers of a tagger"):
        from_jsonl(task, path, "anna")
