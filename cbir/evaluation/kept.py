"""Inversions side by side: what each stage of some networks keeps of a few pictures, one of a class in each domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.evaluation.across import Domains
from cbir.evaluation.stages import label_of, name_of
from cbir.images.safely import open_image
from cbir.images.sources.address import Location
from cbir.imagine.canvas import to_pixels
from cbir.imagine.draw import Watch, draw
from cbir.imagine.sight import Sight
from cbir.imagine.subject import Wish, central_square, goal_of

#: Pixels of a side and steps of a drawing: enough to see what is kept, in a second or two each.
SIZE, STEPS = 128, 96

_SEED = 1


@dataclass(frozen=True)
class Drawing:
    """A picture that was drawn from what a stage sees of another, 1 the finest stage, None the feature.

    `cosine` is that of what the stage sees of both, in all its places: how near the drawing came.
    """

    stage: int | None
    image: Image.Image
    cosine: float

    @property
    def name(self) -> str:
        """The stage's name for people."""
        return name_of(self.stage)


@dataclass(frozen=True)
class Kept:
    """The drawings that a network makes of some pictures: of each, by its number, those of its stages."""

    model: str
    drawings: dict[int, tuple[Drawing, ...]]


def choose(domains: Domains, count: int) -> list[int]:
    """Choose `count` pictures at random, always the same ones: of one class in each domain, then of the next class.

    Classes that are in all domains come first. There are fewer where there are not so many in domains.
    """
    chance = np.random.default_rng(_SEED)
    members = {
        (domain, of_class): np.flatnonzero((domains.domain_of == domain) & (domains.class_of == of_class)).tolist()
        for domain in range(len(domains.names))
        for of_class in range(len(domains.classes))
    }
    for its in members.values():
        chance.shuffle(its)
    order = chance.permutation(len(domains.classes)).tolist()
    # a stable sort: at random among those that are in as many domains
    order.sort(key=lambda one: -sum(bool(members[domain, one]) for domain in range(len(domains.names))))
    chosen: list[int] = []
    while len(chosen) < count and any(members.values()):
        for of_class in order:
            chosen += [
                members[domain, of_class].pop() for domain in range(len(domains.names)) if members[domain, of_class]
            ]
    return chosen[:count]


def original(path: Location) -> Image.Image:
    """Return the middle of a picture, the square of which drawings are made. ImageReadError where it is none."""
    return Image.fromarray(central_square(open_image(path, apart=True), SIZE))


def invert(
    backbone: Backbone,
    pictures: dict[int, Image.Image],
    watch: Watch = lambda drawings, total, what="", **_: drawings,
    *,
    steps: int | None = None,
) -> Kept:
    """Draw each of some pictures, by their numbers, from each stage of a backbone's first network, and its feature.

    ModelError where torch does not compute it, or it has no stages.
    """
    sight, label = Sight(backbone), label_of(backbone)
    stages = [*range(1, sight.stages + 1), None]
    wanted = [(number, stage) for number in pictures for stage in stages]
    drawings: dict[int, list[Drawing]] = {number: [] for number in pictures}

    def drawn() -> Iterator[tuple[int, Drawing]]:
        for number, stage in wanted:
            yield number, _draw(sight, pictures[number], stage, steps or STEPS)

    for number, drawing in watch(drawn(), len(wanted), f"drawings by {label}", unit=" drawings"):
        drawings[number].append(drawing)
    return Kept(label, {number: tuple(its) for number, its in drawings.items()})


def _draw(sight: Sight, picture: Image.Image, stage: int | None, steps: int) -> Drawing:
    goal = goal_of(sight, Wish("like", SIZE, stage), picture)
    array = draw(goal, SIZE, steps, _SEED, lambda items, *_, **__: items)

    def seen(pixels: torch.Tensor) -> torch.Tensor:
        return sight.feature(sight.fitted(pixels)) if stage is None else sight.stage(pixels, stage).flatten()

    with torch.no_grad():
        own, its = (seen(to_pixels(one)) for one in (np.asarray(picture), array))
        cosine = float(torch.nn.functional.cosine_similarity(own, its, dim=0))
    return Drawing(stage, Image.fromarray(array), cosine)
