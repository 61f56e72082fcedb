"""A Tagger and labelled rows in, a Run out: batch by batch, resumable, in parts if wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

from eval.record import Header, Run, RunRow, append, open_run, rows_id, run_row
from tagger.errors import SourceError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.record import Record

BATCH = 64
"""Rows between two writes: what a kill can lose."""


def header_of(
    tagger: Tagger,
    examples: Sequence[Example],
    *,
    set_name: str,
    split: str,
    sample: int | None,
    seed: int,
    shots: int,
    variant: str = "",
) -> Header:
    """What makes a run of `tagger` over labelled rows, given as they were before any change, what it is."""
    made = tagger.provenance
    return Header(
        set=set_name,
        split=split,
        sample=sample,
        seed=seed,
        rows=len(examples),
        rows_id=rows_id(example.record for example in examples),
        task=made.task,
        task_version=made.task_version,
        plan=made.plan,
        plan_text=tagger.task.plan.model_dump(mode="json"),
        shots=shots,
        model=made.model,
        adapter=made.adapter,
        engine=made.engine,
        variant=variant,
        versions=tagger.engine.info.versions,
    )


def run(
    tagger: Tagger,
    examples: Sequence[Example],
    header: Header,
    *,
    path: Path | None = None,
    minutes: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
    known: Mapping[str, RunRow] | None = None,
) -> Run:
    """Tag the examples' records and keep what came of it.

    With `path`, every batch is written there, and a run that was begun there goes on. After `minutes` it
    stops between two batches. Rows that are `known`, by id, are not asked again. Raises SourceError for no
    examples, for two of one id, and for a file that holds another run.
    """
    if not examples:
        raise SourceError("no labelled rows to judge on")
    if repeated := len(examples) - len({example.record.id for example in examples}):
        hint = "give every row an `id` of its own; without one a row is called by its number in its file"
        raise SourceError(f"{repeated} labelled rows have the id of another", hint=hint)
    found = open_run(path, header) if path else Run(header)
    progress(len(found.rows))
    began = perf_counter()
    while len(found.rows) < len(examples):
        batch = examples[len(found.rows) : len(found.rows) + BATCH]
        start = perf_counter()
        asked = [example.record for example in batch if example.record.id not in (known or {})]
        rows_of = {**(known or {}), **{tagging.id: run_row(tagging) for tagging in tagger.tag_records(asked)}}
        rows = [rows_of[example.record.id] for example in batch]
        seconds = perf_counter() - start
        if path:
            append(path, rows, seconds)
        found.rows += rows
        found.seconds += seconds
        progress(len(rows))
        if minutes is not None and perf_counter() - began > 60 * minutes:
            break
    return found


def prompts_of(tagger: Tagger, records: Iterable[Record]) -> dict[str, str]:
    """By id, what a model reads of each record, as a person would read it."""
    texts: dict[str, str] = {}
    for record in records:
        asks = [ask for ask in tagger.task.plan.ask if set(ask.fields) & set(tagger.task.asked(record))]
        said = [turn for ask in asks for turn in tagger.prompts(ask, [record])[0].messages]
        texts[record.id] = "\n\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in said)
    return texts
