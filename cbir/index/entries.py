"""The entries of `meta.json` for data files."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cbir.index.values import LONGEST_NAME, flag, number, ranges, sequence, sha256, text, whole

#: The backend that needs no word in `meta.json`.
ANNOY = "annoy"

#: The backend that asks a vector database (`cbir.index.ann.milvus`), and the beginning of addresses of its files.
MILVUS, LITE = "milvus", "milvus+lite:"

#: The kind of the candidates among windows (`cbir.index.ann.lists`).
LISTS = "lists"

#: A detector has so many classes at most.
MOST_CLASSES = 20_000

#: A vector of a face has so many numbers at most, and what an index has of people so many bytes.
MOST_FACE_NUMBERS, MOST_PEOPLE_BYTES = 8192, 128 << 20

#: A treatment has so many numbers at most: two of each channel of two early maps.
MOST_TREATMENT_NUMBERS = 16_384

#: An index has so many notions at most, whose names have so many letters.
MOST_NOTIONS, LONGEST_NOTION_NAME = 100, 64

# Whatever else `meta.json` may name is refused, so that it cannot lead out of the directory.
_FILE_NAME = re.compile(r"([a-z][a-z0-9_]*)-([0-9]{6,})\.(npy|npz|json|ann)")


def beginning_of(name: str) -> str | None:
    """Return the part of a data file's name before its number, which tells its content; None for other names."""
    match = _FILE_NAME.fullmatch(name)
    return None if match is None else match[1]


@dataclass(frozen=True)
class FileEntry:
    """A data file of the index: its name in the directory, its length in bytes and the SHA-256 of its content."""

    name: str
    bytes: int
    sha256: str

    @classmethod
    def from_json(cls, record: dict[str, Any], beginning: str) -> FileEntry:
        """Read the entry of a file whose name begins so; ValueError, TypeError or KeyError where it is none."""
        name = text(record["name"], LONGEST_NAME)
        if beginning_of(name) != beginning:
            raise ValueError(f"not the name of a file of {beginning}: {reprlib.repr(name)}")
        return cls(name, whole(record["bytes"]), sha256(record["sha256"]))

    @property
    def number(self) -> int:
        """The number in its name."""
        match = _FILE_NAME.fullmatch(self.name)
        return 0 if match is None else int(match[2])


@dataclass(frozen=True)
class ColumnEntry(FileEntry):
    """A block's file of a column. `missing` are ranges [start, stop) of rows that nobody has filled in.

    It is None where an older cbir wrote the file, which did not tell.
    """

    missing: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def of_block(cls, record: dict[str, Any], column: str, rows: int) -> ColumnEntry:
        """Read an entry of a block of so many rows; ValueError, TypeError or KeyError where it is none."""
        entry, missing = FileEntry.from_json(record, column), record.get("missing")
        return cls(entry.name, entry.bytes, entry.sha256, None if missing is None else ranges(missing, rows))


@dataclass(frozen=True)
class ObjectsEntry:
    """The detector that finds an index's objects.

    `name`, `kind`, `identity`, `classes` and `least_score` are as in `cbir.detect.detection.Detector`; `source` is the
    name or the file by which it is opened again. `asked` are words about how pixels enter it.
    """

    name: str
    kind: str
    identity: str
    source: str
    classes: tuple[str, ...]
    least_score: float
    asked: str = ""

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ObjectsEntry:
        """Read one entry; ValueError, TypeError or KeyError where it is none."""
        return cls(
            text(record["name"]),
            text(record["kind"], LONGEST_NAME),
            sha256(record["identity"]),
            text(record["source"]),
            tuple(text(name, LONGEST_NAME) for name in sequence(record["classes"], MOST_CLASSES)),
            number(record["least_score"], 0, 1),
            text(record.get("asked", ""), LONGEST_NAME),
        )


@dataclass(frozen=True)
class FacesEntry:
    """The finder of an index's faces: its `name`, the SHA-256 of what matters of it, and how many numbers a face has.

    `source` is the file of the network that a user brought for the vectors, empty for the usual one.
    """

    name: str
    identity: str
    dimension: int
    source: str = ""

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> FacesEntry:
        """Read one entry; ValueError, TypeError or KeyError where it is none."""
        return cls(
            text(record["name"], LONGEST_NAME),
            sha256(record["identity"]),
            whole(record["dimension"], 1, MOST_FACE_NUMBERS),
            text(record["source"]),
        )

    def is_comparable(self, other: FacesEntry | None) -> bool:
        """Tell whether faces that another found can be compared with those of this one."""
        return other is not None and (self.identity, self.dimension) == (other.identity, other.dimension)


@dataclass(frozen=True)
class TreatmentEntry:
    """The treatments of an index's pictures: so many `numbers` each; 0 as long as the network has made none."""

    numbers: int = 0

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> TreatmentEntry:
        """Read one entry; ValueError, TypeError or KeyError where it is none."""
        return cls(whole(record["numbers"], 0, MOST_TREATMENT_NUMBERS))


@dataclass(frozen=True)
class PartsEntry:
    """The state of an index's parts, made or still to be made.

    `whitening` is the SHA-256 of what their rows were whitened with, None as long as there are none. Where that was
    learnt on `pictures` of the index, it is in `file`; where not, it came with cbir. `proposer` is where their boxes
    came from (`cbir.parts.proposals`), None for windows.
    """

    whitening: str | None = None
    file: FileEntry | None = None
    pictures: int = 0
    proposer: str | None = None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> PartsEntry:
        """Read one entry; ValueError, TypeError or KeyError where it is none."""
        whitening, file = record["whitening"], record.get("file")
        entry = None if file is None else FileEntry.from_json(file, "whitening")
        proposer = None if record.get("proposer") is None else text(record["proposer"], LONGEST_NAME)
        return cls(None if whitening is None else sha256(whitening), entry, whole(record.get("pictures", 0)), proposer)


@dataclass(frozen=True)
class RefusedEntry:
    """The file of what the index could not take, see `cbir.index.refused`, and what tried to read these files."""

    file: FileEntry
    readers: str

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> RefusedEntry:
        """Read one entry; ValueError, TypeError or KeyError where it is none."""
        return cls(FileEntry.from_json(record["file"], "refused"), text(record["readers"]))


@dataclass(frozen=True)
class NotionEntry:
    """A notion of the index by its name, and its file (`cbir.notions.store`)."""

    name: str
    file: FileEntry

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> NotionEntry:
        """Read one entry; ValueError, TypeError or KeyError where it is none."""
        if not is_notion_name(name := text(record["name"], LONGEST_NAME)):
            raise ValueError(f"not the name of a notion: {reprlib.repr(name)}")
        return cls(name, FileEntry.from_json(record["file"], "notion"))


def is_notion_name(name: str) -> bool:
    """Tell whether a notion may be called so: one to 64 letters, digits, `-`, `_`, `.` and spaces within.

    It can then stand in a shell, a file's name and an address as it is.
    """
    fits = 0 < len(name) <= LONGEST_NOTION_NAME and name == name.strip(" .") and not name.startswith("-")
    return fits and all(letter.isalnum() or letter in "-_. " for letter in name)


@dataclass(frozen=True)
class StoreEntry:
    """The collection in Milvus that finds an index's candidates.

    `server` is its address without what lets one in; `identity` is what the collection knows the index by. `whole`
    tells whether it is to have the features, too. `lines` are the last one or two numberings of rows that the index
    wrote there, and `token` is what it was last known by; 0 before the first.
    """

    server: str
    collection: str
    identity: str
    whole: bool = False
    lines: tuple[int, ...] = ()
    token: int = 0

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> StoreEntry:
        """Read one entry; ValueError, TypeError or KeyError where it is none."""
        server = text(record["server"])
        if not re.fullmatch(r"milvus(\+https)?://[^/@?#\s]+:\d+|milvus\+lite:.+", server):
            raise ValueError(f"no address in Milvus: {reprlib.repr(server)}")
        collection = text(record["collection"], LONGEST_NAME)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", collection):
            raise ValueError(f"no collection in Milvus: {reprlib.repr(collection)}")
        lines = tuple(whole(line, 1) for line in sequence(record["lines"], 2))
        return cls(server, collection, sha256(record["identity"]), flag(record["whole"]), lines, whole(record["token"]))

    def after(self, candidates: CandidatesEntry) -> StoreEntry:
        """Return the entry of a state with such candidates."""
        settings = candidates.settings
        lines = tuple(line for line in (settings["former"], settings["line"]) if line)
        return replace(self, lines=lines, token=settings["token"])

    def is_same_place(self, other: StoreEntry | None) -> bool:
        """Tell whether another one is the same collection for the same."""
        return other is not None and replace(self, lines=(), token=0) == replace(other, lines=(), token=0)

    def __str__(self) -> str:
        return f"{self.server}/{self.collection}" if not self.is_lite else self.server

    @property
    def is_lite(self) -> bool:
        """True for a file of milvus-lite, which one process at a time can open."""
        return self.server.startswith(LITE)


@dataclass(frozen=True)
class CandidatesEntry:
    """The candidates of a backend, which cover the first `rows` rows: its files and settings, by their keys.

    `recall` is the share of the exact first ten that it was found to bring.
    """

    rows: int
    files: Mapping[str, FileEntry]
    settings: Mapping[str, int]
    recall: float
    backend: str = ANNOY

    def to_json(self) -> dict[str, Any]:
        """Return the entry as `meta.json` has it."""
        kind = {} if self.backend == ANNOY else {"kind": self.backend}
        files = {key: asdict(file) for key, file in self.files.items()}
        return {"rows": self.rows, **files, **self.settings, "recall": self.recall, **kind}
