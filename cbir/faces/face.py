"""A face in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cbir.utils.vectors import Floats


@dataclass(frozen=True, eq=False)
class Face:
    """A face: its box, x, y, width and height in pixels of the upright picture at its full size, and its vector.

    `score`, 0 to 1, is how sure it is that this is a face; `height` is that of the box in the picture that was read.
    `vector`, float32 of length 1, is near to those of the same person's other faces.
    """

    box: tuple[int, int, int, int]
    score: float
    height: int
    vector: Floats

    @property
    def area(self) -> int:
        """Its pixels."""
        return self.box[2] * self.box[3]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object, without the vector."""
        return {"box": list(self.box), "score": round(self.score, 4), "height": self.height}
