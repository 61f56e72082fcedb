"""Requests in, those of known callers and a bearable size on to the application; each has an id and is logged."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import perf_counter
from uuid import uuid4

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tagger.faults import RefusedError, answer
from tagger.keys import Key
from tagger.logs import AUDIT, request_id
from tagger.meters import Meters

_LOG = logging.getLogger(__name__)
MOST_BYTES, MOST_FILE_BYTES = 8 << 20, 4 << 30
"""Of a request's body, and of a file that is handed in."""
CLOSED = ("/v1/", "/metrics")
"""How the paths begin that are not for strangers; of those not even the body of a request is read."""
JSON = re.compile(r"application/(?:.+\+)?json\b", re.I)
"""What the body of a request is, but for files."""
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a caller may call its request."""


class Guard:
    """The outermost layer. `files` is the path at which files are handed in; `known` gives the caller that a header
    Authorization names, and raises RefusedError for strangers."""

    def __init__(self, app: ASGIApp, meters: Meters, files: str, known: Callable[[str | None], Key]) -> None:
        self._app, self._meters, self._files, self._known = app, meters, files, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        called = headers.get(b"x-request-id", "")
        name = called if ID.fullmatch(called) else uuid4().hex
        status, begun = 0, perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name.encode())]
            await send(message)

        before = request_id.set(name)
        try:
            if scope["path"].startswith(CLOSED):
                self._known(headers.get(b"authorization"))
                if scope["method"] == "POST" and scope["path"] != self._files:
                    _refuse_other_than_json(headers)
            await self._measured(scope, receive, watched)
        except RefusedError as error:
            if not status:
                await answer(error)(scope, receive, watched)
        except Exception:  # it is nobody's mistake but the program's: the log has it, under the id that is told
            _LOG.exception("a request could not be answered")
            if not status:
                await answer(RefusedError(500, "something went wrong in the service"))(scope, receive, watched)
        finally:
            self._told(scope, status or 500, perf_counter() - begun)
            request_id.reset(before)

    async def _measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is of a bearable size; RefusedError beyond, if nothing was answered yet."""
        most = MOST_FILE_BYTES if scope["path"] == self._files else MOST_BYTES
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            return {"type": "http.disconnect"} if read > most else message

        async def bearable(message: Message) -> None:
            if read <= most:
                await send(message)

        with suppress(ClientDisconnect):  # nobody is there to be told, unless it was this guard who hung up
            await self._app(scope, counted, bearable)
        if read > most:
            raise RefusedError(413, f"the body is larger than {most >> 20} MiB", "send fewer records")

    def _told(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._meters.request(route, status)
        facts = {"method": scope["method"], "route": route, "status": status, "seconds": round(seconds, 4)}
        AUDIT.info("request", extra=facts | scope.get("state", {}).get("audit", {}))


def _refuse_other_than_json(headers: Mapping[bytes, str]) -> None:
    """Raise RefusedError for a body that is said to be something else; curl says so unless it is told better."""
    empty = headers.get(b"content-length", "0") == "0" and b"transfer-encoding" not in headers
    if not empty and not JSON.match(kind := headers.get(b"content-type", "nothing")):
        raise RefusedError(422, f"the Content-Type is {kind}", "send Content-Type: application/json")
