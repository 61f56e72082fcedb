"""Examples in, training rows out: a conversation and the very bytes that the constraint lets a model write.

The prompt comes from the pipeline that serves, the target from the function that defines the grammar's bytes,
so what is trained is what is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.likeness import plain_text
from tagger.pipeline import Tagger
from tagger.prompt import Prompt, answer_text
from tagger.schema import ClaimsField
from tagger.task import Task


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """`prompt` as the model is asked, `completion` as it should answer; loss counts on the completion alone."""

    id: str
    prompt: Prompt
    completion: str


def digests(examples: Iterable[Example]) -> list[str]:
    """Twelve hex digits of the text of each record, case, width and white space aside: what an adapter has seen."""
    return [hashlib.sha256(plain_text(example.record).encode()).hexdigest()[:12] for example in examples]


def training_rows(
    task: Task, examples: Sequence[Example], shots: Sequence[Example] | None = None
) -> Iterator[TrainingRow]:
    """One row for each example and ask; an example that lacks the ask's only field is left out.

    `shots` is the pool whose nearest examples stand in each prompt (never the example itself). Raises SettingsError
    for a plan that asks by levels, where a question depends on the answer before it, and for one with a shortlist, on
    which a row's own label would stand because the row is among those that made it.
    """
    if any(ask.form == "levels" or ask.shortlist for ask in task.plan.ask):
        hint = 'give --plan one with form = "label" and without a shortlist'
        raise SettingsError("there are no training rows for a plan that asks by levels or by a shortlist", hint=hint)
    if written := [name for name, field in task.fields.items() if isinstance(field, ClaimsField)]:
        told = f"{written[0]!r} is a description: no text of it is the right one that a model could learn"
        raise SettingsError(told, hint="ask it in a task of its own")
    if task.picture_columns:
        hint = f"take {task.picture_columns[0]!r} out of its columns"
        raise SettingsError(f"adapters are trained on texts, and task {task.id!r} reads pictures", hint=hint)
    tagger = Tagger(task, engine=ScriptedEngine(), shots=shots, calibrated=False)
    for ask in task.plan.ask:
        answered = [e for e in examples if ask.as_object or ask.fields[0] in e.answer]
        for example, prompt in zip(answered, tagger.prompts(ask, [e.record for e in answered]), strict=True):
            fields = {n: f for n, f in task.asked(example.record).items() if n in ask.fields}
            yield TrainingRow(example.record.id, prompt, answer_text(ask, fields, example.answer))
