"""A request in, who asks and what the audit log says of it out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tagger.keys import Key

_BEARER = HTTPBearer(auto_error=False, description="A key that `tagger key` has made.")


async def _caller(
    request: Request, shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)] = None
) -> Key:
    key: Key = request.app.state.service.key(f"{shown.scheme} {shown.credentials}" if shown else None)
    note(request, key=key.name)
    return key


Caller = Annotated[Key, Depends(_caller)]


def note(request: Request, **facts: Any) -> None:
    """Put facts of a request into the audit log, never what a product text says."""
    request.state.audit = getattr(request.state, "audit", {}) | facts
