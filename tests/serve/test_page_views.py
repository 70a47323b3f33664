"""The page's other views in a real browser: duplicates, the map; pictures that are dropped and pasted; a long wall."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cbir.cli import cli
from cbir.utils.vectors import l2_normalize
from tests.helpers.chromium import needs_chromium
from tests.helpers.feature_index import make_index
from tests.helpers.waiting import GUARD_SECONDS
from tests.serve.browser import PHONE, opened, serving, sound, until, until_found

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="cbir[serve] is not installed")

pytestmark = needs_chromium

SHOWN = "document.querySelectorAll('#wall .card').length > 2"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Any]) -> Iterator[str]:
    """A server of twenty pictures, three of which are there twice."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "photos/again").mkdir(parents=True)
    for number in range(20):
        picture = draw_picture(number, (320, 240))
        picture.save(folder / "photos" / f"{number:02}.jpg", quality=92)
        if number < 3:
            picture.resize((160, 120)).save(folder / "photos/again" / f"{number:02}.jpg", quality=80)
    result = CliRunner().invoke(cli, ["index", str(folder / "photos"), "--index", f"{folder / 'index'}/", "-q"])
    assert result.exit_code == 0, result.output
    with serving("--index", f"{folder / 'index'}/") as one:
        yield one


@pytest.fixture(scope="module")
def tour(tour_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the sample pictures."""
    links = tmp_path_factory.mktemp("links")
    with serving("--index", f"{tour_index}/", "--links", str(links)) as one:
        yield one


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_duplicates_are_marked_by_a_key_and_their_list_saved(browser: Any, address: str, scheme: str) -> None:
    with opened(browser, address, color_scheme=scheme) as page:
        page.click("nav [data-view=duplicates]")
        page.wait_for_selector("#groups .group")
        assert page.locator("#groups .group").count() == 3
        assert "3 pictures not kept" in page.inner_text("#duplicates-status")
        sound(page)
        with page.expect_download() as waiting:
            page.click("#save-paths")
        lines = Path(waiting.value.path()).read_text().splitlines()
        assert len(lines) == 3
        assert all("/again/" in line for line in lines), "the larger ones are kept"
        page.locator("#groups .group >> nth=0").locator("a.frame >> nth=1").focus()
        page.keyboard.press("k")
        assert "2 pictures not kept" in page.inner_text("#duplicates-status")
        page.click("#groups .group >> nth=1 >> .keep >> nth=0")
        with page.expect_download() as waiting:
            page.click("#save-csv")
        rows = Path(waiting.value.path()).read_text().splitlines()
        assert rows[0] == "group,keep,path"
        assert sum(",keep," in row for row in rows[1:]) == 3
        assert len(rows) == 7
        page.set_viewport_size(PHONE)
        sound(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_map_is_walked_zoomed_and_searched_by(browser: Any, address: str, scheme: str) -> None:
    with opened(browser, address, color_scheme=scheme) as page:
        page.click("nav [data-view=map]")
        page.wait_for_selector("#map a")
        assert page.locator("#map a").count() == 23
        places = page.evaluate(
            "[...document.querySelectorAll('#map a')].map(one => [one.offsetWidth, one.style.transform])"
        )
        assert len({place for _, place in places}) == 23, "each has its own place"
        sound(page)
        page.locator("#map a[tabindex='0']").focus()
        before = page.evaluate("document.activeElement.getAttribute('aria-label')")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
        held = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert held != before
        page.keyboard.press("+")
        page.keyboard.press("+")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == held
        assert page.evaluate("document.activeElement.offsetWidth") > 2 * places[0][0]
        page.keyboard.press("Enter")
        until_found(page)
        assert held.endswith(page.inner_text(".chip .name"))


_GIVE = """([base64, kind]) => {
  const bytes = Uint8Array.from(atob(base64), sign => sign.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "own.jpg", {type: "image/jpeg"}));
  const event = kind === "paste" ? new ClipboardEvent(kind, {clipboardData: data, bubbles: true, cancelable: true})
    : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(
    browser: Any, address: str, kind: str, draw_picture: Callable[..., Any], tmp_path: Path
) -> None:
    draw_picture(7, (320, 240)).save(tmp_path / "own.jpg", quality=92)
    with opened(browser, address) as page:
        until(page, SHOWN)
        page.evaluate(_GIVE, [base64.b64encode((tmp_path / "own.jpg").read_bytes()).decode(), kind])
        until_found(page)
        assert page.get_attribute("#wall .card >> nth=0 >> .place", "title") == "07.jpg"


def test_a_file_that_is_no_picture_is_told(browser: Any, address: str, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with opened(browser, address, allowed=r"status of 4\d\d") as page:
        until(page, SHOWN)
        page.set_input_files("#file", tmp_path / "text.jpg")
        page.wait_for_selector(".notice.wrong")
        assert "text.jpg" in page.inner_text(".notice.wrong")
        assert page.get_attribute(".notice.wrong", "role") == "alert"


def test_ten_thousand_pictures_are_never_all_in_the_document(browser: Any, tmp_path: Path) -> None:
    features = l2_normalize(np.random.default_rng(1).standard_normal((10_000, 16)).astype(np.float32))
    make_index(tmp_path / "index", features, tmp_path)
    with (
        serving("--index", f"{tmp_path / 'index'}/") as address,
        opened(browser, address, allowed=r"status of 4\d\d") as page,
    ):
        until(page, SHOWN)
        assert "10,000 pictures" in page.inner_text("#status")
        height = page.evaluate("document.documentElement.scrollHeight")
        most = 0
        for _ in range(40):
            page.evaluate("scrollBy(0, 1000)")
            page.wait_for_timeout(20)
            most = max(most, page.evaluate("document.querySelectorAll('#wall .card').length"))
        assert most < 120
        assert page.get_attribute("#wall .card >> nth=-1", "aria-setsize") == "10000"
        until(page, "Number([...document.querySelectorAll('#wall .card')].at(-1).ariaPosInSet) > 500")
        assert page.evaluate("document.documentElement.scrollHeight") == pytest.approx(height, rel=0.05)


def test_a_segment_is_tapped_and_the_query_is_found_in_a_match(browser: Any, tour: str) -> None:
    with opened(browser, f"{tour}", "#words=balloon") as page:
        until(page, SHOWN)
        page.click("#wall a.frame >> nth=0")
        page.wait_for_selector("#facts dt:text-is('Size')")
        page.click("[data-do=segments]")
        page.wait_for_selector("#over .segment", state="attached", timeout=GUARD_SECONDS * 1000)
        sound(page)
        page.locator("#over .segment").last.focus()
        assert "segment" in page.inner_text("#stage-note")
        page.keyboard.press("Enter")
        until(page, "!document.querySelector('#viewer').open")
        assert page.inner_text(".chip").startswith("segment ")
        until(page, "document.querySelector('#status').textContent.includes('most alike first')")
        page.click("#wall a.frame >> nth=1")
        page.wait_for_selector("#facts dt:text-is('Size')")
        page.keyboard.press("w")
        until(page, "/ound/.test(document.querySelector('#stage-note').textContent)")


def test_the_basket_is_saved_in_each_form(browser: Any, tour: str) -> None:
    with opened(browser, tour) as page:
        until(page, SHOWN)
        for place in range(3):
            page.locator("#wall a.frame").nth(place).focus()
            page.keyboard.press(" ")
        page.click("nav [data-view=basket]")
        sound(page)
        for form in ("paths", "csv", "json", "sheet", "zip"):
            with page.expect_download() as waiting:
                page.click(f"[data-format={form}]")
            content = Path(waiting.value.path()).read_bytes()
            if form == "paths":
                assert len(content.splitlines()) == 3
            elif form == "zip":
                assert content[:2] == b"PK"
            else:
                assert len(content) > 100
        page.click("[data-format=links]")
        page.wait_for_selector(".notice:has-text('3 links made in')")
        page.click("#empty")
        assert page.locator("#basket .card").count() == 0
        page.click(".notice button:text-is('Put all back')")
        assert page.locator("#basket .card").count() == 3
