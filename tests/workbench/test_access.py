"""Keys say who somebody is and what they may do; whatever is done is put down."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.workbench.access import Access, Person, audit
from eval.workbench.files import read_lines
from tagger.errors import SettingsError
from tagger.keys import Key, Role, digest, entry, read_keys


def keys(path: Path, *people: tuple[str, str, Role]) -> Access:
    """An access of these people: name, key, role."""
    path.write_text("".join(entry(Key(name=n, hash=digest(key), role=r)) for n, key, r in people), "utf-8")
    return Access(read_keys(path))


def test_a_key_says_who_one_is_and_a_wrong_one_nobody(tmp_path: Path) -> None:
    access = keys(tmp_path / "keys.toml", ("ann", "tg_a", "edit"), ("bo", "tg_b", "view"))
    assert access.person("tg_a") == Person("ann", "edit")
    assert access.person("tg_c") is None
    assert access.named("bo") == Person("bo", "view")
    assert access.named("nobody") is None
    assert access.named(None) is None


def test_a_role_allows_what_is_below_it_and_no_more() -> None:
    ann = Person("ann", "edit", ("tea",))
    assert ann.may("view", "tea")
    assert ann.may("edit", "tea")
    assert not ann.may("promote", "tea")
    assert not ann.may("view", "coffee")
    with pytest.raises(SettingsError, match="does not allow to promote"):
        ann.must("promote", "tea")


def test_without_keys_whoever_uses_the_machine_may_do_all() -> None:
    person = Access(None).named(None)
    assert person
    assert person.may("promote", "anything")


def test_a_key_whose_name_cannot_name_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'\.\./ann' cannot be the name of a person"):
        keys(tmp_path / "keys.toml", ("../ann", "tg_a", "edit"))


def test_the_audit_log_says_who_did_what(tmp_path: Path) -> None:
    audit(tmp_path, Person("ann", "edit"), "kept a version", "tea", version=3)
    audit(tmp_path, Person("bo", "view"), "signed in")
    told = [{key: line[key] for key in line if key != "at"} for line in read_lines(tmp_path / "audit.jsonl")]
    assert told == [
        {"author": "ann", "did": "kept a version", "task": "tea", "version": 3},
        {"author": "bo", "did": "signed in", "task": ""},
    ]
