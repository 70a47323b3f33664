"""Choosing the pictures whose labels would teach a notion most: uncertain ones, and many others are like them.

A ridge regression on some rows says how sure its scores of all others are: the variance of a Gaussian process with the
same products (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, 2.25). That row is chosen whose
label would lower the variance of all rows most (Cohn, Ghahramani and Jordan, "Active Learning with Statistical Models",
Journal of Artificial Intelligence Research 1996), times how much its own class is in doubt; then the next as if that
had its label, so that no two tell the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.images.sources.address import Location
from cbir.index.store import Index
from cbir.notions.notion import Notion
from cbir.notions.ridge import RIDGE
from cbir.notions.store import check_name, load_notion
from cbir.utils.vectors import Floats, Rows, l2_normalize

#: Rows that may be chosen, those most in doubt, and rows whose variance counts, drawn at random: of more there is no
#: time, and they would change little.
_CANDIDATES, _COUNTED = 2000, 2000

#: What a row counts whose class is in no doubt.
_LEAST_DOUBT = 1e-3

_SEED = 1


@dataclass(frozen=True)
class Asked:
    """A picture whose label would teach much, and its row. `likely` are its two likeliest classes, the first one first.

    There is one where a notion has no other, and none where no class claims the row or nothing is learnt yet.
    """

    row: int
    path: Location
    likely: tuple[str, ...]

    @property
    def why(self) -> str:
        """The reason for people."""
        return f"{' or '.join(self.likely)}?" if self.likely else "unlike what has a label"


def ask(index: Index, count: int, notion: Notion | None = None, labelled: Iterable[str] = ()) -> list[Asked]:
    """Choose at most `count` pictures of an index whose labels would teach most, in this order.

    Pictures that have a label are left out: those of the `notion`, if one is learnt already, and of `labelled`, which
    are contents by their SHA-256. Of several files of one content, one is chosen.
    """
    known = set(labelled)
    if notion is not None:
        known.update(bytes(one).hex() for one in notion.labels.sha256s)
    sha256s = index.files().sha256s
    first = {sha256s[row]: row for row in np.flatnonzero(index.valid)[::-1].tolist()}
    with_label = np.array(sorted(row for sha256, row in first.items() if sha256 in known), dtype=np.int64)
    rows = np.array(sorted(row for sha256, row in first.items() if sha256 not in known), dtype=np.int64)
    if not len(rows):
        return []
    random = np.random.default_rng(_SEED)
    in_doubt = np.ones(len(rows), np.float32) if notion is None else _doubts_of(index, notion)[rows]
    # rows of equal doubt in any order
    order = random.permutation(len(rows))
    candidates = np.sort(order[np.argsort(-in_doubt[order], kind="stable")][:_CANDIDATES])
    counted = np.sort(random.permutation(len(rows))[:_COUNTED])
    features, counted_features = index.features(rows[candidates]), index.features(rows[counted])
    sound = index.comparable  # as is known now that they were read
    candidates, features = candidates[sound[rows[candidates]]], features[sound[rows[candidates]]]
    counted, counted_features = counted[sound[rows[counted]]], counted_features[sound[rows[counted]]]
    mean = counted_features.mean(axis=0) if notion is None else notion.mean
    elsewhere = np.zeros((0, index.dimension)) if notion is None else notion.labels.features
    labelled_features = np.concatenate([index.features(with_label), l2_normalize(elsewhere.astype(np.float32))])
    chosen = most_telling(
        l2_normalize(features - mean),
        l2_normalize(counted_features - mean),
        l2_normalize(labelled_features - mean),
        in_doubt[candidates],
        count,
    )
    found = rows[candidates][chosen].tolist()
    paths = [index.root / file.path for file in index.files_of(found)]
    return list(map(Asked, found, paths, _likely(notion, features[chosen])))


def ask_for(index: Index, name: str, count: int) -> list[Asked]:
    """Do so for a notion of an index by its name, of which there need not be one yet. CbirError where it is unsound."""
    check_name(name)
    is_known = any(entry.name == name for entry in index.meta.notions)
    return ask(index, count, load_notion(index, name) if is_known else None)


def most_telling(candidates: Floats, counted: Floats, labelled: Floats, in_doubt: Floats, count: int) -> Rows:
    """Choose candidates in doubt whose labels would lower the variance of the `counted` rows most: their numbers.

    All rows have length 1: shapes (n, dimension), (m, dimension) and (labelled, dimension). `in_doubt`, shape (n,), is
    how much the class of each candidate is.
    """
    covariances = _covariances(np.concatenate([counted, candidates]), candidates, labelled)
    of_counted, of_candidates = covariances[: len(counted)], covariances[len(counted) :]
    chosen: list[int] = []
    for _ in range(min(count, len(candidates))):
        variances = np.diag(of_candidates) + np.float32(RIDGE)
        gains = in_doubt * np.einsum("ij,ij->j", of_counted, of_counted) / variances
        gains[chosen] = -1
        best = int(gains.argmax())
        chosen.append(best)
        # as if it had its label
        covariances -= np.outer(covariances[:, best], of_candidates[best] / variances[best])
    return np.array(chosen, dtype=np.int64)


def doubts(scores: Floats) -> Floats:
    """Return how much the class of rows is in doubt, from their scores, shape (n, classes): from nearly 0 to 1, (n,).

    It is the less, the more the first class is before the second, or before none where there is one class.
    """
    if scores.shape[1] == 1:
        margins = np.abs(2 * scores[:, 0] - 1)
    else:
        first_two = -np.partition(-scores, 1, axis=1)[:, :2]
        margins = first_two[:, 0] - first_two[:, 1]
    return np.asarray(np.clip(1 - margins, 0, 1) + np.float32(_LEAST_DOUBT), dtype=np.float32)


def _doubts_of(index: Index, notion: Notion) -> Floats:
    """Return the doubts of all rows, shape (rows,)."""
    found = np.zeros(index.rows, dtype=np.float32)
    for start, chunk in index.chunks():
        found[start : start + len(chunk)] = doubts(notion.scores(chunk))
    return found


def _covariances(rows: Floats, columns: Floats, labelled: Floats) -> Floats:
    """Return the covariances of rows' scores given the labelled ones, by the smaller of two systems of equations."""
    if not len(labelled):
        return rows @ columns.T
    if len(labelled) <= rows.shape[1]:
        products = labelled @ labelled.T + np.float32(RIDGE) * np.eye(len(labelled), dtype=np.float32)
        return rows @ columns.T - (rows @ labelled.T) @ np.linalg.solve(products, labelled @ columns.T)
    products = labelled.T @ labelled + np.float32(RIDGE) * np.eye(rows.shape[1], dtype=np.float32)
    return np.float32(RIDGE) * (rows @ np.linalg.solve(products, columns.T))


def _likely(notion: Notion | None, features: Floats) -> list[tuple[str, ...]]:
    """Return the two likeliest classes of each row, none where no class claims it."""
    if notion is None:
        return [()] * len(features)
    scores = notion.scores(features)
    names: npt.NDArray[np.object_] = np.array([*notion.classes], dtype=object)
    found = names[np.argsort(-scores, axis=1)[:, :2]]
    claims = notion.claims(scores).tolist()
    return [tuple(its) if claim else () for its, claim in zip(found.tolist(), claims, strict=True)]
