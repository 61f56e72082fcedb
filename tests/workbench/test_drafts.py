"""Whatever is wrong with a draft has its file and line; no draft is overwritten by whoever has not seen it."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import pytest

from eval.workbench.drafts import discard_draft, must_be, open_draft, save_draft
from eval.workbench.shop import Shop
from eval.workbench.texts import Problem, check, own_files, task_of
from eval.workbench.versions import keep, promote
from tagger.errors import SettingsError, SourceError, TaskError
from tagger.prompt import render, render_head
from tagger.task import load_task, prompts_folder, task_names


def shipped(name: str) -> dict[str, str]:
    return own_files(prompts_folder() / name)


@pytest.mark.parametrize("name", task_names())
def test_nothing_is_wrong_with_a_shipped_task_and_that_is_said_in_no_time(name: str) -> None:
    files = shipped(name)
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        assert check(files, name) == []
        took.append(time.perf_counter() - begun)

    assert min(took) < 0.05


def test_own_files_are_what_a_task_is_made_of_and_nothing_that_came_of_it(tmp_path: Path) -> None:
    for name in (
        "task.toml",
        "plan.toml",
        "plan.ab12.toml",
        "rules.toml",
        "a label list.tsv",
        "part.jinja",
        "examples.jsonl",
    ):
        (tmp_path / name).write_text("x\r\n", "utf-8")
    for name in ("reviews.jsonl", "draft.toml", ".hidden.tsv", "notes.md", "calibration/model.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", "utf-8")

    assert own_files(tmp_path) == dict.fromkeys(
        ["a label list.tsv", "examples.jsonl", "part.jinja", "plan.ab12.toml", "plan.toml", "rules.toml", "task.toml"],
        "x\n",
    )
    (tmp_path / "part.jinja").write_bytes(b"\xff")
    with pytest.raises(TaskError, match=r"part.jinja: not UTF-8"):
        own_files(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "message"),
    [
        ("task.toml", "about =", "abuot =", None, "unknown key 'abuot'"),
        ("task.toml", "[columns.title]", "[columns.title", 4, "not TOML"),
        ("task.toml", "labels.tsv", "../../secret.tsv", None, "fields.category.labels: there is no file"),
        ("task.toml", 'gold = "labels"', 'plan = "/etc/passwd"', None, "plan: there is no file '/etc/passwd'"),
        ("labels.tsv", "Tea\t", "LURE\t", 20, "label 'LURE' stands already on line 1"),
        ("prompt.jinja", "record.title", "record.name", 8, "unknown variable 'record.name'"),
        ("prompt.jinja", "{{ record.title }}", "{{ 1 // 0 }}", None, "ZeroDivisionError"),
        ("prompt.jinja", "{{ record.title }}", "{% include record.title %}", None, "must be a text in quotes"),
        ("prompt.jinja", "{{ record.title }}", '{% include "x.jinja" %}', None, "no such template: x.jinja"),
        ("plan.toml", 'fields = ["category"]', 'fields = ["kind"]', None, "field 'kind' is not in task.toml"),
        ("examples.jsonl", '"category": "Tea"', '"category": "Milk"', 20, "'Milk' is not one of"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line_and_no_path(
    file: str, old: str, new: str, line: int | None, message: str
) -> None:
    files = shipped("category")
    assert old in files[file]

    found = check({**files, file: files[file].replace(old, new)}, "category")

    assert (found[0].file, found[0].line) == (file, line)
    assert message in found[0].message
    assert not any(tempfile.gettempdir() in f"{problem.message}{problem.hint}" for problem in found)
    assert str(prompts_folder()) not in str(found)


@pytest.mark.parametrize(
    ("rules", "file", "line", "message"),
    [
        ("[brands]\nbrand = '../../secret.txt'", "rules.toml", None, "brands.brand: there is no file"),
        ("[brands]\nbrand = 'brands.txt'", "brands.txt", 2, "'acme' stands already for 'Acme'"),
        ("[synonyms.brand\na = 'b'", "rules.toml", 1, "not TOML"),
        ("[synonyms.brnd]\na = 'b'", "rules.toml", None, "synonyms.brnd: there is no field 'brnd'"),
        ("[synonyms.brand]\na = 'b'", None, None, ""),
    ],
)
def test_a_mistake_in_rules_is_named_with_its_place(
    rules: str, file: str | None, line: int | None, message: str
) -> None:
    task = "about = 'x'\n[columns.title]\n[fields.brand]\nkind = 'text'\n"

    found = check({"task.toml": task, "rules.toml": rules, "brands.txt": "Acme\nHP\tacme\n"}, "house")

    assert [(problem.file, problem.line) for problem in found] == ([(file, line)] if file else [])
    assert all(message in problem.message for problem in found)


def test_each_wrong_example_is_a_problem_of_its_own_line() -> None:
    files = shipped("category")
    lines = files["examples.jsonl"].split("\n")
    lines[2], lines[7] = '{"record": {"title": "x"}, "answer": {"category": "Milk"}}', "no JSON"

    found = check({**files, "examples.jsonl": "\n".join(lines)}, "category")

    assert [(problem.file, problem.line) for problem in found] == [("examples.jsonl", 3), ("examples.jsonl", 8)]
    assert "Milk" in found[0].message
    assert found[1].message.startswith("not a line of JSON")


def test_of_very_many_wrong_examples_the_last_problem_says_how_many_more() -> None:
    found = check({**shipped("category"), "examples.jsonl": "x\n" * 30}, "category")

    assert len(found) == 20
    assert found[-1].message.endswith("... and 10 more lines")


def test_without_examples_a_placeholder_is_asked_about() -> None:
    for name in ("category", "attributes"):
        files = {file: text for file, text in shipped(name).items() if file != "examples.jsonl"}
        assert check(files, name) == []
        broken = files["prompt.jinja"].replace("{{ record.title }}", "{{ record.title / 2 }}")
        assert [problem.file for problem in check({**files, "prompt.jinja": broken}, name)] == ["prompt.jinja"]


def test_a_task_of_every_form_of_question_is_rendered(shop: Path) -> None:
    (shop / "plan.toml").write_text(
        '[[ask]]\nform = "json"\n[[ask]]\nform = "codes"\nfields = ["kind"]\n'
        '[[ask]]\nform = "levels"\nfields = ["leaf"]\n[[ask]]\nform = "label"\nfields = ["stars"]\nshortlist = 2\n',
        "utf-8",
    )
    files = own_files(shop)
    assert check(files, "shop") == []

    listed = files["prompt.jinja"].replace("{{ record.title }}", "{{ 1 // (2 - candidates | length) }}")

    assert "ZeroDivisionError" in check({**files, "prompt.jinja": listed}, "shop")[0].message


def test_a_template_may_include_or_extend_the_general_one_and_its_own_parts() -> None:
    files = {**shipped("category"), "part.jinja": "{{ record.title }}"}
    files["prompt.jinja"] = (
        '{% extends "_default/prompt.jinja" %}{% block instruction %}{{ task.definition.about }}{% endblock %}'
        '{% block record %}{% include "part.jinja" %}{% endblock %}'
    )

    assert check(files, "category") == []
    with task_of(files, "category") as task:
        head = render_head(task, task.plan.ask[0], task.fields, [])
        assert render(task, head, (), task.examples[0].record).record.startswith("VORLAK 1pcs")


def test_a_file_that_no_task_has_is_a_problem() -> None:
    assert check({}, "x")[0].file == "task.toml"
    for name in ("../up.tsv", "/etc/x.txt", "run.py", ".tsv", "a\0.tsv"):
        (found,) = check({**shipped("category"), name: ""}, "category")
        assert "is no name for a file of a task" in found.message
    (half,) = check({**shipped("category"), "labels.tsv": "Tea\nLu\ud800re\n"}, "category")
    assert half == Problem("labels.tsv", 2, "half a character, which no file can hold", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Shop(tmp_path / "shop").copy_shipped("category")


def test_a_draft_begins_as_what_is_live_and_looking_at_it_writes_none(folder: Path) -> None:
    draft = open_draft(folder, "anna")

    assert draft.files == shipped("category")
    assert draft.base == 0
    assert not (folder / "drafts" / "anna").exists()


def test_a_saved_draft_is_the_persons_own_and_the_live_task_stays(folder: Path) -> None:
    keep(folder, own_files(folder), "first", "anna", 0)
    draft = open_draft(folder, "anna")
    files = {name: text for name, text in draft.files.items() if name != "plan.toml"} | {"prompt.jinja": "{% broken"}

    saved = save_draft(folder, "anna", {**files, "more.tsv": "a\r\nb\r\n"}, draft.digest)

    assert saved == open_draft(folder, "anna")
    assert saved.base == 1
    assert saved.files == {**files, "more.tsv": "a\nb\n"}
    assert open_draft(folder, "ben").files == own_files(folder) == shipped("category")


def test_what_was_saved_meanwhile_is_never_overwritten(folder: Path) -> None:
    first = second = open_draft(folder, "anna")
    saved = save_draft(folder, "anna", {**first.files, "plan.toml": ""}, first.digest)

    with pytest.raises(SourceError, match=r"your draft was changed meanwhile(.|\n)*copy what you have written"):
        save_draft(folder, "anna", {**second.files, "labels.tsv": ""}, second.digest)

    assert open_draft(folder, "anna") == saved


def test_a_first_draft_of_a_task_that_was_changed_meanwhile_is_not_saved(folder: Path) -> None:
    draft = open_draft(folder, "anna")
    (folder / "labels.tsv").write_text("Tea\nLure\n", "utf-8")

    with pytest.raises(SourceError, match="the task was changed meanwhile"):
        save_draft(folder, "anna", draft.files, draft.digest)


def test_a_draft_can_be_made_from_an_older_version(folder: Path) -> None:
    keep(folder, own_files(folder), "first", "anna", 0)
    other = {name: text for name, text in own_files(folder).items() if name != "plan.toml"}
    keep(folder, other, "second", "anna", 1)
    promote(folder, 2, "anna", 1)
    draft = open_draft(folder, "anna")

    save_draft(folder, "anna", shipped("category"), draft.digest, base=1)

    assert draft.base == 2
    assert open_draft(folder, "anna").base == 1


def test_a_discarded_draft_is_gone_and_the_next_begins_as_what_is_live(folder: Path) -> None:
    draft = open_draft(folder, "anna")
    saved = save_draft(folder, "anna", {**draft.files, "plan.toml": ""}, draft.digest)

    discard_draft(folder, "anna", saved.digest)
    discard_draft(folder, "anna", saved.digest)

    assert open_draft(folder, "anna") == draft


def test_a_draft_that_was_saved_elsewhere_is_not_discarded(folder: Path) -> None:
    draft = open_draft(folder, "anna")
    seen = save_draft(folder, "anna", {**draft.files, "plan.toml": ""}, draft.digest)
    later = save_draft(folder, "anna", {**draft.files, "plan.toml": "# later\n"}, seen.digest)

    with pytest.raises(SourceError, match="your draft was changed meanwhile"):
        discard_draft(folder, "anna", seen.digest)
    with pytest.raises(SourceError, match="your draft was changed meanwhile"):
        must_be(folder, "anna", seen.digest)

    assert open_draft(folder, "anna") == later
    must_be(folder, "anna", later.digest)


def test_nobodys_name_or_file_leads_out_of_the_folder(folder: Path) -> None:
    draft = open_draft(folder, "anna")
    for person in ("../anna", "", "a/b", "."):
        with pytest.raises(SettingsError, match="cannot be the name of a person"):
            open_draft(folder, person)
    with pytest.raises(TaskError, match="is no name for a file of a task"):
        save_draft(folder, "anna", {**draft.files, "../task.toml": ""}, draft.digest)
    assert open_draft(folder, "anna") == draft


def test_a_draft_whose_facts_are_broken_is_named(folder: Path) -> None:
    draft = open_draft(folder, "anna")
    save_draft(folder, "anna", draft.files, draft.digest)
    (folder / "drafts" / "anna" / "draft.toml").write_text("base = three", "utf-8")

    with pytest.raises(SourceError, match=r"draft.toml: not the facts of a draft"):
        open_draft(folder, "anna")


def test_a_version_of_a_draft_is_the_version_of_the_task_that_it_becomes(folder: Path) -> None:
    row = {"record": {"title": "Sencha"}, "answer": {"category": "Tea"}}
    files = {**own_files(folder), "examples.jsonl": json.dumps(row) + "\n"}

    with task_of(files, folder.name) as task:
        (folder / "examples.jsonl").write_text(files["examples.jsonl"], "utf-8")
        assert task.version == load_task(folder).version
