"""An Answer in, raw scores out: how sure the model was, read from its token log-probabilities.

A closed value's probability sums over all the token paths that spell it, at the points where the answer
could still have become another one. Any other value's probability is that of its tokens, one after
another. Never the model's own word about its confidence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tagger.ask import Answer, choice_values
from tagger.engines.base import Step
from tagger.grammar import spell_value
from tagger.plan import Ask
from tagger.schema import FieldBase, takes_several


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known about one value before calibration, by the texts of values.

    `model` has every value of a closed field, and of an open one the value that was written (its JSON text), if any;
    of a list each item that was written, "[]" where there is none.
    `rows` is what labelled rows say of the same texts (prior.py), and of an open field's values that the rows
    propose themselves (spans.py); empty without labelled rows.
    `least` is the probability of the least likely token of an open value; 1 for closed ones. `inferred`: it is a
    verbatim value, or a number, that the record does not hold. `shares` and `usual` are those of spans.SpanView, for
    open values with labelled rows.
    """

    model: Mapping[str, float]
    rows: Mapping[str, float]
    least: float = 1.0
    shares: Mapping[str, float] = field(default_factory=dict)
    usual: float = 0.5
    inferred: bool = False

    @property
    def candidates(self) -> list[str]:
        """The texts that may be said: the model's, and those that the rows propose."""
        return list(dict.fromkeys([*self.model, *self.rows]))


def raw_scores(ask: Ask, fields: Mapping[str, FieldBase], answer: Answer) -> dict[str, Scores]:
    """The model's scores of each answered field; `rows` is still empty."""
    if not ask.as_object:
        spelled = choice_values(ask, fields)
        masses = answer.completion.masses or path_masses(answer.completion.steps, list(spelled))
        return {ask.fields[0]: Scores(_named(masses, fields[ask.fields[0]], spelled), {})}
    found, at = {}, 0
    written = answer.completion.text
    for name, value in answer.values.items():
        key = json.dumps(name, ensure_ascii=False) + ": "
        start = written.index(key, at) + len(key)
        literal = spell_value(fields[name], value)
        at = start + len(literal)
        found[name] = _in_json(fields[name], answer, len(written[:start].encode()), literal)
    return found


def voted(given: Sequence[Mapping[str, Scores]], lists: Collection[str] = ()) -> dict[str, Scores]:
    """The scores of several answers to one question as one: probabilities are averaged, what an answer does not name
    has none in it, and a field that fewer than half of them answer is left out; of the fields in `lists`, whose value
    is a list, so is an item."""
    if len(given) == 1:
        return dict(given[0])
    scores = {}
    for name in dict.fromkeys(name for found in given for name in found):
        mine = [found[name] for found in given if name in found]
        if 2 * len(mine) >= len(given):
            texts = dict.fromkeys(text for one in mine for text in one.model)
            model = {text: sum(one.model.get(text, 0.0) for one in mine) / len(given) for text in texts}
            if name in lists:
                named = {text: 2 * sum(text in one.model for one in mine) >= len(given) for text in texts}
                model = {text: p for text, p in model.items() if named[text]} or {"[]": 1 - max(model.values())}
            scores[name] = Scores(model, {}, sum(one.least for one in mine) / len(mine))
    return scores


def path_masses(steps: Sequence[Step], choices: Sequence[str], base: bytes = b"") -> dict[str, float]:
    """Probability of each choice, summed over the token paths in `steps` that spell it behind `base`.

    What was not looked into is shared out among the choices that it may still lead to.
    """
    seen = {step.prefix: step.top for step in steps}
    texts = {choice: base + choice.encode() for choice in choices}
    masses = dict.fromkeys(choices, 0.0)

    def walk(prefix: bytes, mass: float) -> None:
        for text, logprob in seen[prefix].items():
            after = prefix + text
            ahead = [c for c, whole in texts.items() if (_leads(after, whole, bool(base)) if text else after == whole)]
            reached = mass * math.exp(logprob)
            if len(ahead) > 1 and after in seen:
                walk(after, reached)
            else:
                for choice in ahead:
                    masses[choice] += reached / len(ahead)

    start = max((p for p in seen if base.startswith(p)), key=len, default=None)
    if start is not None:
        walk(start, 1.0)
    total = sum(masses.values())
    return {choice: mass / total for choice, mass in masses.items()} if total else masses


def _leads(written: bytes, whole: bytes, in_json: bool) -> bool:
    """Whether a text written so far can become `whole`, or (in JSON) is already past its end."""
    if whole.startswith(written):
        return True
    return in_json and written.startswith(whole) and written[len(whole) : len(whole) + 1] in b",}"


def _in_json(field: FieldBase, answer: Answer, start: int, literal: str) -> Scores:
    closed = field.closed
    if closed is not None:
        spelled = {json.dumps(value, ensure_ascii=False): value for value in closed.values()}
        base = answer.completion.text.encode()[:start]
        return Scores(_named(path_masses(answer.completion.steps, list(spelled), base), field, spelled), {})
    if not takes_several(field):
        logprob, least = _written(answer, start, literal)
        return Scores({literal: math.exp(logprob)}, {}, math.exp(least))
    if literal == "[]":
        return Scores({literal: math.exp(_written(answer, start, literal)[0])}, {})
    found: dict[str, float] = {}
    at, leasts = start + 1, [0.0]  # behind the bracket
    for item in json.loads(literal):
        text = json.dumps(item, ensure_ascii=False)
        logprob, least = _written(answer, at, text)
        found.setdefault(text, math.exp(logprob))
        leasts.append(least)
        at += len(text.encode()) + len(", ")
    return Scores(found, {}, math.exp(min(leasts)))


def _written(answer: Answer, start: int, literal: str) -> tuple[float, float]:
    """Log-probability of the tokens that wrote `literal` at byte `start`, and of the least likely of them."""
    end, at, logprob, least = start + len(literal.encode()), 0, 0.0, 0.0
    for text, token_logprob in answer.completion.logprobs:
        if at < end and at + len(text) > start:
            logprob += token_logprob
            least = min(least, token_logprob)
        at += len(text)
    return logprob, least


def _named(masses: Mapping[str, float], field: FieldBase, spelled: Mapping[str, Any]) -> dict[str, float]:
    total = sum(masses.values()) or 1.0
    texts = {value: text for text, value in (field.closed or {}).items()}
    return {texts[spelled[text]]: mass / total for text, mass in masses.items()}
