"""The bytes of a text in, how they are to be read out: chosen, told by the file, or guessed and said so."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from charset_normalizer import from_bytes

from tagger.errors import SourceError

SUSPECTS = ["gb18030", "big5", "cp932", "cp1251", "cp1252", "latin_1"]
"""What text that is no UTF-8 may be; fewer suspects make fewer mistakes on short texts."""
ENCODINGS = ["utf-8", "utf-16", *SUSPECTS, "cp949"]
"""What an analyst may choose from."""
LONGEST_LINE = 1 << 24
"""Characters: a longer line is of a file that is not what it seems."""
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def encoding_of(path: Path, name: str, chosen: str | None) -> tuple[str, list[str]]:
    """The encoding of a text, chosen or found out, and what was only guessed about it."""
    sample = _sample(path)
    if chosen:
        try:
            " ".encode(chosen)
        except (LookupError, ValueError):
            hint = "utf-8, gb18030, big5, utf-16 and cp1252 are usual ones"
            raise SourceError(f"{chosen!r} is no encoding", where=name, hint=hint) from None
        codec = codecs.lookup(chosen).name
        return "utf-8-sig" if codec == "utf-8" else codec, []
    for mark, codec in _BOMS.items():
        if sample.startswith(mark):
            return codec, []
    start = sample[: 1 << 16]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) > len(start) / 50 and max(even, odd) > 10 * min(even, odd):
        codec = "utf-16-le" if odd > even else "utf-16-be"
        return codec, [_guessed(codec, start, [])]
    if even + odd > len(start) / 50:
        hint = "save the table as .xlsx or .csv"
        raise SourceError("this is no text, no workbook and no Parquet file", where=name, hint=hint)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # whose end may be cut
        return "utf-8", []
    except UnicodeDecodeError:
        return _guess(sample, name)


def _sample(path: Path) -> bytes:
    """The beginning of a file and pieces from all over it, each of whole lines or cells."""
    size, pieces = path.stat().st_size, []
    with path.open("rb") as file:
        start = file.read(1 << 18)
        pieces.append(start if len(start) == size else (re.match(rb".*[\n,]", start, re.DOTALL) or [start])[0])
        for place in range(1, 17) if size > 1 << 19 else ():
            file.seek(size * place // 17)
            if whole := re.search(rb"[\n,](.*[\n,])", file.read(1 << 15), re.DOTALL):
                pieces.append(whole[1])
    return b"".join(pieces)


def _guess(sample: bytes, name: str) -> tuple[str, list[str]]:
    text = b"\n".join(islice((line for line in sample.splitlines() if not line.isascii()), 500))
    matches = from_bytes(text, cp_isolation=SUSPECTS, enable_fallback=False)
    if not (best := matches.best()):
        hint = "choose the encoding that it was saved in, or save it as UTF-8"
        raise SourceError("it cannot be told which encoding the text is in", where=name, hint=hint)
    return best.encoding, [_guessed(best.encoding, text, [match.encoding for match in matches][1:])]


def _guessed(codec: str, text: bytes, others: Sequence[str]) -> str:
    found = re.search(r"[^\n]{0,20}[^\x00-\x7f][^\n]{0,40}|[^\n]{1,40}", text.decode(codec, "replace"))
    also = f" (it may also be {', '.join(others)})" if others else ""
    shown = found[0].strip() if found else ""
    return f"the encoding is guessed as {codec}{also}: {shown!r} is how it reads; if that is garbled, choose another"


def lines_of(path: Path, name: str, codec: str) -> Iterator[str]:
    """The lines with their ends; SourceError with its number for one that is not in the encoding."""
    number = 0
    try:
        with path.open(encoding=codec, newline="") as file:
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise SourceError(f"longer than {LONGEST_LINE:,} characters", where=f"{name}, line {number:,}")
                yield line
    except UnicodeError:
        raise wrong_bytes(path, name, codec, number) from None


def wrong_bytes(path: Path, name: str, codec: str, after: int) -> SourceError:
    """What to say of bytes that are not in the encoding, somewhere after so many lines: text is decoded in blocks."""
    where = f"{name}, after line {after:,}"
    if not codec.startswith(("utf-16", "utf-32")):  # whose lines do not end with one byte
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(codec)
                except UnicodeError:
                    where = f"{name}, line {number:,}"
                    break
    hint = "choose the encoding that the file was saved in (gb18030 is usual for Chinese), or save it as UTF-8"
    return SourceError(f"bytes that are not {codec.removesuffix('-sig')}", where=where, hint=hint)
