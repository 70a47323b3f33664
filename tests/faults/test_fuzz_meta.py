"""Forged `meta.json` and lists of files, whose checksums fit: each ends in answers or in a CbirError, within bounds.

`CBIR_FUZZ` is how many are tried; 400 by default.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bounds its memory with setrlimit")


def test_forged_indexes_end_in_answers_or_an_error(tmp_path: Path) -> None:
    count = int(os.environ.get("CBIR_FUZZ", "400"))
    path = str(Path(__file__).parents[2])
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", Path(__file__), str(count), tmp_path]
    env = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    limit = 120 + count / 5
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=limit)
    last = (tmp_path / "last").read_text() if (tmp_path / "last").exists() else ""
    assert result.returncode == 0, f"{last}\n{result.stderr[-3000:]}"
    counts = json.loads(result.stdout)
    assert counts["answers"] + counts["errors"] == count
    assert counts["answers"] > count / 100
    assert counts["errors"] > count / 4


# What follows runs in the process that the test starts.

ROWS, DIMENSION = 60, 16
MEMORY = 300 << 20
SECONDS = 5


def values(rng: Any) -> list[Any]:
    """What may stand anywhere."""
    deep: Any = 1
    for _ in range(rng.choice([3, 30, 900])):
        deep = [deep] if rng.random() < 0.5 else {"x": deep}
    return [
        *(None, True, False, -1, 0, 1, 2, 59, 60, 61, 999_999, 2**31, 2**63 - 1, 2**63, 10**30, -(10**30), 10**200),
        *(0.5, -0.0, 1e300, 1.5, float("nan"), float("inf"), float("-inf")),
        *("", "x", "/", "..", "../../etc/passwd", "\0", "\udcff", "\ud800", "\u202e\x1b[2J", "é" * 300, "a" * 300_000),
        *("a/" * 150_000, "untrained", "bundled", "vit_h_14", "../../x", "efficientnet_lite0", "0" * 64),
        *("features-000001.npy", "files-000001.json", "features-999999.npy", "meta.json", "lock"),
        *([], {}, [[]], [[0, 1]], [[0, 10**30]], [[5, 2]], [[0, 1, 2]], [["a", "b"]], [[i, i + 1] for i in range(60)]),
        *([[0, 60]] * 1000, list(range(5000)), deep),
    ]


def change(rng: Any, content: Any) -> str:
    """Put something else, or nothing, somewhere into what JSON holds; what and where."""
    told = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        holder, key = content, rng.choice(sorted(content) if isinstance(content, dict) else range(len(content)))
        while isinstance(holder[key], (dict, list)) and holder[key] and rng.random() < 0.8:
            holder = holder[key]
            key = rng.choice(sorted(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        way = rng.random()
        if way < 0.08:
            del holder[key]
            if not content:
                return "all is gone"
        elif way < 0.16 and isinstance(holder, list):
            holder.extend([holder[key]] * rng.choice([1, 100, 3000]))
        elif way < 0.24 and type(holder[key]) is int:
            holder[key] += rng.choice([-1, 1, 100, 10**6])
        else:
            holder[key] = rng.choice(values(rng))
        told.append(f"{key}: {str(holder)[:60]!r}")
    return "; ".join(told)


def ask(directory: Path) -> None:
    """What a user may ask of an index, and what a run may do with it."""
    import numpy as np

    from cbir.cli.commands.info import _describe, _print
    from cbir.index.files import FileRecord
    from cbir.index.format import load_meta
    from cbir.index.store import Index
    from cbir.index.verify import find_problems, without_damage
    from cbir.index.writer import Writer
    from cbir.search.queries import VectorQuery
    from cbir.search.searcher import Searcher

    meta = load_meta(directory)
    record = _describe(directory, verify=False)
    json.dumps(record)
    with contextlib.redirect_stdout(io.StringIO()):
        _print(record)
    index = Index.open(directory)
    for one in (index, *(Index(directory, state) for state in meta.others)):
        searcher = Searcher(one)
        query = np.random.default_rng(5).random(one.meta.dimension, dtype=np.float32)
        query /= np.linalg.norm(query)
        for reranked in (True, False):
            _, scores = searcher.ranked(query, 10, reranked=reranked)
            assert np.isfinite(scores).all()
            assert (scores < 1.02).all()
            list(searcher.search([VectorQuery(query)], reranked=reranked))
    query = np.ones(index.meta.dimension, dtype=np.float32)
    index.files()
    if index.meta.faces is not None:
        faces = index.faces()
        assert len(faces.vectors) == len(faces.rows) == len(faces)
        index.faces_of(index.rows - 1)
        index.people_content()
    index.find("0" * 64)
    find_problems(index, verify=True)
    without_damage(directory, meta)
    writer = Writer(directory, meta)
    writer.add(FileRecord("new.jpg", 1, 1, "f" * 64), query)
    writer.commit()
    assert len(Index.open(directory)) == len(index) + 1


def add_network(directory: Path) -> None:
    """Give an index the rows of its pictures by another network, too."""
    from cbir.backbones.backbone import describe
    from cbir.index.format import load_meta
    from cbir.index.store import Index
    from cbir.index.writer import Writer

    index = Index.open(directory)
    model = {**describe("efficientnet_lite1", "untrained").to_json(), "dimension": DIMENSION}
    other = index.meta.but(model=model, blocks=(), candidates=None, cosines=None)
    writer = Writer(directory, other, whole=index.meta.but(kept=(other,)))
    for (_, record), feature in zip(index.records(), index.features(range(index.rows)), strict=True):
        writer.add(record, feature)
    writer.commit()
    assert load_meta(directory).kept


def run(count: int, folder: Path) -> dict[str, int]:
    import copy
    import faulthandler
    import hashlib
    import logging
    import random
    import time

    import numpy as np

    from cbir.errors import CbirError
    from cbir.index.format import load_meta
    from cbir.index.writer import Writer
    from tests.helpers.face_index import face, make_face_index

    logging.getLogger("cbir").setLevel(logging.CRITICAL)
    directory = folder / "index"
    features = np.random.default_rng(1).gamma(0.5, 1.0, (ROWS, DIMENSION))
    make_face_index(directory, {row: [face(row)] * (row % 3) for row in range(50)}, features=features, root=folder)
    Writer(directory, load_meta(directory)).keep_people(b"{}")
    add_network(directory)
    original = {path.name: path.read_bytes() for path in directory.iterdir()}
    first_meta, first_files = json.loads(original["meta.json"]), json.loads(original["files-000001.json"])
    rng = random.Random(count)
    counts = {"answers": 0, "errors": 0}
    ask(directory)
    for number in range(count):
        for path in directory.iterdir():
            path.unlink()
        for name, data in original.items():
            (directory / name).write_bytes(data)
        meta = copy.deepcopy(first_meta)
        if rng.random() < 0.3:
            rows = copy.deepcopy(first_files)
            told = "files " + change(rng, rows)
            if sum(len(json.dumps(row)) for row in rows) > MEMORY // 10:
                rows = rows[:ROWS]  # a text of which there are thousands is too much for this process, too
            data = b"[\n" + b",\n".join(json.dumps(row).encode() for row in rows) + b"\n]\n"
            (directory / "files-000001.json").write_bytes(data)
            meta["blocks"][0]["files"].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        else:
            told = "meta " + change(rng, meta)
        (folder / "last").write_text(ascii(f"{number}: {told}"))
        meta.pop("checksum", None)
        canonical = json.dumps(meta, sort_keys=True, separators=(",", ":"))
        meta["checksum"] = hashlib.sha256(canonical.encode("ascii")).hexdigest()
        (directory / "meta.json").write_text(json.dumps(meta))
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True)
        started = time.process_time()
        try:
            ask(directory)
            counts["answers"] += 1
        except CbirError:
            counts["errors"] += 1
        assert time.process_time() - started < SECONDS, "too slow"
        faulthandler.cancel_dump_traceback_later()
    return counts


def limit_memory() -> None:
    import resource

    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


if __name__ == "__main__":
    import cbir.cli.commands.info
    import cbir.search.searcher  # noqa: F401 (before memory is bounded)

    if sys.platform == "linux":
        limit_memory()
    print(json.dumps(run(int(sys.argv[1]), Path(sys.argv[2]))))
