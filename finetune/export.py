"""An adapter and its model in, one model folder out, for servers that serve no adapters."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from tagger.adapter import CARD
from tagger.errors import EngineError, SettingsError

Form = Literal["bfloat16", "float32", "int8"]
FORMS: tuple[Form, ...] = get_args(Form)


def merge(base: Path, adapter: Path, folder: Path, form: str = "bfloat16") -> None:
    """Write the model in `base` with the adapter added to its weights, with its tokenizer and the adapter's card.

    The sum is made in float32. "int8" quantizes the linear layers (LLM.int8, Dettmers et al. 2022) with bitsandbytes.
    Raises SettingsError for a folder that is there already, EngineError without bitsandbytes.
    """
    if folder.exists():
        raise SettingsError("the folder is there already", where=str(folder), hint="choose another --out")
    if form == "int8" and find_spec("bitsandbytes") is None:
        raise EngineError("int8 needs bitsandbytes", hint="pip install bitsandbytes")
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    model: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32, local_files_only=True)
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.to(torch.float32 if form == "float32" else torch.bfloat16).save_pretrained(str(unfinished))
    AutoTokenizer.from_pretrained(str(base), local_files_only=True).save_pretrained(str(unfinished))
    if form == "int8":
        _quantize(unfinished)
    shutil.copy(adapter / CARD, unfinished / CARD)
    unfinished.replace(folder)


def _quantize(folder: Path) -> None:
    bits = BitsAndBytesConfig(load_in_8bit=True)
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), quantization_config=bits, local_files_only=True)
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    model.save_pretrained(str(folder))
