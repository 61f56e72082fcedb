"""The name of a labelled set in, its task and its rows out.

Any task with any files of labelled rows is evaluated the same way (`--data`, `--shots`); the sets here are
public ones, found in a folder of JSONL files, whose figures the README shows. Train rows are shots, dev rows
choose, test rows are read once.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tagger.definition import Definition
from tagger.errors import SettingsError, SourceError
from tagger.example import Example, dig, example_of
from tagger.likeness import plain_text
from tagger.plan import Ask, load_plan
from tagger.record import Column, Record
from tagger.schema import PATH_SEPARATOR, LabelField, PathField, TextsField
from tagger.task import Task, load_task, prompts_folder, task_names

Span = tuple[str, int, int]
"""A field, and the characters from start up to end that are a value of it."""

DEFAULT_SPLIT, OWN = "test", "own"
"""Which rows of a public set are judged if nobody says; what a run calls rows that are in none."""

PLANS = Path(__file__).parent / "plans"
"""Plans and calibrations of the sets, by their names: fitted to their rows, they are not those of a shipped task."""


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Where the rows of a set lie, and the task that they label. `task` gets the folder of sets."""

    folders: tuple[str, ...]
    task: Callable[[Path], Task]
    spans: str = ""
    """Where a row says at which characters its values stand: a dotted path to a list of start, end and type."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Fields of the rows that the task calls otherwise, since its own name for them is taken."""
    told: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """From a row's labels those of the task, where a set has other ones."""
    shipped: bool = False
    """Whether the rows lie beside a shipped task, whatever folder of sets is named."""
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Path fields, and where among the labels of a row their levels stand: single names, or one list of names."""

    def home(self, root: Path) -> Path:
        """The folder in which `folders` are."""
        return prompts_folder() if self.shipped else root


def _shipped(task: str, name: str) -> Callable[[Path], Task]:
    """A shipped task on set `name`, with the plan and calibrations of that set."""

    def load(root: Path) -> Task:
        shipped, folder = load_task(task), PLANS / name
        plan = load_plan(folder / "plan.toml", shipped.fields) if (folder / "plan.toml").is_file() else shipped.plan
        return replace(shipped, plan=plan, folder=folder)

    return load


def _as_shipped(task: str) -> Callable[[Path], Task]:
    """A shipped task as it is, with its own plan."""
    return lambda root: load_task(task)


def _labels(
    name: str, about: str, columns: Sequence[str], asked: str, read: Callable[[Any], Sequence[str]]
) -> LabelledSet:
    """A set with one label field whose labels stand in its labels.json."""

    def task(root: Path) -> Task:
        labels = read(json.loads((root / name / "labels.json").read_text("utf-8")))
        fields = {asked: LabelField(labels=dict.fromkeys(labels, ""))}
        definition = Definition(about=about, columns=dict.fromkeys(columns, Column()), fields=fields, gold="labels")
        return Task.define(name, definition, folder=PLANS / name)

    return LabelledSet((name,), task)


def _paths(
    name: str, folder: str, about: str, columns: Sequence[str], levels: tuple[str, ...], read: Callable[[Path], Any]
) -> LabelledSet:
    """A set with one path field, `category`, whose `levels` stand among the labels of a row; `read` lists the paths."""

    def task(root: Path) -> Task:
        leaves = dict.fromkeys(PATH_SEPARATOR.join(path) for path in read(root / folder))
        fields = {"category": PathField(labels=dict.fromkeys(leaves, ""))}
        definition = Definition(about=about, columns=dict.fromkeys(columns, Column()), fields=fields, gold="labels")
        return Task.define(name, definition, folder=PLANS / name)

    return LabelledSet((folder,), task, paths={"category": levels})


def _second_levels(folder: Path) -> list[tuple[str, str]]:
    """The nodes of two levels that the rows of flipkart-1050 name, which no file of it lists."""
    lines = [line for split in ("train", "dev", "test") for line in _lines(folder / f"{split}.jsonl")]
    return sorted({(row["category"], row["category_l2"]) for row in (json.loads(line)["labels"] for line in lines)})


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").removesuffix("\n").split("\n")


def _named_entities(root: Path) -> Task:
    about = "用户给出商品标题。请以 JSON 写出标题里出现的词，逐字照抄，没有的不写。"
    fields = {
        "product": TextsField(about="商品是什么东西，中心词"),
        "brand": TextsField(about="品牌"),
        "type": TextsField(about="型号"),
        "misc": TextsField(about="尺寸、数量、地名、年份等其他信息"),
    }
    definition = Definition(about=about, columns={"title": Column()}, fields=fields, gold="labels.attributes")
    return Task.define("ecommerce-ner-zh", definition, folder=PLANS / "ecommerce-ner-zh")


def _google(language: str) -> LabelledSet:
    """The Google product taxonomy, which has leaves but no products: to see how large label sets are asked about."""

    def task(root: Path) -> Task:
        lines = (root / "google-taxonomy" / "taxonomy.jsonl").read_text("utf-8").removesuffix("\n").split("\n")
        paths = [path for line in lines if (path := json.loads(line)[f"path_{language}"])]
        inner = {tuple(path[:depth]) for path in paths for depth in range(1, len(path))}
        leaves = dict.fromkeys(PATH_SEPARATOR.join(path) for path in paths if tuple(path) not in inner)
        fields = {"category": PathField(labels=dict.fromkeys(leaves, ""))}
        definition = Definition(about="Where a shop's product stands", columns={"title": Column()}, fields=fields)
        found = Task.define("google-taxonomy", definition)
        ask = Ask(form="label", fields=("category",), shortlist=20)
        return replace(found, plan=found.plan.model_copy(update={"ask": (ask,)}))

    return LabelledSet(("google-taxonomy",), task)


GRADES = {"exact": 3, "substitute": 2, "complement": 1, "irrelevant": 0}
"""What the task `relevance` calls ESCI's labels, as gains: their order is that of the Shopping Queries data set
(Reddy et al. 2022, arXiv 2206.06588)."""


def _graded(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {**labels, "score": GRADES[labels["relevance"]]}


def _matched(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Of a product that was picked for a query, or drawn at random: the labels and grades that agree with that."""
    match = labels["relevance"] == "match"
    return {
        "relevance": ["exact", "substitute"] if match else ["irrelevant", "complement"],
        "score": [3, 2] if match else [0, 1],
    }


SETS = {
    "category": LabelledSet(("ae-110k", "oa-mine"), _shipped("category", "category")),
    "ae-110k": LabelledSet(("ae-110k",), _shipped("attributes", "ae-110k")),
    "oa-mine": LabelledSet(("oa-mine",), _shipped("attributes", "oa-mine")),
    "online-shopping-10-zh": LabelledSet(("online-shopping-10-zh",), _shipped("zh_category", "online-shopping-10-zh")),
    "eprstmt-zh": LabelledSet(("eprstmt-zh",), _shipped("zh_sentiment", "eprstmt-zh")),
    "ecommerce-ner-zh": LabelledSet(("ecommerce-ner-zh",), _named_entities, "labels.spans", {"model": "type"}),
    "google-taxonomy": _google("en"),
    "google-taxonomy-zh": _google("zh"),
    "instacart-aisles": _labels(
        "instacart-aisles",
        "The user shows names of groceries. Answer with the supermarket aisle where each stands.",
        ("title",),
        "category",
        lambda found: [aisle for aisles in found["taxonomy"].values() for aisle in aisles],
    ),
    "openbg-zh": _labels(
        "openbg-zh", "用户给出商品标题，请回答它属于哪个细分类目。", ("title",), "fine", lambda found: found["fine"]
    ),
    "titles18-zh": _paths(
        "titles18-zh",
        "titles18-zh",
        "用户给出商品标题，请回答它属于哪个类目。",
        ("title",),
        ("category_path",),
        lambda folder: json.loads((folder / "labels.json").read_text("utf-8"))["paths"],
    ),
    "pricerunner": _labels(
        "pricerunner",
        "The user shows offers of a price comparison. Answer with the kind of appliance or device.",
        ("title",),
        "category",
        lambda found: found["labels"],
    ),
    "flipkart-1050": _labels(
        "flipkart-1050",
        "The user shows products of an Indian online shop. Answer with the department where each is sold.",
        ("title", "description"),
        "category",
        lambda found: found["labels"],
    ),
    "flipkart-1050-l2": _paths(
        "flipkart-1050-l2",
        "flipkart-1050",
        "The user shows products of an Indian online shop. Answer with the department and shelf where each is sold.",
        ("title", "description"),
        ("category", "category_l2"),
        _second_levels,
    ),
    "esci-us": LabelledSet(("esci-us",), _shipped("relevance", "esci-us"), told=_graded),
    "multicpr-zh": LabelledSet(("multicpr-zh",), _shipped("zh_relevance", "multicpr-zh"), told=_matched),
    "wands-queries": _labels(
        "wands-queries",
        "The user shows what shoppers typed into the search of a furniture shop. Answer with the class of products "
        "that is meant.",
        ("query",),
        "category",
        lambda found: found["labels"],
    ),
} | {
    f"{name}.sample": LabelledSet((f"{name}/sample",), _as_shipped(name), shipped=True)
    for name in task_names()
    if (prompts_folder() / name / "sample").is_dir()
}
"""By name; `TASK.sample` are the labelled rows that a shipped task brings along, dev and test."""


def labelled_set(name: str, root: Path) -> tuple[Task, LabelledSet]:
    """The task and the description of a set; SourceError for a name or a folder that is not there."""
    if name not in SETS:
        raise SourceError(f"no labelled set {name!r}", hint=f"there are: {', '.join(SETS)}")
    found = SETS[name]
    if missing := [folder for folder in found.folders if not (found.home(root) / folder).is_dir()]:
        hint = "name the folder that holds the sets with --root, or your own files with --data"
        raise SourceError(f"no folder {missing[0]!r}", where=str(root), hint=hint)
    return found.task(root), found


def rows(task: Task, found: LabelledSet, root: Path, split: str) -> list[Example]:
    """All rows of a split ("train", "dev" or "test") as examples, in the order of the files; a set may have no train
    rows."""
    files = files_of(found, root, split)
    if not (found.renamed or found.told or found.paths):
        return [row for file in files for row in task.read_examples(file)]
    examples = []
    for file in files:
        for number, line in enumerate(_lines(file), start=1):
            row = json.loads(line)
            again = {**row, "labels": _gold(task, found, dig(row, task.definition.gold))}
            examples.append(example_of(again, f"{file}:{number}", number, task.columns, task.asked, "labels"))
    return examples


def files_of(found: LabelledSet, root: Path, split: str) -> list[Path]:
    """The files of a split; a set may have no train rows."""
    files = [found.home(root) / folder / f"{split}.jsonl" for folder in found.folders]
    return [file for file in files if split != "train" or file.is_file()]


def splits_of(
    name: str, task: Task, data: list[Path] | None, shots: list[Path] | None, root: Path | None
) -> dict[str, list[Example]]:
    """All labelled rows by what they are called: the splits of a public set that are there, or own files by role."""
    if root:
        found = SETS[name]
        there = [s for s in ("train", "dev", "test") if all(file.is_file() for file in files_of(found, root, s))]
        return {split: each for split in there if (each := rows(task, found, root, split))}
    own = {"shown or heard (--shots)": read_all(task, shots or []), "judged (--data)": read_all(task, data or [])}
    return {role: each for role, each in own.items() if each}


def _gold(task: Task, found: LabelledSet, labels: Mapping[str, Any]) -> dict[str, Any]:
    """The labels of a row as the task calls and writes them."""
    if found.told:
        return dict(found.told(labels))
    if found.paths:
        return {name: PATH_SEPARATOR.join(_levels(labels, places)) for name, places in found.paths.items()}
    gold = {found.renamed.get(name, name): value for name, value in labels.items()}
    # A value that cannot be written (control characters) is no answer; its span stays among the gold spans.
    return {name: [v for v in values if not task.fields[name].problem([v])] for name, values in gold.items()}


def _levels(labels: Mapping[str, Any], places: Sequence[str]) -> list[str]:
    """The names on a row's path, from the top down."""
    return list(labels[places[0]]) if len(places) == 1 else [labels[place] for place in places]


def gold_spans(found: LabelledSet, root: Path, split: str) -> dict[str, set[Span]]:
    """By id, where the values of a row stand: (field, start, end). SourceError for a set that does not say."""
    if not found.spans:
        raise SourceError(f"the set does not say where values stand: {', '.join(found.folders)}")
    spans = {}
    for folder in found.folders:
        for line in (found.home(root) / folder / f"{split}.jsonl").read_text("utf-8").removesuffix("\n").split("\n"):
            row = json.loads(line)
            places = dig(row, found.spans)
            names = [found.renamed.get(place["type"], place["type"]) for place in places]
            spans[row["id"]] = {(n, at["start"], at["end"]) for n, at in zip(names, places, strict=True)}
    return spans


def spans_of(name: str, root: Path | None, split: str) -> dict[str, set[Span]] | None:
    """The gold spans of a public set by its name; None for own files, and for a set that does not say where."""
    return gold_spans(SETS[name], root, split) if root and SETS[name].spans else None


def sample(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """`count` examples drawn without replacement, or all of them in order."""
    if count is None or count >= len(examples):
        return list(examples)
    return random.Random(seed).sample(list(examples), count)


def refuse_leaks(judged: Sequence[Example], shots: Sequence[Example]) -> None:
    """Raise SourceError if a judged row is also shown to the model as a shot, case and white space aside, or was
    labelled by a tagger."""
    if pseudo := [e.record.id for e in judged if e.pseudo]:
        hint = "pseudo-labels train; judge on rows that a person has labelled"
        raise SourceError(f"{len(pseudo)} judged rows have pseudo-labels, the first is {pseudo[0]!r}", hint=hint)
    shown = {_seen(e.record) for e in shots}
    if leaked := [e.record.id for e in judged if _seen(e.record) in shown]:
        hint = "take them out of one of the two files"
        raise SourceError(f"{len(leaked)} judged rows are also shots, the first is {leaked[0]!r}", hint=hint)


def _seen(record: Record) -> object:
    """What tells a record from others: its text, for shots are shown without pictures; without a text its pictures."""
    return plain_text(record) or tuple(picture.digest for picture in record.pictures.values())


def load(
    task: str, data: list[Path] | None, shots: list[Path] | None, root: Path | None, split: str | None, no_shots: bool
) -> tuple[Task, list[Example], list[Example]]:
    """The task, the rows to judge and the pool of shots: of a public set in `root` (test rows, unless `split` says
    otherwise), or of files.

    Raises SettingsError for neither and for both, SourceError and TaskError for what is wrong with them.
    """
    if root and (data or shots):
        raise SettingsError("--root brings the rows and shots of a public set; --data and --shots are your own")
    if root:
        loaded, found = labelled_set(task, root)
        judged = rows(loaded, found, root, split or DEFAULT_SPLIT)
        return loaded, judged, [] if no_shots else rows(loaded, found, root, "train")
    if no_shots and shots:
        raise SettingsError("--no-shots and --shots contradict each other")
    if split:
        told = "--split names rows of a public set; --data are judged whole"
        raise SettingsError(told if data else "a split of which set?", hint="say where the set lies with --root")
    if not data:
        hint = "--root prompts" if task.endswith(".sample") else "give them with --data, or a public set with --root"
        raise SettingsError("no labelled rows to judge on", hint=hint)
    loaded = load_task(task)
    return loaded, read_all(loaded, data), read_all(loaded, shots or [])


def planned(task: Task, plan: Path | None) -> Task:
    """The task as it is asked by the plan in a file, if one is named; SettingsError where there is no such file."""
    if plan is None:
        return task
    if not plan.is_file():
        raise SettingsError("no such plan", where=str(plan))
    return replace(task, plan=load_plan(plan, task.fields))


def read_all(task: Task, files: list[Path]) -> list[Example]:
    """The labelled rows of all files, in order."""
    return [example for file in files for example in task.read_examples(file)]
