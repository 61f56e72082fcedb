"""Offsets count characters of the text as it came, in any script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tagger import ScriptedEngine, Tagger
from tagger.evidence import find, find_number


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("Acme", "by acme", "acme"),
        ("250ml", "牛奶２５０ｍｌ装", "２５０ｍｌ"),
        ("蒙牛", "新品 蒙牛 纯牛奶", "蒙牛"),
        ("red wine", "a red   wine glass", "red   wine"),
        ("café", "un cafe\u0301 noir", "cafe\u0301"),
        ("STRASSE", "die Straße", "Straße"),
        ("ﬁt", "slim fit", "fit"),
        ("ml", "html 5 ml", "ml"),
        ("😀 mug", "big 😀 mug", "😀 mug"),
    ],
)
def test_a_value_is_found_as_a_reader_would(value: str, text: str, expected: str) -> None:
    place = find(value, {"title": text})

    assert place is not None
    assert text[place.start : place.end] == place.text == expected


def test_whole_words_go_first() -> None:
    place = find("ml", {"title": "html 5 ml"})

    assert place is not None
    assert place.start == 7


def test_columns_are_searched_in_order() -> None:
    place = find("tea", {"title": "coffee", "text": "a tea"})

    assert place is not None
    assert (place.column, place.start) == ("text", 2)


@pytest.mark.parametrize("value", ["wool", " ", ""])
def test_what_is_not_there_has_no_evidence(value: str) -> None:
    assert find(value, {"title": "cotton shirt"}) is None


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (12, "mug, 12-pack", "12"),
        (12, "112 or 12.5 or 1,12", None),
        (12, "v1.12", None),
        (9, "9.0 mm", "9.0"),
        (1250, "ab 1,250 g", "1,250"),
        (250, "ab 1,250 g", None),
        (0.5, "0,5 l", "0,5"),
        (0.5, "0.55 l", None),
        (-3, "to -3 degrees", "-3"),
        (-0.5, "0.5 degrees", None),
        ({"value": 250, "unit": "ml"}, "250 pcs, ２５０ｍｌ", "２５０ｍｌ"),
        ({"value": 250, "unit": "ml"}, "about 250 millilitres", "250"),
        ({"value": 3, "unit": "kg"}, "净重3千克", "3"),
        ({"value": 18.65, "unit": "kg"}, "18V, 65 W", None),
        ({"value": 3500, "unit": "kg"}, "Gas Stove 3500W", None),
        ({"value": 500, "unit": "g"}, "500grams", "500"),
        ({"value": 12, "unit": "fl oz"}, "12oz can", "12"),
        ({"value": 9, "unit": "cm"}, "size 9", "9"),
    ],
)
def test_a_number_is_found_in_digits_of_its_own(value: Any, text: str, expected: str | None) -> None:
    place = find_number(value, {"title": text})

    assert (place and place.text) == expected
    assert place is None or text[place.start : place.end] == expected


def test_a_number_has_its_proof_or_is_inferred(shop: Path) -> None:
    said = {"kind": "tea", "traits": ["new"], "leaf": "Food > Tea", "volume": "250 ml", "count": 7}
    tags = Tagger(shop, engine=ScriptedEngine(lambda _: json.dumps(said))).tag({"title": "Acme tea 250ml"}).tags

    proof = tags["volume"].evidence
    assert proof is not None
    assert (proof.column, proof.start, proof.end, proof.text) == ("title", 9, 14, "250ml")
    assert [(tags[name].evidence is None, tags[name].inferred) for name in ("volume", "count")] == [
        (False, False), (True, True)
    ]  # fmt: skip
