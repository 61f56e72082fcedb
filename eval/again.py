"""A raw run, its rows and its pool in, the run as it would be with what the labelled rows say now, out.

What a model said stays as it was recorded; what the pool says beside it costs no token and is worked out anew, as is
how the record spells it: after a change of tagger/prior.py, spans.py or rows.py, or to try one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eval.judged import tagger_of
from eval.record import Run, run_tag
from tagger.errors import SourceError
from tagger.example import Example
from tagger.task import Task


def again(run: Run, task: Task, examples: Sequence[Example], pool: Sequence[Example]) -> Run:
    """The run with the rows' say of today, decided without a calibration.

    `task` has the run's plan, `examples` are the rows that it read, `pool` its shots. Raises SourceError for another
    pool, and for a run that is calibrated or read predicted columns; SettingsError where the task's rules would now
    have something else asked.
    """
    tagger = tagger_of(run, task, pool)
    if "~" in run.header.plan or " from " in run.header.variant:
        raise SourceError("a run that is calibrated or read predicted columns cannot be worked out anew")
    records = {example.record.id: example.record for example in examples}
    rows = []
    for row in run.rows:
        if row.outcome not in ("rejected", "failed"):
            scores = {name: tag.scores() for name, tag in row.tags.items()}
            heard = {name: run_tag(tag) for name, tag in tagger.with_rows(records[row.id], scores).items()}
            alone = {name: tag for name, tag in row.tags.items() if tag.model and not task.rules}
            tags = {name: tag for name in task.fields if (tag := heard.get(name) or alone.get(name))}
            silent = tags and all(tag.abstained for tag in tags.values())
            row = row.model_copy(update={"tags": tags, "outcome": "abstained" if silent else "tagged"})
        rows.append(row)
    return replace(run, rows=rows)
