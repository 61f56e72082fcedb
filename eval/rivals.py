"""What a competent user would write instead, for the benchmark: prompts and records in, answers out.

Outlines as its documentation shows it, one call for each product or all in one batch, with the very conversations that
ours renders; and vLLM's `LLM.chat` with one batch, the schema that pydantic gives and the instruction said once. Each
answers with values by field, None for what is no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from outlines import Generator, from_transformers
from outlines.inputs import Chat
from pydantic import BaseModel, create_model
from transformers import AutoModelForCausalLM

from tagger.engines import model_folder
from tagger.engines.transformers import TransformersEngine
from tagger.engines.vllm import VllmEngine
from tagger.example import Example
from tagger.prompt import Prompt
from tagger.record import Record
from tagger.schema import FieldBase
from tagger.task import Task

MOST = 256
"""Tokens of an answer."""
CHAT = """You are an expert in e-commerce catalogues. {about}

{fields}

Answer in JSON. Use null for whatever the product does not state."""
"""How the instruction of `LLM.chat` begins; a product and its answer are a turn each."""

Values = Mapping[str, Any] | None


class Outlined:
    """Outlines on transformers as it loads the weights, in ours' number format and on as many threads."""

    def __init__(self, engine: TransformersEngine) -> None:
        folder, dtype = model_folder(engine.info.model), getattr(torch, engine.info.dtype)
        plain = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype, local_files_only=True)
        self._model = from_transformers(plain.eval().to(engine.hf_model.device), engine.chat.hf)
        self._generators: dict[str, Any] = {}

    def one_by_one(self, fields: Sequence[Mapping[str, FieldBase]], prompts: Sequence[Prompt]) -> list[Values]:
        """A call for each product."""
        texts = [
            self._generator(own)(Chat(prompt.messages), max_new_tokens=MOST, do_sample=False)
            for own, prompt in zip(fields, prompts, strict=True)
        ]
        return [_read(own, str(text)) for own, text in zip(fields, texts, strict=True)]

    def in_batches(self, fields: Sequence[Mapping[str, FieldBase]], prompts: Sequence[Prompt]) -> list[Values]:
        """A call for all products that are asked the same."""
        found: dict[int, Values] = {}
        for group in dict.fromkeys(map(_key, fields)):
            mine = [i for i, own in enumerate(fields) if _key(own) == group]
            chats = [Chat(prompts[i].messages) for i in mine]
            texts = self._generator(fields[mine[0]]).batch(chats, max_new_tokens=MOST, do_sample=False)
            found.update({i: _read(fields[i], str(text)) for i, text in zip(mine, texts, strict=True)})
        return [found[i] for i in range(len(fields))]

    def _generator(self, fields: Mapping[str, FieldBase]) -> Any:
        """Compiled once for each set of fields, as whoever measures would do."""
        if _key(fields) not in self._generators:
            (first, *more) = fields.values()
            output = Literal[tuple(first.closed)] if first.closed and not more else _model(fields)
            self._generators[_key(fields)] = Generator(self._model, output)
        return self._generators[_key(fields)]


def chatted(
    engine: VllmEngine, task: Task, records: Sequence[Record], shots: Sequence[Sequence[Example]]
) -> list[Values]:
    """`LLM.chat` over all products at once, with examples before each."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    fields = [task.asked(record) for record in records]
    chats = [_chat(task, own, record, near) for own, record, near in zip(fields, records, shots, strict=True)]
    sampling = [
        SamplingParams(
            temperature=0.0, max_tokens=MOST,
            structured_outputs=StructuredOutputsParams(json=_model(own).model_json_schema()),
        )
        for own in fields
    ]  # fmt: skip
    outputs = engine.llm.chat(chats, sampling, use_tqdm=False)
    return [_read(own, out.outputs[0].text) for own, out in zip(fields, outputs, strict=True)]


def _chat(
    task: Task, fields: Mapping[str, FieldBase], record: Record, shots: Sequence[Example]
) -> list[dict[str, str]]:
    listed = "\n".join(
        f"- {name}: {field.about}" + (f" One of: {', '.join(field.closed)}" if field.closed else "")
        for name, field in fields.items()
    )
    turns = [{"role": "system", "content": CHAT.format(about=task.definition.about, fields=listed)}]
    for shot in shots:
        dense = {name: shot.answer.get(name) for name in fields}
        turns.append({"role": "user", "content": _shown(shot.record)})
        turns.append({"role": "assistant", "content": json.dumps(dense, ensure_ascii=False)})
    return [*turns, {"role": "user", "content": _shown(record)}]


def _shown(record: Record) -> str:
    return "\n".join(f"{name}: {text}" for name, text in record.values.items())


def _model(fields: Mapping[str, FieldBase]) -> type[BaseModel]:
    """A pydantic model with every field named: a label is one of its values, a text may be null."""
    kinds: dict[str, Any] = {
        name: (Literal[tuple(field.closed)] if field.closed else str | None, ...) for name, field in fields.items()
    }
    return create_model("Product", **kinds)


def _key(fields: Mapping[str, FieldBase]) -> str:
    return json.dumps(list(fields))


def _read(fields: Mapping[str, FieldBase], text: str) -> Values:
    """Values of an answer; None for text that was cut off."""
    (first, *more) = fields
    if not more and fields[first].closed and not text.lstrip().startswith("{"):
        return {first: text}
    try:
        return {name: value for name, value in json.loads(text).items() if value is not None}
    except ValueError:
        return None
