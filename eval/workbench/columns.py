"""The first rows of a table in, what its columns seem to be out: text, label, id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from eval.workbench.table import CARRIED, FIGURES, URL, Table
from tagger.record import ID

_TEXT = re.compile(
    r"^((product|item|goods)[ _-]?)?(title|name)$|^(text|review|comment)s?$"
    r"|^(review|comment|product)[ _-]?(text|body|title)$"
    r"|标题|標題|商品名|产品名|品名|评论|評論|评价内容|^名称$|^名稱$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(^|[ _-])(label|category|class|cat|type|sentiment|tag|star|rating)s?$"
    r"|标签|標籤|类别|類別|类目|分类|分類|情感|情绪",
    re.IGNORECASE,
)
_IDENTITY = re.compile(
    r"(^|[\W_])(id|sku|asin|ean|gtin|uuid|guid)$|(?-i:[^A-Z]I[Dd]$)|[^\x00-\x7f]id$|编号|編號|编码|货号|条码",
    re.IGNORECASE,
)
_PICTURE = re.compile(rf"{re.escape(CARRIED)}|.+\.(png|jpe?g|webp)", re.IGNORECASE)
_CODE = re.compile(r"[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]*")


def head_cells(table: Table) -> dict[str, list[str]]:
    """The filled cells of the first rows, by column."""
    rows = [row for _, row in table.head if isinstance(row, dict)]
    return {column: [row[column] for row in rows if column in row] for column in table.columns}


def id_column(table: Table, cells: Mapping[str, Sequence[str]]) -> str | None:
    """A column that is called so, filled and different on each of the first rows."""
    rows = sum(1 for _, row in table.head if isinstance(row, dict) and row)
    named = sorted((column for column in cells if _IDENTITY.search(column)), key=lambda column: column.lower() != ID)
    return next((column for column in named if len(cells[column]) == rows == len(set(cells[column]))), None)


def text_column(cells: Mapping[str, Sequence[str]], identity: str | None) -> str | None:
    """The column with the longest texts on average; names of products and reviews count more, whatever their length."""

    def weight(column: str) -> float:
        texts = cells[column]
        if not texts or column == identity or 2 * sum(map(_is_code, texts)) > len(texts):
            return 0
        return min(80, sum(map(len, texts)) / len(texts)) * (20 if _TEXT.search(column) else 1)

    best = max(cells, key=weight, default=None)
    return best if best is not None and weight(best) else None


def picture_column(cells: Mapping[str, Sequence[str]]) -> str | None:
    """A column that holds pictures, or names that end as those of pictures do."""
    shares = {c: sum(map(_is_picture, texts)) / len(texts) for c, texts in cells.items() if texts}
    best = max(shares, key=lambda column: shares[column], default=None)
    return best if best is not None and shares[best] > 0.5 else None


def label_column(cells: Mapping[str, Sequence[str]], *others: str | None) -> str | None:
    """A column of short texts with few different ones: one that is called so, else the one with the fewest."""
    few = {}
    for column, texts in cells.items():
        kinds = len(set(texts))
        short = texts and sum(map(len, texts)) / len(texts) <= 40
        if column not in others and short and kinds <= max(20, len(texts) / 2):
            few[column] = kinds
    called = [column for column in few if _LABEL.search(column)]
    alike = [
        column
        for column, kinds in few.items()
        if 1 < kinds <= min(20, len(cells[column]) / 5) and not any(map(_is_code, cells[column]))
    ]
    return next(iter(called), None) or min(alike, key=lambda column: few[column], default=None)


def _is_code(text: str) -> bool:
    return bool(FIGURES.fullmatch(text) or URL.match(text) or _CODE.fullmatch(text) or _is_picture(text))


def _is_picture(text: str) -> bool:
    return bool(_PICTURE.fullmatch(text))
