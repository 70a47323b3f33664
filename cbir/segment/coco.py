"""Segmentations in the format of COCO, which most tools for annotated pictures read.

Lin et al., "Microsoft COCO: Common Objects in Context" (ECCV 2014); the format is described at cocodataset.org.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from cbir.segment.describe import Labels
from cbir.segment.polygons import outlines
from cbir.segment.runs import column_runs
from cbir.utils.marks import Mark


def segmentations(labels: Labels) -> list[dict[str, Any]]:
    """Return the outline of each segment as a JSON object, in the labels' order.

    `segmentation` is a list of polygons, [x1, y1, x2, y2, …] along the edges of pixels. COCO's polygons cannot have
    holes: for a segment with holes `segmentation` is the run lengths, and the polygons are in `outlines` and `holes`.
    """
    found: list[dict[str, Any]] = []
    lengths: list[list[int]] | None = None
    for label, outline in enumerate(outlines(labels)):
        if not outline.holes:
            found.append({"segmentation": outline.polygons})
            continue
        lengths = lengths or run_lengths(labels)
        runs = {"size": list(labels.shape), "counts": lengths[label]}
        found.append({"segmentation": runs, "outlines": outline.polygons, "holes": outline.holes})
    return found


def run_lengths(labels: Labels) -> list[list[int]]:
    """COCO's uncompressed run lengths of each segment, in the labels' order.

    Down one column after another, how many pixels are outside, inside, outside, …; the first number may be 0.
    """
    height = labels.shape[0]
    runs = column_runs(labels)
    begins = runs.lines * height + runs.starts
    order = np.argsort(runs.labels, kind="stable")
    bounds = np.searchsorted(runs.labels[order], np.arange(int(labels.max()) + 2))
    counts = []
    for first, end in pairwise(bounds.tolist()):
        if first == end:  # no pixel has this label
            counts.append([labels.size])
            continue
        own = order[first:end]
        ends = begins[own] + runs.lengths[own]
        # a run that ends a column and one that begins the next are one
        is_apart = begins[own][1:] != ends[:-1]
        starts, stops = begins[own][np.append(True, is_apart)], ends[np.append(is_apart, True)]
        edges = np.stack([starts, stops], axis=1).ravel()
        lengths = np.diff(edges, prepend=0, append=labels.size)
        counts.append((lengths if lengths[-1] else lengths[:-1]).tolist())
    return counts


def document(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One COCO document of the pictures in `records`, which are those of `cbir segment --json`.

    The category of a segment is its likeliest class where it was classified, else "segment".
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for record in records:
        number = len(images) + 1
        size = {"width": record["width"], "height": record["height"]}
        images.append({"id": number, "file_name": record["image"], **size})
        for segment in record["segments"]:
            name = segment["classes"][0]["name"] if segment.get("classes") else "segment"
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": categories.setdefault(name, len(categories) + 1),
                    "segmentation": segment["segmentation"],
                    "area": segment["area"],
                    "bbox": segment["bbox"],
                    "iscrowd": int(isinstance(segment["segmentation"], dict)),
                }
            )
    named = [{"id": number, "name": name} for name, number in categories.items()]
    return {"info": {"made_by": str(Mark("coco"))}, "images": images, "annotations": annotations, "categories": named}
