"""Notions as files of an index: written under its lock, read as a stranger's."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError, IndexDamagedError, reason_of
from cbir.images.sources.address import root_of
from cbir.index.arrays import pack_arrays, unpack_arrays
from cbir.index.datafile import DataFile, how_to_replace
from cbir.index.entries import NotionEntry, is_notion_name
from cbir.index.format import Meta, load_meta
from cbir.index.lock import exclusive
from cbir.index.quantiles import CosineQuantiles
from cbir.index.rights import Rights
from cbir.index.store import Index
from cbir.index.values import LONGEST_NAME, number, read_json, sequence, sha256, text
from cbir.index.writer import Writer
from cbir.notions.notion import KINDS, NONE, PARTS, PICTURES, VERDICTS, Labels, Notion
from cbir.notions.probability import Certainty
from cbir.notions.rows import ROWS, model_of
from cbir.utils.printable import printable

#: A notion's file at most: of 10,000 classes, or of 100,000 pictures that the index has not.
_MOST_BYTES = 512 << 20

_MOST_CLASSES = 100_000

# Pixels of a picture's side at most.
_LARGEST_BOX = 1 << 28

# Squared lengths of a mean, and weights and scales beyond these, are not learnt.
_LARGEST = 1e4


@dataclass(frozen=True)
class NotionInfo:
    """A notion of an index in short. `labels` is how many it was learnt from; `stale`, that by another network."""

    name: str
    classes: tuple[str, ...]
    kind: str
    quality: float
    verdict: str
    labels: int
    created: str
    stale: bool
    of: str = PICTURES


def load_notion(index: Index, name: str, of: str | None = PICTURES) -> Notion:
    """Read a notion of an index, to be applied. CbirError where there is none, IndexDamagedError where it is unsound.

    Raises CbirError too where it is of other rows than `of` (if that is not None), or others have made them since.
    """
    notion = read_notion(index, name)
    if of not in (None, notion.of):
        raise CbirError(
            f"The notion {printable(name)} is of {ROWS[notion.of].what}: it orders {ROWS[notion.of].orders}, and "
            "nothing else."
        )
    if notion.model != model_of(index.meta, notion.of):
        own = load_meta(index.directory)
        if own.model != index.model and notion.model == model_of(own, notion.of):
            network = printable(str(own.model.get("name")))
            raise CbirError(
                f"The notion {printable(name)} was learnt by the index's own network, {network}: search by that, "
                "without --model."
            )
        how = "by another network than that" if notion.of == PICTURES else f"from other {notion.of} than those"
        raise CbirError(
            f"The notion {printable(name)} was learnt {how} of the index {index.directory.name}: `cbir learn "
            f"'{printable(name)}' --index {index.directory.name}` learns it anew from the labels that were kept."
        )
    return notion


def read_notion(index: Index, name: str) -> Notion:
    """Read a notion of an index, of whatever network. Raises as `load_notion` does."""
    entries = {entry.name: entry for entry in index.meta.notions}
    try:
        return _read(index, _named(index, entries, name))
    except IndexDamagedError:
        # a writer may have learnt it anew since the index was opened, and removed the file of before
        newer = {entry.name: entry for entry in load_meta(index.directory).notions}
        if newer.get(name) == entries.get(name):
            raise
        return _read(index, _named(index, newer, name))


def notions_of(index: Index) -> tuple[list[NotionInfo], list[str]]:
    """Describe the notions of an index that can be read, by name, and say what is wrong with the others."""
    found, problems = [], []
    for entry in sorted(index.meta.notions, key=lambda entry: entry.name.casefold()):
        try:
            one = read_notion(index, entry.name)
        except CbirError as error:
            problems.append(str(error))
        else:
            stale = one.model != model_of(index.meta, one.of)
            count = len(one.labels)
            found.append(
                NotionInfo(one.name, one.classes, one.kind, one.quality, one.verdict, count, one.created, stale, one.of)
            )
    return found, problems


def keep_notion(directory: Path, notion: Notion, wait: float = 0, *, seen: Meta | None = None) -> None:
    """Make a notion part of an index, in place of one of its name; wait so many seconds for another writer.

    `seen` is the state of the index that it was learnt in. Raises IndexLockedError, IndexWriteError, IndexDamagedError,
    and CbirError where the name cannot be, the index has too many, another network made it meanwhile, or somebody else
    has changed the notion of that name since it was `seen`, whose labels would be lost.
    """
    check_name(notion.name)
    content = to_bytes(notion)
    if len(content) > _MOST_BYTES:
        raise CbirError(
            f"The notion {printable(notion.name)} would take {len(content):,} bytes, more than the {_MOST_BYTES:,} "
            "that it may have: learn it from fewer pictures that are not in the index, or fewer classes."
        )
    with exclusive(directory, wait, Rights.like(root_of(load_meta(directory).root), directory)):
        meta = load_meta(directory)
        if model_of(meta, notion.of) != notion.model:
            raise CbirError(f"The index {directory.name} was made anew meanwhile: run the same command again.")
        if seen is not None and _entry_of(meta, notion.name) != _entry_of(seen, notion.name):
            raise CbirError(
                f"The notion {printable(notion.name)} was changed meanwhile by another run: run the same command again."
            )
        Writer(directory, meta).keep_notion(notion.name, content)


def forget_notion(directory: Path, name: str, wait: float = 0) -> None:
    """Take a notion out of an index, with its labels. Raises as `keep_notion` does."""
    meta = load_meta(directory)
    _named(Index(directory, meta), {entry.name: entry for entry in meta.notions}, name)
    with exclusive(directory, wait, Rights.like(root_of(meta.root), directory)):
        meta = load_meta(directory)
        kept = tuple(entry for entry in meta.notions if entry.name != name)
        Writer(directory, meta).replace(meta.but(notions=kept))


def _entry_of(meta: Meta, name: str) -> NotionEntry | None:
    return next((entry for entry in meta.notions if entry.name == name), None)


def check_name(name: str) -> None:
    """Raise CbirError where no notion may be called so."""
    if not is_notion_name(name):
        raise CbirError(
            f"A notion cannot be called {printable(name)!r}: take 1 to 64 letters, digits, `-`, `_`, `.` and spaces, "
            "the first and the last a letter or a digit."
        )


def to_bytes(notion: Notion) -> bytes:
    """Return the file of a notion, the same each time."""
    labels = notion.labels
    about = {
        "name": notion.name,
        "classes": notion.classes,
        "scale": notion.scale,
        "kind": notion.kind,
        "quality": notion.quality,
        "verdict": notion.verdict,
        "model": notion.model,
        "cosines": None if notion.cosines is None else asdict(notion.cosines),
        "created": notion.created,
        "certainty": asdict(notion.certainty),
        "gate": notion.gate,
        **({} if notion.of == PICTURES else {"of": notion.of}),
    }
    return pack_arrays(
        {
            "about": np.frombuffer(json.dumps(about).encode("ascii"), np.uint8),
            "mean": notion.mean.astype("<f4"),
            "weights": notion.weights.astype("<f2"),
            "label_sha256s": labels.sha256s,
            "label_classes": labels.classes.astype("<i4"),
            "label_features": labels.features.astype("<f2"),
            "label_pairs": labels.pairs.astype("<i4"),
            **({"label_boxes": labels.boxes.astype("<i4")} if notion.of == PARTS else {}),
        }
    )


def from_bytes(data: bytes) -> Notion:
    """Read what `to_bytes` made; ValueError, TypeError or KeyError where it is something else."""
    arrays = unpack_arrays(data, ("|u1", "<f2", "<f4", "<i4"))
    about = read_json(arrays["about"].tobytes().decode("ascii"))
    notion = Notion(
        name=text(about["name"], LONGEST_NAME),
        classes=tuple(text(one, LONGEST_NAME) for one in sequence(about["classes"], _MOST_CLASSES)),
        mean=arrays["mean"].astype(np.float32),
        weights=arrays["weights"].astype(np.float32),
        scale=number(about["scale"], 0, _LARGEST),
        kind=_one_of(about["kind"], KINDS),
        quality=number(about["quality"], -1, 1),
        verdict=_one_of(about["verdict"], VERDICTS),
        model=sha256(about["model"]),
        labels=_labels(arrays),
        cosines=None if about["cosines"] is None else CosineQuantiles.from_json(about["cosines"]),
        created=text(about["created"], LONGEST_NAME),
        certainty=_certainty(about["certainty"]),
        gate=number(about["gate"], 0, 1),
        of=_one_of(about.get("of", PICTURES), tuple(ROWS)),
    )
    _check(notion)
    return notion


def _certainty(record: dict[str, Any]) -> Certainty:
    none = record["none"]
    return Certainty(number(record["slope"], 0, _LARGEST), None if none is None else number(none, -_LARGEST, _LARGEST))


def _labels(arrays: dict[str, npt.NDArray[Any]]) -> Labels:
    types = {"label_sha256s": "|u1", "label_classes": "<i4", "label_features": "<f2", "label_pairs": "<i4"}
    if "label_boxes" in arrays:
        types["label_boxes"] = "<i4"
    if any(arrays[name].dtype != np.dtype(kind) for name, kind in types.items()):
        raise ValueError("its labels are none")
    return Labels(*(arrays[name] for name in types))


def _check(notion: Notion) -> None:
    """ValueError where a notion's arrays cannot belong together."""
    labels, dimension, count = notion.labels, len(notion.mean), len(notion.classes)
    shapes = (
        notion.mean.shape == (dimension,)
        and notion.weights.shape == (dimension, count)
        and labels.classes.shape == (len(labels),)
        and labels.sha256s.shape == (len(labels), 32)
        and labels.features.shape[1:] == (dimension,)
        and len(labels.features) <= len(labels)
        and labels.pairs.shape[1:] == (3,)
        and labels.boxes.shape == (len(labels) if notion.of == PARTS else 0, 4)
    )
    if not shapes or not count or not is_notion_name(notion.name):
        raise ValueError("its arrays have other shapes than those of a notion")
    # a comparison with NaN is false
    numbers = (notion.mean, notion.weights, labels.features)
    if not all((np.abs(one) <= _LARGEST).all() for one in numbers) or not math.isfinite(notion.scale):
        raise ValueError("it has numbers that are not finite")
    if len(labels) and not NONE <= labels.classes.min() <= labels.classes.max() < count:
        raise ValueError("it has labels of classes that it has not")
    if len(labels.boxes) and not 0 <= labels.boxes.min() <= labels.boxes.max() <= _LARGEST_BOX:
        raise ValueError("it has boxes that are none")
    pairs = labels.pairs
    if len(pairs) and not (pairs.min() >= 0 and pairs[:, :2].max() < len(labels) and pairs[:, 2].max() <= 1):
        raise ValueError("it has pairs of labels that it has not")


def _one_of(value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"it is none of {', '.join(known)}")
    return str(value)


def _named(index: Index, entries: dict[str, NotionEntry], name: str) -> NotionEntry:
    if name in entries:
        return entries[name]
    where = index.directory.name
    known = ", ".join(map(printable, sorted(entries, key=str.casefold)))
    there = (
        f"it has {known}" if known else f"it has none yet, `cbir learn NAME --from FOLDER … --index {where}` makes one"
    )
    raise CbirError(f"There is no notion {printable(name)} in the index {where}: {there}.")


def _read(index: Index, entry: NotionEntry) -> Notion:
    file = DataFile(index.directory, entry.file, how_to_replace(index.directory, entry.name))
    try:
        if file.size > _MOST_BYTES:
            raise ValueError(f"its {file.size:,} bytes are more than those of a notion")
        data = file.read(0, file.size)
        if hashlib.sha256(data).hexdigest() != entry.file.sha256:
            raise ValueError("its checksum differs")
        notion = from_bytes(data)
        is_its = notion.model == model_of(index.meta, notion.of)
        if notion.name != entry.name or (is_its and len(notion.mean) != ROWS[notion.of].dimension(index.meta)):
            raise ValueError("it is another's")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise file.damaged(f"is damaged ({printable(reason_of(error))})") from error
    return notion
