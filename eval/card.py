"""A task, its runs and labelled rows in, a model card (Mitchell et al. 2019) and a data sheet (Gebru et al. 2021) out.

Both have the sections of their papers and say recorded facts alone. What nobody has recorded is said to be not
recorded: it is for people to find out, not for a program to make up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from eval.gaps import Gap, gaps
from eval.gaps_page import gaps_in_words, summary
from eval.metrics import metrics, trust
from eval.pages import Facts, markdown_cell, markdown_table
from eval.record import Run
from eval.report import plan_in_words
from eval.score import Verdict, outcomes
from eval.slices import NO_MORE, More, Slice, slices
from tagger.calibration import Calibration
from tagger.example import Example
from tagger.schema import ClosedField
from tagger.task import Task
from tagger.weights import bundles

NOT = "Not recorded."
FEW = 10
"""Judged rows of a label below which its figures say little."""


@dataclass(frozen=True)
class Judged:
    """A run as it is served, with all that was found out of it."""

    run: Run
    task: Task
    examples: Sequence[Example]
    verdicts: Sequence[Verdict]
    gaps: Sequence[Gap]
    slices: Sequence[Slice]
    calibration: Calibration | None
    notes: Sequence[str]

    @property
    def name(self) -> str:
        """What the run is called on a card."""
        head = self.run.header
        return f"{head.set}, {head.split}, {head.model}" + (f" with adapter {head.adapter}" if head.adapter else "")


def measured(
    run: Run,
    task: Task,
    examples: Sequence[Example],
    verdicts: Sequence[Verdict],
    *,
    calibration: Calibration | None = None,
    more: More = NO_MORE,
    notes: Sequence[str] = (),
) -> Judged:
    """A judged run with its slices and gaps; `notes` are what a reader has to know of it."""
    found = gaps(verdicts, examples, task, more)
    parts = slices(verdicts, examples, task, (), more)
    return Judged(run, task, examples, verdicts, found, parts, calibration, notes)


def model_card(task: Task, judged: Sequence[Judged]) -> str:
    """The model card, as Markdown."""
    text = markdown_cell
    parts = [f"# Model card: {text(task.id)}, version {task.version}", "## Model details", _details(task, judged)]
    parts += ["## Intended use", _use(task), "## Factors", _factors(judged), "## Metrics", _metrics(task)]
    parts += ["## Evaluation data", markdown_table([_rows(one) for one in judged])]
    parts += ["How the rows were chosen and who labelled them: see the data sheet."]
    parts += ["## Training data", _training(judged), "## Quantitative analyses"]
    for one in judged:
        parts += [f"### {text(one.name)}", *_figures(one)]
    parts += ["Slices at the meeting of two factors (intersections): " + NOT[0].lower() + NOT[1:]]
    parts += ["## Ethical considerations", NOT]
    parts += ["## Caveats and recommendations", "\n".join(f"- {text(limit)}" for limit in limits(task, judged))]
    return "\n\n".join(parts) + "\n"


def data_sheet(task: Task, composition: Sequence[Facts], judged: Sequence[Judged]) -> str:
    """The data sheet of the labelled rows (datasheet.py: composition), as Markdown."""
    pseudo = sum(split["pseudo"] for split in composition)
    parts = [f"# Data sheet: labelled rows of {markdown_cell(task.id)}", "## Motivation", NOT, "## Composition"]
    parts.append("An instance is a record with the columns " + ", ".join(map(markdown_cell, task.columns)) + ".")
    keys = {"split": "split", "rows": "rows", "repeated": "texts again in it", "shared": "texts of an earlier split"}
    parts.append(markdown_table([{told: split[key] for key, told in keys.items()} for split in composition]))
    parts.append("Texts are the same here if case, width and white space alone differ.")
    parts += [part for split in composition for part in _split(split)]
    parts += ["People, personal and confidential data in the texts: not recorded.", "## Collection process", NOT]
    labelled = f"{pseudo:,} rows were labelled by a tagger, not by a person. " if pseudo else ""
    parts += [
        "## Preprocessing, cleaning, labelling",
        f"{labelled}Who labelled the rows, how and how surely: not recorded.",
    ]
    used = "\n".join(f"- {markdown_cell(one.name)}: {len(one.run.rows):,} rows were judged, "
                     f"{one.run.header.shots:,} others shown or heard as examples" for one in judged)  # fmt: skip
    parts += ["## Uses", used, "Uses that the rows are not fit for: not recorded."]
    parts += ["## Distribution", "Licence and terms of use: not recorded.", "## Maintenance", NOT]
    return "\n\n".join(parts) + "\n"


def limits(task: Task, judged: Sequence[Judged]) -> list[str]:
    """What the facts at hand do not bear out."""
    return [f"{one.name}: {limit}" for one in judged for limit in _limits(task, one)] + [
        "Other rows than those that were judged, other sellers, later months: not measured here. Whether tags still "
        "look alike, python -m eval drift and python -m eval trends say.",
    ]


def _limits(task: Task, one: Judged) -> Iterator[str]:
    head = one.run.header
    yield from one.notes
    if not one.run.whole:
        yield f"the run is not finished, {len(one.run.rows):,} of {head.rows:,} rows are judged."
    if head.task_version != task.version:
        yield f"the run is of task version {head.task_version}, not of this one."
    if head.split == "dev":
        yield "these rows were there to choose on, so the figures may be too good."
    if one.calibration and one.calibration.rows_id == head.rows_id:
        yield "the calibration was fitted on these very rows: its probabilities look better here than elsewhere."
    if len(languages := [part.name for part in one.slices if part.name.startswith("language: ")]) == 1:
        yield f"all rows are of one {languages[0]}; of others nothing is known."
    for name, field in task.fields.items():
        if isinstance(field, ClosedField):
            seen = Counter(v.gold for v in one.verdicts if v.field == name and isinstance(v.gold, str))
            if none := [label for label in field.labels if not seen[label]]:
                yield f"no judged row has {len(none)} of the {len(field.labels)} labels of {name}: {_some(none)}."
            if few := [label for label in field.labels if 0 < seen[label] < FEW]:
                yield f"fewer than {FEW} judged rows have each of {len(few)} labels of {name}: {_some(few)}."
    lost = Counter(row.outcome for row in one.run.rows)
    if refused := lost["rejected"] + lost["failed"]:
        how = f"{lost['rejected']:,} rejected, {lost['failed']:,} failed"
        yield f"{refused:,} of {len(one.run.rows):,} rows got no answer ({how})."
    if told := [gap for gap in one.gaps if gap.told]:
        yield f"{len(told)} gaps between slices are more than chance, see above."


def _details(task: Task, judged: Sequence[Judged]) -> str:
    lines = [{"what": "task", "is": f"{task.id}, version {task.version}"}]
    for model in dict.fromkeys(one.run.header.model for one in judged):
        bundle = bundles().get(model)
        lines += [
            {"what": "model", "is": f"{model}: {bundle.about}" if bundle else model},
            {"what": "licence of the model", "is": bundle.licence if bundle else NOT},
            {"what": "where the model is from", "is": f"{bundle.hub}, SHA-256 {bundle.sha256}" if bundle else NOT},
        ]
    for one in judged:
        head = one.run.header
        lines += [
            {"what": "asked", "is": f"{plan_in_words(head)} ({head.plan})"},
            {"what": "engine", "is": f"{head.engine}; " + ", ".join(f"{n} {v}" for n, v in head.versions.items())},
        ]
    lines += [{"what": "adapter", "is": one.run.header.adapter} for one in judged if one.run.header.adapter]
    lines += [{"what": "people, dates, contact", "is": NOT}]
    return markdown_table([dict(line) for line in dict.fromkeys(tuple(line.items()) for line in lines)])


def _use(task: Task) -> str:
    fields = [
        {
            "field": name,
            "kind": field.kind if hasattr(field, "kind") else "",
            "labels": len(field.labels) if isinstance(field, ClosedField) else "",
            "silent below": field.abstain_below or "",
            "about": field.about,
        }
        for name, field in task.fields.items()
    ]
    about = "\n".join(f"> {markdown_cell(line)}" for line in task.definition.about.splitlines())
    left = "Who is to use it, and uses out of scope: not recorded."
    return f"As the task itself says:\n\n{about}\n\n{markdown_table(fields)}\n\n{left}"


def _factors(judged: Sequence[Judged]) -> str:
    names = dict.fromkeys(part.name.partition(":")[0] for one in judged for part in one.slices)
    return f"Rows were sliced by {', '.join(map(markdown_cell, names))}. Other factors that may matter: not recorded."


def _metrics(task: Task) -> str:
    target = (
        f"The task is to reach {task.definition.target:.0%}." if task.definition.target else "Its target: not recorded."
    )
    return (
        "Intervals are at 95 %: Wilson's for shares, percentiles of draws of records for the rest. Gaps are tested by "
        "permutation, with correction for their number (Benjamini and Hochberg). Of a gap, error is the share of the "
        "values said that is wrong, coverage the share of the values asked for that is said, overconfidence the mean "
        f"probability of the values said less the share of them that is right. {target}"
    )


def _rows(one: Judged) -> Mapping[str, object]:
    head = one.run.header
    drawn = f"drawn with seed {head.seed}" if head.sample else "all"
    return {"run": one.name, "rows": len(one.run.rows), "chosen": drawn, "id of the rows": head.rows_id}


def _training(judged: Sequence[Judged]) -> str:
    lines = ["What the language model was trained on: not recorded."]
    for one in judged:
        shots = one.run.header.shots
        told = (
            f"{shots:,} labelled rows were there to be shown and to speak." if shots else "no labelled rows were there."
        )
        lines.append(f"- {markdown_cell(one.name)}: {told}")
    if any(one.run.header.adapter for one in judged):
        lines.append("\nWhat an adapter was trained on: not recorded in a run; its own folder may say.")
    return "\n".join([lines[0], "", *lines[1:]])


def _figures(one: Judged) -> Iterator[str]:
    found = [*metrics(one.task, one.verdicts, one.examples), *trust(one.verdicts)]
    yield markdown_table([{"figure": m.name, "value [95 %]": str(m), "records": m.figure.n} for m in found])
    kinds = outcomes(one.verdicts)
    yield "Values: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()) + "."
    yield _calibrated(one)
    rows = [{"slice": s.name, "% [95 %]": str(s.figure), "records": s.figure.n} for s in one.slices]
    yield "Slices, in the figure that the task is judged by:\n\n" + markdown_table(rows)
    told = sorted((gap for gap in one.gaps if gap.told), key=lambda gap: -abs(gap.difference.value))
    yield gaps_in_words(summary(one.gaps), [gap.sentence for gap in told])


def _calibrated(one: Judged) -> str:
    if one.calibration is None:
        recorded = "as the run has them" if "~" in one.run.header.plan else "raw: no calibration fits this run"
        return f"Probabilities are {recorded}."
    promises = ", ".join(
        f"{float(level):.0%} (answers {kept.coverage:.0%} of the labelled values)"
        for level, kept in one.calibration.promises.items()
    )
    told = f" On them it can promise {promises}." if promises else " It can promise no precision."
    return f"Probabilities are calibrated on {one.calibration.rows:,} dev rows.{told}"


def _split(split: Facts) -> Iterator[str]:
    name = markdown_cell(split["split"])
    counted = ", ".join(f"{markdown_cell(text)} {count:,}" for text, count in split["languages"].items())
    lengths = ", ".join(f"{told} {count:,}" for told, count in split["lengths"].items())
    yield f"### {name}\n\nLanguages, guessed from scripts: {counted}.\n\nCharacters of a text: {lengths}."
    fields = ("field", "labelled", "looked_at", "different")
    yield markdown_table([{key.replace("_", " "): field[key] for key in fields} for field in split["fields"]])
    for field in split["fields"]:
        if field["values"]:
            rows = [{"value": value, "rows": count} for value, count in field["values"].items()]
            rows += [{"value": "(others)", "rows": field["others"]}] if field["others"] else []
            yield f"Values of {markdown_cell(field['field'])}:\n\n{markdown_table(rows)}"


def _some(labels: Sequence[str], most: int = 10) -> str:
    return ", ".join(labels[:most]) + (f" and {len(labels) - most} more" if len(labels) > most else "")
