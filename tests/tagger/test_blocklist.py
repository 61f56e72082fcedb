"""What is on a person's list is found in a task, and does not go out with tags; nothing is changed without a word."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.blocklist import Blocklist, hits, load_blocklist, screened
from tagger.decide import doubt_of
from tagger.errors import FieldError, SourceError
from tagger.record import Record
from tagger.result import tagging_of
from tagger.run import Progress, tag_file
from tagger.sinks import read_manifest
from tagger.task import load_task
from tests.tagger.test_cli import tagger


def listed(folder: Path, text: str) -> Blocklist:
    (folder / "list.txt").write_text(text, "utf-8")
    return load_blocklist(folder / "list.txt")


@pytest.mark.parametrize(
    ("entry", "text", "found"),
    [
        ("gun", "a toy GUN", True),
        ("gun", "begun", False),
        ("gun", "guns", False),
        ("gun", "gun_model", True),
        ("gun", "玩具gun模型", True),  # Chinese puts no spaces
        ("gun", "ｇｕｎ", True),  # full width
        ("GUN", "g\u200bun", True),  # a character that shows nothing
        ("gun", "g\u034fu\ufe0fn", True),  # nor do these
        ("9 mm", "drill 9mm", True),  # a number and its unit, with a space or without
        ("3kg", "3 KG sack", True),
        ("9 mm", "19mm", False),
        ("9 mm", "9mmx", False),
        ("café", "cafe\u200b\u0301", True),  # nor between a letter and its accent
        ("hunting  knife", "Hunting\tKnife, 9 in", True),
        ("C++", "learn c++ fast", True),
        ("枪支", "仿真枪支模型", True),
        ("枪", "机关枪", True),
        ("A片", "三A片子", True),
        ("A片", "BA片", False),  # the letter is a word's end
        ("straße", "STRASSE", True),
    ],
)
def test_an_entry_is_found_as_a_reader_would(entry: str, text: str, found: bool, tmp_path: Path) -> None:
    assert (listed(tmp_path, entry).line(text) is not None) is found


@pytest.mark.parametrize(
    ("value", "entry"),
    [({"value": 9, "unit": "mm"}, "9mm"), ("air\ngun", "air gun"), ("air g\u200bun", "air gun"), (["枪\t支"], "枪 支")],
)
def test_a_reason_quotes_a_value_so_that_an_entry_is_found_in_it(value: Any, entry: str, tmp_path: Path) -> None:
    assert listed(tmp_path, entry).line(doubt_of(value, 0.3, 0.5)) is not None


def test_comments_and_empty_lines_are_no_entries_and_lines_are_counted(tmp_path: Path) -> None:
    found = listed(tmp_path, "\ufeff# weapons\n\n  gun  \nGUN\n枪\n")

    assert dict(found.entries) == {"gun": 3, "枪": 5}
    assert found.line("gunmetal") is None
    with pytest.raises(SourceError, match="holds no entry"):
        listed(tmp_path, "# nothing\n \n")
    (tmp_path / "list.txt").write_bytes("仿真枪支".encode("gb18030"))
    with pytest.raises(SourceError, match="not UTF-8"):
        load_blocklist(tmp_path / "list.txt")
    with pytest.raises(SourceError, match="no such blocklist"):
        load_blocklist(tmp_path / "none.txt")


def test_the_longest_entry_is_named(tmp_path: Path) -> None:
    assert listed(tmp_path, "toy\ntoy gun").line("a toy gun") == 2


def answer(**tags: Mapping[str, Any]) -> dict[str, Any]:
    return {"outcome": "tagged", "tags": tags, "tokens": {}, "engine": "scripted"}


def test_a_value_on_the_list_is_withheld_with_what_proves_it(tmp_path: Path) -> None:
    said = answer(
        name={"value": "Toy Gun", "probability": 0.9, "evidence": {"text": "Toy Gun"},
              "alternatives": [{"value": "gun", "probability": 0.05}, {"value": "Toy", "probability": 0.04}]},
        brand={"value": "Acme", "probability": 0.8},
    )  # fmt: skip

    kept, lost = screened(said, listed(tmp_path, "# weapons\ngun"))

    assert lost == ["name"]
    assert kept["outcome"] == "tagged"
    assert kept["reason"] == "name: withheld, on the blocklist (list.txt, line 2)"
    assert kept["tags"]["name"] == {
        "value": None,
        "probability": 0.9,
        "abstained": True,
        "alternatives": [{"value": "Toy", "probability": 0.04}],
        "withheld": "withheld, on the blocklist (list.txt, line 2)",
    }
    assert kept["tags"]["brand"] == said["tags"]["brand"]
    assert "gun" not in json.dumps(kept).casefold()


def test_lists_quantities_and_alternatives_are_looked_through(tmp_path: Path) -> None:
    said = answer(
        traits={"value": ["new", "gun"], "probability": 0.9, "probabilities": [0.9, 0.8]},
        volume={"value": {"value": 2, "unit": "gun"}, "probability": 0.9},
        length={"value": {"value": 9.0, "unit": "mm"}, "probability": 0.9},
        width={"value": {"value": 12, "unit": "mm"}, "probability": 0.9},
        weight={"value": {"value": 19, "unit": "mm"}, "probability": 0.9},
        charge={"value": {"value": 1250000, "unit": "mAh"}, "probability": 0.9},
        cell={"value": 18650, "probability": 0.5},
        kind={"value": "toy", "probability": 0.7, "alternatives": [{"value": "gun", "probability": 0.2}]},
        sure={"value": True, "probability": 1.0},
    )

    kept, lost = screened(said, listed(tmp_path, "gun\n9 mm\n12MM\n1250000 mah\n18650\n0.5\n0.2"))

    assert lost == ["traits", "volume", "length", "width", "charge", "cell", "kind (alternatives)"]
    assert [kept["tags"][name]["value"] for name in ("traits", "volume", "length", "width", "kind", "sure")] == [
        None, None, None, None, "toy", True
    ]  # fmt: skip
    assert kept["tags"]["weight"] == said["tags"]["weight"]
    assert kept["tags"]["kind"]["withheld"] == "other values withheld, on the blocklist (list.txt)"
    assert "alternatives" not in kept["tags"]["kind"]


def test_an_answer_without_entries_is_handed_on_as_it_is(tmp_path: Path) -> None:
    said = answer(kind={"value": "toy", "probability": 0.7})

    kept, lost = screened(said, listed(tmp_path, "gun"))

    assert kept is said
    assert lost == []


def test_what_corrections_conflicts_and_reasons_quote_does_not_go_out_either(tmp_path: Path) -> None:
    brand = {"value": "Acme", "probability": 0.8, "corrections": [{"rule": "r", "before": "Gun Co", "after": "Acme"}]}
    conflict = {"rules": ["r"], "fields": ["kind"], "reason": "kind is not toy, but it is 'gun' (0.60)"}
    quoted = answer(brand=brand) | {"conflicts": [conflict, conflict | {"reason": "plain"}]}
    none = answer() | {"outcome": "rejected", "reason": "'gun' is none of the values that may be answered"}
    found = listed(tmp_path, "gun\nGun Co")

    kept, lost = screened(quoted, found)
    refused, why = screened(none, found)

    assert lost == ["brand (alternatives)", "conflicts"]
    assert kept["outcome"] == "tagged"
    assert (kept["tags"]["brand"]["value"], "corrections" in kept["tags"]["brand"]) == ("Acme", False)
    assert [one["reason"] for one in kept["conflicts"]] == ["withheld, on the blocklist (list.txt, line 1)", "plain"]
    assert (refused["outcome"], why) == ("rejected", ["reason"])
    assert refused["reason"] == "reason: withheld, on the blocklist (list.txt, line 1)"
    assert "gun" not in json.dumps([kept, refused]).casefold()


@pytest.mark.parametrize(
    ("tag", "kept"),
    [
        ({"value": None, "abstained": True, "alternatives": [{"value": "Gun Co", "probability": 0.4}]}, False),
        ({"value": None, "abstained": True}, False),
        ({"value": "Acme", "corrections": [{"rule": "synonyms.brand", "before": "Gun Co", "after": "Acme"}]}, False),
        ({"value": ["Acme"], "evidence": [None, {"column": "title", "start": 0, "end": 6, "text": "Gun Co"}]}, False),
        ({"value": "Co", "evidence": {"column": "gun", "start": 4, "end": 6, "text": "Co"}}, True),
    ],
)
def test_evidence_on_the_list_does_not_go_out_where_no_value_does(
    tag: dict[str, Any], kept: bool, tmp_path: Path
) -> None:
    proof = {"column": "title", "start": 0, "end": 6, "text": "Gun Co"}
    told = {"outcome": "tagged", "tags": {"brand": {"probability": 0.4, "evidence": proof, **tag}}}

    found, _ = screened(told, listed(tmp_path, "gun"))

    assert ("evidence" in found["tags"]["brand"]) is kept
    assert ("withheld" in found["tags"]["brand"]) is not kept
    assert kept or "gun" not in json.dumps(found).casefold()


def test_a_tagger_withholds_as_a_run_does_and_still_answers_everything(drinks: Path) -> None:
    blocklist = listed(drinks, "coffee")
    tag(drinks, blocklist=blocklist)
    tagger_ = Tagger("category", engine=ScriptedEngine(lambda _: "Coffee"), blocklist=drinks / "list.txt")

    found = tagger_.tag({"id": "0", "title": "mocha"})
    kept = tagger_.tag_records([Record("0", {"title": "mocha"})])[0]
    frame = tagger_.tag(pd.DataFrame({"title": ["mocha"]}))

    written = json.loads((drinks / "jsonl" / "tags-00000.jsonl").read_text("utf-8").splitlines()[0])
    without = ("tokens", "engine")
    assert {k: v for k, v in found.to_dict().items() if k not in without} == {
        k: v for k, v in written.items() if k not in without
    }
    assert found.tags["category"].withheld == "withheld, on the blocklist (list.txt, line 1)"
    assert tagging_of(found.to_dict()).tags == found.tags
    assert kept.value("category") == "Coffee"
    with pytest.raises(FieldError, match="'categry'"):
        found.value("categry")
    assert (frame["category"][0], frame["outcome"][0], frame["reason"][0]) == (None, "abstained", found.reason)
    with pytest.raises(SourceError, match="no such blocklist"):
        Tagger("category", engine=ScriptedEngine(), blocklist="none.txt")


def tag(folder: Path, form: str = "jsonl", blocklist: Blocklist | None = None, titles: Path | None = None) -> Progress:
    def say(prompt) -> str:  # type: ignore[no-untyped-def]
        return "Coffee" if "mocha" in prompt.record else "Tea"

    tagger_ = Tagger("category", engine=ScriptedEngine(say), blocklist=blocklist)
    return tag_file(tagger_, titles or folder / "in.jsonl", folder / form, form=form)  # type: ignore[arg-type]


@pytest.fixture
def drinks(tmp_path: Path) -> Path:
    rows = [{"id": n, "title": title} for n, title in enumerate(["mocha", "sencha", "oolong", "mocha"])]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return tmp_path


def test_a_run_withholds_counts_and_says_so_in_every_format(drinks: Path) -> None:
    blocklist = listed(drinks, "coffee")

    done = tag(drinks, blocklist=blocklist)
    tag(drinks, "csv", blocklist=blocklist)

    lines = [json.loads(line) for line in (drinks / "jsonl" / "tags-00000.jsonl").read_text("utf-8").splitlines()]
    assert done.withheld["category"] == 2
    assert [line["outcome"] for line in lines] == ["abstained", "tagged", "tagged", "abstained"]
    assert lines[0]["reason"].startswith("category: withheld, on the blocklist (list.txt, line 1)")
    facts = read_manifest(drinks / "jsonl")
    assert facts["outcomes"] == {"abstained": 2, "tagged": 2}
    assert facts["blocklist"]["withheld"]["category"] == 2
    assert facts["blocklist"]["entries"] == 1
    with (drinks / "csv" / "tags-00000.csv").open(encoding="utf-8-sig", newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["category"], row["outcome"], row["reason"]) == ("", "abstained", lines[0]["reason"])


def test_another_list_rewrites_the_output_and_asks_nothing(drinks: Path) -> None:
    plain = tag(drinks)
    first = (drinks / "jsonl" / "tags-00000.jsonl").read_bytes()

    screened_ = tag(drinks, blocklist=listed(drinks, "coffee"))
    same = tag(drinks, blocklist=listed(drinks, "coffee"))
    other = tag(drinks, blocklist=listed(drinks, "tea"))
    again = tag(drinks)

    assert (plain.asked, screened_.asked, same.asked, other.asked, again.asked) == (3, 0, 0, 0, 0)
    assert (screened_.withheld["category"], same.withheld["category"], other.withheld["category"]) == (2, 2, 2)
    assert (drinks / "jsonl" / "tags-00000.jsonl").read_bytes() == first
    assert "blocklist" not in read_manifest(drinks / "jsonl")


def test_the_command_line_says_what_was_withheld(drinks: Path) -> None:
    listed(drinks, "# mine\n" + "\n".join(load_task("category").fields["category"].closed or {}))
    options = ("--task", "category", "--out", drinks / "out", "--engine", "scripted")

    done = tagger("tag", drinks / "in.jsonl", *options, "--blocklist", drinks / "list.txt")

    assert "withheld, on the blocklist: 4 category" in done.stderr, done.stderr
    assert "4 category (on the blocklist)" in " ".join(tagger("status", drinks / "out").stdout.split())
    (drinks / "list.txt").unlink()
    gone = tagger("retry", drinks / "out")
    assert gone.returncode == 2
    assert "no such blocklist" in gone.stderr


def test_a_task_is_screened_text_by_text(shop: Path, tmp_path: Path) -> None:
    found = hits(load_task(shop), listed(tmp_path, "gift\n红\ndescribe\nml\nshop\nnothing"))

    assert [(hit.where.removeprefix(str(shop)), hit.text, hit.line) for hit in found] == [
        ("/task.toml: about", "a shop", 5),
        ("/task.toml: fields.traits.labels", "gift", 1),
        ("/task.toml: fields.volume.units", "ml", 4),
        ("/prompt.jinja, with what it includes, line 2", "Describe it.", 3),
        ("/examples.jsonl, example 1", "Acme 红茶 250 ml", 2),
        ("/examples.jsonl, example 1", "gift", 1),
        ("/examples.jsonl, example 1", "250 ml", 4),
    ]


def test_check_names_what_is_on_the_list_and_fails(shop: Path, tmp_path: Path) -> None:
    listed(tmp_path, "coffee")

    found = tagger("check", shop, "--blocklist", tmp_path / "list.txt")
    clean = tagger("check", "zh_sentiment", "--blocklist", tmp_path / "list.txt")

    assert found.returncode == 1
    assert "fields.kind.labels: 'coffee' is on the blocklist" in found.stdout
    assert clean.returncode == 0, clean.stdout + clean.stderr
