"""Descriptions and people's labels in, figures out: how well tracing (tagger/claims.py) tells sentences that tags prove
from others, and what a model's drafts come to.

A labelled row has, beside its tags, right sentences as its answer and wrong ones, each with why, under `unsupported`:

    {"record": {"tags": "colour: red"}, "answer": {"description": ["It is red."]},
     "unsupported": [{"text": "It is blue.", "why": "colour"}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from rich.console import Console

from eval.cli_options import Data, EngineName, Model, Root, Split, TaskOrSet
from eval.figures import Metric, share
from eval.sets import DEFAULT_SPLIT, SETS, files_of, load
from tagger.claims import Tracer
from tagger.engines import open_engine
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.plan import validation_text
from tagger.result import Tagging
from tagger.schema import ClaimsField
from tagger.stated import stated
from tagger.task import Task

out = Console()
UNSUPPORTED = "unsupported"


class Wrong(BaseModel):
    """A sentence that the tags of its row do not prove, and why in a word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled sentence (`why` is empty where the tags prove it), and for what tracing has rejected it."""

    id: str
    text: str
    why: str
    reasons: tuple[str, ...]


class Draft(BaseModel):
    """A sentence as a model wrote it; a person says whether the tags support it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    text: str
    kept: bool
    reason: str = ""
    supported: bool | None = None


def described(task: Task) -> str:
    """The field of a task that is a description; SettingsError where there is none, or several."""
    names = [name for name, field in task.fields.items() if isinstance(field, ClaimsField)]
    if len(names) != 1:
        hint = 'give a task with one field of kind = "claims", as prompts/description has it'
        raise SettingsError(f"task {task.id!r} has {len(names)} fields that are descriptions, expected one", hint=hint)
    return names[0]


def labelled(files: Sequence[Path], examples: Sequence[Example], name: str) -> list[Judged]:
    """The labelled sentences of the rows in `files`, of which `examples` were read, each traced. SourceError for what
    is no list of wrong sentences."""
    lines = [(file, line) for file in files for line in file.read_text("utf-8").split("\n") if line.strip()]
    found = []
    for (file, line), example in zip(lines, examples, strict=True):
        try:
            wrong = TypeAdapter(list[Wrong]).validate_python(json.loads(line).get(UNSUPPORTED, []))
        except ValidationError as error:
            told = f"{UNSUPPORTED}: expected [{{'text': ..., 'why': ...}}]: {validation_text(error)}"
            raise SourceError(told, where=f"{file}, row {example.record.id!r}") from None
        tracer = Tracer(example.record.values)
        for text, why in [*((text, "") for text in example.answer[name]), *((one.text, one.why) for one in wrong)]:
            found.append(Judged(example.record.id, text, why, tracer.trace(text).reasons))
    return found


def of_tracing(found: Sequence[Judged]) -> Iterator[Metric]:
    """How tracing tells the sentences apart; those that were labelled right and wrong have to be there."""
    right, wrong = [one for one in found if not one.why], [one for one in found if one.why]
    kept = [one for one in found if not one.reasons]
    if kept:
        yield Metric("of the kept, supported", share(sum(not one.why for one in kept), len(kept)))
    yield Metric("of the supported, kept", share(sum(not one.reasons for one in right), len(right)))
    yield Metric("of the unsupported, rejected", share(sum(bool(one.reasons) for one in wrong), len(wrong)))


def drafts(taggings: Iterable[Tagging], name: str) -> list[Draft]:
    """The sentences of some taggings, kept and withheld."""
    found = []
    for tagging in taggings:
        tag = tagging.tags.get(name)
        found += [Draft(id=tagging.id, text=text, kept=True) for text in (tag.value if tag else None) or ()]
        found += [Draft(id=tagging.id, text=u.text, kept=False, reason=u.reason) for u in (tag.untraced if tag else ())]
    return found


def of_drafts(taggings: Sequence[Tagging], records: Mapping[str, Example], name: str) -> Iterator[Metric]:
    """What a model's descriptions come to, before a person has read them."""
    written = drafts(taggings, name)
    told = tags = 0
    for tagging in taggings:
        tag = tagging.tags.get(name)
        told += len({(place.column, place.start) for proof in (tag.proofs if tag else ()) for place in proof})
        tags += len(stated(records[tagging.id].record.values))
    yield Metric("rows with a sentence", share(sum(t.outcome == "tagged" for t in taggings), len(taggings)))
    yield Metric("sentences kept", share(sum(one.kept for one in written), len(written)))
    yield Metric("tags mentioned", share(told, tags))


def read_drafts(path: Path) -> list[Draft]:
    """Drafts in a file as `--out` writes it; SourceError for one that is none."""
    try:
        return [Draft.model_validate_json(line) for line in path.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, ValidationError) as error:
        raise SourceError(f"not a file of judged drafts: {error}", where=str(path)) from None


def retraced(found: Sequence[Draft], rows: Mapping[str, Example], where: str) -> tuple[list[Draft], list[Metric]]:
    """Drafts as today's tracing keeps or withholds them, and what they come to; SourceError for one of another row."""
    if strange := [one.id for one in found if one.id not in rows]:
        raise SourceError(f"a draft of {strange[0]!r}, which is none of the rows", where=where)
    again, told = [], set()
    for one in found:
        trace = Tracer(rows[one.id].record.values).trace(one.text)
        kept = not trace.reasons
        again.append(one.model_copy(update={"kept": kept, "reason": "; ".join(trace.reasons)}))
        told |= {(one.id, tag.column, tag.start) for tag in trace.proof if kept}
    tags = sum(len(stated(row.record.values)) for row in rows.values())
    return again, [
        Metric("sentences kept", share(sum(one.kept for one in again), len(again))),
        Metric("tags mentioned", share(len(told), tags)),
    ]


def with_a_sentence(found: Sequence[Draft], rows: int) -> Metric:
    """The share of the `rows` that a kept draft describes."""
    return Metric("rows with a sentence", share(len({one.id for one in found if one.kept}), rows))


def of_judgements(found: Sequence[Draft], where: str) -> Metric:
    """The share of kept sentences that a person calls supported; SourceError where some are not judged."""
    kept = [one for one in found if one.kept]
    if left := [one.id for one in kept if one.supported is None]:
        hint = 'write "supported": true or false into each line with "kept": true'
        raise SourceError(
            f"{len(left)} kept sentences are not judged, the first of {left[0]!r}", where=where, hint=hint
        )
    return Metric("of the kept drafts, supported", share(sum(bool(one.supported) for one in kept), len(kept)))


def claims(
    task: TaskOrSet,
    data: Data = None,
    root: Root = None,
    split: Split = None,
    draft: Annotated[bool, typer.Option("--draft", help="Ask the model for descriptions of the rows as well.")] = False,
    engine: EngineName = "auto",
    model: Model = None,
    path: Annotated[Path | None, typer.Option("--out", help="Write the drafts here, for a person to judge.")] = None,
    judged: Annotated[
        Path | None, typer.Option("--judged", help="Drafts that a person has judged; they are traced again.")
    ] = None,
) -> None:
    """Judge how the sentences of descriptions are traced to tags, and what a model writes."""
    loaded, examples, _ = load(task, data, None, root, split, no_shots=True)
    name = described(loaded)
    files = files_of(SETS[task], root, split or DEFAULT_SPLIT) if root else data or []
    found = labelled(files, examples, name)
    _print(f"{task}: {len(examples)} rows, {len(found)} labelled sentences", of_tracing(found))
    for one in found:
        if bool(one.why) == (not one.reasons):
            fault = f"kept, though {one.why}" if one.why else f"rejected: {'; '.join(one.reasons)}"
            out.print(f"  {one.id} {one.text!r} {fault}", highlight=False, markup=False, soft_wrap=True)
    if draft:
        tagger = Tagger(loaded, engine=open_engine(engine, model))
        taggings = tagger.tag_records([example.record for example in examples])
        rows = {example.record.id: example for example in examples}
        _print(f"drafts of {tagger.provenance.model}", of_drafts(taggings, rows, name))
        if path:
            lines = [one.model_dump_json(exclude_defaults=True) for one in drafts(taggings, name)]
            path.write_text("".join(line + "\n" for line in lines), "utf-8")
    if judged:
        again, metrics = retraced(read_drafts(judged), {e.record.id: e for e in examples}, str(judged))
        _print(f"{judged}, traced again", [*metrics, of_judgements(again, str(judged))])


def _print(head: str, metrics: Iterable[Any]) -> None:
    out.print(head, highlight=False, markup=False, soft_wrap=True)
    for metric in metrics:
        out.print(f"  {metric.name}: {metric}", highlight=False, markup=False)
