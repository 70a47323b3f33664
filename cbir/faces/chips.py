"""Chips: pictures of one face each, turned upright and brought to one size, as a network takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.errors import EngineError, WeightsError, reason_of
from cbir.faces.packages import LANDMARKS, missing
from cbir.faces.resnet import SIDE
from cbir.utils.vectors import Floats

Pixels = npt.NDArray[np.uint8]

#: What is around a face on its chip, as a share of it.
PADDING = 0.25

# The square in which dlib looks for its points, in heights of MTCNN's box: half of its side, and how far down its
# middle is.
_HALF, _DOWN = 0.4, 0.56


class DlibChips:
    """Chips as dlib makes them, by five points that it finds: the corners of both eyes, and under the nose."""

    side = SIDE

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise missing("dlib") from error
        except OSError as error:
            raise EngineError(f"dlib cannot be loaded here: {reason_of(error)}.") from error
        self._dlib: Any = dlib
        LANDMARKS.read()  # dlib reads whatever is there
        try:
            self._points = dlib.shape_predictor(str(LANDMARKS.path))
        except RuntimeError as error:
            raise WeightsError(f"dlib cannot read {LANDMARKS.path}: {reason_of(error)}.") from error

    def cut(self, pixels: Pixels, corners: Floats, points: Floats) -> Pixels:
        """Cut out faces, given by their boxes' corners, (n, 4): shape (n, SIDE, SIDE, 3)."""
        pixels = np.ascontiguousarray(pixels)
        found = np.empty((len(corners), SIDE, SIDE, 3), np.uint8)
        for number, (left, top, right, bottom) in enumerate(corners.tolist()):
            height = bottom - top
            x, y = (left + right) / 2, top + _DOWN * height
            half = _HALF * height
            square = self._dlib.rectangle(*(round(one) for one in (x - half, y - half, x + half, y + half)))
            shape = self._points(pixels, square)
            found[number] = self._dlib.get_face_chip(pixels, shape, size=SIDE, padding=PADDING)
        return found
