"""Untagged records in, a Proposal out: kinds, likeness, clusters, names, definitions, figures, branches, in order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version

import numpy as np

from tagger.engines.base import Engine
from tagger.engines.embedder import Embedder
from tagger.errors import SourceError
from tagger.likeness import plain_text
from tagger.record import Record, Rejected
from tagger.schema import PATH_SEPARATOR
from tagger.taxonomy.branches import branched
from tagger.taxonomy.clusters import clusters
from tagger.taxonomy.definitions import defined
from tagger.taxonomy.kinds import kinds, language_of
from tagger.taxonomy.measures import measured
from tagger.taxonomy.names import candidates, chosen, folded, in_english
from tagger.taxonomy.places import places
from tagger.taxonomy.proposal import Label, Proposal, Row
from tagger.taxonomy.settings import Settings
from tagger.taxonomy.views import likeness

Told = Callable[[str, int, int], None]
"""Hears of each step how much is done, and of how much."""
LEAST_ROWS = 10
"""Fewer rows show no tree."""
LONGEST = 40
"""Characters of a name that is a row's text."""


def drawn(records: Iterable[Record | Rejected], count: int, seed: int) -> tuple[list[Record], int]:
    """`count` records of a catalogue, each content once, any as likely as another, in order; and how many rows were
    refused."""
    rng, refused, number = random.Random(seed), 0, 0
    kept: list[tuple[int, Record]] = []
    seen: set[str] = set()
    for record in records:
        if isinstance(record, Rejected):
            refused += 1
            continue
        if (text := plain_text(record)) in seen:
            continue
        seen.add(text)
        if len(kept) < count:
            kept.append((number, record))
        elif (place := rng.randint(0, number)) < count:  # reservoir sampling (Vitter 1985, algorithm R)
            kept[place] = (number, record)
        number += 1
    return [record for _, record in sorted(kept, key=lambda item: item[0])], refused


def propose(
    records: Sequence[Record],
    engine: Engine,
    *,
    embedder: Embedder | None = None,
    settings: Settings | None = None,
    told: Told = lambda step, done, count: None,
) -> Proposal:
    """A label tree for records, none of which has a label.

    The model reads some rows of each cluster alone. Raises SourceError for too few records and for such as have nothing
    in common, EngineError for an engine that cannot serve.
    """
    if len(records) < LEAST_ROWS:
        hint = f"give at least {LEAST_ROWS} different ones"
        raise SourceError(f"{len(records)} records show no label tree", hint=hint)
    settings = settings or Settings()
    texts = [" ".join(record.values.values()) for record in records]
    told("rows compared", 0, len(texts))
    alike = likeness(texts, settings, embedder)
    first = clusters(alike, settings)
    if first.max() < 0:
        raise SourceError(f"the {len(records)} records have nothing in common", hint="give more of them")
    told("rows compared", len(texts), len(texts))
    shelves = _shelves(first, alike)
    written = _written(texts, shelves, engine, settings, told)
    told("labels named", 0, len(shelves))
    names = _names(texts, shelves, written, engine)
    told("labels named", len(names), len(names))
    labels, rows = _placed(records, texts, written, alike, _joined(first, names, engine), names)
    versions = {name: version(name) for name in ("scikit-learn", "networkx", "numpy")}
    facts = {
        "settings": asdict(settings),
        "embedder": embedder.name if embedder else None,
        "model": engine.info.model,
        "engine": f"{engine.info.engine}/{engine.info.dtype}",
        "read": sum(bool(kind) for kind in written),
        "versions": {**engine.info.versions, **versions},
    }
    told("labels put into a tree", 0, len(labels))
    found = branched(Proposal(measured(labels, rows), rows, facts), alike, engine, settings)
    told("labels put into a tree", len(labels), len(labels))
    return found


def _shelves(numbers: np.ndarray, alike: np.ndarray) -> list[list[int]]:
    """The rows of each cluster, the most typical first."""
    fit = places(alike, numbers).fit
    members = [np.flatnonzero(numbers == number) for number in range(int(numbers.max()) + 1)]
    return [rows[np.argsort(-fit[rows], kind="stable")].tolist() for rows in members]


def _written(
    texts: Sequence[str],
    shelves: Sequence[Sequence[int]],
    engine: Engine,
    settings: Settings,
    told: Told,
) -> list[str]:
    """The kind of those rows that the model reads: of each cluster some, from the most typical to the least."""
    asked = [
        rows[i]
        for rows in shelves
        for i in sorted({round(at) for at in np.linspace(0, len(rows) - 1, min(settings.read, len(rows)))})
    ]
    told("rows read", 0, len(asked))
    read = kinds([texts[i] for i in asked], engine, lambda done: told("rows read", done, len(asked)))
    found = [""] * len(texts)
    for i, kind in zip(asked, read, strict=True):
        found[i] = kind
    return found


def _names(texts: Sequence[str], shelves: Sequence[Sequence[int]], written: Sequence[str], engine: Engine) -> list[str]:
    """A name for each cluster; where the model wrote none, its most typical row is what it is called."""
    everywhere = Counter(folded(kind) for kind in written if kind)
    options = []
    for rows in shelves:
        known = candidates([written[i] for i in rows], everywhere)
        options.append(known or {_plain(texts[rows[0]]): 1.0})
    return chosen(options, [[texts[i] for i in rows] for rows in shelves], engine)


def _plain(text: str) -> str:
    """The beginning of a text as a name, which stands on one level."""
    return " ".join(text.replace(PATH_SEPARATOR, " ").split())[:LONGEST].strip()


def _joined(numbers: np.ndarray, names: Sequence[str], engine: Engine) -> np.ndarray:
    """The clusters with those put together that have one name, in one language or in two."""
    languages = {language_of(name) for name in names}
    glosses = in_english(names, engine) if len(languages) > 1 else {name: name for name in names}
    sizes = np.bincount(numbers[numbers >= 0], minlength=len(names))
    first: dict[str, int] = {}
    for number in np.argsort(-sizes, kind="stable").tolist():
        first.setdefault(folded(glosses[names[number]]), number)  # the largest keeps its name
    target = np.array([first[folded(glosses[name])] for name in names], dtype=int)
    return np.where(numbers >= 0, target[np.maximum(numbers, 0)], -1)


def _placed(
    records: Sequence[Record],
    texts: Sequence[str],
    written: Sequence[str],
    alike: np.ndarray,
    joined: np.ndarray,
    names: Sequence[str],
) -> tuple[list[Label], list[Row]]:
    """Labels with their definitions, the largest first, and every row with its place."""
    sizes = Counter(joined[joined >= 0].tolist())
    order = [number for number, _ in sizes.most_common()]
    place = {number: i for i, number in enumerate(order)}
    dense = np.array([place.get(number, -1) for number in joined.tolist()])
    where = places(alike, dense)
    called = [names[number] for number in order]
    rows = [
        Row(
            record.id, text, called[number] if number >= 0 else "", round(float(fit), 4),
            called[other] if other >= 0 else "", round(float(fit - next_fit), 4),
        )
        for record, text, number, fit, other, next_fit in zip(
            records, texts, dense.tolist(), where.fit, where.other.tolist(), where.next_fit, strict=True
        )
    ]  # fmt: skip
    return defined([Label(name) for name in called], rows, written), rows
