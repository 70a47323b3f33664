"""The system's Chromium (Debian's package `chromium`, say), headless: nothing is downloaded for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system")


@contextmanager
def launched() -> Iterator[Any]:
    """Start it, and end it after the block."""
    from playwright.sync_api import sync_playwright

    # Chromium's own sandbox does not work for root, as which tests run in many a container
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()
