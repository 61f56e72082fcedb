"""A tiny language model with random weights, a task, and rows that it can learn."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tagger.definition import Definition
from tagger.example import Example
from tagger.record import Column, Record
from tagger.schema import LabelField
from tagger.task import Task

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
KINDS = {"tea": ("green", "black", "herbal", "iced"), "shoe": ("running", "leather", "canvas", "hiking")}
COLOURS = ("red", "blue", "grey", "gold", "pink", "dark", "pale", "good", "best", "dear", "rare", "fair")
SIZES = ("small", "large", "new", "old", "fine", "plain")


@pytest.fixture
def goods() -> Task:
    fields = {"kind": LabelField(labels={"drink": "", "wear": ""})}
    return Task.define("goods", Definition(about="What is it?", columns={"title": Column()}, fields=fields))


@pytest.fixture
def labelled_goods() -> list[Example]:
    """48 rows: what is a tea is a drink, what is a shoe is to wear."""
    titles = [
        (f"{size} {word} {noun}", "drink" if noun == "tea" else "wear")
        for noun, words in KINDS.items()
        for word in words
        for size in SIZES
    ]
    return [Example(Record(title, {"title": title}), {"kind": kind}) for title, kind in titles[::2] + titles[1::2]]


@pytest.fixture
def many(labelled_goods: list[Example]) -> list[Example]:
    """144 goods in a drawn order: 72 train, 12 choose, 60 judge."""
    plain = {e.record.id.partition(" ")[2]: e.answer for e in labelled_goods}
    more = [Example(Record(f"{c} {n}", {"title": f"{c} {n}"}), answer) for c in COLOURS for n, answer in plain.items()]
    return Random(0).sample([*labelled_goods, *more], 144)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen2 with two layers and a byte-level tokenizer; 100,000 parameters."""
    torch = pytest.importorskip("torch", reason="the extra [cpu] is not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    corpus = [*SIZES, *KINDS, *KINDS["tea"], *KINDS["shoe"], "drink", "wear", "system", "user", "assistant", "title: "]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([f" {word}" for word in corpus] + corpus, trainer)
    hf = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    hf.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(hf), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=1024, eos_token_id=hf.eos_token_id, initializer_range=0.2,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder
