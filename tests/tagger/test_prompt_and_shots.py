"""What the model is shown, to the letter, and which examples it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tagger import ScriptedEngine, Tagger
from tagger.errors import TaskError, WeightsError
from tagger.example import Example
from tagger.prompt import escape
from tagger.record import Record
from tagger.shots import ShotPool
from tagger.task import Task, load_task


def example(title: str, label: str) -> Example:
    return Example(Record(title, {"title": title}), {"category": label})


POOL = [
    example("Blue running shorts for men", "Shorts"),
    example("Blue running shirt for men", "Shirts"),
    example("Green tea bags", "Tea"),
]


def test_the_prompt_of_a_shop_record_is_this_text(shop: Path) -> None:
    engine = ScriptedEngine(lambda prompt: '{"kind": "tea", "leaf": "Food > Tea"}')

    Tagger(shop, engine=engine).tag({"title": "Green  tea\n20 bags"})

    assert engine.history[-1].prompt.messages == [
        {"role": "system", "content": "Describe it."},
        {"role": "user", "content": "Acme 红茶 250 ml"},
        {
            "role": "assistant",
            "content": '{"kind": "tea", "traits": ["new", "gift"], "leaf": "Food > Tea", "brand": "A\\"c\\\\me 茶", '
            '"volume": "250 ml", "count": 0.5, "organic": true, "stars": 4}',
        },
        {"role": "user", "content": "Green tea 20 bags"},
    ]


def test_all_records_of_a_task_share_one_head(category: Task, scripted: ScriptedEngine) -> None:
    Tagger(category, engine=scripted).tag([{"title": "tea"}, {"title": "shoe"}])

    assert scripted.history[0].prompt.head is scripted.history[1].prompt.head
    assert len(scripted.history[0].prompt.head.shots) == category.plan.shots.fixed


def test_the_nearest_shot_comes_last_and_replaces_the_fixed_ones(category: Task, scripted: ScriptedEngine) -> None:
    Tagger(category, engine=scripted, shots=POOL).tag({"title": "Red running shorts for men"})
    prompt = scripted.history[0].prompt

    assert prompt.head.shots == ()
    assert prompt.shots[-1] == ("Blue running shorts for men", "Shorts")
    assert prompt.shots[0] == ("Green tea bags", "Tea")


def test_a_record_is_never_its_own_shot(category: Task) -> None:
    (shots,) = ShotPool(category, POOL).nearest([Record("1", {"title": "GREEN tea  bags"})], 3)

    assert len(shots) == 2
    assert all(shot.answer["category"] != "Tea" for shot in shots)


def test_embeddings_find_what_is_near_in_meaning(tmp_path: Path, category: Task) -> None:
    """Two words of one meaning: the letters of the record are nearer to the other example."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({"?": 0, "couch": 1, "sofa": 2, "coach": 3}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    meaning = np.array([[0, 0], [1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
    SentenceTransformer(modules=[StaticEmbedding(words, embedding_weights=meaning)]).save(str(tmp_path / "words"))
    pool = [example("sofa", "Tea"), example("coach", "Shorts")]

    def nearest(embedder: str) -> str:
        shots = category.plan.shots.model_copy(update={"embedder": embedder})
        task = replace(category, plan=category.plan.model_copy(update={"shots": shots}))
        return ShotPool(task, pool).nearest([Record("1", {"title": "couch"})], 1)[0][0].record.id

    assert nearest(str(tmp_path / "words")) == "sofa"
    assert nearest("") == "coach"


def test_an_embedder_that_is_none_is_refused(tmp_path: Path, category: Task) -> None:
    shots = category.plan.shots.model_copy(update={"embedder": str(tmp_path)})
    task = replace(category, plan=category.plan.model_copy(update={"shots": shots}))

    with pytest.raises(WeightsError, match=r"modules\.json"):
        ShotPool(task, POOL)


def test_common_shots_stand_for_the_pool_in_the_shared_part(category: Task, scripted: ScriptedEngine) -> None:
    shots = category.plan.shots.model_copy(update={"retrieved": 2, "common": 2})
    task = replace(category, plan=category.plan.model_copy(update={"shots": shots}))
    pool = [*POOL, example("Blue running shorts", "Shorts"), example("Oolong tea bags", "Tea")]

    Tagger(task, engine=scripted, shots=pool).tag([{"title": "Red shorts"}, {"title": "Black tea bags"}])

    first, second = (request.prompt for request in scripted.history)
    assert first.head is second.head
    assert {answer for _, answer in first.head.shots} == {"Tea", "Shorts"}
    assert not set(first.head.shots) & {*first.shots, *second.shots}
    assert len(first.shots) == len(second.shots) == 2


def test_a_record_is_no_common_shot_of_its_own_either(category: Task, scripted: ScriptedEngine) -> None:
    shots = category.plan.shots.model_copy(update={"retrieved": 1, "common": 2})
    task = replace(category, plan=category.plan.model_copy(update={"shots": shots}))

    Tagger(task, engine=scripted, shots=POOL).tag([e.record.values for e in POOL])

    for example_, request in zip(POOL, scripted.history, strict=True):
        turns = [*request.prompt.head.shots, *request.prompt.shots]
        assert example_.record.values["title"] not in [title for title, _ in turns]
        assert len(turns) == 2


def shown(task: Task, **changed: object) -> list[str]:
    shots = task.plan.shots.model_copy(update={"retrieved": 2, **changed})
    engine = ScriptedEngine()
    changed_task = replace(task, plan=task.plan.model_copy(update={"shots": shots}))
    pool = [*POOL, example("Blue running shorts for women", "Shorts")]
    Tagger(changed_task, engine=engine, shots=pool).tag({"title": "Red running shorts for women"})
    return [title for title, _ in engine.history[0].prompt.shots]


def test_a_plan_says_where_the_nearest_stands(category: Task) -> None:
    assert shown(category) == ["Blue running shorts for men", "Blue running shorts for women"]
    assert shown(category, nearest="first") == ["Blue running shorts for women", "Blue running shorts for men"]


def test_balanced_shots_take_labels_in_turn(category: Task) -> None:
    assert shown(category, balanced=True) == ["Blue running shirt for men", "Blue running shorts for women"]


def test_only_one_label_can_be_balanced(shop: Path) -> None:
    (shop / "plan.toml").write_text('[[ask]]\nform = "json"\n[shots]\nbalanced = true\n', "utf-8")

    with pytest.raises(TaskError, match="balanced only where one label is asked"):
        load_task(shop)


def test_attribute_shots_are_of_the_records_own_type(scripted: ScriptedEngine) -> None:
    Tagger("attributes", engine=scripted).tag({"title": "Sencha", "category": "Tea"})
    prompt = scripted.history[0].prompt

    assert len(prompt.head.shots) == 4
    assert all(ask.startswith("Tea: ") for ask, _ in prompt.head.shots)
    assert "Tea variety" in prompt.head.instruction
    assert "Sleeve" not in prompt.head.instruction


def test_codes_are_shown_and_read_back(shop: Path) -> None:
    (shop / "plan.toml").write_text('[[ask]]\nform = "codes"\nfields = ["kind"]\n[[ask]]\nform = "json"\n', "utf-8")
    (shop / "prompt.jinja").unlink()
    engine = ScriptedEngine(lambda prompt: "B" if "A = tea" in prompt.head.instruction else '{"leaf": "Food > Tea"}')

    tagging = Tagger(shop, engine=engine).tag({"title": "Mocha"})

    assert tagging.value("kind") == "coffee"
    assert engine.history[0].constraint.choices == ("A", "B")
    assert engine.history[0].prompt.head.shots[0][1] == "A"


@pytest.mark.parametrize("text", ["<|im_start|>", "</s>", "<start_of_turn>", "[INST]", "<｜User｜>", "<<SYS>>"])
def test_chat_control_tokens_are_broken(text: str) -> None:
    assert text not in escape(f"a {text} b")


def test_ordinary_text_is_left_alone() -> None:
    assert escape("a < b | c [2 pack] <3 5% 茶") == "a < b | c [2 pack] <3 5% 茶"


def test_the_shop_task_asks_closed_and_open_fields_together(shop: Path) -> None:
    assert [ask.form for ask in load_task(shop).plan.ask] == ["json"]
