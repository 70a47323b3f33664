"""What several test files share: an isolated environment, drawn pictures, the collections that lie beside the checkout.

`shared` is the folder `shared/` beside the checkout, or `$CBIR_SHARED`; tests that need something of it are skipped
where it is missing.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cbir.backbones.backbone import Backbone, describe
from cbir.extract.extractor import Extractor

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CBIR_SHARED") or CHECKOUT.parent / "shared")

#: Set for the processes that run tests side by side (pytest-xdist): the session's folder, which they share.
_SESSION = "CBIR_TESTS_SESSION"

DrawPicture = Callable[..., Image.Image]

_SETTINGS = ("CBIR_MODEL", "CBIR_DETECTOR", "CBIR_ENGINE", "CBIR_WEIGHTS_MIRROR", "CBIR_SHARED")
_FOLDERS = {"XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "TORCH_HOME": "torch"}


def pytest_configure(config: pytest.Config) -> None:
    """Give the whole session, and the processes that it starts, an environment without the developer's settings.

    The caches are temporary but one for the session, so that a network is converted only once.
    """
    is_first = _SESSION not in os.environ
    if is_first:
        os.environ[_SESSION] = tempfile.mkdtemp(prefix="cbir-tests-")
        config.add_cleanup(_end_session)
    root = Path(os.environ[_SESSION])
    for variable, folder in _FOLDERS.items():
        (root / folder).mkdir(exist_ok=True)
        os.environ[variable] = str(root / folder)
    os.environ["CBIR_HOME"] = str(root / "indexes")
    if is_first and config.getoption("numprocesses", None):
        return  # the processes that it starts still have to see where the collections are
    for name in _SETTINGS:
        os.environ.pop(name, None)


def _end_session() -> None:
    shutil.rmtree(os.environ.pop(_SESSION), ignore_errors=True)


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home of indexes of its own for every test, and the logger as the library leaves it."""
    monkeypatch.setenv("CBIR_HOME", str(tmp_path / "indexes"))
    logger = logging.getLogger("cbir")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate, logger.handlers[:] = before[1], before[2]


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """A function from a path within the shared folder to where it is; the test is skipped where it is not."""

    def find(relative: str) -> Path:
        path = SHARED / relative
        if not path.exists():
            pytest.skip(f"{path} is not there ($CBIR_SHARED names another folder)")
        return path

    return find


@pytest.fixture(scope="session")
def draw_picture() -> DrawPicture:
    """A function (seed, size=(160, 120)) that draws a photo-like picture in mode RGB, the same for the same seed."""
    return _draw


def _draw(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Gradients in a direction of their own, soft coloured blobs and a little noise."""
    random = np.random.default_rng(seed)
    width, height = size
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    down, across = down / max(height, 1), across / max(width, 1)
    angle = random.uniform(0, 2 * np.pi)
    ramp = ((np.cos(angle) * across + np.sin(angle) * down + 1.5) / 3)[..., np.newaxis]
    pixels = random.uniform(0, 255, 3) * ramp + random.uniform(0, 255, 3) * (1 - ramp)
    for _ in range(random.integers(4, 9)):
        centre, radius = random.uniform(0, 1, 2), random.uniform(0.05, 0.3, 2)
        distance = ((across - centre[0]) / radius[0]) ** 2 + ((down - centre[1]) / radius[1]) ** 2
        cover = (1 / (1 + np.exp(np.clip(random.uniform(3, 20) * (distance - 1), -50, 50))))[..., np.newaxis]
        pixels = cover * random.uniform(0, 255, 3) + (1 - cover) * pixels
    pixels = pixels + random.normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture
def photo_folder(tmp_path: Path) -> Callable[..., Path]:
    """A function that fills a folder below `tmp_path` with n drawn JPEGs, img_000.jpg and so on, and returns it.

    With `subfolders`, the pictures go round them in turn. Picture i has the seed `first_seed` + i.
    """

    def make(
        n: int,
        name: str = "photos",
        *,
        subfolders: Sequence[str] = (),
        first_seed: int = 0,
        size: tuple[int, int] = (160, 120),
    ) -> Path:
        root = tmp_path / name
        root.mkdir(parents=True, exist_ok=True)
        for i in range(n):
            folder = root / subfolders[i % len(subfolders)] if subfolders else root
            folder.mkdir(parents=True, exist_ok=True)
            _draw(first_seed + i, size).save(folder / f"img_{i:03d}.jpg", quality=90)
        return root

    return make


@pytest.fixture(scope="session")
def bundled() -> Backbone:
    """The backbone that comes with cbir."""
    return describe("efficientnet_lite0")


@pytest.fixture(scope="session")
def extractor(bundled: Backbone) -> Extractor:
    """An extractor of the bundled backbone; converting its network costs the first test that uses it a few seconds."""
    return Extractor(bundled)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, started for the tests of one file."""
    from tests.helpers.chromium import launched

    with launched() as one:
        yield one
