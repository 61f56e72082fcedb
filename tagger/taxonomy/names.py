"""Clusters of rows in, a name for each out: one of the kinds written for its rows, chosen under a grammar."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from tagger.engines.base import Completion, Constraint, Engine, Request
from tagger.errors import EngineError
from tagger.grammar import choice_grammar
from tagger.prompt import Head, Prompt
from tagger.taxonomy.kinds import GRAMMARS, SAMPLES, Language, language_of, shown

CANDIDATES, TITLES = 4, 6
"""Names that stand for choice, and typical rows that are shown."""

_CHOOSE: Mapping[Language, Head] = {
    "en": Head(
        "The user shows products that stand on one shelf, and candidates for its name. "
        "Answer with the candidate that names all of them best."
    ),
    "zh": Head("用户给出放在同一个货架上的商品，以及货架名称的候选。请回答最能概括全部商品的那个候选。"),
}
_ABOVE: Mapping[Language, Head] = {
    "en": Head(
        "The user shows names of shelves. Answer with the department of a shop in which all of them stand.",
        (
            ("garden hose, lawn mower, flower pot", "garden"),
            ("guitar, violin, drum kit", "musical instruments"),
            ("cat food, dog leash, aquarium", "pet supplies"),
        ),
    ),
    "zh": Head(
        "用户给出几个货架的名称。请回答它们共同所属的部门。",
        (("水管、割草机、花盆", "园艺"), ("吉他、小提琴、架子鼓", "乐器"), ("猫粮、牵引绳、鱼缸", "宠物用品")),
    ),
}
_IN_ENGLISH = Head(
    "The user shows a kind of product. Answer with what it is called in English, in one to three words.",
    (("固体胶", "glue stick"), ("吉他", "guitar"), ("猫粮", "cat food"), ("办公椅", "office chair")),
)
_PLURAL = re.compile(r"(?<=[a-z]{3})(?<!s)s\b|(?<=[sxz])es\b|(?<=[cs]h)es\b")


def folded(name: str) -> str:
    """A name without regard to case, plural and hyphens: two that differ in nothing else are one."""
    return _PLURAL.sub("", name.casefold().replace("-", " "))


def candidates(kinds: Sequence[str], everywhere: Mapping[str, int]) -> dict[str, float]:
    """The names that fit a cluster best, with their shares: frequent among its rows, and rare elsewhere.

    `kinds` are those of the cluster's rows, `everywhere` counts the folded ones of all rows.
    """
    counts = Counter(folded(kind) for kind in kinds if kind)
    spelled = {name: Counter(kind for kind in kinds if folded(kind) == name).most_common(1)[0][0] for name in counts}
    scores = {name: count * count / everywhere[name] for name, count in counts.items()}
    best = sorted(scores, key=lambda name: (-scores[name], name))[:CANDIDATES]
    total = sum(scores[name] for name in best)
    return {spelled[name]: scores[name] / total for name in best}


def chosen(options: Sequence[Mapping[str, float]], texts: Sequence[Sequence[str]], engine: Engine) -> list[str]:
    """For each cluster the candidate with the highest product of its share and the model's probability.

    `texts` are typical rows of each cluster. A cluster with one candidate is not asked about.
    """
    asked = [i for i, names in enumerate(options) if len(names) > 1]
    answers = _complete(engine, [_choice(list(options[i]), texts[i]) for i in asked])
    found = [next(iter(names)) for names in options]
    for i, answer in zip(asked, answers, strict=True):
        masses = answer.masses or dict.fromkeys([answer.text], 1.0)
        found[i] = max(options[i], key=lambda name: options[i][name] * masses.get(name, 0.0))
    return found


def above(groups: Sequence[Sequence[str]], engine: Engine) -> list[str]:
    """For each group of labels a name for the node above them, as the model writes it; "" where it wrote none."""
    requests = []
    for names in groups:
        language = language_of(" ".join(names))
        told = {"en": ", ", "zh": "、"}[language].join(names)
        constraint = Constraint(GRAMMARS[language], sample=SAMPLES[language])
        requests.append(Request(Prompt(_ABOVE[language], (), told), constraint, max_tokens=24))
    return [answer.text if answer.finish_reason == "stop" else "" for answer in _complete(engine, requests)]


def in_english(names: Sequence[str], engine: Engine) -> dict[str, str]:
    """Each name in English, as the model writes it; those that are English stay as they are."""
    asked = [name for name in dict.fromkeys(names) if language_of(name) == "zh"]
    constraint = Constraint(GRAMMARS["en"], sample=SAMPLES["en"])
    answers = _complete(engine, [Request(Prompt(_IN_ENGLISH, (), name), constraint, max_tokens=24) for name in asked])
    glosses = {name: answer.text for name, answer in zip(asked, answers, strict=True) if answer.finish_reason == "stop"}
    return {name: glosses.get(name, name) for name in names}


def _choice(names: Sequence[str], texts: Sequence[str]) -> Request:
    told = "\n".join(["- " + shown(text) for text in texts[:TITLES]] + ["candidates: " + " | ".join(names)])
    head = _CHOOSE[language_of(" ".join(names))]
    return Request(Prompt(head, (), told), Constraint(choice_grammar(names), tuple(names)), max_tokens=24)


def _complete(engine: Engine, requests: Sequence[Request]) -> list[Completion]:
    answers = engine.complete(requests) if requests else []
    if broken := next((answer for answer in answers if answer.finish_reason == "error"), None):
        raise EngineError(f"the engine cannot serve: {broken.text}", where=engine.info.engine)
    return answers
