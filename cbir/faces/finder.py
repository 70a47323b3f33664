"""Finding faces in pictures, each with its box, its score and its vector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.errors import ModelError
from cbir.faces import cascade
from cbir.faces.aligned import AlignedChips
from cbir.faces.chips import DlibChips
from cbir.faces.face import Face
from cbir.faces.layers import Start
from cbir.faces.likeness import DEFAULT, Thresholds
from cbir.faces.own_model import open_own
from cbir.faces.own_thresholds import thresholds_of
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

# Pixels of a picture's longer side from which chips are cut: at most, and at least where it has as many. Of large JPEGs
# the network of an index needs no more than that either, so that they are decoded once.
_MOST_SIDE, _LEAST_SIDE = 2048, 1000

# Counts changes of what is found or of vectors, so that those of older versions are not taken for the same.
_VERSION = 1

# Chips that are computed at a time, with their mirror images.
_BATCH = 8


class Chips(Protocol):
    """A way to cut out faces for a network."""

    def cut(self, pixels: Pixels, corners: Floats, points: Floats) -> Pixels:
        """Cut out faces, given by their boxes' corners and by five points each: shape (n, side, side, 3)."""


@dataclass(frozen=True)
class Recogniser:
    """A network that makes vectors of faces, and the chips that it takes.

    `name` is for people, `identity` tells it apart; of somebody's own network `thresholds` may be unknown.
    """

    name: str
    identity: str
    dimension: int
    chips: Chips
    start: Start
    thresholds: Thresholds | None


class FaceFinder:
    """Finds faces with MTCNN, and computes vectors of them with a network. Any number of threads may call it.

    `identity` tells apart whatever makes other faces or vectors, and `dimension` is the length of vectors.
    """

    def __init__(self, networks: cascade.Cascade, recogniser: Recogniser) -> None:
        self._networks, self._recogniser = networks, recogniser
        self._workers = Workers(usable_cores(), "faces")
        self.name, self.dimension = recogniser.name, recogniser.dimension
        self.identity = _identity(recogniser.identity)

    @property
    def is_own(self) -> bool:
        """True if the vectors are those of a network of the user's own."""
        return self._recogniser.thresholds is None

    @property
    def thresholds(self) -> Thresholds:
        """The meaning of distances of vectors; ModelError where that is not known of a network of one's own."""
        return self._recogniser.thresholds or thresholds_for(self.identity, self.name)

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
            if not 0.5 < float(vector @ vector) < 2:  # a stranger's network may make nothing of a face, or no numbers
                continue
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
            chips = self._recogniser.chips.cut(pixels, corners[some], points[some])
            both = np.concatenate([chips, chips[:, :, ::-1]])
            plain, mirrored = np.split(self._recogniser.start(both)()[0], 2)
            found.append(l2_normalize(plain + mirrored))
        return np.concatenate(found)


def open_finder(*, model: str | None = None, engine: str | None = None, expected: int = 1) -> FaceFinder:
    """Open what finds faces in about `expected` pictures; `engine` is as in `engines.select.open_engine`.

    `model` is the ONNX file of a network of one's own. PackageMissingError where the packages of cbir[faces] are
    missing; ModelError, WeightsError, EngineError where it cannot be.
    """
    check_packages()
    runtime = Runtime(engine=engine, expected=expected)
    if model is None:
        recogniser = Recogniser("dlib", _DLIB, DIMENSION, DlibChips(), runtime.open(RECOGNISER), DEFAULT)
    else:
        own = open_own(Path(model), engine=engine, expected=expected)
        recogniser = Recogniser(own.name, own.identity, own.dimension, AlignedChips(), own.start, None)
    networks = cascade.Cascade(*(runtime.open(one) for one in (PROPOSER, REFINER, LAST)))
    return FaceFinder(networks, recogniser)


def thresholds_for(identity: str, name: str) -> Thresholds:
    """Return what distances of vectors stand for, by the identity and the name of the finder that made them.

    ModelError where that is not known of a network of one's own.
    """
    found = DEFAULT if identity == DLIB else thresholds_of(identity)
    if found is None:
        raise ModelError(
            f"From which distance on the network {name} takes two faces for one person's is not known yet: "
            "`cbir evaluate FOLDER --faces --face-model FILE` finds out, by a folder with a folder of photos for each "
            "person."
        )
    return found


def _identity(recogniser: str) -> str:
    detector = [one.sha256 for one in (PROPOSAL, REFINEMENT, OUTPUT)]
    looks = (cascade.SIDE, cascade.SMALLEST, cascade.FACTOR, cascade.THRESHOLDS)
    constants = (*looks, LEAST_SCORE, LEAST_HEIGHT, _MOST_SIDE, _LEAST_SIDE)
    return hashlib.sha256(json.dumps([_VERSION, *detector, recogniser, *constants]).encode()).hexdigest()


_DLIB = f"{LANDMARKS.sha256} {RECOGNITION.sha256}"

#: The identity of finders with dlib's network.
DLIB = _identity(_DLIB)
