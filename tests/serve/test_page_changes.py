"""The page while its server and its indexes come and go, with names that have hurt somebody, and behind a token."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from cbir.cli import cli
from tests.helpers.chromium import needs_chromium
from tests.report.test_page import HOSTILE
from tests.serve.browser import DESK, PHONE, opened, ranks, serving, settled, until

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="cbir[serve] is not installed")

pytestmark = needs_chromium

SHOWN = "document.querySelectorAll('#wall .card').length > 2"
LOADED = "[...document.querySelectorAll('#wall img')].every(image => image.complete)"

#: Names beside those of the pages' tests: directions of writing, signs of several parts, separators, ends of folders.
MORE_NAMES = [
    "<img src=x onerror=alert(1)>.jpg",
    "<svg onload=alert(1)>.jpg",
    "שלום عالم مرحبا.jpg",
    "\u2067rtl\u2066.jpg",
    "👩‍👩‍👧‍👦🏳️‍🌈.jpg",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙a͚̻̠l̞͎g̤o.jpg",
    "\u00adsoft\u200bzero\ufeff.jpg",
    "-rf.jpg",
    "a..jpg..jpg",
    "`$(id)`.jpg",
    "a\\b\\c.jpg",
    "%2e%2e%2f.jpg",
    "\r\nSet-Cookie: a=b.jpg",
    "=HYPERLINK(0).jpg",
    "𝕬𝖇𝖈﷽﷽﷽.jpg",
    "constructor.jpg",
]


def indexed(root: Path, directory: Path) -> None:
    result = CliRunner().invoke(cli, ["index", str(root), "--index", f"{directory}/", "-q"])
    assert result.exit_code in (0, 1), result.output


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Any]) -> Path:
    """An index of pictures with hostile names, one of them below folders of nearly 4,000 characters."""
    folder = tmp_path_factory.mktemp("hostile")
    root = folder / "photos"
    names = [*HOSTILE, *(name.encode() for name in MORE_NAMES)]
    assert len(names) == 30
    (root / "cats' <i>&amp;\n").mkdir(parents=True)
    for number, name in enumerate(names):
        with open(os.path.join(os.fsencode(root / "cats' <i>&amp;\n"), name), "wb") as file:
            draw_picture(number, (200, 150)).save(file, "JPEG")
    # as long as a path may be, made and filled a folder at a time
    here = os.open(root, os.O_RDONLY)
    for _ in range((4000 - len(os.fsencode(root))) // 251):
        os.mkdir("y" * 250, dir_fd=here)
        below = os.open("y" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with os.fdopen(os.open("long.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        draw_picture(99, (300, 90)).save(file, "JPEG")
    os.close(here)
    indexed(root, folder / "index")
    return folder / "index"


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_hostile_names_are_text_and_break_nothing(browser: Any, hostile: Path, size: dict[str, int]) -> None:
    with serving("--index", f"{hostile}/") as address, opened(browser, address, size=size) as page:
        until(page, SHOWN)
        count = int(page.inner_text("#status").split()[0])
        assert count >= 31
        page.evaluate("document.querySelectorAll('#wall a.frame')[0].focus()")
        for _ in range(count):
            page.keyboard.press(" ")
            page.keyboard.press("ArrowRight")
        assert page.inner_text("#in-basket") == str(count)
        strange = (
            "document.querySelectorAll('[onerror], [onload], [onclick], i, main script, main svg:not(.icon)').length"
        )
        # a name that is too long is cut where its paragraph ends
        beyond = (
            "[...document.querySelectorAll('main :is(p, li, a, img, button), #panel :is(p, dd, dt, a, h2, button)')]"
            ".filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 200))"
        )
        for view in ("basket", "wall"):
            page.click(f"nav [data-view={view}]")
            settled(page)
            assert page.evaluate(strange) == 0
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            assert page.evaluate(beyond) == []
        page.click("#filter-button")
        page.select_option("#f-folders", index=1)
        page.wait_for_selector(".chip.filter")
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        page.click(".chip.filter button")
        page.click("#wall a.frame >> nth=0")
        page.wait_for_selector("#viewer[open]")
        for _ in range(count):
            page.wait_for_selector("#facts dt:text-is('Path')")
            assert page.evaluate(strange) == 0
            assert page.evaluate(beyond) == []
            page.keyboard.press("ArrowRight")
            settled(page)


def test_a_changed_index_is_told_of_and_shown_when_asked_for(
    browser: Any, tmp_path: Path, photo_folder: Callable[..., Path]
) -> None:
    root = photo_folder(8)
    indexed(root, tmp_path / "index")
    with (
        serving("--index", f"{tmp_path / 'index'}/") as address,
        opened(browser, address, allowed="40[49]|410") as page,
    ):
        until(page, SHOWN)
        assert "8 pictures" in page.inner_text("#status")
        photo_folder(3, first_seed=50, subfolders=["new"])
        indexed(root, tmp_path / "index")
        page.wait_for_selector(".notice:has-text('3 new pictures.')")
        assert "8 pictures" in page.inner_text("#status"), "nothing moves under the reader's hands"
        page.click(".notice button:text-is('Show')")
        until(page, "document.querySelector('#status').textContent.startsWith('11 pictures')")
        assert any(name.startswith("new/") for name in ranks(page))
        until(page, LOADED)  # a small picture that is asked for while the index is away cannot be told
        shutil.move(tmp_path / "index", tmp_path / "elsewhere")
        page.wait_for_selector(".notice:has-text('went away')")
        shutil.move(tmp_path / "elsewhere", tmp_path / "index")
        page.wait_for_selector(".notice:has-text('went away')", state="detached")


def test_a_server_that_is_gone_is_tried_again(browser: Any, tmp_path: Path, photo_folder: Callable[..., Path]) -> None:
    indexed(photo_folder(8), tmp_path / "index")
    arguments = ("--index", f"{tmp_path / 'index'}/")
    with serving(*arguments) as address:
        context = browser.new_context(viewport=DESK)
        page = context.new_page()
        page.goto(address)
        until(page, SHOWN)
    page.wait_for_selector(".notice:has-text('does not answer')")
    assert page.locator("#wall .card").count() > 2, "what was there stays there"
    page.locator("#wall a.frame").nth(1).focus()
    page.keyboard.press("m")
    with serving(*arguments, "--port", str(urlsplit(address).port)):
        page.wait_for_selector(".notice:has-text('does not answer')", state="detached")
        until(page, "document.querySelector('#wall-title').textContent === 'Found'")
    context.close()


def test_a_server_with_a_token_asks_for_it(browser: Any, tmp_path: Path, photo_folder: Callable[..., Path]) -> None:
    indexed(photo_folder(4), tmp_path / "index")
    (tmp_path / "token").write_text("a secret of twenty letters\n")
    arguments = ("--index", f"{tmp_path / 'index'}/", "--token-file", str(tmp_path / "token"))
    with serving(*arguments) as address:
        with opened(browser, address, allowed="401|403") as page:
            page.wait_for_selector("#login[open]")
            assert page.locator("#wall .card").count() == 0
            page.fill("#token", "not this")
            page.keyboard.press("Enter")
            page.wait_for_selector("#login-problem:has-text('not the token')")
            page.fill("#token", "a secret of twenty letters")
            page.keyboard.press("Enter")
            until(page, SHOWN)
            page.reload()
            until(page, SHOWN)
        with opened(browser, address, "#token=a%20secret%20of%20twenty%20letters") as page:
            until(page, SHOWN)
            assert "token" not in page.url
