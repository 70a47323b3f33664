"""What the tests of faces share: the finder, and pictures of people, which lie beside the checkout only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cbir.faces.face import Face
from cbir.faces.finder import FaceFinder, open_finder
from cbir.faces.packages import has_packages


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    """What finds faces, on OpenVINO in float32."""
    if not has_packages():
        pytest.skip("the packages of cbir[faces] are not installed")
    return open_finder(engine="openvino:f32")


@pytest.fixture(scope="session")
def people(shared: Callable[[str], Path]) -> Path:
    """The folder of people, a folder each."""
    return shared("faces")


def read(path: Path) -> Image.Image:
    """A picture, upright and RGB."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def faces_in(finder: FaceFinder, image: Image.Image) -> list[Face]:
    """The faces in a picture that is read already."""
    pixels = finder.view.make(image, (0, 0, *image.size), image.size)["pixels"]
    return finder.find(np.asarray(pixels), image.size)
