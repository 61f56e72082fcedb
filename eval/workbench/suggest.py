"""What was confused in, what might help out: labelled rows to show as examples, and drafts of label descriptions.

Nothing here changes a task. What is suggested is shown to a person, who takes it over or does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from eval.score import Verdict
from eval.slices import Confusion, confusions, shown
from tagger.engines.base import Constraint, Engine, Request
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.likeness import plain_text, vectorizer
from tagger.prompt import Head, Prompt, escape
from tagger.questions import showable
from tagger.schema import ClosedField
from tagger.task import Task

LEAST, MOST = 10, 120
"""Characters of a description."""
NEIGHBOURS = 10
"""Other labels that are named beside one that is described, those next to it in the list."""
PATTERNS = 5
"""Descriptions that a person wrote, shown to the model as what is wanted."""
_SHOWN = 3
"""Examples of a label that the model sees."""
_SAMPLE = "what belongs to the label"
_GRAMMAR = "root ::= " + "char " * LEAST + 'char*\nchar ::= [^"\\\\\\x00-\\x1f\\x7f-\\x9f]\n'
"""One line. That it ends within MOST characters is left to the check: in the grammar it would make token masks slow
(grammar.py), and would cut a sentence where it should end."""
_CHINESE = re.compile("[\u4e00-\u9fff]")
_WORDS = {
    "en": (
        "You write label descriptions for this task: {about}\nFor each label say in one line of {least} to {most} "
        "characters what belongs to it, and what sets it apart from the other labels. No quotes, no label name.",
        "label: {label}",
        "other labels: {others}",
        "example: {text}",
    ),
    "zh": (
        "请为以下任务的标签写说明：{about}\n每个标签用一行话（{least}到{most}个字符）说明什么属于它，"
        "以及它与其他标签的区别。不要用引号，不要重复标签名。",
        "标签：{label}",
        "其他标签：{others}",
        "例子：{text}",
    ),
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A labelled row to show as an example, and in a sentence why."""

    example: Example
    because: str


def examples_worth_adding(
    task: Task, verdicts: Sequence[Verdict], judged: Sequence[Example], spare: Sequence[Example], most: int = 5
) -> list[Suggestion]:
    """At most `most` rows of `spare` to show as examples against the most frequent confusions.

    `verdicts` are those on the rows `judged`; rows of `spare` judge nothing. For each confusion the rows with the
    value that would have been right are taken, those first that are on average nearest to the rows that were got wrong
    (cosine of character TF-IDF vectors). Each confusion gets one before any gets a second. A row with the text of a
    judged one, of an example or of another suggestion is never taken, nor one that cannot be shown.
    """
    taken = {plain_text(row.record) for row in (*judged, *task.examples)}
    free: dict[str, Example] = {}
    for row in showable(task, spare):
        if (text := plain_text(row.record)) not in taken:
            free.setdefault(text, row)
    rows = {row.record.id: row for row in judged}
    ranked: list[list[Suggestion]] = []
    for confusion in confusions(verdicts):
        if len(ranked) == most:
            break
        wrong = [rows[v.id] for v in verdicts if v.kind == "wrong" and _names(confusion, v)]
        if found := [row for row in free.values() if shown(row.answer.get(confusion.field)) == confusion.gold]:
            ranked.append([Suggestion(row, _because(task, confusion)) for row in _nearest(found, wrong)])
    picked: dict[str, Suggestion] = {}
    for turn in zip_longest(*ranked):
        for suggestion in filter(None, turn):
            picked.setdefault(plain_text(suggestion.example.record), suggestion)
    return list(picked.values())[:most]


def describe(
    engine: Engine, task: Task, field: str, labels: Sequence[str], examples_of: Mapping[str, Sequence[Example]]
) -> dict[str, str]:
    """Drafts of descriptions by label, written by the model; whoever shows them says that they are drafts.

    A draft is one line of LEAST to MOST characters, in Chinese where the task's `about` is. The model sees the label,
    those beside it, up to three of its `examples_of` and descriptions that a person wrote. All labels are one batch;
    one whose draft was cut, refused or of another length is missing in the result. Raises SettingsError for a field
    without labels and for a label that it does not have.
    """
    closed = task.fields.get(field)
    if not isinstance(closed, ClosedField):
        raise SettingsError(f"field {field!r} has no labels to describe", hint=f"fields are: {', '.join(task.fields)}")
    if unknown := [label for label in labels if label not in closed.labels]:
        raise SettingsError(f"{unknown[0]!r} is no label of field {field!r}")
    told, *_ = words = _WORDS["zh" if _CHINESE.search(task.definition.about) else "en"]
    known = [label for label, about in closed.labels.items() if label not in labels and _whole(about)][:PATTERNS]
    turns = tuple((_question(task, closed, label, (), words), closed.labels[label]) for label in known)
    head = Head(told.format(about=task.definition.about, least=LEAST, most=MOST), turns)
    asked = [
        Prompt(head, (), _question(task, closed, label, examples_of.get(label, ())[:_SHOWN], words)) for label in labels
    ]
    answers = engine.complete([Request(prompt, Constraint(_GRAMMAR, sample=_SAMPLE), MOST + 40) for prompt in asked])
    drafts = {
        label: answer.text.strip()
        for label, answer in zip(labels, answers, strict=True)
        if answer.finish_reason == "stop"
    }
    return {label: draft for label, draft in drafts.items() if _whole(draft)}


def _names(confusion: Confusion, verdict: Verdict) -> bool:
    said = (verdict.field, shown(verdict.gold), shown(verdict.value))
    return said == (confusion.field, confusion.gold, confusion.answered)


def _nearest(found: Sequence[Example], wrong: Sequence[Example]) -> list[Example]:
    """`found`, those first that are most like the `wrong`."""
    vectors = vectorizer().fit_transform([plain_text(row.record) for row in (*found, *wrong)])
    likeness = (vectors[: len(found)] @ vectors[len(found) :].T).toarray().mean(axis=1)
    return [found[i] for i in np.argsort(-likeness, kind="stable")]


def _because(task: Task, confusion: Confusion) -> str:
    value = confusion.gold if len(task.fields) == 1 else f"{confusion.field} {confusion.gold}"
    if confusion.count == 1:
        return f"1 row of {value} was called {confusion.answered}; this one is like it"
    return f"{confusion.count:,} rows of {value} were called {confusion.answered}; this one is like them"


def _question(
    task: Task, field: ClosedField, label: str, examples: Sequence[Example], words: tuple[str, str, str, str]
) -> str:
    """A label as the model reads it: its name, those beside it, and rows that have it."""
    _, name, beside, example = words
    listed = list(field.labels)
    first = max(0, listed.index(label) - NEIGHBOURS // 2)
    others = [other for other in listed[first : first + NEIGHBOURS + 1] if other != label]
    texts = [" ".join(" ".join(row.record.values[c] for c in task.text_columns).split()) for row in examples]
    lines = [name.format(label=label), beside.format(others=" | ".join(others))]
    return "\n".join(lines + [example.format(text=escape(text)) for text in texts])


def _whole(text: str) -> bool:
    return LEAST <= len(text) <= MOST and "\n" not in text
