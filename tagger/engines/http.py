"""A server with the OpenAI protocol: vLLM, and others that can be held to a grammar. Prompts in, completions out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import openai
from openai.pagination import SyncPage

from tagger.engines.base import Completion, EngineInfo, Request, Step
from tagger.errors import EngineError, SettingsError
from tagger.settings import settings

DIALECTS: Mapping[str, str] = {"vllm": "structured_outputs", "llama.cpp": "grammar", "sglang": "ebnf"}
"""Server -> the field of a request that takes a grammar. All are sent; a server reads its own."""
CONNECTIONS = 32
RETRIES = 4
SECONDS, PROBE_SECONDS = 300.0, 5.0
"""How long an answer may take, and a sign of life."""
TOP = 20
HINT = "check TAGGER_API_KEY and the name of the model"


class HttpEngine:
    """A model behind a URL. Retries, time limits and connections are the openai client's."""

    def __init__(self, client: openai.OpenAI, model: str, url: str) -> None:
        self._client = client
        self._model = model
        self._url = url
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        self.info = EngineInfo("http", model, "server's", {"url": url, "openai": openai.__version__})

    @classmethod
    def at(cls, model: str | None, retries: int = RETRIES) -> HttpEngine:
        """The engine for 'NAME@URL'; SettingsError for anything else."""
        name, at, url = (model or "").rpartition("@")
        if not at or not name or not url.startswith(("http://", "https://")):
            hint = "for example --engine http --model my-model@http://127.0.0.1:8000/v1"
            raise SettingsError(f"expected NAME@URL as the model, found {model!r}", hint=hint)
        key = settings().api_key
        return cls(openai.OpenAI(base_url=url, api_key=key, max_retries=retries, timeout=SECONDS), name, url)

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, same order, up to CONNECTIONS at a time."""
        return list(self._pool.map(self._complete, requests))

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown()
        self._client.close()

    def ask(self, request: Request) -> Completion:
        """Answer one request. Raises openai.APIError for whatever the server does instead."""
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
            return Completion(message(error), "refused")
        return _completion(answer)

    def unanswered(self, error: openai.APIError) -> Completion:
        """What a request comes to that has met this error; EngineError where it is the server's fault or the user's."""
        if isinstance(error, openai.APIConnectionError) and not isinstance(error, openai.APITimeoutError):
            hint = "start the server, or check the URL"
            raise EngineError("no server answers", where=self._url, hint=hint) from None
        if isinstance(error, openai.AuthenticationError | openai.NotFoundError):
            raise EngineError(message(error), where=self._url, hint=HINT) from None
        return Completion(message(error), "error")

    def check(self) -> None:
        """Ask the server for a sign of life and for its models.

        Raises openai.APIError for a server that is down, SettingsError for one that lacks the model.
        """
        client = self._client.with_options(max_retries=RETRIES, timeout=PROBE_SECONDS)
        with suppress(openai.NotFoundError):  # not every server has it; the list of models is a sign of life, too
            client.get(self._url.rstrip("/").removesuffix("/v1") + "/health", cast_to=object)
        page = client.models.list()
        names = [model.id for model in page] if isinstance(page, SyncPage) else []  # a web page comes as text
        if self._model not in names:
            found = ", ".join(names) or "none"
            hint = "name the model as the server does (vLLM: --served-model-name, llama.cpp: --alias)"
            raise SettingsError(f"expected the model {self._model}, found: {found}", where=self._url, hint=hint)

    def _complete(self, request: Request) -> Completion:
        try:
            return self.ask(request)
        except openai.APIError as error:
            return self.unanswered(error)


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


def message(error: openai.APIError) -> str:
    """What the server or the client says of an error, in one line."""
    return error.message.splitlines()[0][:300]
