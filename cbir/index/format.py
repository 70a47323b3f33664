"""`meta.json`: what an index directory holds. The one file whose replacement commits a change."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cbir.errors import IndexConflictError, IndexDamagedError, IndexNotFoundError, IndexWriteError, reason_of
from cbir.index.ann.registry import file_beginnings, read_entry, read_lists_entry
from cbir.index.blockentry import BlockEntry
from cbir.index.columns import objects
from cbir.index.columns.column import Column, Records
from cbir.index.columns.faces import FOUND, VECTORS, check_vectors
from cbir.index.columns.objects import OBJECTS
from cbir.index.columns.parts import PARTS
from cbir.index.columns.registry import all_columns, content_columns
from cbir.index.columns.treatment import NUMBERS, TREATED, check_numbers
from cbir.index.entries import (
    MOST_NOTIONS,
    MOST_PEOPLE_BYTES,
    CandidatesEntry,
    FacesEntry,
    FileEntry,
    NotionEntry,
    ObjectsEntry,
    PartsEntry,
    RefusedEntry,
    StoreEntry,
    TreatmentEntry,
    beginning_of,
)
from cbir.index.home import META as META
from cbir.index.quantiles import CosineQuantiles
from cbir.index.values import (
    LARGEST,
    LONGEST_NAME,
    flag,
    read_json,
    sequence,
    small_object,
    text,
    whole,
)
from cbir.utils.opening import read_regular
from cbir.utils.printable import printable

#: The format of an index, and of one by several networks or views, which an older cbir would search wrongly.
FORMAT, FORMAT_OF_SEVERAL = 1, 2

# What names of data files begin with, beside those of columns and of candidates.
_BEGINNINGS = frozenset(("features", "files", "whitening", "refused", "notion", "people"))

# `meta.json` of seven million pictures, of which every fourth has gone, is as large; as many blocks as an index of a
# billion billion pictures would have; numbers that a writer may have passed over since the last file that is there.
_MOST_BYTES, _MOST_BLOCKS, _MOST_PASSED_OVER = 64 << 20, 100, 1_000_000

#: The precision of features of which it was not noted, or of which this cbir does not know it.
UNKNOWN = "unknown"

# What the content of a file raises that is not as it should be.
_UNSOUND = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)

_PRECISIONS = ("f16", "bf16", "f32", "f64")

#: Groups of columns that an index has only where somebody wants them, which a field of `Meta` of the same name says.
CHOSEN = (PARTS.group, OBJECTS.group, FOUND.group, TREATED.group)

# Other fields about what is in such a group.
_BESIDE = {PARTS.group: ("part_lists",), FOUND.group: ("people",)}

# What belongs to an index whatever its networks, and is not repeated in the states by others; and so many are kept.
_OF_ALL, _MOST_KEPT = ("root", "exclude", "ignore_case", "mounts", "notions", "people", "next_number"), 10


def is_writers(name: str) -> bool:
    """Tell whether a name is one of a writer's files, which may be left over when it is killed."""
    beginning = beginning_of(name)
    known = _BEGINNINGS | file_beginnings() | {column.name for column in all_columns()}
    return name == f"{META}.new" or beginning in known


@dataclass(frozen=True)
class Meta:
    """The content of `meta.json`.

    `model` is what made the features, kept for whoever can read it (a backbone's `to_json`); `root` is the folder
    that the files' paths are relative to. `next_number` numbers the next data file; numbers are never used
    again, so that a reader of an older state cannot mistake a file. `complete` is false between the commits of a
    run that has not come to its end. `ignore_case` is how `exclude` is meant; `mounts` are the folders below the
    root in which another file system began. `cosines` tells how alike the rows are, where that was sampled. `parts` is
    None where nobody wanted any; `part_lists` has its windows where they are many; `refused` is None where all could be
    taken. `precisions` are those that its features were computed in ("f32", "bf16", …; `UNKNOWN` of rows of an older
    cbir), as far as that was noted. `notions` are what users taught it. `objects` tells of the detector that finds
    objects in its pictures, `faces` of the finder of faces, each None where none are wanted; `people` is the file of
    what users said of the latter, and of the whole index, as notions are. `treatment` is None where nobody wanted to
    know how pictures were treated. `store` is the collection in Milvus
    that finds candidates instead of Annoy. Of an index that was `imported`, rows that do not say when their
    files changed last are of pictures that nobody has looked at here.

    `moving_to` is the state of the same pictures by a network that takes over once it has seen them all, None where
    there is no such; `keeps_old` tells whether what there is by the present one is kept then. `kept` are states by
    networks that were kept. These have no other states themselves, and all else of the index as it has it.
    """

    model: dict[str, Any]
    dimension: int
    root: str
    created: str
    updated: str
    exclude: tuple[str, ...] = ()
    complete: bool = True
    next_number: int = 1
    blocks: tuple[BlockEntry, ...] = ()
    candidates: CandidatesEntry | None = None
    cosines: CosineQuantiles | None = None
    parts: PartsEntry | None = None
    ignore_case: bool = False
    mounts: tuple[str, ...] = ()
    refused: RefusedEntry | None = None
    precisions: tuple[str, ...] = ()
    part_lists: CandidatesEntry | None = None
    notions: tuple[NotionEntry, ...] = ()
    objects: ObjectsEntry | None = None
    faces: FacesEntry | None = None
    people: FileEntry | None = None
    treatment: TreatmentEntry | None = None
    imported: bool = False
    moving_to: Meta | None = None
    keeps_old: bool = False
    kept: tuple[Meta, ...] = ()
    store: StoreEntry | None = None
    format: int = field(default=FORMAT)

    @property
    def rows(self) -> int:
        """Rows of all blocks, invalid ones included."""
        return sum(block.rows for block in self.blocks)

    @property
    def wanted_columns(self) -> tuple[Column, ...]:
        """The columns of pictures' content that the index is to have of every picture."""
        unwanted = {group for group in CHOSEN if getattr(self, group) is None}
        return tuple(column for column in content_columns() if column.group not in unwanted)

    def check_of(self, column: Column) -> Callable[[Records], object] | None:
        """Return what raises ValueError where records of a column cannot be this index's; None where nothing does."""
        if column is OBJECTS and self.objects is not None:
            return functools.partial(objects.unpack, classes=len(self.objects.classes))
        if column is VECTORS and self.faces is not None:
            return functools.partial(check_vectors, dimension=self.faces.dimension)
        if column is NUMBERS and self.treatment is not None:
            return functools.partial(check_numbers, numbers=self.treatment.numbers)
        return column.check

    @property
    def others(self) -> tuple[Meta, ...]:
        """The states by other networks."""
        return (self.moving_to, *self.kept) if self.moving_to else self.kept

    def by(self, model: Mapping[str, Any]) -> Meta | None:
        """Return the state by the network that `model` describes, its own or another's; None where there is none."""
        return next((state for state in (self, *self.others) if state.model == model), None)

    def with_state(self, state: Meta) -> Meta:
        """Return the same with a state by another network in place of the one that there was by this."""
        kept = tuple(state if one.model == state.model else one for one in self.kept)
        is_next = self.moving_to is not None and self.moving_to.model == state.model
        moving_to = state if is_next else self.moving_to
        return self.but(moving_to=moving_to, kept=kept, next_number=state.next_number, updated=state.updated)

    def of_rows(self) -> Meta:
        """Return what it says of its rows: the same as long as whoever has it open need not open it again."""
        return self.but(notions=(), people=None, updated="", next_number=0, moving_to=None, keeps_old=False, kept=())

    def files(self) -> list[FileEntry]:
        """All data files that belong to this state, and to those by other networks."""
        others = [entry for state in self.others for entry in state._own_files()]
        told = [notion.file for notion in self.notions] + ([self.people] if self.people else [])
        return [*self._own_files(), *told, *others]

    def _own_files(self) -> list[FileEntry]:
        entries = [entry for block in self.blocks for entry in block.data_files()]
        if self.candidates:
            entries += self.candidates.files.values()
        if self.part_lists:
            entries += self.part_lists.files.values()
        if self.parts and self.parts.file:
            entries.append(self.parts.file)
        if self.refused:
            entries.append(self.refused.file)
        return entries

    def dump(self) -> str:
        """Return the text of `meta.json`, with a checksum of itself."""
        record = self._record()
        if self.moving_to is not None:
            record |= {"moving_to": self.moving_to._record(but=_OF_ALL), "keeps_old": self.keeps_old}
        if self.kept:
            record["kept"] = [state._record(but=_OF_ALL) for state in self.kept]
        return json.dumps({**record, "checksum": _checksum(record)}, indent=1, sort_keys=True) + "\n"

    def _record(self, but: Sequence[str] = ()) -> dict[str, Any]:
        """Return the state as `meta.json` has it, `but` for some keys, and for other networks."""
        record = asdict(self.but(blocks=(), candidates=None, part_lists=None, moving_to=None, kept=()))
        del record["candidates"], record["part_lists"], record["moving_to"], record["keeps_old"], record["kept"]
        if self.part_lists is not None:
            record["part_lists"] = self.part_lists.to_json()
        if self.parts is not None and self.parts.proposer is None:
            del record["parts"]["proposer"]
        for key in ("notions", "objects", "faces", "people", "treatment", "imported", "store"):
            if not record[key]:
                del record[key]
        record["blocks"] = [block.to_json() for block in self.blocks]
        record["shortlist"] = self.candidates and self.candidates.to_json()
        return {key: value for key, value in record.items() if key not in but}

    def but(self, **changes: Any) -> Meta:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def without(self, group: str) -> Meta:
        """Return the same state without one of the groups CHOSEN, its files, and what stands beside them."""
        gone = dict.fromkeys(column.name for column in content_columns() if column.group == group)
        blocks = tuple(block.with_columns(gone) for block in self.blocks)
        return self.but(blocks=blocks, **dict.fromkeys((group, *_BESIDE.get(group, ()))))


def load_meta(directory: Path) -> Meta:
    """Read and check the `meta.json` of an index directory.

    Raises IndexNotFoundError where there is none, IndexDamagedError where it is unsound or of a newer format.
    """
    path = directory / META
    try:
        content = read_regular(path, most=_MOST_BYTES, follow=False).decode("ascii")
    except FileNotFoundError as error:
        raise IndexNotFoundError(f"There is no index in {directory} (it has no {META}).") from error
    except NotADirectoryError as error:
        raise IndexNotFoundError(f"{directory} is a file, not an index.") from error
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    try:
        return _read(directory, content)
    except MemoryError as error:
        raise _damaged(path, ValueError("it does not fit into memory")) from error
    except _UNSOUND as error:
        raise _damaged(path, error) from error


def dump_readable(meta: Meta, directory: Path) -> bytes:
    """Return the content of `meta.json`, once it was read as `load_meta` reads it: nothing else may be committed.

    IndexWriteError where it cannot be read: a text is longer, say, than any that an index may hold.
    """
    content = meta.dump()
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 20} MB")
        _read(directory, content)
    except _UNSOUND as error:
        raise IndexWriteError(
            f"The index {directory} cannot hold what is to be written ({error}); its last state is intact."
        ) from error
    return content.encode("ascii")


def _read(directory: Path, content: str) -> Meta:
    """Read and check the content of `meta.json`; raises what `_UNSOUND` lists, IndexDamagedError for a newer format."""
    record = read_json(content)
    written_in = whole(record["format"])
    if written_in > FORMAT_OF_SEVERAL:
        raise IndexDamagedError(
            f"The index {directory} has format {written_in}, made by a newer cbir (this one reads up to "
            f"{FORMAT_OF_SEVERAL}): upgrade cbir."
        )
    checksum = record.pop("checksum")
    if checksum != _checksum(record):
        raise ValueError("its checksum is wrong")
    return _parse(record)


def _parse(record: dict[str, Any]) -> Meta:
    meta = _parse_state(record)
    of_all = {key: record[key] for key in _OF_ALL if key in record}
    kept = tuple(_parse_state({**state, **of_all}) for state in sequence(record.get("kept", ()), _MOST_KEPT))
    moving_to = None if record.get("moving_to") is None else _parse_state({**record["moving_to"], **of_all})
    meta = meta.but(moving_to=moving_to, keeps_old=flag(record.get("keeps_old", False)), kept=kept)
    states = meta, *meta.others
    if any(state.model == other.model for number, state in enumerate(states) for other in states[:number]):
        raise ValueError("it has two states by one network")
    files = meta.files()
    if len({entry.name for entry in files}) < len(files):
        raise ValueError("it names a data file twice")
    last = max((entry.number for entry in files), default=0)
    # whatever it says, the next file gets a name that none has, and one that systems allow
    if not last < meta.next_number <= last + _MOST_PASSED_OVER:
        meta = meta.but(next_number=last + 1)
    number = meta.next_number
    others = tuple(state.but(next_number=number) for state in meta.kept)
    return meta.but(moving_to=moving_to and moving_to.but(next_number=number), kept=others)


def _parse_state(record: dict[str, Any]) -> Meta:
    """Read the state by one network, which may have any `next_number`."""
    if record["format"] not in (FORMAT, FORMAT_OF_SEVERAL):
        raise ValueError(f"unknown format {record['format']}")
    shortlist = record["shortlist"]
    # an older index has none of these
    cosines, parts, refused = record.get("cosines"), record.get("parts"), record.get("refused")
    lists, detector, store = record.get("part_lists"), record.get("objects"), record.get("store")
    meta = Meta(
        model=small_object(record["model"]),
        dimension=whole(record["dimension"], 1, 100_000),
        root=text(record["root"]),
        created=text(record["created"], LONGEST_NAME),
        updated=text(record["updated"], LONGEST_NAME),
        exclude=tuple(text(pattern) for pattern in sequence(record["exclude"], 100_000)),
        complete=flag(record["complete"]),
        next_number=whole(record["next_number"], -LARGEST, 10**200),
        blocks=tuple(BlockEntry.from_json(block) for block in sequence(record["blocks"], _MOST_BLOCKS)),
        candidates=None if shortlist is None else read_entry(shortlist, store),
        cosines=None if cosines is None else CosineQuantiles.from_json(cosines),
        parts=None if parts is None else PartsEntry.from_json(parts),
        ignore_case=flag(record.get("ignore_case", False)),
        mounts=tuple(text(folder) for folder in sequence(record.get("mounts", ()), 100_000)),
        refused=None if refused is None else RefusedEntry.from_json(refused),
        precisions=tuple(dict.fromkeys(map(_precision, sequence(record.get("precisions", ()), 100)))),
        format=record["format"],
        part_lists=None if lists is None else read_lists_entry(lists),
        notions=tuple(map(NotionEntry.from_json, sequence(record.get("notions", ()), MOST_NOTIONS))),
        objects=None if detector is None else ObjectsEntry.from_json(detector),
        faces=None if record.get("faces") is None else FacesEntry.from_json(record["faces"]),
        people=None if record.get("people") is None else _people(record["people"]),
        treatment=None if record.get("treatment") is None else TreatmentEntry.from_json(record["treatment"]),
        imported=flag(record.get("imported", False)),
        store=None if store is None else StoreEntry.from_json(store),
    )
    if meta.candidates and meta.candidates.rows > meta.rows:
        raise ValueError("the shortlist has more rows than the blocks")
    if meta.part_lists and meta.part_lists.rows > meta.rows:
        raise ValueError("the lists of windows have more rows than the blocks")
    if len({notion.name for notion in meta.notions}) < len(meta.notions):
        raise ValueError("it names a notion twice")
    return meta


def load_state(directory: Path, model: str | None = None) -> Meta:
    """Read the state of an index by the network of that name, by default the index's own. Raises as `load_meta` does.

    IndexConflictError where it has none by that network.
    """
    meta = load_meta(directory)
    if model is None:
        return meta
    names = {state.model.get("name"): state for state in reversed((meta, *meta.others))}
    if model not in names:
        raise IndexConflictError(
            f"The index {directory.name} has no features by {printable(model)}, but by "
            f"{printable(' and by '.join(map(str, reversed(names))))}: `cbir index --index {directory.name} --model "
            f"{printable(model)} --keep-old` makes them beside those."
        )
    return names[model]


def _people(record: dict[str, Any]) -> FileEntry:
    entry = FileEntry.from_json(record, "people")
    whole(entry.bytes, 0, MOST_PEOPLE_BYTES)
    return entry


def _precision(name: object) -> str:
    """Check one precision, or those of several networks with `+` between them."""
    if not isinstance(name, str):
        return UNKNOWN
    parts = name.split("+", len(_PRECISIONS))
    return name if len(set(parts)) == len(parts) and set(parts) <= set(_PRECISIONS) else UNKNOWN


def _checksum(record: dict[str, Any]) -> str:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _damaged(path: Path, error: Exception) -> IndexDamagedError:
    detail = (
        f"it has no {error}"
        if isinstance(error, KeyError)
        else reason_of(error)
        if isinstance(error, OSError)
        else str(error)
    )
    return IndexDamagedError(
        f"{path} is damaged ({detail}), and with it what the index knows of its files. "
        f"Delete {path.parent} and index the folder again."
    )
