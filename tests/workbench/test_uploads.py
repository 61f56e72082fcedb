"""Whatever file an analyst brings is read as it stands, or refused in words that say what to do."""

from __future__ import annotations

import json
import tracemalloc
from base64 import b85decode
from datetime import date
from pathlib import Path
from zipfile import ZipFile
from zlib import decompress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.workbench.uploads import Brought, Look, bring, look, values
from tagger.errors import SourceError
from tagger.record import Column, Record, Rejected
from tagger.sources import records

XLS = (
    "c-rk)O=wd=5dP*RX?|$amzoN#P(sC4YY!C<dTE~(v?oi|gCc?^CP-;bBzVz-R%?!e;7RGF(2JL<7k|)$;>Ckd(Sslei5@)(3O%%Wot?K2Q_Z0P4J!"
    "LRc6Q$E?CxY|cJg-LEG5eG54tP(2_p!g>PFF0BO@+R|HTHkyRKsWI>N;@_@@w!up?VSc-r<ltbC~aU4e!B!52({Ph3voJjM(8T&juKFE*q}*)YtMF"
    "vpTOy2Ppup=X3{5_(TGp9$S3k{d#YS+`6lu;h#n?A1|x-0GFKIMle0q|XPD>_R7AsVKg3lRVuJMvIf_>A$m~C)kPwu;0dV`CKtQT}F}}xPb3&3i#&"
    "l)aNN9Z?2rc^5ymNa2@$AD+tWMJuLxV;^g`=;5qo{3bwMBA%!DzGRvCz^tl|j4-M_%Fvt+7a5kn=vTR{{-4<?>&~9a#MZ53`32>W}^vd0@Zx3ZAoK"
    "qs1k+kh4_if4^xVWl%aOb$Rh)JS5AatkDYclE<;k$(<*;uaoCOS29a8`7#OKTs`vs>`a>966pGhh00_;F9^v$KQw#j(nz<l=j09=*ICS?;f%Sq#!3"
    "-MOvs#PMs=iQuEqu3wTu#Im*RuKovW$0}mNCWLx#YIR8KQyqO0eKq1`D<<|N5ZC%v9eqpm1A2UK_0`IbSRHt%8aYM%Knw;31_lNO1_lNOO#<mpd-bs"
    "z)aMO#fC%e*omDPXb4~K!;s^@-T;PN00pz(Z;$lPbvl$`s$D$4P@$U;2j`8e8Od%t7Of?+8d;p}{-?QP4_V3$5jm}?f#LhoF{~DV)!Ey"
)
"""A sheet of Excel 97: id, name; "007", 3.0; "b", "杯"."""


def put(tmp_path: Path, data: bytes | str) -> Path:
    path = tmp_path / "file"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def written(
    tmp_path: Path, data: bytes | str, name: str = "goods.csv", **how: object
) -> tuple[Brought, list[dict[str, str]]]:
    out = tmp_path / "rows" / "goods.jsonl"
    brought = bring(put(tmp_path, data), name, out, **how)  # type: ignore[arg-type]
    return brought, [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def seen(tmp_path: Path, data: bytes | str, name: str = "goods.csv") -> Look:
    return look(put(tmp_path, data), name)


def refused(tmp_path: Path, data: bytes | str, name: str = "goods.csv", **how: str) -> str:
    with pytest.raises(SourceError) as error:
        look(put(tmp_path, data), name, **how)
    return str(error.value)


def xlsx(path: Path, **sheets: list[list[str | float]]) -> bytes:
    """A workbook; "d" and a number is a date, "far" a cell in the last column of the last row."""
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    link = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

    def cell(value: str | float) -> str:
        if value == "far":
            return '<c r="XFD1048576"><v>1</v></c>'
        if isinstance(value, str) and value[0] == "d":
            return f'<c s="1"><v>{value[1:]}</v></c>'
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>' if isinstance(value, str) else f"<c><v>{value}</v></c>"

    with ZipFile(path, "w") as book:
        names = "".join(f'<sheet name="{n}" sheetId="{i}" r:id="r{i}"/>' for i, n in enumerate(sheets, start=1))
        book.writestr("xl/workbook.xml", f'<workbook {space} xmlns:r="{link}"><sheets>{names}</sheets></workbook>')
        targets = "".join(
            f'<Relationship Id="r{i}" Type="{link}/worksheet" Target="worksheets/sheet{i}.xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        packages = "http://schemas.openxmlformats.org/package/2006/relationships"
        root = f'<Relationship Id="r0" Type="{link}/officeDocument" Target="xl/workbook.xml"/>'
        book.writestr("_rels/.rels", f'<Relationships xmlns="{packages}">{root}</Relationships>')
        book.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{packages}">{targets}</Relationships>')
        formats = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
        book.writestr("xl/styles.xml", f"<styleSheet {space}>{formats}</styleSheet>")
        for i, rows in enumerate(sheets.values(), start=1):
            data = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            sheet = f"<worksheet {space}><sheetData>{data}</sheetData></worksheet>"
            book.writestr(f"xl/worksheets/sheet{i}.xml", sheet)
    return path.read_bytes()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out_and_cells_stay_as_they_stand(tmp_path: Path, delimiter: str) -> None:
    lines = [["id", "title", "price"], ["007", "<b>Tea</b> & =1+1", "1.50"], ["008", '"Two\nlines, or; so"', ""]]

    brought, rows = written(tmp_path, "\n".join(delimiter.join(line) for line in lines))

    assert seen(tmp_path, (tmp_path / "file").read_bytes()).delimiter == delimiter
    assert brought.columns == ("id", "title", "price")
    assert rows == [
        {"id": "007", "title": "<b>Tea</b> & =1+1", "price": "1.50"},
        {"id": "008", "title": "Two\nlines, or; so"},
    ]


def test_a_tsv_whose_quotation_marks_mean_nothing_is_read_so_and_says_so(tmp_path: Path) -> None:
    brought, rows = written(tmp_path, 'id\ttext\n1\t"hm, said I\n2\tfine\n', "reviews.tsv")

    assert rows == [{"id": "1", "text": '"hm, said I'}, {"id": "2", "text": "fine"}]
    assert any("quotation marks" in note for note in brought.notes)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "商品名称,价格\n不锈钢保温杯,3\n小学生书包,4\n"),
        ("big5", "商品名稱,價格\n不鏽鋼保溫杯,3\n兒童書包,4\n"),
        ("cp1252", "titel,größe\nKüchenmesser – für Gemüse,20 €\n"),
        ("utf-16-le", "名称,价格\n保温杯,3\n"),
        ("utf-16-be", "名称,价格\n保温杯,3\n"),
    ],
)
def test_a_guessed_encoding_is_told_with_a_sample_and_a_sure_one_is_not(
    tmp_path: Path, encoding: str, text: str
) -> None:
    guessed = seen(tmp_path, text.encode(encoding))
    sure = [seen(tmp_path, text.encode(name)) for name in ("utf-8", "utf-8-sig", "utf-16")]

    assert guessed.encoding == encoding
    assert any(encoding in note and text.split(",")[0] in note for note in guessed.notes)
    assert all(found.rows == guessed.rows and not found.notes for found in sure)


def test_an_encoding_that_is_given_is_taken_and_one_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    text = "id,title\n1,plain\n2,café\n"

    assert written(tmp_path, text.encode("cp850"), encoding="cp850")[1][1]["title"] == "café"
    told = refused(tmp_path, text.encode("cp850"), encoding="utf-8")
    assert "line 3" in told
    assert "what to do: choose the encoding" in told
    assert "klingon" in refused(tmp_path, text, encoding="klingon")


def test_bytes_that_no_sample_shows_are_refused_with_their_line_and_nothing_is_written(tmp_path: Path) -> None:
    lines = [b"%d,some title of a product" % n for n in range(200_000)]
    lines[150_000] = b"150000,\xff"

    with pytest.raises(SourceError, match="line 150,002"):
        written(tmp_path, b"id,title\n" + b"\n".join(lines))

    assert not list((tmp_path / "rows").iterdir())


def test_a_row_that_cannot_be_read_is_counted_named_and_rejected_and_costs_no_other(tmp_path: Path) -> None:
    text = 'id,title\n1\n2,b\n3,c,d\n4,x\0y\n5,"q" r\n6,"never closed\n7,"two\nlines"\n,\n8,h\n'

    brought, rows = written(tmp_path, text)
    tagged = list(records(tmp_path / "rows" / "goods.jsonl", {"title": Column()}))

    assert [row.get("title") or row["unread"].split(":")[0] for row in rows] == [
        *("line 2", "b", "line 4", "line 5", "line 6", "line 7", "two\nlines", "h"),
    ]
    assert [type(record) for record in tagged] == [Rejected, Record, *[Rejected] * 4, Record, Record]
    (note,) = [note for note in brought.notes if note.startswith("rows that cannot be read: 5 (line 2: 2 cells")]
    assert "NUL" in note
    assert "rows left out, as they hold nothing: 1" in brought.notes


def test_a_file_whose_first_row_lacks_a_cell_still_fits_the_task(tmp_path: Path) -> None:
    written(tmp_path, "id,title\n1,\n2,cup\n")

    first, second = records(tmp_path / "rows" / "goods.jsonl", {"title": Column()})

    assert isinstance(first, Rejected)
    assert second == Record("2", {"title": "cup"})


@pytest.mark.parametrize("ids", [["a", "b", "a"], ["a", "", "c"]])
def test_ids_that_do_not_name_each_row_are_replaced_by_numbers_and_kept(tmp_path: Path, ids: list[str]) -> None:
    filler = [f"x{n},t" for n in range(400)]  # so that the first rows look well

    brought, rows = written(tmp_path, "\n".join(["id,title", *filler, *(f"{own},t" for own in ids)]))

    assert [row["id"] for row in rows] == [str(n) for n in range(1, 404)]
    assert rows[400]["id in the file"] == "a"
    assert brought.columns == ("id in the file", "title")
    assert any("number" in note and "line 40" in note for note in brought.notes)


def test_a_column_of_another_name_can_hold_the_ids_and_stays(tmp_path: Path) -> None:
    assert written(tmp_path, "SKU,title\nA-1,cup\nA-2,pot\n")[1][0] == {"id": "A-1", "SKU": "A-1", "title": "cup"}


def test_names_of_columns_are_trimmed_filled_and_unique(tmp_path: Path) -> None:
    found = seen(tmp_path, " title ,,title,unread\na,b,c,d\n")

    assert found.columns == ("title", "column 2", "title 2", "unread 2")
    assert len(found.notes) == 3


def test_a_first_row_that_looks_like_data_is_told(tmp_path: Path) -> None:
    found = seen(tmp_path, "39.9,teapot\n12,cup\n")

    assert found.columns == ("39.9", "teapot")
    assert "looks like data ('39.9')" in found.notes[0]


def test_lines_of_json_are_records_with_numbers_as_they_stand(tmp_path: Path) -> None:
    text = (
        '{"id": 1, "title": "a", "price": 1.50, "none": null}\nbroken\n[1]\n{"id": 2, "tags": ["x", 1], "ok": true}\n'
    )

    brought, rows = written(tmp_path, text, "goods.jsonl")

    assert rows[0] == {"id": "1", "title": "a", "price": "1.50", "none": "", "tags": "", "ok": ""}
    assert [row["id"] for row in rows[1:3]] == ["line 2", "line 3"]
    assert rows[3] == {"id": "2", "tags": '["x", 1]', "ok": "true"}
    assert brought.columns == ("id", "title", "price", "none", "tags", "ok")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_list_in_json_is_read_record_by_record(tmp_path: Path, encoding: str) -> None:
    text = '[\n{"id": 1, "title": "不锈钢保温杯"}, 3,\n{"id": 2, "title": 2.50}]'

    _, rows = written(tmp_path, text.encode(encoding), "goods.json")

    assert rows[0] == {"id": "1", "title": "不锈钢保温杯"}
    assert rows[1]["unread"].startswith("record 2: expected an object")
    assert rows[2] == {"id": "2", "title": "2.50"}


def test_the_values_of_a_column_are_those_of_the_whole_file(tmp_path: Path) -> None:
    lines = [f"p{n},title {n},shelf {n // 30}" for n in range(90)]
    path = put(tmp_path, "\n".join(["id,title,shelf", *lines, "p90,title 90,"]).encode())

    assert values(path, "goods.csv", "shelf") == ["shelf 0", "shelf 1", "shelf 2"]


def test_parquet_is_read_and_what_holds_bytes_is_left_out_with_a_note(tmp_path: Path) -> None:
    table = {
        "id": [1, 2],
        "title": ["杯", None],
        "at": [date(2026, 1, 2)] * 2,
        "size": [3.0, 2.5],
        "jpg": [b"\xff"] * 2,
    }
    pq.write_table(pa.table(table), tmp_path / "made")

    brought, rows = written(tmp_path, (tmp_path / "made").read_bytes(), "goods.parquet")

    assert rows[0] == {"id": "1", "title": "杯", "at": "2026-01-02", "size": "3"}
    assert rows[1] == {"id": "2", "at": "2026-01-02", "size": "2.5"}
    assert any("jpg" in note for note in brought.notes)


def test_of_a_workbook_the_first_sheet_with_rows_is_read(tmp_path: Path) -> None:
    goods: list[list[str | float]] = [["sku", "title", "ean", "when"], ["007", "杯", 6901234567890.0, "d46024"]]
    data = xlsx(tmp_path / "made", Cover=[], Goods=goods, Old=goods)

    brought, rows = written(tmp_path, data, "goods.xlsx")

    assert rows == [{"id": "007", "sku": "007", "title": "杯", "ean": "6901234567890", "when": "2026-01-02"}]
    assert "only the sheet 'Goods' is read; not read: 'Cover', 'Old'" in brought.notes


def test_another_sheet_is_read_if_it_is_wanted_and_a_title_above_the_names_of_columns_is_none(tmp_path: Path) -> None:
    goods: list[list[str | float]] = [["sku", "title"], ["007", "杯"]]
    old: list[list[str | float]] = [["Catalogue 2026"], ["sku", "title"], ["008", "壶"]]
    path = tmp_path / "goods.xlsx"
    xlsx(path, Goods=goods, Old=old)

    found = look(path, "goods.xlsx", sheet="Old")

    assert (found.sheet, found.sheets) == ("Old", ("Old", "Goods"))
    assert (found.columns, found.rows[0]) == (("sku", "title"), {"sku": "008", "title": "壶"})
    assert "the names of columns are taken from row 2" in found.notes


def test_a_workbook_that_no_memory_holds_is_refused_and_ends_nothing_else(tmp_path: Path) -> None:
    data = xlsx(tmp_path / "made", Goods=[["sku", "title"], ["007", "杯"], ["far"]])

    assert "cells far beyond the others" in refused(tmp_path, data, "goods.xlsx")


def test_an_old_workbook_is_read(tmp_path: Path) -> None:
    assert written(tmp_path, decompress(b85decode(XLS)), "goods.xls")[1] == [
        {"id": "007", "name": "3"},
        {"id": "b", "name": "杯"},
    ]


def test_a_sheet_of_open_office_is_read(tmp_path: Path) -> None:
    kind = "application/vnd.oasis.opendocument"
    space = "urn:oasis:names:tc:opendocument:xmlns"
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows = "".join(
        f"<table:table-row>{''.join(map(cell.format, row))}</table:table-row>"
        for row in (["sku", "title"], ["007", "杯"])
    )
    with ZipFile(tmp_path / "made", "w") as book:
        book.writestr("mimetype", f"{kind}.spreadsheet")
        book.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{space}:manifest:1.0"/>')
        book.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{space}:office:1.0" xmlns:table="{space}:table:1.0" '
            f'xmlns:text="{space}:text:1.0"><office:body><office:spreadsheet><table:table table:name="S">{rows}'
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )

    assert written(tmp_path, (tmp_path / "made").read_bytes(), "goods.ods")[1] == [
        {"id": "007", "sku": "007", "title": "杯"},
    ]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("goods.csv", b"", "the file is empty"),
        ("goods.csv", b"\xef\xbb\xbf \r\n", "the file is empty"),
        ("goods.csv", b"id,title\n", "no rows below them"),
        ("goods.csv", b",,\n1,2,3\n", "there are no names of columns"),
        ("goods.csv", b"id,title\n1;a\n2;b\n", "first line has 2 cells"),
        ("goods.csv", b"Report\nid,title\n1,a\n2,b\n", "delete what stands above"),
        ("goods.json", b'{\n  "a": 1\n}', "no row can be read"),
        ("goods.json", b'[{"a": 1}, {"b"', "after record 1"),
        ("goods.xlsx", b"PK\x03\x04 and no more", "the workbook is broken"),
        ("goods.parquet", b"PAR1 and no more", "no Parquet file"),
        ("goods.xls", b"<html><table><tr><td>1", "a web page"),
        ("goods.csv", b"%PDF-1.7", "a PDF"),
        ("goods.csv", b"\x89PNG\r\n", "a picture"),
        ("goods.bin", bytes(64) + b"\xff\xfe\xfd" * 40, "no text"),
    ],
)
def test_what_holds_no_table_is_refused_in_plain_words(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    assert told in refused(tmp_path, data, name)


def test_a_zip_that_is_no_workbook_and_a_workbook_with_a_password_are_refused(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "made", "w") as packed:
        packed.writestr("goods.csv", "id,title\n1,a\n")
    old, new = "Workbook".encode("utf-16-le"), "EncryptedPackage".encode("utf-16-le")
    book = decompress(b85decode(XLS))
    locked = book.replace(old.ljust(64, b"\0"), new.ljust(64, b"\0"))  # how Excel names what it has encrypted

    assert "ZIP file, but no Excel" in refused(tmp_path, (tmp_path / "made").read_bytes(), "goods.xlsx")
    assert locked != book
    assert "take the password off" in refused(tmp_path, locked, "goods.xlsx")


def test_the_columns_of_text_labels_and_ids_are_found(tmp_path: Path) -> None:
    head = "url,商品编号,shop,title,description,类别,n"
    rows = [
        f"https://x.example/{n},B{n},Acme shop {n % 3},Cup no {n},{'words ' * 40},{['家居', '箱包'][n % 2]},1"
        for n in range(40)
    ]
    plain = [f"{'a long text about it' * 3} {n},{['yes', 'no'][n % 2]},{n}" for n in range(40)]

    named = seen(tmp_path, "\n".join([head, *rows]))
    unnamed = seen(tmp_path, "\n".join(["a,b,c", *plain]))
    neither = seen(tmp_path, "a,b\n1,2\n3,4\n")

    assert (named.text_column, named.label_column, named.id_column) == ("title", "类别", "商品编号")
    assert (unnamed.text_column, unnamed.label_column, unnamed.id_column) == ("a", "b", None)
    assert (neither.text_column, neither.label_column, neither.id_column) == (None, None, None)
    assert len(named.rows) == 20


def test_no_more_rows_are_taken_than_asked_for_and_progress_is_told(tmp_path: Path) -> None:
    heard: list[int] = []

    brought, rows = written(tmp_path, "title\n" + "cup\n" * 3000, most=2500, progress=heard.append)

    assert (brought.rows, len(rows), heard) == (2500, 2500, [1000, 2000, 2500])
    assert any("only the first 2,500 rows" in note for note in brought.notes)


def test_a_long_file_is_never_held_whole(tmp_path: Path) -> None:
    line = ",".join(["words about a cup"] * 20)
    text = "\n".join(["id," + ",".join("abcdefghijklmnopqrst"), *(f"{n},{line}" for n in range(40_000))])
    path = put(tmp_path, text)

    tracemalloc.start()
    bring(path, "long.csv", tmp_path / "out.jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(text) > 14_000_000
    assert peak < 8_000_000
