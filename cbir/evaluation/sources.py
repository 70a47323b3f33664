"""Sources of features: existing indexes, temporary ones made for the occasion, the pictures themselves."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cbir.backbones.backbone import Backbone, choose, describe
from cbir.backbones.families import is_same
from cbir.backbones.names import ONNX, file_name, prefix_of
from cbir.backbones.onnx_words import as_asked
from cbir.errors import CbirError, ImageReadError, IndexConflictError, reason_of
from cbir.evaluation import classical
from cbir.evaluation.systems import ClassicalSystem, IndexSystem
from cbir.extract.of_index import backbone_of
from cbir.images.scan import pictures_in
from cbir.images.sources.address import Location, folder_of, is_same_place, root_of
from cbir.index.format import META, load_meta
from cbir.index.home import all_directories, home, name_for
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import Target
from cbir.notions.store import load_notion
from cbir.utils.stopping import at_forced_end
from cbir.utils.vectors import Floats

logger = logging.getLogger("cbir")

#: Pictures that cannot be read and are named one by one.
_NAMED = 5

WatchIndex = Callable[[Iterator[Any], int], Iterator[Any]]
WatchPictures = Callable[[Iterator[Any], int, str], Iterator[Any]]


@dataclass(frozen=True)
class Wanted:
    """The subject of an evaluation: a folder, or an index by its name (without either, the only index there is).

    `models` are backbones; those of which there is no index make temporary ones. `weights` are files for them, the
    key None standing for the only one. Only to `compare`, an index is joined by backbones other than its own.
    """

    folder: Path | None = None
    index: str | None = None
    models: Sequence[str] = ()
    weights: Mapping[str | None, str] | None = None
    engine: str | None = None
    compare: bool = False


class Collection:
    """The pictures that all of some indexes of one root have. They are numbered by their place in `paths`."""

    def __init__(self, indexes: Sequence[Index]) -> None:
        self.indexes = indexes
        self.root = indexes[0].root
        rows = [{record.path: row for row, record in index.records() if index.valid[row]} for index in indexes]
        self.paths = sorted(set.intersection(*map(set, rows)))
        left_out = len(set.union(*map(set, rows))) - len(self.paths)
        if not self.paths:
            raise CbirError(f"There are no pictures in {' and '.join(str(index.directory) for index in indexes)}.")
        if left_out:
            logger.warning("%s pictures that are not in all of the indexes are left out.", f"{left_out:,}")
        self._rows = [np.array([of_path[path] for path in self.paths], dtype=np.int64) for of_path in rows]

    def systems(self, learnt: str | None = None) -> list[IndexSystem]:
        """Return each index in cosine order and re-ranked; the first by a notion too. Raises as `load_notion` does."""
        systems = [
            IndexSystem(index, rows, reranked=reranked)
            for index, rows in zip(self.indexes, self._rows, strict=True)
            for reranked in (False, True)
        ]
        if learnt is None:
            return systems
        own = [IndexSystem(self.indexes[0], self._rows[0], reranked=one, learnt=learnt) for one in (False, True)]
        return [*systems[:2], *own, *systems[2:]]

    def systems_across(self, folders: tuple[str, ...]) -> list[IndexSystem]:
        """Return each index in cosine order and re-ranked, with features as they are, and less the means of folders."""
        return [
            IndexSystem(index, rows, reranked=reranked, across=across)
            for index, rows in zip(self.indexes, self._rows, strict=True)
            for reranked in (False, True)
            for across in ((), folders)
        ]

    def labelled(self, learnt: str) -> set[int]:
        """Return the numbers of the pictures that a notion of the first index was learnt from, by content."""
        taught = {one.tobytes().hex() for one in load_notion(self.indexes[0], learnt).labels.sha256s}
        contents = self.indexes[0].files().sha256s
        return {item for item, row in enumerate(self._rows[0].tolist()) if contents[row] in taught}

    def classical_systems(self, watch: WatchPictures = lambda features, total, name: features) -> list[ClassicalSystem]:
        """Classical features of all pictures, which are read for it. Where what one needs is missing, a line says so.

        A picture that cannot be read any more is like no other. Raises CbirError where that is true of all.
        """
        names = list(classical.CLASSICAL)
        try:
            classical.check_hog()
        except CbirError as error:
            names.remove("hog")
            logger.warning("%s It is left out.", error)
        features: dict[str, list[Floats | None]] = {name: [] for name in names}
        problems: list[ImageReadError] = []
        found = classical.extract(names, [self.root / path for path in self.paths])
        for result in watch(found, len(self.paths), ", ".join(names)):
            if isinstance(result, ImageReadError):
                problems.append(result)
            for name in names:
                features[name].append(None if isinstance(result, ImageReadError) else result[name])
        if len(problems) == len(self.paths):
            raise CbirError(f"Classical features are made of the pictures themselves. {problems[0]}")
        if problems:
            how_many = "1 picture" if len(problems) == 1 else f"{len(problems):,} pictures"
            logger.warning("%s cannot be read any more, and found by no classical features. %s", how_many, problems[0])
        return [ClassicalSystem(name, _stack(rows)) for name, rows in features.items()]


@contextlib.contextmanager
def open_collection(wanted: Wanted, watch: WatchIndex = lambda results, total: results) -> Iterator[Collection]:
    """The indexes that are wanted; those made for the occasion are removed at the end.

    `watch` is as in `build.build_index`. Raises CbirError where there is nothing to evaluate.
    """
    own, root, backbones = _subject_of(wanted)
    with contextlib.ExitStack() as stack:
        indexes = [] if own is None else [own]
        for backbone in backbones:
            index = _existing(root, backbone)
            if index is None:
                temporary = tempfile.TemporaryDirectory(prefix="cbir-evaluate-")
                directory = Path(stack.enter_context(temporary))
                stack.enter_context(at_forced_end(temporary.cleanup))
                index = _temporary(directory, folder_of(root), backbone, wanted.engine, watch)
            indexes.append(index)
        for index in indexes:
            if not index.meta.complete:
                logger.warning("%s is not complete: `cbir index` goes on where it was interrupted.", index.directory)
        yield Collection(indexes)


@dataclass(frozen=True)
class Pictures:
    """The pictures that are wanted, without their features: `paths` below a root, and the networks to look at them."""

    root: Location
    paths: Sequence[str]
    backbones: Sequence[Backbone]

    @property
    def files(self) -> list[Location]:
        """The place of each picture."""
        return [self.root / path for path in self.paths]


def open_pictures(wanted: Wanted) -> Pictures:
    """Find the pictures of a folder, or of an index, and the networks that are wanted. CbirError where there are none.

    Networks of several count one by one.
    """
    own, root, backbones = _subject_of(wanted)
    if own is not None:
        backbones = [backbone_of(own), *backbones]
        paths = sorted({record.path for row, record in own.records() if own.valid[row]})
    else:
        folder = folder_of(root)
        _check_folder(folder)
        try:
            paths = [file.path for file in pictures_in(folder).files]
        except OSError as error:
            raise CbirError(f"Cannot read the folder {folder}: {reason_of(error)}.") from error
    if not paths:
        raise CbirError(f"There are no pictures in {root if own is None else own.directory}.")
    networks = [network for backbone in backbones for network in backbone.networks]
    return Pictures(root, paths, list(dict.fromkeys(networks)))


def _subject_of(wanted: Wanted) -> tuple[Index | None, Location, list[Backbone]]:
    """Find the index that is named, the root, and the backbones other than the index's own."""
    weights = dict(wanted.weights or {})
    if wanted.folder is None:
        own = open_index(wanted.index)
        name = backbone_of(own).name
        backbone_of(own, weights=weights.get(name, weights.get(None)))
        others = [model for model in wanted.models if not is_same(model, name)]
        if others and not wanted.compare:
            raise IndexConflictError(
                f"The index {own.directory} was made with {name}, not {others[0]}: leave --model out, or set both "
                "side by side with --compare."
            )
        return own, own.root, [describe(model, weights.get(model)) for model in others]
    root = Path(os.path.abspath(wanted.folder.expanduser()))
    backbones = [describe(model, weights.get(model, weights.get(None))) for model in wanted.models]
    return None, root, backbones or [_backbone_for(root, weights.get(None))]


def _backbone_for(root: Path, weights: str | None) -> Backbone:
    """Return the backbone of an index that the folder has; without one, what a new index would take."""
    made = [backbone for _, backbone in _indexes_of(root)] if weights is None else []
    if len(made) == 1:
        return made[0]
    backbone, remark = choose(None, weights)
    if remark:
        logger.info("%s", remark)
    return backbone


def _existing(root: Location, backbone: Backbone) -> Index | None:
    for directory, made_with in _indexes_of(root):
        if made_with.matches(backbone):
            logger.info("Using the features of the index %s.", directory.name)
            return Index.open(directory)
    return None


def _indexes_of(root: Location) -> list[tuple[Path, Backbone]]:
    """Return the indexes of a folder in the home of indexes, and what they were made with."""
    found = []
    for directory in all_directories():
        # one that is damaged concerns nobody here
        with contextlib.suppress(CbirError, ValueError, TypeError, KeyError):
            meta = load_meta(directory)
            if is_same_place(root_of(meta.root), root):
                found.append((directory, Backbone.from_json(meta.model)))
    return found


def _temporary(directory: Path, root: Path, backbone: Backbone, engine: str | None, watch: WatchIndex) -> Index:
    _check_folder(root)
    name, source = name_for(root), backbone.weights.source
    weights = backbone.weights.path if source == "file" else "untrained" if source == "untrained" else None
    is_file = prefix_of(backbone.name) == ONNX
    model = as_asked(str(backbone.weights.path), backbone.name) if is_file else backbone.name
    weights = None if is_file else weights
    keep = ["cbir", "index", str(root), "--model", model]
    keep += ["--weights", weights] if weights else []
    keep += ["--index", f"{name}-{file_name(backbone.name)}"] if os.path.exists(home() / name / META) else []
    logger.info(
        "There is no index of %s made with %s: its pictures are read for this run only. `%s` would keep the work.",
        *(root, backbone.name, shlex.join(keep)),
    )
    target = Target(directory / name, root, is_new=True)
    report, _ = build_index(target, Options(model=backbone, engine=engine), watch)
    for path, reason in report.skipped[:_NAMED]:
        logger.warning("  skipped: %s: %s", path, reason)
    if len(report.skipped) > _NAMED:
        logger.warning("  … and %s more", f"{len(report.skipped) - _NAMED:,}")
    return Index.open(target.directory)


def _check_folder(root: Path) -> None:
    """Raise CbirError where a root is no folder of pictures."""
    if os.path.isfile(root / META):
        raise CbirError(f"{root} is an index and not a folder of pictures: name it with --index.")
    if not os.path.isdir(root):
        what = "a file" if os.path.exists(root) else "not there, and no index was made of it"
        raise CbirError(f"{root} is {what}: name a folder of pictures, or an index with --index.")


def _stack(rows: Sequence[Floats | None]) -> Floats:
    """Rows of equal length; zeros where there is none."""
    length = next(len(row) for row in rows if row is not None)
    return np.stack([np.zeros(length, dtype=np.float32) if row is None else row for row in rows])
