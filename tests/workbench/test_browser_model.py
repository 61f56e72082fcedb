"""The analyst's loop in a real browser on the default model: codes that mean nothing to it, until it is told."""

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

SHELVES = {
    "K1": """Earl Grey tea, 50 bags|Espresso beans dark roast 1 kg|Camomile loose 100 g|Instant coffee jar 200 g
        Jasmine green tea tin|Decaf ground coffee 250 g|Oolong tea pyramid bags|Coffee capsules lungo x30
        Rooibos vanilla 20 sachets|Colombian filter coffee 500g|White tea silver needle|Turkish mocha ground""",
    "K2": """Dish soap lemon 750 ml|Laundry powder colour 2.5 kg|Glass cleaner spray|Toilet gel pine 1 l
        Floor cleaner lavender|Stain remover bar|Fabric softener refill|Descaler for kettles 250ml
        Oven cleaner foam|Bleach thick 2 l|Dishwasher tablets x60|Microfibre cloths, 5 pcs""",
    "K3": """Dry dog food lamb 12 kg|Cat litter clumping 10 l|Catnip mouse toy|Rabbit hay 1 kg
        Dog leash nylon 2 m|Aquarium fish flakes|Parrot seed mix|Puppy chew bone small
        Cat scratching post 60 cm|Hamster wheel silent|Bird cage swing|Wet cat food salmon 24x85g""",
}
MEANT = "On which shelf a product stands. K1: tea and coffee. K2: cleaning and laundry. K3: food and things for pets."


def products(path: Path) -> Path:
    """A file of products with the code of their shelf."""
    rows = [(title.strip(), code) for code, text in SHELVES.items() for title in re.split(r"\||\n", text)]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["title", "shelf"])
        table.writerows(sorted(rows))
    return path


def test_a_better_prompt_is_found_and_made_live_on_the_default_model(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    page.set_default_timeout(60_000)
    served, begun, took = bench(model=True), perf_counter(), dict[str, float]()
    page.goto(f"{served.url}/new")
    page.locator("input[type=file]").set_input_files(products(tmp_path / "shelf.csv"))
    expect(page.get_by_text("Aquarium fish flakes").first).to_be_visible()
    page.get_by_role("combobox", name="Column with right answers").click()
    page.get_by_role("option", name="shelf").click()
    expect(page.get_by_label(re.compile("^Categories"))).to_have_value(re.compile("K1"))
    page.get_by_label("Name", exact=True).fill("shelf")
    page.get_by_role("button", name="Make the task").click()
    page.wait_for_url("**/task/shelf/try")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("status")).to_contain_text("36 of 36", timeout=300_000)
    took["first tags"] = perf_counter() - begun
    picture(page, "model.try")
    page.goto(f"{served.url}/task/shelf/write")
    expect(page.get_by_text(re.compile("rendered in"))).to_be_visible()  # from then on the page hears what is typed
    page.get_by_label("What the model is told that this is about").fill(MEANT)
    expect(page.get_by_text("Draft saved")).to_be_visible()
    page.get_by_label("What changed").fill("say what the codes mean")
    page.get_by_role("button", name="Keep as version").click()
    page.wait_for_url("**/task/shelf/versions")
    page.goto(f"{served.url}/task/shelf/compare")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("The second is better than the first")).to_be_visible(timeout=300_000)
    told = page.get_by_text(re.compile("% and .* over 36 rows")).inner_text()
    picture(page, "model.compare")
    page.get_by_role("button", name=re.compile("Make version .* live")).click()
    page.wait_for_url("**/task/shelf/versions")
    took["a better prompt is live"] = perf_counter() - begun
    assert live(served.folder / "shelf") == 1
    if SHOTS:
        facts = {"model": "qwen2.5-coder-0.5b-instruct", "rows": 36, "verdict": told, "seconds": took}
        (Path(SHOTS) / "workbench.model.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
