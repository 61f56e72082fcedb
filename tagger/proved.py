"""The sentences of a description in, a Tag out: those that a record's tags prove, and what the others say beyond them.

Nothing is repaired: a sentence is said as it was written, or withheld with a reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tagger.claims import Tracer
from tagger.confidence import Scores
from tagger.evidence import Evidence
from tagger.record import Record
from tagger.result import Doubt, Tag, Untraced
from tagger.schema import ClaimsField

_TOLD: Mapping[Doubt, str] = {
    "beyond": "say more than the tags",
    "doubtful": "are less probable than is asked",
    "repeated": "are repeated",
}


def proved(
    field: ClaimsField, written: Mapping[str, float], scores: Scores, record: Record, sentences: Sequence[str] = ()
) -> Tag:
    """The tag of a description; `written` has the probability of each sentence by its JSON text, in order, and
    `sentences` are as the model has written them: one that it repeats is said once.

    It has no value and is `abstained` where no sentence is proved. Its probability is that of the least likely sentence
    that is said, or, where none is, that was written.
    """
    tracer = Tracer(record.values)
    said: dict[str, float] = {}
    proofs, untraced = [], []
    for text, p in written.items():
        sentence = json.loads(text)
        trace = tracer.trace(sentence)
        doubt = (f"less probable than {field.abstain_below:g}",) if p < field.abstain_below else ()
        if reasons := (*trace.reasons, *doubt):
            untraced.append(Untraced(sentence, p, "; ".join(reasons), "beyond" if trace.reasons else "doubtful"))
            continue
        said[sentence] = p
        places = [(tag.column, tag.start, tag.end) for tag in trace.proof]
        proofs.append(tuple(Evidence(name, a, b, record.values[name][a:b]) for name, a, b in places))
    repeated = {json.dumps(sentence, ensure_ascii=False): n for sentence, n in Counter(sentences).items() if n > 1}
    for text, n in repeated.items():
        untraced += [Untraced(json.loads(text), written.get(text, 0.0), "is written twice", "repeated")] * (n - 1)
    return Tag(
        value=list(said) or None,
        probability=min(said.values() or written.values()),
        abstained=not said,
        proofs=tuple(proofs),
        untraced=tuple(untraced),
        each=written,
        scores=scores,
    )


def withheld(tags: Mapping[str, Tag]) -> Iterator[str]:
    """What the reason of a row says of its descriptions; the sentences themselves stand in their tags."""
    for name, tag in tags.items():
        if tag.untraced:
            written = len(tag.untraced) + len(tag.proofs)
            kinds = Counter(one.kind for one in tag.untraced)
            told = [f"{kinds[kind]} {why}" for kind, why in _TOLD.items() if kinds[kind]]
            yield f"{name}: {len(tag.untraced)} of {written} sentences withheld: {', '.join(told)}"
