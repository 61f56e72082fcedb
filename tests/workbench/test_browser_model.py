"""The analyst's loop in a real browser on the default model, from a file without answers to a better prompt.

The categories are a shop's own codes, which mean little to the model before it has seen examples of them.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pytest

from eval.workbench.versions import live
from tests.workbench.conftest import CHROMIUM, Bench

pytest.importorskip("playwright", reason="the browser's driver is missing: pip install playwright")

from playwright.sync_api import Page, expect

from tests.workbench.steps import SHOTS, picture

pytestmark = [
    pytest.mark.model,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

CODES = "K1: tea and coffee\nK2: cleaning and laundry\nK3: food and things for pets"
SHELVES = {
    "K1": """Earl Grey tea, 50 bags|Espresso beans dark roast 1 kg|Camomile loose 100 g|Instant coffee jar 200 g
        Jasmine green tea tin|Decaf ground coffee 250 g|Oolong tea pyramid bags|Coffee capsules lungo x30
        Rooibos vanilla 20 sachets|Colombian filter coffee 500g|White tea silver needle|Turkish mocha ground
        Peppermint tea organic|Cappuccino powder sticks|Darjeeling first flush 75 g|Malt coffee substitute
        Chai masala tea mix|Coffee pads mild, 36 pcs|Fruit tea wild berry|Arabica beans Ethiopia 1kg""",
    "K2": """Dish soap lemon 750 ml|Laundry powder colour 2.5 kg|Glass cleaner spray|Toilet gel pine 1 l
        Floor cleaner lavender|Stain remover bar|Fabric softener refill|Descaler for kettles 250ml
        Oven cleaner foam|Bleach thick 2 l|Dishwasher tablets x60|Microfibre cloths, 5 pcs
        Bathroom spray limescale|Washing liquid for wool 1 l|Scouring sponges, 10 pcs|Drain cleaner gel
        Carpet shampoo 500 ml|Bin bags 35 l|Rubber gloves size M|Starch spray for ironing""",
    "K3": """Dry dog food lamb 12 kg|Cat litter clumping 10 l|Catnip mouse toy|Rabbit hay 1 kg
        Dog leash nylon 2 m|Aquarium fish flakes|Parrot seed mix|Puppy chew bone small
        Cat scratching post 60 cm|Hamster wheel silent|Bird cage swing|Wet cat food salmon 24x85g
        Dog bed washable grey|Guinea pig pellets 2 kg|Flea collar for cats|Canary cage with perch
        Tennis balls for dogs, 3 pcs|Turtle food sticks|Kitten milk powder|Horse treats apple 1 kg""",
}
CODE = {title.strip(): code for code, text in SHELVES.items() for title in re.split(r"\||\n", text)}
SHOWN = 5
"""Rows of each code that become examples."""


def products(path: Path) -> Path:
    """A file of products in the order of their titles."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["title"])
        table.writerows([title] for title in sorted(CODE))
    return path


def reviewed(page: Page) -> None:
    """Say of every row what is right, and take the first ones of each code as examples."""
    seen = dict.fromkeys(SHELVES, 0)
    for left in range(len(CODE), 0, -1):
        expect(page.get_by_role("status")).to_have_text(f"{left} left")
        (title,) = (title for title in CODE if page.get_by_text(title, exact=True).count())
        page.get_by_role("button", name=re.compile(rf"^\d\s+{CODE[title]}$")).click()
        expect(page.get_by_role("status")).to_have_text(f"{left - 1} left")
        seen[CODE[title]] += 1
        if seen[CODE[title]] <= SHOWN:
            page.get_by_role("combobox", name="Use the last one").click()
            page.get_by_role("option", name="as an example").click()
            expect(page.get_by_text(f"{sum(min(n, SHOWN) for n in seen.values())} to show as examples")).to_be_visible()


def test_a_better_prompt_is_found_and_made_live_on_the_default_model(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    page.set_default_timeout(60_000)
    served, begun, took = bench(model=True), perf_counter(), dict[str, float]()
    page.goto(f"{served.url}/new")
    page.locator("input[type=file]").set_input_files(products(tmp_path / "shelf.csv"))
    expect(page.get_by_text("Aquarium fish flakes").first).to_be_visible()
    page.get_by_label("Name", exact=True).fill("shelf")
    page.get_by_label(re.compile("^Categories")).fill(CODES)
    page.get_by_role("button", name="Make the task").click()
    page.wait_for_url("**/task/shelf/try")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("status")).to_contain_text("60 of 60", timeout=120_000)
    took["first tags"] = perf_counter() - begun
    picture(page, "model.try")
    page.goto(f"{served.url}/task/shelf/review")
    reviewed(page)
    right = page.get_by_text(re.compile("from 60 rows of the random sample")).first.inner_text()
    picture(page, "model.review")
    page.goto(f"{served.url}/task/shelf/write")
    page.get_by_role("tab", name="Examples").click()
    page.get_by_role("button", name="Add what was reviewed as examples").click()
    expect(page.get_by_text("15 examples, shown to the model")).to_be_visible()
    expect(page.get_by_text("Draft saved")).to_be_visible()
    page.get_by_label("What changed").fill("show five of each shelf")
    page.get_by_role("button", name="Keep as version").click()
    page.wait_for_url("**/task/shelf/versions")
    page.goto(f"{served.url}/task/shelf/compare")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("The second is better than the first")).to_be_visible(timeout=120_000)
    told = page.get_by_text(re.compile("% and .* over 45 rows")).inner_text()
    picture(page, "model.compare")
    page.get_by_role("button", name=re.compile("Make version .* live")).click()
    page.wait_for_url("**/task/shelf/versions")
    took["a better prompt is live"] = perf_counter() - begun
    assert live(served.folder / "shelf") == 1
    if SHOTS:
        facts = {"model": "qwen2.5-coder-0.5b-instruct", "rows": 60, "right": right, "verdict": told, "seconds": took}
        (Path(SHOTS) / "workbench.model.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
