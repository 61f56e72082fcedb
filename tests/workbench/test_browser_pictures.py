"""Rows with pictures in a real browser: brought, tried, looked at, reviewed and taken along."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from tests.workbench.conftest import CHROMIUM, Bench

pytest.importorskip("playwright", reason="the browser's driver is missing: pip install playwright")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.workbench.steps import picture, tried

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

TASK = """
about = "Drinks, by title and photo"
[columns.title]
[columns.photo]
kind = "image"
[fields.category]
kind = "label"
labels = ["Tea", "Coffee"]
"""
SERIOUS = ("serious", "critical")


def drawn(colour: str, size: tuple[int, int] = (640, 480)) -> bytes:
    """A cup of that colour, as a shop would show it."""
    file, image = BytesIO(), Image.new("RGB", size, "white")
    pen, (width, height) = ImageDraw.Draw(image), size
    pen.ellipse((width * 0.55, height * 0.3, width * 0.9, height * 0.7), outline=colour, width=width // 30)
    pen.rounded_rectangle((width * 0.15, height * 0.2, width * 0.7, height * 0.85), width // 12, fill=colour)
    image.save(file, "PNG")
    return file.getvalue()


def goods(path: Path) -> Path:
    """A Parquet file of three products; what the third has for a picture is a page."""
    rows = [
        {"sku": "p1", "title": "Mountain leaf, 100 g, picked by hand in spring", "image": drawn("#2e7d32")},
        {"sku": "p2", "title": "Mountain roast, 250 g", "image": drawn("#5d4037", (300, 700))},
        {"sku": "p3", "title": "Mountain leaf without a photo", "image": b"<html><script>alert(1)</script></html>"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def opened(served: Bench, page: Page, file: Path) -> None:
    """The task made, and the file brought to it."""
    (served.folder / "drinks").mkdir()
    (served.folder / "drinks" / "task.toml").write_text(TASK, "utf-8")
    page.goto(f"{served.url}/task/drinks/try")
    page.get_by_role("button", name="Bring a file").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_label("Which is photo?")).to_have_value("image")
    page.wait_for_timeout(500)
    picture(page, "pictures.bring")
    page.get_by_role("button", name="Take it").click()
    expect(page.get_by_text("pictures that stand in the file: 2")).to_be_visible()


def width(image: Locator) -> int:
    """How wide a picture is, once it is there: 0 for one that is none."""
    expect(image).to_be_visible()
    return int(image.evaluate("image => image.decode().then(() => image.naturalWidth)"))


def barriers(page: Page) -> list[tuple[str, str]]:
    found = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in SERIOUS]


def test_pictures_are_seen_wherever_their_rows_are(page: Page, bench: Callable[..., Bench], tmp_path: Path) -> None:
    served = bench()
    opened(served, page, goods(tmp_path / "goods.parquet"))
    tried(page, 3)
    page.locator(".ag-row").nth(0).click()
    assert width(page.get_by_role("img", name="photo of p1")) == 480
    page.locator(".ag-row").nth(2).click()
    expect(page.get_by_text("cannot be shown: not a picture of a kind that is read")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("photo of"))).to_have_count(0)

    page.goto(f"{served.url}/task/drinks/review")
    expect(page.get_by_role("status")).to_have_text("2 left")
    assert width(page.get_by_role("img", name=re.compile("photo of p[12]"))) > 200
    for left in (1, 0):
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text(f"{left} left")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_text("Reviewed rows as JSONL (for eval and finetune)").click()
    lines = [json.loads(line) for line in download.value.path().read_text("utf-8").splitlines()]
    assert {line["record"]["photo"][:22] for line in lines} == {"data:image/png;base64,"}

    page.goto(f"{served.url}/task/drinks/write")
    assert width(page.get_by_role("img", name="picture 1 of the record")) == 480
    expect(page.get_by_text("photo: (picture 1)")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_with_pictures_has_a_serious_barrier(
    chromium: Browser, bench: Callable[..., Bench], tmp_path: Path, scheme: str
) -> None:
    served = bench()
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    opened(served, page, goods(tmp_path / "goods.parquet"))
    tried(page, 3)
    for tab in ("write", "try", "review"):
        page.goto(f"{served.url}/task/drinks/{tab}")
        page.wait_for_timeout(1200)
        for row in (2, 0) if tab == "try" else ():
            page.locator(".ag-row").nth(row).click()
            page.wait_for_timeout(800)
            picture(page, f"pictures.{tab}.{row}.{scheme}")
        expect(page.get_by_role("img", name=re.compile("photo of|of the record"))).to_be_visible()
        picture(page, f"pictures.{tab}.{scheme}")
        assert barriers(page) == [], tab
    context.close()


def test_a_model_that_sees_no_pictures_is_said_before_anybody_runs_it(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    served = bench(blind=True)
    opened(served, page, goods(tmp_path / "goods.parquet"))
    told = page.get_by_role("alert").filter(has_text="the model scripted cannot look at them")
    expect(told).to_be_visible()
    picture(page, "pictures.blind")
    page.goto(f"{served.url}/task/drinks/write")
    expect(told).to_be_visible()
