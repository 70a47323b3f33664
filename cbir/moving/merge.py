"""Joining indexes by one network into a new one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cbir.errors import IndexConflictError, IndexDamagedError
from cbir.extract.of_index import backbone_of
from cbir.images.sources.address import Address, Location
from cbir.index.columns.times import CHANGED
from cbir.index.format import META
from cbir.index.joined import JoinedIndex, common_root
from cbir.index.lock import now
from cbir.index.rights import Rights
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.indexing.opening import opened_for_writing
from cbir.moving.take import check_new
from cbir.people.album import Album, dump
from cbir.people.forget import leave_out_forgotten
from cbir.people.joining import joined_albums
from cbir.people.of_index import read_album
from cbir.utils.shares import Told, nobody


@dataclass
class Merged:
    """The outcome: so many `rows` below `root`, from indexes with so many rows each, by their directories.

    `doubled` are the paths that came again, and whether their contents are the same: those of the first index stay.
    `lost` tells in words what indexes had that the new one has not.
    """

    rows: int = 0
    root: Location = field(default_factory=Path)
    of: dict[Path, int] = field(default_factory=dict)
    doubled: dict[str, bool] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def merge(
    indexes: Sequence[Index],
    directory: Path,
    *,
    root: Path | None = None,
    by_name: bool = False,
    wait: float = 0,
    told: Told = nobody,
) -> Merged:
    """Make a new index in `directory` of all rows of several, as they are stored, at once or not at all.

    Paths become relative to the folder that all roots have in common; with `root`, to that, which is above all of them.
    With `by_name`, the pictures of each index are in the folder of its name in `root`, wherever they were. Raises
    IndexConflictError where networks differ, roots do not fit, or there is an index already.
    """
    check_new(directory)
    _check_network(indexes)
    joined = JoinedIndex(indexes, *_folders(indexes, root, by_name=by_name))
    source = _Source(joined)
    rights = Rights.like(joined.root, directory)
    for index in indexes:
        # an index tells what is below its root, and nobody may read it here who may not there
        rights &= Rights.like(index.root, index.directory)
        rights &= Rights.of_readers([index.directory / META], directory)
    with opened_for_writing(directory, rights, wait):
        check_new(directory)
        moment = now()
        meta = joined.meta.but(
            blocks=(),
            created=min(index.meta.created for index in indexes),
            updated=moment,
            next_number=1,
            complete=False,
            imported=source.imported,
            mounts=_mounts(joined),
            **_patterns(indexes),
        )
        writer = Writer(directory, meta, rights)
        told(0.1)
        album, said = _people(indexes, joined)
        writer.fill_from(source, people=None if album is None else dump(album))
        told(0.9)
        if album is not None and album.forgotten:
            leave_out_forgotten(Index.open(directory), writer, album)
            writer.commit()
        writer.tidy()
        told(1.0)
    return Merged(
        len(joined),
        joined.root,
        {one.directory: len(one) for one in indexes},
        joined.doubled,
        _lost(indexes, joined) + said,
    )


class _Source(JoinedIndex):
    """The same rows, without the times of files that cannot be looked at here: they stay until `--prune`."""

    def __init__(self, joined: JoinedIndex) -> None:
        super().__init__(joined.members, joined.root, joined.folders)
        places = [joined.root / folder for folder in joined.folders]
        # a bucket is not asked: who merges need not read it
        self._is_away = [isinstance(place, Path) and not place.is_dir() for place in places]
        self.imported = joined.meta.imported or any(self._is_away)

    def stored_chunks(self, column):  # type: ignore[no-untyped-def]
        """Yield a column's records of all rows, in order, as pairs of the chunk's first row and the chunk."""
        for start, chunk in super().stored_chunks(column):
            if column is CHANGED and any(self._is_away):
                members = np.searchsorted(self.first_rows, np.arange(start, start + len(chunk)), side="right") - 1
                chunk[np.array(self._is_away)[members]] = 0
            yield start, chunk


def _check_network(indexes: Sequence[Index]) -> None:
    first = backbone_of(indexes[0])
    for index in indexes[1:]:
        if (what := backbone_of(index).difference(first)) is not None:
            raise IndexConflictError(
                f"{index.directory} cannot be joined to {indexes[0].directory}: it was made with another {what}. One "
                "ranking over both: `cbir search` with --index twice."
            )


def _folders(indexes: Sequence[Index], root: Path | None, *, by_name: bool) -> tuple[Location, list[str]]:
    """Return the root of the new index, and the way from there to the pictures of each."""
    if by_name:
        names = [index.directory.resolve().name for index in indexes]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise IndexConflictError(f"Two of the indexes are called {twice}, and both would be in one folder.")
        above = common_root(indexes)[0] if root is None else Path(os.path.abspath(root.expanduser()))
        if isinstance(above, Address):
            raise IndexConflictError(f"{above} is no folder: name with --root what has a folder for each index.")
        return above, names
    if root is None:
        return common_root(indexes)
    above = Path(os.path.abspath(root.expanduser()))
    ways = []
    for index in indexes:
        try:
            if isinstance(index.root, Address):
                raise ValueError(index.root)
            way = Path(os.path.abspath(index.root)).relative_to(above).as_posix()
        except ValueError as error:
            raise IndexConflictError(
                f"The pictures of {index.directory.name} are below {index.root}, and not below {above}: name a folder "
                "above all of them with --root, or add --by-name to have each in a folder of its index's name."
            ) from error
        ways.append("" if way == "." else way)
    return above, ways


def _mounts(joined: JoinedIndex) -> tuple[str, ...]:
    pairs = zip(joined.members, joined.folders, strict=True)
    found = (f"{folder}/{mount}" if folder else mount for index, folder in pairs for mount in index.meta.mounts)
    return tuple(sorted(set(found)))


def _patterns(indexes: Sequence[Index]) -> dict[str, object]:
    """Return the patterns that all have, as they are."""
    patterns = {(index.meta.exclude, index.meta.ignore_case) for index in indexes}
    exclude, ignore_case = patterns.pop()
    return {} if patterns else {"exclude": exclude, "ignore_case": ignore_case}


def _people(indexes: Sequence[Index], joined: JoinedIndex) -> tuple[Album | None, list[str]]:
    """Return what was said of people in all of them, None where nothing was, and in words what does not come along.

    It says of which pictures' contents it is, so it holds wherever these are.
    """
    albums, lost = [], []
    for index in indexes if joined.meta.faces is not None else ():
        try:
            if index.meta.people is not None:
                albums.append(read_album(index))
        except IndexDamagedError as error:
            lost.append(f"what was said of people in {index.directory.name} ({error})")
    return (joined_albums(albums) if albums else None), lost


def _lost(indexes: Sequence[Index], joined: JoinedIndex) -> list[str]:
    lost = []
    if joined.meta.parts is None and any(index.meta.parts for index in indexes):
        lost.append("parts, of which those of several cannot be compared: `cbir index --parts` reads them")
    if joined.meta.objects is None and any(index.meta.objects for index in indexes):
        lost.append("objects, as several detectors found them: `cbir index --objects` looks for them")
    if joined.meta.faces is None and any(index.meta.faces for index in indexes):
        lost.append("faces, as vectors of several networks cannot be compared: `cbir index --faces` looks for them")
    if joined.meta.treatment is None and any(index.meta.treatment for index in indexes):
        lost.append("how pictures were treated, which not all know: `cbir index --treatment` looks at them")
    if any(index.meta.notions for index in indexes):
        lost.append("notions: `cbir learn` learns them anew")
    if any(index.meta.others for index in indexes):
        lost.append("rows by other networks than the indexes' own: `cbir index --model NAME --keep-old` makes them")
    if not _patterns(indexes) and any(index.meta.exclude for index in indexes):
        lost.append("the patterns of what is left out, which differ: `cbir index --exclude` says them")
    return lost
