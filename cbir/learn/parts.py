"""Parts of pictures that have labels: read by the network as a search reads them; and what is learnt from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError, ImageReadError, RegionError
from cbir.extract.extractor import Watch
from cbir.images.contents import read_bytes
from cbir.images.regions import Box, RegionOption, whole
from cbir.images.safely import decode
from cbir.images.sources.address import Location
from cbir.index.ann.codes import SCALE
from cbir.index.columns.parts import MOST, NUMBERS, PARTS, SIGNS, count_windows
from cbir.index.store import Index
from cbir.learn.fitting import UNLABELLED_ROWS, Basis
from cbir.learn.labels import Labelled
from cbir.learn.pictures import Picture, Pictures, Skipped, of_key
from cbir.notions.notion import PARTS as OF_PARTS
from cbir.parts.learning import whitening_of_index
from cbir.parts.reader import PartReader
from cbir.utils.boxes import overlaps
from cbir.utils.vectors import Floats, Rows, l2_normalize

#: Pixels of a part's longer side, below which nothing can be learnt from it.
_LEAST = 16

#: A window of the index that overlaps a label's box so much (intersection over union) has the label, too.
_SAME = 0.5

_SEED = 7


class Parts:
    """Reads parts of pictures with the network and the whitening of an index. CbirError where that has no parts."""

    def __init__(self, index: Index, pictures: Pictures, engine: LazyEngine, watch: Watch) -> None:
        self._pictures, self._watch = pictures, watch
        self._reader = PartReader(engine.backbone, engine=engine)
        self._whitening = whitening_of_index(index, engine.backbone)

    def find(self, parts: Sequence[tuple[Location, str]]) -> tuple[list[Picture | None], list[Skipped]]:
        """Find parts by their files and their regions, such as "40,30,200,150" or "" for all of the picture, in order.

        None for those that are skipped. Parts of one file that follow each other share its pixels.
        """
        found: list[Picture | None] = []
        skipped = []
        groups = (list(group) for _, group in groupby(parts, lambda part: part[0]))
        for group in self._watch(groups, len({path for path, _ in parts})):
            path = group[0][0]
            try:
                data = read_bytes(path)
                image = decode(data, name=str(path), apart=True)
            except ImageReadError as error:
                found += [None] * len(group)
                skipped.append(Skipped(path, error.reason))
                continue
            sha256 = hashlib.sha256(data).hexdigest()
            known = self._pictures.by_content(sha256)
            path, row = (path, None) if known is None else (known.path, known.row)
            for _, asked in group:
                try:
                    region = RegionOption.parse(asked).of(image, str(path)) if asked else whole(image)
                    if max(region.box[2:]) < _LEAST:
                        raise RegionError(f"the box {asked or 'of all'} is too small to tell what it shows")
                except (ValueError, RegionError) as error:
                    found.append(None)
                    skipped.append(Skipped(path, str(error)))
                    continue
                means = self._reader.region(image, region)
                feature = l2_normalize(_padded(self._whitening.rows(means)))[0]
                found.append(Picture(path, sha256, row, feature, region.box if asked else None))
        return found, skipped

    def of_key(self, key: str) -> Picture | None:
        """Read a part of a picture of the index again, by its key; None where that cannot be."""
        sha256, box = of_key(key)
        known = self._pictures.by_content(sha256)
        if known is None:
            return None
        part = self.find([(known.path, "" if box is None else ",".join(map(str, box)))])[0][0]
        return part if part is not None and part.sha256 == sha256 else None


def basis_of_parts(index: Index, labelled: Labelled, unlabelled: int = UNLABELLED_ROWS) -> Basis:
    """Return what to learn from: labelled parts, the windows of the index that are the same, and a sample of others.

    Rows of parts are whitened about their own mean, so that no other is taken off. IndexDamagedError where files of
    parts are damaged.
    """
    again, windows = _same_windows(index, labelled)
    has_label = np.zeros(index.rows, dtype=np.bool_)
    has_label[[one.row for one in labelled.pictures if one.row is not None]] = True
    others = _sample(index, index.valid & ~has_label, unlabelled)
    rows = np.concatenate([np.stack([_feature(one) for one in labelled.pictures]), windows])
    numbers = {sha256: number for number, sha256 in enumerate(dict.fromkeys(one.sha256 for one in labelled.pictures))}
    groups = np.array([numbers[one.sha256] for one in labelled.pictures], dtype=np.int64)
    return Basis(
        np.zeros(NUMBERS, dtype=np.float32),
        rows,
        others,
        np.zeros(len(rows) + len(others), dtype=np.float32),
        OF_PARTS,
        again,
        np.concatenate([groups, groups[again]]),
    )


def _feature(part: Picture) -> Floats:
    if part.feature is None:
        raise CbirError(f"{part.path} is a picture, and no part of one.")
    return part.feature


def _padded(rows: Floats) -> Floats:
    return np.pad(rows, ((0, 0), (0, NUMBERS - rows.shape[1])))


def _same_windows(index: Index, labelled: Labelled) -> tuple[Rows, Floats]:
    """Return the places of labels that a window of the index shows as well, and these windows' rows."""
    places = [place for place, one in enumerate(labelled.pictures) if one.row is not None]
    rows = np.array([labelled.pictures[place].row for place in places], dtype=np.int64)
    counts = count_windows(index.stored(SIGNS, rows)) if len(rows) else np.zeros(0, np.int64)
    again: list[int] = []
    windows = []
    for place, row, count in zip(places, rows.tolist(), counts.tolist(), strict=True):
        records = index.stored(PARTS, [row])[0][:count]
        if not count:
            continue
        boxes = records["box"].astype(np.int64)
        box = labelled.pictures[place].box or Box(0, 0, *(boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist())
        shared = overlaps(np.array([box]), boxes)[0]
        if shared.max() >= _SAME:
            again.append(place)
            windows.append(_row_of(records["numbers"][int(shared.argmax())][np.newaxis])[0])
    return np.array(again, dtype=np.int64), np.array(windows, dtype=np.float32).reshape(-1, NUMBERS)


def _sample(index: Index, wanted: np.ndarray, count: int) -> Floats:
    """Return the rows of some windows of pictures by a mask, drawn at random: each picture has at most MOST of them."""
    random = np.random.default_rng(_SEED)
    rows = np.sort(random.permutation(np.flatnonzero(wanted))[:count])
    if not len(rows):
        return np.zeros((0, NUMBERS), dtype=np.float32)
    counts = count_windows(index.stored(SIGNS, rows))
    windows = (MOST * rows[:, np.newaxis] + np.arange(MOST))[np.arange(MOST) < counts[:, np.newaxis]]
    chosen = np.sort(random.permutation(windows)[:count])
    return _row_of(index.stored_items(PARTS, *np.divmod(chosen, MOST))["numbers"])


def _row_of(numbers: np.ndarray) -> Floats:
    return l2_normalize(numbers.astype(np.float32) / np.float32(SCALE))
