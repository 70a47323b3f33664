"""Making an index of rows that come from elsewhere, with their pictures or without."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import Backbone, choose, elsewhere
from cbir.errors import CbirError, IndexConflictError
from cbir.images.sources.address import Address, Location, base_of, is_list, root_of
from cbir.index.columns.column import Column, Records
from cbir.index.columns.faces import FOUND
from cbir.index.columns.ragged import RaggedColumn, count, width_of
from cbir.index.columns.times import CHANGED, pack
from cbir.index.columns.treatment import TREATED
from cbir.index.files import FileRecord
from cbir.index.format import META, UNKNOWN
from cbir.index.rewrite import Shape
from cbir.index.rights import Rights
from cbir.index.writer import Writer
from cbir.indexing.opening import first_state, opened_for_writing
from cbir.indexing.target import check_free
from cbir.moving import clip_retrieval, vectorfile
from cbir.moving.arrays import ArraySource
from cbir.moving.parquet import ParquetSource
from cbir.moving.rows import Chained, Given, RowSource, as_stored, have_direction
from cbir.utils.hashing import file_sha256
from cbir.utils.paths import are_inside
from cbir.utils.printable import printable
from cbir.utils.shares import Told, nobody

#: The reasons for which a row is left out.
NO_DIRECTION, TWICE = "its feature is zero or not finite", "an earlier row is of the same path"


@dataclass(frozen=True)
class TakeOptions:
    """The options for importing rows.

    `model` is the network of cbir's that made the features, with weights as in `backbones.choose`, `made_by` the name
    of one that cbir does not have; None where the files say so. `root` is the folder, or other source, that paths are
    relative to, or below, by default what the files say. `columns` are those of strangers' Parquet files, `paths` lists
    the paths of vectors. Unless they are to be left `unseen`, pictures that are in a folder here are read, once, for
    their content.
    """

    root: Location | None = None
    model: str | None = None
    weights: str | None = None
    made_by: str | None = None
    paths: Path | None = None
    columns: tuple[str, str] | None = None
    unseen: bool = False


@dataclass
class Taken:
    """The outcome: so many `rows`, of which so many pictures are here, by a network of that name.

    `left_out` are paths with the reasons why their rows were not taken.
    """

    rows: int = 0
    here: int = 0
    model: str = ""
    root: Location = field(default_factory=Path)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def open_source(files: Sequence[Path], options: TakeOptions) -> RowSource:
    """Open files, or a folder, of rows as one source. CbirError where they are none."""
    found: list[RowSource] = []
    for file in files:
        found += _opened(file, options)
    if not found:
        raise CbirError("There is nothing to be imported.")
    return found[0] if len(found) == 1 else Chained(found)


def _opened(file: Path, options: TakeOptions) -> Sequence[RowSource]:
    if file.is_dir():
        if (file / META).exists():
            raise CbirError(f"{file} is an index, which can be searched as it is; `cbir merge` joins several.")
        if clip_retrieval.is_such_a_folder(file):
            return clip_retrieval.sources_in(file)
        parts = sorted(file.glob("*.parquet"))
        if not parts:
            raise CbirError(
                f"{file} is a folder with nothing to be imported: neither Parquet files, nor img_emb and metadata as "
                "clip-retrieval writes them."
            )
        return [ParquetSource(part, options.columns) for part in parts]
    if file.suffix in vectorfile.ENDINGS:
        return [ArraySource.open(file, options.paths)]
    if file.suffix == ".parquet":
        return [ParquetSource(file, options.columns)]
    raise CbirError(f"{file} is neither a .parquet, a .npy or a .fvecs file nor a folder: nothing else is imported.")


def take(
    files: Sequence[Path],
    directory: Path,
    options: TakeOptions | None = None,
    *,
    wait: float = 0,
    told: Told = nobody,
) -> Taken:
    """Make a new index in `directory` of rows in files. All are taken at once, or none.

    `told` gets the share that is done. IndexConflictError where there is an index already, CbirError where the files
    cannot be taken.
    """
    options = options or TakeOptions()
    check_new(directory)
    source = open_source(files, options)
    backbone = _backbone(source, options)
    rights = Rights.of_readers(files, directory)
    with opened_for_writing(directory, rights, wait):
        check_new(directory)  # another run may have been at work
        keep = _with_direction(source, told)
        given = [one for some in source.files() for one in some]
        if len(given) != len(keep):
            raise CbirError(f"{source.name} has {len(keep):,} features, and {len(given):,} paths.")
        root, names = _below_root(given, source, options.root)
        taken = Taken(model=backbone.label, root=root)
        _leave_out(names, keep, taken)
        records, changed = _files(root, names, given, keep, taken, options, told)
        if not records:
            raise CbirError(f"Nothing of {source.name} can be taken: {_first_of(taken)}.")
        precisions = source.about.precisions or (UNKNOWN,)
        faces = source.about.faces if FOUND in source.columns else None
        treatment = source.about.treatment if TREATED in source.columns else None
        meta = first_state(backbone, root).but(imported=True, precisions=precisions, faces=faces, treatment=treatment)
        writer = Writer(directory, meta, rights & Rights.like(root, directory))
        columns: dict[Column, Iterator[Records]] = {
            column: _kept(source.records(column), keep) for column in source.columns
        }
        columns[CHANGED] = iter([changed])
        features = map(as_stored, _kept(source.features(), keep))
        shapes: dict[Column, Shape] = {
            column: _shape(_kept(source.records(column), keep))
            for column in source.columns
            if isinstance(column, RaggedColumn)
        }
        writer.fill(len(records), features, records, columns, shapes)
        told(0.95)
        writer.tidy()
        told(1.0)
    taken.rows = len(records)
    return taken


def check_new(directory: Path) -> None:
    """IndexConflictError where there is an index, or something else, in a directory."""
    if (directory / META).exists():
        raise IndexConflictError(
            f"There is an index {directory.name} already: choose another name with --index, and `cbir merge` to join "
            "the two."
        )
    check_free(directory)


def _backbone(source: RowSource, options: TakeOptions) -> Backbone:
    """Find the network that made the features. CbirError where nothing says which, or another number of them."""
    said: Backbone | None = None
    if source.about.model is not None:
        try:
            said = Backbone.from_json(source.about.model)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CbirError(f"{source.name} names no network that can be ({printable(str(error))}).") from error
    if options.made_by is not None:
        chosen = elsewhere(options.made_by, source.dimension)
    elif options.model is not None:
        chosen, _ = choose(options.model, options.weights)
    elif said is not None:
        chosen = said
    else:
        raise CbirError(
            f"{source.name} does not say which network made its features: name it with --model, if it is one of "
            "cbir's (`cbir models`), or with --made-by NAME, if it is another."
        )
    if said is not None and (what := chosen.difference(said)) is not None:
        raise IndexConflictError(f"{source.name} says that its features are by another {what}.")
    if chosen.dimension != source.dimension:
        raise CbirError(
            f"{source.name} has features of {source.dimension:,} numbers, but {chosen.label} makes "
            f"{chosen.dimension:,}."
        )
    return chosen


def _with_direction(source: RowSource, told: Told) -> npt.NDArray[np.bool_]:
    """Read all features once, and tell which can be searched by."""
    parts = []
    done = 0
    for chunk in source.features():
        if chunk.shape[1] != source.dimension:
            raise CbirError(f"{source.name} has features of {chunk.shape[1]:,} and of {source.dimension:,} numbers.")
        parts.append(have_direction(chunk))
        done += len(chunk)
        told(0.4 * done / max(source.rows, done))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.bool_)


def _below_root(given: Sequence[Given], source: RowSource, wanted: Location | None) -> tuple[Location, list[str]]:
    """Return the root, and the paths of all rows relative to it, with forward slashes. CbirError of one that leads out.

    Names are taken as they are, and not looked at.
    """
    absolute = [one.path for one in given if os.path.isabs(one.path)]
    said = source.about.root
    place = root_of(said) if wanted is None and said is not None else wanted
    if isinstance(place, Address):
        above = "" if is_list(place.root) else f"{base_of(place.root)}/"
        names = [one.path.removeprefix(above) for one in given]
        return place, _inside(names, place, source)
    if wanted is not None and place is not None:
        root = os.path.abspath(place.expanduser())
    elif said is not None and os.path.isabs(said):
        root = said
    elif absolute and len(absolute) == len(given):
        root = _common_folder(absolute, source)
    else:
        raise CbirError(f"The paths in {source.name} are relative: say with --root FOLDER to what.")
    return Path(root), _inside([_relative(one.path, root, source) for one in given], root, source)


def _inside(names: list[str], root: str | Location, source: RowSource) -> list[str]:
    """Return the same names. CbirError where one leads out of the root."""
    if not are_inside(names):
        wrong = next(name for name in names if not are_inside([name]))
        raise _leads_out(wrong, root, source)
    return names


def _common_folder(paths: Sequence[str], source: RowSource) -> str:
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError as error:
        raise CbirError(f"The paths in {source.name} have no folder in common: say with --root FOLDER.") from error


def _relative(path: str, root: str, source: RowSource) -> str:
    if os.path.isabs(path):
        inside = os.path.join(root, "")
        if not path.startswith(inside):
            raise _leads_out(path, root, source)
        path = path[len(inside) :]
    if ".." in path.split("/"):  # before it is made shorter, as a link may lead elsewhere
        raise _leads_out(path, root, source)
    return posixpath.normpath(path.replace(os.sep, "/")) if path else path


def _leads_out(path: str, root: str | Location, source: RowSource) -> CbirError:
    return CbirError(
        f"{source.name} names {printable(path[:300])}, which is no file below {root}: nothing was taken. If that is "
        "not the folder of its pictures, say which is with --root FOLDER."
    )


def _leave_out(names: Sequence[str], keep: npt.NDArray[np.bool_], taken: Taken) -> None:
    """Note what is not taken: rows without a direction, and those of a path that came before."""
    seen: set[str] = set()
    for row, name in enumerate(names):
        if not keep[row]:
            taken.left_out.append((name, NO_DIRECTION))
        elif name in seen:
            keep[row] = False
            taken.left_out.append((name, TWICE))
        else:
            seen.add(name)


def _files(
    root: Location,
    names: Sequence[str],
    given: Sequence[Given],
    keep: npt.NDArray[np.bool_],
    taken: Taken,
    options: TakeOptions,
    told: Told,
) -> tuple[list[FileRecord], Records]:
    """Return the records of the rows that are taken, and when their files changed last, shape (rows, 1)."""
    folder = root if isinstance(root, Path) and not options.unseen and root.is_dir() else None
    rows = np.flatnonzero(keep).tolist()
    records, changed = [], CHANGED.blank(len(rows))
    for place, row in enumerate(rows):
        name, known = names[row], given[row]
        found = _look_at(folder / name, known) if folder is not None else None
        if found is not None:
            taken.here += 1
            size, mtime_ns, ctime_ns, content = found
            records.append(FileRecord(name, size, mtime_ns, content))
            if ctime_ns:
                changed[place] = pack(ctime_ns)
        elif known.sha256:
            records.append(FileRecord(name, known.size, known.mtime_ns, known.sha256))
        else:
            records.append(FileRecord(name, 0, 0, unseen_content(name)))
        told(0.4 + 0.3 * (place + 1) / len(rows))
    return records, changed


def _look_at(path: Path, known: Given) -> tuple[int, int, int, str] | None:
    """Return size, times and content of a picture; None where it is not there, or is another than the row says."""
    try:
        status = path.stat()
        if known.sha256 and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return status.st_size, status.st_mtime_ns, status.st_ctime_ns, known.sha256
        content = file_sha256(path)
    except OSError:
        return None
    if not status.st_size or (known.sha256 and known.sha256 != content):
        return None  # the row stays as it was told: the next run finds out what has become of the picture
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, content


def unseen_content(path: str) -> str:
    """Return what stands for the SHA-256 of a picture that nobody has seen: no file's, and another for each path."""
    return hashlib.sha256(b"cbir: nobody has seen " + path.encode("utf-8", "surrogateescape")).hexdigest()


def _kept(chunks: Iterator[npt.NDArray[Any]], keep: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[Any]]:
    start = 0
    for chunk in chunks:
        yield chunk[keep[start : start + len(chunk)]]
        start += len(chunk)


def _shape(chunks: Iterator[Records]) -> Shape:
    """Return the shape of the file of records of a ragged column."""
    total, width = 0, 0
    for chunk in chunks:
        total += int(np.maximum(count(chunk), 0).sum())
        width = width_of(chunk) or width
    return total, width


def _first_of(taken: Taken) -> str:
    return f"{printable(taken.left_out[0][0])}: {taken.left_out[0][1]}" if taken.left_out else "it has no rows"
