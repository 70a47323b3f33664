"""Notions of parts: how much labels of boxes and of crops gain where parts are searched, and what they never harm.

Each collection is halved at random, three times. Labels come from one half, what is searched is an index of the other,
by parts: for the same thing (`--same`) and for the same kind (`--kind`). Constants were chosen on the composites and on
the photos with boxes; textures and PACS were looked at afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.composites import composites
from benchmarks.harness import Settings, cbir_command, run_command
from benchmarks.results import Result, measured
from cbir.engines.lazy import LazyEngine
from cbir.extract.of_index import backbone_of
from cbir.images.regions import RegionOption
from cbir.index.store import Index
from cbir.learn.labels import by_content
from cbir.learn.run import Learner, Learnt
from cbir.notions.notion import PARTS
from cbir.parts.learning import whitening_of_index
from cbir.search.by_kind import ByKind
from cbir.search.queries import Query
from cbir.search.regions import Kind, RegionExtractor
from cbir.search.resolve import QueryPicture
from cbir.search.searched import SearchedIndex
from cbir.search.strategies import ByParts
from cbir.search.strategy import SearchRequest

#: Halves of each collection; queries of each, and classes that have fewer things than these are not labelled.
SEEDS, _QUERIES, _LEAST = 3, 90, 2

_NAME = "things"

#: The middle of a picture, by which pictures of one thing are searched.
_MIDDLE = "25%,25%,50%,50%"


@dataclass(frozen=True)
class Thing:
    """A thing of a class: in a picture of the collection, in its `region`, "" for all of it.

    It is searched by `asked`, a region of `photo`.
    """

    path: Path
    class_name: str
    region: str
    photo: Path
    asked: str


def run(settings: Settings) -> Iterator[Result]:
    """Learn and search, set by set."""
    for name, things in _sets(settings).items():
        if things:
            yield from _measure(settings, name, things)


def _sets(settings: Settings) -> dict[str, list[Thing]]:
    shared = settings.shared
    made = composites(settings.work, shared) if (shared / "photos").is_dir() else []
    return {
        "composites": [Thing(one.path, one.name, _text(one.box), one.photo, _text(one.photo_box)) for one in made],
        "objects": _objects(shared / "detect"),
        "textures": _pictures(shared / "textures", 0),
        "pacs": _pictures(shared / "pacs", 1),
    }


def _text(box: Sequence[float]) -> str:
    x, y, width, height = box
    return f"{x:g},{y:g},{width:g},{height:g}"


def _objects(folder: Path) -> list[Thing]:
    if not folder.is_dir():
        return []
    truth = json.loads((folder / "boxes.json").read_text())
    names = {one["id"]: one["name"] for one in truth["categories"]}
    files = {one["id"]: folder / "photos" / one["file_name"] for one in truth["images"]}
    boxes = [(files[one["image_id"]], names[one["category_id"]], _text(one["bbox"])) for one in truth["annotations"]]
    return [Thing(path, name, box, path, box) for path, name, box in boxes]


def _pictures(folder: Path, depth: int) -> list[Thing]:
    paths = sorted(path for path in folder.rglob("*.*") if len(path.relative_to(folder).parts) == depth + 2)
    return [Thing(path, path.relative_to(folder).parts[depth], "", path, _MIDDLE) for path in paths]


def _measure(settings: Settings, name: str, things: Sequence[Thing]) -> Iterator[Result]:
    gains: dict[str, list[tuple[float, float]]] = {}
    qualities, shuffled = [], []
    for seed in range(settings.pick(SEEDS, 1)):
        half = _Half(settings, name, things, seed)
        every = half.classes
        learnt = half.learn(every)
        qualities.append(learnt.quality)
        for way, kind in (("same", False), ("kind", True)):
            gains.setdefault(way, []).append(half.found(every, kind=kind, is_learnt=learnt.notion is not None))
        seen = sorted(np.random.default_rng(seed).permutation(every)[: len(every) // 2].tolist())
        is_learnt = half.learn(seen).notion is not None
        for way, kind in (("same", False), ("kind", True)):
            others = sorted(set(every) - set(seen))
            gains.setdefault(f"unseen-{way}", []).append(half.found(others, kind=kind, is_learnt=is_learnt))
        shuffled += [half.learn(every, shuffle=turn).quality for turn in range(3)]
    for way, pairs in gains.items():
        before, after = np.mean(pairs, axis=0)
        details = f"{before:.3f} > {after:.3f} ({' '.join(f'{two - one:+.3f}' for one, two in pairs)})"
        if way in ("same", "kind"):
            details += f", kappa {np.mean(qualities):.2f}"
        key = f"parts-{name}-{way}"
        yield measured(f"adapt-{key}", float(after - before), details)
    refused, key = all(one < 0.3 for one in shuffled), f"parts-{name}-shuffled"
    yield measured(f"adapt-{key}", float(refused), f"kappa at most {max(shuffled):.3f}")


def _kind(extractor: RegionExtractor, thing: Thing) -> Kind:
    """Look at what a thing is searched by, once for all searches."""
    region = RegionOption.parse(thing.asked)
    return extractor.kind(thing.photo.read_bytes(), thing.photo.name, region, parts=True)[0]


class _Half:
    """A collection halved by a seed: things that may be labelled, and an index with parts of the other pictures."""

    def __init__(self, settings: Settings, name: str, things: Sequence[Thing], seed: int) -> None:
        self._random = np.random.default_rng(seed)
        paths = sorted({one.path for one in things})
        taken = {paths[place] for place in self._random.permutation(len(paths))[: len(paths) // 2].tolist()}
        self._train = [one for one in things if one.path in taken]
        self._test = [one for one in things if one.path not in taken]
        counts = {one: [its.class_name for its in self._train].count(one) for one in {t.class_name for t in things}}
        self.classes = sorted(one for one, count in counts.items() if count >= _LEAST)
        folder = settings.scratch / f"parts-{name}-{seed}"
        folder.mkdir()
        linked = {}
        for number, path in enumerate(sorted({one.path for one in self._test})):
            linked[path] = f"{number:04}{path.suffix}"
            (folder / linked[path]).symlink_to(path.resolve())
        self._directory = settings.scratch / f"parts-{name}-{seed}-index"
        run_command([*cbir_command(), "index", folder, "--index", self._directory, "--parts", "-q"])
        index = Index.open(self._directory)
        self._engine = LazyEngine(backbone_of(index), None)
        rows = {path: row for row, path in enumerate(index.files().paths)}
        self._rows = {path: rows[name] for path, name in linked.items()}
        self._given = Learner(index, engine=self._engine).parts.find([(one.path, one.region) for one in self._train])[0]
        extractor = RegionExtractor(self._engine, lambda: whitening_of_index(index, self._engine.backbone))
        places = self._random.permutation(len(self._test))[:_QUERIES].tolist()
        self._asked = [(one, _kind(extractor, one)) for one in (self._test[place] for place in places)]

    def learn(self, classes: Sequence[str], shuffle: int | None = None) -> Learnt:
        """Learn from the things of some classes, perhaps with shuffled labels."""
        wanted = set(classes)
        pairs = [
            (part, one.class_name)
            for part, one in zip(self._given, self._train, strict=True)
            if part is not None and one.class_name in wanted
        ]
        names = [name for _, name in pairs]
        if shuffle is not None:
            names = np.random.default_rng(shuffle).permutation(names).tolist()
        labelled, _ = by_content(zip((part for part, _ in pairs), names, strict=True))
        return Learner(Index.open(self._directory)).learn(_NAME, labelled, "classes", of=PARTS)

    def found(self, classes: Sequence[str], *, kind: bool, is_learnt: bool) -> tuple[float, float]:
        """Return the mean average precision of things of some classes, without the notion and with it."""
        wanted = set(classes)
        means = []
        for learnt in (None, _NAME if is_learnt else None):
            searched = SearchedIndex(Index.open(self._directory), self._engine)
            strategy = ByKind(searched) if kind else ByParts(searched)
            asked = [(thing, made) for thing, made in self._asked if thing.class_name in wanted]
            means.append(float(np.nanmean([self._precision(strategy, *one, learnt) for one in asked])))
        return means[0], means[1]

    def _precision(self, strategy: ByKind | ByParts, thing: Thing, made: Kind, learnt: str | None) -> float:
        row = self._rows[thing.path]
        is_kind = isinstance(strategy, ByKind)
        part = made.part if is_kind else made.row
        images = [QueryPicture([row], part=part, classes=made.classes if is_kind else None, part_row=made.row)]
        query = Query.from_path(thing.photo, region=thing.asked, kind=is_kind, parts=True)
        request = SearchRequest(count=len(self._rows), learnt=learnt)
        if learnt is not None:
            request = strategy.gated(query, images, request)
        found = [match.row for match in strategy.find(query, images, [row], request).matches]
        right = {self._rows[one.path] for one in self._test if one.class_name == thing.class_name} - {row}
        places = [place for place, one in enumerate(found, 1) if one in right]
        return sum(number / place for number, place in enumerate(places, 1)) / len(right) if right else float("nan")
