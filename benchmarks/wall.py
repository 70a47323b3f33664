"""The page in Chromium: from a click until the pictures on the screen are painted. Needs what the page's tests need."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import clients

if TYPE_CHECKING:
    from benchmarks.serve import Server

SCREEN = {"width": 1280, "height": 850}

# Clicks, waits until each picture of the wall that is on the screen is there and decoded, and for the frame after.
_CLICK = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const seen = () => [...document.querySelectorAll("#wall .card img")].filter(img => {
    const {top, bottom} = img.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  const started = performance.now();
  let found = 0;
  document.querySelector("nav [data-view=wall]").click();
  do {
    await frame();
    if (seen().length) found ||= performance.now() - started;
    if (performance.now() - started > 30000) throw new Error("the wall is not there after half a minute");
  } while (!seen().length || seen().some(img => !img.naturalWidth));
  await Promise.all(seen().map(img => img.decode()));
  await frame();
  await frame();
  return [performance.now() - started, found, seen().length];
}"""


class Wall(NamedTuple):
    """One wall: milliseconds until it was painted, those until the search was answered, and pictures on the screen."""

    painted: float
    found: float
    seen: int


def chromium() -> str | None:
    """Return the system's Chromium; None where it or playwright is missing."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def first_walls(
    start: Callable[[], AbstractContextManager[Server]], forget: Callable[[], object], rounds: int
) -> tuple[list[Wall], list[Wall]]:
    """Return first walls of servers that have searched but have no small pictures yet, and the same walls again.

    `start` starts a server, `forget` empties its cache.
    """
    from playwright.sync_api import sync_playwright

    first: list[Wall] = []
    again: list[Wall] = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for _ in range(rounds):
            forget()
            with start() as server:
                # what it prepares is prepared, and each of its processes has searched with the filter
                index = "/api/v1/indexes/served"
                clients.seconds_each(server.port, [index, f"{index}/words?prefix=a", f"{index}/files?prefix=a"])
                paths = [f"{index}/search?like={server.state}-{row}&folder=there" for row in range(1, 21)]
                clients.seconds_together(server.port, paths, 4)
                for all_ in (first, again):
                    all_.append(_once(browser, server))
        browser.close()
    return first, again


def _once(browser: Any, server: Server) -> Wall:
    query = clients.ask(server.port, f"/api/v1/indexes/served/pictures/{server.state}-0")["sha256"][:16]
    context = browser.new_context(viewport=SCREEN)
    page = context.new_page()
    # from another view, so that no picture of the wall is there before the click
    page.goto(f"http://127.0.0.1:{server.port}/#view=basket&folders=there&like={query}")
    page.wait_for_selector("body[data-view=basket]")
    page.wait_for_timeout(500)
    wall = Wall(*page.evaluate(_CLICK))
    context.close()
    return wall
