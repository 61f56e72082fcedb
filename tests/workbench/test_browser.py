"""What an analyst does, done in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.workbench.files import read_lines
from eval.workbench.versions import live
from tagger.keys import Key, digest, entry
from tests.workbench.conftest import CHROMIUM, Bench

pytest.importorskip("playwright", reason="the browser's driver is missing: pip install playwright")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.workbench.steps import made, made_of, picture, rewritten, table, tried

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

WIDTHS = {1280: 800, 1920: 1080}
SERIOUS = ("serious", "critical")


def test_from_a_labelled_file_to_a_better_prompt_that_is_live(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    served = bench()
    made(page, served, table(tmp_path / "drinks.csv", labelled=True))
    tried(page, 60)
    picture(page, "try")
    rewritten(page, served)
    picture(page, "versions")
    page.goto(f"{served.url}/task/drinks/compare")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("The second is better than the first")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Gained: only the second is right (30)")).to_be_visible()
    picture(page, "compare")
    page.get_by_role("button", name=re.compile("Make version .* live")).click()
    page.wait_for_url("**/task/drinks/versions")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    folder = served.folder / "drinks"
    assert live(folder) == 1
    assert "tea is leaves" in (folder / "task.toml").read_text("utf-8")
    assert [line["did"] for line in read_lines(served.folder / "audit.jsonl")][-1] == "made a version live"


def test_a_newcomer_corrects_twenty_by_the_keyboard_and_sees_how_right_it_is(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    served = bench()
    made(page, served, table(tmp_path / "drinks.csv", labelled=False))
    tried(page, 60)
    page.goto(f"{served.url}/task/drinks/review")
    for left in range(60, 40, -1):
        expect(page.get_by_role("status")).to_have_text(f"{left} left")
        tea = page.get_by_text(re.compile("Mountain leaf")).count() > 0
        page.keyboard.press("2" if tea else "Enter")  # the tagger says coffee of all; tea is its second guess
    expect(page.get_by_text(re.compile(r"from 20 rows of the random sample"))).to_be_visible()
    picture(page, "review")
    reviews = read_lines(served.folder / "drinks" / "reviews.jsonl")
    assert {("leaf" in row["record"]["product title"], row["answer"]["category"]) for row in reviews} == {
        (True, "Tea"),
        (False, "Coffee"),
    }
    rewritten(page, served)
    page.goto(f"{served.url}/task/drinks/compare")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("The second is better than the first")).to_be_visible(timeout=30_000)


def test_what_is_wrong_is_said_while_one_types_with_its_line(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    served = bench()
    made(page, served, table(tmp_path / "drinks.csv", labelled=True))
    page.goto(f"{served.url}/task/drinks/write")
    page.get_by_role("tab", name="Prompt").click()
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("{{ record.titel }}")
    expect(page.get_by_role("alert")).to_contain_text("unknown variable 'record.titel'")
    expect(page.get_by_role("alert")).to_contain_text("prompt.jinja, line")
    page.get_by_label("What changed").fill("wrong")
    page.get_by_role("button", name="Keep as version").click()
    expect(page.get_by_text(re.compile("unknown variable 'record.titel'")).last).to_be_visible()
    assert live(served.folder / "drinks") == 0


def test_what_is_typed_before_the_page_is_connected_is_kept(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    served = bench()
    made(page, served, table(tmp_path / "drinks.csv", labelled=False))
    held: list[tuple[WebSocketRoute, str | bytes]] = []
    typed = False

    def hold(page_side: WebSocketRoute) -> None:
        server = page_side.connect_to_server()
        server.on_message(lambda said: page_side.send(said) if typed else held.append((page_side, said)))

    page.route_web_socket(re.compile("socket.io"), hold)
    page.goto(f"{served.url}/task/drinks/write")
    page.get_by_label("What the model is told that this is about").fill("Drinks, said at once")
    page.wait_for_timeout(500)  # the server has built all that it builds by itself
    typed = True
    for side, said in held:
        side.send(said)
    expect(page.get_by_text("Draft saved")).to_be_visible()
    expect(page.get_by_label("What the model is told that this is about")).to_have_value("Drinks, said at once")


def test_markup_in_a_product_text_is_shown_as_text(page: Page, bench: Callable[..., Bench], tmp_path: Path) -> None:
    served = bench()
    file = tmp_path / "drinks.csv"
    file.write_text("title\n<img src=x onerror=\"document.title='taken'\"><b>leaf</b> {{ 7*7 }}\nroast\n", "utf-8")
    made_of(page, served, file, "title")
    tried(page, 2)
    page.locator(".ag-row").first.click()
    expect(
        page.get_by_text("<img src=x onerror=\"document.title='taken'\"><b>leaf</b> {{ 7*7 }}").first
    ).to_be_visible()
    page.goto(f"{served.url}/task/drinks/review")
    expect(page.get_by_role("status")).to_have_text("2 left")
    assert "taken" not in page.title()


def test_a_run_goes_on_when_its_page_is_lost(page: Page, bench: Callable[..., Bench], tmp_path: Path) -> None:
    served = bench(slow=0.05)
    made(page, served, table(tmp_path / "drinks.csv", labelled=False))
    page.get_by_label("How many").fill("60")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"\d+ of 60"))
    page.goto(served.url)
    page.goto(f"{served.url}/task/drinks/try")
    expect(page.get_by_role("status")).to_contain_text("60 of 60", timeout=30_000)
    expect(page.locator(".ag-row")).not_to_have_count(0)


def test_two_tabs_do_not_overwrite_each_other(page: Page, bench: Callable[..., Bench], tmp_path: Path) -> None:
    served = bench()
    made(page, served, table(tmp_path / "drinks.csv", labelled=True))
    page.goto(f"{served.url}/task/drinks/write")
    other = page.context.new_page()
    other.goto(f"{served.url}/task/drinks/write")
    box = "What the model is told that this is about"
    page.get_by_label(box).fill("Drinks, said the first")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    other.get_by_label(box).fill("Drinks, said the second")
    expect(other.get_by_text(re.compile("was changed meanwhile"))).to_be_visible()
    draft = next((served.folder / "drinks" / "drafts").glob("*/task.toml"))
    assert "said the first" in draft.read_text("utf-8")


def test_a_version_takes_the_place_of_a_draft_only_if_one_agrees(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    served = bench()
    made(page, served, table(tmp_path / "drinks.csv", labelled=True))
    rewritten(page, served)
    page.get_by_role("button", name="To my draft").click()  # there is none
    page.wait_for_url("**/task/drinks/write")
    page.get_by_label("What the model is told that this is about").fill("An hour of work")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    page.goto(f"{served.url}/task/drinks/versions")
    page.get_by_role("button", name="To my draft").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    draft = next((served.folder / "drinks" / "drafts").glob("*/task.toml"))
    assert "An hour of work" in draft.read_text("utf-8")
    page.get_by_role("button", name="To my draft").click()
    page.get_by_role("button", name="Replace my draft").click()
    page.wait_for_url("**/task/drinks/write")
    assert "tea is leaves" in draft.read_text("utf-8")


def test_what_was_compared_is_shown_as_long_as_it_is_what_is_chosen(
    page: Page, bench: Callable[..., Bench], tmp_path: Path
) -> None:
    served = bench(slow=0.02)
    made(page, served, table(tmp_path / "drinks.csv", labelled=True))
    rewritten(page, served)
    page.goto(f"{served.url}/task/drinks/compare")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".q-select.q-field--disabled")).to_have_count(2)
    button = page.get_by_role("button", name="Make version 1 live")
    expect(button).to_be_visible(timeout=30_000)
    expect(page.locator(".q-select.q-field--disabled")).to_have_count(0)
    page.get_by_label("against this").click()
    page.get_by_role("option", name="live").click()
    expect(button).to_have_count(0)
    expect(page.get_by_text("The second is better than the first")).to_have_count(0)


def test_a_key_opens_what_its_role_allows(page: Page, bench: Callable[..., Bench], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    people = Key(name="ann", hash=digest("tg_ann"), role="promote"), Key(name="bo", hash=digest("tg_bo"))
    keys.write_text("".join(map(entry, people)), "utf-8")
    served = bench(keys=keys)
    page.goto(served.url)
    page.wait_for_url("**/signin")
    page.get_by_label("Your key").fill("tg_ann")
    page.get_by_role("button", name="Sign in").click()
    made(page, served, table(tmp_path / "drinks.csv", labelled=True))
    page.goto(f"{served.url}/signout")
    page.get_by_label("Your key").fill("tg_bo")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="drinks").click()
    expect(page.get_by_text("Your key allows to look, not to change.")).to_be_visible()
    expect(page.get_by_role("button", name="Keep as version")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_has_a_serious_barrier(
    chromium: Browser, bench: Callable[..., Bench], tmp_path: Path, scheme: str, width: int
) -> None:
    served = bench()
    context = chromium.new_context(viewport={"width": width, "height": WIDTHS[width]}, color_scheme=scheme)
    page = context.new_page()
    made(page, served, table(tmp_path / "drinks.csv", labelled=True))
    tried(page, 60)
    for tab in ("write", "try", "review", "compare", "versions"):
        page.goto(f"{served.url}/task/drinks/{tab}")
        page.wait_for_timeout(1200)
        picture(page, f"{tab}.{scheme}.{width}")
        found = Axe().run(page).response["violations"]
        barriers = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in SERIOUS]
        assert barriers == [], f"{tab}: {barriers}"
    context.close()
