"""Subjects of drawings: the goal that a wish is, from a picture or a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from cbir.backbones.head import open_classifier
from cbir.images.fit import fit
from cbir.imagine.canvas import to_pixels
from cbir.imagine.goals import Class, Exaggerated, Goal, LikeFeature, LikeStage
from cbir.imagine.sight import Sight

#: Steps of a drawing of each kind by default, and of one that is like in the map of a stage, which is sooner there.
STEPS, STAGE_STEPS = {"like": 500, "exaggerate": 128, "class": 200}, 300

# The last stages know a thing's place only so exactly.
_BLURRED = 2
_MARGIN = 4


@dataclass(frozen=True)
class Wish:
    """A drawing that somebody wants: its `kind`, one of STEPS, its `size` in pixels a side, and its stage or class.

    Without a `stage`, a picture is to be like in its feature, and exaggerated at the last stage but one. Without
    `steps` there are as many as its kind needs, `all_steps`.
    """

    kind: str
    size: int = 256
    stage: int | None = None
    class_number: int = 0
    steps: int | None = None
    seed: int = 0

    @property
    def all_steps(self) -> int:
        """The steps that it is to be drawn in."""
        if self.steps is not None:
            return self.steps
        return STAGE_STEPS if self.kind == "like" and self.stage is not None else STEPS[self.kind]


def goal_of(sight: Sight, wish: Wish, picture: Image.Image | None = None) -> Goal:
    """Return the goal of a wish, of a `picture` unless of a class.

    ModelError where the network has no such stage or knows no classes.
    """
    if wish.stage is not None:
        sight.check_stage(wish.stage)
    if picture is None:
        weights = open_classifier(sight.backbone).weights_of(wish.class_number)
        return Class(sight, torch.tensor(weights))
    with torch.no_grad():
        if wish.kind == "like" and wish.stage is None:
            wanted = sight.backbone.preprocessing
            return LikeFeature(sight, sight.feature(to_pixels(fit(picture, wanted))))
        stage = wish.stage or max(sight.stages - 1, 1)
        seen = sight.stage(to_pixels(central_square(picture, wish.size)), stage)
    if wish.kind == "exaggerate":
        return Exaggerated(sight, seen, stage)
    return LikeStage(sight, seen, stage, margin=_MARGIN if stage > sight.stages - _BLURRED else 0)


def central_square(picture: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """Cut the middle of a picture out, as a square of `size` pixels a side: shape (size, size, 3)."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=box))
