"""What a service has done, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tagger.result import Tagging

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CHANCES = tuple(n / 10 for n in range(1, 11))


class Meters:
    """Counters of one service; none of them holds product text."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self._requests = Counter("tagger_requests_total", "Requests", ["route", "status"], registry=own)
        self._records = Counter("tagger_records_total", "Records answered", ["task", "outcome"], registry=own)
        self._tokens = Counter("tagger_tokens_total", "Tokens", ["task", "kind"], registry=own)
        self._wait = Histogram("tagger_wait_seconds", "A record in the queue", ["task"], registry=own, buckets=SECONDS)
        self._engine = Histogram("tagger_batch_seconds", "A batch", ["task"], registry=own, buckets=SECONDS)
        self._size = Histogram(
            "tagger_batch_records", "Records of a batch", ["task"], registry=own, buckets=[2**n for n in range(10)]
        )
        self._chance = Histogram(
            "tagger_probability", "Probability of an answer", ["task", "field"], registry=own, buckets=CHANCES
        )
        self._abstained = Counter("tagger_abstained_total", "Fields left open", ["task", "field"], registry=own)
        self._withheld = Counter(
            "tagger_withheld_total", "Values kept back by the blocklist", ["task", "field"], registry=own
        )
        self._waiting = Gauge("tagger_waiting_records", "Records in the queue", registry=own)
        self._jobs = Gauge("tagger_unfinished_jobs", "Jobs that wait or run", registry=own)
        self._failed = Gauge("tagger_failed_jobs", "Jobs that have failed and are still there", registry=own)
        self.drift = Gauge(
            "tagger_drift", "Population Stability Index against the baseline", ["task", "field", "kind"], registry=own
        )
        self._reloads = Counter("tagger_reloads_total", "Times that tasks were read again", ["outcome"], registry=own)
        for outcome in ("done", "refused"):
            self._reloads.labels(outcome)  # 0 until then: an increase from nothing is none

    def text(self, waiting: int, jobs: int = 0, failed: int = 0) -> bytes:
        """All of it, in Prometheus' format."""
        self._waiting.set(waiting)
        self._jobs.set(jobs)
        self._failed.set(failed)
        return generate_latest(self._registry)

    def request(self, route: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()

    def batch(self, task: str, waits: list[float], took: float) -> None:
        """Count a batch."""
        for wait in waits:
            self._wait.labels(task).observe(wait)
        self._engine.labels(task).observe(took)
        self._size.labels(task).observe(len(waits))

    def tagging(self, task: str, found: Tagging) -> None:
        """Count an answer."""
        self._records.labels(task, found.outcome).inc()
        for kind in ("read", "cached", "written"):
            self._tokens.labels(task, kind).inc(getattr(found.tokens, kind))
        for name, tag in found.tags.items():
            self._chance.labels(task, name).observe(tag.probability)
            self._abstained.labels(task, name).inc(tag.abstained)  # 0, too: a share of it is asked for

    def withheld(self, task: str, fields: Mapping[str, int]) -> None:
        """Count values that a blocklist has kept back."""
        for name, values in fields.items():
            self._withheld.labels(task, name).inc(values)

    def reloaded(self, well: bool) -> None:
        """Count that tasks were read again, or could not be."""
        self._reloads.labels("done" if well else "refused").inc()
