"""What goes out: a Tagging for every record, whatever became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from tagger.closest import closest
from tagger.confidence import Scores
from tagger.errors import FieldError
from tagger.evidence import Evidence

Outcome = Literal["tagged", "abstained", "rejected", "failed"]
"""tagged: at least one value, or rightly none; abstained: too doubtful to say; rejected: this record cannot be
tagged; failed: the engine could not serve it, ask again. `reason` says why."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another value and its probability."""

    value: Any
    probability: float


@dataclass(frozen=True, slots=True)
class Correction:
    """What a rule has made of a value, or of an item of a list; `before` is None where nothing was said."""

    rule: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Conflict:
    """What a person should look at: the rules of the task that do not go together, or not with what was said, the
    fields it is about (those that are withheld for it first), and why."""

    rules: tuple[str, ...]
    fields: tuple[str, ...]
    reason: str


Doubt = Literal["beyond", "doubtful", "repeated"]
"""Why a sentence is withheld: it says more than the tags; nothing but less probable than is asked; said already."""


@dataclass(frozen=True, slots=True)
class Untraced:
    """A sentence that was written and is withheld, what it says beyond the tags of its record, and the kind of reason
    that is."""

    text: str
    probability: float
    reason: str
    kind: Doubt = "beyond"


@dataclass(frozen=True, slots=True)
class Tag:
    """The value of one field.

    `value` is None where the tagger abstained; the best guess then leads the `alternatives`.
    `inferred` marks a verbatim value that does not stand in the record.
    """

    value: Any
    probability: float
    evidence: Evidence | None = None
    inferred: bool = False
    abstained: bool = False
    alternatives: tuple[Alternative, ...] = ()
    evidences: tuple[Evidence | None, ...] = ()
    """For each text of a list the characters that prove it."""
    proofs: tuple[tuple[Evidence, ...], ...] = ()
    """For each sentence of a description the tags that prove it."""
    untraced: tuple[Untraced, ...] = ()
    """The sentences of a description that no tag proves, as they were written."""
    each: Mapping[str, float] = field(default_factory=dict)
    """For a list the probability of every candidate by its JSON text, said or not."""
    corrections: tuple[Correction, ...] = ()
    """What the task's rules have made of the value, in order; `alternatives` and evidence are as the model has them."""
    withheld: str | None = None
    """Why a blocklist kept back the value, or some of what is told beside it."""
    doubt: str | None = field(default=None, repr=False, compare=False)
    """Why it is not said, where that is for its probability; the reason of an abstained row has it, and no other."""
    scores: Scores | None = field(default=None, repr=False, compare=False)
    """What the probability was made of; kept in memory for evaluation, not written out."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a tagging: the same six things give the same tags. `plan` is the plan's id, behind a + that of the
    pool, and behind a ~ that of the calibration with its promise."""

    task: str
    task_version: str
    plan: str
    model: str
    adapter: str | None
    engine: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens read, how many of those came from a cache, and tokens looked at or written."""

    read: int = 0
    cached: int = 0
    written: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.read + other.read, self.cached + other.cached, self.written + other.written)


@dataclass(frozen=True, slots=True)
class Tagging:
    """The tags of one record."""

    id: str
    outcome: Outcome
    tags: Mapping[str, Tag]
    provenance: Provenance
    reason: str | None = None
    tokens: Tokens = field(default=Tokens())
    conflicts: tuple[Conflict, ...] = ()
    """Where the task's rules need a person."""
    fields: tuple[str, ...] | None = field(default=None, repr=False, compare=False)
    """All fields of the task; None where only those with a tag are known, as from a line of tags."""

    def value(self, name: str) -> Any:
        """The value of a field, or None where there is none; FieldError for a field that the task does not have."""
        if name in self.tags:
            return self.tags[name].value
        if self.fields is not None and name not in self.fields:
            alike = closest([name], self.fields)
            hint = f"is {alike!r} meant? " if alike else ""
            told = f"task {self.provenance.task!r} has no field {name!r}"
            raise FieldError(told, hint=f"{hint}its fields are: {', '.join(self.fields)}")
        return None

    def answer(self) -> dict[str, Any]:
        """What was found out, as plain JSON values: all but the record's id and what is the same for the whole run."""
        return {
            "outcome": self.outcome,
            **({"reason": self.reason} if self.reason else {}),
            "tags": {name: _tag(tag) for name, tag in self.tags.items()},
            **({"conflicts": [_plain(one) for one in self.conflicts]} if self.conflicts else {}),
            "tokens": {"read": self.tokens.read, "cached": self.tokens.cached, "written": self.tokens.written},
            "engine": self.provenance.engine,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a line of tags."""
        return line_of(self.id, self.answer(), self.provenance)


def line_of(name: str, answer: Mapping[str, Any], made: Provenance) -> dict[str, Any]:
    """The line of tags of the record called `name`, from its `answer` and what made it."""
    facts = {"task": made.task, "task_version": made.task_version, "plan": made.plan, "model": made.model}
    found = {key: value for key, value in answer.items() if key != "engine"}
    return {"id": name, **found, **facts, "adapter": made.adapter, "engine": answer["engine"]}


def tagging_of(line: Mapping[str, Any], fields: tuple[str, ...] | None = None) -> Tagging:
    """The tagging that `to_dict` has written; `fields` are those of its task, where they are known."""
    made = Provenance(*(line[name] for name in ("task", "task_version", "plan", "model", "adapter", "engine")))
    tags = {name: _read(tag) for name, tag in line["tags"].items()}
    conflicts = tuple(
        Conflict(tuple(one["rules"]), tuple(one["fields"]), one["reason"]) for one in line.get("conflicts", ())
    )
    tokens = _known(Tokens, line["tokens"])
    return Tagging(line["id"], line["outcome"], tags, made, line.get("reason"), tokens, conflicts, fields)


def _read(tag: Mapping[str, Any]) -> Tag:
    proof, value = tag.get("evidence"), tag["value"]
    places = proof if isinstance(proof, list) else []
    several = [place for place in places if isinstance(place, list)]
    chances = tag.get("probabilities", ())
    each = {json.dumps(item, ensure_ascii=False): p for item, p in zip(value if chances else (), chances, strict=True)}
    return Tag(
        value=value,
        probability=tag["probability"],
        evidence=_known(Evidence, proof) if isinstance(proof, dict) else None,
        inferred=tag.get("inferred", False),
        abstained=tag.get("abstained", False),
        alternatives=tuple(_known(Alternative, other) for other in tag.get("alternatives", ())),
        evidences=() if several else tuple(_known(Evidence, place) if place else None for place in places),
        proofs=tuple(tuple(_known(Evidence, place) for place in each) for each in several),
        untraced=tuple(_known(Untraced, one) for one in tag.get("untraced", ())),
        each=each,
        corrections=tuple(_known(Correction, one) for one in tag.get("corrections", ())),
        withheld=tag.get("withheld"),
    )


def _known(part: type[Any], told: Mapping[str, Any]) -> Any:
    """A part of a tagging; what is told beside, by a newer service, is left."""
    return part(**{one.name: told[one.name] for one in fields(part) if one.name in told})


def _tag(tag: Tag) -> dict[str, Any]:
    found: dict[str, Any] = {"value": tag.value, "probability": round(tag.probability, 6)}
    if tag.evidence:
        found["evidence"] = asdict(tag.evidence)
    if tag.evidences:
        found["evidence"] = [asdict(place) if place else None for place in tag.evidences]
    if tag.proofs:
        found["evidence"] = [[asdict(place) for place in each] for each in tag.proofs]
    if tag.untraced:
        found["untraced"] = [{**asdict(one), "probability": round(one.probability, 6)} for one in tag.untraced]
    if isinstance(tag.value, list) and tag.value:
        found["probabilities"] = [round(tag.each[json.dumps(item, ensure_ascii=False)], 6) for item in tag.value]
    if tag.inferred:
        found["inferred"] = True
    if tag.corrections:
        found["corrections"] = [asdict(one) for one in tag.corrections]
    if tag.abstained:
        found["abstained"] = True
    if tag.alternatives:
        found["alternatives"] = [
            {"value": other.value, "probability": round(other.probability, 6)} for other in tag.alternatives
        ]
    if tag.withheld:
        found["withheld"] = tag.withheld
    return found


def _plain(conflict: Conflict) -> dict[str, Any]:
    return {"rules": list(conflict.rules), "fields": list(conflict.fields), "reason": conflict.reason}
