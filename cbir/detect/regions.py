"""The family of `RegionsDetector`: proposals of regions, classified by a backbone's network.

It is asked about each detector that is wished for, and imports what it needs only when it is the one.
"""

from __future__ import annotations

from cbir.detect.detection import Detector
from cbir.detect.wish import REGIONS, Wish
from cbir.errors import ModelError, WordError


def takes(wish: Wish) -> bool:
    """Tell whether regions are wished for."""
    return wish.name == REGIONS


def names() -> tuple[str, ...]:
    """List the names by which its detectors are asked for."""
    return (REGIONS,)


def open_detector(wish: Wish) -> Detector:
    """Open the detector; its network is that of an index by default, or its file of `weights`."""
    from cbir.backbones.backbone import choose
    from cbir.detect.region_detector import RegionsDetector, known_classes
    from cbir.engines.lazy import LazyEngine

    backbone = choose(None, wish.weights)[0].first
    engine = LazyEngine(backbone, wish.engine, expected=wish.expected)
    try:
        return RegionsDetector(backbone, engine, wish.classes or known_classes(), wish.overlap)
    except WordError as error:
        raise ModelError(f"The method {REGIONS} cannot look for all of the classes. {error}") from error
