"""A calibration changes probabilities as it says, and is refused where it was not fitted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tagger import ScriptedEngine, Tagger
from tagger.calibration import (
    FEATURES,
    Calibration,
    ClosedFit,
    Fit,
    OpenFit,
    Promise,
    RawFit,
    calibration_file,
    expit,
    load_calibration,
    logit,
    save_calibration,
)
from tagger.cli import app
from tagger.confidence import Scores
from tagger.decide import decide
from tagger.errors import SettingsError, SourceError, TaskError
from tagger.fitted import unfit
from tagger.grammar import spell_value
from tagger.record import Record
from tagger.run import tag_file
from tagger.said import tag_of
from tagger.schema import FieldBase, LabelField, NumberField, TextField
from tagger.task import load_task, prompts_folder

HALF = Scores({"a": 0.8, "b": 0.2}, {"a": 0.4, "b": 0.6})


def calibration(fit: Fit, **changed: object) -> Calibration:
    made: dict[str, object] = {
        "task_version": "v",
        "plan": "p",
        "model": "none",
        "rows": 100,
        "rows_id": "r",
        "pool": "",
    }
    made["fields"] = {"f": fit}
    return Calibration.model_validate({**made, **changed})


def test_closed_weights_are_powers() -> None:
    found = calibration(Fit(closed=ClosedFit(model=2.0, rows=1.0))).chances("f", HALF)

    a, b = 0.8**2 * 0.4, 0.2**2 * 0.6
    assert found == pytest.approx({"a": a / (a + b), "b": b / (a + b)})


def test_a_model_that_was_not_heard_makes_nothing_sure() -> None:
    fitted = calibration(Fit(closed=ClosedFit(model=1.1, rows=1.0)))

    assert fitted.chances("f", Scores({"a": 0.0, "b": 0.0}, {})) == {"a": 0.0, "b": 0.0}
    assert fitted.chances("f", Scores({"a": 0.0, "b": 0.0}, {"a": 0.9, "b": 0.1})) == {"a": 0.0, "b": 0.0}


def test_without_rows_it_is_a_temperature() -> None:
    scores = Scores({"a": 0.8, "b": 0.2}, {})

    found = calibration(Fit(closed=ClosedFit(model=0.5, rows=3.0))).chances("f", scores)

    assert found["a"] == pytest.approx(0.8**0.5 / (0.8**0.5 + 0.2**0.5))


def test_an_open_value_goes_through_the_regression() -> None:
    weights = dict.fromkeys(FEATURES, 0.0) | {"bias": 0.5, "written": 0.1, "model": 1.0, "rows": 2.0, "share": 3.0}
    weights |= {"usual": 4.0, "other": -5.0, "inferred": -6.0}
    fit = Fit(open=OpenFit(weights=tuple(weights.values())))
    rows, shares = {'"Acme"': 0.7, '"Acme Ltd"': 0.2}, {'"Acme"': 0.6, '"Acme Ltd"': 0.5}
    scores = Scores({'"Acme"': 0.9}, rows, least=0.5, shares=shares, usual=0.4, inferred=True)

    found = calibration(fit).chances("f", scores)

    common = 0.5 + 4 * logit(0.4)
    written = common + 0.1 + logit(0.9) + 2 * logit(0.7) + 3 * logit(0.6) - 5 * 0.2 - 6
    proposed = common + 2 * logit(0.2) + 3 * logit(0.5) - 5 * 0.9
    assert found == pytest.approx({'"Acme"': expit(written), '"Acme Ltd"': expit(proposed)})


def test_of_a_closed_set_the_likeliest_is_said_whatever_was_written() -> None:
    field = LabelField(labels=["men", "unisex"])

    found = decide("f", field, "unisex", Scores({"men": 0.6, "unisex": 0.4}, {}), prior=1.0, calibration=None)
    equal = decide("f", field, "unisex", Scores({"men": 0.5, "unisex": 0.5}, {}), prior=1.0, calibration=None)

    assert (found.value, found.p, found.others) == ("men", 0.6, (("unisex", 0.4),))
    assert equal.value == "unisex"


def test_a_field_that_was_not_fitted_is_decided_without_the_calibration() -> None:
    field = LabelField(labels=["a", "b"])
    made = calibration(Fit(), promises={"0.95": Promise(threshold=0.7, precision=0.96, coverage=0.5, answers=100)})

    plain = decide("other", field, "a", HALF, prior=1.0, calibration=None)
    assert decide("other", field, "a", HALF, prior=1.0, calibration=made) == plain
    kept = decide("other", field, "a", HALF, prior=0.0, calibration=made.promising(0.95, ""))
    assert (kept.p, kept.abstained) == (pytest.approx(0.8), False)
    assert decide("other", field, "a", HALF, prior=1.0, calibration=made.promising(0.95, "")).abstained == (
        plain.p < 0.7
    )


@pytest.mark.parametrize(
    ("model", "rows", "said"),
    [
        ({'"Acme"': 0.95}, {'"Acme"': 0.3}, "Acme"),
        ({'"Acme"': 0.9}, {'"Acme"': 0.2, '"Beta"': 0.8}, "Acme"),
        ({'"Acme"': 0.4}, {'"Acme"': 0.3}, None),
    ],
)
def test_few_rows_do_not_choose_another_value_nor_silence(
    model: dict[str, float], rows: dict[str, float], said: str | None
) -> None:
    made = calibration(Fit(raw=RawFit(stretch=1.0, move=0.0, inferred=-2.0)))
    scores = Scores(model, rows, inferred=True)

    raw, told = (decide("f", TextField(), "Acme", scores, prior=0.5, calibration=one) for one in (None, made))

    assert (None if raw.abstained else raw.value) == (None if told.abstained else told.value) == said
    assert told.p == pytest.approx(expit(logit(raw.p) - 2.0))


@pytest.mark.parametrize(
    ("field", "written"), [(NumberField(units=("g",)), {"value": 250, "unit": "g"}), (TextField(), "green")]
)
def test_what_stands_nowhere_in_the_record_is_told_with_less(field: FieldBase, written: object) -> None:
    made = calibration(Fit(raw=RawFit(stretch=0.5, move=0.1, inferred=-2.0)))
    scores = Scores({spell_value(field, written): 0.8}, {})
    there, nowhere = (
        tag_of("f", field, written, scores, Record("1", {"title": title}), prior=1.0, calibration=made)
        for title in ("Tea, green, 250 g", "Tea, 30 g")
    )

    assert (there.value, nowhere.value) == (written, written)
    assert (there.inferred, nowhere.inferred) == (False, True)
    assert there.probability == pytest.approx(expit(0.5 * logit(0.8) + 0.1))
    assert nowhere.probability == pytest.approx(expit(0.5 * logit(0.8) + 0.1 - 2.0))


@pytest.fixture
def calibrated(tmp_path: Path) -> Path:
    """The category task with a calibration that makes a wavering model silent."""
    folder = tmp_path / "category"
    shutil.copytree(prompts_folder() / "category", folder, ignore=shutil.ignore_patterns("calibration"))
    task = load_task(folder)
    fit = Fit(closed=ClosedFit(model=0.5), abstain_below=0.7)
    made = calibration(fit, task_version=task.version, plan=task.plan.id, fields={"category": fit})
    save_calibration(calibration_file(folder, "none"), made)
    return folder


def test_the_tagger_keeps_silent_below_the_threshold(calibrated: Path) -> None:
    engine = ScriptedEngine(lambda prompt: {"Tea": 0.8, "Coffee": 0.2})

    tagging = Tagger(calibrated, engine=engine).tag({"title": "tea"})

    assert tagging.outcome == "abstained"
    assert tagging.value("category") is None
    assert tagging.tags["category"].alternatives[0].value == "Tea"
    assert tagging.tags["category"].probability == pytest.approx(2 / 3)
    assert Tagger(calibrated, engine=engine, calibrated=False).tag({"title": "tea"}).value("category") == "Tea"


def test_a_promise_silences_what_would_break_it(calibrated: Path) -> None:
    path = calibration_file(calibrated, "none")
    kept = Promise(threshold=0.75, precision=0.97, coverage=0.4, answers=200)
    made = Calibration.model_validate_json(path.read_text("utf-8"))
    fits = {"category": Fit(closed=ClosedFit(model=1.0))}
    save_calibration(path, made.model_copy(update={"fields": fits, "promises": {"0.95": kept}}))
    engine = ScriptedEngine(lambda prompt: {"Tea": 0.7, "Coffee": 0.3})

    assert Tagger(calibrated, engine=engine).tag({"title": "tea"}).outcome == "tagged"
    assert Tagger(calibrated, engine=engine, promise=0.95).tag({"title": "tea"}).outcome == "abstained"
    with pytest.raises(SettingsError, match=r"cannot promise a precision of 0\.99") as raised:
        Tagger(calibrated, engine=engine, promise=0.99)
    assert "it can promise 0.95" in str(raised.value)


def test_beside_other_labelled_rows_nothing_is_promised() -> None:
    made = calibration(
        Fit(), pool="0123abcd", promises={"0.9": Promise(threshold=0, precision=1, coverage=1, answers=9)}
    )

    assert made.promising(0.9, "0123abcd").least == 0
    with pytest.raises(SettingsError, match="beside other labelled rows"):
        made.promising(0.9, "89abcdef")


def test_without_a_calibration_nothing_is_promised() -> None:
    with pytest.raises(SettingsError, match="without a calibration nothing can be promised"):
        Tagger("category", engine=ScriptedEngine(), promise=0.95)


def test_a_calibration_of_another_version_is_refused(calibrated: Path) -> None:
    with (calibrated / "prompt.jinja").open("a", encoding="utf-8") as file:
        file.write("{# changed #}")

    with pytest.raises(TaskError, match="fitted for task_version"):
        Tagger(calibrated, engine=ScriptedEngine())


def test_a_broken_calibration_is_named(calibrated: Path) -> None:
    calibration_file(calibrated, "none").write_text('{"rows": 3}', "utf-8")

    with pytest.raises(TaskError, match="task_version"):
        Tagger(calibrated, engine=ScriptedEngine())


def test_a_calibration_without_shots_does_not_serve_with_them(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    save_calibration(path, calibration(Fit()))
    expected = {"task_version": "v", "plan": "p", "model": "none", "adapter": None, "pool": "0123abcd"}

    assert load_calibration(path, expected) is None
    assert load_calibration(path, {**expected, "pool": ""}) is not None
    assert load_calibration(tmp_path / "none.json", expected) is None


def test_calibrations_of_another_version_are_named_before_a_run(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(prompts_folder() / "zh_review", tmp_path / "zh_review"))
    (fitted,) = (folder / "calibration").iterdir()
    assert unfit(load_task(folder)) == []

    (folder / "plan.toml").unlink()

    assert unfit(load_task(folder)) == [fitted]
    assert f"{fitted}: fitted for another version" in CliRunner().invoke(app, ["check", str(folder)]).output


def test_a_folder_of_another_calibration_says_so(calibrated: Path, tmp_path: Path) -> None:
    source = tmp_path / "goods.jsonl"
    source.write_text('{"title": "tea"}\n', "utf-8")
    tag_file(Tagger(calibrated, engine=ScriptedEngine(), calibrated=False), source, tmp_path / "tags")

    with pytest.raises(SourceError, match="tags of another calibration or promise"):
        tag_file(Tagger(calibrated, engine=ScriptedEngine()), source, tmp_path / "tags")
