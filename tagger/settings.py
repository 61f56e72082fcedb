"""The environment in, one frozen value out: the only place that reads environment variables."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path

from tagger.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person can set for the whole machine.

    TAGGER_CACHE    folder for models (default: tagger in the user's cache folder)
    TAGGER_API_KEY  key for the http engine (default: none)
    TAGGER_THREADS  processor cores to use (default: all that this process may use)
    """

    cache: Path
    api_key: str
    threads: int


def settings() -> Settings:
    """Settings as the environment has them now; SettingsError for a value that cannot be used."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    threads = os.environ.get("TAGGER_THREADS") or str(_cores())
    if not threads.isdecimal() or int(threads) < 1:
        raise SettingsError(f"expected a whole number from 1, found {threads!r}", where="TAGGER_THREADS")
    return Settings(
        cache=Path(os.environ.get("TAGGER_CACHE") or Path(home) / "tagger"),
        api_key=os.environ.get("TAGGER_API_KEY") or "none",
        threads=int(threads),
    )


def _cores() -> int:
    """Cores that this process may use; where the system does not say, all there are."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def prepare_process() -> int:
    """Set up this process, before torch loads; returns the number of cores it will use.

    Answers have no cycles: with Python's own thresholds looking for some took a fifth of the time beside the model.

    vLLM on a CPU takes one core unless OpenMP is told otherwise, and nine tenths of the memory for its cache
    unless it is told how much: 2 GiB hold 170,000 tokens of the default model.
    """
    threads = settings().threads
    gc.set_threshold(100_000, 50, 100)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # what a command prints is its own
    return threads
