"""Point 15: searching by parts of pictures, and finding where in a picture something is, on composites."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from benchmarks import parts_scale
from benchmarks.composites import Box, Composite, composites, others
from benchmarks.harness import Settings, Worker, one_blas_thread
from benchmarks.results import Result, measured, noted
from cbir.index.ann.base import SMALL

#: Pictures that are searched, the composites among them.
COLLECTION = 2000

#: Synthetic pictures, of 40 windows each, that a search by parts is timed on.
SYNTHETIC = 10_000

#: What is left of a darkened query's light.
_DARK = 0.6


class Place(NamedTuple):
    """How well a box was found: intersection over union, whether its middle is in the true box, score, seconds."""

    overlap: float
    is_centred: bool
    score: float
    seconds: float


def run(settings: Settings) -> Iterator[Result]:
    """Locating, then searching; nothing where the photos are not there."""
    made = composites(settings.work, settings.shared)
    if not made:
        yield noted(15, "composites", 0, "pictures", f"{settings.shared} has no photos: parts are not measured")
        return
    with one_blas_thread(), Worker() as worker:
        yield from _locating(worker, made[:: settings.pick(1, 10)])
    with one_blas_thread(), Worker() as worker:
        yield from _searching(worker, settings, made)


def _locating(worker: Worker, made: Sequence[Composite]) -> Iterator[Result]:
    found: dict[str, list[Place]] = {
        kind: worker.call(located, made, kind) for kind in ("same", "mirrored", "dark", "class", "whole", "absent")
    }
    for kind, places in found.items():
        overlaps = [place.overlap for place in places]
        centred = sum(place.is_centred for place in places) / len(places)
        half = sum(overlap >= 0.5 for overlap in overlaps) / len(places)
        believed = sum(place.score >= 0.5 for place in places) / len(places)
        details = (
            f"{len(places)} cases: centre {centred:.3f}, IoU at least 0.5 {half:.3f}, median {median(overlaps):.3f}; "
            f"score at least 0.5 {believed:.2f}"
        )
        raw = {"places": [place._asdict() for place in places]}
        if kind == "same":
            yield measured("locate-centre", centred, details, **raw)
            yield measured("locate-overlap", half)
            yield measured("locate-median", median(overlaps))
            yield measured("locate-time", median(place.seconds for place in places))
        elif kind in ("mirrored", "dark"):
            yield measured(f"locate-{kind}", half, details, **raw)
        elif kind == "class":
            yield measured("locate-class-centre", centred, details, **raw)
            yield measured("locate-class", half)
        elif kind == "whole":
            yield noted(15, "locate by the whole photo: IoU at least 0.5", half, "", details, **raw)
        else:
            yield noted(15, "locate what is not there: score at least 0.5", believed, "", details, **raw)


def located(made: Sequence[Composite], kind: str) -> list[Place]:
    """Where each composite's object is found, by a query of that kind."""
    from cbir.backbones.catalog import BUNDLED
    from cbir.images.regions import Region
    from cbir.locate.locator import Locator

    locator = Locator(BUNDLED)
    found = []
    for number, one in enumerate(made):
        source = one
        if kind in ("class", "absent"):
            same = kind == "class"
            rest = [other for other in made if other is not one and (other.name == one.name) is same]
            if not rest:
                continue
            source = rest[(7 * number) % len(rest)]
        photo = Image.open(source.photo).convert("RGB")
        mask, box = np.array(Image.open(source.mask)), source.photo_box
        if kind == "whole":
            region = None
        else:
            x, y, width, height = box
            if kind == "mirrored":
                photo, x = ImageOps.mirror(photo), photo.width - x - width
                mask = mask[:, ::-1]
            elif kind == "dark":
                photo = ImageEnhance.Brightness(photo).enhance(_DARK)
            region = Region((x, y, width, height), mask[y : y + height, x : x + width])
        target = locator.target(photo, region)
        image = Image.open(one.path).convert("RGB")
        began = time.perf_counter()
        answer = locator.locate(target, image)
        found.append(_place(answer.box, one.box, answer.score, time.perf_counter() - began))
    return found


def _place(box: Box, true: Box, score: float, seconds: float) -> Place:
    x, y, width, height = box
    left, top, across, down = true
    shared = max(0, min(x + width, left + across) - max(x, left)) * max(0, min(y + height, top + down) - max(y, top))
    overlap = shared / (width * height + across * down - shared)
    is_centred = left <= x + width / 2 <= left + across and top <= y + height / 2 <= top + down
    return Place(overlap, is_centred, score, seconds)


def _searching(worker: Worker, settings: Settings, made: Sequence[Composite]) -> Iterator[Result]:
    files = [one.path for one in made] + others(settings.shared, made, COLLECTION - len(made))
    files = files[: settings.pick(COLLECTION, len(made) + 100)]
    found = worker.call(indexed, files, settings.scratch)
    yield measured("parts-rows", found.most)
    each = [f"{1000 * seconds / len(files):.1f} ms" for seconds in (found.seconds, found.plain)]
    size = f"{found.size / len(files) / 1000:.0f} KB a picture more"
    yield measured("parts-time", found.seconds / found.plain, f"{each[0]} a picture, {each[1]} without parts; {size}")
    yield measured("parts-memory", (found.memory - found.plain_memory) / 10**6)
    step = settings.pick(1, 10)
    plain_ranks, same = worker.call(searched_plainly, settings.scratch, made, step)
    first, ten = _among(plain_ranks)
    yield noted(15, "search by whole pictures: the photo's composite first", first, "", f"among ten {ten:.3f}")
    yield measured("parts-same", same, f"{len(plain_ranks)} queries")
    for kind, first_key, ten_key in (
        ("whole", "parts-whole-first", "parts-whole-ten"),
        ("box", "parts-box-first", "parts-box-ten"),
        ("mask", "parts-mask-first", "parts-mask-ten"),
    ):
        ranks, agree = worker.call(searched, settings.scratch, made, kind, step)
        first, ten = _among(ranks)
        details = f"among ten {ten:.3f}, of {len(files):,} pictures; of the exact scan's ten {agree:.3f}"
        yield measured(first_key, first, details, ranks=ranks)
        yield measured(ten_key, ten)
    yield from _large(settings)
    parts, plain = worker.call(queried, settings.scratch, made[:: settings.pick(6, 30)])
    yield measured("parts-query", parts - plain, f"{parts:.1f} ms a query by a region, {plain:.1f} ms with --no-parts")


def _large(settings: Settings) -> Iterator[Result]:
    """A synthetic index, a tenth of what 100,000 pictures have (`parts_many.py`), with lists of its windows."""
    pictures = settings.pick(SYNTHETIC, SYNTHETIC // 10)
    directory = settings.scratch / "synthetic"
    with Worker() as writer:
        size = writer.call(parts_scale.write, directory, settings.scratch / "parts", pictures)
        if pictures > SMALL:
            writer.call(parts_scale.build, directory)
    with Worker() as searcher:
        cost = searcher.call(parts_scale.search, directory, 20)
    details = f"{size / pictures / 1000:.1f} KB a picture; of the exact scan's ten {cost.recall:.3f}"
    details = f"{details}; by a scan of all signs {cost.scan:.0f} ms"
    yield noted(15, f"a query by parts of {pictures:,} synthetic pictures", cost.milliseconds, "ms", details)
    yield measured("parts-private", cost.peak, f"{cost.before:.0f} MB before")


def _among(ranks: Sequence[int]) -> tuple[float, float]:
    first, ten = (float(np.mean([rank < most for rank in ranks])) for most in (1, 10))
    return first, ten


class Indexed(NamedTuple):
    """Two runs of an index of the same pictures: windows of a picture at most, seconds, bytes of parts, private memory
    at the peak."""

    most: int
    seconds: float
    plain: float
    size: int
    memory: int
    plain_memory: int


def indexed(files: Sequence[Path], scratch: Path) -> Indexed:
    """Make an index with parts, and one without, of links to `files`, which have their numbers as names."""
    from cbir.backbones.catalog import BUNDLED
    from cbir.index.columns.parts import PARTS, SIGNS
    from cbir.index.store import Index

    photos = scratch / "photos"
    photos.mkdir()
    for number, path in enumerate(files):
        (photos / f"{number:05}{path.suffix}").symlink_to(path.resolve())
    (scratch / "few").mkdir()
    for path in sorted(photos.iterdir())[:32]:
        shutil.copy(path, scratch / "few")
    taken, memory = {}, {}
    for name, options in (("plain", []), ("parts", ["--parts"])):
        command = [sys.executable, "-m", "cbir", "index", "--model", BUNDLED, "-q", *options]
        # the network is prepared for the processor once, which is no part of a run
        subprocess.run(
            [*command, str(scratch / "few"), "--index", str(scratch / f"few-{name}")],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        began = time.perf_counter()
        process = subprocess.Popen([*command, str(photos), "--index", str(scratch / name)], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        taken[name], memory[name] = time.perf_counter() - began, 1024 * usage.ru_maxrss
        assert status == 0
    index = Index.open(scratch / "parts")
    files_of_parts = [block.columns[column.name] for block in index.meta.blocks for column in (PARTS, SIGNS)]
    most = int(index.stored(SIGNS, range(index.rows))[:, 0].max())
    size = sum(entry.bytes for entry in files_of_parts)
    return Indexed(most, taken["parts"], taken["plain"], size, memory["parts"], memory["plain"])


def searched(scratch: Path, made: Sequence[Composite], kind: str, step: int) -> tuple[list[int], float]:
    """For each query the rank of its own composite, and the share of the exact first ten."""
    from cbir.extract.of_index import backbone_of
    from cbir.images.regions import Region
    from cbir.index.ann.codes import SCALE
    from cbir.index.columns.parts import PARTS
    from cbir.index.store import Index
    from cbir.parts.learning import whitening_of_index
    from cbir.parts.reader import PartReader
    from cbir.search.by_parts import find_parts

    index = Index.open(scratch / "parts")
    reader = PartReader(backbone_of(index))
    whitening = whitening_of_index(index, reader.backbone)
    names = [int(record.path.split(".")[0]) for _, record in index.records()]
    numbers = index.stored(PARTS, range(index.rows))["numbers"]
    exact = numbers[..., : whitening.dimension].astype(np.float32) / SCALE
    ranks, agree = [], []
    for number in range(0, len(made), step):
        one = made[number]
        x, y, width, height = one.photo_box
        mask = np.array(Image.open(one.mask))[y : y + height, x : x + width] if kind == "mask" else None
        region = None if kind == "whole" else Region(one.photo_box, mask)
        query = whitening.rows(reader.region(Image.open(one.photo).convert("RGB"), region))[0]
        rows = find_parts(index, query, 100, []).rows.tolist()
        found = [names[row] for row in rows]
        ranks.append(found.index(number) if number in found else len(found))
        best = np.argsort(-(exact @ query).max(axis=1), kind="stable")[:10]
        agree.append(len(set(best.tolist()) & set(rows[:10])) / 10)
    return ranks, float(np.mean(agree))


def searched_plainly(scratch: Path, made: Sequence[Composite], step: int) -> tuple[list[int], float]:
    """The same without parts, by whole photos; and of how many queries the index without parts has the same matches."""
    from cbir.index.open import open_index
    from cbir.search.queries import Query
    from cbir.search.searcher import Searcher

    found = []
    for name in ("parts", "plain"):
        searcher = Searcher(open_index(str(scratch / name)))
        queries = [Query(one.photo, str(one.photo)) for one in made[::step]]
        found.append([result.matches for result in searcher.search(queries, count=100)])
    names = [[int(match.path.name.split(".")[0]) for match in matches] for matches in found[0]]
    ranks = [
        its.index(number) if number in its else len(its)
        for number, its in zip(range(0, len(made), step), names, strict=True)
    ]
    return ranks, float(np.mean([one == other for one, other in zip(*found, strict=True)]))


def queried(scratch: Path, made: Sequence[Composite]) -> tuple[float, float]:
    """Milliseconds a query by a region in the index with parts, by parts and plainly, in turns, the network open."""
    from cbir.images.regions import RegionOption
    from cbir.index.open import open_index
    from cbir.search.queries import Query
    from cbir.search.searcher import Searcher

    searcher = Searcher(open_index(str(scratch / "parts")))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number, one in enumerate([made[0], *made]):
        region = RegionOption.parse(",".join(map(str, one.photo_box)))
        for parts in (True, False):
            query = Query(one.photo, str(one.photo), region=region, parts=parts)
            began = time.perf_counter()
            next(iter(searcher.search([query])))
            if number:
                seconds[parts].append(time.perf_counter() - began)
    return 1000 * median(seconds[True]), 1000 * median(seconds[False])
