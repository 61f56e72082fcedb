"""Tiny vision-language models of two families, with random weights: made here, never fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SAYS = """{{ '<|im_start|>' }}{% for m in messages %}{{ m['role'] }}:\
{% if m['content'][0]['type'] == 'text' %} {% endif %}\
{% for p in m['content'] %}{% if p['type'] == 'image' %}MARK{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"""
"""A chat template as models that see have them: contents in parts, and another space where a picture begins."""


WINDOW = 160
"""Tokens that a layer of `tiny_window` looks back."""


def byte_tokenizer(special: Sequence[str], mark: str) -> Any:
    """Every byte a token, beside those of control; pictures stand where `mark` does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    words = Tokenizer(models.BPE(vocab=letters, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>", *special],
        chat_template=SAYS.replace("MARK", mark),
    )


@pytest.fixture(scope="session")
def tiny_idefics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Idefics3 with two layers on either side; a picture is four tokens between two marks."""
    torch = pytest.importorskip("torch", reason="the extra [cpu] is not installed")
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    folder = tmp_path_factory.mktemp("idefics")
    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    hf = byte_tokenizer(special, "<image>")
    longest = {"longest_edge": 32}
    images = Idefics3ImageProcessorPil(size=longest, max_image_size=longest, do_image_splitting=False)
    Idefics3Processor(images, hf, image_seq_len=4, chat_template=hf.chat_template).save_pretrained(folder)
    text = {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": len(hf), "max_position_embeddings": 2048,
        "pad_token_id": hf.pad_token_id, "eos_token_id": hf.eos_token_id, "bos_token_id": hf.eos_token_id,
        "initializer_range": 0.2,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 8, "initializer_range": 0.2,
    }  # fmt: skip
    config = Idefics3Config(
        text_config=text,
        vision_config=vision,
        image_token_id=hf.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=hf.pad_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen2.5-VL with two layers on either side: its places have three numbers, and pictures as many tokens as they
    are large."""
    torch = pytest.importorskip("torch", reason="the extra [cpu] is not installed")
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    folder = tmp_path_factory.mktemp("qwen")
    special = ["<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>"]
    hf = byte_tokenizer(special, "".join(special[:3]))
    hf.save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 16).save_pretrained(folder)
    start, image, end, video = map(hf.convert_tokens_to_ids, special)
    text = {
        "vocab_size": len(hf), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2048, "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0},
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
        "fullatt_block_indexes": [1], "window_size": 56, "initializer_range": 0.2,
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, image_token_id=image, video_token_id=video,
        vision_start_token_id=start, vision_end_token_id=end, eos_token_id=hf.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    kept = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    kept["processor_class"] = "Qwen2_5_VLProcessor"
    (folder / "preprocessor_config.json").write_text(json.dumps(kept), "utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen2 with two layers, which sees nothing."""
    return tiny_qwen2(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def tiny_window(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of which one layer looks back WINDOW tokens."""
    return tiny_qwen2(tmp_path_factory.mktemp("window"), layer_types=["full_attention", "sliding_attention"],
                      use_sliding_window=True, sliding_window=WINDOW)  # fmt: skip


def tiny_qwen2(folder: Path, **more: Any) -> Path:
    torch = pytest.importorskip("torch", reason="the extra [cpu] is not installed")
    from transformers import Qwen2Config, Qwen2ForCausalLM

    hf = byte_tokenizer([], "")
    hf.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}: {{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"
    )
    hf.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(hf), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=1024, eos_token_id=hf.eos_token_id, initializer_range=0.2,
        **more,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder
