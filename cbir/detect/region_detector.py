"""Detection with nothing but the network of a backbone, as the first R-CNN did it: proposals, then a class for each.

Girshick, Donahue, Darrell and Malik, "Rich Feature Hierarchies for Accurate Object Detection" (CVPR 2014). Proposals
are nodes of the picture's merge tree that look like a thing (`objectness`). The network's last map is averaged over
each proposal's box and over its region, at two sizes of the picture, and its head tells the probability P of each of
ImageNet's classes; names of classes gather them through WordNet. A score is √P times the objectness, which is about
how often such a box is right. It names well and places badly: a detector that was trained to finds twice as much.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.backbones.head import open_classifier
from cbir.detect.classes import COCO, synset_of
from cbir.detect.detection import FLOOR, Detections, Detector, Pixels, detect_with, identity_of
from cbir.detect.geometry import OVERLAP, clipped, suppress
from cbir.detect.objectness import LEARNT, Nodes, Objectness, proposals
from cbir.detect.wish import REGIONS
from cbir.engines.lazy import LazyEngine
from cbir.errors import WordError
from cbir.images.large import Large, network_size
from cbir.images.views import Size
from cbir.parts.proposals import Boxes
from cbir.segment.classify import cover, masked_means
from cbir.segment.hierarchy import merge
from cbir.segment.merging import together, working_copy
from cbir.segment.superpixels import Superpixels
from cbir.utils.vectors import Floats, Rows
from cbir.words.nearness import class_weights, similarities
from cbir.words.vocabulary import look_up
from cbir.words.wordnet import wordnet

#: Proposals of a picture; 150 find no more.
_PROPOSALS = 40

#: The longer side of the picture when it is read a second time, smaller than its view.
_SMALLER = 448

#: A name without classes of ImageNet of its own has those that are as near as a cow is to an ox (`similarities`).
_NEAR = 0.93


class RegionsDetector(Detector):
    """Boxes of regions that look like a thing, with the likeliest classes. ModelError where the network cannot."""

    has_masks = False
    least_score = 0.3
    kind = REGIONS

    def __init__(
        self,
        backbone: Backbone,
        engine: LazyEngine,
        classes: Sequence[str],
        overlap: float = OVERLAP,
        objectness: Objectness = LEARNT,
    ) -> None:
        self._engine = engine
        self._classifier = open_classifier(backbone)
        self._overlap = overlap
        self._objectness = objectness
        self.backbone = backbone
        self.name = f"{REGIONS} of {backbone.name}"
        self.classes = tuple(classes)
        self._weights = np.stack([weights_of(name) for name in classes])
        facts = (backbone.weights.identity, objectness.weights, objectness.bias, _PROPOSALS, _SMALLER, _NEAR)
        self.identity = identity_of(REGIONS, *facts, classes=self.classes, overlap=overlap)

    @property
    def view(self) -> Large:
        """The view of an image that it takes."""
        return Large()

    def start(self, pixels: Pixels, size: Size) -> Callable[[], Detections]:
        """Begin with an image, as of `Detector`."""
        return lambda: self._detections(pixels, size)

    def detect(self, images: Sequence[Pixels]) -> list[Detections]:
        """Find objects in images, as of `Detector`."""
        return detect_with(self, images)

    def _detections(self, pixels: Pixels, size: Size) -> Detections:
        cut, nodes = nodes_of(pixels, self._engine)
        scores = self._objectness.of(nodes)
        chosen = proposals(nodes, scores, _PROPOSALS)
        probabilities = self._probabilities(pixels, cut, nodes, chosen) @ self._weights.T
        found = np.sqrt(np.minimum(probabilities, 1)) * scores[chosen][:, np.newaxis]
        rows, classes = np.nonzero(found >= FLOOR)
        scale = np.array([size[0] / nodes.size[0], size[1] / nodes.size[1]] * 2, dtype=np.float32)
        boxes, own = clipped(nodes.boxes[chosen][rows] * scale, size), found[rows, classes].astype(np.float32)
        kept = suppress(boxes, own, classes, self._overlap)
        return Detections(boxes[kept], own[kept], classes[kept].astype(np.int64))

    def _probabilities(self, pixels: Pixels, cut: Superpixels, nodes: Nodes, chosen: Rows) -> Floats:
        """Return the probabilities of ImageNet's classes in each proposal, means over sizes and ways, (n, 1000)."""
        image = Image.fromarray(pixels)
        smaller = network_size(image.size, min(_SMALLER, max(image.size)))
        members = nodes.members[chosen].astype(np.float32)
        boxes = Boxes(nodes.size, nodes.boxes[chosen].astype(np.int32))
        engine = self._engine.opened()
        read = []
        for one in (image.resize(smaller, Image.Resampling.BICUBIC), image):
            (map_,) = engine.last_map(np.asarray(one)[np.newaxis])
            masks = np.tensordot(members, cover(cut.labels, map_.shape[1:], len(cut)), axes=1)
            read += [masked_means(map_, masks), boxes.means(map_)]
        found = self._classifier.probabilities(np.concatenate(read))
        return np.asarray(found.reshape(len(read), len(chosen), -1).mean(axis=0))


def nodes_of(pixels: Pixels, engine: LazyEngine) -> tuple[Superpixels, Nodes]:
    """Return the superpixels of an image of its view, and the nodes of its merge tree."""
    cut, probabilities = together(working_copy(Image.fromarray(pixels)), engine.opened(), engine.backbone, fast=True)
    return cut, Nodes.of(cut, merge(probabilities, cut.shares, cut.edges))


@functools.cache
def weights_of(name: str) -> Floats:
    """Return the weight of each of ImageNet's classes for a name, shape (1000,); WordError where it knows none."""
    synset = synset_of(name)
    if synset is not None and similarities(synset).max() >= _NEAR:
        return class_weights([synset])
    # a word for the same may have them in another meaning, as a television has and a tv has not
    for other in (name, *(() if synset is None else wordnet().lemmas(synset))):
        word = look_up(other)
        if word.exact:
            return word.weights
    raise WordError(f"ImageNet has no class of {name!r}, and none near it: there is no telling where one is.")


def known_classes() -> tuple[str, ...]:
    """Return those of COCO's classes that ImageNet has, too."""
    found = []
    for name in COCO:
        try:
            weights_of(name)
        except WordError:
            continue
        found.append(name)
    return tuple(found)
