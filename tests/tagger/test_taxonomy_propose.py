"""A label tree is proposed for products that have no label: by a script that stands for the model, and by a model."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.taxonomy import agreement, judged
from tagger.cli import app
from tagger.engines.embedder import Embedder
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SourceError
from tagger.example import Example
from tagger.prompt import Prompt
from tagger.record import Record
from tagger.task import load_task
from tagger.taxonomy.clusters import clusters
from tagger.taxonomy.kinds import kinds, language_of
from tagger.taxonomy.names import candidates, folded
from tagger.taxonomy.places import cosines, places
from tagger.taxonomy.propose import drawn, propose
from tagger.taxonomy.settings import Settings
from tagger.taxonomy.views import likeness

GOODS = {
    "tea bag": ["green tea", "black tea", "herbal tea", "oolong tea"],
    "running shoe": ["trail running shoe", "road running shoe", "racing shoe", "running sneaker"],
    "desk lamp": ["led desk lamp", "clip desk lamp", "office desk lamp", "reading lamp"],
    "茶包": ["绿茶", "红茶", "花草茶", "乌龙茶"],
}
ENGLISH = {"茶包": "tea bags"}


def say(prompt: Prompt) -> str | Mapping[str, float]:
    """The kind of a product by its words; of several shelves "shop goods"; a translation; the first candidate."""
    text = prompt.record
    if "candidates: " in text:
        names = text.split("candidates: ")[1].split(" | ")
        return {name: 1 / len(names) for name in names}
    if text in ENGLISH:
        return ENGLISH[text]
    if "," in text:
        return "shop goods"
    return next(kind for kind, titles in GOODS.items() if any(text.startswith(title) for title in titles))


@pytest.fixture
def examples() -> list[Example]:
    """Ten products of each of 16 titles, with the kind as the label, the two tea bags under one."""
    return [
        Example(Record(f"{title} {n}", {"title": f"{title} no {n}"}), {"category": ENGLISH.get(kind, kind)[:7]})
        for kind, titles in GOODS.items()
        for title in titles
        for n in range(10)
    ]


def test_the_kinds_of_things_are_found_named_and_put_together_across_languages(examples: list[Example]) -> None:
    found = propose([example.record for example in examples], ScriptedEngine(say))

    assert {label.name for label in found.labels} == {"tea bag", "running shoe", "desk lamp"}
    labels = [str(example.answer["category"]) for example in examples]
    assert agreement(labels, [row.label for row in found.rows]).adjusted_rand == 1.0
    assert found.coverage == 1.0
    tea = next(label for label in found.labels if label.name == "tea bag")
    assert tea.rows == 80
    assert "茶包" in tea.includes
    assert len(tea.examples) == 5


def test_an_evaluation_hides_the_labels_and_has_baselines_beside_it(examples: list[Example]) -> None:
    engine = ScriptedEngine(say)

    figures = judged(examples, engine, None, seed=0)

    assert figures["agreement"]["adjusted_rand"] == 1.0
    assert set(figures["k_means"]) == {"3", "6"}
    assert all("category" not in message["content"] for r in engine.history for message in r.prompt.messages)


def test_the_command_writes_a_task_that_passes_the_check(tmp_path: Path) -> None:
    source = tmp_path / "shop.csv"
    with source.open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["id", "product"])
        table.writerows([f"{i}", f"blue lamp number {i}"] for i in range(30))
    command = ["taxonomy", "propose", str(source), "--map", "title=product", "--engine", "scripted"]

    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "tree")])
    again = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "tree")])
    checked = CliRunner().invoke(app, ["check", str(tmp_path / "tree")])

    assert done.exit_code == 0, done.output
    steps = ["rows compared: 0 of 30", "rows compared: 30 of 30", "rows read: 0 of 8", "rows read: 8 of 8"]
    steps += ["labels named: 0 of 1", "labels named: 1 of 1"]
    said = [line for line in done.stderr.splitlines() if " of " in line]
    assert said[: len(steps)] == steps, done.stderr
    assert isinstance(again.exception, SourceError)
    assert checked.exit_code == 0, checked.output
    assert list(load_task(tmp_path / "tree").fields["category"].closed or ()) == ["thing"]
    assert (
        CliRunner().invoke(app, ["taxonomy", "review", str(tmp_path / "tree"), "--out", str(tmp_path / "2")]).exit_code
        == 0
    )
    assert [load_task(tmp_path / name).columns["title"].names[0] for name in ("tree", "2")] == ["product", "product"]
    command = [
        "tag",
        str(source),
        "--task",
        str(tmp_path / "2"),
        "--engine",
        "scripted",
        "--out",
        str(tmp_path / "tags"),
    ]
    assert CliRunner().invoke(app, command).exit_code == 0
    facts = json.loads((tmp_path / "tree" / "proposal.json").read_text("utf-8"))
    assert (facts["rows"], facts["made"]["seed"]) == (30, 0)


def test_too_few_records_show_no_tree() -> None:
    with pytest.raises(SourceError, match="2 records show no label tree"):
        propose([Record("1", {"title": "a"}), Record("2", {"title": "b"})], ScriptedEngine())


def test_equal_texts_are_drawn_once_and_the_draw_can_be_repeated() -> None:
    records = [Record(str(n), {"title": f"Lamp {n % 50}"}) for n in range(100)]

    first, again = (drawn(records, 20, 3)[0] for _ in range(2))

    assert first == again
    assert len({record.values["title"].casefold() for record in first}) == 20
    assert len(drawn(records, 80, 3)[0]) == 50


def test_a_kind_is_asked_in_the_language_of_the_text() -> None:
    engine = ScriptedEngine()

    assert kinds(["Desk lamp", "台灯 LED", ""], engine) == ["thing", "商品", "thing"]
    assert [language_of(text) for text in ("LED 台灯", "Lamp 灯", "123")] == ["zh", "en", "en"]


def test_names_that_differ_in_their_plural_are_one() -> None:
    pairs = {
        "Tea bags": "tea bag",
        "dress": "dress",
        "T-shirts": "t shirt",
        "boxes": "box",
        "茶包": "茶包",
        "lens": "len",
    }

    assert {name: folded(name) for name in pairs} == pairs


def test_a_name_is_frequent_in_its_cluster_and_rare_elsewhere() -> None:
    everywhere = {"thing": 100, "lamp": 5, "light": 1}

    found = candidates(["thing"] * 5 + ["lamp"] * 4 + ["lamps"] + ["light", ""], everywhere)

    assert list(found) == ["lamp", "light", "thing"]
    assert sum(found.values()) == pytest.approx(1)


def test_what_all_embeddings_have_in_common_tells_no_kinds_apart() -> None:
    class Common:
        """Two kinds, told apart by little beside what all texts have in common."""

        name = "common"

        def transform(self, texts: Sequence[str]) -> np.ndarray:
            kinds = np.array([[10, 1] if text in {"couch", "sofa"} else [10, -1] for text in texts], dtype=np.float32)
            return kinds / np.linalg.norm(kinds, axis=1, keepdims=True)

    alike = likeness(["couch", "sofa", "coach", "bus"], Settings(), cast(Embedder, Common()))

    assert alike[0, 1] == pytest.approx(0.5)  # no word, but the meaning
    assert alike[0, 2] == pytest.approx(-0.5)
    assert alike[2, 3] == pytest.approx(0.5)


def test_a_row_is_held_against_the_others_of_its_cluster() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1], [0, 1.0]])
    numbers = np.array([0, 0, 1, 1, -1])

    found, where = cosines(vectors @ vectors.T, numbers), places(vectors @ vectors.T, numbers)

    def cosine(a: Any, b: Any) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert found[0, 0] == pytest.approx(1)
    assert found[2, 1] == pytest.approx(cosine(vectors[2], vectors[3]))
    assert found[0, 1] == pytest.approx(cosine(vectors[0], vectors[2] + vectors[3]))
    assert where.fit.tolist() == pytest.approx([1, 1, 0.8, 0.8, 0])
    assert where.other.tolist() == [1, 1, 0, 0, 1]


def test_clusters_are_numbered_from_the_largest_and_what_is_like_nothing_is_in_none() -> None:
    vectors = np.zeros((13, 13))
    vectors[:4, 0] = vectors[4:11, 1] = 0.8
    vectors[11:, 2:4] = np.eye(2)
    vectors[np.arange(11), np.arange(2, 13)] = 0.6

    alike = vectors @ vectors.T
    alike[11:, :11] = alike[:11, 11:] = 0

    found, again = (clusters(alike, Settings()) for _ in range(2))

    assert found.tolist() == again.tolist() == [1] * 4 + [0] * 7 + [-1] * 2


def test_a_row_goes_to_the_cluster_that_it_is_nearest_to() -> None:
    """Joined to one row alone, the nearest by a hair, it stands with that one's community, whose mean is far."""
    alike = np.eye(13)
    alike[:6, :6] = alike[6:12, 6:12] = 0.5
    alike[12, 0] = alike[0, 12] = 0.5
    alike[12, 6:12] = alike[6:12, 12] = 0.45
    np.fill_diagonal(alike, 1.0)

    found = clusters(alike, Settings(neighbours=1))

    assert found[12] == found[6]
    assert len(set(found[6:].tolist())) == 1
