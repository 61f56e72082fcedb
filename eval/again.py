"""A raw run, its rows and its pool in, the run as it would be with what the labelled rows say now, out.

What a model said stays as it was recorded; what the pool says beside it costs no token and is worked out anew: after
a change of tagger/prior.py or tagger/spans.py, or to try one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eval.record import Run, run_tag
from tagger.confidence import Scores
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SourceError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.task import Task


def again(run: Run, task: Task, examples: Sequence[Example], pool: Sequence[Example]) -> Run:
    """The run with the rows' say of today, decided without a calibration.

    `task` has the run's plan, `pool` its shots. Raises SourceError for a run of another task, plan or pool.
    """
    tagger = Tagger(task, engine=ScriptedEngine(), shots=pool or None, calibrated=False)
    made, head = tagger.provenance, run.header
    if (made.task_version, made.plan) != (head.task_version, head.plan):
        hint = "give the rows, shots and plan of the run; a calibrated run cannot be worked out anew"
        found = f"task {made.task_version}, plan {made.plan}"
        raise SourceError(f"the run has task {head.task_version}, plan {head.plan}; here are {found}", hint=hint)
    records = {example.record.id: example.record for example in examples}
    rows = []
    for row in run.rows:
        if row.outcome not in ("rejected", "failed"):
            scores = {name: Scores(tag.scores().model, {}, tag.least) for name, tag in row.tags.items() if tag.model}
            heard = {name: run_tag(tag) for name, tag in tagger.with_rows(records[row.id], scores).items()}
            alone = {name: tag for name, tag in row.tags.items() if tag.model}
            tags = {name: tag for name in task.fields if (tag := heard.get(name) or alone.get(name))}
            silent = tags and all(tag.abstained for tag in tags.values())
            row = row.model_copy(update={"tags": tags, "outcome": "abstained" if silent else "tagged"})
        rows.append(row)
    return replace(run, rows=rows)
