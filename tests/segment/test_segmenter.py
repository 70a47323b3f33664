"""Segmentation: pictures whose segments are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.segment.hypercolumns import StageMap, _interpolation
from cbir.segment.kmeans import kmeans, squared_distances
from cbir.segment.segmenter import Segmenter, describe_segments


@pytest.fixture(scope="module")
def segmenter(bundled) -> Segmenter:  # type: ignore[no-untyped-def]
    return Segmenter(bundled)


def two_textures(size: tuple[int, int] = (200, 140)) -> tuple[Image.Image, np.ndarray]:
    """Blue waves on the left three fifths, orange checks on the right, and which is which."""
    width, height = size
    down, across = np.mgrid[0:height, 0:width]
    rng = np.random.default_rng(0)
    waves = np.stack([30 + 0 * across, 80 + 20 * np.sin(down / 3), 180 + 30 * np.sin(down / 3)], axis=2)
    checks = ((across // 6 + down // 6) % 2)[..., np.newaxis] * np.array([90, 60, 20]) + np.array([150, 90, 10])
    left = across < width * 3 // 5
    pixels = np.where(left[..., np.newaxis], waves, checks) + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), left


def test_two_textures_are_two_parts(segmenter: Segmenter) -> None:
    image, left = two_textures()
    result = segmenter.segment(image, count=2)
    assert result.labels.shape == (140, 200)
    assert ((result.labels == 0) == left).mean() > 0.95
    large, small = result.segments
    assert large.share == pytest.approx(0.6, abs=0.05)
    assert large.colour[2] > 120 > large.colour[0]
    assert small.colour[0] > 150 > small.colour[2]


def test_a_flat_picture_has_no_border_part(segmenter: Segmenter) -> None:
    for image in (Image.new("RGB", (160, 120), (90, 120, 60)), Image.linear_gradient("L").convert("RGB")):
        result = segmenter.segment(image, count=3)
        edge = np.concatenate([result.labels[:4].ravel(), result.labels[-4:].ravel()])
        inside = result.labels[8:-8, 8:-8]
        for label in np.unique(edge):
            # whatever stands at the edge reaches well into the picture
            assert (inside == label).sum() > 0.02 * inside.size


def test_the_same_picture_gives_the_same_parts(segmenter: Segmenter, draw_picture: Callable) -> None:
    image = draw_picture(3, (150, 100))
    first, second = segmenter.segment(image), segmenter.segment(image)
    assert np.array_equal(first.labels, second.labels)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (33, 31), (700, 500)])
def test_any_size_is_segmented_at_its_own_size(segmenter: Segmenter, draw_picture: Callable, size: tuple) -> None:
    result = segmenter.segment(draw_picture(1, size), count=4)
    assert result.labels.shape == (size[1], size[0])
    assert sum(segment.share for segment in result.segments) == pytest.approx(1)
    assert [segment.label for segment in result.segments] == list(range(len(result.segments)))
    shares = [segment.share for segment in result.segments]
    assert shares == sorted(shares, reverse=True)
    assert result.overlay().size == size
    assert np.array_equal(np.asarray(result.label_map()), result.labels)


def test_parts_are_described_by_hand_computed_numbers() -> None:
    labels = np.array([[0, 0, 1], [0, 2, 1]], dtype=np.uint8)
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[:, 2] = [[10, 0, 0], [20, 0, 1]]
    large, right, small = describe_segments(pixels, labels)
    assert (large.share, large.box, large.colour) == (0.5, (0, 0, 2, 2), (0, 0, 0))
    assert (right.share, right.box, right.hex_colour) == (pytest.approx(1 / 3), (2, 0, 1, 2), "#0f0000")
    assert (small.share, small.box) == (pytest.approx(1 / 6), (1, 1, 1, 1))


def test_the_label_map_is_an_indexed_png(segmenter: Segmenter, tmp_path: Path) -> None:
    image, _ = two_textures()
    result = segmenter.segment(image, count=3)
    result.label_map().save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as saved:
        assert saved.mode == "P"
        assert np.array_equal(np.asarray(saved), result.labels)


def test_the_grid_reads_a_map_at_the_right_places() -> None:
    # a map of stride 4 over 64 + 32 + 64 pixels whose values are the pixel's position
    positions = (np.arange(40) + 0.5) * 4
    stage = StageMap(np.zeros((1, 40, 40), dtype=np.float32), (160, 160), margin=64, zoom=1)
    read = _interpolation(stage, 4, 8, 0) @ positions
    assert np.allclose(read, 64 + (np.arange(8) + 0.5) * 4)


def test_kmeans_finds_separate_clusters_and_no_more_than_there_are() -> None:
    rng = np.random.default_rng(0)
    places = np.array([[0, 0], [10, 0], [0, 10]], dtype=np.float32)
    points = np.concatenate([place + rng.normal(0, 0.2, (50, 2)) for place in places]).astype(np.float32)
    centres = kmeans(points, 3)
    assert squared_distances(places, centres).min(axis=1).max() < 0.1
    assert len(kmeans(np.ones((20, 2), dtype=np.float32), 5)) == 1


@pytest.mark.parametrize("count", [0, 257])
def test_an_impossible_number_of_parts_is_refused(segmenter: Segmenter, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        segmenter.segment(Image.new("RGB", (20, 20)), count=count)
