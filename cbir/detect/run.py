"""Finding objects in many pictures: read ahead, decoded in processes of their own, several under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic

from cbir.detect.detection import Detections, Detector
from cbir.errors import ImageReadError
from cbir.extract.extractor import nothing_known
from cbir.extract.loader import Key, Loaded, Loader
from cbir.images.source import ImageSource, NamedImage
from cbir.images.views import Size

#: Pictures that the network has under way, or that wait for it.
_UNDER_WAY = 8


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
    under_way: deque[tuple[Loaded[Key], Callable[[], Detections] | None]] = deque()
    view = detector.view
    with Loader([view], isolated=isolated) as loader:
        for one in loader.load(files, nothing_known):
            begun = None if one.error else detector.start(one.arrays.pop(view.name)["pixels"], one.size)
            under_way.append((one, begun))
            if len(under_way) >= _UNDER_WAY:
                yield _finished(*under_way.popleft())
        while under_way:
            yield _finished(*under_way.popleft())


def _finished(one: Loaded[Key], finish: Callable[[], Detections] | None) -> Found[Key]:
    return Found(one.key, Detections.none() if finish is None else finish(), one.size, one.error)
