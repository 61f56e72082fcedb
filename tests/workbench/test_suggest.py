"""What is suggested answers to what went wrong, and is never a row that judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from eval.score import Verdict
from eval.workbench.suggest import LEAST, MOST, describe, examples_worth_adding
from tagger.definition import Definition
from tagger.engines.base import Completion, Request
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.prompt import Prompt
from tagger.record import Column, Record
from tagger.schema import LabelField, TextField
from tagger.task import Task

LABELS = {"Tea": "leaves to brew in hot water", "Coffee": "", "Soup": "", "Cup": ""}


def drinks(about: str = "Drinks", examples: Sequence[tuple[str, str]] = ()) -> Task:
    definition = Definition(about=about, columns={"title": Column()}, fields={"kind": LabelField(labels=LABELS)})
    return Task.define("drinks", definition, examples=tuple(({"title": t}, {"kind": k}) for t, k in examples))


def row(title: str, kind: str) -> Example:
    return Example(Record(title, {"title": title}), {"kind": kind})


def wrong(title: str, gold: str, value: str) -> Verdict:
    return Verdict(title, "kind", gold, value, 0.9, "wrong", True)


JUDGED = [row("matcha powder latte mix", "Tea"), row("matcha powder green", "Tea"), row("miso broth cube", "Soup")]
FOUND = [
    wrong("matcha powder latte mix", "Tea", "Coffee"),
    wrong("matcha powder green", "Tea", "Coffee"),
    wrong("miso broth cube", "Soup", "Tea"),
]
SPARE = [
    row("earl grey bags", "Tea"),
    row("Matcha Powder Organic", "Tea"),
    row("matcha powder organic", "Tea"),
    row("matcha whisk set powder", "Tea"),
    row("espresso matcha powder beans", "Coffee"),
    row("tomato soup", "Soup"),
    row("miso broth paste", "Soup"),
    row("MATCHA powder green", "Tea"),
]


def titles(task: Task, most: int = 5) -> list[str]:
    return [s.example.record.id for s in examples_worth_adding(task, FOUND, JUDGED, SPARE, most)]


def test_each_confusion_gets_its_nearest_rows_in_turn_and_none_twice_or_judged() -> None:
    found = titles(drinks())

    assert found[:2] == ["Matcha Powder Organic", "miso broth paste"]
    assert found[2:] == ["matcha whisk set powder", "tomato soup", "earl grey bags"]
    assert titles(drinks(), most=1) == ["Matcha Powder Organic"]


def test_what_is_an_example_already_is_not_suggested() -> None:
    assert titles(drinks(examples=[("matcha powder ORGANIC", "Tea")]))[0] == "matcha whisk set powder"


def test_a_suggestion_says_in_a_sentence_what_it_is_for() -> None:
    tea, soup = examples_worth_adding(drinks(), FOUND, JUDGED, SPARE, 2)

    assert tea.because == "2 rows of Tea were called Coffee; this one is like them"
    assert soup.because == "1 row of Soup was called Tea; this one is like it"


def test_without_a_wrong_answer_or_a_row_for_it_nothing_is_suggested() -> None:
    assert examples_worth_adding(drinks(), [], JUDGED, SPARE) == []
    assert examples_worth_adding(drinks(), FOUND, JUDGED, [row("mocha", "Coffee")]) == []


def drafts(answer: Callable[[Prompt], str], task: Task, labels: Sequence[str], **of: Sequence[Example]) -> Any:
    engine = ScriptedEngine(answer)
    return describe(engine, task, "kind", labels, of), engine.history


def test_a_label_is_described_from_its_name_its_neighbours_and_its_rows() -> None:
    rows = [row(f"espresso <|im_end|> {n}", "Coffee") for n in range(5)]

    found, asked = drafts(lambda p: f"about {p.record.splitlines()[0]}", drinks(), ["Coffee", "Cup"], Coffee=rows)

    assert found == {"Coffee": "about label: Coffee", "Cup": "about label: Cup"}
    assert asked[0].prompt.record.splitlines() == [
        "label: Coffee", "other labels: Tea | Soup | Cup",
        *(f"example: espresso < |im_end|> {n}" for n in range(3)),
    ]  # fmt: skip
    assert asked[0].prompt.head.shots == (
        ("label: Tea\nother labels: Coffee | Soup | Cup", "leaves to brew in hot water"),
    )
    assert asked[0].prompt.head is asked[1].prompt.head


@pytest.mark.parametrize("text", ["too short", "x" * (MOST + 1), "two lines\nare none", "   " + "x" * (LEAST - 1)])
def test_a_draft_of_another_shape_is_not_shown(text: str) -> None:
    found, _ = drafts(lambda p: text if "Coffee" in p.record.splitlines()[0] else "a" * LEAST, drinks(), list(LABELS))

    assert list(found) == ["Tea", "Soup", "Cup"]


class Cutting(ScriptedEngine):
    """Comes to no end within the tokens that it has."""

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        return [Completion("hot drinks of roasted beans and", "length") for _ in requests]


def test_a_draft_that_was_cut_is_not_shown() -> None:
    assert describe(Cutting(), drinks(), "kind", ["Coffee"], {}) == {}


def test_a_chinese_task_is_described_in_chinese() -> None:
    found, asked = drafts(lambda _: "用咖啡豆冲泡或研磨的饮品", drinks("饮料的种类"), ["Coffee"])

    assert found == {"Coffee": "用咖啡豆冲泡或研磨的饮品"}
    assert asked[0].prompt.head.instruction.startswith("请为以下任务的标签写说明：饮料的种类")
    assert asked[0].prompt.record.startswith("标签：Coffee\n其他标签：Tea")


def test_the_grammar_compiles_and_has_an_answer_of_its_own() -> None:
    xgrammar = pytest.importorskip("xgrammar")
    engine = ScriptedEngine()

    found = describe(engine, drinks(), "kind", ["Coffee"], {})

    (request,) = engine.history
    grammar = xgrammar.Grammar.from_ebnf(request.constraint.grammar)
    assert _takes(xgrammar, grammar, found["Coffee"])
    assert not _takes(xgrammar, grammar, "short")
    assert not _takes(xgrammar, grammar, "two lines\nare one too many")
    assert not _takes(xgrammar, grammar, '"in quotes it is not"')


def _takes(xgrammar: Any, grammar: Any, text: str) -> bool:
    bytes_alone = xgrammar.TokenizerInfo([bytes([n]) for n in range(256)] + [b"</s>"], stop_token_ids=[256])
    matcher = xgrammar.GrammarMatcher(xgrammar.GrammarCompiler(bytes_alone, max_threads=1).compile_grammar(grammar))
    return all(matcher.accept_token(byte) for byte in text.encode()) and bool(matcher.accept_token(256))


def test_what_has_no_labels_cannot_be_described() -> None:
    named = Task.define("x", Definition(about="x", columns={"title": Column()}, fields={"brand": TextField()}))

    with pytest.raises(SettingsError, match="'brand' has no labels"):
        describe(ScriptedEngine(), named, "brand", ["x"], {})
    with pytest.raises(SettingsError, match="'Milk' is no label"):
        describe(ScriptedEngine(), drinks(), "kind", ["Milk"], {})
