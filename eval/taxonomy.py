"""Rows whose labels are hidden in, how well a proposed label tree agrees with them out: python -m eval taxonomy.

Adjusted Rand index (Hubert and Arabie 1985) and V-measure (Rosenberg and Hirschberg 2007), from scikit-learn. Rows that
fit no label count as one more cluster. Beside it what one would take: TF-IDF and k-means, told the number of classes,
and told twice as many.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, homogeneity_completeness_v_measure

from eval.cli_options import EngineName, Model, Root, Sample, Seed, Split
from eval.sets import DEFAULT_SPLIT, labelled_set, rows, sample
from tagger.cli_options import err, out
from tagger.engines import open_engine
from tagger.engines.base import Engine
from tagger.engines.embedder import Embedder
from tagger.errors import SettingsError
from tagger.example import Example
from tagger.likeness import plain_text, word_vectorizer
from tagger.sinks import write_whole
from tagger.taxonomy.propose import propose


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well clusters agree with labels: 1 is a perfect match, an adjusted Rand index of 0 that of chance."""

    clusters: int
    adjusted_rand: float
    homogeneity: float
    completeness: float
    v_measure: float


def agreement(labels: Sequence[str], clusters: Sequence[Any]) -> Agreement:
    """The agreement of clusters with the true labels of the same rows."""
    parts = homogeneity_completeness_v_measure(labels, clusters)
    figures = (adjusted_rand_score(labels, clusters), *parts)
    return Agreement(len(set(clusters)), *(round(float(figure), 4) for figure in figures))


def k_means(texts: Sequence[str], count: int, seed: int) -> list[int]:
    """TF-IDF of words and k-means: the baseline, which is told the number of clusters."""
    found = KMeans(count, n_init=10, random_state=seed).fit_predict(word_vectorizer().fit_transform(texts))
    return [int(number) for number in found]


def judged(examples: Sequence[Example], engine: Engine, embedder: Embedder | None, seed: int) -> dict[str, Any]:
    """A proposal for the rows without their labels, and its agreement with them."""
    begun = perf_counter()

    def told(step: str, done: int, count: int) -> None:
        err.print(f"{step}: {done} of {count}, {perf_counter() - begun:.0f} s")

    labels = [str(next(iter(example.answer.values()))) for example in examples]
    found = propose([example.record for example in examples], engine, embedder=embedder, told=told)
    texts, true = [plain_text(example.record) for example in examples], len(set(labels))
    baselines = {str(k): asdict(agreement(labels, k_means(texts, k, seed))) for k in (true, 2 * true)}
    return {
        "rows": len(examples),
        "true_labels": true,
        "proposed": len(found.labels),
        "coverage": round(found.coverage, 4),
        "agreement": asdict(agreement(labels, [row.label for row in found.rows])),
        "k_means": baselines,
        "labels": {label.name: label.rows for label in found.labels},
        "seconds": round(perf_counter() - begun),
        "made": found.facts,
    }


def taxonomy(
    name: Annotated[str, typer.Argument(help="A public set whose task asks one label.")],
    root: Root = None,
    split: Split = None,
    count: Sample = None,
    seed: Seed = 0,
    engine: EngineName = "auto",
    model: Model = None,
    embedder: Annotated[str | None, typer.Option("--embedder", help="A sentence-embedding model.")] = None,
    record: Annotated[Path | None, typer.Option("--record", help="Write the figures as JSON.")] = None,
) -> None:
    """Hold a label tree that is proposed without labels against the true labels."""
    if root is None:
        raise SettingsError("no folder of public sets", hint="name it with --root")
    task, found = labelled_set(name, root)
    examples = sample(rows(task, found, root, split or DEFAULT_SPLIT), count, seed)
    opened = open_engine(engine, model)
    figures = judged(examples, opened, Embedder(embedder) if embedder else None, seed)
    told = {"set": name, "split": split or DEFAULT_SPLIT, "sample": count, "seed": seed, **figures}
    ours = figures["agreement"]
    out.print(f"{name}: {figures['proposed']} labels for {figures['true_labels']} true ones, "
              f"ARI {ours['adjusted_rand']:.3f}, V-measure {ours['v_measure']:.3f}", highlight=False)  # fmt: skip
    for k, other in figures["k_means"].items():
        out.print(f"  TF-IDF, k-means, k = {k}: ARI {other['adjusted_rand']:.3f}, V-measure {other['v_measure']:.3f}")
    if record:
        write_whole(record, json.dumps(told, ensure_ascii=False, indent=2) + "\n")
