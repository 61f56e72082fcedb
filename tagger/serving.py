"""A service and an address in; it answers there until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from tagger.errors import SettingsError
from tagger.logs import log_as_json
from tagger.server import create_app
from tagger.service import Service

LINGER = 2.0
"""Seconds between a SIGTERM, after which /readyz says no, and the closing of the door: whoever sends requests has to
hear of it first."""
TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""The variable that says where traces go, as OpenTelemetry names it."""


def serve(service: Service, host: str, port: int) -> None:
    """Answer until SIGTERM or Ctrl-C, and then what still waits; SIGHUP reads the tasks and the keys again.

    Raises SettingsError where traces are wanted and the libraries for them are missing.
    """
    log_as_json()
    os.umask(0o077)  # what callers hand in, and what comes of it, is for nobody else on this machine
    app = create_app(service)
    if os.environ.get(TRACES):
        _trace(app)
    config = uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False)
    _Server(config, service).run()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def serve(self, sockets: Any = None) -> None:
        """As uvicorn does, with SIGHUP."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, self._service.reload))
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM is announced before it is heeded; a second one, and Ctrl-C, are heeded at once."""
        if sig == signal.SIGTERM and not self._service.closing:
            self._service.closing = True
            asyncio.get_running_loop().call_later(LINGER, super().handle_exit, sig, frame)
        else:
            super().handle_exit(sig, frame)


def _trace(app: FastAPI) -> None:
    """Send traces of requests and batches to where the environment says (OpenTelemetry's own variables)."""
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"{TRACES} is set, and {error.name} is missing", hint="pip install 'tagger[traces]'"
        ) from None
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(app, excluded_urls="healthz,readyz,metrics")
