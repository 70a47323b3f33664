"""Ways to use the page that few readers take: several indexes, two fingers, a box by keys, no motion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

from cbir.cli import cli
from tests.helpers.chromium import needs_chromium
from tests.serve.browser import PHONE, opened, ranks, serving, until, until_found

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="cbir[serve] is not installed")

pytestmark = needs_chromium

SHOWN = "document.querySelectorAll('#wall .card').length > 2"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Any]) -> Iterator[str]:
    """A server of two indexes, of five and of seven pictures."""
    folder = tmp_path_factory.mktemp("ways")
    arguments = []
    for name, first, count in (("hills", 0, 5), ("lakes", 50, 7)):
        (folder / name / "photos").mkdir(parents=True)
        for number in range(count):
            draw_picture(first + number, (320, 240)).save(folder / name / "photos" / f"{name}_{number}.jpg", quality=92)
        index = f"{folder / 'indexes' / name}/"
        result = CliRunner().invoke(cli, ["index", str(folder / name / "photos"), "--index", index, "-q"])
        assert result.exit_code == 0, result.output
        arguments += ["--index", index]
    with serving(*arguments) as one:
        yield one


def large(page: Any) -> None:
    """Open the first picture of the wall."""
    until(page, SHOWN)
    page.click("#wall a.frame >> nth=0")
    page.wait_for_selector("#facts dt:text-is('Size')")


def test_one_of_several_indexes_is_chosen_and_linked_to(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        until(page, SHOWN)
        assert page.input_value("#indexes") == "hills"
        assert page.locator("#indexes option").all_text_contents() == ["hills (5)", "lakes (7)"]
        page.locator("#wall a.frame").first.focus()
        page.keyboard.press(" ")
        page.keyboard.press("m")
        until(page, "document.querySelectorAll('.chip').length === 1")
        page.select_option("#indexes", "lakes")
        until(page, "document.querySelector('#status').textContent.startsWith('7 pictures')")
        assert all(name.startswith("lakes_") for name in ranks(page))
        assert page.locator(".chip").count() == 0, "what was asked is of the other index"
        assert page.locator("#in-basket").is_hidden(), "each index has a basket of its own"
        assert page.title().startswith("lakes")
        link = page.url.partition("#")[2]
        page.go_back()
        until(page, "document.querySelectorAll('.chip').length === 1")
        assert page.input_value("#indexes") == "hills"
        assert page.inner_text("#in-basket") == "1"
    with opened(browser, address, f"#{link}") as page:
        until(page, "document.querySelector('#status').textContent.startsWith('7 pictures')")
    with opened(browser, address, "#index=valleys") as page:
        page.wait_for_selector(".notice:has-text('There is no index valleys here: this is hills.')")
        until(page, "document.querySelector('#status').textContent.startsWith('5 pictures')")


def pinch(page: Any, selector: str, start: float, end: float) -> None:
    """Put two fingers on an element, so many pixels from its middle, and move them."""
    box = page.locator(selector).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def send(kind: str, away: float | None) -> None:
        points = [] if away is None else [{"x": x - away, "y": y, "id": 0}, {"x": x + away, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", start)
    for step in range(1, 6):
        send("touchMove", start + (end - start) * step / 5)
    send("touchEnd", None)


@pytest.mark.parametrize("view", ["picture", "map"])
def test_two_fingers_zoom(browser: Any, address: str, view: str) -> None:
    with opened(browser, address, size=PHONE, has_touch=True, is_mobile=True) as page:
        if view == "picture":
            large(page)
            stage, sheet = "#stage", "#sheet"
        else:
            page.click("nav [data-view=map]")
            page.wait_for_selector("#map a")
            stage, sheet = "#map", ".map-sheet"
        width = "document.querySelector(held).offsetWidth"
        whole = page.evaluate(f"held => {width}", sheet)
        pinch(page, stage, 30, 90)
        until(page, f"{width} > 2.5 * {whole}", held=sheet)
        assert page.evaluate(f"held => {width}", sheet) == pytest.approx(3 * whole, rel=0.1)
        pinch(page, stage, 90, 20)
        until(page, f"Math.abs({width} - {whole}) < 2", held=sheet)
        assert page.locator("#viewer").is_visible() == (view == "picture"), "no finger was taken for a tap"
        assert "like=" not in page.url


def test_a_box_is_moved_sized_and_searched_by_with_keys(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        large(page)
        page.keyboard.press("r")
        assert "Draw a box" in page.inner_text("#stage-note")

        def box() -> list[float]:
            found = page.evaluate(
                "['x', 'y', 'width', 'height'].map(one => +document.querySelector('#over rect').getAttribute(one))"
            )
            return [float(one) for one in found]

        assert box() == [80, 60, 160, 120]
        step = 320 / 50
        for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowDown"):
            page.keyboard.press(key)
        assert box() == pytest.approx([80 + step, 60 + 2 * step, 160 - step, 120 + step])
        for _ in range(40):
            page.keyboard.press("ArrowLeft")
        assert box()[0] == 0, "it stays in the picture"
        x, y, width, height = (round(one) for one in box())
        page.keyboard.press("Enter")
        until_found(page)
        assert re.search(r"like=[0-9a-f]{16}@([\d,]+)", unquote(page.url))[1] == f"{x},{y},{width},{height}"  # type: ignore[index]
        assert "a region of" in page.inner_text(".chip")


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_those_who_want_no_motion(browser: Any, address: str, motion: str) -> None:
    with opened(browser, address, reduced_motion=motion) as page:
        until(page, SHOWN)
        page.locator("#wall a.frame").nth(2).focus()
        moves = page.evaluate(
            """async () => {
              const list = document.querySelector("#wall");
              const seen = new Promise(done => new MutationObserver(() => {
                if (list.classList.contains("moving")) done(getComputedStyle(list.firstChild).transitionDuration);
              }).observe(list, {attributeFilter: ["class"]}));
              document.querySelector("#wall .card:nth-child(3) .actions button").click();
              return seen;
            }"""
        )
        assert (moves != "0s") == (motion == "no-preference")
