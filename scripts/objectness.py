"""Learns which nodes of a picture's merge tree are about the size and place of a thing.

    .venv/bin/python scripts/objectness.py ../shared/detect/boxes.json ../shared/detect/photos

Prints the numbers of LEARNT in `cbir/detect/objectness.py`. Logistic regression over all nodes of all pictures: right
are those whose box overlaps one that people drew, of whatever class, by half at least.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.detect.formats.annotations import Annotated
from cbir.detect.formats.reading import read_boxes
from cbir.detect.objectness import FACTS, LEAST_SHARE, Nodes, Objectness
from cbir.detect.region_detector import nodes_of
from cbir.engines.lazy import LazyEngine
from cbir.images.large import Large
from cbir.utils.boxes import overlaps

Floats = npt.NDArray[np.float64]

#: A weight is drawn to 0 as if it had this precision, in units of its fact's spread.
_RIDGE = 1.0

_ROUNDS = 50


def main() -> None:
    """Read, learn, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("boxes", type=Path, help="what people drew (COCO, YOLO or VOC)")
    parser.add_argument("photos", type=Path, help="the folder of the photos")
    options = parser.parse_args()
    engine = LazyEngine(describe(BUNDLED))
    some = [
        (nodes_of_file(options.photos / picture.name, engine), picture)
        for picture in read_boxes(options.boxes).pictures
    ]
    learnt = learn(some)
    for name, weight in zip(FACTS, learnt.weights, strict=True):
        print(f"{name:16} {weight:.4g}")
    print(f"{'bias':16} {learnt.bias:.4g}")


def nodes_of_file(path: Path, engine: LazyEngine) -> Nodes:
    """The nodes of a picture's tree."""
    image = Image.open(path).convert("RGB")
    return nodes_of(Large().make(image, (0, 0, *image.size), image.size)["pixels"], engine)[1]


def learn(some: Iterable[tuple[Nodes, Annotated]]) -> Objectness:
    """The weights and the bias, from pictures' nodes and what people drew."""
    facts, right = [], []
    for nodes, picture in some:
        assert picture.size is not None
        large = nodes.shares >= LEAST_SHARE
        scale = [nodes.size[0] / picture.size.width, nodes.size[1] / picture.size.height] * 2
        drawn = np.array([one.box for one in picture.annotations]).reshape(-1, 4) * scale
        facts.append(nodes.facts()[large])
        right.append((overlaps(nodes.boxes[large], drawn) >= 0.5).any(axis=1))
    return regression(np.concatenate(facts).astype(np.float64), np.concatenate(right))


def regression(facts: Floats, right: npt.NDArray[np.bool_]) -> Objectness:
    """Logistic regression by Newton's method."""
    mean, spread = facts.mean(axis=0), facts.std(axis=0)
    known = np.concatenate([(facts - mean) / spread, np.ones((len(facts), 1))], axis=1)
    ridge = np.diag([_RIDGE] * facts.shape[1] + [0.0])
    weights = np.zeros(known.shape[1])
    for _ in range(_ROUNDS):
        shares = 1 / (1 + np.exp(-known @ weights))
        slope = known.T @ (right - shares) - ridge @ weights
        step = np.linalg.solve((known * (shares * (1 - shares))[:, np.newaxis]).T @ known + ridge, slope)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    own = weights[:-1] / spread
    return Objectness(tuple(own.tolist()), float(weights[-1] - own @ mean))


if __name__ == "__main__":
    main()
