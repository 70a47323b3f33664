"""Treatments: what was done to the pictures of some folders of an index, such as a filter, or drawing them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError
from cbir.images.sources.address import Address, Location
from cbir.index.store import Index
from cbir.search.filters import Filters
from cbir.utils.vectors import Floats, Rows

#: The mean of a treatment counts for as many rows as it is of, no mean at all (zero) for this many.
PRIOR_ROWS = 5

#: Rows whose mean stands for that of all rows of a treatment.
SAMPLED = 1024


@dataclass(frozen=True, eq=False)
class Treatments:
    """The treatments of an index's rows, by their numbers: one a folder, and that of the rows in none of them last.

    `names` are the folders, relative to the index's root; None is the rows in none, where there are some. `of_rows`,
    shape (rows,), has the number of each row's, `means`, shape (treatments, dimension), the means of their features,
    which are shrunk towards zero where they are of few.
    """

    names: tuple[str | None, ...]
    of_rows: npt.NDArray[np.int64]
    means: Floats

    @classmethod
    def of(cls, index: Index, filters: Filters, folders: Sequence[str]) -> Treatments:
        """Find the treatments of some folders; a row in several has that of the innermost.

        CbirError where the index has no pictures in one of them, or all of its pictures are of one treatment.
        """
        found = dict(filters.folder(one) for one in folders)
        # what lies within another folder has fewer rows, and comes after it
        names = sorted(found, key=lambda name: (-np.count_nonzero(found[name]), len(name)))
        of_rows = np.full(index.rows, len(names), dtype=np.int64)
        for number, name in enumerate(names):
            of_rows[found[name]] = number
        counts = np.bincount(of_rows[index.comparable], minlength=len(names) + 1)
        if np.count_nonzero(counts) < 2:
            raise CbirError(
                f"All pictures of the index {index.directory.name} are of one treatment: name a folder for each, such "
                "as --across photos --across drawings."
            )
        order = [number for number in np.argsort(names, kind="stable").tolist() if counts[number]]
        order += [len(names)] if counts[-1] else []
        place = np.zeros(len(names) + 1, dtype=np.int64)
        place[order] = np.arange(len(order))
        all_names = (*names, None)
        of_rows = place[of_rows]
        means = np.stack(
            [_mean(index, np.flatnonzero((of_rows == one) & index.comparable)) for one in range(len(order))]
        )
        return cls(tuple(all_names[number] for number in order), of_rows, means)

    def nearest(self, feature: Floats) -> int:
        """Return the treatment whose mean is nearest to a feature, shape (dimension,)."""
        return int(np.argmin(np.square(self.means - feature).sum(axis=1)))

    def of_path(self, place: Location, root: Location) -> int | None:
        """Return the treatment whose folder a picture lies in, the innermost; None where it lies in none of them."""
        inside = _relative(place, root)
        if inside is None:
            return None
        fits = [name for name in self.names if name is not None and (not name or inside.startswith(f"{name}/"))]
        return self.names.index(max(fits, key=len)) if fits else None


def _mean(index: Index, rows: Rows) -> Floats:
    """Return the shrunk mean of the features of some rows, of many that of some, shape (dimension,)."""
    some = rows if len(rows) <= SAMPLED else rows[np.linspace(0, len(rows) - 1, SAMPLED).astype(np.int64)]
    total = index.features(some).sum(axis=0) / np.float32(max(len(some), 1))
    return np.asarray(total * np.float32(len(rows) / (len(rows) + PRIOR_ROWS)), dtype=np.float32)


def _relative(place: Location, root: Location) -> str | None:
    """Return the name of a file below a root, None where it lies elsewhere."""
    if isinstance(root, Address) or isinstance(place, Address):
        prefix = f"{root}/"
        return str(place).removeprefix(prefix) if str(place).startswith(prefix) else None
    relative = os.path.relpath(os.path.abspath(Path(place)), root).replace(os.sep, "/")
    return None if relative == ".." or relative.startswith("../") else relative
