"""Shares by period and by column are those of the rows, and what moved is told once; what cannot be read is counted."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.cli_pages import Period
from eval.cli_pages import trends as command
from eval.figures import gap, share
from eval.groups import EMPTY, OTHERS, by_band, by_period, by_value, cells, labelled_cells, period, read_date, start_of
from eval.trends import NOTHING, Cell, Counted, counted, trends
from tagger import ScriptedEngine, Tagger
from tagger.errors import SettingsError, SourceError
from tagger.run import tag_file

DAYS = [f"2024-{month:02}-{day:02}" for month in (1, 2, 3) for day in range(1, 21)]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-01-31", date(2024, 1, 31)),
        ("2024/1/3", date(2024, 1, 3)),
        ("2024.01.03", date(2024, 1, 3)),
        ("2024年1月3日", date(2024, 1, 3)),
        ("2024-01-31T23:59:59+08:00", date(2024, 1, 31)),
        ("2024-01-31 23:59", date(2024, 1, 31)),
        ("20240131", date(2024, 1, 31)),
        (20240131, date(2024, 1, 31)),
        (datetime(2024, 1, 31, 5), date(2024, 1, 31)),
        (date(2024, 1, 31), date(2024, 1, 31)),
        ("31/01/2024", None),
        ("2024-01/31", None),
        ("2024-02-30", None),
        ("2024-01", None),
        (1706659200, None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_is_read_or_not_and_never_guessed(text: Any, day: date | None) -> None:
    assert read_date(text, whole=True) == day


@pytest.mark.parametrize("text", ["2024-03", "2024年3月", "2024/3"])
def test_a_month_is_enough_for_months(text: str) -> None:
    assert by_period({"a": text}, "month").of == {"a": "2024-03"}
    with pytest.raises(SourceError, match="no row has a date there"):
        by_period({"a": text}, "week")


def test_periods_are_named_so_that_they_sort_and_know_their_start() -> None:
    day = date(2024, 12, 30)  # a Monday of the first ISO week of 2025

    assert [period(day, every) for every in ("day", "week", "month", "quarter")] == [
        "2024-12-30",
        "2025-W01",
        "2024-12",
        "2024-Q4",
    ]
    assert [start_of(name) for name in ("2024-12-30", "2025-W01", "2024-12", "2024-Q4")] == [
        day,
        day,
        date(2024, 12, 1),
        date(2024, 10, 1),
    ]


def test_bands_hold_about_equally_many_and_equal_numbers_together() -> None:
    found = by_band({str(n): n for n in range(1, 9)} | {"text": "cheap", "none": None, "inf": "inf", "yes": True})

    assert list(dict.fromkeys(found.of.values())) == [
        "1 of 4, up to 2",
        "2 of 4, over 2, up to 4",
        "3 of 4, over 4, up to 6",
        "4 of 4, over 6",
    ]
    assert found.unread == {"text": "cheap", "none": "", "inf": "inf", "yes": "True"}
    assert found.told("price", "number") == [
        "4 rows have no number in 'price', left out here; the first is 'text': 'cheap'."
    ]
    assert set(by_band(dict.fromkeys("abc", "9.5")).of.values()) == {"1 of 1, up to 9.5"}
    with pytest.raises(SourceError, match="no row has a number"):
        by_band({"a": "cheap"})


def test_values_beyond_the_most_frequent_are_others() -> None:
    assert by_value({"a": "x", "b": "x", "c": "y", "d": None, "e": " x "}, most=1).of == {
        "a": "x",
        "b": "x",
        "c": OTHERS,
        "d": OTHERS,
        "e": "x",
    }
    assert by_value({"d": float("nan")}).of == {"d": EMPTY}


def test_cells_are_found_by_the_ids_of_the_tagger(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"id": 7, "seller": "x"}\n{"seller": "y"}\nnonsense\n{"id": 7, "seller": "z"}\n')
    (folder / "b.csv").write_text("id,seller\n8,w\n")

    assert cells(folder, "seller") == {"7": "x", "a.jsonl:2": "y", "a.jsonl:3": None, "8": "w"}
    assert cells(folder / "b.csv", "id", {"id": "seller"}) == {"w": "8"}
    with pytest.raises(SourceError, match="no column 'price'"):
        cells(folder, "price")
    with pytest.raises(SourceError, match="no column 'sku'"):
        cells(folder, "seller", {"id": "sku"})


def test_dates_of_a_table_are_dates(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": ["a"], "at": [datetime(2024, 5, 6)], "more": [[1]]})
    pq.write_table(table, tmp_path / "in.parquet")

    assert by_period(cells(tmp_path / "in.parquet", "at"), "day").of == {"a": "2024-05-06"}


def test_labelled_rows_keep_columns_beside_the_record_or_in_it(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "title": "t", "price": 3, "labels": {"brand": "Acme"}},
        {"record": {"id": "b", "title": "t", "price": 4}, "answer": {}},
        {"record": {"title": "t"}, "answer": {}, "price": 5},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    assert labelled_cells([tmp_path / "in.jsonl"], "price") == {"a": 3, "b": 4, "3": 5}
    assert labelled_cells([tmp_path / "in.jsonl"], "labels.brand")["a"] == "Acme"
    with pytest.raises(SourceError, match="no row has a column 'seller'"):
        labelled_cells([tmp_path / "in.jsonl"], "seller")


def line(name: str, outcome: str = "tagged", **values: Any) -> dict[str, Any]:
    return {
        "id": name,
        "outcome": outcome,
        "tags": {field: {"value": value, "probability": 0.9} for field, value in values.items()},
    }


def test_shares_are_of_the_answered_rows_and_outcomes_of_all() -> None:
    lines = [
        line("1", kind="tea", traits=["new", "gift"], brand="Acme"),
        line("2", kind=None, traits=[], brand=None),
        line("3", "abstained", kind=None),
        line("4", "rejected"),
        line("9", kind="tea"),
        line("5", kind="tea"),
    ]

    found = counted(lines, {"1": "a", "2": "a", "3": "a", "4": "a", "5": "b"}, ["1", "2", "3", "4", "5"])
    told = trends(found, ordered=False)

    assert found.unknown == ["9"]
    assert told.groups == ["a", "b"]
    assert told.shares["outcome"]["rejected"] == [Cell(1, 4), Cell(0, 1)]
    assert told.shares["kind"] == {"tea": [Cell(1, 3), Cell(1, 1)], "(withheld)": [Cell(2, 3), Cell(0, 1)]}
    assert told.shares["traits"] == {
        "new": [Cell(1, 3), Cell(0, 1)],
        "gift": [Cell(1, 3), Cell(0, 1)],
        NOTHING: [Cell(1, 3), Cell(0, 1)],
        "(no answer)": [Cell(1, 3), Cell(1, 1)],
    }
    assert told.movers == []
    assert told.tests == 0


def test_values_beyond_the_most_frequent_are_rare_ones() -> None:
    lines = [line(f"{n}", brand=f"b{n}") for n in range(40)]

    told = trends(counted(lines, {f"{n}": "a" for n in range(40)}, ()), ordered=True).shares["brand"]

    assert len(told) == 31
    assert told["(rare ones)"] == [Cell(10, 40)]


def rows_in(groups: Mapping[str, Sequence[str]]) -> Counted:
    """Rows of groups with the kinds given."""
    lines, of = [], {}
    for group, kinds in groups.items():
        for kind in kinds:
            of[f"{len(of)}"] = group
            lines.append(line(f"{len(of) - 1}", kind=kind))
    return counted(lines, of, ())


def test_what_moves_is_told_once_where_it_moved() -> None:
    steady = ["tea"] * 50 + ["milk"] * 50
    found = trends(rows_in({"1": steady, "2": steady, "3": ["tea"] * 90 + ["milk"] * 10, "4": steady}), ordered=True)

    assert {(one.value, one.group) for one in found.movers} == {("tea", "3"), ("milk", "3")}
    tea = next(one for one in found.movers if one.value == "tea")
    assert (tea.there, tea.rest) == (share(90, 100), share(100, 200))  # all earlier periods
    assert tea.change == gap(share(90, 100), share(100, 200))
    assert tea.p < tea.adjusted < 0.001


def test_groups_without_order_are_held_against_all_others() -> None:
    steady = ["tea"] * 50 + ["milk"] * 50
    found = trends(rows_in({"x": ["tea"] * 90 + ["milk"] * 10, "y": steady, "z": steady}), ordered=False)

    assert {(one.value, one.group, one.rest.n) for one in found.movers} == {("tea", "x", 200), ("milk", "x", 200)}


def test_chance_alone_moves_nothing_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(40):
        groups = {f"{n}": rng.choice(list("abcdef"), 60).tolist() for n in range(6)}
        alarms += bool(trends(rows_in(groups), ordered=True).movers)

    assert alarms <= 5  # of 40 with a chance of at most 1 in 20 each: more with a chance of 1 in 70


def test_a_gap_of_shares_has_newcombes_interval() -> None:
    found = gap(share(56, 70), share(48, 80))  # Newcombe 1998, table II, method 10

    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """Drinks listed over three months, of which coffee comes in March; with rows that are in no month."""
    rows: list[dict[str, Any]] = []
    for n, day in enumerate(DAYS * 3):
        title = f"mocha {n}" if day >= "2024-03" and n % 4 else f"sencha {n}"
        rows.append({"id": f"r{n}", "title": title, "listed_at": day, "seller": "<b>x</b>" if n % 3 else "茶店"})
    rows += [{"id": "bad", "title": "sencha", "listed_at": "03/04/2024", "seller": ""}, {"id": "none", "title": ""}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def say(prompt) -> str:  # type: ignore[no-untyped-def]
        return "Coffee" if "mocha" in prompt.record else "Tea"

    tag_file(Tagger("category", engine=ScriptedEngine(say)), tmp_path / "in.jsonl", tmp_path / "tags")
    return tmp_path


def test_the_command_writes_a_page_that_says_what_moved_and_what_is_left_out(
    tagged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("category", tagged / "tags", tagged / "in.jsonl", "listed_at", Period.month, report=tagged / "report")

    known = json.loads((tagged / "report" / "trends.json").read_text("utf-8"))
    assert [(group["group"], group["rows"]) for group in known["groups"]] == [
        ("2024-01", 60),
        ("2024-02", 60),
        ("2024-03", 60),
    ]
    assert {(one["value"], one["group"]) for one in known["movers"]} == {("Coffee", "2024-03"), ("Tea", "2024-03")}
    assert known["notes"] == [
        "2 rows have no date that can be read in 'listed_at', left out here; the first is 'bad': '03/04/2024'."
    ]
    page = (tagged / "report" / "trends.html").read_text("utf-8")
    assert page.count("<svg") == 2 + 1
    assert "03/04/2024" in page
    assert "Coffee is 75.0% of the answered rows of 2024-03, 0.0% before" in capsys.readouterr().out
    assert "| 2024-03 | 60 | 25.0 | 75.0 |" in (tagged / "report" / "trends.md").read_text("utf-8").replace(
        "| 75.0 | 25.0 |", "| 25.0 | 75.0 |"
    )


def test_the_command_groups_by_a_column_and_shows_foreign_text_as_text(tagged: Path) -> None:
    command("category", tagged / "tags", tagged / "in.jsonl", "seller", report=tagged)

    page = (tagged / "trends.html").read_text("utf-8")
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "茶店" in page
    known = json.loads((tagged / "trends.json").read_text("utf-8"))
    assert {group["group"] for group in known["groups"]} == {"<b>x</b>", "茶店", EMPTY}


def test_ids_that_do_not_match_are_told(tagged: Path) -> None:
    rows = [json.loads(text) for text in (tagged / "in.jsonl").read_text("utf-8").splitlines()]
    with (tagged / "other.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "listed_at"])
        table.writerows([(row["id"], row["listed_at"]) for row in rows[5:180]] + [("new", "2024-01-01")])

    command("category", tagged / "tags", tagged / "other.csv", "listed_at", Period.month, report=tagged)

    notes = json.loads((tagged / "trends.json").read_text("utf-8"))["notes"]
    assert notes == [
        "7 lines of tags without a row of that id in the data, left out here; the first is 'r0'.",
        "1 rows of the data without a line of tags.",
    ]
    (tagged / "none.csv").write_text("id,listed_at\nx,2024-01-01\n")
    with pytest.raises(SourceError, match=r"no tag has the id of a row in a group(.|\n)*--map id"):
        command("category", tagged / "tags", tagged / "none.csv", "listed_at", Period.month, report=tagged)


def test_what_is_not_finished_or_cannot_be_shown_is_refused(tagged: Path) -> None:
    with pytest.raises(SourceError, match="no row has a date there"):
        command("category", tagged / "tags", tagged / "in.jsonl", "seller", Period.month, report=tagged)
    with pytest.raises(SourceError, match="tags of task category"):
        command("zh_category", tagged / "tags", tagged / "in.jsonl", "seller", report=tagged)
    days = [f"20{y:02}-{m:02}-{d:02}" for y in range(2) for m in range(1, 13) for d in range(1, 29)]
    many = "".join(json.dumps({"id": f"{n}", "listed_at": day}) + "\n" for n, day in enumerate(days))
    (tagged / "many.jsonl").write_text(many)
    with pytest.raises(SettingsError, match="672 periods"):
        command("category", tagged / "tags", tagged / "many.jsonl", "listed_at", Period.day, report=tagged)
    (tagged / "tags" / "_manifest.json").unlink()
    with pytest.raises(SourceError, match="no finished run"):
        command("category", tagged / "tags", tagged / "in.jsonl", "seller", report=tagged)
