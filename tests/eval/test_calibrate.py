"""Fits recover what made the data, and a promise is kept on rows that it was not chosen on."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eval.__main__ import app
from eval.calibrate import best_f1, calibrate, promised, redo
from eval.record import Header, Run, RunRow, RunTag, read_run
from eval.score import Verdict, verdicts
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.record import Record
from tagger.schema import FieldBase, LabelField, TextField
from tagger.task import prompts_folder

FIELDS: dict[str, FieldBase] = {"kind": LabelField(labels={"a": "", "b": ""}), "brand": TextField()}


def overconfident(header: Header, count: int, seed: int) -> tuple[Run, list[Example]]:
    """Answers that say p but are right with the log-odds of p halved."""
    draw = random.Random(seed)
    rows, examples = [], []
    for i in range(count):
        p = draw.uniform(0.5, 0.999)
        true = p**0.5 / (p**0.5 + (1 - p) ** 0.5)
        gold = "a" if draw.random() < true else "b"
        tag = RunTag(value="a", p=p, model={"a": p, "b": 1 - p})
        rows.append(RunRow(id=str(i), outcome="tagged", tags={"kind": tag}, tokens=(1, 0, 1)))
        examples.append(Example(Record(str(i), {"title": str(i)}), {"kind": gold}))
    return Run(header.model_copy(update={"rows": count}), rows), examples


def judge_by(examples: list[Example]):  # type: ignore[no-untyped-def]
    return lambda run: verdicts(run, examples, {e.record.id: ("kind",) for e in examples})


def test_overconfidence_is_found_and_mended(header: Header) -> None:
    run, examples = overconfident(header, 3000, 0)

    calibration, after = calibrate(run, judge_by(examples), FIELDS)

    fit = calibration.fields["kind"].closed
    assert fit is not None
    assert fit.model == pytest.approx(0.5, abs=0.1)
    gap = sum(v.p for v in after) / len(after) - sum(v.correct for v in after) / len(after)
    assert abs(gap) < 0.03


def test_few_rows_tell_how_sure_to_be_and_not_what_to_say(header: Header) -> None:
    """Rows that vote against the model are followed, or not, as the plan has it: 40 rows do not change that."""
    draw, rows, examples = random.Random(6), [], []
    for i in range(40):
        p, rows_say = draw.uniform(0.8, 0.999), draw.uniform(0.2, 0.8)
        tag = RunTag(value="a", p=p, model={"a": p, "b": 1 - p}, rows={"a": rows_say, "b": 1 - rows_say})
        rows.append(RunRow(id=str(i), outcome="tagged", tags={"kind": tag}, tokens=(1, 0, 1)))
        examples.append(Example(Record(str(i), {"title": str(i)}), {"kind": "ab"[i % 2]}))
    run = redo(Run(header.model_copy(update={"rows": 40}), rows), FIELDS, None)
    raw = judge_by(examples)(run)

    calibration, after = calibrate(run, judge_by(examples), FIELDS)

    fit, prior = calibration.fields["kind"].closed, run.header.plan_text["shots"]["prior"]
    assert fit is not None
    assert fit.rows == pytest.approx(prior * fit.model, abs=1e-3)
    assert {v.id: v.value for v in after} == {v.id: v.value for v in raw}
    assert _surplus(raw) > 0.3
    assert _surplus(after) < 0.2


def test_few_rows_move_open_fields_together_and_keep_what_is_silent(header: Header) -> None:
    rows, examples = [], []
    for i in range(60):
        raw = 0.9 if i % 3 else 0.3
        tag = RunTag(value="x", p=raw, model={'"x"': raw}, rows={'"x"': raw, '"y"': 0.1}, abstained=raw < 0.5)
        rows.append(RunRow(id=str(i), outcome="tagged", tags={"brand": tag}, tokens=(1, 0, 1)))
        gold = {"brand": "x"} if i % 2 else {}
        examples.append(Example(Record(str(i), {"title": str(i)}), gold, annotated=frozenset({"brand"})))
    run = redo(Run(header.model_copy(update={"rows": 60}), rows), FIELDS, None)

    def judge(found: Run) -> list[Verdict]:
        return verdicts(found, examples, {e.record.id: ("brand",) for e in examples})

    calibration, after = calibrate(run, judge, FIELDS)

    assert calibration.fields["brand"].raw is not None
    assert {v.id: v.kind for v in after} == {v.id: v.kind for v in judge(run)}
    assert {v.kind for v in after} >= {"right", "invented", "abstained"}
    assert _surplus(after) < _surplus(judge(run)) - 0.1


def _surplus(told: list[Verdict]) -> float:
    """By how much answers are surer than they are right."""
    return sum(v.p - v.correct for v in told) / len(told)


def test_a_promise_holds_on_other_rows(header: Header) -> None:
    run, examples = overconfident(header, 1000, 1)
    calibration, _ = calibrate(run, judge_by(examples), FIELDS)
    fresh, labels = overconfident(header, 4000, 2)

    told = judge_by(labels)(redo(fresh, FIELDS, calibration.promising(0.85, calibration.pool)))

    given = [v for v in told if v.kind in ("right", "wrong")]
    assert 0.05 < len(given) / len(told) < 0.95
    assert sum(v.kind == "right" for v in given) / len(given) > 0.84


def test_the_threshold_aims_at_the_scoring_that_is_asked_for(header: Header) -> None:
    """Doubtful answers are mostly inventions in a strict sense; what nobody annotated does not count in the other."""
    draw, rows, examples = random.Random(5), [], []
    for i in range(400):
        sure, labelled = i % 2 == 0, draw.random() < 0.3
        right = sure or labelled
        tag = RunTag(value="x", p=0.9 if sure else 0.4, model={'"x"': 0.9 if sure else 0.4})
        rows.append(RunRow(id=str(i), outcome="tagged", tags={"brand": tag}, tokens=(1, 0, 1)))
        gold = {"brand": "x"} if right else {}
        examples.append(Example(Record(str(i), {"title": str(i)}), gold, annotated=frozenset(gold)))
    run = Run(header.model_copy(update={"rows": len(rows)}), rows)

    def judge(found: Run) -> list[Verdict]:
        return verdicts(found, examples, {e.record.id: ("brand",) for e in examples})

    strict, lenient = (calibrate(run, judge, FIELDS, published=way)[0].threshold("brand") for way in (False, True))

    assert lenient < 0.35 < strict


def test_a_promise_that_cannot_be_kept_is_refused(header: Header) -> None:
    run, examples = overconfident(header, 200, 3)

    calibration, _ = calibrate(run, judge_by(examples), FIELDS)

    assert "0.99" not in calibration.promises
    with pytest.raises(SettingsError, match=r"cannot promise a precision of 0\.99"):
        calibration.promising(0.99, calibration.pool)


def test_too_few_rows_and_unfinished_runs_are_refused(header: Header) -> None:
    run, examples = overconfident(header, 19, 4)
    with pytest.raises(SourceError, match="19 rows are too few"):
        calibrate(run, judge_by(examples), FIELDS)

    run, examples = overconfident(header, 80, 4)
    run.header = header.model_copy(update={"rows": 81})
    with pytest.raises(SourceError, match="not finished"):
        calibrate(run, judge_by(examples), FIELDS)


@pytest.mark.parametrize("other", [{"split": "test"}, {"plan": "p~c"}, {"variant": "typos"}])
def test_runs_that_may_not_choose_are_refused(other: dict[str, str], header: Header) -> None:
    run, examples = overconfident(header, 80, 4)
    run.header = run.header.model_copy(update=other)

    with pytest.raises(SourceError, match=r"test rows judge|calibrated already"):
        calibrate(run, judge_by(examples), FIELDS)


def test_a_promise_is_not_made_bolder_by_trying_many_thresholds() -> None:
    """Answers that are right at the rate promised: at most one draw in ten may promise it, as CONFIDENCE says."""
    tag = RunTag(value="x", p=0.5, model={'"x"': 0.5})
    kept = 0
    for seed in range(50):
        draw = random.Random(seed)
        right = [draw.random() < 0.9 for _ in range(200)]
        told = [
            Verdict(str(i), "brand", "x", "x" if hit else "y", draw.random(), "right" if hit else "wrong", True, tag)
            for i, hit in enumerate(right)
        ]
        kept += bool(promised(told, [0.9]))

    assert kept <= 10  # 5 are expected; more than 10 have a chance of 1 %


def test_redo_lets_the_rows_speak_with_another_weight(header: Header) -> None:
    tag = RunTag(value="a", p=0.6, model={"a": 0.6, "b": 0.4}, rows={"a": 0.1, "b": 0.9})
    run = Run(header, [RunRow(id="1", outcome="tagged", tags={"kind": tag}, tokens=(1, 0, 1))])

    assert redo(run, FIELDS, None, prior=0.0).rows[0].tags["kind"].value == "a"
    assert redo(run, FIELDS, None, prior=1.0).rows[0].tags["kind"].value == "b"


def test_the_best_threshold_drops_what_is_mostly_wrong() -> None:
    tag = RunTag(value="x", p=0.9, model={'"x"': 0.9})
    good = [Verdict(str(i), "brand", "x", "x", 0.9, "right", True, tag) for i in range(9)]
    bad = [Verdict(f"b{i}", "brand", None, "x", 0.3, "invented", True, tag) for i in range(9)]

    assert best_f1(good + bad) == 0.9
    assert promised(good * 10 + bad, [0.9])["0.9"].threshold == 0.9


def test_the_best_threshold_lets_equals_in_together() -> None:
    def verdicts(p: float, right: int, wrong: int) -> list[Verdict]:
        tag = RunTag(value="x", p=p, model={'"x"': p})
        told = [("x", "right", True)] * right + [("y", "wrong", False)] * wrong
        return [Verdict(f"{p} {n}", "brand", g, "x", p, kind, ok, tag) for n, (g, kind, ok) in enumerate(told)]

    assert best_f1([*verdicts(0.9, 2, 0), *verdicts(0.5, 1, 10)]) == 0.9


def test_a_run_by_another_plan_leaves_the_calibration_aside(tmp_path: Path) -> None:
    """The calibration was fitted to answers of the task's own plan; a plan is tried without taking it away first."""
    task = shutil.copytree(prompts_folder() / "zh_review", tmp_path / "zh_review")
    (fitted,) = (task / "calibration").iterdir()
    text = fitted.read_text("utf-8").replace(fitted.stem, "none")
    fitted.with_name("none.json").write_text(text, "utf-8")
    other = tmp_path / "other.toml"
    other.write_text((task / "plan.toml").read_text("utf-8") + "\n[shots]\nprior = 0.25\n", "utf-8")

    for plan, told in (([], False), (["--plan", str(other)], True)):
        arguments = ["run", str(task), "--data", str(task / "sample" / "dev.jsonl"), "--engine", "scripted", *plan]
        record = tmp_path / f"{len(plan)}.jsonl.gz"
        found = CliRunner().invoke(app, [*arguments, "--record", str(record)], catch_exceptions=False)
        assert ("left aside" in found.output) == told
        assert ("~" in read_run(record).header.plan) != told
