"""Descriptions of a picture's segments, from one pass over its label map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.images.regions import Box
from cbir.segment.runs import row_runs

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Segment:
    """One segment, all in pixels of the upright picture.

    `label` is its number in the label map, `area` how many pixels it has, `share` of all of them, `box` (x, y, width,
    height), `centroid` (x, y) the mean of its pixels' centres, which are at halves: (0.5, 0.5) is that of the pixel in
    the upper left corner. `colour` is its mean red, green and blue.
    """

    label: int
    area: int
    share: float
    box: Box
    centroid: tuple[float, float]
    colour: tuple[int, int, int]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object. `bbox` is `box` by the name that COCO has for it."""
        return {
            "label": self.label,
            "share": round(self.share, 6),
            "area": self.area,
            "box": list(self.box),
            "bbox": list(self.box),
            "centroid": [round(value, 2) for value in self.centroid],
            "colour": self.hex_colour,
        }

    @property
    def hex_colour(self) -> str:
        """The mean colour as #rrggbb."""
        return "#{:02x}{:02x}{:02x}".format(*self.colour)


def describe_segments(pixels: npt.NDArray[np.uint8], labels: Labels) -> list[Segment]:
    """Area, box, centroid and mean colour of each label; `pixels` has shape (height, width, 3).

    Labels are numbered from 0 without gaps.
    """
    runs = row_runs(labels)
    count = int(labels.max()) + 1
    areas = np.bincount(runs.labels, runs.lengths, count)
    x_sums = np.bincount(runs.labels, runs.lengths * (runs.starts + runs.lengths / 2), count)
    y_sums = np.bincount(runs.labels, runs.lengths * (runs.lines + 0.5), count)
    left, top = (np.full(count, max(labels.shape)) for _ in range(2))
    right, bottom = (np.zeros(count, dtype=np.intp) for _ in range(2))
    np.minimum.at(left, runs.labels, runs.starts)
    np.maximum.at(right, runs.labels, runs.starts + runs.lengths)
    np.minimum.at(top, runs.labels, runs.lines)
    np.maximum.at(bottom, runs.labels, runs.lines + 1)
    first = runs.lines * labels.shape[1] + runs.starts
    colours = np.empty((count, 3))
    for channel in range(3):
        values = np.ascontiguousarray(pixels[..., channel]).ravel()
        sums = np.add.reduceat(values, first, dtype=np.uint32)
        colours[:, channel] = np.bincount(runs.labels, sums, count) / areas
    return [
        Segment(
            label,
            int(areas[label]),
            float(areas[label] / labels.size),
            Box(
                int(left[label]),
                int(top[label]),
                int(right[label] - left[label]),
                int(bottom[label] - top[label]),
            ),
            (float(x_sums[label] / areas[label]), float(y_sums[label] / areas[label])),
            (round(colours[label, 0]), round(colours[label, 1]), round(colours[label, 2])),
        )
        for label in range(count)
    ]
