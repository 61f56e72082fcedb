"""Personal data is masked and comes back; the numbers of products stay."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from timeit import repeat
from typing import Any

import pytest
from pydantic import BaseModel

from tagger import ScriptedEngine, Tagger
from tagger.masking import hidden, masked, restored
from tagger.record import Column, Record
from tagger.result import Alternative, Tag, Tagging
from tagger.task import Task

# Titles of which nothing may be masked.
PRODUCTS = """
Acme Trail Running Shoes Men US 10.5 EU 44 Black 2024 Model 880v12
Sencha Green Tea Bags, 100 Count, EAN 4006381333931
Desk Lamp LED 12W 100-240V 50/60Hz 3000K-6500K SKU 10023456789
Area Rug 1200x800 mm Grey Item 6502530000
Storage Shelf 1800 x 900 x 400 mm, load 150 kg, art. no. 212-555-0123
GTIN-13 6901234567892 Jasmine Tea 250g x 12
UPC 012345678905 Organic Oats 18 oz (510 g)
075512345673 Noodle Cup 12-Pack
SSD 1TB NVMe PCIe 4.0 7000MB/s read 6500 MB/s write 2280
Samsung 990 PRO MZ-V9P2T0BW 2TB 7450/6900 MB/s
Bosch 0 986 494 404 Brake Pad Set 06 12 34 56 78
Sizes 36-38-40-42-44 Women's Dress, 95% Cotton 5% Elastane
Extension ladder 250 300 4000 adjustable
Motor 400-600-1200 rpm, 220 V, 1.5 kW
Price was $1,299.00 now $999.99, save 23% until 2025-12-31 23:59
Resistor kit 1/4W 1000000 ohm 1% 2600 pcs
Harry Potter Box Set ISBN 978-0-545-16207-4 hardcover 2009
Introduction to Algorithms, 0-262-03384-4, 1312 pages
Monitor 27 inch 2560x1440@165Hz 1ms 4K@60Hz.HDR
DDR5 32GB 6000MHz CL30-38-38-96 1.35V 288-pin
Tire 195/65R15 91V, DOT 2023, 4 pcs
Samsung RT18M6215SG/AA refrigerator 18 cu ft 500-700 kWh 10/10/2022
GTIN-14 16901234567899 case of 24
Phone case for iPhone 15 Pro Max 6.7" 2023 model 3102550199
Rechargeable battery 3.7V 2600mAh 18650-20 4 pack 9.62Wh
Steel rod 1300 1400 150 cut to length
Vitamin C 1000 mg 180 capsules lot 2023100456 exp 10/2026
IMEI 490154203237518 refurbished handset
Part 123-45-6789 seal kit for pump
Rod set 120-80-1200 mm
Router 802.11ax 2.4/5GHz 574+1201 Mbps firmware 1.0.13812345678
HS code 8517130000 customs 2024 2025
ASIN B08N5WRWNW FBA X001ABCDEF 4111111111111112
9780306406157 paperback 3rd edition
华为手机壳 6502530000 适用Mate60 2023款
得力文具 货号：13812345678 蓝色 12支装
农夫山泉 550ml*24瓶 6921168509256 整箱
小米台灯 220V 50Hz 12W 型号MJTD02YL 3000-6500K
办公桌 1400-700-750 毫米 承重150公斤 胡桃木
升降范围 150-1600-1800 毫米 可调支架
纯棉四件套 200×230cm 1.8米床 2024新款 ￥２９９．００
净含量５００克 生产日期 2024-01-15 保质期 180天 批号20240115001
床垫 尺码 1500-2000-200 棕色 条码 6941659118200
轮胎 205/55R16 91V 适配 2015-2023款
圆周率T恤 3.1415926535 0.13812345678 数学
订单号 13900001234 补发配件 手机型号 13900001235
插座 100-240V～ 50/60Hz 10A 2500W 国标GB/T 2099.1-2021
图书 978-7-111-54742-6 第3版 标准书号 7-302-11622-6
拉杆箱 20-24-28寸 110-220-3300 套装
""".strip().splitlines()

# Kind and text, the personal data of which stands in <>.
PERSONAL = """
EMAIL|Write to <jane.doe+shop@example.com> for a quote
EMAIL|used lamp, contact <j_smith@mail.example.co.uk>.
EMAIL|Selling bike (<bob@example.org>), 21 gears
EMAIL|Продам лампу <иван@почта.рф>
EMAIL|Lampe günstig: <müller@bücher.example>, Berlin
EMAIL|二手相机，邮箱<zhangsan@163.com>联系
EMAIL|代购请发邮件到：<ｌｉｓｉ＠ｑｑ．ｃｏｍ>，全新
EMAIL|QQ邮箱<13812345678@qq.com>。包邮
EMAIL|mail:<a.b@example.cn>;green tea
EMAIL|Mix @ home <A-B@EXAMPLE.COM> @ 5pm
PHONE|Call <(212) 555-0123> for bulk prices
PHONE|Guitar lessons <212-555-0123>
PHONE|Sofa, like new, text me at <4155550132>
PHONE|Tel: <212.555.0145> ask for Ann
PHONE|Phone number is <212 555 0199>
PHONE|WhatsApp <+1 415 555 0132> any time
PHONE|Order line <+44 20 7946 0958>
PHONE|Kontakt <+49 (0)30 123456> Berlin
PHONE|Seller <+33 6 12 34 56 78>, Paris
PHONE|香港代购 <+852 2345 6789>
PHONE|Office <212-555-0123 ext. 45>
PHONE|Mobile: <2125550123>, <2125550145> or <2125550167>
PHONE|1-212 <1-212-555-0123> for parts
PHONE|九成新电视<13812345678>可小刀
PHONE|电话：<138 1234 5678>，自提
PHONE|手机 <138-1234-5678> 微信同号
PHONE|联系电话<１３８１２３４５６７８>
PHONE|手机号：<１３８－１２３４－５６７８>
PHONE|请拨打 <+86 138 1234 5678>
PHONE|厂家直销 <8613812345678> 量大从优
PHONE|tel<13812345678> 清仓
PHONE|电话 <1380 013 8000> 老号
PHONE|座机 <010-65529988> 转让
PHONE|<０１０－６５５２９９８８> 王女士
PHONE|店铺 <0755-8888 6666> 周一至周五
PHONE|地址见图，(广州) <020 6888 8888>
PHONE|上海门店 <(021)68888888>
PHONE|致电<02168888888>预约
PHONE|客服：<0571-87654321-801>
PHONE|客服：<0571-87654321转801>
PHONE|<010-65529988>/<13812345678>
PHONE|①<13812345678> ②<13912345678>
PHONE|Hotline <400-810-8888>
ID|身份证号：<11010519491231002X>
ID|身份证<620102198512123451>复印件
ID|ID <110105 19491231 002x>
ID|身份证 <110105 1949 1231 002X>
ID|证件号 <１１０１０５１９４９１２３１００２Ｘ> 本人
ID|身份证<440307199003071239>
CARD|card <4111 1111 1111 1111> exp 12/27
CARD|Pay with <4111-1111-1111-1111>
CARD|visa <4111111111111111>
CARD|MC <5555 5555 5555 4444> 123
CARD|amex <3782 822463 10005>
CARD|Diners <3056 930902 5904>
CARD|卡号<６２１２３４５６７８９０１２３２>，建设银行
CARD|银行卡 <6222 0212 3456 7890 128> 张三
IBAN|IBAN <DE89 3704 0044 0532 0130 00> BIC ABCDEF
IBAN|pay to <GB82WEST12345698765432>
IBAN|compte <FR14 2004 1010 0505 0001 3M02 606>.
IBAN|<NL91 ABNA 0417 1643 00> T.N.V. ANN
SSN|SSN <536-90-4399>
SSN|applicant <536-90-4399>, teapot
SSN|social security number <536904399>
SSN|社安号 <５３６-９０-４３９９>
""".strip().splitlines()

COLUMNS = {"title": Column()}
LAMP = "Blue lamp, write to jane@example.com or call 212-555-0123, 1 pack"


class Listing(BaseModel):
    """What a listing says."""

    contact: str | None = None
    article: str | None = None
    words: list[str] = []


def seen(text: str) -> list[tuple[str, str]]:
    return [(find.kind, find.text) for find in masked(Record("1", {"title": text}), COLUMNS).finds]


def tagged(text: str, answer: dict[str, Any]) -> Tagging:
    """The tagging of a title that was masked for the prompt, restored."""
    task = Task.from_model(Listing)
    shown = masked(Record("1", {"title": text}), task.columns)
    engine = ScriptedEngine(lambda _: json.dumps(answer, ensure_ascii=False))
    (found,) = Tagger(task, engine=engine).tag_records([shown.record])
    asked = engine.history[-1].prompt.record
    assert all(find.text not in asked and find.placeholder in asked for find in shown.finds)
    return restored(found, shown)


def test_all_personal_data_is_found_and_no_number_of_a_product_is() -> None:
    assert len(PRODUCTS) >= 40
    assert len(PERSONAL) >= 40
    expected = [(text, []) for text in PRODUCTS]
    for line in PERSONAL:
        kind, text = line.split("|", 1)
        expected.append((re.sub("[<>]", "", text), [(kind, piece) for piece in re.findall("<(.*?)>", text)]))
    assert {kind for _, pieces in expected for kind, _ in pieces} == {"EMAIL", "PHONE", "ID", "CARD", "IBAN", "SSN"}

    wrong = [(text, pieces, seen(text)) for text, pieces in expected if seen(text) != pieces]
    found = [(text, piece) for text, _ in expected for piece in seen(text)]
    wanted = [(text, piece) for text, pieces in expected for piece in pieces]
    right = len(set(found) & set(wanted))
    report = f"precision {right}/{len(found)}, recall {right}/{len(wanted)}"
    print(report)

    assert not wrong, report


@pytest.mark.parametrize(
    ("text", "said", "value", "proof"),
    [
        (LAMP, "[EMAIL_1]", "jane@example.com", "jane@example.com"),
        (LAMP, "email_1", "jane@example.com", "jane@example.com"),
        (LAMP, "write to [EMAIL_1] or call", "write to jane@example.com or call", "write to jane@example.com or call"),
        (LAMP, "[EMAIL_1] or call [PHONE_1]", *["jane@example.com or call 212-555-0123"] * 2),
        (LAMP, "1 PACK", "1 pack", "1 pack"),
        (LAMP, "blue lamp", "Blue lamp", "Blue lamp"),
        (LAMP, "1", "1", "1"),
        ("Lamp, call +1 212-555-0123, pack of 1", "1", "1", "1"),
        ("Lamp, call +1 212-555-0123", "1", "1", None),
        (LAMP, "EMAIL", "EMAIL", None),
        (LAMP, "[EMAIL_1] or [PHONE", "jane@example.com or [PHONE", None),
        ("台灯，电话：１３８１２３４５６７８，蓝色", "[PHONE_1]", "１３８１２３４５６７８", "１３８１２３４５６７８"),
        ("台灯，电话：１３８１２３４５６７８，蓝色", "蓝色", "蓝色", "蓝色"),
    ],
)
def test_values_and_evidence_are_those_of_the_original(text: str, said: str, value: str, proof: str | None) -> None:
    tag = tagged(text, {"contact": said}).tags["contact"]

    assert (tag.value, tag.inferred) == (value, proof is None)
    assert (tag.evidence.text if tag.evidence else None) == proof
    if tag.evidence:
        start = text.rindex(proof or "")
        assert (tag.evidence.column, tag.evidence.start, tag.evidence.end) == ("title", start, start + len(proof or ""))


def test_of_a_list_every_text_has_its_evidence_and_its_probability() -> None:
    found = tagged(LAMP, {"words": ["[PHONE_1]", "PHONE", "lamp"]})

    line = found.to_dict()["tags"]["words"]
    assert line["value"] == ["lamp", "212-555-0123", "PHONE"]
    assert [place and LAMP[place["start"] : place["end"]] for place in line["evidence"]] == [
        "lamp", "212-555-0123", None,
    ]  # fmt: skip
    assert len(line["probabilities"]) == 3
    assert line["inferred"]


def test_the_guess_of_an_abstained_value_and_the_alternatives_are_restored() -> None:
    shown = masked(Record("1", {"title": LAMP}), COLUMNS)
    tagger = Tagger(Task.from_model(Listing), engine=ScriptedEngine(lambda _: '{"contact": "[EMAIL_1]"}'))
    (tagging,) = tagger.tag_records([shown.record])
    tag = tagging.tags["contact"]
    guess = (Alternative("[EMAIL_1]", 0.6), Alternative("[PHONE_1]", 0.4))
    doubtful = Tag(None, 0.6, evidence=tag.evidence, abstained=True, alternatives=guess)

    found = restored(replace(tagging, tags={"contact": doubtful}), shown).tags["contact"]

    assert [other.value for other in found.alternatives] == ["jane@example.com", "212-555-0123"]
    assert found.value is None
    assert found.evidence is not None
    assert found.evidence.text == "jane@example.com"


def test_the_same_characters_have_the_same_placeholder_and_closed_columns_are_left_alone() -> None:
    columns = {"title": Column(), "text": Column(), "type": Column(allowed=("a@b.example",))}
    record = Record("1", {"title": "a@b.example, c@d.example", "text": "to c@d.example!", "type": "a@b.example"})

    shown = masked(record, columns)

    assert shown.record.values == {"title": "[EMAIL_1], [EMAIL_2]", "text": "to [EMAIL_2]!", "type": "a@b.example"}
    assert shown.record.id == "1"
    assert [(find.column, find.start, find.end) for find in shown.finds] == [
        ("title", 0, 11), ("title", 13, 24), ("text", 3, 14),
    ]  # fmt: skip


@pytest.mark.parametrize("standing", ["[EMAIL_1]", "email_1", "［ＥＭＡＩＬ＿１］"])
def test_a_placeholder_that_stands_in_the_text_is_not_used(standing: str) -> None:
    shown = masked(Record("1", {"title": f"{standing} a@b.example"}), COLUMNS)

    assert shown.record.values["title"] == f"{standing} [EMAIL_2]"


def test_a_record_without_personal_data_is_left_as_it_is() -> None:
    record = Record("1", {"title": "Acme lamp 100-240V"})

    shown = masked(record, COLUMNS)

    assert shown.record is record
    assert shown.finds == ()


def test_logs_show_the_kind_alone() -> None:
    assert hidden("Tel 13812345678, a@b.example, 220V") == "Tel [PHONE], [EMAIL], 220V"


def test_an_ordinary_title_takes_under_a_tenth_of_a_millisecond() -> None:
    record = Record("1", {"title": "Acme Trail Running Shoes for Men, US 10.5 / EU 44, Black and Grey, Model 880v12."})

    seconds = min(repeat(lambda: masked(record, COLUMNS), number=100, repeat=5)) / 100

    assert seconds < 100e-6
