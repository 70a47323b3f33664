"""How well segmentations agree with what people drew, for processes of their own: cbir's, others', and people's.

A folder of BSDS500 has pictures (.jpg) and beside each a .npz whose `segmentations` are people's label maps, shape
(people, height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from PIL import Image
from skimage.segmentation import felzenszwalb

from benchmarks.machine import cores
from cbir.backbones.catalog import BUNDLED
from cbir.evaluation.segmentation import Agreement, Labels, agreement, summary
from cbir.segment.segmenter import Segmenter


class Scores(NamedTuple):
    """Over all pictures: covering, probabilistic Rand index, variation of information in bits (less is better)."""

    covering: float
    index: float
    variation: float

    def beats(self, other: Scores) -> bool:
        """Whether this is better on all three."""
        return self.covering > other.covering and self.index > other.index and self.variation < other.variation

    def in_words(self) -> str:
        """As papers write it."""
        return f"{self.covering:.3f} / {self.index:.3f} / {self.variation:.2f}"


class Setting(NamedTuple):
    """Of Felzenszwalb and Huttenlocher's segmentation, as scikit-image calls them."""

    sigma: float
    scale: int
    min_size: int


def of_cbir(files: Sequence[Path], method: str = "regions", fast: bool = False) -> tuple[Scores, list[Agreement], int]:
    """One setting for all pictures, labels at the pictures' own size; also the median number of parts."""
    segmenter = Segmenter(BUNDLED, method=method, fast=fast)
    found, counts = [], []
    for path in files:
        segmentation = segmenter.segment(path)
        found.append(agreement(segmentation.labels, people_of(path)))
        counts.append(len(segmentation.parts))
    return Scores(*summary(found)), found, int(np.median(counts))


def of_people(files: Sequence[Path]) -> Scores:
    """Each person's map against the others' of the same picture: what a method could reach at best."""
    found = []
    for path in files:
        people = people_of(path)
        each = [agreement(one, people[:i] + people[i + 1 :]) for i, one in enumerate(people)]
        found.append(
            Agreement(
                sum(one.covered for one in each),
                sum(one.pixels for one in each),
                fmean(one.index for one in each),
                fmean(one.variation for one in each),
            )
        )
    return Scores(*summary(found))


def of_felzenszwalb(files: Sequence[Path], settings: Sequence[Setting]) -> list[Scores]:
    """Of each setting, all cores at work."""
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        pictures = list(pool.map(partial(_felzenszwalb, settings), files))
    return [Scores(*summary(of_setting)) for of_setting in zip(*pictures, strict=True)]


def people_of(path: Path) -> list[Labels]:
    """What people drew of a picture."""
    with np.load(path.with_suffix(".npz")) as content:
        return list(content["segmentations"])


def _felzenszwalb(settings: Sequence[Setting], path: Path) -> list[Agreement]:
    people = people_of(path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return [agreement(felzenszwalb(pixels, **setting._asdict()), people) for setting in settings]
