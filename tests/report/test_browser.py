"""The HTML pages in a real browser, headless Chromium: what they load, show and run, on a phone, at night, by keyboard.

The browser is the system's (Debian's package `chromium`, say): nothing is downloaded for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from click.testing import CliRunner

from cbir.cli import cli
from cbir.cli.render.segment_report import SegmentPage
from cbir.segment.describe import describe_segments
from cbir.segment.segmentation import Segmentation
from cbir.utils.vectors import l2_normalize
from tests.helpers.chromium import needs_chromium
from tests.helpers.feature_index import make_index
from tests.helpers.photo_index import index_photos
from tests.report.test_page import HOSTILE

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = needs_chromium

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 850}
PAGES = ("search", "evaluate", "segment")

#: The contrast of each text with what is behind it, as WCAG 2 counts it, and the text.
CONTRASTS = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [red, green, blue] = numbers(colour).map(one => one / 255)
      .map(one => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!(numbers(colour).length === 4 && numbers(colour)[3] === 0)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const pair = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    found.push([(pair[0] + 0.05) / (pair[1] + 0.05), walker.currentNode.textContent.trim()]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> dict[str, Path]:
    """A page of each kind, of files with hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    root = folder / "a <b>&%41 #folder"
    for number, name in enumerate(HOSTILE):
        place = os.path.join(os.fsencode(root), (b"cats' <i>", b"dogs?")[number % 2])
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, name), "wb") as file:
            draw_picture(number, (200, 150)).save(file, "JPEG")
    made = {name: folder / f"{name}.html" for name in PAGES}
    queries = sorted(map(str, root.rglob("*.jpg")))[:2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(folder / "indexes"))
        index_photos(root)
        for arguments in (["search", *queries, "-k", "20"], ["evaluate", "--index", "photos"]):
            result = CliRunner().invoke(cli, [*arguments, "--html", str(made[arguments[0]]), "-q"])
            assert result.exit_code == 0, result.output
    page = SegmentPage([], "some_network")
    for number, query in enumerate(queries):
        image = draw_picture(number, (200, 150))
        labels = np.zeros((150, 200), dtype=np.uint8)
        labels[20:80, 30:100] = 1
        labels[100:140, 120:180] = 2
        segments = describe_segments(np.asarray(image), labels)
        page.add(Segmentation(image, labels, segments), Path(query), {"segments": [{} for _ in segments]})
    page.write(made["segment"])
    return made


@contextmanager
def opened(
    browser: playwright.Browser, path: Path, size: dict[str, int] = DESKTOP, **settings: str
) -> Iterator[playwright.Page]:
    """A page in a window of its own. It fails where anything is asked for but the page, or anything goes wrong."""
    context = browser.new_context(viewport=size, **settings)
    page = context.new_page()
    requests, problems = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:100]}"))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(path.as_uri())
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    yield page
    assert problems == []
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_and_all_its_pictures_are_there(
    browser: playwright.Browser, pages: dict[str, Path], name: str
) -> None:
    with opened(browser, pages[name]) as page:
        images = page.evaluate("[...document.images].map(one => [one.naturalWidth, one.naturalHeight, one.alt])")
        assert len(images) > 3
        assert all(width > 1 and height > 1 and alt.strip() for width, height, alt in images)
        # what is in a name has become no element
        assert page.evaluate("document.querySelectorAll('script, i:not([style]), b, [onerror], [onclick]').length") == 0
        assert page.evaluate("document.querySelectorAll('h1').length") == 1
        texts = page.evaluate("document.body.innerText")
        assert "<i>/" in texts or "<i>" in texts
        links = page.evaluate("[...document.querySelectorAll('a[href^=file]')].map(one => one.href)")
        assert links
        assert all(os.path.exists(unquote_to_bytes(link.removeprefix("file://"))) for link in links)


def test_names_are_shown_as_they_are_and_open_their_files(browser: playwright.Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["search"]) as page:
        texts = page.evaluate("document.body.innerText")
        for text in ('" onerror="alert(1).jpg', "line\\none\\ttab.jpg", "%28%2e%00.jpg", "{{ 7 * 7 }}{% x %}.jpg"):
            assert text in texts
        links = page.evaluate("[...document.querySelectorAll('main a[href^=file]')].map(one => one.href)")
        for name in HOSTILE[:9]:
            number = next(place for place, link in enumerate(links) if unquote_to_bytes(link).endswith(b"/" + name))
            page.locator("main a[href^=file]").nth(number).click()
            page.wait_for_url(lambda url: url.endswith(".jpg"))
            assert page.evaluate("[document.contentType, document.images[0].naturalWidth]") == ["image/jpeg", 200]
            page.go_back()


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_needs_no_scrolling_to_the_side(browser: playwright.Browser, pages: dict[str, Path], name: str) -> None:
    with opened(browser, pages[name], PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        beyond = page.evaluate(
            "[...document.querySelectorAll('h1, h2, h3, p, img, .name, nav a')]"
            ".filter(one => one.getBoundingClientRect().right > 360.5).map(one => one.outerHTML.slice(0, 100))"
        )
        assert beyond == []
        cards = page.evaluate(
            "[...document.querySelectorAll('.cards .frame')].map(one => one.getBoundingClientRect().width)"
        )
        assert all(width > 120 for width in cards)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_texts_stand_out_by_day_and_by_night(
    browser: playwright.Browser, pages: dict[str, Path], name: str, scheme: str
) -> None:
    with opened(browser, pages[name], color_scheme=scheme) as page:
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (max(paper) < 60) if scheme == "dark" else (min(paper) > 230)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 10
        assert [(contrast, text) for contrast, text in contrasts if contrast < 4.5] == []


def test_tab_goes_through_all_links_in_order_and_shows_where_it_is(
    browser: playwright.Browser, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["search"]) as page:
        expected = page.evaluate("[...document.links].map(one => one.href)")
        assert expected[0].endswith("#main")
        assert expected[1].endswith("#query-1")
        reached = []
        for _ in expected:
            page.keyboard.press("Tab")
            href, outline, left = page.evaluate(
                "(() => { const one = document.activeElement; const style = getComputedStyle(one);"
                " return [one.href, style.outlineStyle + style.outlineWidth, one.getBoundingClientRect().left]; })()"
            )
            reached.append(href)
            assert outline == "solid3px"
            assert left >= 0
        assert reached == expected


def test_a_row_shows_its_part_when_pointed_at_or_tabbed_to_or_followed(
    browser: playwright.Browser, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["segment"]) as page:

        def shown() -> list[str]:
            return page.evaluate(
                "[...document.querySelectorAll('.view path')].map((one, place) =>"
                " getComputedStyle(one).visibility === 'visible' ? place : -1).filter(place => place >= 0)"
            )

        assert shown() == []
        page.hover("#picture-1-segment-1")
        assert shown() == [1]
        page.hover("#picture-2-segment-2")
        assert shown() == [3 + 2]
        page.hover("h1")
        assert shown() == []
        page.focus("#picture-1-segment-2 a")
        assert shown() == [2]
        page.hover("#picture-1-segment-0")
        assert shown() == [0]
        page.hover("h1")
        page.keyboard.press("Enter")
        page.evaluate("document.activeElement.blur()")
        assert page.url.endswith("#picture-1-segment-2")
        assert shown() == [2]


def test_landmarks_and_headings_come_in_order(browser: playwright.Browser, pages: dict[str, Path]) -> None:
    # the order in which a screen reader reads: headings, each with what follows it
    with opened(browser, pages["search"]) as page:
        roles = page.evaluate(
            "[...document.querySelectorAll('header, nav, main, footer, h1, h2, ol.cards')].map(one => one.localName)"
        )
        assert roles == ["header", "h1", "nav", "main", "h2", "ol", "h2", "ol", "footer"]
        labels = page.evaluate(
            "[...document.querySelectorAll('section')].map(one =>"
            " document.getElementById(one.getAttribute('aria-labelledby')).localName)"
        )
        assert labels == ["h2", "h2"]


@pytest.fixture(scope="module")
def map_page(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """A map of 60 pictures, some of them with hostile names."""
    folder = tmp_path_factory.mktemp("map")
    names = [*map(os.fsdecode, HOSTILE), *(f"{number}.jpg" for number in range(60 - len(HOSTILE)))]
    (folder / "photos").mkdir()
    for number, name in enumerate(names):
        with open(folder / "photos" / name, "wb") as file:
            draw_picture(number, (80, 60)).save(file, "JPEG")
    features = l2_normalize(np.random.default_rng(1).standard_normal((60, 16)).astype(np.float32))
    make_index(folder / "index", features, folder / "photos", names.__getitem__)
    result = CliRunner().invoke(cli, ["map", "--index", str(folder / "index"), "--html", str(folder / "map.html")])
    assert result.exit_code == 0, result.output
    return folder / "map.html"


_CELL = "document.querySelector('#map li').getBoundingClientRect().width"


def test_a_map_shows_all_pictures_in_the_window_and_runs_nothing_but_its_own_script(
    browser: playwright.Browser, map_page: Path
) -> None:
    for size in (DESKTOP, PHONE):
        with opened(browser, map_page, size, color_scheme="dark") as page:
            boxes = page.evaluate(
                "[...document.querySelectorAll('#map img')].map(one => { const box = one.getBoundingClientRect();"
                " return [one.naturalWidth, one.alt, box.left, box.top, box.right, box.bottom]; })"
            )
            assert len(boxes) == len({(left, top) for _, _, left, top, _, _ in boxes}) == 60
            assert all(natural == 128 and alt for natural, alt, *_ in boxes)
            assert min(left for _, _, left, *_ in boxes) >= 0
            assert max(right for *_, right, _ in boxes) <= size["width"]
            assert max(bottom for *_, bottom in boxes) <= size["height"]
            assert page.evaluate("document.querySelectorAll('script, i, b, [onerror]').length") == 1
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            contrasts = page.evaluate(CONTRASTS)
            assert [text for contrast, text in contrasts if contrast < 4.5] == []


def test_a_map_is_zoomed_where_the_pointer_is_and_dragged(browser: playwright.Browser, map_page: Path) -> None:
    with opened(browser, map_page) as page:
        before = page.evaluate(_CELL)
        link = page.locator("#map a").nth(33)
        middle = link.bounding_box()
        x, y = middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2
        page.mouse.move(x, y)
        page.mouse.wheel(0, -400)
        page.wait_for_function(f"{_CELL} > {1.5 * before}")
        zoomed = link.bounding_box()
        assert zoomed["x"] < x < zoomed["x"] + zoomed["width"], "what is under the pointer stays there"
        assert zoomed["y"] < y < zoomed["y"] + zoomed["height"]
        page.mouse.down()
        page.mouse.move(x - 60, y - 40, steps=3)
        page.mouse.up()
        dragged = link.bounding_box()
        assert [round(zoomed[axis] - dragged[axis]) for axis in "xy"] == [60, 40]
        assert page.url == map_page.as_uri(), "a drag is no click"
        for _ in range(20):
            page.mouse.wheel(0, 400)
        page.wait_for_function(f"Math.abs({_CELL} - {before}) < 0.01")
        page.check("#large")
        assert page.evaluate(_CELL) == 144
        page.check("#whole")
        assert page.evaluate(_CELL) == pytest.approx(before)


def test_a_map_is_walked_by_arrows_and_a_picture_tells_its_name(browser: playwright.Browser, map_page: Path) -> None:
    with opened(browser, map_page) as page:
        page.focus("#map a")
        steps = [page.evaluate("document.activeElement.parentElement.style.gridArea")]
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
            page.keyboard.press(key)
            steps.append(page.evaluate("document.activeElement.parentElement.style.gridArea"))
        assert [step.replace(" ", "").split("/")[:2] for step in steps] == [
            ["1", "1"],
            ["1", "2"],
            ["2", "2"],
            ["2", "1"],
            ["1", "1"],
        ]
        captions = page.evaluate(
            "[...document.querySelectorAll('.caption')].filter(one => one.checkVisibility()).map(one => one.innerText)"
        )
        assert len(captions) == 1
        assert captions[0] == page.evaluate("document.activeElement.querySelector('img').alt")
        before = page.evaluate(_CELL)
        page.keyboard.press("+")
        assert page.evaluate(_CELL) == pytest.approx(1.4 * before, abs=0.1)
        page.keyboard.press("0")
        assert page.evaluate(_CELL) == pytest.approx(before)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: url.endswith(".jpg"))
        assert page.evaluate("document.images[0].naturalWidth") == 80


def test_a_map_can_be_read_without_its_script(browser: playwright.Browser, map_page: Path) -> None:
    context = browser.new_context(viewport=DESKTOP, java_script_enabled=False)
    page = context.new_page()
    page.goto(map_page.as_uri())
    assert page.locator("#map img").count() == 60
    page.check("#large")
    assert page.locator("#map li").first.bounding_box()["width"] == 144
    assert not page.locator("#hint").is_visible()
    context.close()
