"""A server with its page in headless Chromium, as the tests of the page use them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.helpers.waiting import GUARD_SECONDS

PHONE, TABLET, DESK = (
    {"width": 360, "height": 740},
    {"width": 820, "height": 1100},
    {"width": 1280, "height": 850},
)

# Addresses that a page asked for and has not got yet.
_under_way: dict[Any, list[str]] = {}


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """Run `cbir serve` with those arguments, on a free port unless they name one; give its address."""
    port = [] if "--port" in arguments else ["--port", "0"]
    command = [sys.executable, "-m", "cbir", "serve", *port, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if found := re.search(r"http://\S+", line):
                yield found[0]
                break
        else:
            raise AssertionError(said)
    finally:
        process.terminate()
        process.wait(GUARD_SECONDS)
        process.stdout.close()


@contextmanager
def opened(
    browser: Any, address: str, fragment: str = "", size: dict[str, int] = DESK, allowed: str = "", **settings: Any
) -> Iterator[Any]:
    """Open the page in a window of its own, that no request leaves but to `address`.

    It fails where anything else is asked for, or anything goes wrong but what matches `allowed`.
    """
    context = browser.new_context(viewport=size, **settings)
    elsewhere: list[str] = []
    problems: list[str] = []

    def let_through(route: Any) -> None:
        if route.request.url.startswith((address, "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context.route("**/*", let_through)
    page = context.new_page()
    page.set_default_timeout(GUARD_SECONDS * 1000)
    under_way: list[str] = []
    _under_way[page] = under_way
    page.on("request", lambda request: under_way.append(request.url))
    for ended in ("requestfinished", "requestfailed"):
        page.on(ended, lambda request: under_way.remove(request.url) if request.url in under_way else None)
    page.on("console", lambda message: problems.append(f"{message.text} {message.location['url']}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(address + fragment)
    yield page
    left = [one for one in problems if not (allowed and re.search(allowed, one))]
    assert not elsewhere, elsewhere
    assert not left, left
    context.close()
    del _under_way[page]


def until(page: Any, expression: str, held: Any = None, seconds: float = GUARD_SECONDS) -> None:
    """Wait until an expression of JavaScript is true, which may name `held`: the page's own policy forbids `eval`, and
    with it Playwright's way to wait for one.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(f"held => {expression}", held):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(25)


def settled(page: Any) -> None:
    """Wait until nothing that the page asked for has been under way for a quarter of a second of its own time."""
    end = time.monotonic() + GUARD_SECONDS
    quiet = 0
    while quiet < 5:
        assert time.monotonic() < end, _under_way[page]
        # the page's own clock: it stands still while the page has not come to do what was clicked
        page.evaluate("new Promise(done => setTimeout(done, 50))")
        quiet = 0 if _under_way[page] else quiet + 1


def until_found(page: Any) -> None:
    """Wait until the page shows what was found, its own request for names and pictures included."""
    until(page, "document.querySelector('#wall-title').textContent === 'Found'")
    settled(page)


def found(page: Any, typed: str) -> None:
    """Type into the search field, enter, and wait for what was found."""
    page.keyboard.press("/")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    until_found(page)


def sound(page: Any) -> None:
    """Find no violation of accessibility, and nothing that has to be scrolled to the side."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.wait_for_timeout(350)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    violations = axe.Axe().run(page).response["violations"]
    found = [(one["id"], [node["target"] for node in one["nodes"]]) for one in violations]
    assert found == [], found


def ranks(page: Any) -> list[str]:
    """Return the names of the pictures of the wall that are in the document, best first."""
    found: list[str] = page.evaluate("[...document.querySelectorAll('#wall .card .place')].map(one => one.title)")
    return found


def show_only(page: Any, folder: str, count: int) -> None:
    """Choose a folder of so many pictures as a filter, by its name, and wait for the wall."""
    page.click("#filter-button")
    label = page.locator("#f-folders option").filter(has_text=folder).text_content()
    page.select_option("#f-folders", label=label)
    until(page, f"document.querySelector('#status').textContent.startsWith('{count} pictures')")
