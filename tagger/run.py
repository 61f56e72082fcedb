"""A file and a Tagger in, a folder of tags out: `tagger tag`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from tagger.pipeline import Tagger
from tagger.sinks import Format, Sink
from tagger.sources import batches, records

BATCH = 64
"""Records handed to the engine at once; it packs them as it likes."""


def tag_file(
    tagger: Tagger,
    source: Path,
    out: Path,
    *,
    form: Format = "jsonl",
    mapping: Mapping[str, str] | None = None,
    limit: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Sink:
    """Tag every row of `source` (or the first `limit`) into `out`; `progress` hears how many were added.

    Returns the finished sink with its counts. Raises SourceError before any work if the file does not fit
    the task, EngineError if the engine dies.
    """
    with Sink(out, form, tagger.task.fields) as sink:
        for batch in batches(islice(records(source, tagger.task.columns, mapping), limit), BATCH):
            sink.write(tagger.tag_records(batch))
            progress(len(batch))
        facts = asdict(tagger.provenance)
        del facts["engine"]  # the manifest's own entry says more
        sink.finish({"source": source.name, **facts}, tagger.engine.info)
    return sink
