"""Searching by objects, on the photos of `shared/detect`, and for the same thing again on composites."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.composites import Composite, composites, others
from benchmarks.harness import Settings, cbir_command, run_command, take_turns, timed
from benchmarks.results import Result, measured, noted
from cbir.detect.classes import COCO, VOC
from cbir.detect.formats.annotations import Annotation, Annotations
from cbir.evaluation.box_sources import same_classes
from cbir.index.open import open_index
from cbir.search.queries import AnyQuery, Query, WordQuery
from cbir.search.results import Match
from cbir.search.searcher import Searcher
from cbir.words.vocabulary import look_up

#: Objects of a class that are searched by, at most, and what they are drawn with.
_OF_A_CLASS, _SEED = 6, 3

#: Composites that are searched for, and pictures that are searched.
_COMPOSITES, _COLLECTION = 150, 400

#: What classes of detectors are called in WordNet, where that is not their name.
_WORDS = {"potted plant": "pot plant"}

#: The ways in which a region is searched by: options of `Query`.
_WAYS: dict[str, dict[str, bool]] = {
    "whole pictures": {"parts": False},
    "as it comes": {},
    "--same": {"kind": False},
    "--kind": {"kind": True},
    "--kind --no-parts": {"kind": True, "parts": False},
}


def run(settings: Settings, folder: Path, truth: Annotations) -> Iterator[Result]:
    """Index the photos with objects and without, and search."""
    detector = folder / "models" / "yolox_nano.onnx"
    yield from _times(settings, folder / "photos", detector)
    yield from _kinds(settings, truth, folder / "photos")
    yield from _words(settings, truth)
    yield from _same(settings, detector)


def _index(settings: Settings, name: str, source: Path, *options: object) -> float:
    """Make an index anew, and return the seconds of the whole command."""
    command = [*cbir_command(), "index", source, "--index", settings.scratch / name, "-q", *options]
    return timed(run_command, [str(one) for one in command])


def _times(settings: Settings, photos: Path, detector: Path) -> Iterator[Result]:
    """Whole commands over the photos, eight times each under other names, less those over none but a few."""
    many, few = settings.scratch / "many", settings.scratch / "few"
    for number, photo in enumerate(sorted(photos.iterdir())):
        for copy in range(settings.pick(8, 2)):
            _changed(photo, many / f"{number}-{copy}.jpg", copy)
        if number < 2:
            _changed(photo, few / f"{number}.jpg", 0)
    with_objects = ("--objects", "--detector", detector)
    turn = iter(range(1000))

    def seconds(*options: object) -> float:
        name = f"timed-{next(turn)}"
        return _index(settings, name, many, *options) - _index(settings, f"{name}-few", few, *options)

    rounds = settings.pick(3, 1)
    for key, more in (("objects-index", ()), ("objects-index-parts", ("--parts",))):
        pair = take_turns(partial(seconds, *with_objects, *more), partial(seconds, *more), rounds)
        details = f"{len(list(many.iterdir()))} photos, without what a run over two of them takes"
        yield measured(key, pair.ratio, details, **pair.to_json())
    for name, more in (("objects", ("--parts", *with_objects)), ("parts", ("--parts",))):
        _index(settings, f"photos-{name}", photos, *more)


def _changed(photo: Path, path: Path, times: int) -> None:
    """Write a photo with so many bytes behind its end, so that its content is another one."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(photo.read_bytes() + b"\0" * times)


def drawn(truth: Annotations) -> list[tuple[str, Annotation]]:
    """Draw up to six objects of each of VOC's classes that another photo shows, of as many photos as there are."""
    shuffled, chosen = random.Random(_SEED), []
    for name in VOC:
        its = [(one.name, box) for one in truth.pictures for box in one.annotations if box.name == name]
        if len({photo for photo, _ in its}) < 2:
            continue
        its = [(photo, box) for photo, box in its if not box.difficult and not box.crowd]
        shuffled.shuffle(its)
        before: dict[str, int] = {}
        turns = [before.setdefault(photo, 0) for photo, _ in its]
        for place, (photo, _) in enumerate(its):
            turns[place] = before[photo]
            before[photo] += 1
        chosen += [its[place] for place in np.argsort(turns, kind="stable")[:_OF_A_CLASS]]
    return chosen


def _kinds(settings: Settings, truth: Annotations, photos: Path) -> Iterator[Result]:
    showing = {name: _showing(truth, name) for name in VOC}
    queries = drawn(truth)
    for index in ("parts", "objects"):
        searcher = Searcher(open_index(str(settings.scratch / f"photos-{index}")))
        for way, options in _WAYS.items():
            asked = [_by_box(photos / photo, box.box, **options) for photo, box in queries]
            precisions = [
                _precision(found, showing[box.name] - {photo})
                for found, (photo, box) in zip(_found(searcher, asked, len(truth.pictures)), queries, strict=True)
            ]
            halves = [float(np.mean(precisions[half::2])) for half in (0, 1)]
            details = f"{len(precisions)} objects; every other one {halves[0]:.3f}, the others {halves[1]:.3f}"
            value = float(np.mean(precisions))
            if (index, way) == ("objects", "--kind"):
                yield measured("objects-kind", value, details, precisions=precisions)
            else:
                text = f"same kind of thing, {way}, index with {index}: mAP"
                yield noted(21, text, value, "", details, precisions=precisions)


def _words(settings: Settings, truth: Annotations) -> Iterator[Result]:
    names = {voc: _WORDS.get(coco, coco) for coco, voc in same_classes(COCO, VOC).items()}
    queries = [WordQuery((look_up(word),)) for word in names.values()]
    for index in ("parts", "objects"):
        searcher = Searcher(open_index(str(settings.scratch / f"photos-{index}")))
        found = _found(searcher, queries, len(truth.pictures))
        precisions = [_precision(its, _showing(truth, name)) for name, its in zip(names, found, strict=True)]
        if index == "objects":
            yield measured(
                "objects-words", float(np.mean(precisions)), precisions=dict(zip(names, precisions, strict=True))
            )
        else:
            yield noted(21, "words, index without objects: mAP", float(np.mean(precisions)), "")


def _same(settings: Settings, detector: Path) -> Iterator[Result]:
    """Search composites by the boxes of the objects in the photos that they were cut out of."""
    made = composites(settings.work, settings.shared)[:_COMPOSITES]
    if not made:
        return
    linked = settings.scratch / "composites"
    linked.mkdir()
    for number, path in enumerate([one.path for one in made] + others(settings.shared, made, _COLLECTION - len(made))):
        (linked / f"{number:03}{path.suffix}").symlink_to(path.resolve())
    for index, more in (("parts", ()), ("objects", ("--objects", "--detector", detector))):
        _index(settings, f"composites-{index}", linked, "--parts", *more)
        searcher = Searcher(open_index(str(settings.scratch / f"composites-{index}")))
        for way, options in _WAYS.items():
            first, ten = _ranks(searcher, made[:: settings.pick(1, 5)], options)
            if (index, way) == ("objects", "--same"):
                yield measured("objects-same-first", first, f"among ten {ten:.3f}")
                yield measured("objects-same-ten", ten)
            else:
                yield noted(21, f"same thing, {way}, index with {index}: first", first, "", f"among ten {ten:.3f}")


def _ranks(searcher: Searcher, made: Sequence[Composite], options: dict[str, bool]) -> tuple[float, float]:
    """Return how often an object's own composite comes first, and among the first ten."""
    queries = [_by_box(one.photo, one.photo_box, **options) for one in made]
    own = [one.path.resolve() for one in made]
    found = [[match.path.resolve() for match in its] for its in _matches(searcher, queries, 10)]
    return (
        float(np.mean([path in its[:1] for path, its in zip(own, found, strict=True)])),
        float(np.mean([path in its for path, its in zip(own, found, strict=True)])),
    )


def _by_box(path: Path, box: Sequence[float], **options: bool) -> Query:
    x, y, width, height = box
    left, top = max(int(x), 0), max(int(y), 0)
    region = f"{left},{top},{max(int(x + width) - left, 1)},{max(int(y + height) - top, 1)}"
    return Query.from_path(path, region=region, **options)


def _matches(searcher: Searcher, queries: Sequence[AnyQuery], count: int) -> Iterator[list[Match]]:
    for result in searcher.search(queries, count=count):
        if result.error is not None:
            raise result.error
        yield list(result.matches)


def _found(searcher: Searcher, queries: Sequence[AnyQuery], count: int) -> list[list[str]]:
    """Return the names of the pictures that each query finds."""
    return [[match.path.name for match in its] for its in _matches(searcher, queries, count)]


def _precision(found: Sequence[str], right: set[str]) -> float:
    """Return the average precision of a list, in which what is not found comes nowhere."""
    places = [place for place, name in enumerate(found, 1) if name in right]
    return sum(number / place for number, place in enumerate(places, 1)) / len(right)


def _showing(truth: Annotations, name: str) -> set[str]:
    return {one.name for one in truth.pictures if any(box.name == name for box in one.annotations)}
