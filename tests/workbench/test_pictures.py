"""Rows with pictures go through the workbench by name; a picture is opened when it is asked about or looked at."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from eval.workbench.judging import LEAST, held_against
from eval.workbench.pages.helps import in_words
from eval.workbench.pages.picture import blindness
from eval.workbench.pictures import SIDE, apart, glimpse, keep, opened
from eval.workbench.preview import preview
from eval.workbench.records import picture_notes, rows_file, rows_of
from eval.workbench.results import as_csv
from eval.workbench.reviews import Review, add
from eval.workbench.trial import Trials
from eval.workbench.uploads import bring, look
from eval.workbench.why import why
from tagger.engines.base import Completion, Request
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SourceError, TaskError
from tagger.example import Example
from tagger.picture import UnreadableError
from tagger.pipeline import Tagger
from tagger.record import Record, Rejected
from tagger.task import Task, load_task
from tests.tagger.test_picture import BLUE, RED, bomb, file_of, url
from tests.tagger.test_pictures import TASK, Blind, seeing
from tests.workbench.pictured import HTML, SVG, brought, reviewed, tried


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.struct({"bytes": pa.binary(), "path": pa.string()})]
)
def test_bytes_of_a_parquet_file_become_files_of_the_task_each_once(folder: Path, kind: Any) -> None:
    cells = [{"bytes": data, "path": "x.png"} if pa.types.is_struct(kind) else data for data in (RED, BLUE, RED)]
    table = pa.table({"sku": ["a", "b", "c"], "title": ["pot"] * 3, "photo": pa.array(cells, kind)})
    pq.write_table(table, folder.parent / "file")

    found = bring(folder.parent / "file", "goods.parquet", rows_file(folder, "goods"), pictures=folder)

    first, second, third = [row.values["photo"] for row in rows_of(folder, "goods") if isinstance(row, Record)]
    assert "pictures that stand in the file: 3" in found.notes
    assert (first == third, first != second) == (True, True)
    assert (folder / first).read_bytes() == RED
    assert len(list((folder / "pictures").iterdir())) == 2


def test_without_a_column_of_pictures_bytes_are_left_out(folder: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"title": "pot", "photo": {"bytes": RED, "path": "x"}}]), folder.parent / "f")

    found = bring(folder.parent / "f", "goods.parquet", folder.parent / "out.jsonl")

    assert "left out, as they hold bytes and no text: photo" in found.notes
    assert found.columns == ("title",)


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_data_urls_in_a_table_become_files_and_names_stay(folder: Path, form: str) -> None:
    cells = [url(RED), "lamp.png", "data:image/png;base64,no!", "https://shop.example/lamp.png"]
    rows = [{"title": f"pot {n}", "photo": cell} for n, cell in enumerate(cells)]
    lines = [json.dumps(row) for row in rows]
    text = {
        "csv": "title,photo\n" + "".join(f'{row["title"]},"{row["photo"]}"\n' for row in rows),
        "jsonl": "\n".join(lines),
        "json": f"[{','.join(lines)}]",
    }[form]
    (folder.parent / "file").write_text(text, "utf-8")

    bring(folder.parent / "file", f"goods.{form}", rows_file(folder, "goods"), pictures=folder)

    named = [row.values["photo"] for row in rows_of(folder, "goods") if isinstance(row, Record)]
    assert (folder / named[0]).read_bytes() == RED
    assert named[1:] == cells[1:]
    addresses, names = picture_notes(folder, "goods")
    assert addresses == "pictures that are addresses: 1; none is fetched, so these rows will be rejected"
    assert names.startswith("pictures that are names of files: 1; they are looked for in the task's folder")


def test_the_first_look_knows_the_pictures_and_holds_none_of_them(folder: Path) -> None:
    big = file_of(size=(400, 400))
    rows = f'x,a green pot,"{url(big)}"\ny,a red pot,"{url(big)}"\n'
    (folder.parent / "file").write_text(f"category,title,photo\n{rows}", "utf-8")

    found = look(folder.parent / "file", "goods.csv", pictures=True)

    assert (found.text_column, found.label_column, found.picture_column) == ("title", "category", "photo")
    assert [row["photo"] for row in found.rows] == ["(picture)"] * 2
    (folder.parent / "file").write_text("name,kind,file\na pot,x,a/pot.jpg\na cup,y,a/cup.JPG\n", "utf-8")
    assert look(folder.parent / "file", "goods.csv").picture_column == "file"
    (folder.parent / "file").write_text("name,kind\na pot,x\na cup,y\n", "utf-8")
    assert look(folder.parent / "file", "goods.csv").picture_column is None


def test_what_is_looked_at_is_small_and_made_anew(folder: Path) -> None:
    exif, file = Image.Exif(), BytesIO()
    exif[0x010E] = "taken at home"
    Image.new("RGB", (4000, 1000), "red").save(file, "JPEG", exif=exif)
    name = keep(f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}", folder)

    made = base64.b64decode(glimpse(name, folder).removeprefix("data:image/jpeg;base64,"))

    with Image.open(BytesIO(made)) as shown:
        assert (shown.size, shown.format, len(shown.getexif())) == ((SIDE, SIDE // 4), "JPEG", 0)
    assert b"taken at home" in file.getvalue()
    assert b"taken at home" not in made


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("page.png", "not a picture of a kind that is read"),
        ("drawn.svg", "not a picture of a kind that is read"),
        ("bomb.png", "pixels"),
        ("cut.png", "the picture is broken"),
        ("../secret.png", "lies outside the folder"),
        ("link.png", "lies outside the folder"),
        ("/etc/passwd", "lies outside the folder"),
        ("task.toml", "not a picture of a kind that is read"),
        ("gone.png", "no picture 'gone.png'"),
        ("pictures", "no picture 'pictures'"),
        ("https://shop.example/lamp.png", "no picture 'https://shop.example/lamp.png'"),
        ("file:///etc/passwd", "no picture"),
        ("\0.png", "cannot be opened"),
        ("data:image/svg+xml;base64," + base64.b64encode(SVG).decode(), "not a picture of a kind that is read"),
        ("data:text/html,<script>alert(1)</script>", "a data URL that is not"),
    ],
)
def test_what_is_no_picture_or_lies_elsewhere_is_not_shown_and_not_asked_about(
    folder: Path, name: str, reason: str
) -> None:
    (folder.parent / "secret.png").write_bytes(RED)
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    for file, data in {"page.png": HTML, "drawn.svg": SVG, "bomb.png": bomb(), "cut.png": RED[:50]}.items():
        (folder / file).write_bytes(data)
    (folder / "pictures").mkdir()
    record = Record("7", {"title": "a pot", "photo": name})

    with pytest.raises(UnreadableError, match=reason):
        glimpse(name, folder)
    found = opened(record, load_task(folder).columns, folder)
    assert isinstance(found, Rejected)
    assert (found.id, found.where) == ("7", "record 7, column 'photo'")
    assert reason in found.reason


def test_rows_are_read_without_opening_their_pictures(folder: Path) -> None:
    records = brought(folder)
    for file in (folder / "pictures").iterdir():
        file.unlink()

    again = [row for row in rows_of(folder, "goods") if isinstance(row, Record)]

    assert again == records
    assert len(records) == 4
    texts, pictures = apart(load_task(folder).columns, records[0])
    assert (texts.values, set(pictures)) == ({"title": "a pot"}, {"photo"})


def test_a_trial_shows_the_model_the_pictures_and_rejects_what_is_none(folder: Path) -> None:
    records, engine = brought(folder), seeing()

    trial = tried(folder, records, engine)

    assert [t.outcome for t in trial.taggings] == ["tagged", "tagged", "tagged", "rejected"]
    assert [t.value("colour") for t in trial.taggings[:3]] == ["red", "blue", "red"]
    assert "record p4, column 'photo': not a picture" in (trial.taggings[3].reason or "")
    task = load_task(folder)
    table = as_csv(task, {record.id: record for record in records}, trial.taggings)
    assert records[0].values["photo"] in table.splitlines()[1]


def test_pictures_that_somebody_put_into_the_folder_of_the_task_are_found(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos" / "pot.png").write_bytes(BLUE)

    trial = tried(folder, brought(folder, [{"title": "a pot", "photo": "photos/pot.png"}]), seeing())

    assert trial.taggings[0].value("colour") == "blue"


def test_two_states_of_a_task_are_compared_on_rows_with_pictures(folder: Path) -> None:
    rows = [{"sku": f"p{n}", "title": f"pot {n}", "photo": (RED, BLUE)[n % 2]} for n in range(LEAST)]
    records = brought(folder, rows)
    judged, engine = reviewed(folder, records), seeing()
    said = [tried(folder, records, engine).taggings for _ in range(2)]

    found = held_against(folder, "ann", ("live", "live"), engine, judged, (said[0], said[1]))

    assert (found.figure.rows, found.gained, found.lost) == (LEAST, (), ())


def test_rows_with_pictures_are_offered_as_examples_no_more_than_they_are_shown(folder: Path) -> None:
    (folder / "task.toml").write_text(TASK.replace('kind = "image"', 'kind = "image"\nrequired = false'), "utf-8")
    task, record = load_task(folder), brought(folder)[0]
    plain = Example(Record("2", {"title": "a red pot", "photo": ""}), {"colour": "red"})

    assert in_words(task, [Example(record, {"colour": "red"}), plain]) == [plain]
    with pytest.raises(SourceError, match="rows with pictures are not shown to the model as examples"):
        in_words(task, [Example(record, {"colour": "red"})])


def test_a_row_that_names_no_picture_says_so(folder: Path) -> None:
    rows_file(folder, "goods").parent.mkdir()
    rows_file(folder, "goods").write_text('{"id": "1", "title": "a pot", "photo": ""}\n', "utf-8")

    assert rows_of(folder, "goods") == [Rejected("1", "the text is empty", "row 1, column 'photo'")]
    rows_file(folder, "goods").write_text('{"id": "1", "title": "a pot"}\n', "utf-8")
    with pytest.raises(SourceError, match="no column 'photo'"):
        rows_of(folder, "goods")
    record, task = Record("1", {"title": "a pot"}), load_task(folder)
    assert opened(record, task.columns, folder) == Rejected("1", "the picture is empty", "record 1, column 'photo'")
    with pytest.raises(TaskError, match="not a record of this task"):
        add(folder, task, Review("ann", record, {"colour": "red"}))


def test_a_model_that_sees_nothing_is_said_once_asked(folder: Path) -> None:
    engine = Counting()
    trials = Trials(lambda: engine)

    assert [trials.blind(), trials.blind()] == ["the model sees no pictures"] * 2
    assert engine.asked == 1
    assert Trials(ScriptedEngine).blind() == ""
    told = blindness("small", load_task(folder), trials.blind())
    assert told.startswith("This task shows pictures (photo), and the model small cannot look at them")
    trial = tried(folder, brought(folder), Blind())
    assert (trial.state, "the model sees no pictures" in trial.reason) == ("failed", True)


class Counting(Blind):
    """Sees nothing, and counts how often it is asked."""

    asked = 0

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked += 1
        return super().complete(requests)


def test_the_preview_has_the_picture_where_the_model_sees_it(folder: Path) -> None:
    task = load_task(folder)
    record = opened(brought(folder)[0], task.columns, folder)
    assert isinstance(record, Record)

    (shown, *_) = preview(task, record, (), None)

    assert shown.turns[-1].text == "title: a pot\nphoto: (picture 1)"
    assert [picture.data for picture in shown.turns[-1].pictures] == [RED]
    assert not any(turn.pictures for turn in shown.turns[:-1])


def test_why_is_asked_with_the_picture(folder: Path) -> None:
    task = load_task(folder)
    record = opened(brought(folder)[0], task.columns, folder)
    assert isinstance(record, Record)

    found = why(Tagger(task, engine=seeing()), record, "colour")

    assert found is not None
    assert (found.value, [word.text for word in found.words]) == ("red", ["a", "pot"])


def test_bytes_that_are_no_picture_are_left_out_with_a_note(folder: Path) -> None:
    rows = [{"sku": f"p{n}", "title": "pot", "vector": bytes(64), "photo": None if n < 20 else RED} for n in range(25)]
    path = folder.parent / "goods.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)

    found = bring(path, path.name, rows_file(folder, "goods"), pictures=folder)

    assert found.columns == ("sku", "title", "photo")
    assert any("no picture: vector" in note for note in found.notes)
    assert len(list((folder / "pictures").iterdir())) == 1


def test_a_task_of_texts_keeps_what_looks_like_a_picture(tmp_path: Path) -> None:
    task = Task.define("plain", load_task("category").definition)
    record = Record("1", {"title": url(RED)})

    assert opened(record, task.columns, tmp_path) is record
    assert apart(task.columns, record) == (record, {})
