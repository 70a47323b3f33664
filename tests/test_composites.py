"""Composites: what the benchmark of parts measures with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.composites import box_of, composites, object_of, others
from benchmarks.parts import _place


def photo(seed: int) -> Image.Image:
    """A dark ellipse on a light ground."""
    image = Image.new("RGB", (120, 90), "white")
    ImageDraw.Draw(image).ellipse((30 + seed, 20, 90, 70), fill=(20 * seed, 60, 90))
    return image


def test_an_object_is_cut_out_where_its_border_is_of_one_colour(draw_picture: Callable) -> None:
    mask = object_of(photo(0))
    assert mask is not None
    assert box_of(mask) == pytest.approx((30, 20, 61, 51), abs=2)
    assert mask.mean() == pytest.approx(np.pi * 30 * 25 / (120 * 90), abs=0.02)
    assert object_of(draw_picture(3)) is None


def test_the_true_box_is_where_the_object_was_pasted(tmp_path: Path, draw_picture: Callable) -> None:
    shared = tmp_path / "shared"
    (shared / "bsds500" / "train").mkdir(parents=True)
    (shared / "photos" / "ellipse").mkdir(parents=True)
    Image.new("RGB", (200, 150), "green").save(shared / "bsds500" / "train" / "b.jpg")
    for number in range(3):
        photo(number).save(shared / "photos" / "ellipse" / f"{number}.jpg")
    made = composites(tmp_path / "work", shared, 2)
    assert made == composites(tmp_path / "work", shared, 2)
    for one in made:
        pixels = np.asarray(Image.open(one.path), dtype=int)
        differs = np.abs(pixels - (0, 128, 0)).sum(axis=2) > 60
        assert box_of(differs) == pytest.approx(one.box, abs=4)
        assert 1 / 3 <= max(one.box[2:]) / 150 + 0.01 <= 1 / 2 + 0.02
    assert len(others(shared, made, 5)) == 1


def test_places_are_held_against_the_true_box() -> None:
    exact = _place((10, 10, 20, 20), (10, 10, 20, 20), 1, 0)
    assert (exact.overlap, exact.is_centred) == (1, True)
    beside = _place((20, 10, 20, 20), (10, 10, 20, 20), 1, 0)
    assert beside.overlap == pytest.approx(1 / 3)
    assert not _place((31, 10, 20, 20), (10, 10, 20, 20), 1, 0).is_centred
