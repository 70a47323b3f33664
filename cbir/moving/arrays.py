"""Rows as a file of vectors and a list of the paths that they are of: a JSON document, or a text, a path a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import numpy as np

from cbir.errors import CbirError, reason_of
from cbir.index.columns.column import Column, Records
from cbir.index.files import FURTHEST_NS, Files
from cbir.index.values import read_json, sha256, whole
from cbir.moving.rows import About, Given, Numbers, as_floats
from cbir.moving.vectorfile import VectorFile
from cbir.utils.opening import read_regular

#: The kind of such a document, by which cbir knows its own again.
KIND = "paths"

# Bytes of a list of paths at most: of some ten million.
_MOST_BYTES = 2 << 30

# Paths that are written at a time.
_STEP = 10_000


class ArraySource:
    """Rows of a file of vectors, whose files are listed in another."""

    columns: Sequence[Column] = ()

    def __init__(self, vectors: VectorFile, listed: Sequence[Given], about: About, name: str) -> None:
        self.name, self.about = name, about
        self.rows, self.dimension = vectors.rows, vectors.dimension
        self._vectors, self._listed = vectors, listed
        if len(listed) != vectors.rows:
            raise CbirError(
                f"{name} has {vectors.rows:,} vectors, but {len(listed):,} paths are listed: the first is to belong "
                "to the first."
            )

    @classmethod
    def open(cls, path: Path, paths: Path | None = None) -> ArraySource:
        """Open a `.npy` or `.fvecs` file, with the list `paths`, by default the `.json` or `.txt` beside it.

        CbirError where one of them cannot be read, or they do not fit.
        """
        if paths is None:
            beside = [path.with_suffix(ending) for ending in (".json", ".txt")]
            paths = next((one for one in beside if one.exists()), None)
            if paths is None:
                raise CbirError(
                    f"{path} does not say which pictures it is of: name a list of their paths with --paths, a JSON "
                    f"array or a text with a path a line, or put it beside it as {beside[0].name}."
                )
        listed, about = read_paths(paths)
        return cls(VectorFile.open(path), listed, about, str(path))

    def features(self) -> Iterator[Numbers]:
        """Yield their features."""
        return self._vectors.chunks()

    def files(self) -> Iterator[Sequence[Given]]:
        """Yield the files that they are of."""
        yield self._listed

    def records(self, column: Column) -> Iterator[Records]:
        """Yield nothing: vectors have no columns."""
        return iter(())


def read_paths(path: Path) -> tuple[list[Given], About]:
    """Read a list of paths, and what it says of the rows. CbirError where it is none."""
    try:
        content = read_regular(path, most=_MOST_BYTES)
    except OSError as error:
        raise CbirError(f"Cannot read {path}: {reason_of(error)}.") from error
    try:
        if path.suffix != ".json":
            names = content.decode("utf-8-sig", "surrogateescape").splitlines()
            return [Given(name) for name in names], About()
        document = read_json(content.decode("utf-8-sig"))
        if isinstance(document, list):
            return [Given(_a_path(one)) for one in document], About()
        return _listed(document), About.from_json(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise CbirError(
            f"{path} is no list of paths ({error}): it is to be a JSON array of them, an object with such an array as "
            "its paths, or a text with a path a line."
        ) from error


def write_vectors(file: IO[bytes], chunks: Iterator[Numbers], rows: int, dimension: int, ending: str) -> None:
    """Write features, as float16 in a `.npy` file, as float32 in a `.fvecs` file, as their ending says."""
    if ending == ".npy":
        described = {"descr": "<f2", "fortran_order": False, "shape": (rows, dimension)}
        np.lib.format.write_array_header_1_0(file, described)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype="<f2").tobytes())
        return
    vector = np.dtype([("count", "<i4"), ("numbers", "<f4", (dimension,))])
    for chunk in chunks:
        records = np.empty(len(chunk), vector)
        records["count"], records["numbers"] = dimension, as_floats(chunk)
        file.write(records.tobytes())


def write_paths(file: IO[bytes], files: Files, about: About, mark: str) -> None:
    """Write the document that lists the paths of rows, and what is known of their files."""
    head = {"info": {"made_by": mark}, **about.to_json()}
    file.write((json.dumps(head, indent=1)[:-2]).encode("ascii"))
    lists: dict[str, Sequence[Any]] = {
        "paths": files.paths,
        "sizes": files.sizes,
        "mtimes_ns": files.mtimes_ns,
        "sha256s": files.sha256s,
    }
    for name, values in lists.items():
        file.write(f',\n "{name}": [\n'.encode("ascii"))
        for start in range(0, len(values), _STEP):
            some = ",\n".join(map(json.dumps, values[start : start + _STEP]))
            file.write(f"{some}{',' if start + _STEP < len(values) else ''}\n".encode("ascii"))
        file.write(b" ]")
    file.write(b"\n}\n")


def _listed(document: dict[str, Any]) -> list[Given]:
    paths = [_a_path(one) for one in document["paths"]]
    sizes, times = document.get("sizes"), document.get("mtimes_ns")
    contents = document.get("sha256s")
    lists = (paths, sizes or repeat(0), times or repeat(0), contents or repeat(""))
    if any(one is not None and len(one) != len(paths) for one in (sizes, times, contents)):
        raise ValueError("its lists are not of one length")
    return [given(path, size, time, content) for path, size, time, content in zip(*lists, strict=False)]


def given(path: str, size: Any, mtime_ns: Any, content: Any) -> Given:
    """Check what a row says of its file; ValueError where it cannot be. Without a content, nothing is known of it."""
    if not content:
        return Given(path)
    return Given(path, whole(size, 1), whole(mtime_ns, -FURTHEST_NS, FURTHEST_NS), sha256(content))


def _a_path(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a path is no text")
    return value
