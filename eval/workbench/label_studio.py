"""Taggings in, tasks of Label Studio out; its annotations in, reviews out.

It gets tasks with predictions and the configuration of its labelling page, and gives its JSON export back. Its offsets
count characters (code points), as ours do.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.workbench.exchange import Imported, cell, refuse_all
from eval.workbench.pictures import apart, glimpse, named
from eval.workbench.reviews import Review, checked
from tagger.errors import SourceError, TaskError
from tagger.evidence import Evidence, find
from tagger.example import Example
from tagger.picture import UnreadableError
from tagger.record import ID, Record, Rejected, read_record
from tagger.result import Tagging
from tagger.schema import (
    PATH_SEPARATOR,
    ClaimsField,
    FieldBase,
    LabelsField,
    NumberField,
    PathField,
    TextField,
    TextsField,
    takes_several,
    takes_spans,
)
from tagger.task import Task

_Mark = tuple[int, int, int, str]
"""A piece of text: the number of its column, where it starts and ends, and what it is."""


def proposed(taggings: Iterable[Tagging], records: Mapping[str, Record]) -> list[Example]:
    """What the tagger says, as rows that a person corrects; values that it withheld and rows without tags are not."""
    return [
        Example(records[t.id], {name: tag.value for name, tag in t.tags.items() if tag.value is not None}, pseudo=True)
        for t in taggings
        if t.outcome in ("tagged", "abstained")
    ]


def labelling_config(task: Task) -> str:
    """The configuration of Label Studio's labelling page for a task, as XML (labelstud.io/tags).

    Labels over the text take what stands there; below are choices, a taxonomy, a number or a box for each field. The
    box of a field that is copied from the text is for what does not stand there as it should be written.
    """
    view = ET.Element("View")
    ET.SubElement(view, "Style").text = ".htx-text{ white-space: pre-wrap; }"  # otherwise spaces are trimmed
    copied = [name for name, field in task.fields.items() if takes_spans(field)]
    for column in task.columns:
        ET.SubElement(view, "Header", value=column)
        if column in task.picture_columns:
            ET.SubElement(view, "Image", name=f"text_{_key(column)}", value=f"${_shown_key(column)}")
            continue
        if copied:
            labels = ET.SubElement(view, "Labels", name=f"spans_{_key(column)}", toName=f"text_{_key(column)}")
            for name in copied:
                ET.SubElement(labels, "Label", value=name)
        ET.SubElement(view, "Text", name=f"text_{_key(column)}", value=f"${_key(column)}")
    for name, field in task.fields.items():
        ET.SubElement(view, "Header", value=f"{name}: {field.about}" if field.about else name)
        _control(view, name, field, _shown_text(task))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def to_label_studio(
    task: Task, taggings: Sequence[Tagging], records: Mapping[str, Record], folder: Path | None = None
) -> list[dict[str, Any]]:
    """Tasks of Label Studio with what the tagger says as predictions; the score, by which Label Studio sorts, is the
    least probability. Small copies of pictures, which are named from `folder` on, stand in them. For a JSON file."""
    least = {t.id: min((tag.probability for tag in t.tags.values()), default=0.0) for t in taggings}
    return [
        {
            "data": {
                ID: row.record.id,
                **{_key(name): text for name, text in row.record.values.items()},
                **_copies(task, row.record, folder),
            },
            "predictions": [
                {
                    "model_version": f"{task.id} {task.version}",
                    "score": round(least[row.record.id], 6),
                    "result": list(_results(task, row)),
                }
            ],
        }
        for row in proposed(taggings, records)
    ]


def from_label_studio(task: Task, path: Path, rows: str = "") -> Imported:
    """The annotations in a JSON export of Label Studio, by label-studio-N for its user number N; `rows` is the file of
    rows that they are about.

    Raises SourceError for a file that is no such export, and TaskError naming each annotation that does not fit the
    task or whose text is not where it should be; nothing is imported then.
    """
    try:
        tasks = json.loads(path.read_bytes())
        pairs = [(item, each) for item in tasks for each in item["annotations"]]
        skipped = sum(bool(each.get("was_cancelled")) for _, each in pairs)
        empty = sum(not item["annotations"] for item in tasks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "in Label Studio choose Export, then JSON (not JSON-MIN)"
        raise SourceError(f"not a JSON export of Label Studio: {error}", where=path.name, hint=hint) from None
    found, wrong = [], []
    for item, each in pairs:
        if each.get("was_cancelled"):
            continue
        where = f"{path.name}, task {item.get('id', '?')}"
        try:
            example = _annotated(task, item["data"], each["result"], where)
        except TaskError as error:
            wrong.append(error)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            hint = "was it made with the labelling configuration of this task?"
            wrong.append(TaskError(f"the annotation cannot be read, because of {error}", where=where, hint=hint))
        else:
            user = each.get("completed_by")
            number = user.get("id") if isinstance(user, dict) else user
            found.append(Review(f"label-studio-{number}", example.record, example.answer, rows=rows))
    refuse_all(wrong)
    return Imported(tuple(found), skipped + empty)


def _copies(task: Task, record: Record, folder: Path | None) -> dict[str, str]:
    """Of each picture what Label Studio shows; the name of one that cannot be."""
    found = {}
    for column, name in apart(task.columns, record)[1].items():
        try:
            found[_shown_key(column)] = glimpse(name, folder)
        except UnreadableError:
            found[_shown_key(column)] = name
    return found


def _shown_key(column: str) -> str:
    """Under what a task of Label Studio has the copy of a picture: as hardly a column is called."""
    return f"_0_{_key(column)}"


def _key(name: str) -> str:
    """A name as Label Studio takes one in `name` and behind `$`: anything else than ASCII letters and digits, which
    its variables end at, as its number."""
    return re.sub(r"[^A-Za-z0-9_]", lambda char: f"_{ord(char[0]):x}_", name)


def _shown_text(task: Task) -> str:
    return f"text_{_key(next(iter(task.columns)))}"


def _control(view: ET.Element, name: str, field: FieldBase, about: str) -> None:
    own = {"name": f"field_{_key(name)}", "toName": about}
    if isinstance(field, PathField):
        taxonomy = ET.SubElement(view, "Taxonomy", own, leafsOnly="true", maxUsages="1")
        inner: dict[tuple[str, ...], ET.Element] = {(): taxonomy}
        for label in field.labels:
            path = tuple(label.split(PATH_SEPARATOR))
            for depth in range(len(path)):
                if path[: depth + 1] not in inner:
                    inner[path[: depth + 1]] = ET.SubElement(inner[path[:depth]], "Choice", value=path[depth])
    elif isinstance(field, LabelsField):
        _choices(view, field.labels, own, "multiple")
    elif field.closed:
        _choices(view, field.closed, own, "single")
    elif isinstance(field, NumberField):
        ET.SubElement(view, "Number", own, step="0.000001")
        if field.units:
            _choices(view, field.units, {"name": f"unit_{_key(name)}", "toName": about}, "single")
    else:
        several = {} if takes_several(field) else {"maxSubmissions": "1"}
        ET.SubElement(view, "TextArea", own, editable="true", rows="1", **several)


def _choices(view: ET.Element, values: Iterable[str], own: Mapping[str, str], choice: str) -> None:
    choices = ET.SubElement(view, "Choices", dict(own), choice=choice, showInline="true")
    for value in values:
        ET.SubElement(choices, "Choice", value=value)


def _results(task: Task, row: Example) -> Iterator[dict[str, Any]]:
    """An answer as results of Label Studio: texts are marked where they stand, in their order; if one does not stand
    there as it is written, all of its field are written in the box."""
    for name, value in row.answer.items():
        field, key = task.fields[name], _key(name)
        texts = apart(task.columns, row.record)[0]
        if takes_spans(field) and (places := _places(value if takes_several(field) else [value], texts)):
            for number, place in enumerate(places):
                marked = {"start": place.start, "end": place.end, "text": place.text, "labels": [name]}
                column = _key(place.column)
                yield _result(f"{key}-{number}", f"spans_{column}", f"text_{column}", "labels", marked)
            continue
        kind, told = _told(field, value)
        if told != []:
            yield _result(key, f"field_{key}", _shown_text(task), kind, {_holder(kind): told})
        if isinstance(field, NumberField) and field.units:
            yield _result(f"{key}-unit", f"unit_{key}", _shown_text(task), "choices", {"choices": [value["unit"]]})


def _places(texts: Sequence[str], record: Record) -> list[Evidence]:
    """Where the texts stand as they are written, one behind the other; nothing if one does not."""
    columns = list(record.values)
    places = [place for text in texts if (place := find(text, record.values)) and place.text == text]
    order = [(columns.index(place.column), place.start) for place in places]
    return places if len(places) == len(texts) and order == sorted(set(order)) else []


def _holder(kind: str) -> str:
    """The key under which a result of this kind holds what was said."""
    return "text" if kind == "textarea" else kind


def _result(name: str, tag: str, about: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": tag, "to_name": about, "type": kind, "value": dict(value)}


def _told(field: FieldBase, value: Any) -> tuple[str, Any]:
    """The kind of a result of Label Studio, and what it holds."""
    if isinstance(field, PathField):
        return "taxonomy", [value.split(PATH_SEPARATOR)]
    if isinstance(field, NumberField):
        return "number", value["value"] if field.units else value
    if isinstance(field, TextField | TextsField | ClaimsField):
        return "textarea", value if isinstance(value, list) else [value]
    return "choices", [cell(one) for one in (value if isinstance(value, list) else [value])]


def _annotated(task: Task, data: Mapping[str, Any], results: Iterable[Mapping[str, Any]], where: str) -> Example:
    """The results of an annotation as an answer. A field of labels of which none is chosen has the answer []."""
    row = {ID: data[ID], **{name: data[_key(name)] for name in task.columns if _key(name) in data}}
    texts = {f"text_{_key(name)}": (place, row.get(name, "")) for place, name in enumerate(task.columns)}
    tags = {f"{part}_{_key(name)}": (name, part) for name in task.fields for part in ("field", "unit")}
    marks: dict[str, list[_Mark]] = defaultdict(list)
    said: dict[str, dict[str, Any]] = defaultdict(dict)
    for result in results:
        kind, value = result["type"], result["value"]
        if kind == "labels":
            mark = _mark(*texts[result["to_name"]], value, where)
            for name in value["labels"]:
                marks[name].append(mark)
        else:
            name, part = tags[result["from_name"]]
            said[name][part] = value[_holder(kind)]
    if both := sorted(marks.keys() & said.keys()):
        told = f"{both[0]}: marked in the text, and written in its box as well"
        raise TaskError(told, where=where, hint="keep one of the two")
    record = read_record(row, named(task.columns), "1")
    asked = {} if isinstance(record, Rejected) else task.asked(record)
    answer: dict[str, Any] = {name: [] for name, field in asked.items() if isinstance(field, LabelsField)}
    for name, each in marks.items():
        found = [text for *_, text in sorted(each)]
        several = name in asked and takes_several(asked[name])
        answer[name] = found if several else _only(list(dict.fromkeys(found)), name, where)
    answer |= {name: _value(task.fields[name], parts, name, where) for name, parts in said.items()}
    return checked(task, row, answer, where)


def _mark(place: int, text: str, value: Mapping[str, Any], where: str) -> _Mark:
    """A marked piece of a text; TaskError where it is not what stands there. White space aside: pages change it."""
    start, end = int(value["start"]), int(value["end"])
    stands = text[start:end]
    if "text" in value and value["text"].split() != stands.split():
        told = f"{value['text']!r} is marked, but at its place stands {stands!r}"
        raise TaskError(told, where=where, hint="mark it again in Label Studio")
    return place, start, end, stands


def _value(field: FieldBase, parts: Mapping[str, Any], name: str, where: str) -> Any:
    """What was chosen or written for a field; what is no value of it is left for the schema to refuse."""
    told = parts.get("field")
    if isinstance(field, NumberField):
        return {"value": told, "unit": _only(parts.get("unit", []), f"{name}, unit", where)} if field.units else told
    values = told if isinstance(told, list) else [told]
    if isinstance(field, LabelsField):
        order = list(field.labels)
        return sorted(values, key=lambda label: order.index(label) if label in order else len(order))
    if isinstance(field, TextsField | ClaimsField):
        return values
    value = _only(values, name, where)
    if isinstance(field, PathField):
        return PATH_SEPARATOR.join(value)
    return field.closed.get(value, value) if field.closed else value


def _only(values: Sequence[Any], name: str, where: str) -> Any:
    if len(values) != 1:
        raise TaskError(f"{name}: expected one value, found {len(values)}", where=where, hint="keep one of them")
    return values[0]
