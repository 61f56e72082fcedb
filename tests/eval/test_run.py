"""A run is resumed, never mixed with another, and its rows get the verdicts they earned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import eval.run
from eval.record import Header, Run, read_run
from eval.run import run
from eval.score import Counts, counts, outcomes, verdicts
from eval.sets import refuse_leaks, sample
from tagger import Tagger
from tagger.errors import SourceError
from tagger.example import Example
from tagger.picture import Picture
from tagger.record import Record
from tests.eval.conftest import example

ASKED = dict.fromkeys(("green tea", "tea cup", "mocha", "soup"), ("category",))


def test_right_wrong_and_rejected_are_separate_counts(tea_run: Run, rows: list[Example]) -> None:
    found = verdicts(tea_run, rows, ASKED)

    assert outcomes(found) == {"right": 2, "wrong": 1, "rejected": 1}
    assert counts(found) == Counts(right=2, answered=3, labelled=4)
    assert counts(found).f1 == pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))


def test_no_rows_is_an_error(tea_tagger: Tagger, header: Header) -> None:
    with pytest.raises(SourceError, match="no labelled rows"):
        run(tea_tagger, [], header)


def test_a_run_goes_on_where_it_stopped(
    tea_tagger: Tagger, header: Header, rows: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval.run, "BATCH", 1)
    path = tmp_path / "run.jsonl.gz"
    begun = run(tea_tagger, rows, header, path=path, minutes=0)
    assert len(begun.rows) == 1
    assert not begun.whole

    path.write_bytes(path.read_bytes()[:-5])  # killed while it wrote
    done = run(tea_tagger, rows, header, path=path)

    assert done.whole
    assert read_run(path).rows == done.rows
    assert [row.id for row in done.rows] == [e.record.id for e in rows]
    asked = len(tea_tagger.engine.history)  # type: ignore[attr-defined]
    run(tea_tagger, rows, header, path=path)
    assert len(tea_tagger.engine.history) == asked  # type: ignore[attr-defined]


def test_a_file_of_another_run_is_not_touched(
    tea_tagger: Tagger, header: Header, rows: list[Example], tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl.gz"
    run(tea_tagger, rows, header, path=path)
    before = path.read_bytes()

    with pytest.raises(SourceError, match="another run \\(other seed\\)"):
        run(tea_tagger, rows, header.model_copy(update={"seed": 1}), path=path)

    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"not gzip", b'{"a": 1}\n'])
def test_a_file_that_is_no_run_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(data)

    with pytest.raises(SourceError, match="not a run file"):
        read_run(path)


def test_a_row_without_a_label_is_named(tea_run: Run, rows: list[Example]) -> None:
    with pytest.raises(SourceError, match="1 rows of the run have no label, the first is 'soup'"):
        verdicts(tea_run, rows[:3], ASKED)


def test_labelled_rows_of_one_id_are_refused(tea_run: Run, rows: list[Example]) -> None:
    with pytest.raises(SourceError, match="1 labelled rows have the id of another"):
        verdicts(tea_run, [*rows, rows[0]], ASKED)


def test_a_judged_row_among_the_shots_is_refused(rows: list[Example]) -> None:
    again = Example(Record("other id", {"title": " Mocha"}), {"category": "Coffee"})
    with pytest.raises(SourceError, match="1 judged rows are also shots"):
        refuse_leaks(rows, [again])


def test_records_of_pictures_alone_are_told_apart_by_their_pictures() -> None:
    first, second = (
        Example(Record(name, {}, {"photo": Picture(name.encode(), "image/png", 1, 1)}), {"kind": "Tea"})
        for name in "ab"
    )

    refuse_leaks([first], [second])
    with pytest.raises(SourceError, match="1 judged rows are also shots"):
        refuse_leaks([first, second], [replace(second, record=replace(second.record, id="c"))])


def test_a_sample_is_drawn_by_its_seed(rows: list[Example]) -> None:
    assert sample(rows, 2, 0) == sample(rows, 2, 0)
    assert sample(rows, None, 0) == rows
    assert len(sample(rows, 3, 1)) == 3


def test_any_of_several_right_values_is_right(tea_run: Run) -> None:
    either = [
        Example(Record(title, {"title": title}), {"category": "Coffee"}, {"category": ("Tea",)})
        for title in ("green tea", "tea cup", "mocha")
    ]

    found = verdicts(tea_run, [*either, example("soup", "Tea")], ASKED)

    assert outcomes(found) == {"right": 3, "rejected": 1}
