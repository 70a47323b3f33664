"""Finding faces in pictures, each with its box, its score and its vector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.errors import ModelError
from cbir.faces import cascade
from cbir.faces.chips import DlibChips
from cbir.faces.face import Face
from cbir.faces.layers import Start
from cbir.faces.likeness import DEFAULT, Thresholds
from cbir.faces.packages import LANDMARKS, OUTPUT, PROPOSAL, RECOGNITION, REFINEMENT, check_packages
from cbir.faces.resnet import DIMENSION
from cbir.faces.runtime import LAST, PROPOSER, RECOGNISER, REFINER, Runtime
from cbir.images.reduced import Reduced
from cbir.images.views import Size
from cbir.utils.vectors import Floats, l2_normalize
from cbir.utils.workers import Workers, usable_cores

Pixels = npt.NDArray[np.uint8]

#: What makes a face worth keeping: a score at least, and pixels of its height in the picture at least.
LEAST_SCORE, LEAST_HEIGHT = 0.95, 20

#: Faces of a picture at most, the largest ones.
MOST = 256

#: Pixels of a picture's longer side from which chips are cut: at most, and at least where it has as many.
_MOST_SIDE, _LEAST_SIDE = 2048, 1280

# Counts changes of what is found or of vectors, so that those of older versions are not taken for the same.
_VERSION = 1

# Chips that are computed at a time, with their mirror images.
_BATCH = 8


class FaceFinder:
    """Finds faces with MTCNN, and computes vectors of them with dlib's network. Any number of threads may call it.

    `identity` tells apart whatever makes other faces or vectors, and `thresholds` are of distances of its vectors.
    """

    name = "dlib"
    dimension = DIMENSION
    thresholds: Thresholds = DEFAULT

    def __init__(self, networks: cascade.Cascade, chips: DlibChips, recogniser: Start) -> None:
        self._networks, self._chips, self._recogniser = networks, chips, recogniser
        self._workers = Workers(usable_cores(), "faces")
        self.identity = _identity(*(one.sha256 for one in (PROPOSAL, REFINEMENT, OUTPUT, LANDMARKS, RECOGNITION)))

    @property
    def view(self) -> Reduced:
        """The view of an image that it takes."""
        return Reduced(_MOST_SIDE, _LEAST_SIDE)

    def start(self, pixels: Pixels, size: Size) -> Callable[[], list[Face]]:
        """Begin with the pixels of its view of an image of `size`; what is returned waits for the faces."""
        future: Future[list[Face]] = self._workers.submit(self.find, pixels, size)
        return future.result

    def find(self, pixels: Pixels, size: Size) -> list[Face]:
        """Find the faces in the pixels of its view of an image of `size`, the largest first."""
        found = self._networks.find(Image.fromarray(pixels))
        scale = np.array([size[0] / pixels.shape[1], size[1] / pixels.shape[0]] * 2, np.float32)
        boxes = np.rint(found.corners * scale).astype(np.int64)
        sides = boxes[:, 2:] - boxes[:, :2]
        kept = np.flatnonzero((found.scores >= LEAST_SCORE) & (sides[:, 1] >= LEAST_HEIGHT) & (sides[:, 0] > 0))
        kept = kept[np.argsort(-sides[kept].prod(axis=1), kind="stable")][:MOST]
        vectors = self._vectors(pixels, found.corners[kept], found.points[kept])
        faces = []
        for place, vector in zip(kept.tolist(), vectors, strict=True):
            left, top, right, bottom = boxes[place].tolist()
            x, y = max(left, 0), max(top, 0)
            box = (x, y, max(min(right, size[0]) - x, 1), max(min(bottom, size[1]) - y, 1))
            faces.append(Face(box, min(float(found.scores[place]), 1.0), int(sides[place, 1]), vector))
        return faces

    def _vectors(self, pixels: Pixels, corners: Floats, points: Floats) -> Floats:
        """Compute the vectors of faces: the mean of what the network makes of a chip and of its mirror image."""
        found = [np.zeros((0, self.dimension), np.float32)]
        for first in range(0, len(corners), _BATCH):
            some = slice(first, first + _BATCH)
            chips = self._chips.cut(pixels, corners[some], points[some])
            both = np.concatenate([chips, chips[:, :, ::-1]])
            plain, mirrored = np.split(self._recogniser(both)()[0], 2)
            found.append(l2_normalize(plain + mirrored))
        return np.concatenate(found)


def open_finder(*, model: str | None = None, engine: str | None = None, expected: int = 1) -> FaceFinder:
    """Open what finds faces in about `expected` pictures; `engine` is as in `engines.select.open_engine`.

    PackageMissingError where the packages of cbir[faces] are missing; WeightsError, EngineError where it cannot be.
    """
    check_packages()
    if model is not None:
        raise ModelError("Networks of one's own for faces cannot be used yet.")
    runtime = Runtime(engine=engine, expected=expected)
    networks = cascade.Cascade(*(runtime.open(one) for one in (PROPOSER, REFINER, LAST)))
    return FaceFinder(networks, DlibChips(), runtime.open(RECOGNISER))


def _identity(*facts: str) -> str:
    constants = (cascade.SIDE, cascade.SMALLEST, cascade.FACTOR, cascade.THRESHOLDS, LEAST_SCORE, LEAST_HEIGHT)
    return hashlib.sha256(json.dumps([_VERSION, *facts, *constants]).encode()).hexdigest()
