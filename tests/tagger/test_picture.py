"""What is read as a picture, and what is refused and why."""

from __future__ import annotations

import base64
import zlib
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from tagger.picture import MOST_BYTES, UnreadableError, read_picture
from tagger.record import Column, Record, Rejected, read_record

COLUMNS = {"title": Column(required=False), "photo": Column(kind="image")}


def file_of(colour: Any = "red", form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (20, 10)) -> bytes:
    file = BytesIO()
    Image.new(mode, size, colour).save(file, form)
    return file.getvalue()


RED, BLUE = file_of("red"), file_of("blue")


def url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_each_format_is_read_as_bytes_base64_and_a_data_url(form: str) -> None:
    data = file_of(form=form)

    for value in (data, base64.b64encode(data).decode(), url(data)):
        found = read_picture(value, None)
        assert (found.data, found.media, found.width, found.height) == (data, f"image/{form.lower()}", 20, 10)
        assert found.image().size == (20, 10)


def test_pictures_of_all_kinds_become_rgb_on_white_and_upright() -> None:
    clear = read_picture(file_of((255, 0, 0, 0), mode="RGBA"), None)
    assert clear.image().getpixel((0, 0)) == (255, 255, 255)
    for mode in ("L", "1", "P", "CMYK", "I;16", "LA"):
        data = file_of(form="JPEG" if mode == "CMYK" else "PNG", mode=mode, colour=0)
        assert read_picture(data, None).image().mode == "RGB", mode
    file, turned = BytesIO(), Image.Exif()
    turned[0x0112] = 6  # the camera was held on its side
    Image.new("RGB", (20, 10)).save(file, "JPEG", exif=turned)
    assert read_picture(file.getvalue(), None).image().size == (10, 20)


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 pixels in a few hundred bytes; its data would be cut, if anybody came so far."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = (30_000).to_bytes(4, "big")
    head = chunk(b"IHDR", size + size + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (RED[:50], "the picture is broken"),
        (b"", "not a picture of a kind that is read: PNG, JPEG, WEBP"),
        (file_of(form="GIF"), "not a picture of a kind that is read"),
        (b"%PDF-1.7", "not a picture of a kind that is read"),
        (bomb(), "pixels"),
        (file_of(size=(7000, 6000), mode="1", colour=0), "a picture of 7000 x 6000 pixels; at most 40,000,000"),
        (file_of(size=(4, 4)), "at least 8 pixels a side"),
        (file_of(size=(2000, 8)), "no side 100 times the other"),
        (b"x" * (MOST_BYTES + 1), "at most 5,242,880 are read"),
        ("A" * 8_000_000, "at most 5,242,880 are read"),
        ("photos/red.png", "expected a picture as base64 or as a data URL; paths are read in files alone"),
        ("data:image/png,abc", "a data URL that is not data:image/...;base64,..."),
        (12, "expected a picture, found int"),
        ({"bytes": RED}, "expected a picture, found dict"),
    ],
)
def test_what_is_no_picture_rejects_the_record_with_the_reason(value: Any, reason: str) -> None:
    found = read_record({"id": "7", "photo": value}, COLUMNS, "1")

    assert isinstance(found, Rejected)
    assert reason in found.reason
    assert (found.id, found.where) == ("7", "row 1, column 'photo'")


def test_a_picture_that_is_asked_for_and_not_there_is_said() -> None:
    found = read_record({"title": "x", "photo": None}, COLUMNS, "1")

    assert isinstance(found, Rejected)
    assert (found.where, found.reason) == ("row 1, column 'photo'", "the picture is empty")
    optional = read_record({"title": "x"}, {**COLUMNS, "photo": Column(kind="image", required=False)}, "1")
    assert optional == Record("1", {"title": "x"})


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_broken_bytes_are_refused_and_never_raise_anything_else(form: str) -> None:
    drawn, whole = Random(0), file_of(form=form, size=(40, 30))
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(drawn.randint(1, 8)):
            data[drawn.randrange(len(data))] = drawn.randrange(256)
        try:
            read_picture(bytes(data[: drawn.choice([len(data), drawn.randrange(len(data))])]), None).image()
        except UnreadableError:
            continue


def test_a_path_leads_nowhere_but_into_the_folder_of_its_file(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    (inside / "photos").mkdir(parents=True)
    (inside / "photos" / "red.png").write_bytes(RED)
    (tmp_path / "secret.png").write_bytes(RED)
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "round").symlink_to(inside / "round")

    assert read_picture("photos/red.png", inside).data == RED
    for path in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "photos/../../secret.png"):
        with pytest.raises(UnreadableError, match="outside the folder"):
            read_picture(path, inside)
    for path, reason in (("photos", "no picture"), ("gone.png", "no picture"), ("x" * 9999, "cannot be opened"),
                         ("a\0b", "cannot be opened"), ("round", "picture 'round'")):  # fmt: skip
        with pytest.raises(UnreadableError, match=reason):
            read_picture(path, inside)
