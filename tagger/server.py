"""A service out of tasks and an engine: records come in over HTTP, taggings go out (`tagger serve`)."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tagger.batching import BusyError, ClosedError, LateError
from tagger.errors import EngineError
from tagger.keys import Key
from tagger.meters import Meters
from tagger.pipeline import Tagger
from tagger.record import Record, read_record
from tagger.result import Tagging
from tagger.service import Fault, RefusedError, Service

MOST_BYTES = 8 << 20
"""Of a request's body."""
MOST_RECORDS = 10_000
"""Of one batch."""
WINDOW = 512
"""Records of one batch that wait at once: what a slow reader can hold."""
EXAMPLE: dict[str, JsonValue] = {"title": "Sencha Green Tea Bags, 100 Count"}


class Ask(BaseModel):
    """A record for a task."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"task": "category", "record": EXAMPLE}]})

    task: str
    record: dict[str, Any]
    seconds: float = Field(default=30, gt=0, le=600, description="How long the answer may take.")


class AskMany(BaseModel):
    """Records for a task."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"task": "category", "records": [EXAMPLE]}]}
    )

    task: str
    records: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_RECORDS)
    first: int = Field(
        default=1, ge=1, description="Number of the first record: one without an id is called by its own."
    )
    seconds: float = Field(default=600, gt=0, le=3600, description="How long all answers may take.")


async def _caller(request: Request, authorization: Annotated[str | None, Header()] = None) -> Key:
    """Who asks."""
    key: Key = request.app.state.service.key(authorization)
    return key


Caller = Annotated[Key, Depends(_caller)]


def create_app(service: Service) -> FastAPI:
    """The application, which answers from when it is started until it is told to stop, and then what still waits."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.batcher.start()
        yield
        await service.batcher.drain()

    app = FastAPI(title="tagger", summary="Product records in, trustworthy tags out", lifespan=lifespan)
    app.add_middleware(Guard, meters=service.meters)
    for kind, answer in _FAULTS.items():
        app.add_exception_handler(kind, answer)

    app.state.service = service
    faults: dict[int | str, dict[str, Any]] = {n: {"model": Fault} for n in (401, 403, 404, 413, 422, 429, 503, 504)}

    @app.post("/v1/tag", responses=faults)
    async def tag(ask: Ask, key: Caller, request: Request) -> dict[str, Any]:
        """Tag one record."""
        await service.tagger(key, ask.task, 1)
        found = await _unless_gone(request, service.tag(key, ask.task, ask.record, "1", ask.seconds))
        return found.to_dict()

    @app.post("/v1/tag:batch", responses=faults)
    async def tag_batch(ask: AskMany, key: Caller) -> StreamingResponse:
        """Tag many records: a line of JSON for each, in order, as they are ready."""
        await service.tagger(key, ask.task, len(ask.records))
        return StreamingResponse(_lines(service, key, ask), media_type="application/x-ndjson")

    @app.get("/v1/tasks", responses=faults)
    async def tasks(key: Caller) -> list[dict[str, Any]]:
        """The tasks that the key may ask."""
        return [_told(tagger) for name, tagger in service.taggers.items() if key.may(name)]

    @app.get("/v1/tasks/{task}", responses=faults)
    async def one_task(task: str, key: Caller) -> dict[str, Any]:
        """A task: its columns and fields."""
        return _told(await service.tagger(key, task))

    @app.post("/v1/tasks/{task}/render", responses=faults)
    async def render(task: str, row: dict[str, Any], key: Caller) -> list[dict[str, Any]]:
        """What the model would read of a record, ask by ask."""
        tagger = await service.tagger(key, task)
        record = read_record(row, tagger.task.columns, "1")
        if not isinstance(record, Record):
            raise RefusedError(422, f"not a record of this task: {record.reason}")
        asks = [ask for ask in tagger.task.plan.ask if set(ask.fields) & set(tagger.task.asked(record))]
        return [{"fields": ask.fields, "messages": tagger.prompts(ask, [record])[0].messages} for ask in asks]

    @app.get("/healthz")
    async def healthy() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", responses={503: {"model": Fault}})
    async def ready() -> dict[str, str]:
        """Whether it takes records."""
        if service.batcher.closed:
            raise RefusedError(503, "the service is shutting down")
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics(key: Caller) -> Response:
        """Counters, as Prometheus reads them."""
        return Response(service.meters.text(service.batcher.waiting), media_type=service.meters.content_type)

    return app


async def _lines(service: Service, key: Key, ask: AskMany) -> AsyncIterator[str]:
    """Taggings as lines, in order; WINDOW of them wait at most. A reader that goes away takes its records along."""
    loop = asyncio.get_running_loop()
    end, rows = loop.time() + ask.seconds, deque(enumerate(ask.records, ask.first))
    under_way = deque[asyncio.Task[Tagging]]()
    done = 0
    try:
        while rows or under_way:
            while rows and len(under_way) < WINDOW:
                number, row = rows.popleft()
                left = max(0.001, end - loop.time())
                under_way.append(asyncio.create_task(service.tag(key, ask.task, row, str(number), left)))
            try:
                found = await under_way.popleft()
            except (BusyError, LateError, ClosedError, EngineError) as error:  # the status is sent: the line says it
                found = service.failed(ask.task, ask.records[done], str(ask.first + done), str(error))
            done += 1
            yield json.dumps(found.to_dict(), ensure_ascii=False) + "\n"
    finally:
        for task in under_way:
            task.cancel()


async def _unless_gone(request: Request, answer: Awaitable[Tagging]) -> Tagging:
    """The answer, or an end to the work when the caller hangs up."""
    working, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            raise RefusedError(499, "the caller has gone")
        return working.result()
    finally:
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _told(tagger: Tagger) -> dict[str, Any]:
    task, made = tagger.task, tagger.provenance
    columns = {name: {"about": c.about, "required": c.required, "names": c.names} for name, c in task.columns.items()}
    fields = {name: field.model_dump(mode="json") for name, field in task.fields.items()}
    return {
        "id": task.id, "version": task.version, "about": task.definition.about, "columns": columns, "fields": fields,
        "plan": made.plan, "model": made.model, "adapter": made.adapter,
    }  # fmt: skip


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    after = {"Retry-After": str(round(error.after))} if error.after else {}
    return JSONResponse(error.fault.model_dump(exclude_none=True), error.status, after)


def _busy(request: Request, error: Exception) -> Response:
    assert isinstance(error, BusyError)
    return _refused(request, RefusedError(429, str(error), after=error.after))


def _late(request: Request, error: Exception) -> Response:
    return _refused(request, RefusedError(504, str(error), hint="give more `seconds`, or ask again"))


def _closed(request: Request, error: Exception) -> Response:
    return _refused(request, RefusedError(503, str(error), after=5))


def _dead(request: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError)
    return _refused(request, RefusedError(503, f"the engine does not answer: {error.message}", error.hint, after=5))


def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return _refused(request, RefusedError(422, told))


_FAULTS: dict[type[Exception], Callable[[Request, Exception], Response]] = {
    RefusedError: _refused,
    BusyError: _busy,
    LateError: _late,
    ClosedError: _closed,
    EngineError: _dead,
    RequestValidationError: _unreadable,
}


class Guard:
    """Counts requests, and refuses a body that is too large before it is read whole."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read, status = 0, 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            return {"type": "http.disconnect"} if read > MOST_BYTES else message

        async def watched(message: Message) -> None:
            nonlocal status
            if read <= MOST_BYTES:
                status = message.get("status", status)
                await send(message)

        try:
            with suppress(ClientDisconnect):  # nobody is there to be told, unless it was this guard who hung up
                await self._app(scope, counted, watched)
            if read > MOST_BYTES and not status:
                status = 413
                fault = Fault(message=f"the body is larger than {MOST_BYTES >> 20} MiB", hint="send fewer records")
                await JSONResponse(fault.model_dump(), status)(scope, receive, send)
        finally:
            self._meters.request(getattr(scope.get("route"), "path", "none"), status or 500)


def serve(service: Service, host: str, port: int) -> None:
    """Answer until SIGTERM or Ctrl-C, and then what still waits."""
    import uvicorn

    uvicorn.run(create_app(service), host=host, port=port, log_level="warning", access_log=False)
