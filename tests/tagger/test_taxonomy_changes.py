"""What became of labels is found by the products they hold, and old tags are carried over with few rows asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tagger.calibration import Calibration, ClosedFit, Fit, calibration_file, save_calibration
from tagger.cli import app
from tagger.engines.base import Completion, Request
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SourceError
from tagger.pipeline import Tagger
from tagger.prompt import Prompt
from tagger.run import tag_file
from tagger.task import load_task
from tagger.taxonomy.carry import KEPT_FROM, Carried, carried, carry, touched
from tagger.taxonomy.changes import Changes, Version, changes, in_words, read_version
from tagger.taxonomy.folder import write_folder
from tagger.taxonomy.measures import measured
from tagger.taxonomy.proposal import Label, Proposal, Row


def version(holds: Mapping[str, Sequence[str]], about: str = "") -> Version:
    """A version whose labels hold these products."""
    return Version(dict.fromkeys(holds, about), {text: label for label, texts in holds.items() for text in texts})


def told(found: Changes) -> set[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return {(change.kind, change.old, change.new) for change in found.changes}


OLD = {"tea": "abcd", "coffee": "efgh", "soup": "ijkl", "cup": "mnop", "mug": "qrst", "salt": "uvwx"}


@pytest.mark.parametrize(
    ("new", "expected", "successor"),
    [
        (OLD, set(), "tea"),
        ({**OLD, "tea": "", "black": "ab", "green": "cd"}, {("split", ("tea",), ("black", "green", "tea"))}, None),
        ({**OLD, "tea": "ab", "green": "cd"}, {("split", ("tea",), ("tea", "green"))}, None),
        ({**OLD, "tea": "ab", "coffee": "cdefgh"}, {("reordered", ("tea",), ("tea", "coffee"))}, None),
    ],
    ids=["nothing", "split, the old one empty", "split off", "reordered"],
)
def test_products_tell_what_became_of_a_label(
    new: Mapping[str, str], expected: set[object], successor: str | None
) -> None:
    found = changes(version(OLD), version(new))

    assert told(found) == expected
    assert found.successors["tea"] == successor
    assert found.successors["salt"] == "salt"


def test_renamed_merged_removed_and_added_labels_are_told_apart() -> None:
    new = {"teas": "abcd", "coffee": "efgh", "dishes": "mnopqrst", "salt": "uvwx", "wine": "yz"}

    found = changes(version(OLD), version(new))

    assert told(found) == {
        ("renamed", ("tea",), ("teas",)),
        ("merged", ("cup", "mug"), ("dishes",)),
        ("removed", ("soup",), ()),
        ("added", (), ("wine",)),
    }
    assert found.successors == {
        "tea": "teas", "coffee": "coffee", "soup": None, "cup": "dishes", "mug": "dishes", "salt": "salt",
    }  # fmt: skip
    assert found.unknown == ("wine",)


def test_a_stray_product_is_no_split() -> None:
    many = [f"product {i}" for i in range(30)]

    found = changes(version({"tea": many, "cup": []}), version({"tea": many[1:], "cup": many[:1]}))

    assert told(found) == set()
    assert in_words(found) == ["moved: 1 of 'tea' now under 'cup': product 0"]
    assert in_words(changes(version(OLD), version(OLD))) == ["nothing has changed"]


def test_the_products_that_tell_a_change_stand_below_it() -> None:
    was = version({"tea": ["a", "b", "c", "d", "e", "f"]})
    now = version({"black": ["a", "b", "c", "d"], "green": ["e", "f"]})

    found = changes(was, Version(now.labels, now.holds, {"e": "Sencha  no 5", "f": "x" * 99}))

    assert in_words(found) == [
        "split: 'tea' -> 'black', 'green' (6 products tell)",
        "  - 4 of 'tea' now under 'black': a; b; c; and 1 more",
        f"  - 2 of 'tea' now under 'green': Sencha no 5; {'x' * 60}...",
    ]
    assert found.as_json()["moves"][0] == {"old": "tea", "new": "black", "products": ("a", "b", "c", "d")}


def test_without_products_names_tell() -> None:
    old = Version({"Food > Tea": "", "Food > Soup": "hot", "Food > Salt": ""})
    new = Version({"Drinks > Tea": "", "Food > Soup": "hot or cold", "Food > Oil": ""})

    found = changes(old, new)

    assert told(found) == {
        ("renamed", ("Food > Tea",), ("Drinks > Tea",)),
        ("redefined", ("Food > Soup",), ("Food > Soup",)),
        ("removed", ("Food > Salt",), ()),
        ("added", (), ("Food > Oil",)),
    }
    assert touched(found, old, new) == {"Food > Soup", "Food > Salt", "Food > Tea"}  # oil may be among its siblings


ANSWER: dict[str, Any] = {
    "outcome": "tagged",
    "tags": {
        "category": {
            "value": "cup",
            "probability": 0.6,
            "alternatives": [{"value": "mug", "probability": 0.25}, {"value": "tea", "probability": 0.15}],
        }
    },
}
MERGED = {"cup": "dishes", "mug": "dishes", "tea": "teas"}


def test_an_answer_is_carried_over_with_its_probabilities() -> None:
    moved = carried(ANSWER, "category", MERGED, frozenset(), False, "v1")

    assert moved is not None
    tag = moved["tags"]["category"]
    assert (tag["value"], tag["probability"], tag["alternatives"]) == (
        "dishes", 0.85, [{"value": "teas", "probability": 0.15}],
    )  # fmt: skip
    assert moved[KEPT_FROM] == "v1"


@pytest.mark.parametrize(("affected", "asked"), [("cup", True), ("mug", True), ("tea", False)])
def test_a_row_is_asked_again_for_its_label_and_for_a_near_runner_up(affected: str, asked: bool) -> None:
    found = carried(ANSWER, "category", MERGED | {affected: None}, {affected}, False, "v1")

    assert (found is None) == asked


def test_a_silent_row_is_asked_again_where_a_label_is_new() -> None:
    silent = {"outcome": "abstained", "tags": {"category": {**ANSWER["tags"]["category"], "value": None}}}

    assert carried(silent, "category", MERGED, frozenset(), True, "v1") is None
    assert carried(silent, "category", MERGED, frozenset(), False, "v1") is not None


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ({}, "category: 'cup' has 0.60, below the 0.70 that is asked of it; use: x"),
        ({"cup": "beaker"}, "category: 'beaker' has 0.60, below the 0.70 that is asked of it; use: x"),
        (MERGED, "category: version v1 of the task was silent here"),
    ],
)
def test_a_reason_names_no_label_and_no_probability_that_is_no_more(to: dict[str, str], told: str) -> None:
    reason = "category: 'cup' has 0.60, below the 0.70 that is asked of it; use: x"
    alternatives = [{"value": "cup", "probability": 0.6}, *ANSWER["tags"]["category"]["alternatives"]]
    tag = {**ANSWER["tags"]["category"], "value": None, "alternatives": alternatives}
    silent = {"outcome": "abstained", "reason": reason, "tags": {"category": tag}}

    moved = carried(silent, "category", {label: label for label in MERGED} | to, frozenset(), False, "v1")

    assert moved is not None
    assert moved["reason"] == told


LEAVES = [f"Group {n // 20} > Leaf {n:03}" for n in range(200)]
SPLIT = (LEAVES[17], LEAVES[100])


class Counting(ScriptedEngine):
    """Answers with the candidate that has the number and the size of the record, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(_say)
        self.asked = 0

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked += len(requests)
        return super().complete(requests)


def _say(prompt: Prompt) -> Mapping[str, float]:
    record, _, listed = prompt.record.partition("candidates: ")
    choices = listed.split(" | ")
    words = record.split()
    scores = [sum(word in words for word in choice.split()) for choice in choices]
    best = scores.index(max(scores))
    return {choice: 0.98 if i == best else 0.02 / (len(choices) - 1) for i, choice in enumerate(choices)}


def _tree(folder: Path, split: bool) -> Path:
    """The tree of 200 leaves, each with five products; `split`: two of them made four."""
    rows = []
    for number, leaf in enumerate(LEAVES):
        for i in range(5):
            size = "small" if i % 2 else "large"
            label = f"{leaf} {size}" if split and leaf in SPLIT else leaf
            rows.append(Row(f"{number}-{i}", f"product of leaf {number:03} {size} no {i}", label, 0.9))
    names = dict.fromkeys(row.label for row in rows)
    write_folder(Proposal(measured([Label(name) for name in names], rows), rows), folder, "")
    return folder


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    return _tree(tmp_path / "old", split=False), _tree(tmp_path / "new", split=True)


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """2,000 products, ten of each leaf."""
    source = tmp_path / "catalogue.jsonl"
    titles = [f"product of leaf {n % 200:03} {'small' if n % 400 < 200 else 'large'} no {n}" for n in range(2000)]
    source.write_text("".join(json.dumps({"id": str(n), "title": t}) + "\n" for n, t in enumerate(titles)), "utf-8")
    return source


def _applied(trees: tuple[Path, Path], catalogue: Path, out: Path, engine: Counting) -> Carried:
    old, name, was = read_version(trees[0])
    found = changes(was, now := read_version(trees[1])[2])
    tagger = Tagger(trees[1], engine=engine)
    affected = touched(found, was, now)
    return carry(tagger, name, old, found, affected, source=catalogue, tags=out.parent / "tags", out=out)


def test_after_two_labels_of_200_are_split_only_their_rows_are_asked_again(
    trees: tuple[Path, Path], catalogue: Path, tmp_path: Path
) -> None:
    tag_file(Tagger(trees[0], engine=Counting()), catalogue, tmp_path / "tags")
    before = [json.loads(line) for line in (tmp_path / "tags" / "tags-00000.jsonl").read_text("utf-8").splitlines()]
    held = sum(line["tags"]["category"]["value"] in SPLIT for line in before)
    engine = Counting()

    done = _applied(trees, catalogue, tmp_path / "new tags", engine)

    lines = [json.loads(line) for line in (tmp_path / "new tags" / "tags-00000.jsonl").read_text("utf-8").splitlines()]
    assert 10 <= held <= 40
    assert engine.asked == done.progress.asked
    assert held <= done.progress.asked <= 1.05 * held
    assert (done.rows, done.kept, done.saved) == (2000, 2000 - held, pytest.approx(1 - held / 2000))
    for was, now in zip(before, lines, strict=True):
        old, new = was["tags"]["category"]["value"], now["tags"]["category"]["value"]
        assert new.startswith(old) if old in SPLIT else new == old
        assert (KEPT_FROM in now) == (old not in SPLIT)
    again = Counting()
    assert _applied(trees, catalogue, tmp_path / "new tags", again).progress.finished
    assert again.asked == 0


@pytest.mark.parametrize("calibrated", [False, True])
def test_probabilities_of_two_kinds_are_owned_up_to(
    calibrated: bool, trees: tuple[Path, Path], catalogue: Path, tmp_path: Path
) -> None:
    if calibrated:
        task = load_task(trees[0])
        fitted = Calibration(
            task_version=task.version, plan=task.plan.id, model="none", rows=20, rows_id="r", pool="",
            fields={"category": Fit(closed=ClosedFit(model=0.9))},
        )  # fmt: skip
        save_calibration(calibration_file(trees[0], "none"), fitted)
    tag_file(Tagger(trees[0], engine=Counting()), catalogue, tmp_path / "tags")

    assert _applied(trees, catalogue, tmp_path / "new tags", Counting()).mixed == calibrated


def test_tags_of_another_version_are_refused(trees: tuple[Path, Path], catalogue: Path, tmp_path: Path) -> None:
    tag_file(Tagger(trees[1], engine=Counting()), catalogue, tmp_path / "tags", limit=5)

    with pytest.raises(SourceError, match="the tags are of version"):
        _applied(trees, catalogue, tmp_path / "new tags", Counting())


def test_the_commands_say_what_has_changed_and_what_was_saved(
    trees: tuple[Path, Path], catalogue: Path, tmp_path: Path
) -> None:
    run, (old, new), tags = CliRunner(), map(str, trees), tmp_path / "tags"
    tag_file(Tagger(old, engine=ScriptedEngine()), catalogue, tags)

    plain = run.invoke(app, ["taxonomy", "diff", old, new])
    as_json = run.invoke(app, ["taxonomy", "diff", old, new, "--json"])
    command = ["--source", str(catalogue), "--tags", str(tags), "--out", str(tmp_path / "out"), "--engine", "scripted"]
    applied = run.invoke(app, ["taxonomy", "apply", old, new, *command])

    assert plain.output.count("split: ") == 2
    assert [change["kind"] for change in json.loads(as_json.output)["changes"]] == ["split", "split"]
    assert "  - 3 of 'Group 0 > Leaf 017' now under 'Group 0 > Leaf 017 large': product of leaf 017" in plain.output
    assert applied.exit_code == 0, applied.output
    assert "rows keep their tag" in applied.output


def test_ids_are_read_as_the_old_run_read_them(trees: tuple[Path, Path], tmp_path: Path) -> None:
    """Else the new tags could not be joined to the catalogue, and nobody would notice."""
    run, (old, new), source = CliRunner(), map(str, trees), tmp_path / "catalogue.csv"
    source.write_text("sku,name\nA1,product of leaf 001 small no 1\nA2,product of leaf 100 large no 2\n", "utf-8")
    common = ["--engine", "scripted"]
    first = [
        "tag",
        str(source),
        "--task",
        old,
        "--out",
        str(tmp_path / "tags"),
        "--map",
        "id=sku",
        "--map",
        "title=name",
    ]
    assert run.invoke(app, [*first, *common]).exit_code == 0

    command = ["--source", str(source), "--tags", str(tmp_path / "tags"), "--out", str(tmp_path / "out")]
    applied = run.invoke(app, ["taxonomy", "apply", old, new, *command, *common])

    assert applied.exit_code == 0, applied.output
    lines = (tmp_path / "out" / "tags-00000.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["A1", "A2"]
