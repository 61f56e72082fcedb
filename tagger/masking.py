"""A record in, the record without personal data out, and the taggings of that back in the words of the text.

Each find gives way to a placeholder, "[EMAIL_1]", the same one for the same characters, so a model still reads that
there is an address. What is found: e-mail addresses, phone numbers, Chinese resident identity numbers, payment cards,
IBANs and US social security numbers. Checksums (stdnum), number plans (phonenumbers) and the words around a number keep
article numbers, sizes and prices as they are. Names, postal addresses and IP addresses are not looked for.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher, PhoneNumberType, number_type
from stdnum import iban, luhn
from stdnum.cn import ric
from stdnum.exceptions import InvalidComponent
from stdnum.us import ssn

from tagger.evidence import Evidence, find
from tagger.record import Column, Record
from tagger.result import Alternative, Tag, Tagging

Span = tuple[int, int]
REGIONS = ("CN", "US")
"""Whose national numbers are known; with a plus sign those of every country are."""


@dataclass(frozen=True, slots=True)
class Find:
    """Personal data: `text` stands in `column` from `start` up to, not including, `end`, and is shown as
    `placeholder`. `kind` is EMAIL, IBAN, ID, CARD, SSN or PHONE."""

    kind: str
    column: str
    start: int
    end: int
    text: str
    placeholder: str


@dataclass(frozen=True, slots=True)
class Masked:
    """`record` is what may be shown, `original` what came; `finds` are in the order of the text, column by column."""

    record: Record
    original: Record
    finds: tuple[Find, ...]


def masked(record: Record, columns: Mapping[str, Column]) -> Masked:
    """The record with a placeholder for each piece of personal data in the free-text columns of a task.

    `columns` are those of the task; a column with `allowed` values holds no free text. A placeholder whose name stands
    in the record already, in whatever case or width, is passed over for the next number.
    """
    finds: list[Find] = []
    shown: dict[tuple[str, str], str] = {}
    standing: str | None = None
    for column, setting in columns.items():
        text = record.values[column]
        for start, end, kind in [] if setting.allowed else _pieces(text):
            if standing is None:
                standing = unicodedata.normalize("NFKC", "\n".join(record.values.values())).casefold()
            piece = text[start:end]
            if (kind, piece) not in shown:
                shown[kind, piece] = _placeholder(kind, standing, set(shown.values()))
            finds.append(Find(kind, column, start, end, piece, shown[kind, piece]))
    if not finds:
        return Masked(record, record, ())
    values = {
        name: _replaced(text, [(f.start, f.end, f.placeholder) for f in finds if f.column == name])
        for name, text in record.values.items()
    }
    return Masked(Record(record.id, values), record, tuple(finds))


def restored(tagging: Tagging, masked: Masked) -> Tagging:
    """The tagging of a masked record as one of the record that came: placeholders in values and alternatives are the
    text again, evidence counts the characters of the original.

    A value that only a placeholder held ("EMAIL", the 1 of "[PHONE_1]") is looked for in the rest of the record, and
    marked inferred if it does not stand there. The reason of an outcome keeps its placeholders: it goes to logs.
    `scores`, which speak of the masked text, are left out.
    """
    if not masked.finds:
        return tagging
    return replace(tagging, tags={name: _restored(tag, masked) for name, tag in tagging.tags.items()})


def hidden(text: str) -> str:
    """A text for logs: "[PHONE]" in the place of a phone number, and so on."""
    return _replaced(text, [(start, end, f"[{kind}]") for start, end, kind in _pieces(text)])


def _placeholder(kind: str, standing: str, taken: set[str]) -> str:
    """The next placeholder of a kind whose name does not stand in the text, with or without its brackets."""
    number = 1
    while f"[{kind}_{number}]" in taken or f"{kind}_{number}".casefold() in standing:
        number += 1
    return f"[{kind}_{number}]"


def _replaced(text: str, pieces: list[tuple[int, int, str]]) -> str:
    for start, end, instead in reversed(pieces):
        text = text[:start] + instead + text[end:]
    return text


def _restored(tag: Tag, masked: Masked) -> Tag:
    value = _unmasked(tag.value, masked)
    others = tuple(Alternative(_unmasked(other.value, masked), other.probability) for other in tag.alternatives)
    evidence, evidences = tag.evidence, tag.evidences
    if evidence:  # of an abstained value, which leads the alternatives, there is evidence, too
        evidence = _proof(tag.alternatives[0].value if tag.abstained else tag.value, evidence, masked)
    if evidences:
        evidences = tuple(
            place and _proof(item, place, masked) for item, place in zip(tag.value, evidences, strict=True)
        )
    return replace(
        tag,
        value=value,
        alternatives=others,
        evidence=evidence,
        evidences=evidences,
        inferred=tag.inferred or (tag.evidence is not None and evidence is None) or None in evidences,
        each={json.dumps(_unmasked(json.loads(text), masked), ensure_ascii=False): p for text, p in tag.each.items()},
        scores=None,
    )


def _unmasked(value: Any, masked: Masked) -> Any:
    """A value with the characters that came in the place of placeholders, which a model may write without brackets."""
    if isinstance(value, list):
        return [_unmasked(item, masked) for item in value]
    if not isinstance(value, str):
        return value
    texts = {f.placeholder[1:-1].casefold(): f.text for f in masked.finds}
    names = "|".join(texts)
    pattern = rf"\[({names})\]|(?<![a-z0-9])({names})(?![0-9])"
    return re.sub(pattern, lambda match: texts[(match[1] or match[2]).casefold()], value, flags=re.IGNORECASE)


def _proof(value: str, evidence: Evidence, masked: Masked) -> Evidence | None:
    """Evidence of the masked text as that of the original, where a placeholder is proof as a whole or not at all."""
    finds = [f for f in masked.finds if f.column == evidence.column]
    text = masked.original.values[evidence.column]
    origin: list[Span] = []  # of each character of the masked text
    at = 0
    for one in finds:
        origin += [(i, i + 1) for i in range(at, one.start)] + [(one.start, one.end)] * len(one.placeholder)
        at = one.end
    origin += [(i, i + 1) for i in range(at, len(text))]
    start, end = origin[evidence.start][0], origin[evidence.end - 1][1]
    if not any(one.start < end and start < one.end for one in finds):
        return Evidence(evidence.column, start, end, text[start:end])
    said = _unmasked(value, masked)
    if said != value and find(said, {evidence.column: text[start:end]}):
        return Evidence(evidence.column, start, end, text[start:end])
    rest = {
        name: _replaced(whole, [(f.start, f.end, BLANK * len(f.text)) for f in masked.finds if f.column == name])
        for name, whole in masked.original.values.items()
    }
    return find(said, rest)


BLANK = "\0"
"""In the place of what is found already; records hold none."""
_LOOKS = {
    code: folded
    for block in ((0xA0, 0xA1), (0x2000, 0x2030), (0x3000, 0x3001), (0xFE50, 0xFE6C), (0xFF01, 0xFFEF))
    for code in range(*block)
    if len(folded := unicodedata.normalize("NFKC", chr(code))) == 1
}
# Dashes of all lengths are one dash. Circled and raised digits stay: they are no part of the number beside them.
LOOKS = _LOOKS | dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-")
"""Full-width characters, dashes and spaces -> the plain ones; one for one, so offsets stay what they are."""
GATE = re.compile(r"@|\d(?:[-\s./~()\[\]+\u00ad\u200b\u2060]{0,4}\d){6}")
"""Without an @ and seven digits in a row, with what people write between them, there is nothing to find."""
NEAR = 64
"""Characters before a number that may say what it is."""

_WORD = r"0-9A-Za-z_\-\u00c0-\u02af\u0370-\u1fff"  # not Chinese: there is no space between it and an address
EMAIL = re.compile(
    rf"(?<![{_WORD}.%+])[{_WORD}.%+]+@(?!\d+(?:[kmg]?hz|fps)\b)(?:[{_WORD}]+\.)+[^\W\d_⺀-\U0010ffff]{{2,24}}", re.I
)
IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}\d{2}(?:[ -]?[0-9A-Z]{1,4}){3,8}")
ID = re.compile(r"(?<!\d)[1-8]\d{5}[ -]?(?:19|20)\d\d[ -]?\d{4}[ -]?\d{3}[\dXx](?!\d)")
_END = r"(?![0-9A-Za-z])"
CARDS = tuple(
    re.compile(r"(?<![0-9A-Za-z])" + digits + _END)
    for digits in (
        r"62\d\d([ -]?)\d{4}\1\d{4}\1\d{4}\1\d{1,3}",  # UnionPay, 17 to 19 digits
        r"(?:4\d|5[1-5]|2[2-7]|35|6[0245])\d\d([ -]?)\d{4}\1\d{4}\1\d{4}",
        r"3[47]\d\d([ -]?)\d{6}\1\d{5}",  # American Express
        r"3[068]\d\d([ -])\d{6}\1\d{4}",  # Diners; in one piece they are article numbers (GTIN-14)
    )
)
"""Payment cards by their first digits and the groups they are embossed in (ISO/IEC 7812)."""
SSN = re.compile(r"(?<![\w-])\d{3}([ -]?)\d{2}\1\d{4}(?![\w-])")
SSN_WORD = re.compile(r"(?:\bssn|social security|社会安全|社安)(?:\W|号|码|number|no\b|is\b){0,9}$", re.I)
ARTICLE = re.compile(
    r"(?:(?<![a-z])(?:sku|item|model|art|article|part|parts|ref|mpn|ean|upc|gtin|isbn|asin|serial|lot|batch|order|size|no"
    r"|nr|code|[sp]/n)|#|[货款型编批单料序列]号|條碼|条码|条形码|编码|尺寸|规格)(?:\W|number|no\b){0,4}$",
    re.I,
)
"""What stands before a number that is none of a person."""
UNIT = re.compile(
    r"\s?(?:(?:mm|cm|ml|kg|mg|oz|lbs?|inch|inches|ft|w|kw|v|mah|[kmg]?hz|rpm|psi|pcs)(?![a-z])"
    r"|毫米|厘米|公分|毫升|千克|公斤|转|件|片|粒)",
    re.I,
)
PHONE_WORD = re.compile(
    r"(?<![a-z])(?:tel|telephone|phones?|ph|mobile|mob|cell|call|text|sms|fax|whatsapp|wechat|vx|wx|viber|contact|hotline)"
    r"(?![a-z])|电话|電話|手机|手機|微信|热线|熱線|致电|致電|来电|联系|聯繫|拨打|撥打|传真|傳真|座机|客服|短信",
    re.I,
)
BESIDE = re.compile(
    rf"{BLANK}(?:\W|[号號码碼是为我请可人]|方式|\b(?:number|no|nr|is|me|us|at|on|or|and|to|now|today|our|my)\b){{0,9}}$",
    re.I,
)
"""A word such as Tel, or another find, and little more than punctuation after it."""
MOBILE = re.compile(r"(?:(?:00)?86)?1[3-9]\d{9}")
GROUPED = re.compile(r"\d[-.()]+ ?\d|^\(|^0\d+ ")
EXTENSION = re.compile(r"(?<!\d)(0\d{2,3}[ -]?\d{7,8})[-转轉](?=\d{1,5}(?!\d))")
PERSONAL = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE}


def _pieces(text: str) -> list[tuple[int, int, str]]:
    """Start, end and kind of all personal data in a text, in order, none within another."""
    left = text.translate(LOOKS)
    if not GATE.search(left):
        return []
    found: list[tuple[int, int, str]] = []
    for kind, places in FINDERS.items():
        for start, end in list(places(left)):
            found.append((start, end, kind))
            left = _blanked(left, start, end)
    return sorted(found)


def _blanked(text: str, start: int, end: int) -> str:
    return text[:start] + BLANK * (end - start) + text[end:]


def _emails(text: str) -> Iterator[Span]:
    return (match.span() for match in EMAIL.finditer(text))


def _ibans(text: str) -> Iterator[Span]:
    """Where letters go on behind a space, the number ends where its checksum and its country's length say."""
    for match in IBAN.finditer(text):
        start, last = match.span()
        ends = [end for end in range(last, start + 14, -1) if text[end - 1].isalnum()]
        if end := next((end for end in ends if iban.is_valid(text[start:end])), None):
            yield start, end


def _ids(text: str) -> Iterator[Span]:
    """By checksum and birth date alone (GB 11643): stdnum refuses places that were named after the person was born."""
    for match in ID.finditer(text):
        number = re.sub("[ -]", "", match[0]).upper()
        with suppress(InvalidComponent):
            if ric.calc_check_digit(number) == number[-1] and ric.get_birth_date(number):
                yield match.span()


def _cards(text: str) -> Iterator[Span]:
    for pattern in CARDS:
        for match in pattern.finditer(text):
            if luhn.is_valid(re.sub("[ -]", "", match[0])):
                text = _blanked(text, *match.span())
                yield match.span()


def _ssns(text: str) -> Iterator[Span]:
    """There is no checksum: with dashes in the usual places, or behind a word that says what it is."""
    for match in SSN.finditer(text):
        before, after = text[: match.start()][-NEAR:], text[match.end() :]
        usual = match[1] == "-" and not ARTICLE.search(before) and not UNIT.match(after)
        if (usual or SSN_WORD.search(before)) and ssn.is_valid(re.sub("[ -]", "", match[0])):
            yield match.span()


def _phones(text: str) -> Iterator[Span]:
    """Numbers of every country with a plus sign, national ones of REGIONS."""
    text = PHONE_WORD.sub(lambda match: BLANK * len(match[0]), text)  # "tel138..." is no article number
    text = EXTENSION.sub(r"\1x", text)  # as the library knows it
    for region in REGIONS:
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID, min_candidate_length=7):
            if _is_phone(match, region, text):
                text = _blanked(text, match.start, match.end)
                yield match.start, match.end


def _is_phone(match: PhoneNumberMatch, region: str, text: str) -> bool:
    """Whether a number that could be one is one: a plus sign or a word says so, or how it is written.

    VALID alone takes sizes for numbers ("36-38-40-42-44") and STRICT_GROUPING alone misses what people write
    ("1380 013 8000"), so the former holds where something says that it is a phone number, the latter elsewhere. There,
    digits in one piece are a Chinese mobile number or an article number, and hotlines are nobody's.
    """
    raw, before, after = match.raw_string, text[: match.start][-NEAR:], text[match.end :]
    if raw.lstrip("([ ").startswith("+"):
        return not before[-1:].isalnum()
    if BESIDE.search(before):
        return True
    if ARTICLE.search(before) or UNIT.match(after) or re.search(r"\b0\.$", before):
        return False
    if not any(PhoneNumberMatcher(raw, region, leniency=Leniency.STRICT_GROUPING)):
        return False
    written = MOBILE.fullmatch(re.sub(r"\D", "", raw)) or GROUPED.search(raw)
    return written is not None and number_type(match.number) in PERSONAL


FINDERS: Mapping[str, Callable[[str], Iterator[Span]]] = {
    "EMAIL": _emails,
    "IBAN": _ibans,
    "ID": _ids,
    "CARD": _cards,
    "SSN": _ssns,
    "PHONE": _phones,
}
"""The surest first: what one has found the next does not see."""
