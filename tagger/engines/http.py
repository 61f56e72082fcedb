"""A server with the OpenAI protocol: vLLM, and others that can be held to a grammar. Prompts in, completions out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from tagger.engines.base import Completion, EngineInfo, Request, Step
from tagger.errors import EngineError, SettingsError
from tagger.settings import settings

DIALECTS: Mapping[str, str] = {"vllm": "structured_outputs", "llama.cpp": "grammar", "sglang": "ebnf"}
"""Server -> the field of a request that takes a grammar. All are sent; a server reads its own."""
CONNECTIONS = 32
TOP = 20


class HttpEngine:
    """A model behind a URL. Retries, time limits and connections are the openai client's."""

    def __init__(self, client: openai.OpenAI, model: str, url: str) -> None:
        self._client = client
        self._model = model
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        self.info = EngineInfo("http", model, "server's", {"url": url, "openai": openai.__version__})

    @classmethod
    def at(cls, model: str | None) -> HttpEngine:
        """The engine for 'NAME@URL'; SettingsError for anything else."""
        name, at, url = (model or "").rpartition("@")
        if not at or not name or not url.startswith(("http://", "https://")):
            hint = "for example --engine http --model my-model@http://127.0.0.1:8000/v1"
            raise SettingsError(f"expected NAME@URL as the model, found {model!r}", hint=hint)
        return cls(openai.OpenAI(base_url=url, api_key=settings().api_key, max_retries=4, timeout=300.0), name, url)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, same order, up to CONNECTIONS at a time."""
        return list(self._pool.map(self._complete, requests))

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown()
        self._client.close()

    def _complete(self, request: Request) -> Completion:
        grammar = request.constraint.grammar
        extra = {DIALECTS["vllm"]: {"grammar": grammar}, DIALECTS["llama.cpp"]: grammar, DIALECTS["sglang"]: grammar}
        try:
            answer = self._client.chat.completions.create(
                model=request.adapter or self._model,
                messages=request.prompt.messages,  # type: ignore[arg-type]
                max_tokens=request.max_tokens,
                temperature=0.0,
                logprobs=True,
                top_logprobs=TOP,
                extra_body=extra,
            )
        except openai.BadRequestError as error:
            return Completion(_message(error), "refused")
        except openai.APITimeoutError as error:
            return Completion(_message(error), "error")
        except openai.APIConnectionError:
            hint = "start the server, or check the URL"
            raise EngineError("no server answers", where=self.info.versions["url"], hint=hint) from None
        except (openai.AuthenticationError, openai.NotFoundError) as error:
            hint = "check TAGGER_API_KEY and the name of the model"
            raise EngineError(_message(error), where=self.info.versions["url"], hint=hint) from None
        except openai.APIError as error:
            return Completion(_message(error), "error")
        return _completion(answer)


def _completion(answer: Any) -> Completion:
    choice, usage = answer.choices[0], answer.usage
    text = choice.message.content or ""
    whole, prefix = text.encode(), b""
    logprobs: list[tuple[bytes, float]] = []
    steps: list[Step] = []
    for item in (choice.logprobs.content if choice.logprobs else None) or []:
        ended = prefix == whole
        token = b"" if ended else bytes(item.bytes or item.token.encode())
        top = {} if ended else {bytes(t.bytes or t.token.encode()): t.logprob for t in item.top_logprobs}
        steps.append(Step(prefix, {t: lp for t, lp in {**top, token: item.logprob}.items() if _finite(lp)}))
        if token:
            logprobs.append((token, item.logprob))
            prefix += token
    details = usage.prompt_tokens_details if usage else None
    return Completion(
        text=text,
        finish_reason="length" if choice.finish_reason == "length" else "stop",
        logprobs=tuple(logprobs),
        steps=tuple(steps),
        tokens_in=usage.prompt_tokens if usage else 0,
        tokens_cached=(details.cached_tokens or 0) if details else 0,
        tokens_out=usage.completion_tokens if usage else 0,
    )


def _finite(logprob: float) -> bool:
    return math.isfinite(logprob) and logprob > -1e3


def _message(error: openai.APIError) -> str:
    return error.message.splitlines()[0][:300]
