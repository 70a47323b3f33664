"""Take the pictures of the page in docs/images/, of the sample pictures: `python -m scripts.screenshots`."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from tests.helpers.chromium import launched
from tests.serve.browser import DESK, PHONE, opened, serving, until

CHECKOUT = Path(__file__).parents[1]
IMAGES = CHECKOUT / "docs/images"

#: Bytes of each at most, and the quality that is tried first.
MOST_BYTES, QUALITY = 150_000, 88


def main() -> None:
    """Index the sample pictures, and take five pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _served(Path(folder)) as address, launched() as browser:
        with opened(browser, address, size=DESK, color_scheme="light") as page:
            _converse(page)
            _take(page, "serve-wall")
            page.click("#wall a.frame >> nth=3")
            page.wait_for_selector("#facts dt:text-is('Size')")
            # where the sample pictures are is another place on each computer
            page.evaluate(
                "document.querySelector('#facts .path').textContent ="
                " '/home/you/photos/hot_air_balloons/' + document.querySelector('#viewer-name').textContent"
            )
            _take(page, "serve-large")
            page.click("[data-do=alone]")
            until(page, "document.querySelectorAll('.chip').length === 1")
            until(page, "document.querySelectorAll('#wall .card').length > 5")
            page.click("#wall a.frame >> nth=1")
            page.wait_for_selector("#facts dt:text-is('Size')")
            page.click("#why")
            page.wait_for_selector(".pair img")
            _take(page, "serve-why")
        with opened(browser, address, size=DESK, color_scheme="dark") as page:
            page.click("nav [data-view=map]")
            page.wait_for_selector("#map a")
            _take(page, "serve-map")
        with opened(browser, address, size=PHONE, color_scheme="dark", device_scale_factor=2) as page:
            _converse(page)
            _take(page, "serve-phone")


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    index = f"{folder / 'tour'}/"
    command = [sys.executable, "-m", "cbir", "index", str(CHECKOUT / "dataset/photos"), "--index", index, "-q"]
    subprocess.run(command, check=True)
    with serving("--index", index) as address:
        yield address


def _converse(page: Any) -> None:
    """Search by a word, and judge two of the pictures that are found."""
    page.keyboard.press("/")
    page.keyboard.type("balloon")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#wall-title').textContent === 'Found'")
    page.keyboard.press("Escape")
    for place, key in ((1, "m"), (4, "l")):
        page.locator("#wall a.frame").nth(place).focus()
        page.keyboard.press(key)
        page.wait_for_timeout(600)
    page.evaluate("document.activeElement.blur()")
    page.evaluate("scrollTo(0, 0)")


def _take(page: Any, name: str) -> None:
    page.wait_for_timeout(1500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for quality in range(QUALITY, 20, -6):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= MOST_BYTES:
            break
    (IMAGES / f"{name}.jpg").write_bytes(file.getvalue())


if __name__ == "__main__":
    main()
