"""Fields in, a Plan out: how a task is asked, as data that lies beside it in plan.toml.

A plan splits the fields into *asks*. Each ask is one request to the model and has a form:

    json    one sparse JSON object for any number of fields; absent ones are left out
    label   the text of the value itself, for one field with a closed set of values
    codes   one letter for each value, for one field with a closed set of values
    levels  a path from the top of its taxonomy down, one question a level

Which is best depends on model and data, so a plan is chosen by measuring and never by taste; without
a plan.toml a task with one closed field asks it by its text, and any other task all its fields as JSON.
"""

from __future__ import annotations

import hashlib
import string
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Setting

from tagger.errors import TaskError
from tagger.levels import Taxonomy
from tagger.schema import PATH_SEPARATOR, ClaimsField, FieldBase, LabelField, PathField

CODES = string.ascii_uppercase + string.ascii_lowercase
"""One token each in common vocabularies; a field with more values than these cannot be coded."""


Form = Literal["json", "dense", "label", "codes", "levels"]


class Ask(BaseModel):
    """One request: which fields, in which form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Form
    """json: one object without the fields that are absent; dense: one with all of them, null for absent."""
    fields: tuple[str, ...] = ()
    """Names of the fields asked; empty in a json or dense ask means all that no other ask names."""
    shortlist: int = Setting(default=0, ge=0)
    """Ask only about so many values, ranked for each record (shortlist.py); 0: about all. For large label sets."""

    @property
    def as_object(self) -> bool:
        """Whether the answer is a JSON object."""
        return self.form in ("json", "dense")


class Shots(BaseModel):
    """Which examples stand in a prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fixed: int = Setting(default=100, ge=0)
    """At most this many shipped examples, in the cached part; used when no pool is given, but not by levels."""
    retrieved: int = Setting(default=4, ge=0)
    """Nearest examples of a pool for each record; used when a pool is given."""
    nearest: Literal["last", "first"] = "last"
    """Where among the retrieved the nearest stands: last, next to the record, or first."""
    balanced: bool = False
    """Take the nearest of each label in turn, instead of the nearest of all; for a plan with one label ask."""
    common: int = Setting(default=0, ge=0)
    """Examples of the pool that stand for the others, shown to all records in the cached part."""
    embedder: str = ""
    """A sentence-embedding model, a folder or a hub id, whose vectors tell the nearest; else character TF-IDF."""
    prior: float = Setting(default=1.0, ge=0.0)
    """Weight of what labelled rows alone say (prior.py, spans.py); 0: none. The rows are the pool's; without one
    they are the shipped examples, and for a label or codes ask the descriptions."""
    compared: bool = False
    """What rows say is read off how much of the first column stands in the others, not off the words: for a task that
    compares two texts of a record."""


class Plan(BaseModel):
    """How a task is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask: tuple[Ask, ...] = Setting(min_length=1)
    shots: Shots = Shots()
    votes: int = Setting(default=1, ge=1)
    """How often each question is asked, with the shots in another order each time; the answers are averaged
    (self-consistency, Wang et al. 2023). Costs as many times the tokens."""
    max_tokens: int = Setting(default=256, ge=1)
    """An answer longer than this is rejected, never cut."""

    @property
    def id(self) -> str:
        """Eight hex digits that change with the plan."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:8]


def load_plan(path: Path, fields: Mapping[str, FieldBase]) -> Plan:
    """The plan in `path`, or the default for `fields` where there is no such file; TaskError if it is wrong."""
    if not path.is_file():
        return default_plan(fields)
    try:
        plan = Plan.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"not TOML: {error}", where=str(path)) from None
    except ValidationError as error:
        raise TaskError(validation_text(error), where=str(path)) from None
    return resolve(plan, fields, str(path))


def default_plan(fields: Mapping[str, FieldBase]) -> Plan:
    """A single closed field by its text, anything else as one JSON object."""
    closed = [name for name, field in fields.items() if field.closed is not None]
    if len(closed) < len(fields) or len(closed) > 1:
        return Plan(ask=(Ask(form="json", fields=tuple(fields)),))
    return Plan(ask=(Ask(form="label", fields=(closed[0],)),))


def resolve(plan: Plan, fields: Mapping[str, FieldBase], where: str) -> Plan:
    """Fill in the fields that a json ask leaves open, and check that every field is asked exactly once."""
    named = [name for ask in plan.ask for name in ask.fields]
    open_fields = tuple(name for name in fields if name not in named)
    asks = tuple(ask.model_copy(update={"fields": ask.fields or open_fields}) for ask in plan.ask)
    plan = plan.model_copy(update={"ask": asks})
    named = [name for ask in asks for name in ask.fields]
    if unknown := [name for name in named if name not in fields]:
        raise TaskError(f"field {unknown[0]!r} is not in task.toml (there are: {', '.join(fields)})", where=where)
    if repeated := [name for name in fields if named.count(name) > 1]:
        raise TaskError(f"field {repeated[0]!r} is asked more than once", where=where)
    if missing := [name for name in fields if name not in named]:
        raise TaskError(f"field {missing[0]!r} is asked by no [[ask]]", where=where)
    if plan.votes > 1 and any(ask.form == "levels" for ask in asks):
        raise TaskError("an ask by levels is not voted on", where=where, hint="take `votes` out")
    if plan.votes > 1 and (written := [name for name, field in fields.items() if isinstance(field, ClaimsField)]):
        told = f"the sentences of {written[0]!r} are other ones each time, and are not voted on"
        raise TaskError(told, where=where, hint="take `votes` out")
    if plan.shots.balanced and not (len(asks) == 1 and asks[0].form in ("label", "codes")):
        raise TaskError("shots can be balanced only where one label is asked", where=where, hint="take `balanced` out")
    for ask in asks:
        if ask.shortlist and ask.form != "label":
            raise TaskError(f"a {ask.form} ask takes no shortlist", where=where, hint='use form = "label"')
        if not ask.as_object:
            _check_closed(ask, fields, where)
    return plan


def codes(values: Sequence[str]) -> dict[str, str]:
    """Code -> text of the value, in the declared order."""
    return dict(zip(CODES, values, strict=False))


def _check_closed(ask: Ask, fields: Mapping[str, FieldBase], where: str) -> None:
    values = fields[ask.fields[0]].closed if len(ask.fields) == 1 else None
    if ask.form == "levels":
        _check_levels(ask, fields, where)
    if values is None:
        raise TaskError(
            f"form {ask.form!r} needs exactly one field of kind label, path, boolean or score, "
            f"found {', '.join(ask.fields) or 'none'}",
            where=where,
            hint='use form = "json" for several fields and for text, numbers and lists',
        )
    if ask.form == "codes" and len(values) > len(CODES):
        raise TaskError(
            f"form 'codes' has {len(CODES)} codes, field {ask.fields[0]!r} has {len(values)} values",
            where=where,
            hint='use form = "label"',
        )


def _check_levels(ask: Ask, fields: Mapping[str, FieldBase], where: str) -> None:
    field = fields[ask.fields[0]] if len(ask.fields) == 1 else None
    if not isinstance(field, PathField):
        raise TaskError("form 'levels' needs exactly one field of kind path", where=where, hint='use form = "label"')
    paths = {tuple(label.split(PATH_SEPARATOR)) for label in field.labels}
    if inner := [path for path in paths if any(path[:depth] in paths for depth in range(1, len(path)))]:
        reason = f"form 'levels' needs leaves alone; a beginning of {PATH_SEPARATOR.join(min(inner))!r} is a label too"
        raise TaskError(reason, where=where, hint='use form = "label" with a shortlist')
    for node, names in Taxonomy(field.labels).children.items():
        try:
            LabelField(labels=dict.fromkeys(names or ["leaf"], ""))
        except ValidationError as error:
            below = PATH_SEPARATOR.join(node) or "the top"
            raise TaskError(f"below {below}: {validation_text(error)}", where=where) from None


def validation_text(error: ValidationError) -> str:
    """Every problem of a pydantic error on one line: place, what is wrong, what was found."""
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {place!r}")
        elif item["type"] == "union_tag_invalid":
            key = item["ctx"]["discriminator"].strip("'")
            lines.append(f"{place}.{key}: {item['ctx']['tag']!r} is none of {item['ctx']['expected_tags']}")
        elif item["type"] == "value_error":
            lines.append(f"{place or 'the whole'}: {item['ctx']['error']} (found {item['input']!r:.80})")
        else:
            lines.append(f"{place or 'the whole'}: {item['msg']} (found {item['input']!r:.80})")
    return "; ".join(lines)
