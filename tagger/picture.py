"""A value of a picture column in, a checked Picture out: bytes that a model can be shown, or the reason why not.

Whoever sends a picture is a stranger. So its format is looked for in its bytes, its size is read before it is unpacked,
it is unpacked once before a model waits for it, and a path leads nowhere but into the folder of the file that names it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagger.errors import SettingsError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
"""What is read, by Pillow's name, and its media type."""
MOST_BYTES = 5 << 20
"""Bytes of a picture; as base64 they fit into a request to the service."""
MOST_PIXELS = 40_000_000
"""Width times height: what a good camera takes, and 120 MB once unpacked."""
LEAST_SIDE, MOST_RATIO = 8, 100
"""Pixels of a side at least, and how often the shorter fits into the longer at most: models refuse slivers."""


class UnreadableError(Exception):
    """The picture cannot be read; the text is the reason, for whoever sent it."""


@dataclass(frozen=True)
class Picture:
    """A picture as it came: `data` are the bytes of its file, `media` its media type, `width` and `height` pixels."""

    data: bytes = field(repr=False)
    media: str
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.media}, {self.width} x {self.height}, {len(self.data):,} bytes"

    @cached_property
    def digest(self) -> bytes:
        """16 bytes over its bytes: what two equal pictures share, whatever they are called."""
        return blake2b(self.data, digest_size=16).digest()

    @property
    def url(self) -> str:
        """The picture as a data URL (RFC 2397)."""
        return f"data:{self.media};base64,{base64.b64encode(self.data).decode()}"

    def image(self) -> Image:
        """Its pixels in RGB, upright as its camera noted, what is transparent on white."""
        return _unpacked(self.data)


def read_picture(value: Any, folder: Path | None) -> Picture:
    """The picture that a value holds: bytes, or a text that is a data URL or, below `folder`, a path.

    Without a `folder` paths are not followed, and a text is base64. Raises UnreadableError for anything else and for a
    picture that is too large, of another format, broken or missing; SettingsError where Pillow is missing.
    """
    if isinstance(value, str):
        is_path = folder is not None and not value.startswith("data:")
        data = _of_path(value, folder) if is_path and folder else _of_text(value)
    elif isinstance(value, bytes):
        data = value
    else:
        raise UnreadableError(f"expected a picture, found {type(value).__name__}")
    if len(data) > MOST_BYTES:
        raise UnreadableError(f"a picture of {len(data):,} bytes; at most {MOST_BYTES:,} are read")
    return _checked(data)


def may_be_picture(data: bytes) -> bool:
    """Whether bytes begin as a file in one of FORMATS does, and are not too many; nothing is unpacked."""
    begins = data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
    return begins and len(data) <= MOST_BYTES


def blank() -> Picture:
    """A white picture, to prove that a model takes any."""
    file, (width, height) = BytesIO(), (64, 64)
    _pillow().new("RGB", (width, height), "white").save(file, "PNG")
    return Picture(file.getvalue(), FORMATS["PNG"], width, height)


def _of_text(text: str) -> bytes:
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise UnreadableError("a data URL that is not data:image/...;base64,...")
    if len(text) > MOST_BYTES * 4 // 3 + 4:
        raise UnreadableError(f"a picture of {len(text) * 3 // 4:,} bytes; at most {MOST_BYTES:,} are read")
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableError("expected a picture as base64 or as a data URL; paths are read in files alone") from None


def _of_path(path: str, folder: Path) -> bytes:
    """The bytes of a file inside `folder`, links followed."""
    try:
        root, file = folder.resolve(), (folder / path).resolve()
        if not file.is_relative_to(root):
            raise UnreadableError(f"picture {path!r:.200} lies outside the folder of the file that names it")
        if not file.is_file():
            raise UnreadableError(f"no picture {path!r:.200} beside the file that names it")
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a NUL in it, links in a circle
        raise UnreadableError(f"picture {path!r:.200} cannot be opened: {_plainly(error)}") from None


def _checked(data: bytes) -> Picture:
    pillow = _pillow()
    try:
        with pillow.open(BytesIO(data), formats=list(FORMATS)) as image:
            (width, height), media = image.size, FORMATS.get(str(image.format), FORMATS["JPEG"])  # of two views: MPO
    except pillow.UnidentifiedImageError:
        raise UnreadableError(f"not a picture of a kind that is read: {', '.join(FORMATS)}") from None
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        raise UnreadableError(f"a picture of too many pixels; at most {MOST_PIXELS:,} are read") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableError(f"the picture is broken: {_plainly(error)}") from None
    if width * height > MOST_PIXELS:
        raise UnreadableError(f"a picture of {width} x {height} pixels; at most {MOST_PIXELS:,} are read")
    if min(width, height) < LEAST_SIDE or max(width, height) > MOST_RATIO * min(width, height):
        told = f"of at least {LEAST_SIDE} pixels a side, and no side {MOST_RATIO} times the other"
        raise UnreadableError(f"a picture of {width} x {height} pixels; expected one {told}")
    try:
        _unpacked(data)
    except (OSError, ValueError, SyntaxError, MemoryError) as error:  # Pillow has all of these for a broken file
        raise UnreadableError(f"the picture is broken: {_plainly(error)}") from None
    return Picture(data, media, width, height)


def _unpacked(data: bytes) -> Image:
    from PIL import ImageOps

    pillow = _pillow()
    with pillow.open(BytesIO(data), formats=list(FORMATS)) as opened:
        image: Image = ImageOps.exif_transpose(opened)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = pillow.new("RGBA", image.size, "white")
        image = pillow.alpha_composite(white, image)
    return image.convert("RGB")


def _plainly(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise SettingsError("pictures need Pillow", hint="pip install 'tagger[pictures]'") from None
    return Image
