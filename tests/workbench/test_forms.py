"""Forms change one thing of a task's files and leave the rest as it was written."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from eval.workbench import forms
from eval.workbench.texts import check
from tagger.errors import TaskError

FILES = {
    "task.toml": '# ours\nabout = "Drinks"\n\n[columns.title]\n\n[fields.kind]\nkind = "label"\nlabels = "kinds.tsv"\n',
    "kinds.tsv": "Tea\tleaves\nCoffee\n",
    "examples.jsonl": json.dumps({"record": {"title": "Green tea"}, "answer": {"kind": "Tea"}}) + "\n",
}


def test_a_form_shows_what_the_files_say() -> None:
    (kind,) = forms.fields(FILES)
    assert forms.about(FILES) == "Drinks"
    assert (kind.name, kind.kind, kind.labels) == ("kind", "label", {"Tea": "leaves", "Coffee": ""})


def test_a_new_sentence_leaves_comments_and_other_files_alone() -> None:
    changed = forms.with_about(FILES, 'Drinks "to brew"')
    assert changed["task.toml"].startswith("# ours\n")
    assert forms.about(changed) == 'Drinks "to brew"'
    assert {name: text for name, text in changed.items() if name != "task.toml"} == {
        name: text for name, text in FILES.items() if name != "task.toml"
    }


def test_labels_stay_in_the_file_in_which_they_stood() -> None:
    changed = forms.with_labels(FILES, "kind", {"Tea": "leaves", "Cocoa": "beans"})
    assert changed["kinds.tsv"] == "Tea\tleaves\nCocoa\tbeans\n"
    assert changed["task.toml"] == FILES["task.toml"]


def test_labels_that_stand_in_the_task_stay_there() -> None:
    own = {"task.toml": FILES["task.toml"].replace('"kinds.tsv"', '{ Tea = "leaves", Coffee = "" }')}
    changed = forms.with_labels(own, "kind", {"Tea": "leaves", "Cocoa": "beans"})
    assert next(iter(forms.fields(changed))).labels == {"Tea": "leaves", "Cocoa": "beans"}
    assert list(changed) == ["task.toml"]


def test_a_list_of_labels_is_shown_and_stays_one_until_something_is_said_of_them() -> None:
    own = {"task.toml": FILES["task.toml"].replace('"kinds.tsv"', '["Tea", "Coffee"]')}
    assert next(iter(forms.fields(own))).labels == {"Tea": "", "Coffee": ""}
    more = forms.with_labels(own, "kind", {"Tea": "", "Coffee": "", "Cocoa": ""})
    assert 'labels = ["Tea", "Coffee", "Cocoa"]' in more["task.toml"]
    said = forms.with_labels(own, "kind", {"Tea": "leaves", "Coffee": ""})
    assert next(iter(forms.fields(said))).labels == {"Tea": "leaves", "Coffee": ""}
    assert check(more, "drinks") == check(said, "drinks") == []


def test_a_renamed_label_is_renamed_in_the_examples_too() -> None:
    changed = forms.renamed_label(FILES, "kind", "Tea", "Tea leaves")
    assert changed["kinds.tsv"] == "Tea leaves\tleaves\nCoffee\n"
    assert forms.examples(changed)[0]["answer"] == {"kind": "Tea leaves"}
    assert check(changed, "drinks") == []


def test_the_last_example_takes_its_file_along() -> None:
    assert "examples.jsonl" not in forms.with_examples(FILES, [])


def test_a_number_of_the_plan_is_set_and_the_questions_stay_as_they_were() -> None:
    changed = forms.with_plan(FILES, "fixed", 7.0)
    assert forms.plan(changed)["fixed"] == 7
    assert check(changed, "drinks") == []
    again = forms.with_plan(changed, "prior", 2.5)
    assert (forms.plan(again)["fixed"], forms.plan(again)["prior"]) == (7, 2.5)
    assert 'form = "label"' in again["plan.toml"]


@pytest.mark.parametrize(
    ("read", "file", "text", "place"),
    [
        (forms.about, "task.toml", "about = ", "task.toml"),
        (forms.examples, "examples.jsonl", "{}\n", "examples.jsonl:1"),
        (forms.examples, "examples.jsonl", "\nno\n", "examples.jsonl:2"),
        (forms.plan, "plan.toml", "[shots]\nfixed = -1\n", "plan.toml"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(
    read: Callable[[forms.Files], object], file: str, text: str, place: str
) -> None:
    with pytest.raises(TaskError) as told:
        read({**FILES, file: text})
    assert told.value.where == place
