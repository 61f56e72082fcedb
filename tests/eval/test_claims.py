"""Labelled sentences and drafts come to the figures that they should; what has no right text is judged nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eval.__main__ import app
from eval.calibrate import calibrate
from eval.claims import described, drafts, labelled, of_drafts, of_judgements, of_tracing, read_drafts, retraced
from eval.record import Run, run_row
from eval.run import header_of
from eval.score import judge, refuse_descriptions
from finetune.rows import training_rows
from tagger import ScriptedEngine, Tagger
from tagger.errors import SettingsError, SourceError
from tagger.task import load_task, prompts_folder

ROW = {
    "record": {"id": "a", "tags": "category: mug\ncolour: red\nvolume: 300 ml"},
    "answer": {"description": ["A red mug.", "It holds 300 ml with ease."]},
    "unsupported": [{"text": "A blue mug.", "why": "colour"}, {"text": "A red mug, 300 ml.", "why": "mislabelled"}],
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "dev.jsonl"
    path.write_text(json.dumps(ROW) + "\n", "utf-8")
    return path


def figures(found: Any) -> dict[str, tuple[float, int]]:
    return {metric.name: (metric.figure.value, metric.figure.n) for metric in found}


def test_tracing_is_counted_sentence_by_sentence(rows: Path) -> None:
    task = load_task("description")

    found = labelled([rows], task.read_examples(rows), described(task))

    assert figures(of_tracing(found)) == {
        "of the kept, supported": (0.5, 2),
        "of the supported, kept": (0.5, 2),
        "of the unsupported, rejected": (0.5, 2),
    }


def test_drafts_are_counted_by_sentences_and_tags(rows: Path, tmp_path: Path) -> None:
    answer = json.dumps({"description": ["A red mug.", "The best mug."]})
    tagger, examples = Tagger("description", engine=ScriptedEngine(lambda _: answer)), []
    examples = tagger.task.read_examples(rows)
    taggings = tagger.tag_records([example.record for example in examples])

    assert figures(of_drafts(taggings, {"a": examples[0]}, "description")) == {
        "rows with a sentence": (1.0, 1),
        "sentences kept": (0.5, 2),
        "tags mentioned": (2 / 3, 3),
    }
    path = tmp_path / "drafts.jsonl"
    written = drafts(taggings, "description")
    path.write_text("".join(one.model_dump_json() + "\n" for one in written), "utf-8")
    with pytest.raises(SourceError, match="1 kept sentences are not judged"):
        of_judgements(read_drafts(path), "drafts")
    judged = [one.model_copy(update={"supported": True}) for one in written]
    path.write_text("".join(one.model_dump_json() + "\n" for one in judged), "utf-8")
    assert of_judgements(read_drafts(path), "drafts").figure.value == 1.0
    again, found = retraced(read_drafts(path), {"a": examples[0]}, "drafts")
    assert [one.kept for one in again] == [True, False]
    assert figures(found) == {"sentences kept": (0.5, 2), "tags mentioned": (2 / 3, 3)}
    with pytest.raises(SourceError, match="a draft of 'a', which is none of the rows"):
        retraced(again, {}, "drafts")


def test_wrong_sentences_have_a_text_and_a_reason(rows: Path) -> None:
    rows.write_text(json.dumps({**ROW, "unsupported": ["A blue mug."]}) + "\n", "utf-8")
    task = load_task("description")

    with pytest.raises(SourceError, match="row 'a': unsupported: expected"):
        labelled([rows], task.read_examples(rows), "description")


LINES = {
    "of the kept, supported": "labelled sentences that are kept: supported",
    "of the supported, kept": "labelled sentences that are supported: kept",
    "of the unsupported, rejected": "labelled sentences that are not supported: rejected",
    "sentences kept": "drafts of `qwen2.5-coder-0.5b-instruct`: sentences kept",
    "tags mentioned": "tags that a kept sentence mentions",
    "of the kept drafts, supported": "kept drafts that are supported, read by hand",
}


@pytest.mark.parametrize("name", ["description", "zh_description"])
def test_the_samples_and_the_stored_drafts_are_traced_as_their_readmes_say(name: str) -> None:
    task, sample = load_task(name), prompts_folder() / name / "sample"
    told: dict[str, list[str]] = {}
    for split in ("dev", "test"):
        file = Path(__file__).parents[2] / "eval" / "results" / f"{name}.sample.drafts.{split}.jsonl"
        examples, stored = task.read_examples(sample / f"{split}.jsonl"), read_drafts(file)
        again, metrics = retraced(stored, {e.record.id: e for e in examples}, file.name)
        assert [(d.id, d.text, d.kept, d.reason) for d in stored] == [(d.id, d.text, d.kept, d.reason) for d in again]
        found = labelled([sample / f"{split}.jsonl"], examples, described(task))
        for metric in [*of_tracing(found), *metrics, of_judgements(stored, file.name)]:
            told.setdefault(LINES[metric.name], []).extend([str(metric.figure.n), str(metric).removesuffix(" %")])

    lines = (prompts_folder() / name / "README.md").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("| ") and "[" in line] == [
        f"| {what} | {' | '.join(cells)} |" for what, cells in told.items()
    ]


def test_a_description_gets_no_verdict_and_is_refused_where_one_is_needed(rows: Path) -> None:
    task = load_task("description")
    tagger = Tagger(task, engine=ScriptedEngine())
    examples = task.read_examples(rows)
    head = header_of(tagger, examples, set_name="x", split="dev", sample=None, seed=0, shots=0)
    run = Run(head, [run_row(tagging) for tagging in tagger.tag_records([e.record for e in examples])])

    assert judge(run, task, examples) == []
    with pytest.raises(SettingsError, match="no one text is the right one"):
        refuse_descriptions(task)
    with pytest.raises(SourceError, match="'description' is a description"):
        calibrate(run, lambda _: [], task.fields)
    with pytest.raises(SettingsError, match="'description' is a description"):
        list(training_rows(task, examples))


def test_eval_run_names_the_command_that_judges_descriptions() -> None:
    with pytest.raises(SettingsError) as refused:
        CliRunner().invoke(
            app, ["run", "description.sample", "--root", str(prompts_folder()), "--engine", "scripted"],
            catch_exceptions=False,
        )  # fmt: skip

    assert "python -m eval claims" in (refused.value.hint or "")


def test_a_task_without_a_description_has_nothing_to_trace() -> None:
    with pytest.raises(SettingsError, match="0 fields that are descriptions"):
        described(load_task("category"))
