"""Product texts in, a short product type for each out, written by the model under a grammar.

What a shop calls a thing differs from title to title; what a language model calls it differs less, so rows of one kind
get alike words by which they can be put together. The shown turns are of other kinds than any set the project is judged
on. A type is a hint for clustering and naming, never a tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from tagger.engines.base import Constraint, Engine, Request
from tagger.errors import EngineError
from tagger.prompt import Head, Prompt, escape

Language = Literal["en", "zh"]
MOST_READ = 240
"""Characters of a text that are shown to the model: what a thing is stands at the beginning."""
AT_ONCE = 64
"""Texts asked together: what the caller hears of between them."""

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_LETTER = re.compile(r"[^\W\d_]")
_ZH = "[\u4e00-\u9fff]"
GRAMMARS: dict[Language, str] = {
    "en": 'root ::= word (" " word)? (" " word)?\nword ::= [a-z] [a-z-]{1,14}\n',
    "zh": f"root ::= {_ZH} {_ZH} {_ZH}? {_ZH}? {_ZH}? {_ZH}?\n",
}
SAMPLES: dict[Language, str] = {"en": "thing", "zh": "商品"}
HEADS: dict[Language, Head] = {
    "en": Head(
        "The user shows what a shop or a buyer says about a product. Answer with the kind of product that it is: the "
        "plain noun that a shelf in a shop would be named after, in one to three words, without brand, colour or size.",
        (
            ("Hozelock 25m Tricoflex Ultraflex hose with brass fittings, green", "garden hose"),
            ("LEGO Classic Creative Brick Box 10696, 484 pieces", "toy bricks"),
            ("Set of 6 Riedel Ouverture magnum red wine", "wine glass"),
            ("Moleskine Classic large ruled hard cover black 240 pages", "notebook"),
            ("Yamaha C40II full size classical", "guitar"),
            ("2pcs wiper blades 24 inch 16 inch for Ford Focus 2012", "wiper blade"),
            ("Royal Canin Adult Persian 2kg dry", "cat food"),
            ("IKEA Billy white 80x28x202 with 5 shelves", "bookcase"),
        ),
    ),
    "zh": Head(
        "用户给出商店或买家对一件商品的说法。请回答这是哪一种商品：商店货架上会写的普通名词，二到六个字，不写品牌、颜色和尺寸。",
        (
            ("得力7102固体胶21g 12支装 学生手工办公", "固体胶"),
            ("坐了两天，靠背有点矮，海绵还算厚，轮子滑得很顺", "办公椅"),
            ("乐高经典创意系列10696 中号积木盒 484片", "积木"),
            ("雅马哈C40 39英寸古典 初学者送琴包", "吉他"),
            ("写起来很顺滑，墨水颜色正，就是笔帽有点松", "钢笔"),
            ("皇家成猫波斯专用 2kg 去毛球", "猫粮"),
            ("博世无骨通用型24/16寸 福克斯专用一对", "雨刷"),
            ("灯光有三档，夹子夹得很紧，孩子晚上看书用", "台灯"),
        ),
    ),
}
"""Instruction and shown turns of each language."""


def language_of(text: str) -> Language:
    """Chinese where at least every third letter is a Chinese character, else English."""
    letters = len(_LETTER.findall(text))
    return "zh" if letters and 3 * len(_HAN.findall(text)) >= letters else "en"


def kinds(texts: Sequence[str], engine: Engine, told: Callable[[int], None] = lambda done: None) -> list[str]:
    """For each text the product type that the model writes, in the text's language; "" where it wrote none.

    `told` hears how many are done. Raises EngineError for an engine that cannot serve.
    """
    found: list[str] = []
    for start in range(0, len(texts), AT_ONCE):
        part = texts[start : start + AT_ONCE]
        for answer in engine.complete([_request(text) for text in part]):
            if answer.finish_reason == "error":
                raise EngineError(f"the engine cannot serve: {answer.text}", where=engine.info.engine)
            found.append(answer.text if answer.finish_reason == "stop" else "")
        told(len(found))
    return found


def shown(text: str) -> str:
    """A product text as the model reads it."""
    return escape(" ".join(text.split())[:MOST_READ])


def _request(text: str) -> Request:
    language = language_of(text)
    constraint = Constraint(GRAMMARS[language], sample=SAMPLES[language])
    return Request(Prompt(HEADS[language], (), shown(text)), constraint, max_tokens=24)
