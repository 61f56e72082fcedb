"""Pictures of a prompt in, the tokens that stand for them and the tensors that the model reads, out.

A model's own processor does both, on nothing but the piece of the chat template in which the pictures stand: a record's
text never passes it, so what looks like a picture's token there stays text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tagger.errors import EngineError
from tagger.picture import Picture


def has_sight(folder: Path) -> bool:
    """Whether the model in a folder has a part that sees."""
    config = folder / "config.json"
    return config.is_file() and "vision_config" in json.loads(config.read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Seen:
    """`ids` are the tokens of the pictures with what the template puts around them, `kinds` what the processor says of
    each of these tokens, by the name under which the model takes it; `tensors` are the pictures."""

    ids: list[int]
    kinds: Mapping[str, list[int]]
    tensors: Mapping[str, Any]


class Sight:
    """The picture processor of a local model folder, made when the first picture comes: texts do without.

    What uses it raises EngineError where it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    @cached_property
    def processor(self) -> Any:
        """The processor itself, as transformers has it."""
        try:
            return _processor(self._folder)
        except ImportError as error:
            hint = "pip install torchvision, of the version that belongs to this torch, or choose another model"
            reason = f"the model's picture processor lacks a library: {' '.join(str(error).split())[:200]}"
            raise EngineError(reason, where=self._folder, hint=hint) from None
        except (OSError, ValueError, TypeError) as error:
            reason = f"the model's picture processor cannot be loaded: {' '.join(str(error).split())[:200]}"
            raise EngineError(reason, where=self._folder, hint="choose another model") from None

    @property
    def chat_template(self) -> Any:
        """The chat template that lies beside the processor, in older folders the only one."""
        return getattr(self.processor, "chat_template", None)

    def see(self, opening: str, pictures: Sequence[Picture]) -> Seen:
        """Pictures where `opening`, what a chat template writes before a record with so many, has their marks.

        Raises ValueError for a picture that the model cannot be shown.
        """
        images = [picture.image() for picture in pictures]
        found = self.processor(text=[opening], images=images, add_special_tokens=False, return_tensors="pt")
        ids, kinds, tensors = found["input_ids"], {}, {}
        for name, value in found.items():
            if name in ("input_ids", "attention_mask"):
                continue
            if getattr(value, "shape", None) == ids.shape:
                kinds[name] = value[0].tolist()
            else:
                tensors[name] = value
        return Seen(ids[0].tolist(), kinds, tensors)


def _processor(folder: str) -> Any:
    """The processor of a model. Those of models that are shown films, too, ask for torchvision, for the films alone;
    where it is missing they are made without that part."""
    from transformers import PROCESSOR_MAPPING, AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer
    from transformers.utils import is_torchvision_available

    here = {"local_files_only": True}
    if is_torchvision_available():
        return AutoProcessor.from_pretrained(folder, **here)
    kind = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(folder, **here)), None)
    if kind is None or "video_processor" not in kind.get_attributes():
        return AutoProcessor.from_pretrained(folder, **here)

    class Pictures(kind):  # type: ignore[misc, valid-type]
        def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
            return super().check_argument_for_proper_class(name, argument) if argument is not None else None

    parts = [AutoImageProcessor.from_pretrained(folder, **here), AutoTokenizer.from_pretrained(folder, **here)]
    return Pictures(*parts)
