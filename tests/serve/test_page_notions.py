"""Notions on the page: judgements are kept as one, searched by, asked about, and forgotten."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from cbir.cli import cli
from cbir.index.store import Index
from tests.helpers.chromium import needs_chromium
from tests.serve.browser import DESK, PHONE, TABLET, opened, ranks, serving, settled, sound, until

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="cbir[serve] is not installed")

pytestmark = needs_chromium

MORE = "document.querySelectorAll('.chip.right').length"


@pytest.fixture
def address(tour_index: Path, tmp_path: Path) -> Iterator[str]:
    """A server of an index of its own of the sample pictures: notions are kept in it."""
    shutil.copytree(tour_index, tmp_path / "tour")
    with serving("--index", f"{tmp_path / 'tour'}/") as one:
        yield one


def judge(page: Any, places: dict[int, str]) -> None:
    """Judge pictures of the wall by keys, each when the wall has been ordered by the one before."""
    for place, key in places.items():
        chips = page.locator(".chip:is(.right, .wrong)").count()
        page.locator("#wall a.frame").nth(place).focus()
        page.keyboard.press(key)
        until(page, f"document.querySelectorAll('#chips :is(.right, .wrong)').length === {chips + 1}")
        settled(page)


def keep(page: Any, name: str) -> str:
    """Keep what is judged under a name, by keys, and return what is said of it."""
    page.focus("#keep")
    page.keyboard.press("Enter")
    page.wait_for_selector("#notion[open]")
    assert page.evaluate("document.activeElement.id") == "notion-name"
    page.keyboard.press("Control+A")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#notion", state="hidden")
    page.wait_for_selector(".notice:has-text('is learnt from')")
    return str(page.inner_text(".notice:has-text('is learnt from')"))


def test_judgements_are_kept_as_a_notion_that_searches_go_by_and_that_grows(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, "document.querySelectorAll('#wall .card').length > 9")
        assert page.locator("#likeness").is_hidden(), "there is no notion yet"
        assert page.locator("#keep").is_hidden(), "nothing is judged yet"
        page.keyboard.press("Escape")
        judge(page, {0: "m", 3: "m", 11: "l"})
        assert "my sky is learnt from 3 labels" in keep(page, "my sky")
        until(page, "document.querySelector('#learnt').value === 'my sky'")
        assert "likeness my sky" in str(page.text_content("#chips"))
        assert "learnt=my+sky" in page.url
        settled(page)
        by_notion = ranks(page)[:9]
        page.reload()
        until(page, "document.querySelectorAll('#wall .card').length > 9")
        assert page.input_value("#learnt") == "my sky"
        assert ranks(page)[:9] == by_notion
        page.keyboard.press("Escape")
        judge(page, {8: "m"})
        assert "my sky is learnt from 4 labels" in keep(page, "my sky"), "it grows by what is judged since"
        page.select_option("#learnt", "")
        until(page, "!document.querySelector('#chips').textContent.includes('likeness')")
        assert "learnt" not in page.url
        page.go_back()
        until(page, "document.querySelector('#learnt').value === 'my sky'")
        page.click(".chip:has-text('likeness') button")
        until(page, "document.querySelector('#learnt').value === ''")


def test_the_page_asks_for_labels_that_teach_most(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, "document.querySelectorAll('#wall .card').length > 9")
        page.keyboard.press("Escape")
        judge(page, {0: "m", 2: "m", 10: "l"})
        keep(page, "sky")
        page.click("#clear")
        until(page, "document.querySelector('#chips').textContent === ''")
        page.select_option("#learnt", "sky")
        page.click("#ask")
        until(page, "document.querySelector('#wall-title').textContent === 'Which are alike?'")
        assert page.get_attribute("#ask", "aria-pressed") == "true"
        assert "20 pictures" in page.inner_text("#status")
        asked = page.evaluate("[...document.querySelectorAll('#wall .card .place')].map(one => one.title)")
        page.locator("#wall a.frame").nth(1).focus()
        page.keyboard.press("m")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("l")
        until(page, "document.querySelectorAll('#wall .card:is(.right, .wrong)').length === 2")
        assert ranks(page) == asked, "what is asked about stays where it is"
        sound(page)
        assert page.inner_text("#keep") == "Teach sky"
        page.click("#keep")
        page.wait_for_selector(".notice:has-text('sky is learnt from 5 labels')")
        until(page, "document.querySelectorAll('#chips :is(.right, .wrong)').length === 0")
        until(page, "document.querySelector('#wall .card:not(.right)') !== null")
        settled(page)
        assert not set(ranks(page)) & set(asked[1:3]), "what has a label is not asked about again"
        page.click("#ask")
        until(page, "document.querySelector('#wall-title').textContent === 'All pictures'")


def test_a_notion_is_forgotten_when_that_is_confirmed(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, "document.querySelectorAll('#wall .card').length > 9")
        judge(page, {0: "m", 1: "l"})
        keep(page, "short")
        page.click("#forget")
        page.wait_for_selector(".notice:has-text('Forget short, with all its labels?')")
        assert page.evaluate("document.activeElement.textContent") == "Forget it"
        assert page.input_value("#learnt") == "short", "nothing is done yet"
        page.keyboard.press("Enter")
        page.wait_for_selector(".notice:has-text('short is forgotten')")
        page.wait_for_selector("#likeness", state="hidden")
        assert "learnt" not in page.url


def test_what_cannot_be_kept_is_told_where_it_was_asked_for(browser: Any, address: str) -> None:
    with opened(browser, address, allowed=r"status of 4\d\d") as page:
        until(page, "document.querySelectorAll('#wall .card').length > 9")
        judge(page, {0: "m", 1: "l"})
        page.click("#keep")
        page.fill("#notion-name", "<img src=x>/..")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#notion-problem').textContent.length > 10")
        assert page.locator("#notion").is_visible()
        page.keyboard.press("Escape")
        page.wait_for_selector("#notion", state="hidden")
        assert page.locator("#likeness").is_hidden()
    with opened(browser, address, "#learnt=nobody%27s", allowed=r"status of 4\d\d") as page:
        page.wait_for_selector('.notice.wrong:has-text("nobody\'s")')
        assert page.locator("#wall .card").count() == 0
        page.click(".chip:has-text('likeness') button")
        until(page, "document.querySelectorAll('#wall .card').length > 9")


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (PHONE, "dark"), (TABLET, "dark"), (DESK, "light")])
def test_notions_have_no_violation_on_any_screen(browser: Any, address: str, size: dict[str, int], scheme: str) -> None:
    with opened(browser, address, size=size, color_scheme=scheme) as page:
        until(page, "document.querySelectorAll('#wall .card').length > 5")
        judge(page, {0: "m", 1: "l"})
        page.click("#keep")
        sound(page)
        page.keyboard.press("Escape")
        keep(page, "a rather long name of a notion that has to fit too")
        sound(page)


def test_boxes_that_are_searched_by_are_kept_as_a_notion_of_parts(
    browser: Any, tmp_path: Path, draw_picture: Callable[..., Image.Image]
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(6):
        picture = draw_picture(number, (180, 120))
        picture.paste(draw_picture(70, (60, 60)).rotate(number), (60, 30))
        picture.save(tmp_path / "photos" / f"{number}.png")
    made = CliRunner().invoke(cli, ["index", f"{tmp_path}/photos", "--index", f"{tmp_path}/boxes/", "--parts", "-q"])
    assert made.exit_code == 0, made.output
    contents = [record.sha256 for _, record in Index.open(tmp_path / "boxes").records()]
    with serving("--index", f"{tmp_path / 'boxes'}/") as one:
        with opened(browser, one, f"#like={contents[0]}@60,30,60,60") as page:
            until(page, "document.querySelectorAll('#wall .card').length > 4")
            assert "is learnt from 1 label. It is weak yet: search by more boxes" in keep(page, "things")
            until(page, "location.hash.includes('learnt=things')")
            assert page.locator("#ask").is_hidden(), "boxes are not asked for"
            assert page.locator("#forget").is_visible()
        with opened(browser, one, f"#like={contents[1]}@60,30,60,60") as page:
            until(page, "document.querySelectorAll('#wall .card').length > 4")
            assert "is learnt from 2 labels" in keep(page, "things")
