"""Proposals: boxes of a picture in which something may be, before anybody knows what.

The nodes of a picture's merge tree, single superpixels and all that merging makes of them, are regions of every size;
the box around one is proposed where it looks like a whole thing. That is told by a logistic regression (`Objectness`),
learnt by `scripts/objectness.py` from boxes that people drew. Selective search (Uijlings, van de Sande, Gevers and
Smeulders, IJCV 2013), from which the first R-CNN had its proposals, takes the boxes of such a tree, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cbir.detect.geometry import suppress
from cbir.segment.affinity import probability
from cbir.segment.hierarchy import Hierarchy
from cbir.segment.superpixels import Superpixels
from cbir.utils.vectors import Floats, Rows

#: Regions that are proposed have at least this share of their picture.
LEAST_SHARE = 0.001

#: Of two proposals that overlap by more, the better one stays.
_OVERLAP = 0.7

#: What `Nodes.facts` tells.
FACTS = (
    "log area",
    "log area squared",
    "persistence",
    "cost formed",
    "cost gone",
    "fill",
    "log aspect",
    "borders",
    "centre across",
    "centre down",
    "longer side",
)


@dataclass(frozen=True)
class Nodes:
    """The nodes of a merge tree, its n superpixels and then what each merge makes: m together.

    `members`, shape (m, n), tells the superpixels of each; `boxes`, shape (m, 4), are x, y, width and height in pixels
    of the picture as it was segmented, which has that `size`; `shares`, shape (m,), of its area. `formed` and `gone`,
    shape (m,), are the costs of the merges that made a node and that took it up.
    """

    members: npt.NDArray[np.bool_]
    boxes: Floats
    shares: Floats
    formed: Floats
    gone: Floats
    size: tuple[int, int]

    @classmethod
    def of(cls, cut: Superpixels, tree: Hierarchy) -> Nodes:
        """Return all nodes of a picture's tree."""
        leaves, count = tree.leaves, tree.leaves + len(tree.pairs)
        members = np.zeros((count, leaves), dtype=np.bool_)
        members[np.arange(leaves), np.arange(leaves)] = True
        corners = np.empty((count, 4), dtype=np.float32)  # left, top, right, bottom
        for place, found in enumerate(ndimage.find_objects(cut.labels + 1)):
            corners[place] = found[1].start, found[0].start, found[1].stop, found[0].stop
        formed = np.zeros(count, dtype=np.float32)
        gone = np.full(count, max(tree.costs.max(initial=0), 1), dtype=np.float32)
        formed[leaves:] = tree.costs
        for new, pair in enumerate(tree.pairs.tolist(), start=leaves):
            members[new] = members[pair[0]] | members[pair[1]]
            corners[new, :2] = corners[pair, :2].min(axis=0)
            corners[new, 2:] = corners[pair, 2:].max(axis=0)
            gone[pair] = formed[new]
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        shares = (members @ cut.shares).astype(np.float32)
        height, width = cut.labels.shape
        return cls(members, boxes, shares, formed, gone, (width, height))

    def __len__(self) -> int:
        return len(self.boxes)

    def facts(self) -> Floats:
        """Return what is known of each node's box, shape (m, len(FACTS))."""
        sides = np.array(self.size, dtype=np.float32)
        first, lengths = self.boxes[:, :2] / sides, self.boxes[:, 2:] / sides
        area = lengths.prod(axis=1)
        log_area = np.log(area)
        ends = self.boxes[:, :2] + self.boxes[:, 2:]
        centres = np.abs(first + lengths / 2 - 0.5)
        return np.stack(
            [
                log_area,
                log_area**2,
                self.gone - self.formed,
                self.formed,
                self.gone,
                self.shares / area,
                np.abs(np.log(self.boxes[:, 2] / self.boxes[:, 3])),
                (self.boxes[:, :2] <= 0).sum(axis=1) + (ends >= sides).sum(axis=1),
                centres[:, 0],
                centres[:, 1],
                lengths.max(axis=1),
            ],
            axis=1,
        ).astype(np.float32)


@dataclass(frozen=True)
class Objectness:
    """The `weights` of FACTS in the log-odds that a node's box is about that of a thing, and the `bias`."""

    weights: tuple[float, ...]
    bias: float

    def of(self, nodes: Nodes) -> Floats:
        """Return the probability of each node, shape (m,)."""
        log_odds = nodes.facts() @ np.array(self.weights, dtype=np.float32) + np.float32(self.bias)
        return probability(log_odds)


#: What `scripts/objectness.py` learns from 64 photos.
LEARNT = Objectness(
    weights=(0.2882, -0.1057, 0.896, 3.16, 2.373, -1.26, -0.8611, -0.4791, 1.235, -1.333, -0.6982), bias=-1.469
)


def proposals(nodes: Nodes, scores: Floats, most: int) -> Rows:
    """Return the numbers of the nodes whose boxes are proposed, the best first, by `scores`, shape (m,)."""
    large = np.flatnonzero(nodes.shares >= LEAST_SHARE)
    return large[suppress(nodes.boxes[large], scores[large], np.zeros(len(large), dtype=np.int64), _OVERLAP, most)]
