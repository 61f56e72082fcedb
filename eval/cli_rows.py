"""Commands that take labelled rows: each asks a model, or what would stand in for one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eval.cli_options import (
    Change,
    Data,
    Dev,
    EngineName,
    Model,
    NoShots,
    PlanFile,
    Root,
    Sample,
    Seed,
    Shots,
    Split,
    TaskOrSet,
)
from eval.given import unchanged, with_predicted
from eval.record import based_on, read_run, write_run
from eval.robust import perturbed
from eval.run import header_of
from eval.run import run as run_examples
from eval.score import judge, refuse_descriptions
from eval.sets import (
    DEFAULT_SPLIT,
    OWN,
    labelled_set,
    load,
    planned,
    read_all,
    refuse_leaks,
    rows,
    sample,
    spans_of,
)
from eval.show import print_figures, print_run
from tagger.engines import open_engine
from tagger.errors import SettingsError
from tagger.pipeline import Tagger

out = Console()


def run(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    split: Split = None,
    no_shots: NoShots = False,
    count: Sample = None,
    seed: Seed = 0,
    engine: EngineName = "auto",
    model: Model = None,
    plan: PlanFile = None,
    change: Change = "",
    given: Annotated[str, typer.Option("--given", help="COLUMN=RUN: take a column from a run's predictions.")] = "",
    base: Annotated[
        Path | None, typer.Option("--base", help="A run of the unchanged rows; what is the same is not asked again.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave the task's calibration aside.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="Run file (.jsonl.gz); a begun one goes on.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop after so long; run again to go on.")] = None,
) -> None:
    """Judge a task on labelled rows."""
    loaded, judged, pool = load(task, data, shots, root, split, no_shots)
    own, loaded = loaded.plan.id, planned(loaded, plan)
    refuse_descriptions(loaded)
    judged = sample(judged, count, seed)
    refuse_leaks(judged, pool or loaded.examples)
    if loaded.plan.id != own and not raw:
        out.print("asked by another plan than the task's own: its calibration, if it has one, is left aside")
        raw = True
    plain, variant = judged, change
    if change:
        judged = [perturbed(example, change, seed, loaded) for example in judged]
    gold = judged  # a perturbed label is right too, a predicted column changes no label
    if given:
        column, _, predictions = given.partition("=")
        if column not in loaded.columns or not predictions:
            raise SettingsError(f"expected COLUMN=RUN, found {given!r}", where="--given")
        earlier = read_run(Path(predictions))
        judged = with_predicted(judged, column, earlier, loaded.columns[column])
        variant = f"{change} {column} from {earlier.header.key}"
    tagger = Tagger(loaded, engine=open_engine(engine, model), shots=pool or None, calibrated=not raw)
    header = header_of(
        tagger, plain, set_name=task if root else loaded.id, split=(split or DEFAULT_SPLIT) if root else OWN,
        sample=count, seed=seed, shots=len(pool), variant=variant.strip(),
    )  # fmt: skip
    if tagger.calibration and tagger.calibration.rows_id == header.rows_id:
        out.print("these are the rows that the calibration was fitted on: figures on them are too good")
    with out.status("") as status:
        done = [0]

        def progress(added: int) -> None:
            done[0] += added
            status.update(f"{done[0]} of {len(judged)} rows")

        known = unchanged(plain, judged, based_on(base, header)) if base else {}
        found = run_examples(tagger, judged, header, path=record, minutes=minutes, progress=progress, known=known)
    print_run(found, loaded, judge(found, loaded, gold), gold, spans_of(task, root, found.header.split), out)


def floor(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    dev: Dev = None,
    root: Root = None,
    split: Split = None,
    count: Sample = None,
    seed: Seed = 0,
    record: Annotated[
        Path | None, typer.Option("--record", help="Write a run file of its answers (.jsonl.gz).")
    ] = None,
) -> None:
    """Say what a linear classifier, a random field or a look-up makes of the same labelled rows."""
    from eval.floor import as_run
    from eval.floor import floor as floor_of

    loaded, judged, train = load(task, data, shots, root, split, False)
    chosen_on = rows(loaded, labelled_set(task, root)[1], root, "dev") if root else read_all(loaded, dev or [])
    judged = sample(judged, count, seed)
    refuse_leaks(judged, [*train, *chosen_on])
    found = floor_of(loaded, train, chosen_on, judged)
    out.print(f"{task}: {found.method}, from {len(train)} rows and {len(chosen_on)} dev rows", highlight=False)
    for name, figure in found.tried.items():
        out.print(f"  {name}: {figure} % of the dev rows", highlight=False)
    print_figures(loaded, found.verdicts, judged, spans_of(task, root, split or DEFAULT_SPLIT), out)
    if record:
        chosen = (split or DEFAULT_SPLIT) if root else OWN
        made = as_run(found, loaded, judged, set_name=task, split=chosen, sample=count, seed=seed, shots=len(train))
        write_run(record, made)


def plan(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    no_shots: NoShots = False,
    count: Sample = 100,
    seed: Seed = 0,
    engine: EngineName = "auto",
    model: Model = None,
    larger: Annotated[
        str | None, typer.Option("--confirm", help="A larger model that decides between the two best plans.")
    ] = None,
) -> None:
    """Choose on dev rows how a task is asked, and write the plan beside the task."""
    from eval.plan import Trial, confirm, in_words, search, write_plan

    loaded, dev, pool = load(task, data, shots, root, "dev" if root else None, no_shots)
    dev = sample(dev, count, seed)
    refuse_descriptions(loaded)
    refuse_leaks(dev, pool)
    if loaded.folder is None:
        raise SettingsError("the task has no folder to write a plan to")
    opened = open_engine(engine, model)

    def heard(trial: Trial) -> None:
        out.print(f"{trial.rows:4} rows  F1 {100 * trial.f1:5.1f}  {trial.tokens:5.0f} tokens a record  "
                  f"{in_words(trial.plan, bool(pool))}", highlight=False)  # fmt: skip

    best, *others = search(loaded, opened, dev, pool, heard)
    if larger:
        opened.close()
        opened = open_engine(engine, larger)
        best = confirm(loaded, opened, dev, pool, [trial.plan for trial in (best, *others)], heard)
    path = loaded.folder / "plan.toml"
    write_plan(path, best, opened.info.model)
    out.print(f"chosen: {in_words(best.plan, bool(pool))}\nwritten: {path}", highlight=False, soft_wrap=True)


def recall(
    task: TaskOrSet,
    data: Data = None,
    shots: Shots = None,
    root: Root = None,
    split: Split = None,
    no_shots: NoShots = False,
) -> None:
    """Say how often a shortlist of a large label set holds the right value; no model is asked."""
    from eval.recall import recall as recall_of

    loaded, judged, pool = load(task, data, shots, root, split, no_shots)
    refuse_leaks(judged, pool)
    for length, figure in recall_of(loaded, judged, pool).items():
        out.print(f"recall@{length}: {figure} % of {figure.n} rows", highlight=False)
