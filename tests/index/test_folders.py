"""Folders found without parsing are those that parsing finds."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import IndexDamagedError
from cbir.index.entries import FileEntry
from cbir.index.files import FileRecord, FilesBelow, FileTable, dump_records
from cbir.index.folders import Folders, joined, of_lines, of_paths

PATHS = (
    "a.jpg",
    "a/b.jpg",
    "a/b/c.jpg",
    "a/d.jpg",
    "top.png",
    "sp ace/quo\"te's/1.jpg",
    "back\\slash/2.jpg",
    "umlaut-ä/雪/3.jpg",
    "𝒜/4.jpg",
    "latin\udce9/5.jpg",
    "new\nline/6.jpg",
    "comma, \\u002 and ],[/7.jpg",
    "a/e.jpg",
)


def lines(paths: tuple[str, ...]) -> bytes:
    return b"".join(dump_records(FileRecord(path, 1, 1, f"{row:064x}") for row, path in enumerate(paths)))


def same(found: Folders | None, wanted: Folders) -> bool:
    return found is not None and found.names == wanted.names and np.array_equal(found.of_rows, wanted.of_rows)


@pytest.mark.skipif(os.sep != "/", reason="backslashes part folders there")
@pytest.mark.parametrize("count", [0, 1, 2, len(PATHS)])
def test_they_are_those_of_the_paths(count: int) -> None:
    paths = PATHS[:count]
    found = of_lines(lines(paths), count)
    assert same(found, of_paths(paths))
    assert found is not None
    assert [found.names[number] for number in found.of_rows] == [path.rpartition("/")[0] for path in paths]


@pytest.mark.skipif(os.sep != "/", reason="backslashes part folders there")
def test_random_paths() -> None:
    drawn = np.random.default_rng(2)
    for _ in range(200):
        paths = tuple(
            "/".join("".join(drawn.choice([*'ab"\\ué,[] '], 3)) for _ in range(drawn.integers(1, 4)))
            for _ in range(drawn.integers(1, 20))
        )
        # ending in a backslash before a slash, a folder may look as if the slash were written otherwise
        found = of_lines(lines(paths), len(paths))
        assert found is None or same(found, of_paths(paths))


@pytest.mark.parametrize(
    "content",
    [
        rb'["a\/b.jpg", 1, 1, "00"]',
        rb'["a\u002fb.jpg", 1, 1, "00"]',
        rb'["a/b\u002Fc.jpg", 1, 1, "00"]',
        b'[1, 1, "a/b.jpg"]',
        b'["b.jpg", 1, 1, "0/0"]',
        b'{"a/b.jpg": 1}',
        b'["../b.jpg", 1, 1, "00"]',
        b'["a//b.jpg", 1, 1, "00"]',
        b'["/b.jpg", 1, 1, "00"]',
        b'["a/b.jpg", 1, 1, "00"],\n["a/c.jpg", 1, 1, "00"]',
        b'["\xff/b.jpg", 1, 1, "00"]',
    ],
)
def test_what_cbir_does_not_write_is_left_to_parsing(content: bytes) -> None:
    assert of_lines(b"[\n" + content + b"\n]\n", 1) is None


def test_a_table_has_them_however_it_is_written(tmp_path: Path) -> None:
    content = lines(("a/b/1.jpg", "2.jpg", "a/3.jpg"))
    for written in (content, content.replace(b"a/b/", rb"a\/b\u002f")):
        table = a_table(tmp_path, written, 3)
        assert same(table.folders(), Folders(["a/b", "", "a"], np.arange(3)))
        assert same(FilesBelow(table, "c/d").folders(), Folders(["c/d/a/b", "c/d", "c/d/a"], np.arange(3)))


@pytest.mark.parametrize("damage", ['"../1.jpg"', '["a/1.jpg"]', '"a//1.jpg"', '"/1.jpg"'])
def test_damage_is_told(tmp_path: Path, damage: str) -> None:
    content = re.sub(rb'"a/1.jpg"', damage.encode(), lines(("a/1.jpg", "a/b/2.jpg")))
    with pytest.raises(IndexDamagedError, match="is damaged"):
        a_table(tmp_path, content, 2).folders()


def test_blocks_are_seen_as_one() -> None:
    parts = [of_paths(["a/1.jpg", "b/2.jpg"]), of_paths([]), of_paths(["b/3.jpg", "4.jpg", "a/5.jpg"])]
    assert same(joined(parts), of_paths(["a/1.jpg", "b/2.jpg", "b/3.jpg", "4.jpg", "a/5.jpg"]))
    assert same(joined([]), Folders([], np.empty(0, np.int64)))


def a_table(folder: Path, content: bytes, rows: int) -> FileTable:
    json.loads(content)
    (folder / "files-000001.json").write_bytes(content)
    return FileTable(folder, FileEntry("files-000001.json", len(content), ""), rows)
