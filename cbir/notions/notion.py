"""A notion: a user's own likeness of pictures, learnt from labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.index.exact import RowSource
from cbir.index.quantiles import CosineQuantiles
from cbir.notions.probability import Certainty
from cbir.utils.vectors import Floats, Rows, l2_normalize

#: The weight of a notion's scores beside the feature; how long the scores of a picture of one of its classes have to be
#: at most, see `Notion.gate`.
STRENGTH, GATE = 0.8, 0.6

#: What a notion was learnt from, and how it was found to be.
KINDS, VERDICTS = ("classes", "pairs", "marks"), ("applied", "weak")

#: The rows of an index that a notion may be of (`cbir.notions.rows`).
PICTURES, PARTS = "pictures", "parts"

#: The class of a label that says "none of them".
NONE = -1


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels that a notion was learnt from: n contents, shape (n, 32), and the class of each, shape (n,).

    The class of what is none of them, or unlike, is NONE. `features`, shape (m, dimension), are those of the first m,
    which are of pictures that the index had not. Of pairs, each row of `pairs`, shape (p, 3), has two labels' numbers,
    and 1 where they are the same, else 0; then classes are the groups that were made of these. Of parts of pictures,
    `boxes` has those of all labels, shape (n, 4), zeros for a whole picture.
    """

    sha256s: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.int32]
    features: npt.NDArray[np.float16]
    pairs: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    boxes: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 4), np.int32))

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, eq=False)
class Notion:
    """A likeness of its own beside that of features: scores of some classes, linear in a feature but for their signs.

    `mean`, shape (dimension,), is taken off features; `weights` have shape (dimension, classes). `quality` is Cohen's
    kappa of classes told by the others' labels, or how well held-out pairs are told apart (the area under the curve);
    `verdict` follows from it. `model` is the `fingerprint` of the network whose features it was learnt on. `cosines`
    tells how alike the index's rows are by `vectors`, `certainty` how probable their classes are. A picture whose
    scores are shorter than the `gate` is of none of the classes; that is lower than GATE where they cover the index.
    `of` are the rows that it orders: those of PICTURES are features.
    """

    name: str
    classes: tuple[str, ...]
    mean: Floats
    weights: Floats
    scale: float
    kind: str
    quality: float
    verdict: str
    model: str
    labels: Labels
    cosines: CosineQuantiles | None = None
    created: str = ""
    certainty: Certainty = field(default_factory=Certainty)
    gate: float = GATE
    of: str = PICTURES

    def centred(self, features: Floats) -> Floats:
        """Take the mean off features of length 1, shape (n, dimension), and bring them to length 1 once more."""
        return l2_normalize(features - self.mean)

    def scores(self, features: Floats) -> Floats:
        """Return how much features are of each class, shape (n, classes); the scores of one of them have length 1."""
        return self.scores_of_centred(self.centred(features))

    def scores_of_centred(self, centred: Floats) -> Floats:
        """Return the `scores` of rows that `centred` has made."""
        return np.asarray(np.float32(self.scale) * np.maximum(centred @ self.weights, 0), dtype=np.float32)

    def probabilities(self, features: Floats) -> Floats:
        """Return the probability of each class for features that are of one of them: shape (n, classes)."""
        return self.certainty.probabilities(np.float32(self.scale) * (self.centred(features) @ self.weights))

    def claims(self, scores: Floats) -> npt.NDArray[np.bool_]:
        """Tell of each row of `scores` whether it is of one of the classes: shape (n,)."""
        return np.asarray(np.linalg.norm(scores, axis=-1) >= self.gate, dtype=np.bool_)

    def vectors(self, features: Floats) -> Floats:
        """Return vectors of length 1 whose dot products are the likeness, shape (n, dimension + classes)."""
        centred = self.centred(features)
        return l2_normalize(np.concatenate([centred, np.float32(STRENGTH) * self.scores_of_centred(centred)], axis=1))


class LearntRows:
    """The rows of an index as a notion has them: for what compares rows by the dot products of their features."""

    def __init__(self, source: RowSource, notion: Notion) -> None:
        self._source, self._notion = source, notion

    @property
    def rows(self) -> int:
        """The number of rows, invalid ones included."""
        return self._source.rows

    @property
    def dimension(self) -> int:
        """Numbers of a row."""
        return self._source.dimension + len(self._notion.classes)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """A mask of the rows that count, shape (rows,)."""
        return self._source.valid

    def features(self, rows: Sequence[int] | Rows) -> Floats:
        """Vectors of `rows`, shape (len(rows), dimension), of length 1."""
        return self._notion.vectors(self._source.features(rows))

    def chunks(self, first: int = 0) -> Iterator[tuple[int, Floats]]:
        """All vectors from row `first` on, in order, as pairs of the chunk's first row and the chunk."""
        return ((start, self._notion.vectors(chunk)) for start, chunk in self._source.chunks(first))


def fingerprint(model: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an index's network, wherever its weights lie: the same for comparable features only."""
    canonical = json.dumps(_without_places(model), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_places(one) for key, one in value.items() if key not in ("path", "url", "source")}
    return [_without_places(one) for one in value] if isinstance(value, list) else value
