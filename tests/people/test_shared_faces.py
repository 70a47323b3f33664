"""Groups of photos of 26 real people: nearly all faces of each together, and hardly anybody else among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.errors import PackageMissingError
from cbir.faces.finder import open_finder
from cbir.faces.likeness import GROUP
from cbir.people.groups import ALONE, group


def bcubed(ones: Sequence[object], others: Sequence[object]) -> float:
    """The mean share of those with which a face is in one of `ones` that are in one of `others` with it, too."""
    both, single = Counter(zip(ones, others, strict=True)), Counter(ones)
    return sum(count**2 / single[one] for (one, _), count in both.items()) / len(ones)


def test_groups_of_people_are_pure_and_whole(shared: Callable[[str], Path]) -> None:
    folder = shared("faces")
    try:
        finder = open_finder(expected=200)
    except PackageMissingError as error:
        pytest.skip(str(error))
    files = sorted(path for path in folder.glob("*/*.jpg") if path.parent.name != "group")
    vectors, people = [], []
    for path in files:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        face = finder.find(pixels, (pixels.shape[1], pixels.shape[0]))[0]
        vectors.append(face.vector)
        people.append(path.parent.name)
    found = group(np.stack(vectors), np.ones(len(files), dtype=np.bool_), threshold=GROUP)
    groups = [(one, 0) if one != ALONE else (ALONE, place) for place, one in enumerate(found.tolist())]
    assert len(files) > 100
    assert bcubed(groups, people) >= 0.98
    assert bcubed(people, groups) >= 0.93
