"""The detector of an index: opened again by what the index remembers, and held against it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, replace

from cbir.backbones.weights import Weights, hub_file, is_remembered, remember
from cbir.detect.detection import Detector
from cbir.detect.registry import open_detector, usual_wish, wish_for
from cbir.detect.torchvision import KNOWN
from cbir.detect.trial import Asked
from cbir.detect.wish import NO_DETECTOR, Wish
from cbir.engines.select import WORTH_TRIAL
from cbir.errors import IndexConflictError, IndexDamagedError, ModelError, WeightsError
from cbir.index.entries import ObjectsEntry


def open_for_index(
    index: str,
    entry: ObjectsEntry | None,
    wanted: Wish | None,
    *,
    engine: str | None = None,
    expected: int = 1,
) -> tuple[Detector, Wish, ObjectsEntry]:
    """Open the detector of the index of that name, and return what it was opened with and what the index is to say.

    It is the one that is `wanted`, else the one that the index remembers, else the usual one. `engine` and `expected`
    are as in `open_engine`. Raises IndexConflictError where the index has objects of another, WeightsError, ModelError,
    EngineError or TorchMissingError where it cannot be opened.
    """
    is_named = wanted is not None or entry is None
    wish = wanted or (usual_wish() if entry is None else wish_of(entry))
    if wish is None:
        raise ModelError(NO_DETECTOR.format("--detector", "--detector"))
    if entry is not None and wish.name not in (None, entry.source):  # before anything of it is downloaded
        raise _of_another(index, entry, str(wish.name))
    wish = replace(wish, engine=engine, expected=expected, is_large=expected >= WORTH_TRIAL)
    detector = open_detector(wish)
    if entry is not None and detector.identity != entry.identity and len(detector.classes) == len(entry.classes):
        # a file that has moved, without the words that it was opened with
        wish = replace(wish, classes=wish.classes or entry.classes, asked=_asked_of(entry))
        detector = open_detector(wish)
    if entry is not None and detector.identity != entry.identity:
        raise _of_another(index, entry, f"{detector.name} ({detector.identity[:12]}…)")
    found = entry_of(detector, wish)
    if is_named:
        remember(_named(found), "")
    return detector, wish, found


def _of_another(index: str, entry: ObjectsEntry, named: str) -> IndexConflictError:
    return IndexConflictError(
        f"The objects of the index {index} are those of {entry.name} ({entry.identity[:12]}…), not of {named}, which "
        f"has other weights, classes or input: leave --detector out, or take them away with `cbir index --index "
        f"{index} --no-objects`, then the same with --objects."
    )


def wish_of(entry: ObjectsEntry) -> Wish:
    """Return the wish for the detector that an index remembers; nothing is downloaded for it.

    WeightsError where it is a file that only the index names, and no user of this machine before; IndexDamagedError
    where there can be none such.
    """
    wish = replace(wish_for(entry.source), classes=entry.classes, asked=_asked_of(entry))
    if wish.name is not None and wish.name in KNOWN:
        return replace(wish, weights=str(hub_file(KNOWN[wish.name].weights)))
    if wish.name is None and not is_remembered(_named(entry).identity):
        raise WeightsError(
            f"The index says that its objects are found by the file {entry.source}, which was not used here before. "
            "If you know it, name it once with --detector FILE."
        )
    return wish


def _named(entry: ObjectsEntry) -> Weights:
    """Stand for a detector with the place that a user named for it, so that no index can name another place."""
    return Weights(hashlib.sha256(json.dumps([entry.source, entry.identity]).encode()).hexdigest(), "file")


def _asked_of(entry: ObjectsEntry) -> Asked:
    try:
        return Asked.of_words(entry.asked) if entry.asked else Asked()
    except ValueError as error:
        raise IndexDamagedError(f"An index tells impossible things of its detector ({error}).") from error


def entry_of(detector: Detector, wish: Wish) -> ObjectsEntry:
    """Return what an index is to say of a detector. WeightsError where its classes have names that no index takes."""
    entry = ObjectsEntry(
        detector.name,
        detector.kind,
        detector.identity,
        wish.name or os.path.abspath(wish.weights or ""),
        detector.classes,
        detector.least_score,
        wish.asked.words,
    )
    try:
        return ObjectsEntry.from_json(asdict(entry))
    except ValueError as error:
        raise WeightsError(f"No index can have the objects of {detector.name}: {error}.") from error
