"""What opening an index loads: nothing of what only some indexes need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.helpers.feature_index import make_index

#: What speaks to Milvus, and what that loads of others.
ELSEWHERE = {f"cbir.index.ann.milvus.{name}" for name in ("address", "backend", "collection", "connection", "sending")}
ELSEWHERE |= {"pymilvus", "grpc"}


def loaded(code: str, *arguments: str) -> set[str]:
    """Names of all modules that a Python has loaded after `code`."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


def test_a_search_by_a_picture_that_is_known_loads_nothing_of_people_and_of_other_networks(tmp_path: Path) -> None:
    directory = make_index(tmp_path / "index", np.eye(8)).directory
    found = loaded(
        "from cbir.index.open import open_index\n"
        "from cbir.search.searcher import Searcher\n"
        "index = open_index(sys.argv[1])\n"
        "assert Searcher(index).ranked(index.features([0])[0], 3, reranked=True)",
        str(directory),
    )
    others = {"cbir.images.regions", "cbir.search.by_faces", "cbir.search.by_person", "cbir.backbones.onnx_words"}
    assert not {name for name in found if name in others or name.startswith(("cbir.people.", "cbir.faces."))}


def test_an_index_with_all_its_rows_here_loads_nothing_that_speaks_to_milvus(tmp_path: Path) -> None:
    directory = make_index(tmp_path / "index", np.eye(8)).directory
    opened = loaded(
        "from cbir.index.open import open_index\n"
        "from cbir.index.verify import find_problems\n"
        "from cbir.index.writer import Writer\n"
        "index = open_index(sys.argv[1])\n"
        "assert index.candidates() is None and not find_problems(index, verify=True)\n"
        "Writer(index.directory, index.meta).tidy()",
        str(directory),
    )
    assert "cbir.index.ann.registry" in opened
    assert not ELSEWHERE & opened
    assert ELSEWHERE - {"pymilvus", "grpc"} <= loaded("import cbir.index.ann.milvus.backend")
