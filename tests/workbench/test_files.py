"""A line is written whole or not at all, and what half of one is left spoils no other."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from eval.workbench import files
from eval.workbench.files import add_line, read_lines
from tagger.errors import SourceError


def numbers(path: Path) -> list[int]:
    return [line["n"] for line in read_lines(path)]


@pytest.mark.parametrize("before", [1, 0])
def test_a_disk_that_is_full_leaves_the_lines_that_were_there(tmp_path: Path, before: int) -> None:
    path = tmp_path / "reviews.jsonl"
    for _ in range(before):
        add_line(path, {"n": 1, "t": "x" * 100})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            add_line(path, {"n": 2}, {"n": 3, "t": "y" * 300})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (numbers(path), path.exists()) == ([1] * before, bool(before))
    add_line(path, {"n": 4})
    assert numbers(path) == [1] * before + [4]


@pytest.mark.parametrize("block", [7, 65_536])
@pytest.mark.parametrize("half", ['{"n": 2, "t": "and so', '{"n": 2, "t": "红', "{", '{"n": 2, "t": "' + "y" * 70_000])
def test_half_a_line_that_a_kill_left_is_left_out_and_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: str, block: int
) -> None:
    monkeypatch.setattr(files, "_BLOCK", block)
    path = tmp_path / "reviews.jsonl"
    add_line(path, {"n": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + half.encode()[: -1 if "红" in half else None])  # a kill may part a character

    assert numbers(path) == [1]
    add_line(path, {"n": 3})
    assert path.read_bytes() == whole + b'{"n": 3}\n'


@pytest.mark.parametrize("between", ["\n", "\r\n", "\r"])
def test_a_whole_line_is_never_cut_off_though_nothing_ends_it(tmp_path: Path, between: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_bytes(between.join(['{"n": 1}', '{"n": 2}']).encode())

    add_line(path, {"n": 3})

    assert numbers(path) == [1, 2, 3]


def test_a_line_that_is_wrong_is_named_wherever_it_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"n": 1}\n{"n": 2\n', "utf-8")

    with pytest.raises(SourceError, match=r"reviews.jsonl:2: not a line of JSON"):
        read_lines(path)
    add_line(path, {"n": 3})
    assert path.read_text("utf-8") == '{"n": 1}\n{"n": 2\n{"n": 3}\n'
