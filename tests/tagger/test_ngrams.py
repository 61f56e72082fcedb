"""Counting characters: for all texts at once, and as scikit-learn does it one by one."""

from __future__ import annotations

import pytest
from sklearn.feature_extraction.text import CountVectorizer

from tagger.ngrams import CharacterCounts

TEXTS = [
    "Sencha Green Tea, 100 g",
    "绿茶 100克",
    "a",
    "",
    "ab",
    "two  spaces\tand\n\nlines",
    "STRASSE ẞ",
    "𝒳 is one character",
]


@pytest.mark.parametrize("later", [TEXTS, ["Tea of another kind", "", "无"], [""]])
def test_counts_and_columns_are_those_of_scikit_learn(later: list[str]) -> None:
    ours, theirs = CharacterCounts(), CountVectorizer(analyzer="char", ngram_range=(1, 3))
    fitted, expected = ours.fit_transform(TEXTS), theirs.fit_transform(TEXTS)
    assert fitted.shape == expected.shape
    assert (fitted != expected).nnz == 0
    assert (ours.transform(later) != theirs.transform(later)).nnz == 0


def test_no_pair_reaches_from_one_text_into_the_next() -> None:
    counts = CharacterCounts()
    assert counts.fit_transform(["ab", "cd"]).shape == (2, 6)  # a, ab, b, c, cd, d
