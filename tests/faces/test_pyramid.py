"""All sizes of a picture are on one sheet, apart from each other, and windows are found again in the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cbir.faces.pyramid import WINDOW, Pyramid


@pytest.mark.parametrize("size", [(640, 480), (427, 640), (150, 150), (640, 30), (33, 47), (20, 20)])
def test_windows_cover_the_picture_in_each_size(size: tuple[int, int]) -> None:
    pyramid = Pyramid(size, 20, 0.709)
    levels = np.unique(pyramid.levels[pyramid.levels >= 0]).tolist()
    scales = [12 / 20 * 0.709**number for number in range(20)]
    assert levels == list(range(sum(min(size) * scale >= WINDOW for scale in scales)))
    for level in levels:
        windows = pyramid.windows(*np.nonzero(pyramid.levels == level))
        assert windows[:, :2].min(axis=0) == pytest.approx([0, 0], abs=1e-3)
        assert windows[:, 2:].max(axis=0) == pytest.approx(size, rel=1e-5)
        assert (windows[:, 2] - windows[:, 0]).mean() == pytest.approx(WINDOW / scales[level], rel=0.1)


def test_a_picture_too_small_for_a_face_has_no_window() -> None:
    pyramid = Pyramid((19, 300), 20, 0.709)
    assert not (pyramid.levels >= 0).any()
    assert pyramid.sheet(Image.new("RGB", (19, 300))).ndim == 4


def test_copies_do_not_overlap_and_show_the_picture() -> None:
    image = Image.new("RGB", (400, 300), (200, 10, 10))
    pyramid = Pyramid(image.size, 20, 0.709)
    sheet = pyramid.sheet(image)[0]
    rows, columns = np.nonzero(pyramid.levels >= 0)
    for down, across in ((0, 0), (WINDOW - 1, WINDOW - 1)):  # each window holds nothing but its own copy
        assert (sheet[2 * rows + down, 2 * columns + across] == (200, 10, 10)).all()
    painted = (sheet[:, :, 0] > 0).sum()
    areas = sum(round(400 * 0.6 * 0.709**n) * round(300 * 0.6 * 0.709**n) for n in range(9) if 180 * 0.709**n >= 12)
    assert painted == pytest.approx(areas, rel=0.03)  # and none hides another
