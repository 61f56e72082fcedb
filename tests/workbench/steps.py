"""What an analyst does at a time, for tests in a real browser."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.workbench.conftest import Bench

SHOTS = os.environ.get("TAGGER_SHOTS")
"""A folder for pictures of the pages, for whoever wants to look at them."""


def table(path: Path, labelled: bool, rows: int = 60) -> Path:
    """A file of products: every second is tea, and only its leaves say so."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["sku", "product title", *(["kind"] if labelled else [])])
        for n in range(rows):
            tea = n % 2 == 0
            title = f"Mountain {'leaf' if tea else 'roast'} no {n}, 100 g"
            out.writerow([f"p{n}", title, *(["Tea" if tea else "Coffee"] if labelled else [])])
    return path


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, if somebody wants to see it."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def made(page: Page, served: Bench, file: Path) -> None:
    """From the first page to a task on the page Try."""
    page.goto(served.url)
    page.get_by_role("button", name="Start with a file").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("product title").first).to_be_visible()
    picture(page, "new")
    page.get_by_label("Name", exact=True).fill("drinks")
    categories = page.get_by_label(re.compile("^Categories"))
    categories.fill("Tea\nCoffee")
    page.get_by_role("button", name="Make the task").click()
    page.wait_for_url("**/task/drinks/try", timeout=20_000)


def tried(page: Page, rows: int) -> None:
    """Run the rows, and see them come to their end."""
    page.get_by_label("How many").fill(str(rows))
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("status")).to_contain_text(f"{rows} of {rows}", timeout=30_000)


def rewritten(page: Page, served: Bench) -> None:
    """Say in the guidelines what tea is, and keep that as a version."""
    page.goto(f"{served.url}/task/drinks/write")
    page.get_by_role("tab", name="Guidelines").click()
    page.get_by_label("What the model is told that this is about").fill("Drinks; tea is leaves")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    expect(page.get_by_text("tea is leaves").last).to_be_visible()
    picture(page, "write")
    page.get_by_label("What changed").fill("say what tea is")
    page.get_by_role("button", name="Keep as version").click()
    page.wait_for_url("**/task/drinks/versions")


def made_of(page: Page, served: Bench, file: Path, column: str) -> None:
    """As `made`, for a file with that column."""
    page.goto(f"{served.url}/new")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text(column).first).to_be_visible()
    page.get_by_label("Name", exact=True).fill("drinks")
    page.get_by_label(re.compile("^Categories")).fill("Tea\nCoffee")
    page.get_by_role("button", name="Make the task").click()
    page.wait_for_url("**/task/drinks/try", timeout=20_000)
