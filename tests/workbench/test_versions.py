"""A version is never changed, and nothing that was live is ever lost, whoever else works on the task."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from eval.workbench.files import read_lines
from eval.workbench.shop import Shop
from eval.workbench.texts import own_files
from eval.workbench.versions import Change, Line, diff, files_of, keep, live, promote, versions
from tagger.errors import SettingsError, SourceError
from tagger.fitted import calibration_of
from tagger.task import load_task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Shop(tmp_path / "shop").copy_shipped("category")


def changed(folder: Path, about: str) -> dict[str, str]:
    files = own_files(folder)
    return {**files, "labels.tsv": files["labels.tsv"].replace("tea bags, loose leaf", about)}


def without(files: dict[str, str], name: str) -> dict[str, str]:
    return {file: text for file, text in files.items() if file != name}


def test_a_version_is_the_files_and_who_kept_them_and_why(folder: Path) -> None:
    task, files = load_task(folder), changed(folder, "any tea")

    first = keep(folder, own_files(folder), " the shipped one\n", "anna", 0)
    second = keep(folder, files, "tea is wider", "ben", 1)

    assert versions(folder) == [first, second]
    assert (first.number, first.message, first.author, first.base) == (1, "the shipped one", "anna", 0)
    assert (first.task_version, first.plan) == (task.version, task.plan.id)
    assert (second.number, second.base) == (2, 1)
    assert second.task_version != first.task_version
    assert files_of(folder, 2) == files
    assert live(folder) == 1


@pytest.mark.parametrize(
    ("file", "text", "message", "error"),
    [
        ("prompt.jinja", "{% block", "a change", r"prompt.jinja:1: template syntax"),
        ("examples.jsonl", "x\ny", "a change", r"examples.jsonl:1: not a line of JSON.*\(and 1 more\)"),
        ("more.tsv", "", "  ", "a version needs a few words"),
        ("../x.tsv", "", "a change", "is no name for a file of a task"),
        ("plan.toml", None, "again", r"version 1 \(first\) has the same files"),
    ],
)
def test_what_is_wrong_unsaid_or_there_already_is_not_kept(
    folder: Path, file: str, text: str | None, message: str, error: str
) -> None:
    keep(folder, own_files(folder), "first", "anna", 0)
    files = own_files(folder) if text is None else {**own_files(folder), file: text}

    with pytest.raises(SettingsError, match=error):
        keep(folder, files, message, "anna", 1)

    assert len(versions(folder)) == 1


def test_a_version_that_somebody_changed_is_not_taken_for_it(folder: Path) -> None:
    keep(folder, own_files(folder), "first", "anna", 0)
    keep(folder, changed(folder, "any tea"), "second", "anna", 1)
    (folder / "versions" / "0002" / "more.txt").write_text("x", "utf-8")

    with pytest.raises(SourceError, match="somebody has changed the files of version 2"):
        files_of(folder, 2)
    with pytest.raises(SourceError, match="somebody has changed the files of version 2"):
        promote(folder, 2, "anna", 1)
    with pytest.raises(SettingsError, match=r"there is no version 7\n.*there are 1 to 2"):
        files_of(folder, 7)
    (folder / "versions" / "0001" / "version.toml").write_text("number = 1", "utf-8")
    with pytest.raises(SourceError, match=r"version.toml: message: Field required"):
        versions(folder)


def test_a_crash_half_way_leaves_no_version_and_the_next_has_its_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            keep(folder, own_files(folder), "first", "anna", 0)
    assert versions(folder) == []
    (folder / "versions" / ".part" / "labels.tsv.of-another-process.part").write_text("half", "utf-8")

    files = without(own_files(folder), "plan.toml")
    keep(folder, files, "second try", "anna", 0)
    assert files_of(folder, 1) == files
    assert {path.name for path in (folder / "versions" / "0001").iterdir()} == {*files, "version.toml"}


def test_people_who_keep_at_once_get_numbers_of_their_own(folder: Path) -> None:
    drafts = [changed(folder, f"tea {n}") for n in range(6)]
    threads = [threading.Thread(target=keep, args=(folder, files, "at once", "anna", 0)) for files in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [version.number for version in versions(folder)] == [1, 2, 3, 4, 5, 6]
    assert sorted(files_of(folder, n)["labels.tsv"] for n in range(1, 7)) == sorted(d["labels.tsv"] for d in drafts)


def test_a_promotion_replaces_the_tasks_own_files_and_nothing_else(folder: Path) -> None:
    (folder / "calibration").mkdir()
    (folder / "calibration" / "model.json").write_text("{}", "utf-8")
    (folder / "reviews.jsonl").write_text("{}\n", "utf-8")
    keep(folder, own_files(folder), "first", "anna", 0)
    files = without(changed(folder, "any tea"), "plan.toml")
    keep(folder, files, "second", "anna", 1)

    promote(folder, 2, "ben", 1)

    assert own_files(folder) == files
    assert live(folder) == 2
    assert (folder / "calibration" / "model.json").read_text("utf-8") == "{}"
    assert (folder / "reviews.jsonl").is_file()
    (line,) = read_lines(folder / "versions" / "promotions.jsonl")
    assert (line["author"], line["version"], line["before"]) == ("ben", 2, 1)


def test_a_calibration_goes_and_comes_with_its_version(tmp_path: Path) -> None:
    folder = Shop(tmp_path).copy_shipped("zh_review")
    (fitted,) = (folder / "calibration").iterdir()
    before = fitted.read_text("utf-8")
    keep(folder, own_files(folder), "as shipped", "anna", 0)
    keep(folder, without(own_files(folder), "plan.toml"), "another way of asking", "anna", 1)

    promote(folder, 2, "ben", 1)
    gone = calibration_of(load_task(folder), fitted.stem, None, "")
    promote(folder, 1, "ben", 2)

    assert gone is None
    assert fitted.read_text("utf-8") == before
    assert calibration_of(load_task(folder), fitted.stem, None, "") is not None


def test_a_promotion_that_is_broken_off_leaves_a_task_that_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Shop(tmp_path).copy_shipped("zh_review")
    (fitted,) = (folder / "calibration").iterdir()
    keep(folder, own_files(folder), "as shipped", "anna", 0)
    keep(folder, without(own_files(folder), "plan.toml"), "another way of asking", "anna", 1)
    promote(folder, 2, "ben", 1)
    with monkeypatch.context() as broken:
        broken.setattr("eval.workbench.versions.bring_back", Mock(side_effect=[None, OSError("the disk is full")]))
        with pytest.raises(OSError, match="full"):
            promote(folder, 1, "ben", 2)

    assert live(folder) == 1
    assert calibration_of(load_task(folder), fitted.stem, None, "") is None
    with pytest.raises(SettingsError, match="live already"):
        promote(folder, 1, "ben", 1)
    assert calibration_of(load_task(folder), fitted.stem, None, "") is not None


def test_a_task_that_was_never_kept_can_be_gone_back_to(folder: Path) -> None:
    keep(folder, changed(folder, "any tea"), "wider", "anna", 0)
    before = own_files(folder)

    promote(folder, 1, "ben", 0)

    assert [(version.number, version.message) for version in versions(folder)] == [(1, "wider"), (2, "as it was")]
    promote(folder, 2, "ben", 1)
    assert own_files(folder) == before


def test_live_files_that_are_wrong_are_kept_too_but_never_made_live_again(folder: Path) -> None:
    keep(folder, own_files(folder), "first", "anna", 0)
    (folder / "prompt.jinja").write_text("{% broken", "utf-8")

    promote(folder, 1, "ben", 0)

    assert (versions(folder)[1].message, versions(folder)[1].task_version) == ("as it was", "")
    assert files_of(folder, 2)["prompt.jinja"] == "{% broken"
    with pytest.raises(SettingsError, match=r"prompt.jinja:1: template syntax"):
        promote(folder, 2, "ben", 1)
    assert live(folder) == 1


def test_two_people_never_overwrite_each_other_silently(folder: Path) -> None:
    keep(folder, own_files(folder), "first", "anna", 0)
    keep(folder, changed(folder, "tea of anna"), "second", "anna", 1)
    keep(folder, changed(folder, "tea of ben"), "third", "ben", 1)
    promote(folder, 2, "anna", 1)

    with pytest.raises(SourceError, match="meanwhile anna has made version 2 live"):
        promote(folder, 3, "ben", 1)
    with pytest.raises(SettingsError, match="version 2 is live already"):
        promote(folder, 2, "ben", 2)
    (folder / "plan.toml").unlink()
    with pytest.raises(SourceError, match="the live files were meanwhile changed by hand"):
        promote(folder, 3, "ben", 2)

    assert len(read_lines(folder / "versions" / "promotions.jsonl")) == 1


def example(title: str, label: str) -> str:
    return json.dumps({"record": {"title": title}, "answer": {"category": label}}) + "\n"


def test_labels_and_examples_are_compared_by_what_they_say() -> None:
    before = {
        "labels.tsv": "Tea\tleaves\nLure\nRod\tlong\n",
        "examples.jsonl": example("a", "Tea") + example("b", "Rod"),
    }
    after = {"labels.tsv": "Tea\tany tea\nRod\tlong\nCap\that\n", "examples.jsonl": example("b", "Lure") + "no JSON\n"}

    assert diff(before, after) == [
        Change(
            "examples.jsonl",
            "changed",
            (
                Line("removed", 'title: "a" → category: "Tea"'),
                Line("changed", 'title: "b" → category: "Lure"', 'title: "b" → category: "Rod"'),
                Line("added", "no JSON"),
            ),
        ),
        Change(
            "labels.tsv",
            "changed",
            (
                Line("changed", "Tea: any tea", "Tea: leaves"),
                Line("removed", "Lure"),
                Line("added", "Cap: hat"),
            ),
        ),
    ]


def test_a_difference_that_is_none_of_content_is_said_too() -> None:
    two, one = example("a", "Tea") + example("b", "Rod"), example("a", "Tea")

    def notes(file: str, before: str, after: str) -> list[tuple[str, str]]:
        return [(line.kind, line.text) for change in diff({file: before}, {file: after}) for line in change.lines]

    assert notes("examples.jsonl", two, "".join(reversed(two.splitlines(True)))) == [
        ("note", "the lines stand in another order")
    ]
    assert notes("labels.tsv", "Tea\n", "Tea\t\n") == [("note", "the same content, written otherwise")]
    assert notes("task.toml", "a = 1\n", "a = 1") == [("note", "the same content, written otherwise")]
    assert notes("examples.jsonl", one, one + one) == [("added", 'title: "a" → category: "Tea"')]
    assert diff({"task.toml": "a"}, {"task.toml": "a"}) == []


def test_other_files_are_compared_line_by_line() -> None:
    lines = [f"line {n}" for n in range(1, 10)]
    before = {"prompt.jinja": "\n".join(lines), "plan.toml": "a = 1\n"}
    after = {"prompt.jinja": "\n".join([*lines[:7], "line eight", *lines[8:]]), "note.txt": "--- new\n"}

    assert diff(before, after) == [
        Change("note.txt", "added", (Line("added", "--- new"),)),
        Change("plan.toml", "removed", (Line("removed", "a = 1"),)),
        Change(
            "prompt.jinja",
            "changed",
            (
                Line("note", "from line 5"),
                *(Line("same", text) for text in lines[4:7]),
                Line("removed", "line 8"),
                Line("added", "line eight"),
                Line("same", "line 9"),
            ),
        ),
    ]
