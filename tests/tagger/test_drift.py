"""What is no longer as it was evaluated is found, and what only chance has moved is not."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import typer

from eval.baseline import baseline as baseline_command
from eval.baseline import drift as drift_command
from eval.record import write_run
from eval.run import header_of, run
from tagger import ScriptedEngine, Tagger
from tagger.baseline import (
    EDGES,
    Baseline,
    Window,
    baseline_file,
    bulk_window,
    load_baseline,
    save_baseline,
)
from tagger.calibration import Calibration, ClosedFit, Fit, calibration_file, save_calibration
from tagger.drift import LEAST_ROWS, Drift, compare, holm
from tagger.errors import SettingsError, SourceError, TaskError
from tagger.example import Example
from tagger.prompt import Prompt
from tagger.record import Record
from tagger.run import tag_file
from tagger.schema import BooleanField, FieldBase, LabelField, LabelsField, TextField
from tagger.sinks import Format
from tagger.task import load_task, prompts_folder

LABELS = [f"label {i}" for i in range(30)]
FIELDS: dict[str, FieldBase] = {
    "kind": LabelField(labels=LABELS),
    "traits": LabelsField(labels=["new", "sale", "gift", "bulk"]),
    "brand": TextField(),
    "organic": BooleanField(),
}
MADE: dict[str, Any] = {"task": "t", "task_version": "v", "plan": "p+0123abcd~c", "model": "org/m", "adapter": None}


def drawn(
    seed: int, count: int, *, favour: float = 0, doubt: float = 0, silent: float = 0, pairs: float = 0.4
) -> Window:
    """Answers with thirty labels, most of them rare, and traits that come in pairs. `favour` is weight for the second
    label, `doubt` lowers the probabilities of `kind`, `silent` is how much oftener it is withheld."""
    draw, window = random.Random(seed), Window(FIELDS, most=None)
    weights = [1 / (1 + i) + favour * (i == 1) for i in range(30)]
    for _ in range(count):
        p = [1 - draw.betavariate(1, 9) for _ in FIELDS]
        kind = None if draw.random() < 0.1 + silent else draw.choices(LABELS, weights)[0]
        traits = ["new", "sale"] * (draw.random() < pairs) + ["gift"] * (draw.random() < 0.1)
        tags: dict[str, Any] = {
            "kind": {"value": kind, "probability": max(0, p[0] - doubt * draw.random())},
            "traits": {"value": traits, "probability": p[1]},
            "organic": {"value": draw.random() < 0.5, "probability": p[3]},
        }
        if draw.random() < 0.6:
            tags["brand"] = {"value": f"Acme {draw.random()}", "probability": p[2]}
        window.add({"outcome": "tagged", "tags": tags})
    return window


def as_baseline(window: Window, **changed: Any) -> Baseline:
    return Baseline(**{**MADE, **changed}, rows_id="r", outcomes=window.outcomes, fields=window.counts())


def told(found: Drift) -> set[tuple[str, str]]:
    return {(one.field, one.kind) for one in found.found}


def test_two_halves_of_one_distribution_are_no_drift() -> None:
    alarms = sum(
        bool(compare(as_baseline(drawn(seed, 250)), drawn(seed + 1000, 250 if seed % 2 else 500)).found)
        for seed in range(200)
    )

    assert alarms <= 6


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"favour": 1.5}, {("kind", "mix")}),
        ({"doubt": 0.2}, {("kind", "confidence")}),
        ({"silent": 0.2}, {("kind", "abstained")}),
        ({"pairs": 0.7}, {("traits", "mix")}),
    ],
    ids=["another mix", "less sure", "oftener silent", "other lists"],
)
def test_what_has_drifted_is_found_and_nothing_else(change: dict[str, float], where: set[tuple[str, str]]) -> None:
    found = compare(as_baseline(drawn(1, 400)), drawn(2, 1000, **change))

    assert told(found) == where
    assert found.sentence.startswith("drift: ")


def test_a_finding_says_what_has_moved() -> None:
    found = compare(as_baseline(drawn(1, 400)), drawn(2, 1000, favour=1.5)).found[0]

    assert (found.field, found.moved) == ("kind", "label 1")
    assert found.before < 0.2 < 0.3 < found.now


def test_a_label_that_the_baseline_never_had_is_found() -> None:
    before, now = Window(FIELDS, None), Window(FIELDS, None)
    for i in range(600):
        label = "label 7" if i % 4 == 0 else "label 1"
        now.add({"outcome": "tagged", "tags": {"kind": {"value": label, "probability": 0.9}}})
        before.add({"outcome": "tagged", "tags": {"kind": {"value": "label 1", "probability": 0.9}}})

    found = compare(as_baseline(before), now)

    assert told(found) == {("kind", "mix")}
    assert found.found[0].level == "large"


def answered(field: FieldBase, values: Iterable[Any]) -> Window:
    window = Window({"f": field}, most=None)
    for value in values:
        window.add({"outcome": "tagged", "tags": {"f": {"value": value, "probability": 0.9}}})
    return window


def test_many_values_are_no_drift_by_their_number() -> None:
    draw, field = random.Random(0), LabelField(labels=LABELS)
    before, now = (answered(field, draw.choices(LABELS, k=400)) for _ in range(2))

    assert compare(as_baseline(before), now).findings[0].psi < 0.05


def test_rare_labels_are_looked_at_together() -> None:
    labels = ["one", "two", *(f"rare {i}" for i in range(60))]
    before, now = (
        answered(
            LabelField(labels=labels), ["one", "two"] * (150 - count // 2) + [f"rare {i % 60}" for i in range(count)]
        )
        for count in (30, 90)
    )

    (found,) = compare(as_baseline(before), now).findings

    assert (found.moved, found.before, found.now) == ("(rare ones)", 0.1, 0.3)
    assert found.level == "large"


def test_the_more_labels_a_list_may_have_the_clearer_one_has_to_be() -> None:
    labels = [f"label {i}" for i in range(10)]
    found = []
    for most in (1, 10):
        field = LabelsField(labels=labels)
        before, now = (
            answered(field, [labels[0 if i < count else 1 : most] if i % 2 else [] for i in range(300)])
            for count in (60, 110)
        )
        (finding,) = compare(as_baseline(before), now).findings
        found.append(finding.p)

    assert 0 < found[0] < 0.05
    assert found[1] == pytest.approx(10 * found[0])


def test_a_difference_that_is_sure_but_small_is_no_drift() -> None:
    found = compare(as_baseline(drawn(1, 8000)), drawn(2, 8000, silent=0.04))

    (silent,) = [one for one in found.findings if (one.field, one.kind) == ("kind", "abstained")]
    assert silent.adjusted < 1e-6
    assert not found.found


def test_with_too_few_rows_it_says_how_many_more() -> None:
    window = drawn(2, LEAST_ROWS - 30, favour=9)
    for _ in range(100):
        window.add({"outcome": "rejected", "tags": {}})  # says nothing of the fields

    found = compare(as_baseline(drawn(1, 400)), window)

    assert found.sentence == "too few rows to tell: 170 answered ones, 200 are needed"
    assert not found.findings


def test_a_window_forgets_all_but_the_latest() -> None:
    window, latest = Window(FIELDS, most=50), Window(FIELDS, most=None)
    for i in range(500):
        tag = {"value": None if i % 7 == 0 else LABELS[i % 30], "probability": i / 500}
        line = {"outcome": "abstained" if i % 7 == 0 else "tagged", "tags": {"kind": tag}}
        window.add(line)
        if i >= 450:
            latest.add(line)

    assert window.counts() == latest.counts()
    assert window.outcomes == latest.outcomes


def test_the_ten_bins_end_where_probabilities_do() -> None:
    window = Window(FIELDS)
    for p in (0.0, *EDGES, 1.0):
        window.add({"outcome": "tagged", "tags": {"brand": {"value": "Acme", "probability": p}}})

    assert window.counts()["brand"].bins == (1,) * 9 + (2,)


def test_holm_is_as_in_the_books() -> None:
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([]) == []


def test_a_baseline_reads_back_as_it_was(tmp_path: Path) -> None:
    path = baseline_file(tmp_path, "org/m", "a/b@1")
    made = as_baseline(drawn(1, 300))
    save_baseline(path, made)

    assert path == tmp_path / "baseline" / "org--m+a--b@1.json"
    assert load_baseline(path, MADE) == made
    assert load_baseline(path, {**MADE, "plan": "p+89abcdef~c"}) == made  # the pool has grown
    assert load_baseline(tmp_path / "none.json", MADE) is None


@pytest.mark.parametrize(
    "other",
    [{"task_version": "w"}, {"plan": "p~c"}, {"plan": "p+0123abcd"}, {"plan": "q+0123abcd~c"}, {"adapter": "a@1"}],
    ids=str,
)
def test_a_baseline_of_something_else_is_refused(tmp_path: Path, other: dict[str, str]) -> None:
    save_baseline(tmp_path / "m.json", as_baseline(drawn(1, 300)))

    with pytest.raises(TaskError, match=f"the baseline of {next(iter(other))}"):
        load_baseline(tmp_path / "m.json", {**MADE, **other})


def test_a_broken_baseline_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"task": "t"}', "utf-8")

    with pytest.raises(TaskError, match="task_version"):
        load_baseline(tmp_path / "m.json", MADE)


def test_a_bulk_run_counts_the_same_in_every_format_as_in_memory(shop: Path, tmp_path: Path) -> None:
    task = (shop / "task.toml").read_text("utf-8")
    (shop / "task.toml").write_text(task.replace('"coffee"]', '"coffee"]\nabstain_below = 0.7', 1), "utf-8")
    asks = '[[ask]]\nform = "label"\nfields = ["kind"]\n[[ask]]\nform = "json"\n[shots]\nprior = 0.0\n'
    (shop / "plan.toml").write_text(asks, "utf-8")

    def answer(prompt: Prompt) -> Any:
        n = len(prompt.record)
        if not prompt.head.shots[0][1].startswith("{"):
            return {"tea": 1 - n / 40, "coffee": n / 40}
        traits = [["new"], ["new", "gift"], []][n % 3]
        found: dict[str, Any] = {"traits": traits, "leaf": "Food > Tea", "brand": "Tea", "volume": "250 ml"}
        return json.dumps(found | {"organic": n % 2 == 0, "stars": n % 5 + 1} if n % 4 else found)

    rows = [{"title": ""}, *({"title": "Tea" + "a" * (n % 30)} for n in range(60))]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    tagger, here = Tagger(shop, engine=ScriptedEngine(answer)), Window(load_task(shop).fields, most=None)
    for tagging in tagger.tag(rows):
        here.add(tagging)
    forms: tuple[Format, ...] = ("jsonl", "csv", "parquet")
    for form in forms:
        tag_file(tagger, tmp_path / "in.jsonl", tmp_path / form, form=form, shard=25)
        read = bulk_window(tmp_path / form, tagger.task)
        assert read.counts() == here.counts()
        assert read.outcomes == here.outcomes
    counts = here.counts()
    assert here.outcomes == {"tagged": 60, "rejected": 1}
    assert 0 < counts["kind"].abstained < 60
    assert counts["traits"].values == {"new": 40, "gift": 20}
    assert counts["organic"].values.keys() == {"true", "false"}
    assert counts["brand"].values == {"(answered)": 60}


def test_tags_of_another_version_and_broken_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"title": "tea"}\n', "utf-8")
    task = load_task("category")
    tag_file(Tagger(task, engine=ScriptedEngine()), tmp_path / "in.jsonl", tmp_path / "out")

    with pytest.raises(SourceError, match="tags of task category"):
        bulk_window(tmp_path / "out", load_task("zh_category"))
    (tmp_path / "out" / "tags-00000.jsonl").write_text('{"outcome": "tagged"}\n', "utf-8")
    with pytest.raises(SourceError, match="not a file of tags"):
        bulk_window(tmp_path / "out", task)


def doubting(prompt: Prompt) -> dict[str, float]:
    """Says tea, coffee or that it does not know which."""
    p = {"t": 0.95, "c": 0.05}.get(prompt.record[-1], 0.6)
    return {"Tea": p, "Coffee": 1 - p}


@pytest.fixture
def evaluated(tmp_path: Path) -> tuple[Path, Path]:
    """The category task with a calibration that withholds doubtful answers, and a raw run over 150 dev rows."""
    folder = tmp_path / "category"
    shutil.copytree(prompts_folder() / "category", folder)
    task = load_task(folder)
    fit = Fit(closed=ClosedFit(model=1.0), abstain_below=0.8)
    made = {
        "task_version": task.version,
        "plan": task.plan.id,
        "model": "none",
        "rows": 150,
        "rows_id": "r",
        "pool": "",
    }
    save_calibration(
        calibration_file(folder, "none"), Calibration.model_validate({**made, "fields": {"category": fit}})
    )
    raw = Tagger(folder, engine=ScriptedEngine(doubting), calibrated=False)
    rows = [
        Example(Record(f"{i}", {"title": title}), {"category": "Tea"}) for i, title in enumerate(titles("tcx", 150))
    ]
    header = header_of(raw, rows, set_name="mine", split="dev", sample=None, seed=0, shots=0)
    write_run(tmp_path / "run.jsonl.gz", run(raw, rows, header))
    return folder, tmp_path / "run.jsonl.gz"


def titles(ends: str, count: int) -> list[str]:
    return [f"no {i} {ends[i % len(ends)]}" for i in range(count)]


def bulk(folder: Path, ends: str, out: Path) -> Path:
    source = out.with_suffix(".jsonl")
    source.write_text("\n".join(json.dumps({"title": title}) for title in titles(ends, 300)), "utf-8")
    tag_file(Tagger(folder, engine=ScriptedEngine(doubting)), source, out)
    return out


def test_a_baseline_counts_the_answers_that_are_served(evaluated: tuple[Path, Path]) -> None:
    folder, record = evaluated
    tagger = Tagger(folder, engine=ScriptedEngine(doubting))
    served = Window(tagger.task.fields)
    for tagging in tagger.tag([{"title": title} for title in titles("tcx", 150)]):
        served.add(tagging)

    baseline_command(str(folder), record)

    made = {name: getattr(tagger.provenance, name) for name in MADE}
    found = load_baseline(baseline_file(folder, "none"), made)
    assert found
    assert found.fields == served.counts()
    assert found.fields["category"].abstained == 50
    assert (found.rows, found.outcomes) == (150, {"tagged": 100, "abstained": 50})


def test_tags_like_those_evaluated_pass_and_others_end_with_1(evaluated: tuple[Path, Path], tmp_path: Path) -> None:
    folder, record = evaluated
    alike, other = bulk(folder, "tcx", tmp_path / "alike"), bulk(folder, "xxxxxcct", tmp_path / "other")
    with pytest.raises(SettingsError, match="no baseline"):
        drift_command(str(folder), alike)
    baseline_command(str(folder), record)

    drift_command(str(folder), alike, path=tmp_path / "alike.json")
    with pytest.raises(typer.Exit) as ended:
        drift_command(str(folder), other, path=tmp_path / "other.md")

    assert ended.value.exit_code == 1
    page = (tmp_path / "other.md").read_text("utf-8")
    assert page.startswith("# drift: category (confidence, large), category (abstained, large)\n")
    assert "| (withheld) | 33.3% | 63.0% |" in page
    facts = json.loads((tmp_path / "alike.json").read_text("utf-8"))
    assert (facts["sentence"], facts["baseline_rows"], facts["rows"]) == ("no drift in 300 rows", 150, 300)
    assert [one["level"] for one in facts["findings"]] == [""] * 3


def test_tags_of_another_task_are_held_against_its_own_baseline(evaluated: tuple[Path, Path], tmp_path: Path) -> None:
    tags = bulk(evaluated[0], "tcx", tmp_path / "tags")

    with pytest.raises(SettingsError, match=r"of task 'category', not 'zh_category'(.|\n)*eval drift category"):
        drift_command("zh_category", tags)


def test_a_run_of_another_version_makes_no_baseline(evaluated: tuple[Path, Path]) -> None:
    folder, record = evaluated
    with (folder / "prompt.jinja").open("a", encoding="utf-8") as file:
        file.write("{# changed #}")

    with pytest.raises(SourceError, match="the run is of task_version"):
        baseline_command(str(folder), record)
