"""Objects on the page, in a real browser: the facet, its chips and its link, and the boxes on a large picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cbir.index.store import Index
from tests.helpers.chromium import needs_chromium
from tests.helpers.object_index import Thing
from tests.helpers.objects_added import with_objects
from tests.serve.browser import DESK, PHONE, opened, ranks, serving, show_only, sound, until

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="cbir[serve] is not installed")

NAMES = ("person", "<b>hot\u202eair</b>", "dog", "sky")
HOSTILE = NAMES[1]
SHOWN = "document.querySelectorAll('#wall .card').length > 3"


@pytest.fixture(scope="module")
def address(tour_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    index = Index.open(tour_index)
    of_folder = [index.record(row).path for row in range(index.rows) if "balloon" in index.record(row).path]
    things: dict[str, list[Thing]] = {path: [] for path in of_folder}
    for number, path in enumerate(of_folder[:6]):
        things[path] = [("sky", 0.95 - 0.05 * number, (0, 0, 200, 120)), (HOSTILE, 0.6, (30, 20, 60, 70))]
    things[of_folder[0]].append(("person", 0.5, (40, 90, 12, 20)))
    folder = tmp_path_factory.mktemp("objects") / "seen"
    with_objects(index, folder, things, NAMES)
    with serving("--index", f"{folder}/") as one:
        yield one


def choose(page: Any, kind: str, text: str, chips: int) -> None:
    """Choose an object of the filters, and wait for its chip."""
    label = page.locator(f"#f-{kind} option").filter(has_text=text).first.text_content()
    page.select_option(f"#f-{kind}", label=label)
    until(page, "document.querySelectorAll('.chip').length === held", held=chips)


@needs_chromium
def test_objects_are_a_facet_with_counts_chips_and_a_link(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, SHOWN)
        page.click("#filter-button")
        options = page.locator("#f-objects option").all_text_contents()
        assert [options[0], options[1], options[-1]] == ["any", "<b>hot\ufffdair</b> (6)", "person (1)"]
        choose(page, "objects", "sky", 1)
        until(page, "document.querySelector('#status').textContent === '6 pictures, surest first'")
        first = ranks(page)
        choose(page, "objects", "hot", 2)
        choose(page, "not_objects", "person", 3)
        until(page, "document.querySelector('#status').textContent.startsWith('5 pictures')")
        told = [" ".join(one.split()) for one in page.locator(".chip").all_inner_texts()]
        assert told == ["shows sky", "shows <b>hot\ufffdair</b>", "shows no person"]
        with opened(browser, address, f"#{page.url.partition('#')[2]}") as other:
            until(other, "document.querySelectorAll('.chip').length === 3")
            until(other, "document.querySelector('#status').textContent.startsWith('5 pictures')")
            assert ranks(other) == ranks(page)
        # by keyboard: the last chip is taken away, and the focus stays among the chips
        page.locator("#chips li > button").last.focus()
        page.keyboard.press("Enter")
        until(page, "document.querySelectorAll('.chip').length === 2")
        until(page, "document.querySelector('#status').textContent.startsWith('6 pictures')")
        assert page.evaluate("document.activeElement.closest('.chip') !== null")
        page.go_back()
        until(page, "document.querySelectorAll('.chip').length === 3")
        until(page, "document.querySelector('#status').textContent.startsWith('5 pictures')")
        assert set(ranks(page)) < set(first)


@needs_chromium
@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_objects_are_boxes_with_names_on_the_large_picture(
    browser: Any, address: str, size: dict[str, int], scheme: str
) -> None:
    with opened(browser, address, size=size, color_scheme=scheme) as page:
        until(page, SHOWN)
        page.click("#filter-button")
        choose(page, "objects", "person", 1)
        until(page, "document.querySelectorAll('#wall .card').length === 1")
        sound(page)
        page.click("#wall a.frame")
        page.wait_for_selector("#facts dt:text-is('Objects')")
        # what was looked for is shown at once, all of it by a key
        until(page, "document.querySelectorAll('#over text').length === 1")
        page.keyboard.press("o")
        until(page, "document.querySelectorAll('#over text').length === 3")
        assert page.get_attribute("[data-do=objects]", "aria-pressed") == "true"
        labels = page.locator("#over [role=button]")
        assert [one.get_attribute("aria-label") for one in labels.all()] == [
            "Search by sky, score 0.95",
            "Search by <b>hot\ufffdair</b>, score 0.60",
            "Search by person, score 0.50",
        ], "the small ones lie above the large ones"
        assert page.locator("#over text").all_text_contents() == ["sky", "<b>hot\ufffdair</b>", "person"]
        sound(page)
        letters = "document.querySelector('#over text').getBoundingClientRect().height"
        before = page.evaluate(letters)
        for _ in range(4):
            page.keyboard.press("+")
        assert page.evaluate(letters) == pytest.approx(before, rel=0.1), "names are as large as they were"
        page.keyboard.press("0")
        labels.nth(2).focus()
        assert "person" in page.inner_text("#stage-note")
        page.keyboard.press("Enter")
        until(page, "!document.querySelector('#viewer').open")
        assert "a region of" in page.inner_text(".chip >> nth=0")
        assert "%4040%2C90%2C12%2C20" in page.url


@needs_chromium
def test_a_picture_without_objects_offers_none(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, SHOWN)
        show_only(page, "galaxies", 12)
        page.click("#wall a.frame >> nth=0")
        page.wait_for_selector("#facts dt:text-is('Size')")
        assert page.locator("[data-do=objects]").is_hidden()
        page.keyboard.press("o")
        assert page.locator("#over [role=button]").count() == 0
