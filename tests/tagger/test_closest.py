"""Which name may be meant by one that is not there."""

from __future__ import annotations

import pytest

from tagger.closest import closest


@pytest.mark.parametrize(
    ("wanted", "there", "meant"),
    [
        (["title"], ["id", "Title", "title_zh"], "Title"),
        (["title"], ["id", "titel"], "titel"),
        (["title", "name"], ["sku", "brand", "productName"], "productName"),
        (["标题"], ["编号", "商品标题"], "商品标题"),
        (["title"], ["id", "what", "price"], None),
        (["title"], ["subtitle", "Title "], "Title "),
        (["title"], ["entitlement"], None),
        (["id"], ["width", "brand"], None),
        (["id"], ["width", "product_id"], "product_id"),
        (["title"], [], None),
        ([], ["title"], None),
    ],
)
def test_the_name_most_like_it_is_meant_and_none_where_none_is_like_it(
    wanted: list[str], there: list[str], meant: str | None
) -> None:
    assert closest(wanted, there) == meant
