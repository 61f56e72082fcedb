"""Offsets count characters of the text as it came, in any script."""

from __future__ import annotations

import pytest

from tagger.evidence import find


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
