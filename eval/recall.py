"""A task with a large label set and labelled rows in, how often a shortlist holds the right value, out.

What the shortlist misses no model can choose, so its recall is told apart from the choice. No model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from eval.figures import Figure, share
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import Ask
from tagger.task import Task

LENGTHS = (1, 5, 10, 20, 50)


def recall(
    task: Task, judged: Sequence[Example], pool: Sequence[Example], lengths: Sequence[int] = LENGTHS
) -> Mapping[int, Figure]:
    """By length of the shortlist, the share of judged rows whose right value is on it.

    The shortlist is the one that the tagger uses (tagger/shortlist.py). Raises SettingsError for a task that does
    not ask one closed field, SourceError for no rows.
    """
    name = next(iter(task.fields))
    values = task.fields[name].closed
    if len(task.fields) > 1 or values is None:
        raise SettingsError(f"task {task.id!r} has no shortlist: it does not ask one closed field")
    ask = Ask(form="label", fields=(name,), shortlist=min(max(lengths), len(values)))
    asked = replace(task, plan=task.plan.model_copy(update={"ask": (ask,)}))
    tagger = Tagger(asked, engine=ScriptedEngine(), shots=pool or None, calibrated=False)
    listed = tagger.candidates(ask, [example.record for example in judged])
    places = [
        min((found.index(value) for value in found if example.is_right(name, value)), default=len(values))
        for example, found in zip(judged, listed, strict=True)
    ]
    return {n: share(sum(place < n for place in places), len(places)) for n in lengths if n <= ask.shortlist}
