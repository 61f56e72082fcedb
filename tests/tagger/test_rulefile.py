"""What rules.toml may say; what is wrong with it is told when the task loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tagger.errors import TaskError
from tagger.task import load_task
from tests.tagger.conftest import SEALED

WRONG = [
    ("[synonyms", "not TOML"),
    ("[synonym.brand]\na = 'b'", "unknown key 'synonym'"),
    ("[synonyms.brnd]\na = 'b'", "there is no field 'brnd'"),
    ("[synonyms.volume]\na = 'b'", "'volume' is a field of kind number"),
    ("[synonyms.form]\nbag = 'bags'", "'bag' is no label of the field"),
    ("[synonyms.form]\nbags = 'bag'", "'bag' is not one of the 4 labels"),
    ("[synonyms.brand]\nHP = 'a'\nｈｐ = 'b'".replace("ｈｐ", '"ｈｐ"'), "to be both 'a' and 'b'"),
    ("[synonyms.brand]\na = 'b'\nb = 'c'", "'b' is to be both"),
    ("[units]\nvolume = 'gal'", "'gal' is no unit of the field"),
    ("[units]\nvolume = 'ml'", "'g' cannot be told in ml"),
    ("[units]\nvolume = ['ml', 'l', 'g']", "'ml' and 'l' measure the same"),
    ("[units]\nbrand = 'ml'", "'brand' is a field of kind text"),
    ("[brands]\nbrand = 'none.txt'", "there is no file 'none.txt'"),
    ("[[allowed]]\nif = { kind = 'tea' }\nvalues = { form = ['cups'] }", "'cups' is not one of the 4 labels"),
    ("[[allowed]]\nif = { kin = 'tea' }\nvalues = { form = ['bags'] }", "there is no column or field 'kin'"),
    ("[[allowed]]\nif = { kind = 'tea' }\nvalues = { form = [] }", "'form' has no value"),
    ("[[implies]]\nif = { kind = 'tea' }", "nothing follows"),
    ("[[implies]]\nif = { kind = 'tea' }\nthen = { kind = 'coffee' }", "'kind' cannot follow from itself"),
    ("[[implies]]\nif = { organic = 1 }\nthen = { seal = 'EU' }", "expected true or false, found 1"),
    ("[[implies]]\nif = { type = 1 }\nthen = { seal = 'EU' }", "column 'type' never holds 1"),
    ("[[implies]]\nif = { organic = true }\nabsent = ['kind']", "'kind' has to have a value"),
    ("[[implies]]\nif = { organic = true }\nthen = { volume = 1 }", "'volume' is a quantity"),
    ("[synonyms.form]\nbags = 'loose'\n[[implies]]\nif = { kind = 'tea' }\nthen = { form = 'bags' }", "never said"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "told"), WRONG, ids=[told for _, told in WRONG])
def test_what_is_wrong_with_rules_is_said_when_the_task_loads(house: Path, rules: str, told: str) -> None:
    (house / "rules.toml").write_text(rules, "utf-8")

    with pytest.raises(TaskError) as caught:
        load_task(house)

    assert told in caught.value.message
    assert (caught.value.where or "").startswith(str(house / "rules.toml"))


def test_a_spelling_belongs_to_one_brand(house: Path) -> None:
    (house / "brands.txt").write_text("Acme\tAC\n\nAcne\tａｃ\n", "utf-8")
    (house / "rules.toml").write_text('[brands]\nbrand = "brands.txt"\n', "utf-8")

    with pytest.raises(TaskError, match="stands already for 'Acme'") as caught:
        load_task(house)

    assert caught.value.where == f"{house / 'brands.txt'}:3"


def test_an_example_that_breaks_a_rule_is_refused(house: Path) -> None:
    row = {"record": {"title": "x"}, "answer": {"kind": "tea", "organic": True, "seal": "USDA"}}
    (house / "examples.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    (house / "rules.toml").write_text(SEALED, "utf-8")

    with pytest.raises(TaskError, match="example 1 breaks the rule 'a seal': 'USDA'"):
        load_task(house)


def test_rules_are_part_of_the_version_and_no_rules_are_none(house: Path) -> None:
    (house / "brands.txt").write_text("Acme\n", "utf-8")
    versions = [load_task(house).version]
    for rules in ("", SEALED, SEALED.replace("EU", "USDA"), '[brands]\nbrand = "brands.txt"\n'):
        (house / "rules.toml").write_text(rules, "utf-8")
        versions.append(load_task(house).version)
    (house / "brands.txt").write_text("Acme\nAcne\n", "utf-8")
    versions.append(load_task(house).version)
    (house / "rules.toml").unlink()

    assert len(set(versions)) == len(versions)
    assert load_task(house).version == versions[0]
