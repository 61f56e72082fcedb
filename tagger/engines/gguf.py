"""A GGUF file in, an ordinary model folder out: weights as bfloat16 safetensors, and the tokenizer."""

from __future__ import annotations

from pathlib import Path


def convert(gguf: Path, folder: Path) -> None:
    """Write the model in `gguf` to `folder`, dequantized: packed weights are slow and cannot be saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place, name = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(
        place, gguf_file=name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(folder)
