"""A service out of tasks and an engine: records come in over HTTP, taggings go out (`tagger serve`)."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.responses import Response, StreamingResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tagger import job_routes
from tagger.batching import BusyError, ClosedError, LateError
from tagger.callers import Caller, note
from tagger.errors import EngineError
from tagger.faults import Fault, RefusedError, answer_faults
from tagger.guard import Guard
from tagger.keys import Key, digest
from tagger.pipeline import Tagger
from tagger.record import Record
from tagger.result import Tagging
from tagger.service import Service

MOST_RECORDS = 10_000
"""Of one batch."""
WINDOW = 512
"""Records of one batch that wait at once: what a slow reader can hold."""
EXAMPLE: dict[str, JsonValue] = {"title": "Sencha Green Tea Bags, 100 Count"}
FAULTS: dict[int | str, dict[str, Any]] = {n: {"model": Fault} for n in (400, 401, 403, 404, 413, 422, 429, 503, 504)}
LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}, "description": "A line for each record"}
}
Idempotency = Annotated[
    str | None, Header(alias="Idempotency-Key", max_length=200, description="The same key: the same answer, for a day.")
]


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
    seconds: float = Field(default=600, gt=0, le=600, description="How long all answers may take.")


def create_app(service: Service) -> FastAPI:
    """The application, which answers from when it is started until it is told to stop, and then what still waits."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app: FastAPI = FastAPIOffline(  # its pages of documentation ask no other host for anything
        title="tagger", summary="Product records in, trustworthy tags out", lifespan=lifespan
    )
    app.add_middleware(Guard, meters=service.meters, files=job_routes.PATH, known=service.key)
    answer_faults(app)
    app.state.service = service
    _add_tags(app, service)
    _add_tasks(app, service)
    app.include_router(job_routes.router(service), responses=FAULTS)
    _add_operations(app, service)
    return app


def _add_tags(app: FastAPI, service: Service) -> None:
    @app.post("/v1/tag", responses=FAULTS)
    async def tag(ask: Ask, key: Caller, request: Request, idempotency: Idempotency = None) -> dict[str, Any]:
        """Tag one record."""
        await service.tagger(key, ask.task, 1)
        note(request, task=ask.task, records=1)

        def work() -> Awaitable[Tagging]:
            return service.tag(key, ask.task, ask.record, "1", ask.seconds)

        answer = service.once(key, idempotency, digest(repr(ask)), work) if idempotency else work()
        found = service.kept_back(ask.task, await _unless_gone(request, answer))
        note(request, outcome=found.outcome)
        return found.to_dict()

    @app.post("/v1/tag:batch", responses=FAULTS | LINES, response_class=StreamingResponse)
    async def tag_batch(ask: AskMany, key: Caller, request: Request) -> StreamingResponse:
        """Tag many records: a line of JSON for each, in order, as they are ready."""
        await service.tagger(key, ask.task, len(ask.records))
        note(request, task=ask.task, records=len(ask.records))
        return StreamingResponse(_lines(service, key, ask), media_type="application/x-ndjson")


def _add_tasks(app: FastAPI, service: Service) -> None:
    @app.get("/v1/tasks", responses=FAULTS)
    async def tasks(key: Caller) -> list[dict[str, Any]]:
        """The tasks that the key may ask."""
        return [_told(tagger) for name, tagger in service.taggers.items() if key.may(name)]

    @app.get("/v1/tasks/{task}", responses=FAULTS)
    async def one_task(task: str, key: Caller, request: Request) -> dict[str, Any]:
        """A task: its columns and fields."""
        tagger = await service.tagger(key, task)
        note(request, task=task)
        return _told(tagger)

    @app.post("/v1/tasks/{task}/render", responses=FAULTS)
    async def render(task: str, row: dict[str, Any], key: Caller, request: Request) -> list[dict[str, Any]]:
        """What the model would read of a record, ask by ask; the body is the bare record."""
        tagger = await service.tagger(key, task)
        note(request, task=task)
        record = service.shown(task, row)
        if not isinstance(record, Record):
            raise RefusedError(422, f"not a record of this task: {record.reason}")
        asks = [ask for ask in tagger.task.plan.ask if set(ask.fields) & set(tagger.task.asked(record))]
        prompts = [tagger.prompts(ask, [record])[0] for ask in asks]
        told = [prompt.conversation(str) for prompt in prompts]  # what a picture is, not all its bytes
        return [{"fields": ask.fields, "messages": messages} for ask, messages in zip(asks, told, strict=True)]


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthy() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", responses={503: {"model": Fault}})
    async def ready() -> dict[str, str]:
        """Whether it takes records."""
        if not service.ready:
            raise RefusedError(503, "the service is shutting down" if service.closing else "the engine is lost")
        return {"status": "ready"}

    @app.get("/metrics", responses={401: {"model": Fault}}, response_class=Response)
    async def metrics(key: Caller) -> Response:
        """Counters, as Prometheus reads them."""
        return Response(service.metrics(), media_type=service.meters.content_type)


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
                under_way.append(asyncio.create_task(service.tag_in_turn(key, ask.task, row, str(number), left)))
            try:
                found = service.kept_back(ask.task, await under_way.popleft())
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
    columns = {
        name: {"about": c.about, "required": c.required, "names": c.names}
        | ({} if c.kind == "text" else {"kind": c.kind})
        for name, c in task.columns.items()
    }
    fields = {name: field.model_dump(mode="json") for name, field in task.fields.items()}
    return {
        "id": task.id, "version": task.version, "about": task.definition.about, "columns": columns, "fields": fields,
        "plan": made.plan, "model": made.model, "adapter": made.adapter, "ruled": tagger.task.rules is not None,
    }  # fmt: skip
