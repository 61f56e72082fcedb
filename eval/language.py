"""A text in, the language that its script lets one guess out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_KANA = re.compile("[\u3041-\u306d\u306f-\u3096\u30a1-\u30fa]")
"""Without の, which stands in Chinese product names too."""
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def language(text: str) -> str:
    """Japanese from two kana on, Korean with a Hangul, Chinese with a Chinese character; else English, or the name of
    the script that most of its letters are in.

    Scripts alone are looked at: French is "English" here. A column that says the language says it better.
    """
    text = unicodedata.normalize("NFKC", text)
    if len(_KANA.findall(text)) > 1:
        return "Japanese"
    if _HANGUL.search(text):
        return "Korean"
    if _CJK.search(text):
        return "Chinese"
    scripts = Counter(unicodedata.name(char, "").split(" ")[0] for char in text if char.isalpha())
    script = max(scripts, key=lambda name: (scripts[name], name), default="LATIN")
    return "English" if script == "LATIN" else f"{script.capitalize()} script"
