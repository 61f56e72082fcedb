"""What a service says of itself in, lines of JSON out, each with the id of the request that it belongs to."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from tagger.masking import hidden

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered."""
AUDIT = logging.getLogger("tagger.audit")
"""Who has asked for what and how it ended; never what the product texts say."""


def log_as_json() -> None:
    """Send all logs of this process to standard error as lines of JSON."""
    from pythonjsonlogger.json import JsonFormatter

    lines = logging.StreamHandler()
    names = ["levelname", "name", "message"]
    lines.setFormatter(JsonFormatter(names, timestamp=True, rename_fields={"levelname": "level", "name": "logger"}))
    lines.addFilter(_completed)
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)


def _completed(record: logging.LogRecord) -> bool:
    """Add the request, and take personal data out: an error may quote what a person wrote."""
    if found := request_id.get():
        record.request_id = found
    record.msg, record.args = hidden(record.getMessage()), ()
    return True
