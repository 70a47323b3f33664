"""The sample collection: drawn the same again, small, and searched as it should be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cbir.cli import cli

DATASET = Path(__file__).parents[1] / "dataset"
PHOTOS = sorted((DATASET / "photos").glob("*/*.jpg"))


def test_the_collection_is_whole_and_small() -> None:
    classes = Counter(path.parent.name for path in PHOTOS)
    assert len(classes) >= 10
    assert min(classes.values()) >= 12
    assert sum(path.stat().st_size for path in PHOTOS) < 4_000_000


def test_a_picture_is_drawn_the_same_again(tmp_path: Path) -> None:
    command = [sys.executable, DATASET / "draw.py", "--out", tmp_path, "--only", "galaxies"]
    subprocess.run(command, check=True, capture_output=True)
    drawn = sorted(tmp_path.rglob("*.jpg"))
    kept = sorted((DATASET / "photos/galaxies").glob("*.jpg"))
    assert [path.name for path in drawn] == [path.name for path in kept]
    for one, other in zip(drawn, kept, strict=True):
        # other versions of NumPy and Pillow may round otherwise, by a shade
        apart = np.abs(np.asarray(Image.open(one), dtype=int) - np.asarray(Image.open(other), dtype=int))
        assert apart.mean() < 2


@pytest.mark.parametrize("options", [(), ("--no-rerank",)])
def test_any_picture_brings_its_own_class_first(options: tuple[str, ...]) -> None:
    runner = CliRunner()
    assert runner.invoke(cli, ["index", str(DATASET / "photos"), "--index", "sample", "-q"]).exit_code == 0
    queries = [str(path) for path in PHOTOS]
    result = runner.invoke(cli, ["search", *queries, "--index", "sample", "-k", "5", "--format", "jsonl", *options])
    assert result.exit_code == 0
    right = [
        [Path(match["path"]).parent == Path(record["query"]).parent for match in record["matches"]]
        for record in map(json.loads, result.stdout.splitlines())
    ]
    assert len(right) == len(PHOTOS)
    assert np.mean([row[0] for row in right]) >= 0.97
    assert np.mean(right) >= 0.93
