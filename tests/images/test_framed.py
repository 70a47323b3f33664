"""The views of pictures that detectors take."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from cbir.images.budget import budgets
from cbir.images.framed import Framed, Scaled
from cbir.images.isolated import Decoders
from cbir.images.pipe import Wanted
from cbir.images.read import read_views

VIEWS = [Framed(320, 256, "corner"), Framed(320, 256, "centre"), Framed(320, 256, "stretch"), Scaled(320, 640)]
SIZES = [(640, 480), (480, 640), (320, 256), (5000, 3), (3, 5000), (1, 1), (33, 31)]


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders(1, budgets()[0])
    yield made
    made.close()


def photo(size: tuple[int, int]) -> bytes:
    """A picture whose red grows to the right and whose green grows down."""
    across, down = (np.linspace(0, 255, side) for side in size)
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = across, down[:, np.newaxis]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_they_have_the_form_that_they_say_wherever_they_are_made(
    view: Framed | Scaled, size: tuple[int, int], decoders: Decoders
) -> None:
    here = read_views(photo(size), [view], name="x")
    elsewhere = decoders.view(photo(size), "x", Wanted((view,)))
    pixels = here.arrays[view.name]["pixels"]
    assert np.array_equal(pixels, elsewhere.arrays[view.name]["pixels"])
    assert here.size == elsewhere.size == size
    assert view.layouts["pixels"].allows(pixels.dtype.str, pixels.shape)
    left, top, width, height = view.placed(size)
    inside = pixels[top : top + height, left : left + width]
    assert inside.shape == (height, width, 3)
    if min(size) > 30:  # the corners of the picture are at those of its place
        assert inside[0, 0].max() < 30
        assert inside[-1, -1].min(where=[True, True, False], initial=255) > 225
    if isinstance(view, Framed):
        outside = np.ones(pixels.shape[:2], dtype=bool)
        outside[top : top + height, left : left + width] = False
        assert (pixels[outside] == 114).all()


def test_shapes_are_kept_but_where_they_are_stretched() -> None:
    assert VIEWS[0].placed((640, 480)) == (0, 0, 320, 240)
    assert VIEWS[1].placed((640, 480)) == (0, 8, 320, 240)
    assert VIEWS[1].placed((480, 640)) == (64, 0, 192, 256)
    assert VIEWS[2].placed((640, 480)) == (0, 0, 320, 256)
    assert VIEWS[3].placed((640, 480)) == (0, 0, 426, 320)
    assert VIEWS[3].placed((4000, 1000)) == (0, 0, 640, 160)


def test_what_was_written_is_read_and_held_against_what_can_be() -> None:
    assert Framed.from_json(VIEWS[1].to_json()) == VIEWS[1]
    for change in ({"width": 0}, {"height": 1 << 20}, {"width": True}, {"width": 320.0}, {"place": "left"}):
        with pytest.raises(ValueError, match="impossible frame"):
            Framed.from_json({**VIEWS[1].to_json(), **change})
