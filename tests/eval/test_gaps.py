"""Slices that are served worse are found, those that chance alone sets apart are not, and how many rows would tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.__main__ import app
from eval.figures import share
from eval.gaps import LEAST_ROWS, Gap, gaps
from eval.gaps_page import summary
from eval.language import language
from eval.record import write_run
from eval.run import header_of, run
from eval.score import Kind, Verdict
from eval.slices import sliced
from tagger import ScriptedEngine, Tagger, Task
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Record
from tagger.task import load_task


def verdict(row: int, kind: Kind, p: float = 0.9, field: str = "category") -> Verdict:
    return Verdict(f"{row}", field, "Tea", "Tea" if kind == "right" else "Coffee", p, kind, True)


def labelled(row: int) -> Example:
    return Example(Record(f"{row}", {"title": "sencha"}), {"category": "Tea"})


def of(found: list[Gap], name: str, measure: str) -> Gap:
    return next(one for one in found if (one.slice, one.measure) == (name, measure))


def judged(task: Task, kinds: dict[str, list[Kind]], p: float = 0.9) -> list[Gap]:
    """Rows by seller with their verdicts."""
    rows = [(seller, kind) for seller, each in kinds.items() for kind in each]
    found = [verdict(n, kind, p) for n, (_, kind) in enumerate(rows)]
    sellers = {f"{n}": seller for n, (seller, _) in enumerate(rows)}
    return gaps(found, [labelled(n) for n in range(len(rows))], task, {"seller": sellers})


def test_a_slice_that_errs_more_is_told_with_both_sides(category: Task) -> None:
    found = judged(category, {"x": ["wrong"] * 30 + ["right"] * 30, "y": ["wrong"] * 6 + ["right"] * 114})

    error = of(found, "seller: x", "error")
    assert (error.rows, error.there, error.rest) == (60, share(30, 60), share(6, 120))
    assert error.told
    assert error.sentence == (
        "seller: x: 50.0% of what is said is wrong, elsewhere 5.0% (+45.0 points [+31.6, +57.6]). "
        "It errs more here than elsewhere."
    )
    assert of(found, "seller: y", "error").sentence.endswith("It errs less here than elsewhere.")
    over = of(found, "seller: x", "overconfidence")
    assert (round(over.there.value, 3), round(over.rest.value, 3), over.told) == (0.4, -0.05, True)
    assert "probabilities are 40.0 points too high, elsewhere 5.0 points too low" in over.sentence
    assert not of(found, "seller: x", "coverage").told
    assert not [one for one in found if one.slice.startswith(("language", "category"))]  # all rows are in them


def test_a_slice_that_is_silent_more_often_is_told(category: Task) -> None:
    found = judged(category, {"x": ["abstained"] * 30 + ["right"] * 30, "y": ["right"] * 120})

    assert of(found, "seller: x", "coverage").sentence.endswith("It is silent more often here.")
    assert of(found, "seller: x", "error").difference.value == 0


def test_a_guess_rightly_withheld_is_no_silence(category: Task) -> None:
    rows = [
        *(verdict(n, "right") for n in range(40)),
        *(replace(verdict(n, "abstained"), gold=None) for n in range(40, 60)),
    ]

    found = gaps(rows, [labelled(n) for n in range(60)], category, {"seller": {f"{n}": f"{n % 2}" for n in range(60)}})

    assert of(found, "seller: 0", "coverage").there == share(20, 20)


def test_a_gap_that_chance_may_have_brought_says_how_many_rows_would_tell(category: Task) -> None:
    found = judged(category, {"x": ["wrong"] * 6 + ["right"] * 34, "y": ["wrong"] * 4 + ["right"] * 36})

    error = of(found, "seller: x", "error")
    assert not error.told
    assert error.more_rows is not None
    assert 900 < error.more_rows < 1300  # by the formula for two shares, with six tests: about 1,050
    assert "more labelled rows of this slice" in error.sentence
    # With as many rows at the same shares it is told indeed.
    times = 1 + error.more_rows // 40
    larger = judged(category, {"x": ["wrong"] * 6 * times + ["right"] * 34 * times,
                               "y": ["wrong"] * 4 * times + ["right"] * 36 * times})  # fmt: skip
    assert of(larger, "seller: x", "error").told
    same = of(judged(category, {"x": ["right"] * 40, "y": ["right"] * 40}), "seller: x", "error")
    assert same.more_rows is None
    assert same.sentence.endswith("out of reach of any number of rows.")


def test_few_rows_are_shown_but_not_tested(category: Task) -> None:
    found = judged(category, {"x": ["wrong"] * (LEAST_ROWS - 1), "y": ["right"] * 40})

    assert [one.p for one in found] == [None] * len(found)
    assert of(found, "seller: x", "error").sentence.endswith("10 are needed on either side.")
    assert summary(found) == "Nothing to tell: no slice and its rest have 10 records each."
    with pytest.raises(SourceError, match="no values"):
        gaps([], [], category)


def test_a_slice_with_nothing_said_has_no_error(category: Task) -> None:
    found = judged(category, {"x": ["rejected"] * 20, "y": ["right"] * 40})

    assert {one.measure for one in found if one.slice == "seller: x"} == {"coverage"}


def test_chance_alone_is_told_in_few_reports(category: Task) -> None:
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(40):
        kinds: dict[str, list[Kind]] = {
            seller: ["right" if right else "wrong" for right in rng.random(40) < 0.8] for seller in "abcd"
        }
        alarms += any(one.told for one in judged(category, kinds))

    assert alarms <= 5


def test_values_of_one_record_count_as_one_record() -> None:
    task = load_task("attributes")
    rows = [Example(Record(f"{n}", {"title": "t", "category": "Tea"}), {}) for n in range(24)]
    fields = [f"f{k}" for k in range(20)]
    # One record in twelve has all of its twenty values wrong: twenty errors, one accident.
    found = [verdict(n, "wrong" if n == 0 else "right", field=f) for n in range(24) for f in fields]

    told = gaps(found, rows, task, {"seller": {f"{n}": "x" if n < 12 else "y" for n in range(24)}})

    error = of(told, "seller: x", "error")
    assert (error.there.value, error.there.n) == (20 / 240, 12)
    assert error.p is not None
    assert error.p > 0.9
    assert of(told, "seller: y", "error").there.high > 0.2  # none of 12 records, not none of 240 values


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("Sencha Tea", "English"),
        ("立顿 Lipton", "Chinese"),
        ("大人の零食", "Chinese"),  # the one kana that Chinese names have
        ("お茶パック", "Japanese"),
        ("녹차 50개", "Korean"),
        ("чай зелёный", "Cyrillic script"),
        ("شاي أخضر", "Arabic script"),
        ("123 №5", "English"),
        ("ＳＥＮＣＨＡ", "English"),
        ("", "English"),
    ],
)
def test_a_language_is_guessed_from_the_script(text: str, guess: str) -> None:
    assert language(text) == guess


def test_columns_slice_and_rows_without_a_group_are_in_none(category: Task) -> None:
    found = sliced(
        [verdict(0, "right"), verdict(1, "right")], [labelled(0), labelled(1)], category, (), {"seller": {"1": "<x>"}}
    )

    assert [v.id for v in found["seller: <x>"]] == ["1"]
    assert list(found)[-1] == "seller: <x>"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A run over rows of two sellers, one of which is tagged wrongly half of the time."""
    rows: list[dict[str, Any]] = [
        {"id": f"{n}", "title": f"{'bad' if n % 4 == 0 else 'tea'} {n}", "seller": "<i>x" if n % 2 == 0 else "y",
         "price": n if n else "dear", "labels": {"category": "Tea"}}
        for n in range(120)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def say(prompt) -> dict[str, float]:  # type: ignore[no-untyped-def]
        return {"Coffee": 0.8, "Tea": 0.2} if prompt.record.startswith("bad") else {"Tea": 0.8, "Coffee": 0.2}

    task = load_task("category")
    tagger = Tagger(task, engine=ScriptedEngine(say), calibrated=False)
    examples = task.read_examples(tmp_path / "rows.jsonl")
    header = header_of(tagger, examples, set_name="mine", split="own", sample=None, seed=0, shots=0)
    write_run(tmp_path / "run.jsonl.gz", run(tagger, examples, header))
    return tmp_path


def evaluated(folder: Path, command: str, *options: str) -> str:
    arguments = [command, "category", str(folder / "run.jsonl.gz"), "--data", str(folder / "rows.jsonl"), *options]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_says_who_is_served_worse(recorded: Path) -> None:
    said = evaluated(recorded, "gaps", "--by", "seller", "--bands", "price", "--out", str(recorded / "out"))

    assert "seller: <i>x: 50.0% of what is said is wrong, elsewhere 0.0%" in said
    known = json.loads((recorded / "out" / "gaps.json").read_text("utf-8"))
    assert "price: 1 of 4, up to 30" in {one["slice"] for one in known["gaps"]}
    assert known["notes"] == ["1 row has no number in 'price', left out here; the first is '0': 'dear'."]
    assert known["made"]["probabilities"] == "as the run has them"
    page = (recorded / "out" / "gaps.html").read_text("utf-8")
    assert page.count("<svg") == 3
    assert "<i>x" not in page
    assert "It errs more here than elsewhere" in (recorded / "out" / "gaps.md").read_text("utf-8")


def test_slices_and_report_take_columns_too(recorded: Path) -> None:
    assert "seller: <i>x" in evaluated(recorded, "slices", "--by", "seller")

    evaluated(recorded, "report", "--by", "seller", "--bands", "price", "--out", str(recorded))

    known = json.loads((recorded / "report.json").read_text("utf-8"))
    assert {"seller: y", "price: 4 of 4, over 89"} <= {one["slice"] for one in known["slices"]}
    assert known["notes"] == ["1 row has no number in 'price', left out here; the first is '0': 'dear'."]
