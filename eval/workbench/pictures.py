"""What a row calls its picture in, the picture or a small copy to look at out; pictures that are brought in, files out.

A record of the workbench has its pictures by name, among its texts: that is short, the same for the same picture, and
costs nothing until one is asked about or looked at. Names lead from the task's folder to below it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from threading import Lock, get_ident

from tagger.errors import SourceError
from tagger.picture import MOST_BYTES, Picture, may_be_picture, read_picture
from tagger.record import Column, Record, Rejected, read_record

PICTURES = "pictures"
"""Where a task's folder keeps the pictures that were brought, each once and called by what it shows."""
SIDE = 480
"""Pixels of the longer side of a copy to look at: twice as many as it takes up on most screens."""
_LONGEST = MOST_BYTES * 4 // 3 + 100
"""Characters of a picture that stands in the row itself, as a data URL."""
_TURN = Lock()
"""One picture is unpacked at a time, however many people look: a large one takes 240 MB."""


def named(columns: Mapping[str, Column]) -> dict[str, Column]:
    """The columns of a task as records of the workbench have them: what a picture is called is a text. Whether it is
    one is found out when it is opened."""
    return {
        name: Column(about=column.about, names=column.names, required=column.required, max_chars=_LONGEST)
        if column.kind == "image"
        else column
        for name, column in columns.items()
    }


def apart(columns: Mapping[str, Column], record: Record) -> tuple[Record, dict[str, str]]:
    """A record with its texts alone, and what its pictures are called, by column."""
    names = [name for name, column in columns.items() if column.kind == "image"]
    texts = {name: text for name, text in record.values.items() if name not in names}
    return replace(record, values=texts), {name: text for name in names if (text := record.values.get(name))}


def worded(record: Record, columns: Mapping[str, Column]) -> Record:
    """A record as a shot shows it, with its texts alone; as it is where it has pictures and no text."""
    alone = apart(columns, record)[0]
    return alone if any(text.strip() for text in alone.values.values()) else record


def opened(record: Record | Rejected, columns: Mapping[str, Column], folder: Path | None) -> Record | Rejected:
    """The record with its pictures, as a model is asked about it; rejected for one that `read_picture` refuses."""
    wanted = {name: column for name, column in columns.items() if column.kind == "image"}
    if isinstance(record, Rejected) or not wanted or record.pictures:
        return record
    row = {name: record.values.get(name, "") for name in wanted}
    with _TURN:
        found = read_record(row, wanted, record.id, where=f"record {record.id}", folder=folder)
    if isinstance(found, Rejected):
        return replace(found, id=record.id)
    return replace(apart(columns, record)[0], pictures=found.pictures)


def glimpse(name: str, folder: Path | None) -> str:
    """A small copy of the picture that a row calls so, as a data URL; UnreadableError as `read_picture` has it."""
    with _TURN:
        picture = read_picture(name, folder)
    return small(picture)


def small(picture: Picture) -> str:
    """A small copy of a picture as a data URL: its pixels alone, and nothing else that stood in its file."""
    file = BytesIO()
    with _TURN:
        image = picture.image()
        image.thumbnail((SIDE, SIDE))
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def called(picture: Picture) -> str:
    """What a picture that was brought is called."""
    return f"{PICTURES}/{picture.digest.hex()}"


def keep(text: str, folder: Path) -> str:
    """What is to stand in a row for `text`: of a data URL of what may be a picture the name of the file that it is now
    in, else the text. Whether it is one is found out when it is opened. SourceError where it cannot be written."""
    head, _, tail = text.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        return text
    try:
        data = base64.b64decode(tail.strip(), validate=True)
    except ValueError:
        return text
    if not may_be_picture(data):
        return text
    path = folder / PICTURES / blake2b(data, digest_size=16).hexdigest()
    part = path.with_name(f"{path.name}.{os.getpid()}.{get_ident()}.part")
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(path)
    except OSError as error:
        raise SourceError(f"a picture cannot be kept: {error.strerror}", where=PICTURES) from None
    return f"{PICTURES}/{path.name}"


def kept(record: Record, columns: Mapping[str, Column], folder: Path) -> Record:
    """The record with what its pictures are called in the place of pictures that stand in it themselves."""
    names = {name: keep(text, folder) for name, text in apart(columns, record)[1].items()}
    return replace(record, values={**record.values, **names})


def carried(record: Record, columns: Mapping[str, Column], folder: Path) -> Record | Rejected:
    """The other way: the record with its pictures in it, as data URLs, to be taken elsewhere."""
    found = opened(record, columns, folder)
    if isinstance(found, Rejected):
        return found
    return replace(record, values={**record.values, **{name: one.url for name, one in found.pictures.items()}})
