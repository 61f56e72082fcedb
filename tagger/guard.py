"""Requests in, those of a bearable size on to the application; each has an id, is counted, and is in the audit log."""

from __future__ import annotations

import re
from contextlib import suppress
from time import perf_counter
from uuid import uuid4

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tagger.faults import RefusedError, answer
from tagger.logs import AUDIT, request_id
from tagger.meters import Meters

MOST_BYTES, MOST_FILE_BYTES = 8 << 20, 4 << 30
"""Of a request's body, and of a file that is handed in."""
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a caller may call its request."""


class Guard:
    """The outermost layer. `files` is the path at which files are handed in."""

    def __init__(self, app: ASGIApp, meters: Meters, files: str) -> None:
        self._app, self._meters, self._files = app, meters, files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = MOST_FILE_BYTES if scope["path"] == self._files else MOST_BYTES
        called = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        name = called if ID.fullmatch(called) else uuid4().hex
        read, status, begun = 0, 0, perf_counter()

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            return {"type": "http.disconnect"} if read > most else message

        async def watched(message: Message) -> None:
            nonlocal status
            if read <= most:
                status = message.get("status", status)
                await send(named(message))

        def named(message: Message) -> Message:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name.encode())]
            return message

        async def refused(message: Message) -> None:
            await send(named(message))

        before = request_id.set(name)
        try:
            with suppress(ClientDisconnect):  # nobody is there to be told, unless it was this guard who hung up
                await self._app(scope, counted, watched)
            if read > most and not status:
                status = 413
                error = RefusedError(status, f"the body is larger than {most >> 20} MiB", "send fewer records")
                await answer(error)(scope, receive, refused)
        finally:
            self._told(scope, status or 500, perf_counter() - begun)
            request_id.reset(before)

    def _told(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._meters.request(route, status)
        facts = {"method": scope["method"], "route": route, "status": status, "seconds": round(seconds, 4)}
        AUDIT.info("request", extra=facts | scope.get("state", {}).get("audit", {}))
