"""Labels by content: one class each, and those that contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.index.store import Index
from cbir.learn.pictures import Picture, Pictures
from cbir.notions.notion import NONE, Labels
from cbir.utils.text import spellings
from cbir.utils.vectors import Floats


@dataclass(frozen=True)
class Labelled:
    """Pictures of different contents and the numbers of their classes, shape (n,); NONE for none of them.

    Of pairs, `pairs` has the numbers of two pictures, and 1 where they are the same, else 0, shape (p, 3).
    """

    pictures: Sequence[Picture]
    classes: tuple[str, ...]
    numbers: npt.NDArray[np.int32]
    pairs: npt.NDArray[np.int32]

    def features(self, index: Index) -> Floats:
        """Return the pictures' features, shape (n, dimension), of length 1."""
        found = np.empty((len(self.pictures), index.dimension), dtype=np.float32)
        inside = [place for place, one in enumerate(self.pictures) if one.row is not None]
        found[inside] = index.features([row for one in self.pictures if (row := one.row) is not None])
        for place, one in enumerate(self.pictures):
            if one.feature is not None:
                found[place] = one.feature
        return found

    def to_labels(self, dimension: int) -> Labels:
        """Return what a notion keeps of them."""
        order = sorted(range(len(self.pictures)), key=lambda place: self.pictures[place].row is not None)
        ordered = [self.pictures[place] for place in order]
        outside = [one.feature for one in ordered if one.row is None and one.feature is not None]
        contents = b"".join(bytes.fromhex(one.sha256) for one in ordered)
        places = np.empty(len(order), dtype=np.int32)
        places[order] = np.arange(len(order))
        pairs = self.pairs.copy()
        pairs[:, :2] = places[pairs[:, :2]]
        return Labels(
            np.frombuffer(contents, np.uint8).reshape(-1, 32),
            self.numbers[order],
            np.asarray(outside, dtype=np.float16).reshape(-1, dimension),
            pairs,
        )


@dataclass(frozen=True)
class Contradiction:
    """A picture that was given several classes, and is learnt from in none; or a pair that others contradict."""

    paths: tuple[Path, ...]
    said: tuple[str, ...]


def no_pairs() -> npt.NDArray[np.int32]:
    """Return the pairs of what was not learnt from pairs."""
    return np.zeros((0, 3), dtype=np.int32)


def by_content(given: Iterable[tuple[Picture, str]]) -> tuple[Labelled, list[Contradiction]]:
    """Join the labels of each content. The classes are in the order of their names; an empty name is none of them."""
    pictures: dict[str, Picture] = {}
    said: dict[str, dict[str, Path]] = {}
    for picture, name in given:
        pictures.setdefault(picture.sha256, picture)
        said.setdefault(picture.sha256, {}).setdefault(name, picture.path)
    contradictions = [
        Contradiction(tuple(dict.fromkeys(names.values())), tuple(names)) for names in said.values() if len(names) > 1
    ]
    clear = {sha256: next(iter(names)) for sha256, names in said.items() if len(names) == 1}
    classes = tuple(sorted(set(clear.values()) - {""}))
    numbers = {"": NONE, **{name: number for number, name in enumerate(classes)}}
    labelled = Labelled(
        [pictures[sha256] for sha256 in clear],
        classes,
        np.array([numbers[name] for name in clear.values()], dtype=np.int32),
        no_pairs(),
    )
    return labelled, contradictions


def kept_labels(
    labels: Labels, classes: tuple[str, ...], pictures: Pictures, *, comparable: bool
) -> tuple[Labelled, int]:
    """Return the labels of a notion again, and how many are lost: of pictures that the index has not any more.

    Where the network is another (not `comparable`), so are those that the index never had.
    """
    found: list[Picture | None] = []
    for place, content in enumerate(labels.sha256s):
        sha256 = content.tobytes().hex()
        picture = pictures.by_content(sha256)
        if picture is None and comparable and place < len(labels.features):
            picture = Picture(Path(sha256), sha256, None, labels.features[place].astype(np.float32))
        found.append(picture)
    kept = [place for place, one in enumerate(found) if one is not None]
    places = np.full(len(found), -1, dtype=np.int32)
    places[kept] = np.arange(len(kept))
    pairs = labels.pairs.copy()
    pairs[:, :2] = places[pairs[:, :2]]
    pairs = pairs[(pairs[:, :2] >= 0).all(axis=1)]
    there = [one for one in found if one is not None]
    return Labelled(there, classes, labels.classes[kept], pairs), len(found) - len(kept)


def path_of(name: str, pictures: Pictures, root: Path) -> Path:
    """Return the file that a list means: as the index has it, relative to its root, or else relative to here."""
    for one in spellings(name):
        if one in pictures.paths:
            return root / one
    for one in spellings(name):
        if (path := Path(one)).exists() or pictures.inside(path) in pictures.paths:
            return path
    return Path(name)
