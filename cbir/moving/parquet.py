"""Rows as Parquet: what an index has of its pictures, one row a picture; and columns of strangers' files.

Only this module imports pyarrow, which comes with the extra `cbir[parquet]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cbir.errors import CbirError, PackageMissingError, reason_of
from cbir.index.columns.classes import CLASSES
from cbir.index.columns.column import Column, Records
from cbir.index.columns.taken import TAKEN, moments
from cbir.index.columns.thumbnails import THUMBNAILS, are_known
from cbir.index.files import FileRecord
from cbir.moving.arrays import given
from cbir.moving.parquet_groups import STORED, binary, from_binary, groups_of
from cbir.moving.rows import About, Given, Numbers, as_floats, step_of
from cbir.moving.vectorfile import MOST_NUMBERS
from cbir.utils.opening import open_regular

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cbir.index.columns.classes import RowClasses

#: The columns that go along as they are stored, so that they come back the same: all but parts, which need the
#: whitening of their index, and times of files, which are of one machine.
KEPT: tuple[Column, ...] = (CLASSES, THUMBNAILS, TAKEN)

# What a schema's metadata has of cbir's own files.
_ABOUT = b"cbir"

_PATHS = ("path", "image_path", "file_path", "filepath", "file_name", "filename", "file", "image", "key")

# Rows of a group in a file that is written.
_GROUP = 4096


def pyarrow() -> Any:
    """Import pyarrow; PackageMissingError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PackageMissingError(
            "Parquet needs pyarrow, which is not installed here: `pip install 'cbir[parquet]'` adds it. Without it "
            "there are .npy and .fvecs."
        ) from error
    return pyarrow


class ParquetWriter:
    """Writes rows of an index, of features of so many numbers, into a file that is open, in groups."""

    def __init__(self, file: IO[bytes], dimension: int, about: About, mark: str) -> None:
        self._pa = pa = pyarrow()
        one_class = pa.struct([("name", pa.string()), ("probability", pa.float32())])
        fields = [
            ("path", pa.string()),
            ("path_bytes", pa.binary()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("sha256", pa.string()),
            ("width", pa.uint32()),
            ("height", pa.uint32()),
            ("taken", pa.timestamp("s")),
            ("tags", pa.list_(pa.string())),
            ("classes", pa.list_(one_class)),
            ("feature", pa.list_(pa.float32(), dimension)),
            *((STORED + column.name, pa.binary(column.width * column.dtype.itemsize)) for column in KEPT),
        ]
        self._groups = groups_of(about)
        fields += [field for group in self._groups for field in zip(group.names, group.fields(pa), strict=True)]
        self._dimension = dimension
        metadata = {_ABOUT: json.dumps({"made_by": mark, **about.to_json()}).encode("ascii")}
        self._schema = pa.schema(fields, metadata=metadata)
        # of float32 that were float16, half of the bytes are nearly zeros, and lie together so
        self._writer = pa.parquet.ParquetWriter(
            pa.PythonFile(_Sink(file), mode="w"),
            self._schema,
            compression="zstd",
            use_dictionary=["path", "tags.list.element", "classes.list.element.name"],
            use_byte_stream_split=["feature.list.element"],
        )

    def write(
        self,
        files: Sequence[FileRecord],
        features: Numbers,
        records: dict[Column, Records],
        tags: Sequence[Sequence[str] | None],
        classes: RowClasses | None,
    ) -> None:
        """Write one group of rows. `classes` are None where they cannot be read."""
        pa, thumbnails = self._pa, records[THUMBNAILS]
        known = are_known(thumbnails)
        taken = moments(records[TAKEN])
        flat = as_floats(features).reshape(-1)
        arrays = [
            pa.array([_as_utf8(file.path) for file in files], pa.string()),
            pa.array([_bytes_if_needed(file.path) for file in files], pa.binary()),
            pa.array([file.size for file in files], pa.int64()),
            pa.array([min(max(file.mtime_ns, -(2**63)), 2**63 - 1) for file in files], pa.int64()),
            pa.array([file.sha256 if file.size else None for file in files], pa.string()),
            pa.array(thumbnails["width"][:, 0], pa.uint32(), mask=~known),
            pa.array(thumbnails["height"][:, 0], pa.uint32(), mask=~known),
            pa.array(taken, pa.int64(), mask=taken == 0).cast(pa.timestamp("s")),
            pa.array(tags, pa.list_(pa.string())),
            pa.array(_named(classes, len(files)), self._schema.field("classes").type),
            pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), self._dimension),
            *(binary(pa, records[column], column) for column in KEPT),
        ]
        arrays += [array for group in self._groups for array in group.write(pa, records)]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema), row_group_size=_GROUP)

    def close(self) -> None:
        """Write what ends the file."""
        self._writer.close()


class _ParquetFile:
    """A Parquet file that somebody may have made to do harm; CbirError, which names it, where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def _batches(self, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Yield some columns, so many rows at a time."""
        with self._opened() as file:
            yield from file.iter_batches(batch_size=rows, columns=list(names), use_threads=False)

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        """Open the file, and turn what goes wrong with it into a CbirError."""
        pa = pyarrow()
        try:
            # a file that lies of its lengths is not to fill the memory at once
            with open_regular(self._path) as plain, pa.parquet.ParquetFile(plain, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError, MemoryError, ValueError, NotImplementedError) as error:
            raise self._unreadable(_first_line(error)) from error

    def _unreadable(self, reason: str) -> CbirError:
        return CbirError(f"Cannot read {self._path}: {reason}.")


def texts_of(path: Path, column: str) -> Iterator[list[str]]:
    """Yield a column of texts of a Parquet file. CbirError where it cannot be read, or has no such column."""
    file = _ParquetFile(path)
    for batch in file._batches([column], _GROUP):
        if batch.num_columns != 1:
            raise file._unreadable(f"it has no column {column}")
        texts = batch.column(0).to_pylist()
        if not all(isinstance(one, str) for one in texts):
            raise file._unreadable(f"its column {column} is not of texts")
        yield texts


class ParquetSource(_ParquetFile):
    """Rows of a Parquet file: of one that `cbir export` wrote, or of any that has paths and lists of floats.

    `columns` are the names of the column of paths and of that of features, by default those that look so. CbirError
    where it cannot be read, or there are none.
    """

    def __init__(self, path: Path, columns: tuple[str, str] | None = None) -> None:
        super().__init__(path)
        with self._opened() as file:
            self.rows = file.metadata.num_rows
            schema = file.schema_arrow
            self._names = set(schema.names)
            self.about = self._read_about(schema)
            self._paths, self._features = columns or (self._path_column(schema), self._feature_column(schema))
            for name in (self._paths, self._features):
                if name not in self._names:
                    raise self._unreadable(f"it has no column {name}, but {_listed(schema.names)}")
            self.dimension = self._read_dimension(file, schema)
        own = self.about is not _UNKNOWN
        self.columns: Sequence[Column] = [column for column in KEPT if own and STORED + column.name in self._names]
        self._groups = [group for group in groups_of(self.about) if self._names.issuperset(group.names)]
        self.columns = [*self.columns, *(column for group in self._groups for column in group.columns)]

    def features(self) -> Iterator[Numbers]:
        """Yield their features."""
        for batch in self._batches([self._features], step_of(self.dimension)):
            yield self._numbers(batch.column(0))

    def files(self) -> Iterator[Sequence[Given]]:
        """Yield the files that they are of."""
        more = ("path_bytes", "size", "mtime_ns", "sha256") if self.about is not _UNKNOWN else ("size", "sha256")
        wanted = [self._paths, *(name for name in more if name in self._names)]
        for batch in self._batches(wanted, _GROUP):
            of = {name: batch.column(name).to_pylist() for name in wanted}
            nothing = [None] * batch.num_rows
            names = [
                name if content is None else content.decode("utf-8", "surrogateescape")
                for name, content in zip(of[self._paths], of.get("path_bytes", nothing), strict=True)
            ]
            others = [of.get(name, nothing) for name in ("size", "mtime_ns", "sha256")]
            try:
                yield [self._given(*values) for values in zip(names, *others, strict=True)]
            except ValueError as error:
                raise self._unreadable(f"what it says of a file cannot be ({error})") from error

    def records(self, column: Column) -> Iterator[Records]:
        """Yield one of the columns of cbir's own."""
        group = next((one for one in self._groups if column in one.columns), None)
        names, together = ([STORED + column.name], _GROUP) if group is None else (list(group.names), group.together)
        for batch in self._batches(names, together):
            try:
                if group is None:
                    yield from_binary(batch.column(0), column)
                else:
                    yield group.read([batch.column(name) for name in names])[column]
            except ValueError as error:
                what = column.name if group is None else group.what
                raise self._unreadable(f"its {what} are none ({error})") from error

    def _given(self, path: Any, size: Any, mtime_ns: Any, content: Any) -> Given:
        if not isinstance(path, str):
            raise ValueError("a path is no text")
        # of a stranger's file, only a content whose size is known is one
        return given(path, size, mtime_ns or 0, content if size else None)

    def _numbers(self, column: pa.Array) -> Numbers:
        """Return a column of lists as an array; CbirError where not all of them have so many numbers."""
        lengths = column.value_lengths().to_numpy(zero_copy_only=False) if not _is_fixed(column.type) else None
        if column.null_count or (lengths is not None and (lengths != self.dimension).any()):
            raise self._unreadable(f"not all of its features have {self.dimension:,} numbers")
        flat = column.flatten()
        if len(flat) != len(column) * self.dimension:
            raise self._unreadable(f"not all of its features have {self.dimension:,} numbers")
        # a number that is missing becomes none, and its row is left out
        numbers: Numbers = flat.to_numpy(zero_copy_only=False).reshape(len(column), self.dimension)
        return numbers

    def _read_about(self, schema: pa.Schema) -> About:
        content = (schema.metadata or {}).get(_ABOUT)
        if content is None:
            return _UNKNOWN
        try:
            return About.from_json(json.loads(content))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self._unreadable(f"what it says of itself is not what cbir writes ({error})") from error

    def _path_column(self, schema: pa.Schema) -> str:
        types = pyarrow().types
        for name in _PATHS:
            if name in schema.names and (
                types.is_string(schema.field(name).type) or types.is_large_string(schema.field(name).type)
            ):
                return name
        raise self._unreadable(
            f"it has no column of paths that is called so, but {_listed(schema.names)}: name it, and that of features, "
            "with --columns PATH,FEATURE"
        )

    def _feature_column(self, schema: pa.Schema) -> str:
        types = pyarrow().types
        found = [
            one.name
            for one in schema
            if (_is_fixed(one.type) or types.is_list(one.type) or types.is_large_list(one.type))
            and types.is_floating(one.type.value_type)
        ]
        if len(found) != 1:
            what = f"it has no column of lists of floats, but {_listed(schema.names)}"
            if found:
                what = f"it has several columns of lists of floats, {_listed(found)}"
            if "url" in schema.names and not found:
                raise self._unreadable(
                    f"{what}: it looks like img2dataset's, which has pictures and no features. `cbir index FOLDER` "
                    "makes an index of the pictures"
                )
            raise self._unreadable(f"{what}: name the one of paths and that of features with --columns PATH,FEATURE")
        return str(found[0])

    def _read_dimension(self, file: pq.ParquetFile, schema: pa.Schema) -> int:
        """Return the number of numbers of the first feature, or of all where the type says so."""
        kind = schema.field(self._features).type
        if not hasattr(kind, "value_type") or not pyarrow().types.is_floating(kind.value_type):
            raise self._unreadable(f"its column {self._features} has no lists of floats")
        dimension = kind.list_size if _is_fixed(kind) else 0
        if not dimension:
            first = next(file.iter_batches(batch_size=1, columns=[self._features], use_threads=False), None)
            if first is None or not first.num_rows or first.column(0)[0].as_py() is None:
                raise self._unreadable("it has no rows, or none at its beginning that has a feature")
            dimension = len(first.column(0)[0])
        if not 0 < dimension <= MOST_NUMBERS:
            raise self._unreadable(f"features of {dimension:,} numbers are none")
        return dimension


_UNKNOWN = About()


class _Sink:
    """A file as Arrow writes to one, which is not to close it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._write: Callable[[bytes], object] = file.write
        self._place = 0
        self.closed = False

    def write(self, content: bytes) -> int:
        """Write some bytes."""
        self._write(content)
        self._place += len(content)
        return len(content)

    def tell(self) -> int:
        """Return how many there are by now."""
        return self._place

    def flush(self) -> None:
        """Leave that to whoever has the file."""

    def close(self) -> None:
        """Take no more."""
        self.closed = True


def _is_fixed(kind: pa.DataType) -> bool:
    return bool(pyarrow().types.is_fixed_size_list(kind))


def _as_utf8(path: str) -> str:
    """Return a path as a text for people: bytes that are no UTF-8 become question marks in boxes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _bytes_if_needed(path: str) -> bytes | None:
    content = path.encode("utf-8", "surrogateescape")
    return content if content.decode("utf-8", "replace") != path else None


def _named(classes: RowClasses | None, rows: int) -> list[list[dict[str, Any]] | None]:
    """Return the most probable classes of rows by their names; None where nothing is known."""
    if classes is None:
        return [None] * rows
    from cbir.backbones.imagenet import classes as all_classes

    names = [one.name for one in all_classes()]
    pairs = zip(classes.known.tolist(), classes.numbers.tolist(), classes.probabilities.tolist(), strict=True)
    return [
        [{"name": names[number], "probability": share} for number, share in zip(numbers, shares, strict=True)]
        if is_known
        else None
        for is_known, numbers, shares in pairs
    ]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown or "none at all"


def _first_line(error: Exception) -> str:
    text = reason_of(error) if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return re.sub(r"\s+", " ", text)[:300].rstrip(".")
