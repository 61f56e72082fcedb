"""A Prompt in, token ids out, with the model's own chat template around every turn.

Control tokens of the model take effect only where its template puts them: what stands in a prompt is
always read as plain text. Heads are tokenized once. Pictures stand where the template has them, before the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tagger.engines.sight import Seen, Sight, has_sight
from tagger.errors import EngineError
from tagger.prompt import Head, Prompt, Turn

_MARKS = ("SYSTEMMARK", "ASKMARK", "ANSWERMARK", "RECORDMARK")


class ChatTokenizer:
    """The tokenizer of a local model folder, and its chat template taken apart.

    Raises EngineError for a model whose template does not put turns one behind another.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.hf: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self.sight = Sight(folder) if has_sight(folder) else None
        """What shows it pictures; None for a model of texts."""
        if self.sight and not self.hf.chat_template:
            self.hf.chat_template = self.sight.chat_template
        if not self.hf.chat_template:
            hint = "choose an instruct model; a base model does not know where an answer ends"
            raise EngineError("the model has no chat template", where=str(folder), hint=hint)
        self._has_system = self._takes_system()
        shell = [self.hf(part, add_special_tokens=False)["input_ids"] for part in self._shell(str(folder))]
        self._start, self._before_ask, self._before_answer, self._between, self._end = shell
        self.head_ids = lru_cache(maxsize=256)(self._head_ids)
        self._opening = lru_cache(maxsize=64)(self._opening_with)
        self._where = str(folder)

    def look(self, prompts: Sequence[Prompt]) -> tuple[dict[int, Seen], dict[int, str]]:
        """The pictures of prompts, by the place of the prompt; and where the model cannot be shown them, why not."""
        seen: dict[int, Seen] = {}
        unseen: dict[int, str] = {}
        for i, prompt in enumerate(prompts):
            if prompt.pictures and self.sight is None:
                unseen[i] = "the model sees no pictures"
            elif prompt.pictures and self.sight:
                try:
                    seen[i] = self.sight.see(self._opening(len(prompt.pictures), _has_turns(prompt)), prompt.pictures)
                except ValueError as error:
                    unseen[i] = f"the model cannot be shown the picture: {error}"
        return seen, unseen

    def behind(self, prompt: Prompt) -> int:
        """Tokens behind a prompt's pictures."""
        return len(self.plain(prompt.record)) + len(self._end)

    def bodies(self, prompts: Sequence[Prompt], seen: Mapping[int, Seen] | None = None) -> list[list[int]]:
        """What follows each head: retrieved shots, pictures, the record, and the opening of the model's turn.

        All texts go to the tokenizer in one call, which spreads them over the cores, and each only once. Pictures that
        are not among those `seen` are a mark each.
        """
        shots = (text for prompt in prompts for turn in prompt.shots for text in turn)
        texts = list(dict.fromkeys([*shots, *(prompt.record for prompt in prompts)]))
        ids = dict(zip(texts, self.plain_all(texts), strict=True))
        bodies = []
        for i, prompt in enumerate(prompts):
            opening = self._between if prompt.head.shots else self._before_ask
            turns = self._joined([(ids[ask], ids[answer]) for ask, answer in prompt.shots], opening)
            opened = seen[i].ids if seen and i in seen else self.opening(prompt)
            bodies.append([*turns, *opened, *ids[prompt.record], *self._end])
        return bodies

    def count(self, prompt: Prompt) -> tuple[int, int]:
        """Tokens of the head, which is cached, and of the rest, with those of the pictures if the model sees them."""
        return len(self.head_ids(prompt.head)), len(self.bodies([prompt], self.look([prompt])[0])[0])

    def text(self, ids: Iterable[int]) -> str:
        """Token ids as text, control tokens shown."""
        return str(self.hf.decode(list(ids), skip_special_tokens=False))

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token id stands for; empty for the tokens that end an answer."""
        return b"" if token in self.stop_ids else self._vocabulary[token]

    def next_tokens(self, answers: tuple[str, ...], written: bytes) -> list[int]:
        """Ids of every token that may follow `written` on the way to one of `answers`, or end it: what a grammar
        of these answers allows, without compiling one (10,000 labels take 15 s to compile)."""
        found: set[int] = set()
        for answer in map(str.encode, answers):
            if answer == written:
                found |= self.stop_ids
            elif answer.startswith(written):
                rest = answer[len(written) :]
                for end in range(1, len(rest) + 1):
                    found.update(self._ids_of.get(rest[:end], ()))
        return sorted(found)

    @cached_property
    def _ids_of(self) -> dict[bytes, list[int]]:
        """Ordinary tokens by their bytes; several ids may stand for the same."""
        special = {*self.hf.all_special_ids, *self.hf.added_tokens_decoder}
        found: dict[bytes, list[int]] = {}
        for token, text in enumerate(self._vocabulary):
            if text and token not in special:
                found.setdefault(text, []).append(token)
        return found

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer."""
        return frozenset(self._info.stop_token_ids)

    def _head_ids(self, head: Head) -> tuple[int, ...]:
        turns = [(self.plain(ask), self.plain(answer)) for ask, answer in head.shots]
        return (*self._start, *self.plain(head.instruction), *self._joined(turns, self._before_ask))

    def _joined(self, turns: Iterable[tuple[list[int], list[int]]], opening: list[int]) -> list[int]:
        """Turns, each behind what opens it: `opening` before the first, the template's usual after that."""
        ids: list[int] = []
        for ask, answer in turns:
            ids += [*opening, *ask, *self._before_answer, *answer]
            opening = self._between
        return ids

    def opening(self, prompt: Prompt) -> list[int]:
        """What the template writes before a prompt's record, pictures as a mark each."""
        if prompt.pictures and self.sight:
            opening = self._opening(len(prompt.pictures), _has_turns(prompt))
            ids: list[int] = self.hf(opening, add_special_tokens=False)["input_ids"]
            return ids
        return self._between if _has_turns(prompt) else self._before_ask

    def _opening_with(self, pictures: int, turns: bool) -> str:
        """What the template writes between what stands before a record with so many pictures, and the record."""
        before = [_MARKS[1:3]] if turns else []
        plain, shown = (self._apply(before, _MARKS[0], _MARKS[3], count) for count in (0, pictures))
        last = _MARKS[2] if turns else _MARKS[0]
        head, _, rest = shown.partition(last)
        opening, _, end = rest.partition(_MARKS[3])
        if not plain.startswith(head + last) or not plain.endswith(_MARKS[3] + end) or opening in plain:
            hint = "choose another model"
            raise EngineError("the chat template has no place for pictures", where=self._where, hint=hint)
        return opening

    def _shell(self, where: str) -> list[str]:
        """What the template writes before the instruction, and between the parts of a conversation."""
        shown = self._apply([_MARKS[1:3]], _MARKS[0], _MARKS[3])
        parts, rest = [], shown
        for mark in _MARKS:
            part, found, rest = rest.partition(mark)
            if not found:
                raise EngineError("the chat template drops a turn", where=where, hint="choose another model")
            parts.append(part)
        parts.append(rest)
        start, before_ask, before_answer, between, end = parts
        two = [("a1", "b1"), ("a2", "b2")]
        body = between.join(ask + before_answer + answer for ask, answer in two)
        rebuilt = f"{start}s{before_ask}{body}{between}r{end}"
        if self._apply(two, "s", "r") != rebuilt:
            hint = "its chat template writes turns differently by their place; choose another model"
            raise EngineError("the chat template cannot be taken apart", where=where, hint=hint)
        return parts

    def _apply(self, turns: Iterable[Turn], instruction: str, record: str, pictures: int = 0) -> str:
        said = Prompt(Head(instruction), tuple(turns), record).messages
        messages = [{"role": turn["role"], "content": self._content(turn["content"])} for turn in said]
        if self.sight:
            messages[-1]["content"][:0] = [{"type": "image"}] * pictures
        if not self._has_system:  # the instruction then opens the first message of the user
            first = messages[1]["content"]
            opened = [*self._content(f"{instruction}\n\n"), *first] if self.sight else f"{instruction}\n\n{first}"
            messages = [{"role": "user", "content": opened}, *messages[2:]]
        return str(self.hf.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _content(self, text: str) -> Any:
        """A text as templates take it: those of models that see, in parts."""
        return [{"type": "text", "text": text}] if self.sight else text

    def _takes_system(self) -> bool:
        from jinja2 import TemplateError

        try:
            turns = Prompt(Head(_MARKS[0]), (), _MARKS[3]).messages
            messages = [{"role": turn["role"], "content": self._content(turn["content"])} for turn in turns]
            shown = self.hf.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError:  # how templates without the role refuse it
            return False
        return _MARKS[0] in shown

    @cached_property
    def _vocabulary(self) -> list[bytes]:
        return list(self._info.decoded_vocab)

    @cached_property
    def _info(self) -> Any:
        from xgrammar import TokenizerInfo

        return TokenizerInfo.from_huggingface(self.hf, vocab_size=len(self.hf.get_vocab()))

    def plain(self, text: str) -> list[int]:
        """The ids of a text, in which control tokens are text too."""
        return self.plain_all([text])[0]

    def plain_all(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, as `plain`."""
        if not texts:
            return []
        ids: list[list[int]] = self.hf(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids


def _has_turns(prompt: Prompt) -> bool:
    return bool(prompt.shots or prompt.head.shots)
