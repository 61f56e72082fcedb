"""Sentences are kept where tags prove all of them, and withheld with a reason where they say more: never repaired."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.blocklist import load_blocklist, screened
from tagger.confidence import Scores
from tagger.errors import TaskError
from tagger.grammar import object_grammar, spell
from tagger.masking import masked, restored
from tagger.near import inherited
from tagger.plan import load_plan
from tagger.proved import proved, withheld
from tagger.record import Record
from tagger.result import tagging_of
from tagger.run import tag_file
from tagger.schema import ClaimsField
from tagger.server import create_app
from tagger.service import Service
from tagger.sinks import Format, tag_lines
from tagger.task import load_task
from tests.tagger.test_tracing import FALSE, MORE, SHOE, traced

TRUE = "It is black."


def described(sentences: Sequence[str], tags: str = SHOE, task: str = "description") -> Any:
    answer = json.dumps({"description": list(sentences)}, ensure_ascii=False)
    return Tagger(task, engine=ScriptedEngine(lambda _: answer)).tag({"id": "7", "tags": tags})


def test_a_tagging_says_what_is_kept_and_what_is_withheld() -> None:
    tagging = described([TRUE, MORE, FALSE])

    tag = tagging.tags["description"]
    assert (tagging.outcome, tag.value) == ("tagged", [TRUE])
    assert [place.text for place in tag.proofs[0]] == ["colour: black"]
    assert [one.text for one in tag.untraced] == [MORE, FALSE]
    assert tag.untraced[0].reason == "no tag states 'best'"
    assert tagging.reason == "description: 2 of 3 sentences withheld: 2 say more than the tags"
    line = tagging.to_dict()["tags"]["description"]
    start = SHOE.index("colour")
    proof = {"column": "tags", "start": start, "end": start + len("colour: black"), "text": "colour: black"}
    assert line["evidence"] == [[proof]]
    assert line["untraced"][1]["text"] == FALSE
    assert tagging_of(json.loads(json.dumps(tagging.to_dict()))).to_dict() == tagging.to_dict()


def test_a_row_of_which_nothing_is_proved_is_abstained() -> None:
    tagging = described([MORE])

    tag = tagging.tags["description"]
    assert (tagging.outcome, tag.value, tag.abstained, tag.alternatives) == ("abstained", None, True, ())
    assert tagging.reason == "description: 1 of 1 sentences withheld: 1 say more than the tags"


def test_a_sentence_that_is_withheld_is_told_as_what_it_is(tmp_path: Path) -> None:
    fields = {"text": ClaimsField(abstain_below=0.9)}
    found = proved(
        fields["text"], {json.dumps(TRUE): 0.5, json.dumps(MORE): 0.95}, Scores({}, {}), Record("1", {"tags": SHOE})
    )

    assert [one.reason for one in found.untraced] == ["less probable than 0.9", "no tag states 'best'"]
    assert [one.kind for one in found.untraced] == ["doubtful", "beyond"]
    assert list(withheld({"text": found})) == [
        "text: 2 of 2 sentences withheld: 1 say more than the tags, 1 are less probable than is asked"
    ]


def test_a_sentence_that_is_repeated_is_told() -> None:
    tag = described([TRUE, TRUE, TRUE]).tags["description"]

    assert tag.value == [TRUE]
    assert [(one.text, one.reason, one.kind) for one in tag.untraced] == [(TRUE, "is written twice", "repeated")] * 2
    assert list(withheld({"text": tag})) == ["text: 2 of 3 sentences withheld: 2 are repeated"]


def test_the_grammar_allows_so_many_sentences_and_no_more() -> None:
    testing = pytest.importorskip("xgrammar.testing")
    fields = {"text": ClaimsField(most=3)}

    for count in range(5):
        allowed = testing._is_grammar_accept_string(object_grammar(fields), spell(fields, {"text": ["a b."] * count}))
        assert allowed == (1 <= count <= 3)
    assert fields["text"].problem(["a b."] * 3) is None
    assert "1 to 3 sentences" in (fields["text"].problem([]) or "")
    assert fields["text"].problem(["x" * 201]) is not None


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_every_format_has_sentences_proofs_and_what_is_withheld(tmp_path: Path, form: Format) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"id": n, "tags": SHOE}) + "\n" for n in range(2)), "utf-8")
    answer = json.dumps({"description": ["The sole is rubber and the upper is leather.", MORE]})
    tagger = Tagger("description", engine=ScriptedEngine(lambda _: answer))

    tag_file(tagger, source, tmp_path / "out", form=form)

    written = tmp_path / "out" / f"tags-00000.{form}"
    places = [[SHOE.index("upper material"), SHOE.index("sole")]]
    if form == "jsonl":
        tag = json.loads(written.read_text("utf-8").splitlines()[0])["tags"]["description"]
        found, untraced = [[place["start"] for place in each] for each in tag["evidence"]], tag["untraced"]
    else:
        with written.open(encoding="utf-8-sig") if form == "csv" else written.open("rb") as file:
            row = next(csv.DictReader(file)) if form == "csv" else pq.read_table(file).to_pylist()[0]
        found = row["description_start"] if form == "parquet" else json.loads(row["description_start"])
        untraced = json.loads(row["description_untraced"])
        assert "1 of 2 sentences withheld" in row["reason"]
    assert found == places
    assert [(one["text"], one["reason"]) for one in untraced] == [(MORE, "no tag states 'best'")]
    read = list(tag_lines(tmp_path / "out", load_task("description")))
    assert [line["tags"]["description"]["value"] for line in read] == [
        ["The sole is rubber and the upper is leather."]
    ] * 2


def test_a_blocklist_looks_through_what_is_withheld(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("best\n", "utf-8")

    kept, lost = screened(described([TRUE, MORE, FALSE]).answer(), load_blocklist(tmp_path / "list.txt"))

    assert lost == ["description (alternatives)"]
    assert [one["text"] for one in kept["tags"]["description"]["untraced"]] == [FALSE]
    assert "best" not in json.dumps(kept)


def test_masked_tags_come_back_with_the_characters_of_the_original() -> None:
    columns = load_task("description").columns
    shown = masked(Record("1", {"tags": "category: mug\ncontact: jane@example.com\ncolour: red"}), columns)
    answer = json.dumps({"description": ["The red mug has the contact [EMAIL_1].", "Write to [EMAIL_1]."]})
    (tagging,) = Tagger("description", engine=ScriptedEngine(lambda _: answer)).tag_records([shown.record])

    tag = restored(tagging, shown).tags["description"]

    assert tag.value == ["The red mug has the contact jane@example.com."]
    assert [place.text for place in tag.proofs[0]] == ["category: mug", "contact: jane@example.com", "colour: red"]
    assert tag.untraced[0].text == "Write to jane@example.com."


def test_descriptions_are_not_shared_voted_on_or_ruled(tmp_path: Path) -> None:
    task, answer = load_task("description"), described([TRUE]).answer()
    (tmp_path / "plan.toml").write_text('votes = 3\n[[ask]]\nform = "json"\n', "utf-8")

    assert inherited(answer, task.fields, Record("8", {"tags": SHOE})) is None
    with pytest.raises(TaskError, match="are not voted on"):
        load_plan(tmp_path / "plan.toml", task.fields)


def test_a_description_may_stand_beside_fields_with_rules(shop: Path) -> None:
    path = shop / "task.toml"
    path.write_text(path.read_text("utf-8") + '[fields.text]\nkind = "claims"\nrequired = false\n', "utf-8")
    (shop / "rules.toml").write_text("[[implies]]\nif = { kind = 'tea' }\nthen = { organic = true }\n", "utf-8")
    answer = json.dumps({"kind": "tea", "leaf": "Food > Tea", "text": ["This is Acme tea.", MORE]})
    tagger = Tagger(shop, engine=ScriptedEngine(lambda _: answer))

    tagging = tagger.tag({"title": "Acme tea"})

    assert tagging.value("text") == ["This is Acme tea."]
    assert tagging.value("organic") is True
    assert [one.text for one in tagging.tags["text"].untraced] == [MORE]


def test_a_frame_and_a_service_say_what_is_kept() -> None:
    testclient = pytest.importorskip("starlette.testclient")
    answer = json.dumps({"description": [TRUE, MORE]})
    tagger = Tagger("description", engine=ScriptedEngine(lambda _: answer))

    frame = tagger.tag(pd.DataFrame({"tags": [SHOE]}))
    with testclient.TestClient(create_app(Service({"description": tagger}))) as client:
        line = client.post("/v1/tag", json={"task": "description", "record": {"id": "7", "tags": SHOE}}).json()

    assert frame["description"].tolist() == [[TRUE]]
    assert frame["description_untraced"].tolist() == [[{"text": MORE, "reason": "no tag states 'best'"}]]
    assert "1 of 2 sentences withheld" in frame["reason"].iloc[0]
    assert line == tagger.tag({"id": "7", "tags": SHOE}).to_dict()


def test_a_rule_about_a_description_is_refused(shop: Path) -> None:
    path = shop / "task.toml"
    path.write_text(path.read_text("utf-8") + '[fields.text]\nkind = "claims"\nrequired = false\n', "utf-8")
    (shop / "rules.toml").write_text('[[implies]]\nif = { organic = true }\nthen = { text = ["x"] }\n', "utf-8")

    with pytest.raises(TaskError, match="'text' is a description"):
        load_task(shop)


@pytest.mark.model
@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("description", "category: desk lamp\ncolour: white\npower: 8 W\ndimmable: yes"),
        ("zh_description", "品类：台灯\n颜色：白色\n功率：8W\n可调光：是"),
    ],
)
def test_a_real_model_writes_sentences_that_are_proved_or_told(transformers_engine: Any, name: str, tags: str) -> None:
    tagging = Tagger(name, engine=transformers_engine).tag({"tags": tags})

    tag = tagging.tags["description"]
    assert tagging.outcome == "tagged", tagging.reason
    assert all(traced(tags, sentence) == () for sentence in tag.value)
    assert all(one.reason and traced(tags, one.text) for one in tag.untraced)
    assert len(tag.value) == len(tag.proofs)
