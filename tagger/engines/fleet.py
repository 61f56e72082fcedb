"""Several servers of one model as one engine: prompts in, completions out, whichever servers are up.

A request goes to the server that has the fewest in flight. One that fails it is set aside, and the request is asked
elsewhere at once. A server is (again) in use when it has proved itself: it is up, it lists the model, and it passes the
canary. So one that was found down and comes back with another model stays aside.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from time import monotonic

import openai

from tagger.engines.base import Completion, Engine, EngineInfo, Request
from tagger.engines.http import CONNECTIONS, HttpEngine, message
from tagger.errors import ConstraintError, EngineError, SettingsError, TaggerError

_LOG = logging.getLogger(__name__)
TIMES = 2
"""How often a server is asked the same. What fails so often on servers that prove themselves in between is at fault."""
PAUSE, LONGEST = 1.0, 60.0
"""Seconds until a server that has not proved itself may do so again: at first, and at most. They double."""
WRONG = (SettingsError, ConstraintError, openai.AuthenticationError, openai.NotFoundError, openai.PermissionDeniedError)
"""What a server of something else does. It does not get better by waiting, so it is told when the fleet is opened."""

Fault = TaggerError | openai.APIError | None
"""Why a server has not proved itself; None: it has."""


@dataclass(slots=True, eq=False)
class _Server:
    engine: HttpEngine
    url: str
    busy: int = 0
    ready: bool = False
    pause: float = PAUSE
    due: float = 0.0
    said: str = ""
    """Why it has not proved itself the last time; empty if it has."""
    proof: Future[Fault] | None = None


class Fleet:
    """Servers of one model; each may be lost and come back. `canary` raises EngineError for an engine that fails it."""

    def __init__(self, engines: Sequence[HttpEngine], canary: Callable[[Engine], None]) -> None:
        """One that is down may come later. Raises EngineError if none is up, SettingsError for a server that lacks the
        model or does not take the key, ConstraintError for one that does not hold to the grammar."""
        info = engines[0].info
        self._servers = [_Server(engine, engine.info.versions["url"]) for engine in engines]
        self._canary, self._lock = canary, Lock()
        self._pool = ThreadPoolExecutor(CONNECTIONS * len(engines))
        self._provers = ThreadPoolExecutor(len(engines))
        self.info = EngineInfo(
            info.engine, info.model, info.dtype, {**info.versions, "url": ", ".join(one.url for one in self._servers)}
        )
        try:
            self._open()
        except TaggerError:
            self.close()
            raise

    @classmethod
    def at(cls, model: str, canary: Callable[[Engine], None]) -> Fleet:
        """The engine for 'NAME@URL,URL,...'; SettingsError for anything else, and what __init__ raises."""
        name, _, urls = model.rpartition("@")
        return cls([HttpEngine.at(f"{name}@{url}", retries=0) for url in urls.split(",")], canary)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, same order, up to CONNECTIONS a server at a time. Raises EngineError if none is up."""
        return list(self._pool.map(self._complete, requests))

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown()
        self._provers.shutdown(cancel_futures=True)
        for server in self._servers:
            server.engine.close()

    def _open(self) -> None:
        with self._lock:
            proofs = [self._proof(server) for server in self._servers]
        for server, fault in zip(self._servers, [proof.result() for proof in proofs], strict=True):
            if isinstance(fault, WRONG):
                hint = fault.hint if isinstance(fault, TaggerError) else "check the URL and TAGGER_API_KEY"
                kind = type(fault) if isinstance(fault, TaggerError) else SettingsError
                raise kind(_said(fault), where=server.url, hint=hint)
        if not any(server.ready for server in self._servers):
            raise self._outage()

    def _complete(self, request: Request) -> Completion:
        faults: list[tuple[_Server, openai.APIError]] = []
        while server := self._next(Counter(asked for asked, _ in faults)):
            before = len(faults)
            try:
                return server.engine.ask(request)
            except openai.APIError as error:
                faults.append((server, error))
            finally:
                self._release(server, failed=len(faults) > before)
        last, fault = faults[-1]
        return last.engine.unanswered(fault)

    def _next(self, asked: Counter[_Server]) -> _Server | None:
        """The server to ask: of those that this request was put to least, the one with the fewest in flight.

        None if it was put to all that are up TIMES times. Raises EngineError if none is up, not even on a second look.
        """
        while True:
            with self._lock:
                aside = [server for server in self._servers if not server.ready]
                left = [server for server in self._servers if server.ready and asked[server] < TIMES]
                proofs = [(one, self._proof(one)) for one in aside if not left or monotonic() >= one.due]
                if left:
                    chosen = min(left, key=lambda server: (asked[server], server.busy))
                    chosen.busy += 1
                    return chosen
            back = [server for server, proof in proofs if proof.result() is None]
            if not back and len(aside) == len(self._servers):
                raise self._outage()
            if all(asked[server] >= TIMES for server in back):
                return None

    def _release(self, server: _Server, *, failed: bool) -> None:
        with self._lock:
            server.busy -= 1
            if not failed:
                server.pause = PAUSE
            elif server.ready:  # else an earlier request has seen to it
                server.ready = False
                self._proof(server)

    def _proof(self, server: _Server) -> Future[Fault]:
        """What will come of the proof that is under way, or is begun now. To be called under the lock."""
        server.proof = server.proof or self._provers.submit(self._prove, server)
        return server.proof

    def _prove(self, server: _Server) -> Fault:
        fault: Fault = None
        try:
            server.engine.check()
            self._canary(server.engine)
        except (openai.APIError, TaggerError) as error:
            fault = error
        with self._lock:
            before, server.said = server.said, _said(fault)
            server.ready, server.proof = fault is None, None
            if fault:
                server.due = monotonic() + server.pause
                server.pause = min(2 * server.pause, LONGEST)
        if bool(before) != bool(fault):
            _LOG.warning("server %s is %s", server.url, f"set aside: {server.said}" if fault else "back")
        return fault

    def _outage(self) -> EngineError:
        said = "; ".join(f"{server.url}: {server.said}" for server in self._servers)
        return EngineError(f"no server answers: {said}", hint="start the servers, or check the URLs")


def _said(fault: Fault) -> str:
    if isinstance(fault, openai.APIError):
        return f"{message(fault)} {fault.__cause__ or ''}".strip()
    return fault.message if fault else ""
