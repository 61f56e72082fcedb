"""A proposal becomes a task folder, a person decides in its tables, and what they decided is carried out."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tagger.cli import app
from tagger.errors import SourceError
from tagger.pipeline import Tagger
from tagger.task import load_task
from tagger.taxonomy.decisions import decided, read_decisions
from tagger.taxonomy.folder import LABELS, ROWS, read_folder, write_folder
from tagger.taxonomy.measures import measured
from tagger.taxonomy.proposal import Label, Proposal, Row
from tagger.taxonomy.review import as_markdown, concerns
from tagger.taxonomy.trees import read_tree

NAMES = ["Drinks > Tea", "Drinks > Coffee", "Drinks > Green tea", "Tools > Hammer"]


def proposal() -> Proposal:
    """Tea and green tea stand near to each other; one row fits none, and there is one hammer."""
    rows = [Row(f"t{i}", f"Black tea {i}", NAMES[0], 0.8, NAMES[2], 0.02) for i in range(4)]
    rows += [Row(f"g{i}", f"Green tea {i}", NAMES[2], 0.8, NAMES[0], 0.3) for i in range(4)]
    rows += [Row(f"c{i}", f"Coffee | {i}", NAMES[1], 0.2, NAMES[0], 0.1) for i in range(4)]
    rows += [Row("h", "Claw hammer", NAMES[3], 0.9, NAMES[0], 0.9), Row("x", "=1+1", "", 0.0, NAMES[3], 0.0)]
    return Proposal(measured([Label(name, includes=name.lower()) for name in NAMES], rows), rows, {"seed": 0})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = proposal()
    write_folder(found, tmp_path / "tree", as_markdown(found))
    return tmp_path / "tree"


@pytest.fixture
def edit(folder: Path) -> Callable[..., None]:
    """Write into a cell of one of the tables: file, column, what the first column says -> text."""

    def change(file: str, column: str, cells: dict[str, str]) -> None:
        with (folder / file).open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            names, rows = list(table.fieldnames or ()), list(table)
        for row in rows:
            row[column] = cells.get(row[names[0]], row[column])
        with (folder / file).open("w", encoding="utf-8-sig", newline="") as lines:
            again = csv.DictWriter(lines, names)
            again.writeheader()
            again.writerows(rows)

    return change


def test_the_folder_is_a_task_that_passes_the_check(folder: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(folder)])

    task = load_task(folder)
    assert done.exit_code == 0, done.output
    assert list(task.fields["category"].closed or ()) == NAMES
    assert {example.answer["category"] for example in task.examples} == set(NAMES)
    assert Tagger(task, engine="scripted").tag({"title": "Sencha"}).outcome == "tagged"


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    found, again = proposal(), read_folder(folder)

    assert again.rows == found.rows
    assert [label.name for label in again.labels] == NAMES
    assert again.coverage == pytest.approx(13 / 14)


def test_a_folder_with_a_task_in_it_is_left_alone(folder: Path) -> None:
    with pytest.raises(SourceError, match="a task lies there already"):
        write_folder(proposal(), folder, "")


def test_small_incoherent_and_overlapping_labels_and_rows_that_fit_none_are_pointed_at() -> None:
    found = {(one.label, one.kind): one for one in concerns(proposal())}

    assert set(found) == {
        ("Drinks > Tea", "overlapping"),
        ("Drinks > Coffee", "incoherent"),
        ("Tools > Hammer", "small"),
        ("", "none"),
    }
    assert "Drinks > Green tea" in found["Drinks > Tea", "overlapping"].told
    assert [row.id for row in found["", "none"].rows] == ["x"]


def test_decisions_are_carried_out(folder: Path, edit: Callable[..., None]) -> None:
    do = {"Drinks > Green tea": "merge", "Drinks > Tea": "rename", "Tools > Hammer": "drop", "Drinks > Coffee": "move"}
    edit(LABELS, "do", do)
    edit(LABELS, "to", {"Drinks > Green tea": "Drinks > Tea", "Drinks > Tea": "Teas", "Drinks > Coffee": "Food > Hot"})
    edit(ROWS, "label", {"c0": "Drinks > Green tea"})

    found = decided(read_folder(folder), read_decisions(folder))

    assert {label.name: label.rows for label in found.labels} == {"Drinks > Teas": 9, "Food > Hot > Coffee": 3}
    assert {row.label for row in found.rows if row.id in ("h", "x")} == {""}
    assert found.labels[0].ambiguity < 0.25  # what stood between tea and green tea stands between no two any more
    assert found.labels[0].includes == "drinks > tea, drinks > green tea"


@pytest.mark.parametrize(
    ("do", "to", "told"),
    [
        ("burn", "x", "no decision 'burn'"),
        ("rename", "", "needs a `to`"),
        ("drop", "x", "takes no `to`"),
        ("", "x", "`do` says nothing"),
    ],
)
def test_what_is_no_decision_is_named_with_its_line(
    folder: Path, edit: Callable[..., None], do: str, to: str, told: str
) -> None:
    edit(LABELS, "do", {"Drinks > Tea": do})
    edit(LABELS, "to", {"Drinks > Tea": to})

    with pytest.raises(SourceError, match=told) as error:
        read_decisions(folder)
    assert error.value.where == f"{folder / LABELS}:2"


@pytest.mark.parametrize(
    ("do", "to", "told"),
    [
        ({"Drinks > Tea": "merge"}, {"Drinks > Tea": "Wine"}, "no label of the table"),
        (
            {"Drinks > Tea": "merge", "Drinks > Coffee": "merge"},
            {"Drinks > Tea": "Drinks > Coffee", "Drinks > Coffee": "Drinks > Tea"},
            "in a circle",
        ),
        ({"Drinks > Tea": "rename"}, {"Drinks > Tea": "coffee"}, "would both be called"),
        ({"Drinks > Tea": "rename"}, {"Drinks > Tea": "Tools > Hammer > Small"}, "a node above others"),
    ],
)
def test_decisions_that_cannot_be_carried_out_are_refused(
    folder: Path, edit: Callable[..., None], do: dict[str, str], to: dict[str, str], told: str
) -> None:
    edit(LABELS, "do", do)
    edit(LABELS, "to", to)

    with pytest.raises(SourceError, match=told):
        decided(read_folder(folder), read_decisions(folder))


def test_rows_that_a_person_moved_are_told_by_a_diff_of_the_tree_and_the_decided_one(
    folder: Path, edit: Callable[..., None], tmp_path: Path
) -> None:
    edit(ROWS, "label", {"t0": NAMES[1], "c0": "", "x": NAMES[3]})
    run, new = CliRunner(), str(tmp_path / "new")

    reviewed = run.invoke(app, ["taxonomy", "review", str(folder), "--out", new])
    told = run.invoke(app, ["taxonomy", "diff", str(folder), new])

    assert "3 rows moved" in reviewed.output
    assert told.output.splitlines()[-2:] == [
        "moved: 1 of 'Drinks > Coffee' now under no label: Coffee | 0",
        "moved: 1 of no label now under 'Tools > Hammer': =1+1",
    ]
    assert "  - 1 of 'Drinks > Tea' now under 'Drinks > Coffee': Black tea 0" in told.output


def test_a_row_with_an_unknown_label_is_named_with_its_line(folder: Path, edit: Callable[..., None]) -> None:
    edit(ROWS, "label", {"t1": "Wine"})

    with pytest.raises(SourceError, match="no label 'Wine'") as error:
        read_folder(folder)
    assert error.value.where == f"{folder / ROWS}:3"


def test_googles_format_becomes_a_task(tmp_path: Path) -> None:
    tree = tmp_path / "taxonomy-with-ids.en-US.txt"
    lines = ["# Google_Product_Taxonomy_Version: 2021-09-21", "1 - Animals", "3 - Animals > Birds", "8 - Arts", ""]
    tree.write_text("\n".join(lines), "utf-8")

    done = CliRunner().invoke(app, ["taxonomy", "import", str(tree), "--out", str(tmp_path / "task")])

    assert done.exit_code == 0, done.output
    assert list(load_task(tmp_path / "task").fields["category"].closed or ()) == ["Animals > Birds", "Arts"]


@pytest.mark.parametrize(
    "text",
    ["path\nFood>Tea\nFood > Coffee\nFood\n", "id,top,leaf\n1,Food,Tea\n2,Food,Coffee\n3,Food,\n"],
    ids=["path", "levels"],
)
def test_paths_in_a_csv_become_labels(tmp_path: Path, text: str) -> None:
    (tmp_path / "tree.csv").write_text(text, "utf-8")

    assert [label.name for label in read_tree(tmp_path / "tree.csv").labels] == ["Food > Tea", "Food > Coffee"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("tree.txt", "Food > > Tea\n", "a level without a name"),
        ("tree.txt", "Food > Tea\nfood > tea\n", "stands already on line 1"),
        ("tree.txt", "# nothing\n", "no path"),
        ("tree.xls", "x", "not read as a tree"),
    ],
)
def test_what_is_wrong_with_a_tree_is_said(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")

    with pytest.raises(SourceError, match=told):
        read_tree(tmp_path / name)
