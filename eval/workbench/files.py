"""Names and facts in, lines of plain files out, whoever writes them at the same time; and no name leads astray."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from io import SEEK_END, FileIO
from pathlib import Path
from typing import Any

from filelock import FileLock

from tagger.errors import SettingsError, SourceError

_NAME = re.compile(r"[\w-]{1,60}")
_ENDS = b"\n", b"\r"
"""What ends a line; JSON holds neither inside one."""
_BLOCK = 65_536


def safe_name(text: str, what: str) -> str:
    """`text` if it may name a file; SettingsError for anything with a dot, a slash or a space. `what` it names."""
    if not _NAME.fullmatch(text):
        hint = "letters, digits, - and _, at most 60"
        raise SettingsError(f"{text!r} cannot be the name of a {what}", hint=hint)
    return text


def add_line(path: Path, *facts: Mapping[str, Any]) -> None:
    """Add a line of JSON for each of these facts to a file, whoever else does so at the same time; none of them where
    there is no room for all. Half a line, which a kill may have left at the end, is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in facts).encode()
    with FileLock(f"{path}.lock"), path.open("a+b", buffering=0) as file:  # a buffer is written once more at the end
        end, tail = _tail(file)
        if _half(tail):
            file.truncate(end)
        else:
            lines, end = b"\n" + lines, end + len(tail)
        try:
            left = memoryview(lines)
            while left:  # a disk that is nearly full takes a part
                left = left[file.write(left) :]
        except OSError:
            file.truncate(end)
            if not end:
                path.unlink()  # test rows without one are read as a mistake
            raise


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file, none where there is no file; SourceError with its number for a line that is none.

    Half a line at the end is left out: somebody is writing it, or was killed over it, and `add_line` cuts it off.
    """
    if not path.is_file():
        return []
    data, found = path.read_bytes(), []
    lines = data.splitlines()
    if lines and not data.endswith(_ENDS) and _half(lines[-1]):
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                facts = json.loads(line)
            except ValueError as error:
                raise SourceError(f"not a line of JSON: {error}", where=f"{path}:{number}") from None
            if not isinstance(facts, dict):
                raise SourceError(f"expected an object, found {facts!r:.40}", where=f"{path}:{number}")
            found.append(facts)
    return found


def _tail(file: FileIO) -> tuple[int, bytes]:
    """Where the last line that is ended ends, and what stands behind it."""
    begin, tail = file.seek(0, SEEK_END), b""
    while begin and not any(end in tail for end in _ENDS):
        begin, behind = max(0, begin - _BLOCK), begin
        file.seek(begin)
        tail = file.read(behind - begin) + tail
    cut = max(tail.rfind(end) for end in _ENDS) + 1
    return begin + cut, tail[cut:]


def _half(line: bytes) -> bool:
    """Whether a line without an end was never written whole: half an object is no JSON."""
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def now() -> str:
    """The time in UTC, as ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
