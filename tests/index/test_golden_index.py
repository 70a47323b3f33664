"""The bytes of an index made by a fixed engine: whoever moves or mends the writing side sees here what changes on disk.

Golden values lie in `golden/index.json`. Where the file is missing it is written: look at its diff before
committing it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cbir.engines.select
import cbir.index.rewrite
import cbir.indexing.makers
import cbir.parts.learning
import cbir.parts.whitening
from cbir.backbones.head import TOP, TopClasses
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.parts.whitening import Whitening
from tests.helpers.faults import content, replace_in, run_cli

GOLDEN = Path(__file__).parent / "golden" / "index.json"

#: The time of change that the files get, and the folder that meta.json names instead of a temporary one.
_CHANGED, _ROOT = 1_700_000_000_000_000_000, "/photos"


class ToyEngine:
    """Features without a network: a random projection of the coarse picture, one by one, whatever the batch."""

    description = "random projection"
    precision = "f32"
    batch = 4
    depth = 1

    def __init__(self, dimension: int) -> None:
        self._matrix = np.random.default_rng(0).normal(0, 1, (192, dimension)).astype(np.float32)

    def features(self, pictures: np.ndarray) -> np.ndarray:
        coarse = pictures[:, ::28, ::28].reshape(len(pictures), -1).astype(np.float32)
        return np.stack([np.maximum(one @ self._matrix, 0) for one in coarse])

    def start(self, pictures: np.ndarray) -> Callable[[], np.ndarray]:
        features = self.features(pictures)
        return lambda: features

    def start_places(self, pictures: np.ndarray) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        maps = []
        for step, channels in ((32, 8), (16, 6)):
            coarse = pictures[:, ::step, ::step].astype(np.float32) @ self._matrix[:3, :channels]
            maps.append(np.ascontiguousarray(np.maximum(coarse, 0).transpose(0, 3, 1, 2)))
        return lambda: (maps[0], maps[1])


class ToyClassifier:
    """Classes of the toy engine's features, one by one: the largest of the first thousand."""

    def top_of_each(self, features: np.ndarray) -> list[TopClasses | None]:
        best = [np.argsort(-one[:1000], kind="stable")[:TOP] for one in features]
        return [
            TopClasses(numbers.astype(np.uint16), one[numbers] / one.sum())
            for one, numbers in zip(features, best, strict=True)
        ]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of 41 pictures with parts, made in three runs: with changed, removed, equal, and broken files."""
    replace_in(monkeypatch)
    monkeypatch.delenv("CBIR_MODEL")
    monkeypatch.setattr(cbir.indexing.makers, "classifier_of", lambda backbone: ToyClassifier())
    monkeypatch.setattr(cbir.engines.select, "open_engine", lambda backbone, **_: ToyEngine(backbone.dimension))
    # what k-means makes of windows depends on the processor
    monkeypatch.setattr(cbir.index.rewrite, "with_part_lists", lambda new, meta: meta)
    for owner in (cbir.parts.whitening, cbir.parts.learning):
        monkeypatch.setattr(owner, "general", lambda backbone: _whitening())
    photos = tmp_path / "photos"
    for number in range(46):
        _draw(photos / f"{number % 3}" / f"{number:02}.png", number)
    _run(photos)
    for number in range(0, 24, 2):
        (photos / f"{number % 3}" / f"{number:02}.png").unlink()
    _draw(photos / "0" / "03.png", 103)
    _draw(photos / "0" / "again.png", 33)
    broken = photos / "broken.png"
    broken.write_bytes(b"no picture")
    os.utime(broken, ns=(_CHANGED, _CHANGED))
    _run(photos)
    for number in range(60, 66):
        _draw(photos / f"{number}.png", number)
    _run(photos)
    return tmp_path / "indexes" / "photos"


def _whitening() -> Whitening:
    """A whitening of whole numbers: one that is learnt depends on the last digits of what the processor computes."""
    random = np.random.default_rng(5)
    return Whitening(
        *(
            array
            for channels, numbers in ((8, 8), (6, 6))
            for array in (
                random.integers(0, 9, channels).astype(np.float32),
                random.integers(-3, 4, (channels, numbers)).astype(np.float32),
                np.full(numbers, 4, dtype=np.float32),
            )
        )
    )


def _draw(path: Path, seed: int) -> None:
    """A picture of one colour: no version of Pillow resizes it in another way."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = (int(side) for side in random.integers(260, 420, 2))
    Image.new("RGB", (width, height), tuple(int(value) for value in random.integers(0, 256, 3))).save(path)
    os.utime(path, ns=(_CHANGED, _CHANGED))


def _run(photos: Path) -> None:
    assert run_cli(["index", str(photos), "--parts", "--quiet"]) in (0, 1)


def _written(directory: Path) -> dict[str, Any]:
    """The names of an index's files with the SHA-256 of their contents, and meta.json.

    Left out: the bytes of Annoy's trees, which its compiler decides, the times at which the system changed the files,
    the dates of the runs, where the network's weights lie, and the versions of what reads pictures. Quantiles are
    rounded, because their last digit is the processor's.
    """
    meta = json.loads((directory / "meta.json").read_text("utf-8"))
    for name in ("created", "updated"):
        meta[name] = ""
    meta["root"], meta["checksum"] = _ROOT, ""
    meta["model"]["weights"]["path"] = meta["refused"]["readers"] = ""
    for name in ("nearest", "random"):
        meta["cosines"][name] = [round(value, 3) for value in meta["cosines"][name]]
    written = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if not path.name.startswith(("meta.json", "lock"))
    }
    left_out = {name for name in written if name.startswith(("changed", "refused")) or name.endswith(".ann")}

    def without_left_out(value: Any) -> Any:
        if isinstance(value, dict):
            hides = value.get("name") in left_out
            return {key: "" if hides and key == "sha256" else without_left_out(one) for key, one in value.items()}
        return [without_left_out(one) for one in value] if isinstance(value, list) else value

    files = {name: "" if name in left_out else digest for name, digest in written.items()}
    return {"files": files, "meta.json": without_left_out(meta)}


def test_the_same_input_writes_the_same_index(directory: Path) -> None:
    written = _written(directory)
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(written, indent=1) + "\n", "utf-8")
    assert written == json.loads(GOLDEN.read_text("utf-8"))


def test_an_index_of_today_is_read(tmp_path: Path) -> None:
    """The index in `golden/photos` was made by version 0.1: four pictures, with classes, thumbnails and parts."""
    directory = tmp_path / "photos"
    shutil.copytree(GOLDEN.parent / "photos", directory)
    assert find_problems(Index.open(directory)) == []
    stored = content(directory)
    assert sorted(stored) == ["0.png", "1.png", "2.png", "3.png"]
    together = hashlib.sha256(b"".join(row + columns for _, (_, row, columns) in sorted(stored.items())))
    assert together.hexdigest() == "59732faeb3293168427003ed3cb70c4fcd319e851e01dbbfee25280162dfa3fc"
