"""An index of real files whose features and classes are given, for tests that need no network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cbir.backbones.backbone import describe
from cbir.backbones.imagenet import classes as imagenet
from cbir.index.columns.classes import COUNT, pack
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.home import index_directory
from cbir.index.writer import Writer


def index_photos(root: Path, shown: Mapping[str, str] | None = None) -> Path:
    """An index `photos` of all files below `root`; pictures of one folder are alike.

    `shown` has ImageNet's class (a WordNet id) of some of them, by the file's name. Returns the index's directory.
    """
    number_of = {one.wordnet_id: one.number for one in imagenet()}
    backbone = describe("efficientnet_lite0")
    directory = index_directory("photos")
    directory.mkdir(parents=True)
    date = "2026-01-01T00:00:00Z"
    writer = Writer(directory, Meta(backbone.to_json(), backbone.dimension, str(root), date, date))
    random = np.random.default_rng(7)
    centres: dict[Path, np.ndarray] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        centre = centres.setdefault(path.parent, random.gamma(0.5, size=backbone.dimension))
        feature = centre + random.normal(0, 0.5, backbone.dimension)
        status = path.stat()
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        record = FileRecord(str(path.relative_to(root)), status.st_size, status.st_mtime_ns, sha256)
        first = number_of[(shown or {}).get(path.name, "n02088364")]
        numbers = [first, *(number for number in range(700, 700 + COUNT) if number != first)]
        probabilities = np.array([0.9, *[0.001] * (COUNT - 1)])
        writer.add(
            record,
            (feature / np.linalg.norm(feature)).astype(np.float32),
            {"classes": pack(np.array(numbers[:COUNT]), probabilities)},
        )
    writer.commit()
    writer.tidy()
    return directory
