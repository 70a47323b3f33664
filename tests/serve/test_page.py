"""The page of `cbir serve` in a real browser: by mouse, by keyboard, on a phone, by day and by night."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.chromium import needs_chromium
from tests.serve.browser import (
    DESK,
    PHONE,
    TABLET,
    found,
    opened,
    ranks,
    serving,
    settled,
    show_only,
    sound,
    until,
    until_found,
)

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="cbir[serve] is not installed")

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "cbir/serve/page"
MODULES = sorted(PAGE.glob("*.js"))

FIRST = "#wall .card >> nth=0"
SHOWN = "document.querySelectorAll('#wall .card').length > 3"


@pytest.fixture(scope="module")
def address(tour_index: Path) -> Iterator[str]:
    with serving("--index", f"{tour_index}/") as one:
        yield one


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_modules_are_sound_and_of_one_size(module: Path, tmp_path: Path) -> None:
    assert len(module.read_text().splitlines()) < 400
    # node takes a file for a module by its ending
    copy = tmp_path / f"{module.stem}.mjs"
    copy.write_bytes(module.read_bytes())
    done = subprocess.run(["node", "--check", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_has_no_script_or_style_of_its_own_and_names_no_other_place() -> None:
    for file in PAGE.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?:|innerHTML|outerHTML|insertAdjacent|\beval\b|[\"']//", text) == [], file.name
    assert (
        re.findall(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)", (PAGE / "index.html").read_text())
        == []
    )


def test_the_modules_are_small_as_they_are_sent(address: str) -> None:
    sent = 0
    for module in MODULES:
        request = urllib.request.Request(f"{address}page/{module.name}", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
        assert gzip.decompress(content) == module.read_bytes()
        sent += len(content)
    assert sent < 60_000
    assert sum(module.stat().st_size for module in MODULES) < 94_930


@needs_chromium
def test_a_word_is_completed_and_searched_by_keyboard(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, SHOWN)
        assert "144 pictures, newest first" in page.inner_text("#status")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "words"
        page.keyboard.type("ballo")
        page.wait_for_selector("[role=option]")
        page.keyboard.press("ArrowDown")
        chosen = page.get_attribute("#words", "aria-activedescendant")
        assert page.get_attribute(f"#{chosen}", "aria-selected") == "true"
        assert page.inner_text(f"#{chosen} .word") == "balloon", "what finds something comes first"
        page.keyboard.press("Enter")
        until_found(page)
        assert page.locator(".chip").count() == 1
        assert all("balloon" in name for name in ranks(page)[:5])
        page.keyboard.press("/")
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.closest('.card').getAttribute('aria-posinset')") == "1"


@needs_chromium
def test_judgements_reorder_at_once_and_back_and_links_bring_the_same(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        found(page, "balloon")
        before = ranks(page)
        page.keyboard.press("Escape")
        page.locator("#wall a.frame").nth(7).focus()
        page.evaluate("window.held = document.activeElement")
        page.keyboard.press("m")
        until(page, "document.querySelectorAll('.chip.right').length === 1")
        until(page, "document.querySelectorAll('#wall .card.right').length === 1")
        assert page.evaluate("document.activeElement === window.held"), "a picture keeps its element, and the focus"
        settled(page)
        after = ranks(page)
        assert after[:12] != before[:12]
        with opened(browser, address, f"#{page.url.partition('#')[2]}") as other:
            until(other, SHOWN)
            assert ranks(other)[:12] == after[:12]
        page.go_back()
        until(page, "document.querySelectorAll('.chip.right').length === 0")
        settled(page)
        assert ranks(page)[:12] == before[:12]
        page.go_forward()
        until(page, "document.querySelectorAll('.chip.right').length === 1")
        page.click(".chip.right button")
        until(page, "document.querySelectorAll('.chip').length === 1")
        assert page.evaluate("document.activeElement !== document.body"), "the focus is not lost with a chip"


@needs_chromium
def test_a_picture_of_ones_own_is_searched_by(browser: Any, address: str) -> None:
    own = CHECKOUT / "dataset/photos/galaxies/galaxies_03.jpg"
    with opened(browser, address) as page:
        until(page, SHOWN)
        page.set_input_files("#file", own)
        until_found(page)
        assert ranks(page)[0].endswith("galaxies_03.jpg")
        assert page.locator(".chip img").evaluate("one => one.naturalWidth") > 1
        page.reload()
        until_found(page)
        assert ranks(page)[0].endswith("galaxies_03.jpg"), "its feature is in the address"


@needs_chromium
def test_a_picture_is_large_and_a_box_on_it_is_searched_by(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        found(page, "balloon")
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_selector("#viewer[open]")
        page.wait_for_selector("#facts dt:text-is('Size')")
        first = page.inner_text("#viewer-name")
        page.keyboard.press("ArrowRight")
        until(page, "document.querySelector('#viewer-name').innerText !== held", held=first)
        page.keyboard.press("+")
        assert page.inner_text("#zoomed") != "Whole"
        page.keyboard.press("0")
        assert page.inner_text("#zoomed") == "Whole"
        page.keyboard.press("Escape")
        until(page, "!document.querySelector('#viewer').open")
        assert page.evaluate("document.activeElement.closest('.card').getAttribute('aria-posinset')") == "2"
        page.click("#wall a.frame >> nth=0")
        page.click("[data-do=region]")
        box = page.locator("#sheet").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.8, steps=4)
        page.mouse.up()
        until(page, "!document.querySelector('#viewer').open")
        assert "%40" in page.url or "@" in page.url
        assert "a region of" in page.inner_text(".chip")


@needs_chromium
def test_two_tabs_have_one_basket(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, SHOWN)
        other = page.context.new_page()
        other.goto(address)
        until(other, SHOWN)
        page.locator("#wall a.frame").first.focus()
        page.keyboard.press(" ")
        other.wait_for_selector("#in-basket:not([hidden])")
        other.click("nav [data-view=basket]")
        assert other.locator("#basket .card").count() == 1
        other.click("#basket .card button")
        page.wait_for_selector("#in-basket", state="hidden")


@needs_chromium
def test_filters_are_chips_too(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, SHOWN)
        show_only(page, "galaxies", 12)
        assert all(name.startswith("galaxies/") for name in ranks(page))
        page.fill("#f-score", "1")
        page.keyboard.press("Tab")
        page.click(".chip button >> nth=0")
        until(page, "document.querySelectorAll('.chip').length === 1")


@needs_chromium
@pytest.mark.parametrize(
    ("size", "scheme"), [(PHONE, "light"), (PHONE, "dark"), (TABLET, "dark"), (DESK, "light"), (DESK, "dark")]
)
def test_views_have_no_violation_and_need_no_scrolling_to_the_side(
    browser: Any, address: str, size: dict[str, int], scheme: str
) -> None:
    with opened(browser, address, size=size, color_scheme=scheme) as page:
        until(page, SHOWN)
        sound(page)
        found(page, "balloon")
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("m")
        until(page, "document.querySelectorAll('.chip.right').length === 1")
        page.locator("#filter-button").click()
        sound(page)
        page.locator("#filter-button").click()
        page.locator("#wall a.frame").first.click()
        page.wait_for_selector("#facts dt:text-is('Size')")
        sound(page)
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        sound(page)
