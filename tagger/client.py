"""A service's address in, the same taggings out as from a Tagger in this process.

What is sent is written once, as a function from request to result; `Client.tag` and `Client.atag` only differ in who
carries it.
"""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

import httpx
import stamina

from tagger.errors import EngineError, SettingsError
from tagger.frames import frame_rows, is_frame, with_tags
from tagger.result import Tagging, tagging_of

if TYPE_CHECKING:
    import pandas as pd

PIECE = 1000
"""Records of one request: of many, those that are sent again if the connection breaks."""
TRIES = 5
logging.getLogger("stamina").addHandler(logging.NullHandler())  # tries are logged where there is a log, else not said
AGAIN = frozenset({429, 502, 503})
"""Statuses after which it is worth asking again; a service that says when is waited for."""


class Client:
    """Asks a service (`tagger serve`) about one task.

    `url` is where it listens, `key` an API key; an answer may take `seconds`. Requests that do not get through, or come
    at a bad time, are sent again (up to TRIES times, ever later, with jitter): nothing is changed by asking twice.
    Raises EngineError when the service cannot be reached or does not answer, SettingsError for what it refuses; both
    name the request, as the log of the service does.
    """

    def __init__(self, url: str, task: str, *, key: str | None = None, seconds: float = 60) -> None:
        self.task, self._seconds = task, seconds
        self._about, self._version = f"/v1/tasks/{task}", ""
        self._fields: tuple[str, ...] = ()
        headers = {"Authorization": f"Bearer {key.strip()}"} if key else {}
        self._options: dict[str, Any] = {"base_url": url, "headers": headers, "timeout": httpx.Timeout(seconds + 5)}
        self._http = httpx.Client(**self._options)

    @overload
    def tag(self, records: Mapping[str, Any]) -> Tagging: ...
    @overload
    def tag(self, records: pd.DataFrame) -> pd.DataFrame: ...
    @overload
    def tag(self, records: Iterable[Any]) -> list[Tagging]: ...
    def tag(self, records: Any) -> Any:
        """Tag one record (a mapping of columns), many, or a DataFrame: as `Tagger.tag`."""
        if is_frame(records):
            told = self._learn(self._send("GET", self._about))
            return _framed(records, told, list(self.stream(_rows(records, told))))
        if isinstance(records, str):
            raise SettingsError(f"expected a record, found the text {records!r:.40}", hint="give {column: text}")
        if isinstance(records, Mapping):
            return next(self.stream([records]))
        return list(self.stream(records))

    async def atag(self, records: Any) -> Any:
        """`tag` without blocking the event loop."""
        if is_frame(records):
            told = self._learn(await self._asend("GET", self._about))
            return _framed(records, told, [t async for t in self.astream(_rows(records, told))])
        found = [t async for t in self.astream([records] if isinstance(records, Mapping) else records)]
        return found[0] if isinstance(records, Mapping) else found

    def stream(self, records: Iterable[Mapping[str, Any]]) -> Iterator[Tagging]:
        """The taggings of many records, in order, a piece at a time."""
        for first, piece in (pieces := _Pieces(records)):
            if not self._version:  # before rows are answered: what cannot be learned then loses none
                self._learn(self._send("GET", self._about))
            try:
                answer = self._send("POST", "/v1/tag:batch", json=self._body(first, piece))
            except _TooLargeError as error:
                pieces.halve(first, piece, error)
            else:
                for line in _lines(answer):
                    yield self._tagging(line)

    async def astream(self, records: Iterable[Mapping[str, Any]]) -> AsyncIterator[Tagging]:
        """`stream` without blocking the event loop."""
        for first, piece in (pieces := _Pieces(records)):
            if not self._version:  # before rows are answered: what cannot be learned then loses none
                self._learn(await self._asend("GET", self._about))
            try:
                answer = await self._asend("POST", "/v1/tag:batch", json=self._body(first, piece))
            except _TooLargeError as error:
                pieces.halve(first, piece, error)
            else:
                for line in _lines(answer):
                    yield self._tagging(line)

    def fields(self) -> list[str]:
        """The fields of the task."""
        return list(self._learn(self._send("GET", self._about))["fields"])

    def close(self) -> None:
        """Close the connections of `tag`; `atag` closes its own."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _body(self, first: int, piece: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {"task": self.task, "records": [_plain(row) for row in piece], "first": first, "seconds": self._seconds}

    def _learn(self, answer: httpx.Response) -> Mapping[str, Any]:
        """What is told of the task; its fields are kept until an answer is of another version of it."""
        told: Mapping[str, Any] = answer.json()
        self._version, self._fields = told["version"], tuple(told["fields"])
        return told

    def _tagging(self, line: Mapping[str, Any]) -> Tagging:
        """The tagging in a line; its fields are not known where the task has become another since they were asked."""
        if line["task_version"] == self._version:
            return tagging_of(line, self._fields)
        self._version = ""
        return tagging_of(line)

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            for attempt in stamina.retry_context(on=_worth_again, attempts=TRIES, timeout=self._seconds):
                with attempt:
                    return self._http.request(method, path, **more).raise_for_status()
        except httpx.HTTPError as error:
            raise _fault(error) from None
        raise AssertionError("an attempt returns or raises")

    async def _asend(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            async for attempt in stamina.retry_context(on=_worth_again, attempts=TRIES, timeout=self._seconds):
                with attempt:
                    async with httpx.AsyncClient(**self._options) as http:  # of this event loop
                        return (await http.request(method, path, **more)).raise_for_status()
        except httpx.HTTPError as error:
            raise _fault(error) from None
        raise AssertionError("an attempt returns or raises")


class _TooLargeError(SettingsError):
    """More at once than the service, or the key, takes."""


class _Pieces:
    """Records in lists of PIECE, each with the number of its first; one that is too large comes again in halves."""

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self._records, self._size = iter(records), PIECE
        self._again: list[tuple[int, list[Mapping[str, Any]]]] = []

    def __iter__(self) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
        first = 1
        while True:
            while self._again:
                yield self._again.pop(0)
            if not (piece := list(islice(self._records, self._size))):
                return
            yield first, piece
            first += len(piece)

    def halve(self, first: int, piece: list[Mapping[str, Any]], error: _TooLargeError) -> None:
        """Give a piece again in two parts, and smaller ones from now on; raises the error for a single record."""
        half = len(piece) // 2
        if not half:
            raise error
        self._again[:0] = [(first, piece[:half]), (first + half, piece[half:])]
        self._size = min(self._size, half)


def _lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.removesuffix("\n").split("\n")]


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with pictures, which are bytes, as base64: JSON has no bytes."""
    if not any(isinstance(value, bytes) for value in row.values()):
        return row
    return {name: b64encode(value).decode() if isinstance(value, bytes) else value for name, value in row.items()}


def _rows(frame: pd.DataFrame, told: Mapping[str, Any]) -> list[Any]:
    """The rows of a frame, as `frame_rows` takes them for a task of which this is told."""
    return frame_rows(frame, [*told["fields"], *(("conflicts",) if told.get("ruled") else ())])


def _framed(frame: pd.DataFrame, told: Mapping[str, Any], found: Sequence[Tagging]) -> pd.DataFrame:
    """The frame with its tags, of a task of which this is told."""
    written = [name for name, field in told["fields"].items() if field["kind"] == "claims"]
    return with_tags(frame, told["fields"], found, written=written, ruled=bool(told.get("ruled")))


def _worth_again(error: Exception) -> bool | float:
    """Whether it is worth asking again, and if the service says so, after how many seconds."""
    if not isinstance(error, httpx.HTTPStatusError):
        hopeless = httpx.UnsupportedProtocol | httpx.LocalProtocolError
        return isinstance(error, httpx.TransportError) and not isinstance(error, hopeless)
    if error.response.status_code not in AGAIN:
        return False
    after = error.response.headers.get("Retry-After", "")
    return float(after) if after.isdecimal() else True


def _fault(error: httpx.HTTPError) -> EngineError | SettingsError:
    """What a person is told."""
    if not isinstance(error, httpx.HTTPStatusError):
        where = str(error.request.url) if error._request else None
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            hint = "does url begin with http://, and is the key one?"
            return SettingsError("the request cannot be sent", hint=hint)
        return EngineError(f"no service answers: {error}", where=where, hint="is `tagger serve` running there?")
    answer = error.response
    try:
        told = answer.json()
    except ValueError:
        told = {}
    kind: type[EngineError | SettingsError] = SettingsError
    if answer.status_code >= 500 or answer.status_code in AGAIN:
        kind = EngineError
    elif answer.status_code == 413:
        kind = _TooLargeError
    message = told.get("message") or f"status {answer.status_code}"
    name = answer.headers.get("X-Request-ID")
    where = f"{answer.url}, request {name}" if name else str(answer.url)
    return kind(str(message), where=where, hint=told.get("hint"))
