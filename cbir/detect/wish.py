"""A wish for a detector: what somebody says about which and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from cbir.detect.geometry import OVERLAP
from cbir.detect.trial import Asked

#: The name by which proposals of regions are wished for, classified by a backbone's network.
REGIONS = "regions"

#: Tells those who named no detector, in which place for a name and for a file, how they get one.
NO_DETECTOR = (
    "No detector comes with cbir: name one with {} (fasterrcnn_mobilenet_v3_large_320_fpn is the first choice, whose "
    "74 MB are downloaded once), or its file with {} FILE.onnx or FILE.tflite. docs/detect.md tells which is for whom."
)


@dataclass(frozen=True)
class Wish:
    """A description of the detector to be opened.

    `name` is one of a family's, `weights` a file, or "untrained"; `engine` and `expected` are as in `open_engine`.
    `classes` are names instead of its own, `asked` is how pixels enter a graph. Of two boxes of a class that `overlap`
    by more the better stays. With `is_large`, many pictures are to be looked at for an index: then a network computes
    in bfloat16 where as much is found in that.
    """

    name: str | None = None
    weights: str | None = None
    engine: str | None = None
    expected: int = 1
    classes: tuple[str, ...] = ()
    asked: Asked = field(default_factory=Asked)
    overlap: float = OVERLAP
    is_large: bool = False
