"""The view of a whole picture that is reduced where it is large."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cbir.images.reduced import Reduced

VIEW = Reduced(200, 120)


@pytest.mark.parametrize(
    ("image", "size", "expected"),
    [
        ((160, 120), (160, 120), (160, 120)),
        ((400, 300), (400, 300), (200, 150)),
        ((150, 100), (600, 400), (150, 100)),
        ((3000, 2), (3000, 2), (200, 1)),
        ((1, 1), (1, 1), (1, 1)),
    ],
)
def test_it_reduces_to_what_it_says(image: tuple[int, int], size: tuple[int, int], expected: tuple[int, int]) -> None:
    pixels = VIEW.make(Image.new("RGB", image), (0, 0, *image), size)["pixels"]
    assert pixels.shape == (expected[1], expected[0], 3)
    assert VIEW.layouts["pixels"].allows(pixels.dtype.str, pixels.shape)


def test_a_picture_that_fills_a_part_is_cut_out() -> None:
    image = Image.new("RGB", (100, 80))
    image.paste((255, 0, 0), (0, 0, 50, 80))
    pixels = VIEW.make(image, (0, 0, 50, 80), (50, 80))["pixels"]
    assert pixels.shape == (80, 50, 3)
    assert (np.asarray(pixels) == (255, 0, 0)).all()


def test_as_much_is_decoded_as_it_keeps() -> None:
    assert VIEW.at_least((480, 360)) == 90
    assert VIEW.at_least((60, 40)) == 40
    assert VIEW.at_least((10_000, 1)) == 1
    assert VIEW.at_least(None) == 120
