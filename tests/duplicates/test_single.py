"""Near-duplicates of one picture, and the share of a search for all that is told meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cbir
from cbir.duplicates.find import find_duplicates
from cbir.duplicates.single import duplicates_of
from cbir.index.store import Index

Draw = Callable[..., Image.Image]


@pytest.fixture
def index(photo_folder: Callable[..., Path], draw_picture: Draw) -> Index:
    """Twelve pictures; of the first a copy and a smaller one, of the second a brighter one."""
    root = photo_folder(12, size=(320, 240))
    shutil.copy(root / "img_000.jpg", root / "copy.jpg")
    with Image.open(root / "img_000.jpg") as picture:
        picture.resize((200, 150), Image.Resampling.LANCZOS).save(root / "small.jpg", quality=90)
    with Image.open(root / "img_001.jpg") as picture:
        picture.save(root / "saved.jpg", quality=60)
    return cbir.index_folder(root, "photos", model="fake")[0]


def row_of(index: Index, name: str) -> int:
    return index.files().paths.index(name)


def test_of_one_picture_there_are_those_of_its_group(index: Index) -> None:
    (group, *_) = find_duplicates(index).groups
    expected = {member.path.name: member.score for member in group.members}
    assert expected.keys() == {"img_000.jpg", "copy.jpg", "small.jpg"}
    everyone = np.flatnonzero(index.valid).tolist()
    found = duplicates_of(index, row_of(index, "img_000.jpg"), everyone)
    assert [index.record(row).path for row in found] == ["copy.jpg", "small.jpg"]
    assert found[row_of(index, "copy.jpg")] == 1
    assert found[row_of(index, "small.jpg")] == pytest.approx(expected["small.jpg"], abs=1e-4)
    assert duplicates_of(index, row_of(index, "img_005.jpg"), everyone) == {}


def test_only_those_are_found_that_it_is_asked_among(index: Index) -> None:
    first, small = row_of(index, "img_000.jpg"), row_of(index, "small.jpg")
    assert list(duplicates_of(index, first, [small, row_of(index, "img_003.jpg")])) == [small]
    assert duplicates_of(index, first, []) == {}
    assert duplicates_of(index, first, [first]) == {}


def test_the_share_that_is_done_is_told_and_may_end_it(index: Index) -> None:
    shares: list[float] = []
    found = find_duplicates(index, told=shares.append)
    assert len(found.groups) == 2
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(set(shares)) > 2

    def refuse(share: float) -> None:
        raise KeyError(share)

    with pytest.raises(KeyError):
        find_duplicates(index, told=refuse)
