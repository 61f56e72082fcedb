"""Perturbations change what they say and nothing else; flips are counted as a reader would count them."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from eval.record import Header, Run
from eval.robust import DROPPED, DROPPED_CHINESE, KINDS, MISTYPED, SWAPPED, flips, perturbed
from eval.run import run
from eval.score import Counts, Kind, Verdict, verdicts
from tagger import Tagger, Task
from tagger.definition import Definition
from tagger.errors import SettingsError, SourceError
from tagger.example import Example
from tagger.record import Column, Record
from tagger.schema import ClaimsField, LabelField, TextField

WORDS = ["lamp", "table", "chair", "brush", "glove", "shelf", "stove", "mirror", "basket", "pillow"]
CHINESE = "新款不锈钢电热水壶家用大容量自动断电保温烧水器厨房小型便携"


@pytest.fixture
def wear() -> Task:
    """A closed field, a verbatim one, and a column of allowed values beside the free text."""
    columns = {"title": Column(), "type": Column(allowed=("hat", "coat"))}
    fields = {"kind": LabelField(labels=["warm", "cool"]), "brand": TextField()}
    return Task.define("wear", Definition(about="wear", columns=columns, fields=fields))


def row(title: str, **answer: str) -> Example:
    return Example(Record("7", {"title": title, "type": "hat"}), answer)


def changed_title(task: Task, title: str, kind: str, seed: int = 0) -> str:
    return perturbed(row(title), kind, seed, task).record.values["title"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("title", [" ".join(WORDS * 5), "Acme 红茶, 250 ml，不锈钢 茶壶" * 10, "A", "红", "...", ""])
def test_only_free_text_changes_and_always_in_the_same_way(wear: Task, kind: str, title: str) -> None:
    plain = row(title, kind="warm")

    found = perturbed(plain, kind, 3, wear)

    assert found == perturbed(plain, kind, 3, wear)
    assert (found.record.id, found.answer, found.also, found.annotated) == ("7", {"kind": "warm"}, {}, None)
    assert found.record.values["type"] == "hat"
    assert plain.record.values["title"] == title
    assert bool(found.record.values["title"]) == bool(title)  # never to nothing


@pytest.mark.parametrize("kind", ["typos", "order", "dropped"])
def test_the_seed_and_the_id_draw_the_change(wear: Task, kind: str) -> None:
    title = " ".join(WORDS * 5)
    other = perturbed(Example(Record("8", row(title).record.values), {}), kind, 0, wear)

    assert changed_title(wear, title, kind, 0) != changed_title(wear, title, kind, 1)
    assert changed_title(wear, title, kind, 0) != other.record.values["title"]


def test_a_typo_is_one_letter_in_one_word_of_eight(wear: Task) -> None:
    plain = WORDS * 300
    typed = changed_title(wear, " ".join(plain), "typos").split()

    pairs = [(old, new) for old, new in zip(plain, typed, strict=True) if old != new]
    assert len(pairs) / len(plain) == pytest.approx(MISTYPED, abs=0.02)
    assert {len(new) - len(old) for old, new in pairs} == {-1, 0, 1}
    for old, new in pairs:
        places = range(len(old))
        swaps = {old[:i] + old[i : i + 2][::-1] + old[i + 2 :] for i in places}
        drops = {old[:i] + old[i + 1 :] for i in places}
        doubles = {old[: i + 1] + old[i:] for i in places}
        assert new in swaps | drops | doubles


def test_numbers_get_no_typos(wear: Task) -> None:
    assert changed_title(wear, "250 10.5 9x9 3-4 " * 50, "typos") == "250 10.5 9x9 3-4 " * 50


def test_chinese_typos_swap_neighbours(wear: Task) -> None:
    text = CHINESE * 100
    typed = changed_title(wear, text, "typos")

    assert Counter(typed) == Counter(text)
    moved = [i for i, (old, new) in enumerate(zip(text, typed, strict=True)) if old != new]
    assert len(moved) / 2 / len(text) == pytest.approx(SWAPPED, abs=0.01)
    assert all(typed[i] in text[max(i - 1, 0) : i + 2] for i in moved)


def test_case_and_width_are_the_whole_texts(wear: Task) -> None:
    assert changed_title(wear, "Acme 红茶 4Pcs", "upper") == "ACME 红茶 4PCS"
    assert changed_title(wear, "Acme 红茶 4Pcs", "lower") == "acme 红茶 4pcs"
    assert changed_title(wear, "Az 红茶 4~!", "wide") == "Ａｚ 红茶 ４～！"
    ascii_text = "".join(map(chr, range(0x20, 0x7F)))
    assert unicodedata.normalize("NFKC", changed_title(wear, ascii_text, "wide")) == ascii_text


def test_words_are_shuffled_and_none_is_lost(wear: Task) -> None:
    plain = ["soft,blue", *WORDS, "(new),"]
    found = changed_title(wear, " ".join(plain), "order")

    assert found.split() != plain
    assert sorted(found.split()) == sorted(plain)


def test_chinese_is_shuffled_in_parts_if_it_has_any(wear: Task) -> None:
    assert changed_title(wear, CHINESE, "order") == CHINESE
    parts = ["不锈钢", "水壶", "家用", "保温"]
    found = [changed_title(wear, "不锈钢，水壶 家用、保温。", "order", seed) for seed in range(20)]

    assert len(set(found)) > 10
    for text in found:
        assert [c for c in text if c in "， 、"] == ["，", " ", "、"]  # commas stay where they were
        assert all(part in text for part in parts)


def test_words_are_dropped_whole(wear: Task) -> None:
    plain = WORDS * 300
    found = changed_title(wear, " ".join(plain), "dropped")

    left = iter(plain)
    assert all(word in left for word in found.split())  # the same words in the same order
    assert 1 - len(found.split()) / len(plain) == pytest.approx(DROPPED, abs=0.02)
    assert found == " ".join(found.split())


def test_chinese_characters_are_dropped(wear: Task) -> None:
    found = changed_title(wear, CHINESE * 100, "dropped")

    left = iter(CHINESE * 100)
    assert all(char in left for char in found)
    assert 1 - len(found) / len(CHINESE * 100) == pytest.approx(DROPPED_CHINESE, abs=0.01)


@pytest.mark.parametrize("title", ["tea cup", "红 茶"])
def test_one_word_is_always_left(wear: Task, title: str) -> None:
    for seed in range(300):
        assert changed_title(wear, title, "dropped", seed) in {title, *title.split()}


def test_a_text_label_is_right_in_its_perturbed_form_too(wear: Task) -> None:
    found = perturbed(row("the acme Shoe", brand="Acme", kind="warm"), "upper", 0, wear)

    assert found.is_right("brand", "Acme")
    assert found.is_right("brand", "ACME")
    assert not found.is_right("brand", "acme")
    assert not found.is_right("kind", "WARM")


def test_the_form_of_a_label_follows_its_characters(wear: Task) -> None:
    for seed in range(50):
        found = perturbed(row("big Red Shoe now", brand="Red Shoe"), "order", seed, wear)
        words = [word for word in found.record.values["title"].split() if word in ("Red", "Shoe")]
        assert found.is_right("brand", " ".join(words))

    plain = row(f"soft {' '.join(WORDS)}, new", brand=" ".join(WORDS))
    found = perturbed(plain, "typos", 1, wear)
    (form,) = found.also["brand"]
    assert form != plain.answer["brand"]
    assert form in found.record.values["title"]


def test_a_text_label_of_which_nothing_is_left_is_none(wear: Task) -> None:
    gone = [perturbed(row("Acme tea cup", brand="Acme", kind="warm"), "dropped", seed, wear) for seed in range(100)]

    assert {"Acme" in e.record.values["title"] for e in gone} == {True, False}
    for found in gone:
        assert found.is_right("brand", "Acme") == ("Acme" in found.record.values["title"])
        assert found.answer["kind"] == "warm"


def test_a_label_that_does_not_stand_in_the_text_stays(wear: Task) -> None:
    assert perturbed(row("cap", brand="Acme"), "upper", 0, wear).answer == {"brand": "Acme"}


def test_an_unknown_kind_is_named(wear: Task) -> None:
    with pytest.raises(SettingsError, match=r"no perturbation 'mirror'\n.*typos, upper, lower, wide, order, dropped"):
        perturbed(row("cap"), "mirror", 0, wear)


def test_flips_of_a_run_on_perturbed_records(
    tea_tagger: Tagger, tea_run: Run, header: Header, rows: list[Example], category: Task
) -> None:
    """The tagger's function knows "tea" in lower case alone: else it says Coffee."""
    loud = [perturbed(example, "upper", 0, category) for example in rows]
    again = run(tea_tagger, loud, header.model_copy(update={"variant": "upper"}))
    asked = {example.record.id: ("category",) for example in rows}

    found = flips(verdicts(tea_run, rows, asked), verdicts(again, loud, asked), rows, "upper", 0, category)

    assert found.moves == {("right", "wrong"): 1, ("wrong", "right"): 1, ("rejected", "wrong"): 1}
    assert (found.right_to_wrong, found.wrong_to_right, found.altered) == (1, 1, 4)
    assert str(found.records) == "75.0 [30.1, 95.4]"
    assert (found.before, found.after) == (Counts(2, 3, 4), Counts(2, 4, 4))
    assert found.after.recall == found.before.recall
    assert found.after.f1 - found.before.f1 == pytest.approx(4 / 8 - 4 / 7)


def verdict(field: str, kind: Kind, value: object, gold: object = "x") -> Verdict:
    return Verdict("7", field, gold, value, 0.5, kind, annotated=True)


@pytest.mark.parametrize(
    ("kind", "said", "now", "kept"),
    [
        ("upper", "Acme", "ACME", True),
        ("upper", "Acme", "acme", True),  # folded
        ("upper", "Acme", "ACME TEA", False),
        ("upper", "Acme", None, False),
        ("upper", None, "ACME", False),
        ("upper", None, None, True),
        ("wide", "Acme", "Ａｃｍｅ", True),
    ],
)
def test_a_text_answer_is_kept_in_its_perturbed_form(
    wear: Task, kind: str, said: str | None, now: str | None, kept: bool
) -> None:
    before = verdict("brand", "right" if said else "missing", said)
    after = verdict("brand", "right" if now else "missing", now)

    found = flips([before], [after], [row("Acme tea")], kind, 0, wear)

    assert found.records.value == (0 if kept else 1)
    assert sum(found.moves.values()) == (0 if kept else 1)


def test_the_form_of_an_answer_is_kept_and_its_absence_when_nothing_is_left(wear: Task) -> None:
    plain = row("Hamilton tea cup mug", brand="Hamilton")
    mistyped = next(s for s in range(99) if "Hamilton" not in changed_title(wear, "Hamilton tea cup mug", "typos", s))
    form = perturbed(plain, "typos", mistyped, wear).also["brand"][0]
    dropped = next(s for s in range(99) if "Hamilton" not in changed_title(wear, "Hamilton tea cup mug", "dropped", s))

    def flipped(now: str | None, kind: str, seed: int) -> bool:
        after = verdict("brand", "right" if now else "absent", now)
        return bool(flips([verdict("brand", "right", "Hamilton")], [after], [plain], kind, seed, wear).records.value)

    assert not flipped(form, "typos", mistyped)
    assert not flipped("hamilton", "typos", mistyped)  # the typo mended
    assert flipped(form + "s", "typos", mistyped)
    assert flipped(None, "typos", mistyped)
    assert not flipped(None, "dropped", dropped)
    assert flipped("tea", "dropped", dropped)


def test_silence_is_a_flip_but_neither_right_nor_wrong(wear: Task) -> None:
    before, after = verdict("kind", "right", "warm"), verdict("kind", "abstained", "warm")

    found = flips([before], [after], [row("Acme tea")], "upper", 0, wear)

    assert found.moves == {("right", "abstained"): 1}
    assert (found.right_to_wrong, found.wrong_to_right) == (0, 0)
    assert found.after.recall - found.before.recall == -1


def test_a_record_flips_once_and_what_is_the_same_is_said(wear: Task) -> None:
    before = [verdict("kind", "right", "warm"), verdict("brand", "right", "红")]
    after = [verdict("kind", "wrong", "cool"), verdict("brand", "missing", None)]

    found = flips(before, after, [row("红茶")], "upper", 0, wear)

    assert (found.records.n, found.records.value, found.altered) == (1, 1, 0)
    assert found.right_to_wrong == 2


def test_flips_of_descriptions_are_refused(wear: Task) -> None:
    definition = Definition(about="wear", columns=wear.columns, fields={"text": ClaimsField()})

    with pytest.raises(SettingsError, match="several texts: text"):
        flips([], [], [], "upper", 0, Task.define("wear", definition))


def test_runs_of_other_rows_are_refused(wear: Task) -> None:
    before, after = verdict("kind", "right", "warm"), verdict("brand", "right", "warm")

    with pytest.raises(SourceError, match="not runs of the same rows: 1 and 2 values"):
        flips([before], [before, after], [row("cap")], "upper", 0, wear)
    with pytest.raises(SourceError, match="there are no rows"):
        flips([], [], [], "upper", 0, wear)
