"""Imagining from a wish to a picture and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.backbones.imagenet import classes
from cbir.images.safely import decode
from cbir.imagine.draw import Watch, draw
from cbir.imagine.measures import Eye, Seen, rank_of
from cbir.imagine.sight import Sight
from cbir.imagine.subject import Wish, goal_of
from cbir.index.store import Index
from cbir.utils.vectors import l2_normalize


@dataclass(frozen=True)
class Imagined:
    """A picture that was drawn, and the measures beside it, ready for JSON."""

    picture: Image.Image
    measures: dict[str, Any] = field(default_factory=dict)


def imagine(
    backbone: Backbone,
    wish: Wish,
    watch: Watch,
    *,
    original: bytes | None = None,
    name: str = "",
    judge: Backbone | None = None,
    index: Index | None = None,
) -> Imagined:
    """Draw what is wished for by a backbone's first network, and measure it; the same wish gives the same picture.

    `original` is the content of the picture of that `name` that the wish is about, if it is about one, `judge` another
    backbone that is asked, and `index` one by the same backbone, in which the original's rank is told. ImageReadError
    where the original is no picture; ModelError where the network cannot do it.
    """
    picture = None if original is None else decode(original, name=name)
    sight = Sight(backbone)
    goal = goal_of(sight, wish, picture)
    steps = wish.all_steps
    drawn = Image.fromarray(draw(goal, wish.size, steps, wish.seed, watch))
    own = Eye(backbone)
    seen, before = own.see(drawn), None if picture is None else own.see(picture)
    measures: dict[str, Any] = {
        "goal": wish.kind,
        "class": classes()[wish.class_number].name if picture is None else None,
        "stage": getattr(goal, "stage", None),
        "model": sight.backbone.name,
        "size": wish.size,
        "steps": steps,
        "seed": wish.seed,
        "seen": _told(seen, before, wish.class_number),
    }
    if index is not None and before is not None:
        drawing, first = (l2_normalize(one.feature[None])[0] for one in (seen, before))
        measures["index"] = rank_of(index, drawing, first, original)
    if judge is not None:
        other = Eye(judge)
        measures["judge"] = {
            "model": judge.name,
            **_told(other.see(drawn), None if picture is None else other.see(picture), wish.class_number),
        }
    return Imagined(drawn, measures)


def _told(seen: Seen, before: Seen | None, class_number: int) -> dict[str, Any]:
    """Tell what a network sees: of a class its probability and rank, of a picture the cosine and both's classes."""
    if before is None:
        return {**seen.of_class(class_number), "classes": seen.classes()}
    return {"cosine": round(seen.cosine(before), 4), "classes": seen.classes(), "original_classes": before.classes()}
