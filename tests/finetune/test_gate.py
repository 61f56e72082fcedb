"""An adapter takes over only if it is needed, better on rows that it has not seen, and served as it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tagger.adapter import SEEN, WEIGHTS, find_adapter
from tagger.calibration import Calibration
from tagger.engines.base import Completion, Request
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import SettingsError, SourceError, TaskError
from tagger.example import Example
from tagger.pipeline import Tagger
from tagger.task import Task, load_task

pytest.importorskip("torch", reason="the extra [cpu] is not installed")
pytest.importorskip("peft", reason="the extra [finetune] is not installed")

RECIPE = {
    "rank": 16, "rate": 0.001, "epochs": 6, "pack": 4, "packs": 1, "dtype": "float32", "patience": 50,
}  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Task:
    """What a title is, as a folder of its own; rows do not speak beside the model."""
    folder = tmp_path / "goods"
    folder.mkdir()
    (folder / "task.toml").write_text(
        'about = "What is it?"  # asked of all\n\n[columns.title]\n\n[fields.kind]\nkind = "label"\n'
        'labels = ["drink", "wear"]\n',
        "utf-8",
    )
    (folder / "plan.toml").write_text('[[ask]]\nform = "label"\nfields = ["kind"]\n\n[shots]\nprior = 0.0\n', "utf-8")
    return load_task(folder)


def trial(task: Task, rows: Sequence[Example], model: Path, folder: Path, **more: Any) -> Any:
    from finetune.train import Recipe
    from finetune.trial import Trial

    folder.mkdir(exist_ok=True)
    settings = {"target": 0.95, "recipe": Recipe.model_validate(RECIPE), **more}
    return Trial(task, task.plan, rows[:72], rows[72:84], rows[84:], model=str(model), folder=folder, **settings)


def trained(found: Any) -> Path:
    """The adapter of a trial, trained without judging it."""
    from finetune.adapt import adapt

    adapt(found.task, found.train, found.dev, found.recipe, found.model, found.folder / "adapter")
    return Path(found.folder / "adapter")


def test_a_better_adapter_takes_over_and_goes_back(
    shop: Task, many: list[Example], tiny_model: Path, tmp_path: Path
) -> None:
    from finetune.promote import promote, rollback
    from finetune.trial import hold

    tried = trial(shop, many, tiny_model, tmp_path / "trial")
    found = hold(tried)

    assert found.decision.verdict == "accepted", found.decision.reason
    assert [check.name for check in found.decision.checks] == [
        "needed", "fits", "unseen rows", "better", "unseen values", "no slice worse", "parity",
    ]  # fmt: skip
    before, after = found.decision.figures["figure"]
    assert before is not None
    assert after is not None
    assert after > before + 0.2
    assert shop.folder
    was = (shop.folder / "task.toml").read_text("utf-8")

    promote(shop, tried.plan, found.adapter, found.calibration, found.decision)
    served = load_task(shop.folder)
    assert served.definition.adapter == str(found.adapter)
    assert served.version == shop.version
    assert was == (shop.folder / "task.toml").read_text("utf-8").replace(f'adapter = "{found.adapter}"\n', "")

    rollback(shop)
    assert (shop.folder / "task.toml").read_text("utf-8") == was
    with pytest.raises(SettingsError, match="no promotion to roll back"):
        rollback(shop)

    again = hold(tried)  # all that it needs is kept: the same decision, nothing trained again
    assert again.decision.model_dump() == found.decision.model_dump()


def test_no_adapter_is_trained_that_is_not_needed(
    shop: Task, many: list[Example], tiny_model: Path, tmp_path: Path
) -> None:
    from finetune.trial import hold

    found = hold(trial(shop, many, tiny_model, tmp_path / "trial", target=0.1))

    assert found.decision.verdict == "not needed"
    assert "the target is 10.0" in found.decision.reason
    assert not found.adapter.exists()


def test_a_worse_adapter_is_refused(shop: Task, many: list[Example], tiny_model: Path, tmp_path: Path) -> None:
    from finetune.trial import hold

    other = {"drink": "wear", "wear": "drink"}
    wrong = [replace(e, answer={"kind": other[e.answer["kind"]]}) for e in many]
    adapter = trained(trial(shop, wrong, tiny_model, tmp_path / "wrong"))

    found = hold(trial(shop, many, tiny_model, tmp_path / "trial"), adapter)

    assert found.decision.verdict == "refused"
    assert "b is worse than a" in found.decision.reason


def test_an_adapter_that_has_seen_test_rows_is_refused(
    shop: Task, many: list[Example], tiny_model: Path, tmp_path: Path
) -> None:
    from finetune.trial import hold

    leaked = [*many[84:90], *many[6:]]
    adapter = trained(trial(shop, leaked, tiny_model, tmp_path / "leaked"))

    found = hold(trial(shop, many, tiny_model, tmp_path / "trial"), adapter)
    assert found.decision.verdict == "refused"
    assert found.decision.reason.startswith("it has seen 6 of the 60 rows that judge it")

    (adapter / SEEN).unlink()
    found = hold(trial(shop, many, tiny_model, tmp_path / "trial"), adapter)
    assert found.decision.reason.startswith("the adapter does not say which rows it has seen")
    with pytest.raises(SourceError, match="judged rows are also shots"):
        hold(trial(shop, [*many[:84], *many[:20]], tiny_model, tmp_path / "same"))


def test_an_adapter_of_another_model_or_of_other_rows_is_refused(
    shop: Task, many: list[Example], tiny_model: Path, tmp_path: Path
) -> None:
    from finetune.trial import hold

    adapter = trained(trial(shop, many, tiny_model, tmp_path / "other"))
    others = [*many[84:96], *many[:72], *many[96:]]
    found = hold(trial(shop, others, tiny_model, tmp_path / "others"), adapter)
    assert found.decision.reason.startswith("the train rows given (--data) are not those of the adapter")
    card = json.loads((adapter / "tagger.json").read_text("utf-8"))
    (adapter / "tagger.json").write_text(json.dumps({**card, "model": "another"}), "utf-8")

    found = hold(trial(shop, many, tiny_model, tmp_path / "trial"), adapter)
    assert found.decision.verdict == "refused"
    assert "trained for model another" in found.decision.reason
    assert load_task(shop.folder or "").definition.adapter is None


def test_an_adapter_whose_served_answers_differ_is_refused(
    shop: Task, many: list[Example], tiny_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from finetune import trial as module
    from finetune.trial import hold

    class Careless:
        """An engine that answers the sixth row of a batch of a served adapter with the other label."""

        def __init__(self, engine: Any) -> None:
            self.engine, self.info, self.close = engine, engine.info, engine.close

        def complete(self, requests: Sequence[Request]) -> list[Completion]:
            found = self.engine.complete(requests)
            return [
                _other(c) if r.adapter and n % 6 == 5 else c
                for n, (r, c) in enumerate(zip(requests, found, strict=True))
            ]

    def _other(completion: Completion) -> Completion:
        masses: Mapping[str, float] = completion.masses or {}
        flipped = dict(zip(masses, reversed(list(masses.values())), strict=True))
        return replace(completion, masses=flipped, text=max(flipped, key=lambda text: flipped[text]))

    opened = module.open_engine
    monkeypatch.setattr(module, "open_engine", lambda *a, **k: Careless(opened(*a, **k)))

    found = hold(trial(shop, many, tiny_model, tmp_path / "trial"))

    assert found.decision.verdict == "refused"
    assert found.decision.reason.startswith("the serving engine and PEFT agree on 40 of 48 answers")


def test_an_interrupted_save_leaves_the_serving_adapter(
    shop: Task, many: list[Example], tiny_model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from finetune import promote as module

    tried = trial(shop, many, tiny_model, tmp_path / "trial")
    from finetune.trial import hold

    found = hold(tried)
    assert shop.folder
    other = tried.plan.model_copy(update={"max_tokens": 99})  # a plan of its own, so that three files are written
    fitted = Calibration(
        task_version=shop.version, plan=other.id, model=str(tiny_model), adapter="a@1", rows=60, rows_id="0", pool="",
        fields={},
    )  # fmt: skip
    plain, write = (shop.folder / "task.toml").read_text("utf-8"), module.write_whole
    engine = ScriptedEngine()

    def broken(path: Path, text: str) -> None:
        if path.name == "task.toml":
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(module, "write_whole", broken)
    with pytest.raises(KeyboardInterrupt):
        module.promote(shop, other, found.adapter, fitted, found.decision)
    assert (shop.folder / "task.toml").read_text("utf-8") == plain
    assert Tagger(load_task(shop.folder), engine=engine).provenance.plan == tried.plan.id

    monkeypatch.setattr(module, "write_whole", write)
    module.promote(shop, other, found.adapter, fitted, found.decision)
    assert load_task(shop.folder).plan == other
    module.rollback(shop)
    assert (shop.folder / "task.toml").read_text("utf-8") == plain
    (found.adapter / WEIGHTS).unlink()
    with pytest.raises(TaskError, match="its saving was cut off"):
        find_adapter(str(found.adapter), None, {})


def test_a_promotion_needs_a_task_of_its_own(goods: Task, tmp_path: Path) -> None:
    from finetune.gate import Decision
    from finetune.promote import promote

    decision = Decision(
        task="goods", task_version="0", model="m", plans=("a", "b"), adapters=(None, "c"), rows="", verdict="accepted",
        checks=(),
    )  # fmt: skip
    with pytest.raises(SettingsError, match="no folder of its own"):
        promote(goods, goods.plan, tmp_path, None, decision)


def test_a_calibration_is_put_beside_the_task_and_taken_away(shop: Task, tmp_path: Path) -> None:
    from finetune.gate import Decision
    from finetune.promote import promote, rollback

    fitted = Calibration(
        task_version=shop.version,
        plan=shop.plan.id,
        model="org/m",
        adapter="a@1",
        rows=60,
        rows_id="0",
        pool="",
        fields={},
    )
    decision = Decision(
        task="goods", task_version=shop.version, model="org/m", plans=("a", "b"), adapters=(None, "a@1"), rows="",
        verdict="accepted", checks=(),
    )  # fmt: skip
    assert shop.folder
    promote(shop, shop.plan, shop.folder / "adapters" / "1", fitted, decision)

    assert load_task(shop.folder).definition.adapter == "adapters/1"
    assert json.loads((shop.folder / "calibration" / "org--m+a@1.json").read_text("utf-8"))["adapter"] == "a@1"
    assert not (shop.folder / "calibration" / "org--m.json").exists()
    (shop.folder / "task.toml").write_text((shop.folder / "task.toml").read_text("utf-8") + "# later\n", "utf-8")
    rollback(shop)
    assert (shop.folder / "task.toml").read_text("utf-8").endswith("# later\n")  # other edits stay
    assert load_task(shop.folder).definition.adapter is None

    (shop.folder / "task.toml").write_text(
        (shop.folder / "task.toml").read_text("utf-8").replace("What is it?", "What?"), "utf-8"
    )
    with pytest.raises(SettingsError, match="was changed while the adapter was tried"):
        promote(shop, shop.plan, shop.folder / "adapters" / "1", fitted, decision)
