"""Finding objects in many pictures: read ahead, decoded in processes of their own, several under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Generic

from cbir.detect.detection import Detections, Detector
from cbir.errors import ImageReadError
from cbir.extract.extractor import nothing_known
from cbir.extract.loader import Key, Loaded, Loader
from cbir.images.source import ImageSource, NamedImage
from cbir.images.views import Size
from cbir.utils.under_way import in_order

#: Pictures that a detector has under way, or that wait for it.
UNDER_WAY = 8


@dataclass(frozen=True)
class Found(Generic[Key]):
    """The detections of one picture, whose upright width and height are `size`, or why it could not be read."""

    key: Key
    detections: Detections
    size: Size = (0, 0)
    error: ImageReadError | None = None


def detect_files(
    detector: Detector, files: Iterable[tuple[Key, ImageSource | NamedImage]], *, isolated: bool
) -> Iterator[Found[Key]]:
    """Find objects in pictures, each given with a key, in order; `isolated` ones are decoded elsewhere."""
    view = detector.view

    def begun(loader: Loader) -> Iterator[Callable[[], Found[Key]]]:
        for one in loader.load(files, nothing_known):
            finish = None if one.error else detector.start(one.arrays.pop(view.name)["pixels"], one.size)
            yield partial(_finished, one, finish)

    with Loader([view], isolated=isolated) as loader:
        yield from in_order(begun(loader), UNDER_WAY)


def _finished(one: Loaded[Key], finish: Callable[[], Detections] | None) -> Found[Key]:
    return Found(one.key, Detections.none() if finish is None else finish(), one.size, one.error)
