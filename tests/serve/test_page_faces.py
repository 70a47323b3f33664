"""Faces on the page, in a real browser: the links of a large picture, what they find, and the boxes of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.chromium import needs_chromium
from tests.helpers.people import Picture, make_index
from tests.serve.browser import opened, serving, sound, until

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="cbir[serve] is not installed")

PICTURES: dict[str, Picture] = {"boat": ["bob", "anna"], "beach": ["anna"], "wood": ["anna"], "wall": []}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("faces")
    make_index(folder / "people", folder / "photos", PICTURES)
    with serving("--index", f"{folder / 'people'}/") as one:
        yield one


def show(page: Any, name: str) -> None:
    """Open a picture of the wall, large."""
    page.click(f"#wall .card:has-text('{name}.png') a.frame")
    page.wait_for_selector("#facts dt:text-is('Path')")


@needs_chromium
def test_a_face_is_a_link_that_searches_by_it(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, "document.querySelectorAll('#wall .card').length === 4")
        show(page, "boat")
        page.wait_for_selector("#facts dt:text-is('Same person')")
        page.click("#facts dt:text-is('Same person') + dd a:text-is('2')")
        until(page, "!document.querySelector('#viewer').open")
        until(page, "document.querySelectorAll('#wall .card').length === 2")
        chip = page.locator(".chip").first
        until(page, "document.querySelector('.chip').textContent.includes('boat.png')")
        assert "face 2 of boat.png" in " ".join(chip.inner_text().split())
        sound(page)
        # where the face is, is drawn
        show(page, "beach")
        until(page, "document.querySelectorAll('#over rect').length > 0")
        with opened(browser, address, f"#{page.url.partition('#')[2]}") as other:
            until(other, "document.querySelectorAll('#wall .card').length === 2")
            assert "face 2 of" in other.locator(".chip").first.inner_text()


@needs_chromium
def test_a_picture_without_faces_has_no_such_links(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, "document.querySelectorAll('#wall .card').length === 4")
        show(page, "wall")
        page.wait_for_selector("#facts dt:text-is('Changed')")
        assert page.locator("#facts dt:text-is('Same person')").count() == 0
