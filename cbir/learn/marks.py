"""A notion from marks: pictures that are alike to somebody, and pictures that are unlike them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from cbir.errors import CbirError
from cbir.index.quantiles import CosineQuantiles
from cbir.index.similarity import sample, sample_of_some
from cbir.index.store import Index
from cbir.learn.fitting import Basis, fit_classes, notion_of, quality_of
from cbir.learn.labels import Absent, Labelled, kept_labels, no_pairs
from cbir.learn.pictures import Picture, of_key
from cbir.notions.decide import verdict
from cbir.notions.notion import GATE, NONE, PICTURES, LearntRows, Notion
from cbir.notions.rows import ROWS, model_of
from cbir.utils.printable import printable
from cbir.utils.vectors import Floats, Rows, l2_normalize

#: The one class of marks, and fewer of it than these are few.
ALIKE, FEW = "alike", 5

#: Marks of one notion at most.
MOST_MARKS = 10_000

# Rows without marks: those that are told to be unlike, those whose mean is that of the collection, and those that tell
# how alike rows are by the notion. Of each there are just so many that a mark can be answered at once.
_UNMARKED, _MEAN_ROWS, _SAMPLED = 200, 2000, 200

_SEED = 7


def learn_marks(
    index: Index,
    name: str,
    alike: Sequence[Picture],
    unlike: Sequence[Picture],
    before: Notion | None = None,
    of: str = PICTURES,
) -> Notion:
    """Learn a notion from marks, and those that one from `before` was learnt from; a new mark takes an old one's place.

    Marks are few and are made one after the other, so it takes some hundredths of a second whatever the index; and
    they are never refused: where they teach little, the notion is weak. Marks may be `of` PARTS, as `Parts` finds them.
    CbirError where nothing is marked as alike, a picture is marked as both, `before` is learnt from something else or
    by another network, or there are too many.
    """
    labelled = _joined(index, name, alike, unlike, before, of)
    if of != PICTURES:
        from cbir.learn.parts import basis_of_parts

        return _notion(index, name, basis_of_parts(index, labelled, _UNMARKED), labelled)
    random = np.random.default_rng(_SEED)
    comparable = np.flatnonzero(index.comparable)
    rows = random.choice(comparable, min(_MEAN_ROWS, len(comparable)), replace=False)
    mean = before.mean if before is not None else _mean(index, rows)
    marked = [one.row for one in labelled.pictures if one.row is not None]
    others = np.sort(rows[~np.isin(rows, marked)][:_UNMARKED])
    used = np.concatenate([[-1 if one.row is None else one.row for one in labelled.pictures], others])
    shares = np.where(np.isin(used, rows), np.float32(1 / max(len(rows), 1)), np.float32(0))
    basis = Basis(
        mean, l2_normalize(labelled.features(index) - mean), l2_normalize(index.features(others) - mean), shares
    )
    notion = _notion(index, name, basis, labelled)
    # one mark more of many hardly changes how alike rows are: it is looked at when their number has about doubled
    if before is not None and len(before.labels).bit_length() == len(notion.labels).bit_length():
        return replace(notion, cosines=before.cosines)
    return replace(notion, cosines=_cosines(index, notion, rows[:_SAMPLED]))


def _notion(index: Index, name: str, basis: Basis, labelled: Labelled) -> Notion:
    found = fit_classes(basis, labelled.numbers, 1)
    quality = quality_of(found, labelled.numbers)
    are_few = (labelled.numbers != NONE).sum() < FEW  # what little one tells of another says nothing yet
    decided = "weak" if are_few else verdict(quality)
    notion = notion_of(index, name, "marks", basis, labelled, found, quality, decided or "weak")
    return replace(notion, gate=GATE) if are_few and basis.of == PICTURES else notion


def _joined(
    index: Index, name: str, alike: Sequence[Picture], unlike: Sequence[Picture], before: Notion | None, of: str
) -> Labelled:
    """Return all marks, each content once."""
    marks: dict[str, tuple[Picture, int]] = {}
    absent: dict[str, int] = {}
    if before is not None:
        if before.of != of:
            what = ROWS[before.of].what
            raise CbirError(f"The notion {printable(name)} is of {what}: mark such, or choose another name.")
        if before.kind != "marks" or before.model != model_of(index.meta, of):
            how = f"from {before.kind}" if before.kind != "marks" else "by another network"
            raise CbirError(f"The notion {printable(name)} was learnt {how}: marks cannot be added to it.")
        kept = kept_labels(before.labels, before.classes, partial(_of_content, index), comparable=True)
        pairs = zip(kept.pictures, kept.numbers.tolist(), strict=True)
        marks = {picture.key: (picture, number) for picture, number in pairs}
        absent = dict(kept.absent.numbers)
    new = {one.key for one in alike}
    if both := next((one for one in unlike if one.key in new), None):
        raise CbirError(f"{printable(str(both.path))} is marked as alike and as unlike: leave one out.")
    for pictures, number in ((alike, 0), (unlike, NONE)):
        marks.update((one.key, (one, number)) for one in pictures)
    numbers = np.array([number for _, number in marks.values()], dtype=np.int32)
    if not (numbers == 0).any():
        raise CbirError(f"There is nothing to learn {printable(name)} from: mark a picture as alike.")
    if len(marks) + len(absent) > MOST_MARKS:
        raise CbirError(f"The notion {printable(name)} would have {len(marks):,} marks, and can have {MOST_MARKS:,}.")
    absent = {key: number for key, number in absent.items() if key not in marks}
    return Labelled([picture for picture, _ in marks.values()], (ALIKE,), numbers, no_pairs(), Absent(absent))


def _of_content(index: Index, key: str) -> Picture | None:
    """Return the picture of a content, without a list of all that the index has."""
    sha256, _ = of_key(key)
    rows = index.rows_of_content(sha256)
    return Picture(index.root / index.record(rows[0]).path, sha256, rows[0]) if rows else None


def _mean(index: Index, rows: Rows) -> Floats:
    features = index.features(np.sort(rows))
    return np.asarray(features.sum(axis=0) / max(len(features), 1), dtype=np.float32)


def _cosines(index: Index, notion: Notion, rows: Rows) -> CosineQuantiles | None:
    """Return about how alike rows are by a notion, from some rows."""
    of_all = index.meta.cosines
    if index.rows <= len(rows) or of_all is None:
        return sample(LearntRows(index, notion))
    features = index.features(np.sort(rows))
    return sample_of_some(features, notion.vectors(features), of_all)
