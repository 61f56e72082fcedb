"""A record's tags in, the tags as the task's rules have them out, with what was changed and what needs a person.

A rule is applied as a constraint where its condition is known before the field is asked (from a column, or from an
earlier question): `limits`. What can only be known afterwards is checked: `settled`. Nothing is changed without a
trace: a value that a rule has made has a Correction, and where rules contradict each other, or what was said, the
tagging has a Conflict and the doubtful value is withheld.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tagger.decide import ALTERNATIVES, doubt_of
from tagger.evidence import Evidence, find
from tagger.plan import Ask
from tagger.questions import Limits
from tagger.record import Record
from tagger.result import Alternative, Conflict, Correction, Tag
from tagger.rulebook import Implication, RuleBook, Step, items_of
from tagger.schema import (
    FieldBase,
    LabelField,
    LabelsField,
    PathField,
    is_quantity,
    plain_quantity,
    takes_several,
    takes_spans,
)


class Rules:
    """Applies a rule book to the tags of a task with these `fields`.

    `threshold` gives the probability under which a field is silent: what a rule concludes is held to it, too.
    """

    def __init__(self, book: RuleBook, fields: Mapping[str, FieldBase], threshold: Callable[[str], float]) -> None:
        self._book, self._fields, self._threshold = book, fields, threshold
        targets = dict.fromkeys(one.field for one in book.implications)
        self._about = {name: [one for one in book.implications if one.field == name] for name in targets}

    def limits(self, ask: Ask, record: Record, tags: Mapping[str, Tag]) -> Limits:
        """What the rules leave of the fields of an ask, as far as `tags` of earlier asks and columns tell.

        Labels are left as a constraint where the answer spells them; letters (codes) stand for labels by their place,
        and a path asked level by level is not known whole: these are checked, as texts and numbers are. So are rules
        that leave no label at all.
        """
        known = {name: self._rewritten(name, tag) for name, tag in tags.items()}
        found: dict[str, tuple[str, ...]] = {}
        for name in ask.fields:
            active = [one for one in self._about.get(name, ()) if one.holds(partial(_said, record, known))]
            if not active or _contradictory(active):
                continue
            asked = self._fields[name]
            if any(not one.values for one in active):
                found[name] = ()
            elif isinstance(asked, LabelField | LabelsField | PathField) and ask.form not in ("codes", "levels"):
                said = {label: self._book.rewritten(name, label)[0] for label in asked.labels}
                left = tuple(label for label in asked.labels if all(one.fits(said[label]) for one in active))
                if 0 < len(left) < len(said):
                    found[name] = left
        return found

    def settled(
        self, record: Record, asked: Collection[str], tags: Mapping[str, Tag]
    ) -> tuple[dict[str, Tag], tuple[Conflict, ...]]:
        """The tags of a record as the rules have them, and the conflicts; `asked` are the fields asked of it."""
        state = _State(record, {name: self._rewritten(name, tag) for name, tag in tags.items()})
        state.conflicts += self._flags(state.tags)
        while any(self._step(name, state) for name in self._about if name in asked) or self._unfounded(state):
            pass
        return state.tags, tuple(state.conflicts)

    def _rewritten(self, name: str, tag: Tag) -> Tag:
        """A tag with its value as the rules say it. Evidence stays that of the text as it is written."""
        if self._fields[name].closed:
            return self._together(name, tag)
        value, steps = self._book.rewritten(name, tag.value)
        if not steps:
            return tag
        if isinstance(value, list):
            return _list_rewritten(self._book, name, self._fields[name], tag, _corrections(steps))
        others = tuple(one for one in tag.alternatives if self._book.rewritten(name, one.value)[0] != value)
        return replace(tag, value=value, alternatives=others, corrections=_corrections(steps))

    def _together(self, name: str, tag: Tag) -> Tag:
        """The tag of a field with one label, where one that several candidates come to is as probable as all of them
        together, and is then said or not as it would be for that."""
        told = [*(() if tag.value is None else (Alternative(tag.value, tag.probability),)), *tag.alternatives]
        rewritten = [self._book.rewritten(name, one.value) for one in told]
        if not any(steps for _, steps in rewritten):
            return tag
        sums: dict[Any, float] = {}
        for one, (value, _) in zip(told, rewritten, strict=True):
            sums[value] = min(1.0, sums.get(value, 0.0) + one.probability)
        best, *others = sorted(sums, key=sums.__getitem__, reverse=True)
        silent = sums[best] < self._threshold(name) or sums[best] == 0
        return replace(
            tag,
            value=None if silent else best,
            probability=sums[best],
            abstained=silent,
            doubt=doubt_of(best, sums[best], self._threshold(name)) if silent else None,
            alternatives=tuple(Alternative(value, sums[value]) for value in ([best] if silent else []) + others),
            corrections=() if silent else _corrections(next(steps for value, steps in rewritten if value == best)),
        )

    def _step(self, name: str, state: _State) -> bool:
        """One thing that the rules about a field change; False if there is none."""
        active = [one for one in self._about[name] if one.holds(state.said)]
        if not active or name in state.closed:
            return False
        tag = state.tags.get(name)
        if rules := _contradictory(active):
            told = "; ".join(_told(one) for one in active if one.rule in rules)
            return state.withhold(name, Conflict(rules, (name,), f"the rules contradict each other: {told}"))
        if tag is None or not items_of(tag.value):
            return self._fill(name, active, state)
        wrong = next((one for one in active if not one.fits(tag.value)), None)
        if wrong is None:
            return False
        doubtful = _doubtful(wrong, state.tags)
        others = [other for other in (name, *wrong.given) if other != doubtful]
        told = f"{_told(wrong)}, but it is {_shown(tag.value)} ({tag.probability:.2f})"
        return state.withhold(doubtful, Conflict((wrong.rule,), (doubtful, *others), told))

    def _fill(self, name: str, active: Iterable[Implication], state: _State) -> bool:
        """Say what a rule says where nothing was said, if its condition is probable enough for the field."""
        for one in active:
            p = min((state.tags[given].probability for given in one.given if given in state.tags), default=1.0)
            if one.says and p >= self._threshold(name):
                state.tags[name] = _concluded(one, p, self._fields[name], state.tags.get(name), state.record)
                state.filled[name] = one
                return True
        return False

    def _unfounded(self, state: _State) -> bool:
        """Withhold what was concluded from a value that has been withheld since."""
        for name, one in state.filled.items():
            if name not in state.closed and not one.holds(state.said):
                told = f"it was concluded where {_condition(one)}, which is withheld"
                return state.withhold(name, Conflict((one.rule,), (name,), told))
        return False

    def _flags(self, tags: Mapping[str, Tag]) -> Iterator[Conflict]:
        """What the rules cannot place; it is said all the same."""
        for name, tag in tags.items():
            if tag.value is None:
                continue
            if unknown := self._book.unknown(name, tag.value):
                yield Conflict((f"brands.{name}",), (name,), f"not on the list: {_shown(unknown)}")
            scale = self._book.units[name].get(tag.value["unit"]) if name in self._book.units else None
            if scale and scale.target != tag.value["unit"]:
                told = f"{_shown(tag.value)} cannot be told in {scale.target} with six decimals"
                yield Conflict((f"units.{name}",), (name,), told)


@dataclass(slots=True)
class _State:
    """A record's tags while the rules are applied to them."""

    record: Record
    tags: dict[str, Tag]
    conflicts: list[Conflict] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    """Fields on which a conflict has been found: no rule says them any more."""
    filled: dict[str, Implication] = field(default_factory=dict)

    def said(self, name: str) -> Any:
        """The value of a field or column as it stands now."""
        return _said(self.record, self.tags, name)

    def withhold(self, name: str, conflict: Conflict) -> bool:
        """Put a conflict down, and take the value of the field back; it leads the alternatives then."""
        self.conflicts.append(conflict)
        self.closed.add(name)
        tag = self.tags.get(name)
        if tag is not None and not tag.abstained:
            others = (Alternative(tag.value, tag.probability), *tag.alternatives)
            others = others[:ALTERNATIVES]
            self.tags[name] = replace(tag, value=None, abstained=True, alternatives=others, evidences=())
        return True


def _corrections(steps: Iterable[Step]) -> tuple[Correction, ...]:
    return tuple(Correction(step.rule, step.before, step.after) for step in steps)


def _list_rewritten(book: RuleBook, name: str, field: FieldBase, tag: Tag, steps: tuple[Correction, ...]) -> Tag:
    """Items that are one now keep the first's evidence, and are as probable as the likeliest of them."""
    places: dict[str, Evidence | None] = {}
    each = dict(tag.each)
    for item, place in zip(tag.value, tag.evidences or [None] * len(tag.value), strict=True):
        said = book.rewritten(name, item)[0]
        places.setdefault(said, place)
        text = json.dumps(said, ensure_ascii=False)
        each[text] = max(each.get(text, 0.0), tag.each.get(json.dumps(item, ensure_ascii=False), 0.0))
    value = [label for label in field.labels if label in places] if isinstance(field, LabelsField) else list(places)
    evidences = tuple(places[item] for item in value) if tag.evidences else ()
    return replace(tag, value=value, evidences=evidences, each=each, corrections=steps)


def _concluded(one: Implication, p: float, field: FieldBase, before: Tag | None, record: Record) -> Tag:
    """The tag of a field of which a rule alone says the value."""
    (item,), several = one.values, takes_several(field)
    place = find(item, record.values) if takes_spans(field) else None
    value = [item] if several else item
    return Tag(
        value=value,
        probability=p,
        evidence=None if several else place,
        inferred=takes_spans(field) and place is None,
        alternatives=tuple(other for other in before.alternatives if other.value != value) if before else (),
        evidences=(place,) if several and takes_spans(field) else (),
        each={json.dumps(item, ensure_ascii=False): p} if several else {},
        corrections=(Correction(one.rule, None, value),),
        scores=before.scores if before else None,
    )


def _doubtful(wrong: Implication, tags: Mapping[str, Tag]) -> str:
    """Whose value is withheld: that of the less probable of condition and conclusion; the latter's where the condition
    leads, or they are as probable."""
    fields = [] if wrong.leads else [given for given in wrong.given if given in tags]
    return min([wrong.field, *fields], key=lambda name: tags[name].probability)


def _contradictory(active: Iterable[Implication]) -> tuple[str, ...]:
    """The names of rules about one field that cannot all be kept; none if they can."""
    left = [one for one in active if one.values]
    absent = [one for one in active if not one.values]
    clash = any(one.says for one in left) and bool(absent)
    if left and not clash:
        absent = []
        clash = not any(all(one.fits(value) for one in left) for value in left[0].values)
    return tuple(dict.fromkeys(one.rule for one in (*left, *absent))) if clash else ()


def _said(record: Record, tags: Mapping[str, Tag], name: str) -> Any:
    """The value of a field, or of a column, of a record; None where nothing is said."""
    return tags[name].value if name in tags else record.values.get(name)


def _condition(one: Implication) -> str:
    return " and ".join(f"{name} is {_shown(values)}" for name, values in one.given.items())


def _told(one: Implication) -> str:
    """A rule in words."""
    where = f"where {_condition(one)}, " if one.given else ""
    return f"{where}{one.field} is {_shown(one.values) if one.values else 'absent'}"


def _shown(value: Any, most: int = 5) -> str:
    """A value as it is told; of many the first."""
    if isinstance(value, list | tuple):
        return " or ".join(_shown(item) for item in value[:most]) + (" or ..." if len(value) > most else "")
    if is_quantity(value):
        return plain_quantity(value)
    return json.dumps(value, ensure_ascii=False)
