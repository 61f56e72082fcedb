"""What goes wrong with a request in, the answer that says so out: one shape for all, with a hint where there is one."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from tagger.batching import BusyError, ClosedError, LateError
from tagger.errors import EngineError, SourceError
from tagger.logs import request_id


class Fault(BaseModel):
    """What went wrong, what to do about it, and under which id the log has the request."""

    message: str
    hint: str | None = None
    request_id: str | None = None


class RefusedError(Exception):
    """A request that is not answered: the status, why, and after how many seconds to come again."""

    def __init__(self, status: int, message: str, hint: str | None = None, after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint
        self.headers = {"Retry-After": str(round(after))} if after else {}


def answer(error: RefusedError) -> Response:
    """A refusal as a response."""
    fault = Fault(message=error.message, hint=error.hint, request_id=request_id.get())
    return JSONResponse(fault.model_dump(exclude_none=True), error.status, error.headers)


def answer_faults(app: FastAPI) -> None:
    """Have all that can go wrong answered in one shape."""
    for kind, refusal in _REFUSALS.items():
        app.add_exception_handler(kind, _handler(refusal))


def _handler(refusal: Callable[..., RefusedError]) -> Callable[[Request, Exception], Response]:
    return lambda _, error: answer(refusal(error))


def _none_here(error: HTTPException) -> RefusedError:
    hint = "GET /docs lists what there is" if error.status_code in (404, 405) else None
    found = RefusedError(error.status_code, str(error.detail), hint)
    found.headers |= error.headers or {}  # a wrong method is told the right ones
    return found


def _unreadable(error: RequestValidationError) -> RefusedError:
    return RefusedError(422, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))


_REFUSALS: dict[type[Exception], Callable[..., RefusedError]] = {
    RefusedError: lambda error: error,
    HTTPException: _none_here,
    RequestValidationError: _unreadable,
    BusyError: lambda error: RefusedError(429, str(error), after=error.after),
    LateError: lambda error: RefusedError(504, str(error), "give more `seconds`, or ask again"),
    ClosedError: lambda error: RefusedError(503, str(error), after=5),
    EngineError: lambda error: RefusedError(503, f"the engine does not answer: {error.message}", error.hint, 5),
    SourceError: lambda error: RefusedError(422, error.message, error.hint),
}
