"""A canvas: a picture by its spectrum."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cbir.imagine.canvas import Canvas, roughness, to_array, to_pixels  # noqa: E402


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 50), (48, 31)])
def test_a_canvas_shows_a_picture_as_it_is(height: int, width: int) -> None:
    shown = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    canvas = Canvas(height, width, chance())
    canvas.show(to_pixels(shown))
    differs = np.abs(to_array(canvas()).astype(int) - shown.astype(int))
    assert differs.max() <= 3


def test_an_empty_canvas_is_nearly_grey_and_that_of_a_seed_always_the_same() -> None:
    one, again, other = (to_array(Canvas(64, 96, chance(seed))()) for seed in (1, 1, 2))
    assert one.shape == (64, 96, 3)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.abs(one.astype(int) - 127).mean() < 16


def test_what_is_smooth_has_no_roughness() -> None:
    flat = torch.full((1, 3, 8, 8), 0.3)
    board = (torch.arange(8).view(-1, 1) + torch.arange(8)) % 2
    assert roughness(flat) == 0
    assert roughness(board.float().expand(1, 3, 8, 8)) == 2


def test_black_and_white_can_still_change() -> None:
    canvas = Canvas(32, 32, chance())
    canvas.show(to_pixels(np.full((32, 32, 3), 255, np.uint8)))
    canvas().sum().backward()
    assert canvas.spectrum.grad is not None
    at_grey = Canvas(32, 32, chance())
    at_grey.show(to_pixels(np.full((32, 32, 3), 128, np.uint8)))
    at_grey().sum().backward()
    assert at_grey.spectrum.grad is not None
    assert canvas.spectrum.grad.abs().max() > 0.03 * at_grey.spectrum.grad.abs().max()
