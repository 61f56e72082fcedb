"""Paired comparisons against hand-worked figures, and verdicts that keep what they promise."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from rich.console import Console

from eval.compare import Comparison, Flip, Judged, compare, mcnemar, rows_to_tell
from eval.record import Header, Run, RunRow
from eval.run import run
from eval.score import Kind, Verdict, verdicts
from eval.show import print_comparison
from tagger import ScriptedEngine, Tagger, Task
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Record
from tagger.task import load_task
from tests.eval.conftest import ROWS

ASKED = {row.record.id: ("category",) for row in ROWS}


def verdict(row: str, right: bool, field: str = "category", label: str = "Tea") -> Verdict:
    kind: Kind = "right" if right else "wrong"
    return Verdict(row, field, label, label if right else "Soup", 0.5, kind, True)


def rows_of(count: int, label: str = "Tea") -> list[Example]:
    return [Example(Record(f"{label}{i}", {"title": "x"}), {"category": label}) for i in range(count)]


def outcomes(both: int, lost: int, gained: int, neither: int = 0) -> list[tuple[bool, bool]]:
    return [(True, True)] * both + [(True, False)] * lost + [(False, True)] * gained + [(False, False)] * neither


def judged(header: Header, found: Sequence[Verdict], **other: object) -> Judged:
    rows = [RunRow(id=row, outcome="tagged", tags={}, tokens=(0, 0, 0)) for row in dict.fromkeys(v.id for v in found)]
    return Judged(Run(header.model_copy(update=other), rows), found)


def compared(header: Header, task: Task, told: list[tuple[bool, bool]]) -> Comparison:
    rows = rows_of(len(told))
    a, b = ([verdict(row.record.id, pair[i]) for row, pair in zip(rows, told, strict=True)] for i in (0, 1))
    return compare(judged(header, a), judged(header, b), rows, task, [])


def test_two_runs_are_compared_row_by_row(tea_run: Run, header: Header, category: Task) -> None:
    def answer(prompt) -> str:  # type: ignore[no-untyped-def]
        return "Coffee" if prompt.record in ("tea cup", "green tea") else "Tea"

    other = Tagger("category", engine=ScriptedEngine(answer))
    second = run(other, ROWS, header.model_copy(update={"model": "other"}))

    found = compare(
        Judged(tea_run, verdicts(tea_run, ROWS, ASKED)),
        Judged(second, verdicts(second, ROWS, ASKED)[::-1]),  # the order of rows is no matter
        ROWS, category, [],
    )  # fmt: skip

    assert (found.figure.rows, found.figure.a, found.figure.b) == (4, 0.5, 0.5)
    assert found.settings == {"model": ("none", "other")}
    assert found.lost == (
        Flip("green tea", "category", "Tea", "Tea", "Coffee"),
        Flip("mocha", "category", "Coffee", "Coffee", "Tea"),
    )
    assert found.gained == (
        Flip("tea cup", "category", "Coffee", "Tea", "Coffee"),
        Flip("soup", "category", "Tea", "(rejected)", "Tea"),
    )
    assert found.verdict == "cannot tell yet"
    assert found.sentence == "cannot tell: at the observed rates no number of rows would tell them apart"


def test_mcnemars_p_is_that_of_fair_coins() -> None:
    assert mcnemar(2, 10) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1


@pytest.mark.parametrize(("lost", "gained", "said"), [(2, 12, "better"), (12, 2, "worse")])
def test_a_clear_difference_is_named(lost: int, gained: int, said: str, header: Header, category: Task) -> None:
    found = compared(header, category, outcomes(80, lost, gained, 6))

    assert found.verdict == said
    assert found.sentence == f"b is {said} than a"
    assert found.figure.p == found.mcnemar == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert found.whole == (lost, gained)
    assert (len(found.lost), len(found.gained)) == (lost, gained)
    assert found.more_rows is None


def test_the_interval_is_that_of_paired_differences(header: Header, category: Task) -> None:
    found = compared(header, category, outcomes(300, 20, 40, 40))

    # The difference of a row is -1, 0 or 1; its variance is the share of flips less the square of the mean.
    error = np.sqrt((60 / 400 - 0.05**2) / 400)
    assert found.figure.b - found.figure.a == pytest.approx(0.05)
    assert found.figure.low == pytest.approx(0.05 - 1.96 * error, abs=0.004)
    assert found.figure.high == pytest.approx(0.05 + 1.96 * error, abs=0.004)


def test_few_flips_call_for_more_rows(header: Header, category: Task) -> None:
    found = compared(header, category, outcomes(190, 0, 5, 5))

    assert found.figure.p == pytest.approx(0.0625)
    assert found.more_rows == rows_to_tell(0, 5, 200) - 200
    assert found.sentence == "cannot tell yet: about 120 more labelled rows"


def test_runs_that_do_not_differ_cannot_be_told_apart(header: Header, category: Task) -> None:
    found = compared(header, category, outcomes(10, 0, 0))

    figure = found.figure
    assert (figure.low, figure.b - figure.a, figure.high, figure.p) == (0, 0, 0, 1)
    assert "no number of rows" in found.sentence
    assert not found.lost + found.gained


@pytest.mark.parametrize(("lost", "gained", "rows"), [(0, 5, 200), (10, 4, 100), (30, 20, 400)])
def test_that_many_rows_reach_a_power_of_80_percent(lost: int, gained: int, rows: int) -> None:
    def power(number: int) -> float:
        draws = np.random.default_rng(0).multinomial(
            number, [lost / rows, gained / rows, 1 - (lost + gained) / rows], 3000
        )
        return float(np.mean([mcnemar(int(a), int(b)) < 0.05 for a, b, _ in draws]))

    needed = rows_to_tell(lost, gained, rows)

    assert needed
    assert power(needed) == pytest.approx(0.8, abs=0.03)
    assert power(needed * 7 // 10) < 0.75


def test_no_number_of_rows_tells_equal_rates_apart_and_few_tell_great_ones() -> None:
    assert rows_to_tell(4, 4, 100) is None
    assert rows_to_tell(0, 0, 100) is None
    assert rows_to_tell(0, 3, 3) == 6  # 2 * 0.5**6 is the first below 0.05


def attributes(told: list[tuple[int, int]]) -> tuple[list[Example], list[Verdict], list[Verdict]]:
    """Rows with four values, of which the runs have so many right."""
    names = ("Brand", "Flavor", "Item form", "Net content")
    rows = [
        Example(Record(str(i), {"title": "x", "category": "Tea"}), dict.fromkeys(names, "Tea"))
        for i in range(len(told))
    ]
    a, b = (
        [verdict(str(i), place < pair[side], name) for i, pair in enumerate(told) for place, name in enumerate(names)]
        for side in (0, 1)
    )
    return rows, a, b


def test_several_fields_are_compared_by_f1(header: Header) -> None:
    rows, a, b = attributes([(1, 2)] * 10 + [(2, 1)] * 2 + [(3, 3)] * 8)

    found = compare(judged(header, a), judged(header, b), rows, load_task("attributes"), [])

    assert (found.figure.a, found.figure.b) == (38 / 80, 46 / 80)
    # Every record that differs shifts F1 as much: the randomization test is the sign test, here worked out exactly.
    assert found.figure.p == pytest.approx(mcnemar(2, 10))
    assert found.verdict == "better"
    assert found.figure.low > 0
    assert (found.whole, found.mcnemar) == ((0, 0), 1)  # no record is wholly right in either
    assert (len(found.gained), len(found.lost)) == (10, 2)


def test_several_fields_call_for_more_rows_too(header: Header) -> None:
    def found(told: list[tuple[int, int]]) -> Comparison:
        rows, a, b = attributes(told)
        return compare(judged(header, a), judged(header, b), rows, load_task("attributes"), [])

    few = found([(1, 3), (2, 1)] * 4 + [(3, 3)] * 12)
    # The difference of a record is 2, -1 or 0 values: its mean is 0.2, its variance 20/20 - 0.04.
    assert few.more_rows == pytest.approx(2.8**2 * 0.96 / 0.2**2 - 20, rel=0.1)
    assert found([(1, 2)] * 3 + [(1, 1)] * 3).more_rows == 12 - 6  # six records that differ are the fewest
    assert found([(1, 2), (2, 1)] * 4).more_rows is None


def test_slices_are_corrected_for_their_number(header: Header, category: Task) -> None:
    told = {"Tea": outcomes(20, 0, 8), "Coffee": outcomes(20, 0, 6), "Guitar": outcomes(20, 0, 5)}
    rows = [row for label, pairs in told.items() for row in rows_of(len(pairs), label)]
    pairs = list(zip(rows, (pair for pairs in told.values() for pair in pairs), strict=True))
    a, b = ([verdict(row.record.id, pair[i], label=row.answer["category"]) for row, pair in pairs] for i in (0, 1))

    found = {part.name: part for part in compare(judged(header, a), judged(header, b), rows, category, []).slices}

    # Language and length hold all rows here: they say no more than the whole, and would cost power.
    assert list(found) == ["category: Coffee", "category: Guitar", "category: Tea"]
    assert [found[f"category: {name}"].p for name in told] == pytest.approx([2 / 2**8, 2 / 2**6, 2 / 2**5])
    adjusted = [found[f"category: {name}"].adjusted for name in told]
    assert adjusted == pytest.approx([3 * 2 / 2**8, 3 / 2 * 2 / 2**6, 2 / 2**5])
    tea = found["category: Tea"]
    assert (tea.rows, tea.a, tea.b) == (28, pytest.approx(20 / 28), 1)


def test_runs_over_other_rows_sets_or_splits_are_refused(header: Header, category: Task) -> None:
    rows = rows_of(5)
    found = [verdict(row.record.id, True) for row in rows]

    with pytest.raises(SourceError, match="expected the same rows in both runs; 3 differ, one is 'Tea2'"):
        compare(judged(header, found), judged(header, found[:2]), rows, category, [])
    with pytest.raises(SourceError, match="other texts or another order"):
        compare(judged(header, found), judged(header, found, rows_id="0"), rows, category, [])
    with pytest.raises(SourceError, match="one set and split, found mine dev and mine test"):
        compare(judged(header, found), judged(header, found, split="test"), rows, category, [])
    with pytest.raises(SourceError, match="one set and split, found mine dev and yours dev"):
        compare(judged(header, found), judged(header, found, set="yours"), rows, category, [])
    with pytest.raises(SourceError, match="at least two rows are needed to compare runs, found 1"):
        compare(judged(header, found[:1]), judged(header, found[:1]), rows, category, [])


def test_a_comparison_is_printed_whole(header: Header, category: Task) -> None:
    found = compared(header, category, outcomes(60, 2, 25, 13))
    text = io.StringIO()

    print_comparison(found, Console(file=text, width=120))

    said = text.getvalue()
    assert "right: a 62.0 %, b 85.0 % over 100 rows" in said
    assert "b - a: +23.0 [" in said
    assert "wholly right in a alone 2, in b alone 25: McNemar's p = 5.6e-06" in said
    assert "b is better than a" in said
    assert "and 5 more" in said  # of 25 gained, 20 are shown
