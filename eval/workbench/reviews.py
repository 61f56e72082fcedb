"""Verdicts of people in, labelled rows out: to judge on, to train on, to show as examples; and the test rows apart.

Verdicts lie in reviews.jsonl beside the task and are only ever added to: what counts is the last one of a person on a
record. Records are the same if their texts and pictures are, whatever their ids; pictures stand in them by name
(pictures.py). Test rows lie in test.jsonl; nobody reviews them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from sklearn.metrics import cohen_kappa_score

from eval.sets import refuse_leaks
from eval.slices import shown
from eval.workbench.files import add_line, now, read_lines, safe_name
from eval.workbench.pictures import called, kept, named, worded
from tagger.errors import SettingsError, SourceError, TaskError
from tagger.example import Example, example_of, read_examples
from tagger.likeness import plain_text
from tagger.plan import validation_text
from tagger.record import ID, Record
from tagger.task import Task

REVIEWS, TEST = "reviews.jsonl", "test.jsonl"
Use = Literal["dev", "example", "train"]
"""What a reviewed record is for: to judge and choose on, to be shown to the model, to train on."""
USES: tuple[Use, ...] = get_args(Use)


@dataclass(frozen=True, slots=True)
class Review:
    """A person's verdict on a record."""

    author: str
    record: Record
    answer: Mapping[str, Any]
    """The whole right answer; fields that the record has not are left out."""
    use: Use = "dev"
    said: Mapping[str, tuple[Any, float]] = field(default_factory=dict)
    """By field the value that the tagger had said (None: withheld) and its probability; empty where it was not seen."""
    rows: str = ""
    """The file of rows that the record came from."""
    at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Stale:
    """A verdict that no longer fits the task, as it was given, and why it does not."""

    review: Review
    reason: str


@dataclass(frozen=True, slots=True)
class Reviews:
    """The verdicts that count, in the order in which records were first reviewed."""

    valid: tuple[Review, ...]
    stale: tuple[Stale, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two people over the records that both reviewed: how many, how many of them with the same answer, and Cohen's
    kappa (1960), the mean of the fields weighted by their answers; None where it is not defined."""

    a: str
    b: str
    records: int
    same: int
    kappa: float | None


class _Line(BaseModel):
    """What a line of reviews.jsonl holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str
    author: str
    id: str
    record: Mapping[str, str]
    answer: Mapping[str, Any]
    use: Use
    said: Mapping[str, tuple[Any, float]]
    rows: str

    @property
    def key(self) -> tuple[str, str]:
        return self.author, content(Record(self.id, self.record))


def content(record: Record) -> str:
    """What makes records the same to a reader: their texts and pictures, whatever the order of the columns."""
    values = {**record.values, **{name: called(picture) for name, picture in record.pictures.items()}}
    return plain_text(Record(record.id, dict(sorted(values.items()))))


def checked(task: Task, row: Mapping[str, Any], answer: Any, where: str, number: int = 1) -> Example:
    """A row with its answer as an example of the task; TaskError, for an analyst, for whatever does not fit.

    `number` is the id of a row without one. Pictures keep their names, and are not opened.
    """
    native = {"record": row, "answer": answer}
    try:
        return example_of(native, where, number, named(task.columns), task.asked, "answer")
    except TaskError as error:
        told = error.message.replace("the answer breaks the schema: $.", "the answer does not fit the task: ")
        raise TaskError(told.replace("; $.", "; "), where=where, hint=error.hint) from None


def add(folder: Path, task: Task, *found: Review) -> None:
    """Write verdicts down, all or none. A record that has a use already keeps it; `set_use` changes it. Pictures that
    stand in a record become files of the task.

    Raises TaskError for an answer that does not fit the task, SourceError for a record that is a test row, and
    SettingsError for a name or a use that there is not.
    """
    test = test_contents(folder)
    uses = {line.key[1]: line.use for line in _lines(folder)}
    lines = []
    for review in found:
        safe_name(review.author, "person")
        _refuse_use(review.use)
        checked(task, {ID: review.record.id, **review.record.values}, review.answer, f"record {review.record.id}")
        record = kept(review.record, task.columns, folder)
        text = content(record)
        if text in test:
            hint = "test rows are judged on once, at the end; whoever labels or shows them spoils that"
            raise SourceError(f"record {review.record.id!r} is a test row", hint=hint)
        lines.append(_fact(replace(review, record=record, use=uses.get(text, review.use))))
    if lines:
        add_line(folder / REVIEWS, *lines)


def reviews(folder: Path, task: Task) -> Reviews:
    """The last verdict of each person on each record; those that no longer fit the task are apart.

    Raises SourceError for a file that holds something else.
    """
    valid, stale = [], []
    for line in {line.key: line for line in _lines(folder)}.values():
        given = Record(line.id, line.record)
        review = Review(line.author, given, line.answer, line.use, line.said, line.rows, line.at)
        try:
            example = checked(task, {ID: line.id, **line.record}, line.answer, f"record {line.id}")
        except TaskError as error:
            stale.append(Stale(review, error.message))
        else:
            valid.append(replace(review, record=example.record))
    return Reviews(tuple(valid), tuple(stale))


def labelled(found: Iterable[Review], use: Use) -> list[Example]:
    """The records of a use with their right answers, each once; no disputed ones. No two records of any use have the
    same id: whichever was reviewed later has a number behind it."""
    groups = _by_record(found)
    latest = [sorted(group, key=lambda review: review.at)[-1] for group in groups]
    examples = _named_apart(Example(review.record, dict(review.answer)) for review in latest)
    judged = zip(groups, latest, examples, strict=True)
    return [example for group, last, example in judged if last.use == use and _agreed(group)]


def disputes(found: Iterable[Review]) -> list[tuple[Review, ...]]:
    """For each record about which people disagree, their verdicts."""
    return [tuple(group) for group in _by_record(found) if not _agreed(group)]


def agreement(found: Iterable[Review]) -> list[Agreement]:
    """How far each two people agree who have reviewed a record in common.

    A field counts where at least one of them has given a value: that it has none is an answer, too.
    """
    pairs = defaultdict(list)
    for group in _by_record(found):
        for a, b in combinations(sorted(group, key=lambda review: review.author), 2):
            pairs[a.author, b.author].append((a.answer, b.answer))
    return [
        Agreement(*names, len(both), sum(a == b for a, b in both), _kappa(both))
        for names, both in sorted(pairs.items())
    ]


def set_use(folder: Path, record: Record, use: Use) -> None:
    """Give a reviewed record another use; its verdicts stay as they are. SourceError if nobody has reviewed it."""
    _refuse_use(use)
    text = content(record)
    last = {line.author: line for line in _lines(folder) if line.key[1] == text}
    if not last:
        raise SourceError(f"nobody has reviewed record {record.id!r}", hint="review it first")
    moved = [line.model_copy(update={"use": use, "at": now()}).model_dump() for line in last.values()]
    add_line(folder / REVIEWS, *moved)


def reword(folder: Path, field: str, before: str, after: str) -> int:
    """Say a label in another word wherever it was given as an answer, test rows aside; how many verdicts changed."""
    last = {line.key: line for line in _lines(folder)}.values()
    changed = [
        line.model_copy(update={"answer": {**line.answer, field: _reworded(line.answer[field], before, after)}})
        for line in last
        if field in line.answer and line.answer[field] != _reworded(line.answer[field], before, after)
    ]
    if changed:
        add_line(folder / REVIEWS, *(line.model_copy(update={"at": now()}).model_dump() for line in changed))
    return len(changed)


def _reworded(value: Any, before: str, after: str) -> Any:
    if isinstance(value, list):
        return [after if item == before else item for item in value]
    return after if value == before else value


def test_rows(folder: Path, task: Task) -> list[Example]:
    """The test rows of a task, each with an id of its own; TaskError naming those that no longer fit the task."""
    path = folder / TEST
    return _named_apart(labelled_lines(task, path)) if path.is_file() else []


def labelled_lines(task: Task, path: Path) -> list[Example]:
    """Labelled rows of a JSONL file as `Task.read_examples` reads them, pictures as they stand there, unopened."""
    return read_examples(path, named(task.columns), task.asked, task.definition.gold)


def test_contents(folder: Path) -> frozenset[str]:
    """What the test rows say (`content`), whether or not they still fit the task."""
    records = (line.get("record") for line in read_lines(folder / TEST))
    texts = ({name: text for name, text in row.items() if name != ID} for row in records if isinstance(row, Mapping))
    return frozenset(content(Record("", values)) for values in texts)


def import_test(folder: Path, task: Task, path: Path) -> int:
    """Add the labelled rows of a JSONL file to the test rows; how many. All or none.

    Raises TaskError for rows that do not fit the task, and SourceError if rows are reviewed already, are examples of
    the task, are test rows already, stand in the file twice, have several right answers or were labelled by a tagger.
    """
    rows = [replace(row, record=kept(row.record, task.columns, folder)) for row in labelled_lines(task, path)]
    refuse_leaks([replace(row, record=worded(row.record, task.columns)) for row in rows], task.examples)
    reviewed = {line.key[1] for line in _lines(folder)}
    seen = set(test_contents(folder))
    again = []
    for row in rows:
        text = content(row.record)
        again += [row] if text in seen else []
        seen.add(text)
    for wrong, what, hint in (
        ([row for row in rows if content(row.record) in reviewed], "are reviewed already", "take them out of the file"),
        (again, "are test rows already, or stand in the file twice", "take them out of the file"),
        ([row for row in rows if row.also], "have several right answers", "keep one answer for each field"),
    ):
        if wrong:
            told = f"{len(wrong):,} of {len(rows):,} rows {what}, the first is {wrong[0].record.id!r}"
            raise SourceError(told, where=path.name, hint=hint)
    add_line(folder / TEST, *map(native, rows))
    return len(rows)


def native(example: Example) -> dict[str, Any]:
    """A labelled row as a line of JSONL that `Task.read_examples` reads."""
    return {"record": {ID: example.record.id, **example.record.values}, "answer": dict(example.answer)}


def _lines(folder: Path) -> list[_Line]:
    lines = []
    for number, facts in enumerate(read_lines(folder / REVIEWS), start=1):
        try:
            lines.append(_Line.model_validate(facts))
        except ValidationError as error:
            where = f"{folder / REVIEWS}, verdict {number}"
            raise SourceError(f"not a verdict: {validation_text(error)}", where=where) from None
    return lines


def _fact(review: Review) -> dict[str, Any]:
    return {
        "at": review.at,
        "author": review.author,
        "id": review.record.id,
        "record": dict(review.record.values),
        "answer": dict(review.answer),
        "use": review.use,
        "said": {name: list(told) for name, told in review.said.items()},
        "rows": review.rows,
    }


def _refuse_use(use: str) -> None:
    if use not in USES:
        raise SettingsError(f"a record cannot be used as {use!r}", hint=f"it can be: {', '.join(USES)}")


def _by_record(found: Iterable[Review]) -> list[list[Review]]:
    groups = defaultdict(list)
    for review in found:
        groups[content(review.record)].append(review)
    return list(groups.values())


def _agreed(group: Sequence[Review]) -> bool:
    return all(review.answer == group[0].answer for review in group)


def _named_apart(examples: Iterable[Example]) -> list[Example]:
    """The same with no id twice: whoever comes later gets a number behind it."""
    taken: set[str] = set()
    apart = []
    for example in examples:
        name, number = example.record.id, 1
        while name in taken:
            number += 1
            name = f"{example.record.id} ({number})"
        taken.add(name)
        apart.append(replace(example, record=Record(name, example.record.values)))
    return apart


def _kappa(both: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> float | None:
    said = defaultdict(list)
    for a, b in both:
        for name in {**a, **b}:
            said[name].append((shown(a.get(name)), shown(b.get(name))))
    total = weight = 0.0
    for pairs in said.values():
        one, other = zip(*pairs, strict=True)
        if len({*one, *other}) > 1:  # of a single value, chance alone agrees
            total += len(pairs) * float(cohen_kappa_score(one, other))
            weight += len(pairs)
    return total / weight if weight else None
