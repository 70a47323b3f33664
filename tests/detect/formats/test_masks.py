"""Masks in COCO's format, against pycocotools and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as reference

from cbir.detect.formats.annotations import PackedMask, Size
from cbir.detect.formats.masks import pack, packed_runs, read_mask, runs, segmentation, unpack
from cbir.images.regions import Box

SIZE = Size(70, 50)


def drawn(seed: int, density: float) -> tuple[np.ndarray, Box]:
    """A mask and where it is; density 1 has no hole, others have many."""
    random = np.random.default_rng(seed)
    width, height = random.integers(1, 40, 2).tolist()
    box = Box(int(random.integers(0, SIZE.width - width)), int(random.integers(0, SIZE.height - height)), width, height)
    return random.random((height, width)) < density, box


def pasted(mask: np.ndarray, box: Box) -> np.ndarray:
    """The mask in its picture."""
    whole = np.zeros((SIZE.height, SIZE.width), dtype=np.uint8)
    whole[box.y : box.y + box.height, box.x : box.x + box.width] = mask
    return whole


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_masks_stay_what_they_are(seed: int, density: float) -> None:
    mask, box = drawn(seed, density)
    for made in (segmentation(mask, box, SIZE), runs(mask, box, SIZE), packed_runs(mask, box, SIZE)):
        assert (read_mask(made, box, SIZE) == mask).all()


@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (480, 640)])
def test_packed_masks_are_small_and_the_same(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[: (shape[0] + 1) // 2, shape[1] // 3 :] = True
    packed = PackedMask.of(mask)
    assert packed.opened().dtype == np.bool_
    assert np.array_equal(packed.opened(), mask)
    assert len(packed.bits) < 20 + mask.size / 100


def test_a_mask_may_cover_its_whole_picture() -> None:
    whole, mask = Box(0, 0, *SIZE), np.ones((SIZE.height, SIZE.width), dtype=np.bool_)
    for made in (segmentation(mask, whole, SIZE), runs(mask, whole, SIZE), packed_runs(mask, whole, SIZE)):
        assert (read_mask(made, whole, SIZE) == mask).all()


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_are_those_of_pycocotools(seed: int) -> None:
    mask, box = drawn(seed, 0.5)
    expected = reference.encode(np.asfortranarray(pasted(mask, box)))
    assert packed_runs(mask, box, SIZE) == {**expected, "counts": expected["counts"].decode("ascii")}
    assert (reference.decode(packed_runs(mask, box, SIZE)) == pasted(mask, box)).all()
    assert runs(mask, box, SIZE)["counts"] == unpack(expected["counts"].decode("ascii"))


def test_polygons_are_those_of_a_rectangle() -> None:
    assert segmentation(np.ones((3, 4), dtype=bool), Box(5, 6, 4, 3), SIZE) == [[5, 6, 9, 6, 9, 9, 5, 9]]


@pytest.mark.parametrize("counts", [[0], [5, 1000, 2], [0, 1, 2, 3, 100_000, 1, 1], [7, 7, 7, 7]])
def test_run_lengths_are_packed_and_unpacked(counts: list[int]) -> None:
    assert unpack(pack(counts)) == counts


@pytest.mark.parametrize(
    "made",
    [
        "text",
        [[1, 2, 3]],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [["a"] * 6],
        {},
        {"size": [50, 70]},
        {"size": [70, 50], "counts": [3500]},
        {"size": [50, 70], "counts": [10, 10]},
        {"size": [50, 70], "counts": [-10, 3510]},
        {"size": [50, 70], "counts": [3500, True]},
        {"size": [50, 70], "counts": [1e3, 2500]},
        {"size": [50, 70], "counts": "\x00"},
        {"size": [50, 70], "counts": "o"},
        {"size": [50, 70], "counts": "o" * 1000},
        {"size": [50, 70], "counts": "é"},
    ],
)
def test_damaged_masks_are_refused(made: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_mask(made, Box(0, 0, 5, 5), SIZE)


def test_masks_of_pictures_too_large_are_refused() -> None:
    size = Size(100_000, 100_000)
    with pytest.raises(ValueError, match="more than"):
        read_mask({"size": [100_000, 100_000], "counts": [10**10]}, Box(0, 0, 5, 5), size)
