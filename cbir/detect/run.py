"""Finding objects in many pictures: read ahead, decoded in processes of their own, several under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic

from cbir.detect.detection import Detections, Detector
from cbir.errors import ImageReadError
from cbir.extract.loader import Key, Loaded
from cbir.extract.looking import look_at
from cbir.images.source import ImageSource, NamedImage
from cbir.images.views import Size


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
    return look_at(detector, files, _finished, isolated=isolated)


def _finished(one: Loaded[Key], finish: Callable[[], Detections] | None) -> Found[Key]:
    return Found(one.key, Detections.none() if finish is None else finish(), one.size, one.error)
