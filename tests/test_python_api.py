"""What `import cbir` offers beyond what the commands use of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cbir
from cbir.cli import cli
from cbir.errors import IndexConflictError

Folder = Callable[..., Path]


def test_index_folder_makes_and_refreshes(photo_folder: Folder, tmp_path: Path) -> None:
    root = photo_folder(3)
    seen: list[int] = []

    def watch(results: Iterator[Any], total: int) -> Iterator[Any]:
        seen.append(total)
        return results

    index, report = cbir.index_folder(str(root), exclude=["img_002*"], watch=watch)
    assert (index.directory.name, len(index), report.added, seen) == ("photos", 2, 2, [2])
    assert len(cbir.open_index("photos")) == 2
    again, report = cbir.index_folder(root, exclude=[])
    assert (len(again), report.unchanged, report.added) == (3, 2, 1)
    assert len(index) == 2
    with pytest.raises(IndexConflictError):
        cbir.index_folder(tmp_path, "photos")


def test_names_of_files_will_do(photo_folder: Folder) -> None:
    path = photo_folder(1) / "img_000.jpg"
    (tagged,) = cbir.Tagger("efficientnet_lite0").tag([str(path)])
    record = json.loads(CliRunner().invoke(cli, ["tags", str(path), "--format", "jsonl", "-q"]).stdout)
    assert [tag.word for tag in tagged.tags or ()] == [tag["word"] for tag in record["tags"]]
    extractor = cbir.Extractor("efficientnet_lite0")
    assert np.array_equal(extractor.feature(str(path)), extractor.feature(path.read_bytes()))
