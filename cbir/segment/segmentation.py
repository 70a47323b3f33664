"""A segmented image, and the pictures of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.segment import overlay
from cbir.segment.colours import distinct_colours
from cbir.segment.describe import Labels, Segment


@dataclass(frozen=True)
class Segmentation:
    """An image (upright, RGB), its `labels`, uint8, shape (height, width), and its `segments`, the largest first.

    A label is the number of a segment.
    """

    image: Image.Image
    labels: Labels
    segments: list[Segment]

    @cached_property
    def colours(self) -> npt.NDArray[np.uint8]:
        """A colour for each segment that stands out from its neighbours', RGB, uint8, shape (segments, 3)."""
        return distinct_colours(self.labels, self.segments)

    def label_map(self) -> Image.Image:
        """Return the labels as an indexed image, whose palette has the overlay's colours."""
        image = Image.fromarray(self.labels)
        image.putpalette(self.colours.tobytes())
        return image

    def overlay(self) -> Image.Image:
        """Return the image under the colours and numbers of its segments, RGB, at most 2,048 pixels a side."""
        return overlay.overlay(self.image, self.label_map(), self.segments)

    def cut_outs(self) -> Iterator[tuple[Segment, Image.Image]]:
        """Cut out each segment: RGBA, as large as its box, transparent where other segments are."""
        for segment in self.segments:
            x, y, width, height = segment.box
            cut = self.image.crop((x, y, x + width, y + height))
            inside = self.labels[y : y + height, x : x + width] == segment.label
            # what is hidden is black, so that it neither costs space nor gives away what was there
            whole = Image.new("RGBA", cut.size)
            whole.paste(cut, mask=Image.fromarray(inside))
            yield segment, whole
