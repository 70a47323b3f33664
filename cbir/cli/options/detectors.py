"""Options of detectors: a class that is wanted, and how pixels enter a graph; names on Tab."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.completion import Items, items_that_begin
from cbir.cli.options.parsed import Parsed
from cbir.utils.numbers import finite
from cbir.utils.printable import shortened

if TYPE_CHECKING:
    from cbir.detect.choice import ClassRule
    from cbir.detect.trial import Asked
    from cbir.detect.wish import Wish

#: The names in `cbir.detect.torchvision.KNOWN`, which imports NumPy.
NAMES = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "ssdlite320_mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
)


def complete_detector(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Names of detectors."""
    return items_that_begin(NAMES, incomplete)


def described(wish: Wish, classes: Path | None, asked: Asked | None) -> Wish:
    """Return a wish with the names of a file of `--classes`, and what `--input` says, if they were given."""
    from cbir.detect.classes import read_names
    from cbir.detect.trial import Asked

    return replace(wish, classes=() if classes is None else read_names(classes), asked=asked or Asked())


class _ClassRule(click.ParamType):  # type: ignore[type-arg]  # which it takes from Click 8.4 on only
    """A class's name or a word for it, and perhaps a colon and a score."""

    name = "class"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ClassRule:
        from cbir.detect.choice import ClassRule

        if isinstance(value, ClassRule):
            return value
        name, colon, score = str(value).rpartition(":")
        if not colon:
            name, score = str(value), ""
        if not name.strip():
            self.fail(f"{shortened(str(value))} names no class.", param, ctx)
        if not colon:
            return ClassRule(name)
        try:
            least = finite(score)
        except ValueError:
            least = -1.0
        if not 0 <= least <= 1:
            self.fail(f"{shortened(str(value))} has no score from 0 to 1 behind its colon.", param, ctx)
        return ClassRule(name, least)


def _parse_input(words: str) -> Asked:
    from cbir.detect.trial import Asked

    return Asked.of_words(words)


CLASS, INPUT = _ClassRule(), Parsed("words", _parse_input)
