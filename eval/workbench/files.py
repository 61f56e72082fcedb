"""Names and facts in, lines of plain files out, whoever writes them at the same time; and no name leads astray."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from tagger.errors import SettingsError, SourceError

_NAME = re.compile(r"[\w-]{1,60}")


def safe_name(text: str, what: str) -> str:
    """`text` if it may name a file; SettingsError for anything with a dot, a slash or a space. `what` it names."""
    if not _NAME.fullmatch(text):
        hint = "letters, digits, - and _, at most 60"
        raise SettingsError(f"{text!r} cannot be the name of a {what}", hint=hint)
    return text


def add_line(path: Path, *facts: Mapping[str, Any]) -> None:
    """Add a line of JSON for each of these facts to a file, whoever else does so at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in facts)
    with FileLock(f"{path}.lock"), path.open("ab") as file:
        file.write(lines.encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file, none where there is no file; SourceError with its number for a line that is none."""
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                facts = json.loads(line)
            except ValueError as error:
                raise SourceError(f"not a line of JSON: {error}", where=f"{path}:{number}") from None
            if not isinstance(facts, dict):
                raise SourceError(f"expected an object, found {facts!r:.40}", where=f"{path}:{number}")
            found.append(facts)
    return found


def now() -> str:
    """The time in UTC, as ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
