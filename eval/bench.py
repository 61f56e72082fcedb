"""Our rate against the loop that a newcomer writes: same rows, model, threads and prompts, in one run.

The newcomer's loop is Outlines as its documentation shows it: one Generator over a Literal of the labels, one
call for each product, with the very conversation that we render. Rates leave out loading and
compiling; both sides warm up on a row of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter
from typing import Literal

from outlines import Generator, from_transformers
from outlines.inputs import Chat

from tagger.engines.transformers import TransformersEngine
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import Shots
from tagger.task import Task


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: rates in rows a second, and how many rows each side got right."""

    setting: str
    prompt_tokens: float
    ours: float
    theirs: float
    ours_right: int
    theirs_right: int
    rows: int
    spread: tuple[float, float]
    """Lowest and highest ratio over the rounds."""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.ours / self.theirs


def bench(
    task: Task, engine: TransformersEngine, examples: Sequence[Example], pool: Sequence[Example], rounds: int
) -> list[Row]:
    """One Row for no shots, for the shipped shots, and (given a pool) for retrieved ones.

    Each of `rounds` rounds runs an equal share of the examples through both sides in turn. Raises
    SettingsError for a task that does not ask one label field by its text.
    """
    if len(task.plan.ask) != 1 or task.plan.ask[0].form != "label":
        raise SettingsError("the benchmark needs a task that asks one field in the form 'label'", where=task.id)
    settings: list[tuple[str, int | None, Sequence[Example] | None]] = [
        ("no shots", 0, None),
        (f"{min(task.plan.shots.fixed, len(task.examples))} fixed shots", None, None),
    ]
    if pool:
        settings.append((f"{task.plan.shots.retrieved} retrieved shots", None, pool))
    rows = []
    for name, fixed, shots in settings:
        plan = task.plan if fixed is None else task.plan.model_copy(update={"shots": Shots(fixed=fixed)})
        rows.append(
            _compare(name, Tagger(replace(task, plan=plan), engine=engine, shots=shots), engine, examples, rounds)
        )
    return rows


def _compare(name: str, tagger: Tagger, engine: TransformersEngine, examples: Sequence[Example], rounds: int) -> Row:
    ask = tagger.task.plan.ask[0]
    field = ask.fields[0]
    labels = tuple(tagger.task.fields[field].closed or {})
    records = [example.record for example in examples]
    prompts = tagger.prompts(ask, records)
    generator = Generator(from_transformers(engine.hf_model, engine.chat.hf), Literal[labels])

    def theirs(index: int) -> str:
        return str(generator(Chat(prompts[index].messages), max_new_tokens=16, do_sample=False))

    tagger.tag_records(records[:1])
    theirs(0)
    times: list[tuple[int, float, float]] = []
    right = [0, 0]
    size = -(-len(records) // rounds)
    for start in range(0, len(records), size):
        part = range(start, min(start + size, len(records)))
        began = perf_counter()
        taggings = tagger.tag_records([records[i] for i in part])
        middle = perf_counter()
        answers = [theirs(i) for i in part]
        times.append((len(part), middle - began, perf_counter() - middle))
        right[0] += sum(t.value(field) == examples[i].answer[field] for t, i in zip(taggings, part, strict=True))
        right[1] += sum(a == examples[i].answer[field] for a, i in zip(answers, part, strict=True))
    ratios = [slow / fast for _, fast, slow in times]
    ours = median(n / fast for n, fast, _ in times)
    slow_rate = median(n / slow for n, _, slow in times)
    tokens = sum(sum(engine.chat.count(prompt)) for prompt in prompts) / len(prompts)
    return Row(name, tokens, ours, slow_rate, right[0], right[1], len(records), (min(ratios), max(ratios)))
