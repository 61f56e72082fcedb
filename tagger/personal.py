"""A text in, the personal data in it out: where each piece stands, and of which kind it is.

Found are e-mail addresses, phone, Chinese identity and US social security numbers, payment cards and IBANs. Checksums
(stdnum), number plans (phonenumbers) and the words around a number keep article numbers, sizes and prices as they are.
Names, postal addresses and IP addresses are not looked for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher, PhoneNumberType, number_type
from stdnum import iban, luhn
from stdnum.cn import ric
from stdnum.exceptions import InvalidComponent
from stdnum.us import ssn

Span = tuple[int, int]
REGIONS = ("CN", "US")
"""Whose national numbers are known; with a plus sign those of every country are."""
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


def pieces(text: str) -> list[tuple[int, int, str]]:
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
