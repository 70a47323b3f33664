"""Labels by content: one class each, and those that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.images.regions import Box
from cbir.images.sources.address import Location
from cbir.index.store import Index
from cbir.learn.pictures import Picture, Pictures, key_of, of_key
from cbir.notions.notion import NONE, PARTS, Labels
from cbir.utils.text import spellings
from cbir.utils.vectors import Floats


@dataclass(frozen=True)
class Absent:
    """Labels that were kept, of pictures that cannot be looked at now: nothing is learnt from them, nor are they lost.

    `numbers` are their classes by content, `pairs` those of contents in which one of them is, and 1 or 0 as of
    `Labelled`.
    """

    numbers: Mapping[str, int] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str, int]] = ()

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Labelled:
    """Pictures of different contents, or parts of them, and the numbers of their classes, shape (n,); NONE for none.

    Of pairs, `pairs` has the numbers of two pictures, and 1 where they are the same, else 0, shape (p, 3).
    """

    pictures: Sequence[Picture]
    classes: tuple[str, ...]
    numbers: npt.NDArray[np.int32]
    pairs: npt.NDArray[np.int32]
    absent: Absent = field(default_factory=Absent)

    def features(self, index: Index) -> Floats:
        """Return the pictures' features, shape (n, dimension), of length 1."""
        found = np.empty((len(self.pictures), index.dimension), dtype=np.float32)
        inside = [place for place, one in enumerate(self.pictures) if one.feature is None]
        found[inside] = index.features([row for place in inside if (row := self.pictures[place].row) is not None])
        for place, one in enumerate(self.pictures):
            if one.feature is not None:
                found[place] = one.feature
        return found

    def to_labels(self, dimension: int, of: str) -> Labels:
        """Return what a notion of such rows keeps of them."""
        order = sorted(range(len(self.pictures)), key=lambda place: self.pictures[place].feature is None)
        ordered = [self.pictures[place] for place in order]
        features = [one.feature for one in ordered if one.feature is not None]
        keys = [one.key for one in ordered] + list(self.absent.numbers)
        contents, boxes = zip(*map(of_key, keys), strict=True)
        place_of = {key: place for place, key in enumerate(keys)}
        pairs = [
            *(
                (self.pictures[one].sha256, self.pictures[other].sha256, same)
                for one, other, same in self.pairs.tolist()
            ),
            *self.absent.pairs,
        ]
        return Labels(
            np.frombuffer(bytes.fromhex("".join(contents)), np.uint8).reshape(-1, 32),
            np.concatenate([self.numbers[order], np.array(list(self.absent.numbers.values()), dtype=np.int32)]),
            np.asarray(features, dtype=np.float16).reshape(-1, dimension),
            np.array([(place_of[one], place_of[other], same) for one, other, same in pairs], np.int32).reshape(-1, 3),
            np.array([box or (0, 0, 0, 0) for box in boxes if of == PARTS], dtype=np.int32).reshape(-1, 4),
        )


@dataclass(frozen=True)
class Contradiction:
    """A picture that was given several classes, and is learnt from in none; or a pair that others contradict."""

    paths: tuple[Location, ...]
    said: tuple[str, ...]


def no_pairs() -> npt.NDArray[np.int32]:
    """Return the pairs of what was not learnt from pairs."""
    return np.zeros((0, 3), dtype=np.int32)


def by_content(
    given: Iterable[tuple[Picture, str]], absent: Mapping[str, str] | None = None
) -> tuple[Labelled, list[Contradiction]]:
    """Join the labels of each content or part. Classes are in the order of their names; an empty name is none of them.

    `absent` are the classes by the keys of what cannot be looked at, where nothing else is said of it.
    """
    pictures: dict[str, Picture] = {}
    said: dict[str, dict[str, Location]] = {}
    for picture, name in given:
        pictures.setdefault(picture.key, picture)
        said.setdefault(picture.key, {}).setdefault(name, picture.path)
    contradictions = [
        Contradiction(tuple(dict.fromkeys(names.values())), tuple(names)) for names in said.values() if len(names) > 1
    ]
    clear = {key: next(iter(names)) for key, names in said.items() if len(names) == 1}
    others = {key: name for key, name in (absent or {}).items() if key not in said}
    classes = tuple(sorted({*clear.values(), *others.values()} - {""}))
    numbers = {"": NONE, **{name: number for number, name in enumerate(classes)}}
    labelled = Labelled(
        [pictures[key] for key in clear],
        classes,
        np.array([numbers[name] for name in clear.values()], dtype=np.int32),
        no_pairs(),
        Absent({key: numbers[name] for key, name in others.items()}),
    )
    return labelled, contradictions


def keys_of(labels: Labels) -> list[str]:
    """Return the keys of what has labels: see `Picture.key`."""
    boxes = [Box(*box) if min(box[2:]) > 0 else None for box in labels.boxes.tolist()] or [None] * len(labels)
    return [key_of(sha256.tobytes().hex(), box) for sha256, box in zip(labels.sha256s, boxes, strict=True)]


def kept_labels(
    labels: Labels, classes: tuple[str, ...], by_key: Callable[[str], Picture | None], *, comparable: bool
) -> Labelled:
    """Return the labels of a notion again; absent are those of pictures that the index has not any more.

    `by_key` finds those that it has. Where other rows are compared than when they were learnt (not `comparable`), those
    that the index never had are absent, too.
    """
    contents = keys_of(labels)
    found: list[Picture | None] = []
    for place, key in enumerate(contents):
        picture = by_key(key)
        if comparable and place < len(labels.features) and (picture is None or len(labels.boxes)):
            sha256, box = of_key(key)
            path, row = (Path(sha256), None) if picture is None else (picture.path, picture.row)
            picture = Picture(path, sha256, row, labels.features[place].astype(np.float32), box)
        found.append(picture)
    kept = [place for place, one in enumerate(found) if one is not None]
    place_of = {place: new for new, place in enumerate(kept)}
    pairs, absent_pairs = [], []
    for one, other, same in labels.pairs.tolist():
        if one in place_of and other in place_of:
            pairs.append((place_of[one], place_of[other], same))
        else:
            absent_pairs.append((contents[one], contents[other], same))
    absent = {contents[place]: int(labels.classes[place]) for place, one in enumerate(found) if one is None}
    return Labelled(
        [one for one in found if one is not None],
        classes,
        labels.classes[kept],
        np.array(pairs, np.int32).reshape(-1, 3),
        Absent(absent, absent_pairs),
    )


def path_of(name: str, pictures: Pictures, root: Location) -> Location:
    """Return the file that a list means: as the index has it, relative to its root, or else relative to here."""
    for one in spellings(name):
        if one in pictures.paths:
            return root / one
    for one in spellings(name):
        if (path := Path(one)).exists() or pictures.inside(path) in pictures.paths:
            return path
    return Path(name)
