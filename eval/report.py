"""A Run, its verdicts and the labelled rows in, a report out: one HTML page, and the same facts as JSON and Markdown.

The page needs nothing but itself, and its own policy forbids it to load anything. What comes from a record, a
label or a model is untrusted and gets there as text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isnan
from typing import Any, get_args

import numpy as np

from eval.charts import confusion_chart, coverage_chart, reliability_chart
from eval.figures import Figure, Metric, bootstrap, coverage_curve, share
from eval.metrics import metrics, trust
from eval.pages import Facts, markdown_cell, markdown_table, page
from eval.record import Header, Run
from eval.score import Kind, Verdict, counts, outcomes
from eval.sets import Span
from tagger.errors import SourceError
from tagger.example import Example
from tagger.schema import LabelField, PathField
from tagger.task import Task

BINS, MOST_LABELS, MOST_ERRORS = 10, 20, 20
THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Probabilities at which coverage and precision are told in numbers."""
ONE_KIND = "not defined (all answers are of one kind)"
FORMS = {
    "label": "by the text of its value",
    "codes": "by a letter for each value",
    "json": "as one JSON object",
    "dense": "as one JSON object with null for absent values",
    "levels": "level by level",
}


def facts(
    run: Run,
    task: Task,
    examples: Sequence[Example],
    found: Sequence[Verdict],
    *,
    slices: Sequence[tuple[str, Figure]] = (),
    prompts: Mapping[str, str] | None = None,
    spans: Mapping[str, set[Span]] | None = None,
) -> Facts:
    """All that a report says of a run, from the verdicts `found` on it.

    `slices` are figures of parts of the rows. `prompts` has the text that the model read, by record id; it is shown
    for the verdicts that `worst` names. `spans` has, by id, where labelled values stand. Raises SourceError
    where there is nothing to report on.
    """
    if not found:
        raise SourceError("no values to report on")
    said = [v for v in found if v.tag]
    p, correct = [v.p for v in said], [v.correct for v in said]
    told_p, told = [v.p for v in found if v.said], [v.correct for v in found if v.said]
    kinds = outcomes(found)
    curve = coverage_curve(p, correct, len(found) - kinds["absent"]) if said else []
    tokens = np.mean([row.tokens for row in run.rows], axis=0).tolist()
    records = {example.record.id: example.record.values for example in examples}
    return {
        "header": run.header.model_dump(mode="json"),
        "made": made_of(run.header),
        "notes": _notes(run, task),
        "figures": [_metric(m) for m in metrics(task, found, examples, spans)],
        "values": {kind: kinds[kind] for kind in get_args(Kind)},
        "trust": [_metric(m) for m in trust(found)],
        "reliability": _reliability(told_p, told),
        "coverage": [dict(zip(("threshold", "coverage", "precision"), at, strict=True)) for at in curve],
        "tokens": dict(zip(("read", "cached", "written"), tokens, strict=True)),
        "confusions": [c for name in task.fields if (c := _confusion(name, found, task))],
        "fields": _fields(found),
        "slices": [{"slice": name, **asdict(figure)} for name, figure in slices],
        "errors": [_error(v, records[v.id], (prompts or {}).get(v.id)) for v in worst(found)],
    }


def worst(found: Iterable[Verdict]) -> list[Verdict]:
    """The MOST_ERRORS wrong or invented values of the highest probability, the surest first."""
    return sorted((v for v in found if v.kind in ("wrong", "invented")), key=lambda v: -v.p)[:MOST_ERRORS]


def as_html(known: Facts) -> str:
    """One page that holds all it needs."""
    charts = []
    if known["reliability"]:
        charts = [reliability_chart(known["reliability"]), coverage_chart(known["coverage"])]
    return page(
        "report.html.jinja",
        r=known,
        one_kind=ONE_KIND,
        charts=charts,
        thresholds=_thresholds(known),
        heat=[confusion_chart(f"confusion{i}", **confusion) for i, confusion in enumerate(known["confusions"])],
    )


def as_markdown(known: Facts) -> str:
    """All facts as tables: of the coverage curve what holds at THRESHOLDS, of confusions those that happened."""
    tables: dict[str, Sequence[Mapping[str, Any]]] = {
        "What made it": [{"what": name, "is": text} for name, text in known["made"].items()],
        "Figures": [_numbers(m) for m in known["figures"]],
        "Values": [known["values"]],
        "Probabilities": [_numbers(m) for m in known["trust"]],
        "Tokens a row": [known["tokens"]],
        "Reliability": [{"mean probability": b["p"], **b["right"]} for b in known["reliability"]],
        "Coverage and precision": _thresholds(known),
        "Confusions": [taken for confusion in known["confusions"] for taken in _taken(**confusion)],
        "Fields": known["fields"],
        "Slices": known["slices"],
        "Surest wrong answers": [_flat(error) for error in known["errors"]],
    }
    parts = [f"# {markdown_cell(known['made']['labelled rows'])}", *map(markdown_cell, known["notes"])]
    parts += [f"## {title}\n\n{markdown_table(rows)}" for title, rows in tables.items() if rows]
    for error in known["errors"]:
        if error["prompt"] is not None:
            fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`+", error["prompt"]))])
            parts.append(f"### Prompt of {markdown_cell(error['id'])}\n\n{fence}\n{error['prompt']}\n{fence}")
    return "\n\n".join(parts) + "\n"


def plan_in_words(head: Header) -> str:
    """How the task was asked: which fields in which form, and which examples stood in the prompt."""
    asks = []
    for ask in head.plan_text["ask"]:
        names = " and ".join(ask["fields"]) if len(ask["fields"]) < 4 else f"{len(ask['fields'])} fields"
        among = f" among its {ask['shortlist']} likeliest" if ask.get("shortlist") else ""
        asks.append(f"{names} {FORMS[ask['form']]}{among}")
    shots = head.plan_text["shots"]
    if head.shots:
        shown = f"the {shots['retrieved']} nearest of {head.shots:,} labelled rows are shown"
    else:
        shown = f"at most {shots['fixed']} shipped examples are shown" if shots["fixed"] else "no examples are shown"
    parts = [f"asks {'; '.join(asks)}", shown]
    if head.shots and shots.get("common"):
        parts.append(f"before them {shots['common']} that stand for all")
    if shots.get("prior"):
        parts.append(f"labelled rows speak with weight {shots['prior']:g}")
    if head.plan_text.get("votes", 1) > 1:
        parts.append(f"{head.plan_text['votes']} votes")
    return "; ".join(parts)


def made_of(head: Header) -> dict[str, str]:
    """What made a run, in words."""
    said = {
        "labelled rows": f"{head.set}, {head.split}",
        "rows": f"{head.rows:,}, " + (f"drawn with seed {head.seed}" if head.sample else f"all (seed {head.seed})"),
        "task": f"{head.task}, version {head.task_version}",
        "plan": f"{plan_in_words(head)} ({head.plan})",
        "model": head.model,
        "adapter": head.adapter,
        "engine": head.engine,
        "variant": head.variant,
        "libraries": ", ".join(f"{name} {version}" for name, version in head.versions.items()),
        "run key": head.key,
    }
    return {name: text for name, text in said.items() if text}


def _notes(run: Run, task: Task) -> list[str]:
    """What a reader has to know before the figures."""
    notes = []
    if not run.whole:
        notes.append(f"The run is not finished: {len(run.rows):,} of {run.header.rows:,} rows are judged.")
    if task.version != run.header.task_version:
        notes.append(f"The task has changed since the run: its version is now {task.version}.")
    return notes


def _metric(metric: Metric) -> Facts:
    numbers = {name: None if isnan(number) else number for name, number in asdict(metric.figure).items()}
    return {"figure": metric.name, **numbers, "share": metric.share}


def _reliability(p: Sequence[float], correct: Sequence[bool]) -> list[Facts]:
    """The bins of the calibration error: equal numbers of answers, the least sure first."""
    order = np.argsort(p, kind="stable")
    chances, hits = np.asarray(p, float)[order], np.asarray(correct, bool)[order]
    parts = [part for part in np.array_split(np.arange(len(order)), BINS) if len(part)]
    return [
        {"p": float(chances[part].mean()), "right": asdict(share(int(hits[part].sum()), len(part)))} for part in parts
    ]


def _thresholds(known: Facts) -> list[Facts]:
    """Coverage and precision at those THRESHOLDS that some answer reaches."""
    reached = {at: [row for row in known["coverage"] if row["threshold"] >= at] for at in THRESHOLDS}
    return [{**rows[-1], "threshold": at} for at, rows in reached.items() if rows]


def _confusion(name: str, found: Sequence[Verdict], task: Task) -> Facts | None:
    """How often which label was taken for which, among the MOST_LABELS most confused; None where none was."""
    if not isinstance(task.fields[name], LabelField | PathField):
        return None
    pairs = Counter((v.gold, v.value) for v in found if v.field == name and v.kind in ("right", "wrong"))
    wrong = {pair: times for pair, times in pairs.items() if pair[0] != pair[1]}
    often: Counter[str] = Counter()
    for pair, times in wrong.items():
        often.update(dict.fromkeys(pair, times))
    labels = [label for label, _ in often.most_common(MOST_LABELS)]
    return (
        {
            "field": name,
            "labels": labels,
            "table": [[pairs[right, answered] for answered in labels] for right in labels],
            "shown": sum(times for pair, times in wrong.items() if {*pair} <= {*labels}),
            "wrong": sum(wrong.values()),
        }
        if labels
        else None
    )


def _fields(found: Sequence[Verdict]) -> list[Facts]:
    """Every field that was asked, the most labelled first; a share of nothing is None."""
    each: dict[str, list[Verdict]] = {}
    for verdict in found:
        each.setdefault(verdict.field, []).append(verdict)
    return sorted((_field(name, mine) for name, mine in each.items()), key=lambda row: -row["labelled"])


def _field(name: str, mine: Sequence[Verdict]) -> Facts:
    """A field's figures; `low` and `high` are of its F1."""
    c, f1 = counts(mine), bootstrap(mine, lambda c: c.f1)
    some = bool(c.answered or c.labelled)
    return {
        "field": name,
        "precision": c.precision if c.answered else None,
        "recall": c.recall if c.labelled else None,
        "F1": f1.value if some else None,
        "low": f1.low if some else None,
        "high": f1.high if some else None,
        "n": len(mine),
        "labelled": c.labelled,
        "answered": c.answered,
    }


def _numbers(metric: Facts) -> Facts:
    """A metric as a line of a table, with the reason where it is not defined."""
    shown = {name: metric[name] for name in ("figure", "value", "low", "high", "n")}
    return shown if metric["value"] is not None else {**shown, "value": ONE_KIND}


def _error(verdict: Verdict, record: Mapping[str, str], prompt: str | None) -> Facts:
    said = {"id": verdict.id, "field": verdict.field, "right": _text(verdict.gold), "answer": _text(verdict.value)}
    return {**said, "p": verdict.p, "record": dict(record), "prompt": prompt}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)


def _flat(error: Facts) -> Facts:
    """A wrong answer as a line of a table."""
    texts = (f"{column}: {text}" for column, text in error["record"].items())
    return {**{name: error[name] for name in ("id", "field", "right", "answer", "p")}, "record": "; ".join(texts)}


def _taken(field: str, labels: Sequence[str], table: Sequence[Sequence[int]], **_: int) -> Iterator[Facts]:
    """Which label was taken for which, and how often."""
    for right, line in zip(labels, table, strict=True):
        for answer, times in zip(labels, line, strict=True):
            if times and answer != right:
                yield {"field": field, "right": right, "answer": answer, "times": times}
