"""Jobs over HTTP: a file is handed in, asked after, and fetched as tags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from tagger.callers import Caller, note
from tagger.faults import Fault, RefusedError
from tagger.job import Told
from tagger.jobs import Jobs
from tagger.keys import Key
from tagger.service import Service

PATH = "/v1/jobs"
PIECE = 1 << 20
"""Bytes of an answer that are read at once."""
Form = Annotated[Literal["jsonl", "csv", "parquet"], Query(description="What the file is.")]
Idempotency = Annotated[
    str | None, Header(alias="Idempotency-Key", max_length=200, description="The same key and file: the same job.")
]
FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}, "description": "A line for each row"},
    409: {"model": Fault},
}


def router(service: Service) -> APIRouter:
    """The routes of jobs."""
    routes = APIRouter(prefix=PATH, tags=["jobs"])

    @routes.post("", status_code=202, openapi_extra=FILE, responses={507: {"model": Fault}})
    async def hand_in(
        request: Request,
        response: Response,
        key: Caller,
        task: str,
        form: Form = "jsonl",
        idempotency: Idempotency = None,
    ) -> Told:
        """Hand in a file as the body of the request; it is tagged in the background."""
        await service.tagger(key, task)
        note(request, task=task)
        try:
            told = await _jobs(service).add(key.name, task, form, request.stream(), idempotency)
        except OSError as error:
            raise RefusedError(507, f"the file cannot be kept: {error.strerror or error}") from None
        note(request, job=told.id)
        response.headers["Location"] = f"{PATH}/{told.id}"
        return told

    @routes.get("")
    async def all_jobs(key: Caller) -> list[Told]:
        """Your jobs, the oldest first."""
        return _jobs(service).of(key.name)

    @routes.get("/{job}")
    async def one_job(job: str, key: Caller, request: Request) -> Told:
        """How far a job is."""
        return _found(service, key, job, request)

    @routes.get("/{job}/tags", responses=LINES, response_class=StreamingResponse)
    async def tags(job: str, key: Caller, request: Request) -> StreamingResponse:
        """The tags of a finished job: a line of JSON for each row, in the order of the file."""
        if (state := _found(service, key, job, request).state) != "finished":
            raise RefusedError(409, f"the job is {state}", "ask for its tags when it is finished", 5)
        return StreamingResponse(_read(_jobs(service).tags(key.name, job)), media_type="application/x-ndjson")

    @routes.delete("/{job}", status_code=204)
    async def drop(job: str, key: Caller, request: Request) -> None:
        """Stop a job, and delete its file and its tags."""
        _found(service, key, job, request)
        await _jobs(service).drop(key.name, job)

    return routes


def _jobs(service: Service) -> Jobs:
    if service.jobs is None:
        raise RefusedError(404, "this service takes no files", "its operator can start it with --jobs FOLDER")
    return service.jobs


def _found(service: Service, key: Key, name: str, request: Request) -> Told:
    if (told := _jobs(service).told(key.name, name)) is None:
        raise RefusedError(404, f"no job {name!r} of yours")
    note(request, task=told.task, job=told.id)
    return told


def _read(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            yield from iter(lambda: file.read(PIECE), b"")
