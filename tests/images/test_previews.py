"""Small pictures: what boxes show, cut out of their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.images.previews import cut_outs
from cbir.images.regions import Box


def draw(path: Path, size: tuple[int, int], boxes: dict[Box, tuple[int, int, int]]) -> Path:
    image = Image.new("RGB", size, (128, 128, 128))
    for (x, y, width, height), colour in boxes.items():
        image.paste(colour, (x, y, x + width, y + height))
    image.save(path, quality=95)
    return path


@pytest.mark.parametrize("size", [(600, 400), (6000, 4000)], ids=["small", "reduced"])
def test_boxes_are_cut_out_with_a_little_around_them(tmp_path: Path, size: tuple[int, int]) -> None:
    unit = size[0] // 600
    red, green = Box(100 * unit, 100 * unit, 50 * unit, 50 * unit), Box(560 * unit, 0, 40 * unit, 30 * unit)
    path = draw(tmp_path / "a.jpg", size, {red: (255, 0, 0), green: (0, 255, 0)})
    ((source, found),) = cut_outs({path: [red, green]}, 35)
    assert source == path
    assert set(found) == {red, green}
    image = found[red].image
    assert image is not None
    assert image.size == (35, 35)
    pixels = np.asarray(image, dtype=int)
    # the box fills the middle, 1 / 1.4 of the sides
    assert np.abs(pixels[8:27, 8:27] - (255, 0, 0)).max() < 12
    assert np.abs(pixels[:3] - 128).max() < 12
    corner = found[green].image
    assert corner is not None
    assert corner.size == (35, 35), "it is moved into the picture"
    assert np.abs(np.asarray(corner, dtype=int)[2:15, -15:-2] - (0, 255, 0)).max() < 12


def test_a_small_box_of_a_large_picture_has_its_own_pixels(tmp_path: Path) -> None:
    box = Box(4000, 3000, 30, 30)
    path = draw(tmp_path / "a.jpg", (6000, 4000), {Box(4000, 3000, 15, 30): (255, 255, 255), box: (0, 0, 0)})
    image = Image.open(path).convert("RGB")
    image.paste((255, 255, 255), (4000, 3000, 4015, 3030))
    image.save(path, quality=95)
    ((_, found),) = cut_outs({path: [box]}, 160)
    cut = found[box].image
    assert cut is not None
    assert cut.size == (42, 42)
    pixels = np.asarray(cut, dtype=int)[21]
    assert pixels[12].min() > 200
    assert pixels[30].max() < 60


def test_what_cannot_be_read_has_no_picture(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    boxes = [Box(0, 0, 5, 5), Box(1, 1, 5, 5)]
    found = dict(cut_outs({tmp_path / "a.jpg": boxes, tmp_path / "b.jpg": boxes[:1]}, 100))
    assert list(found) == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert {one.problem for one in found[tmp_path / "a.jpg"].values()} == {"the file is not there"}
    assert found[tmp_path / "b.jpg"][boxes[0]].image is None


def test_a_box_that_is_not_in_the_picture_harms_nobody(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.jpg", (60, 40), {})
    boxes = [Box(500, 500, 10, 10), Box(0, 0, 1 << 28, 1 << 28), Box(59, 39, 1, 1)]
    ((_, found),) = cut_outs({path: boxes}, 100)
    assert all(one.image is not None and max(one.image.size) <= 100 for one in found.values())
