"""A report says what the verdicts say, loads nothing, and shows foreign text as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any, Literal

import pytest
from pydantic import BaseModel, create_model

from eval.figures import expected_calibration_error, share
from eval.pages import Facts, as_json
from eval.record import Header, Run
from eval.report import ONE_KIND, as_html, as_markdown, facts, plan_in_words, worst
from eval.run import header_of, run
from eval.score import Verdict, verdicts
from tagger import ScriptedEngine, Tagger, Task
from tagger.errors import SourceError
from tagger.example import Example
from tagger.record import Record

HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(2)> | `'
Said = Mapping[str, tuple[Mapping[str, Any], str | Mapping[str, float]]]
"""Title -> the right answer, and what the engine says."""


class Drink(BaseModel):
    """a drink"""

    kind: Literal["<b>茶</b> $x^$", "咖啡", "cocoa"]


class Shoe(BaseModel):
    """a shoe"""

    brand: str | None = None
    colour: str | None = None


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def ran(task: Task, said: Said) -> tuple[Run, list[Example], list[Verdict]]:
    def answer(prompt) -> str | Mapping[str, float]:  # type: ignore[no-untyped-def]
        return next(reply for title, (_, reply) in said.items() if title in prompt.record)

    rows = [Example(Record(title, {"title": title}), gold) for title, (gold, _) in said.items()]
    tagger = Tagger(task, engine=ScriptedEngine(answer), calibrated=False)
    header = header_of(tagger, rows, set_name="mine", split="dev", sample=None, seed=0, shots=0)
    found = run(tagger, rows, header)
    return found, rows, verdicts(found, rows, {row.record.id: tuple(task.fields) for row in rows})


def reported(task: Task, said: Said, **more: Any) -> Facts:
    found, rows, judged = ran(task, said)
    return facts(found, task, rows, judged, **more)


def kinds(count: int, right: float, wrong: float = 0.4) -> Said:
    """Drinks of which every fourth is taken for cocoa, with the probabilities given."""
    masses = {
        False: {"咖啡": right, "cocoa": 1 - right, "<b>茶</b> $x^$": 0.0},
        True: {"咖啡": (1 - wrong) / 2, "cocoa": wrong, "<b>茶</b> $x^$": (1 - wrong) / 2},
    }
    return {f"drink {i:03}": ({"kind": "咖啡"}, masses[i % 4 == 3]) for i in range(count)}


def test_the_counts_and_shares_are_those_of_the_verdicts(tea_run: Run, rows: list[Example], category: Task) -> None:
    judged = verdicts(tea_run, rows, {row.record.id: ("category",) for row in rows})

    known = facts(tea_run, category, rows, judged, prompts={"tea cup": "what was read"})

    assert {kind: n for kind, n in known["values"].items() if n} == {"right": 2, "wrong": 1, "rejected": 1}
    assert [(f["figure"], f["value"], f["n"]) for f in known["figures"]] == [
        ("accuracy", 0.5, 4),
        ("answered", 0.75, 4),
        ("right of the answered", pytest.approx(2 / 3), 3),
        ("macro precision", 0.75, 4),  # Tea 1 of 2, Coffee 1 of 1
        ("macro recall", 0.5, 4),
        ("macro F1", pytest.approx((1 / 2 + 2 / 3) / 2), 4),
    ]
    assert (known["figures"][0]["low"], known["figures"][0]["high"]) == (share(2, 4).low, share(2, 4).high)
    assert known["fields"] == [
        {
            "field": "category",
            "precision": pytest.approx(2 / 3),
            "recall": 0.5,
            "F1": pytest.approx(4 / 7),
            "low": 0.0,
            "high": 1.0,
            "n": 4,
            "labelled": 4,
            "answered": 3,
        }
    ]
    assert known["tokens"]["read"] == pytest.approx(sum(row.tokens[0] for row in tea_run.rows) / 4)
    (error,) = known["errors"]
    assert (error["right"], error["answer"], error["record"]) == ("Coffee", "Tea", {"title": "tea cup"})
    assert (
        "| field | right | answer | times |\n| --- | --- | --- | --- |\n| category | Coffee | Tea | 1 |\n\n"
        in as_markdown(known)
    )
    assert known["coverage"] == [{"threshold": 1.0, "coverage": 0.75, "precision": pytest.approx(2 / 3)}]
    assert error["prompt"] == "what was read"


def test_the_bins_are_those_of_the_calibration_error() -> None:
    task = Task.from_model(Drink)
    found, rows, judged = ran(task, kinds(40, 0.9))
    known = facts(found, task, rows, judged)

    gap = sum(part["right"]["n"] * abs(part["p"] - part["right"]["value"]) for part in known["reliability"]) / 40
    by_hand = expected_calibration_error([v.p for v in judged], [v.correct for v in judged])

    assert {part["right"]["n"] for part in known["reliability"]} == {4}
    trust = {f["figure"]: f for f in known["trust"]}
    assert trust["ECE"]["value"] == pytest.approx(gap) == pytest.approx(by_hand)
    assert 0 <= trust["ECE"]["low"] <= trust["ECE"]["high"] <= 1
    assert trust["AUROC"]["value"] == 1
    assert known["coverage"] == [
        {"threshold": 0.9, "coverage": 0.75, "precision": 1.0},
        {"threshold": 0.4, "coverage": 1.0, "precision": 0.75},
    ]


@pytest.fixture
def hostile() -> Facts:
    """A report in which all text that is not ours wants to be markup."""
    said = kinds(8, 0.9) | {HOSTILE: ({"kind": "<b>茶</b> $x^$"}, {"咖啡": 0.9, "cocoa": 0.1, "<b>茶</b> $x^$": 0.0})}
    prompts = {HOSTILE: f"```\n{HOSTILE}\n```"}
    return reported(Task.from_model(Drink), said, slices=[(HOSTILE, share(1, 2))], prompts=prompts)


def test_foreign_text_reaches_the_page_as_text(hostile: Facts) -> None:
    page = Page(as_html(hostile))

    assert page.tags.isdisjoint({"script", "img"})
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    # id, record, prompt and slice
    assert page.text.count(HOSTILE) == 4
    # once as an axis of answers, once as one of right labels, once as the right label of the wrong answer
    assert page.text.count("<b>茶</b> $x^$") == 3


def test_the_page_loads_nothing(hostile: Facts) -> None:
    html = as_html(hostile)
    page = Page(html)

    assert "default-src 'none'" in html
    assert page.tags.isdisjoint({"script", "link", "img", "image", "iframe"})
    assert not [value for name, value in page.attributes if name == "src"]
    assert all(value.startswith("#") for name, value in page.attributes if name.endswith("href"))
    assert not re.findall(r"url\((?!#)|@import", html)


def test_ids_are_unique_and_references_lead_somewhere(hostile: Facts) -> None:
    attributes = Page(as_html(hostile)).attributes
    ids = [value for name, value in attributes if name == "id"]
    targets = [value[1:] for name, value in attributes if name.endswith("href")]
    targets += [place for _, value in attributes for place in re.findall(r"url\(#([^)]*)\)", value)]

    assert len(ids) == len(set(ids))
    assert targets
    assert set(targets) <= set(ids)


def test_charts_hold_text_and_the_colours_of_the_page(hostile: Facts) -> None:
    charts = re.findall("<svg.*?</svg>", as_html(hostile), flags=re.DOTALL)

    assert len(charts) == 3
    assert "咖啡</text>" in charts[2]
    assert "font-family: var(--font)" in charts[2]
    assert not re.findall(r"(?:fill|stroke): #", "".join(charts))


def test_foreign_text_does_not_break_markdown(hostile: Facts) -> None:
    text = as_markdown(hostile)

    table = text.split("## Surest wrong answers\n\n")[1].split("\n\n")[0].splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {7}
    assert "<script>" not in "\n".join(table).replace(r"\<", "")
    assert text.endswith(f"\n\n````\n```\n{HOSTILE}\n```\n````\n")


def test_what_is_not_defined_is_said_in_words() -> None:
    known = reported(
        Task.from_model(Drink), {"coffee": ({"kind": "咖啡"}, "咖啡"), "mocha": ({"kind": "咖啡"}, "咖啡")}
    )

    assert {f["figure"]: f["value"] for f in json.loads(as_json(known))["trust"]}["AUROC"] is None
    for text in (as_html(known), as_markdown(known).replace("\\", "")):
        assert ONE_KIND in text
        assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert known["confusions"] == []


def test_a_run_without_an_answer_has_no_charts() -> None:
    known = reported(Task.from_model(Drink), {"soup": ({"kind": "咖啡"}, "soup")})

    assert known["values"]["rejected"] == 1
    assert "there are no answers" in as_html(known)
    assert "<svg" not in as_html(known)
    assert known["trust"] == known["coverage"] == json.loads(as_json(known))["reliability"] == []


def test_attributes_have_figures_by_field_and_no_confusions() -> None:
    said: Said = {
        "Acme red": ({"brand": "Acme", "colour": "red"}, '{"brand": "Acme"}'),
        "Bolt": ({"brand": "Bolt"}, '{"brand": "Bolt"}'),
        "Cora, red": ({}, '{"brand": "Cora"}'),
    }

    known = reported(Task.from_model(Shoe), said)

    assert [(f["figure"], f["value"]) for f in known["figures"]] == [
        ("micro F1, published", pytest.approx(2 * 2 / 6)),
        ("micro F1, strict", pytest.approx(2 * 2 / 6)),
        ("precision, strict", pytest.approx(2 / 3)),
        ("recall, strict", pytest.approx(2 / 3)),
    ]
    brand, colour = known["fields"]
    assert (brand["precision"], brand["recall"], brand["n"]) == (pytest.approx(2 / 3), 1.0, 3)
    assert (colour["precision"], colour["recall"], colour["labelled"], colour["answered"]) == (None, 0.0, 1, 0)
    assert known["confusions"] == []
    assert known["values"] == {
        "right": 2,
        "wrong": 0,
        "invented": 1,
        "missing": 1,
        "absent": 2,
        "abstained": 0,
        "rejected": 0,
        "failed": 0,
    }
    assert "<td>–</td>" in as_html(known)
    (error,) = known["errors"]
    assert error["right"] is None
    assert "<i>no value</i>" in as_html(known)


def test_the_heat_map_keeps_the_most_confused_labels() -> None:
    names = [f"label {i:02}" for i in range(24)]
    task = Task.from_model(create_model("Many", kind=(Literal[tuple(names)], ...)))
    said: Said = {f"pair {i:02}": ({"kind": names[i]}, names[i + 1]) for i in range(0, 24, 2)}
    said |= {f"again {i:02}": ({"kind": names[i]}, names[i + 1]) for i in range(4, 24, 2)}

    (confusion,) = reported(task, said)["confusions"]

    assert sorted(confusion["labels"]) == names[4:]
    assert (confusion["shown"], confusion["wrong"]) == (20, 22)
    at = confusion["labels"].index
    assert confusion["table"][at("label 04")][at("label 05")] == 2
    assert confusion["table"][at("label 05")][at("label 04")] == 0


def test_the_surest_errors_come_first() -> None:
    found = [Verdict(str(i), "f", "x", "y", i / 100, "wrong" if i % 2 else "invented", True) for i in range(60)]
    found.append(Verdict("right", "f", "x", "x", 1.0, "right", True))

    assert [v.id for v in worst(found)] == [str(i) for i in range(59, 39, -1)]


def test_an_unfinished_run_and_a_changed_task_are_noted(
    tea_run: Run, rows: list[Example], category: Task, header: Header
) -> None:
    judged = verdicts(tea_run, rows, {row.record.id: ("category",) for row in rows})
    older = Run(header.model_copy(update={"rows": 9, "task_version": "before"}), tea_run.rows)

    known = facts(older, category, rows, judged)

    assert known["notes"] == [
        "The run is not finished: 4 of 9 rows are judged.",
        f"The task has changed since the run: its version is now {category.version}.",
    ]
    assert all(note in as_html(known) for note in known["notes"])
    assert facts(tea_run, category, rows, judged)["notes"] == []


def test_nothing_to_report_on_is_an_error(tea_run: Run, rows: list[Example], category: Task) -> None:
    with pytest.raises(SourceError, match="no values to report on"):
        facts(tea_run, category, rows, [])


def test_a_plan_is_told_in_words(header: Header) -> None:
    assert plan_in_words(header) == (
        "asks category by the text of its value; at most 60 shipped examples are shown; "
        "labelled rows speak with weight 1"
    )

    ask = [{"form": "json", "fields": list("abcd")}, {"form": "label", "fields": ["e"], "shortlist": 20}]
    plan = {"ask": ask, "shots": {"retrieved": 3, "common": 8}, "votes": 5}
    other = header.model_copy(update={"plan_text": plan, "shots": 2508})
    assert plan_in_words(other) == (
        "asks 4 fields as one JSON object; e by the text of its value among its 20 likeliest; "
        "the 3 nearest of 2,508 labelled rows are shown; before them 8 that stand for all; 5 votes"
    )
