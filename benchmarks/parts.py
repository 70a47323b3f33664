"""Point 15: searching by parts of pictures, and finding where in a picture something is, on composites."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.composites import Box, Composite, composites, others
from benchmarks.harness import Settings, Worker, one_blas_thread
from benchmarks.results import Result, measured, noted

Floats = npt.NDArray[np.float32]

#: Pictures that are searched, the composites among them.
COLLECTION = 2000

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
    from cbir.backbones.registry import BUNDLED
    from cbir.parts.features import PartReader
    from cbir.parts.locate import Locator
    from cbir.parts.regions import Region

    locator = Locator(PartReader(BUNDLED))
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
    rows, seconds, plain = worker.call(index, files)
    yield measured("parts-rows", rows)
    yield measured("parts-time", seconds / plain, f"{1000 * seconds:.0f} ms and {1000 * plain:.0f} ms a picture")
    step = settings.pick(1, 10)
    for kind in ("whole", "box", "mask"):
        ranks, millis, agree = worker.call(searched, made, kind, step)
        first, ten = (float(np.mean([rank < most for rank in ranks])) for most in (1, 10))
        details = (
            f"among ten {ten:.3f}; {millis:.1f} ms in {len(files):,} pictures; of the exact scan's ten {agree:.3f}"
        )
        raw = {"ranks": ranks}
        if kind == "mask":
            yield measured("parts-first", first, details, **raw)
            yield measured("parts-ten", ten)
            yield measured("parts-query", millis)
        else:
            yield noted(15, f"search by parts, the photo's {kind}: its composite first", first, "", details, **raw)


_kept: dict[str, Any] = {}


def index(files: Sequence[Any]) -> tuple[int, float, float]:
    """Read the parts of pictures, and keep them: the most rows of one, and seconds a picture, of parts and plainly."""
    from cbir.backbones.registry import BUNDLED
    from cbir.images.fit import fit
    from cbir.parts.codes import quantised, signs
    from cbir.parts.features import PartReader
    from cbir.parts.whitening import general

    reader = PartReader(BUNDLED)
    whitening = general(reader.backbone)
    assert whitening is not None
    numbers, pictures, most = [], [], 0
    taken: dict[str, list[float]] = {"parts": [], "plain": []}

    def clock(kind: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        done = work()
        taken[kind].append(time.perf_counter() - began)
        return done

    for number, path in enumerate(files):
        image = Image.open(path).convert("RGB")
        rows = clock("parts", lambda image=image: quantised(whitening.rows(reader.parts(image)[1])))
        if number % 16 == 15 and number < 640:  # in batches of 16, as an index run has them
            batch = [fit(Image.open(one).convert("RGB"), reader.backbone.preprocessing) for one in files[:16]]
            clock("plain", lambda batch=batch: reader.engine.features(np.stack(batch)))
        numbers.append(rows)
        pictures += [number] * len(rows)
        most = max(most, len(rows))
    _kept.update(reader=reader, whitening=whitening, numbers=np.concatenate(numbers))
    _kept.update(pictures=np.array(pictures, dtype=np.int64), signs=signs(_kept["numbers"]))
    return most, median(taken["parts"]), median(taken["plain"]) / 16


def searched(made: Sequence[Composite], kind: str, step: int) -> tuple[list[int], float, float]:
    """For each query the rank of its own composite, milliseconds a query, and the share of the exact first ten."""
    from cbir.parts.codes import SCALE, best_pictures
    from cbir.parts.regions import Region

    exact = _kept["numbers"].astype(np.float32) / SCALE
    starts = np.flatnonzero(np.diff(_kept["pictures"], prepend=-1))
    ranks, seconds, agree = [], [], []
    for number in range(0, len(made), step):
        one = made[number]
        x, y, width, height = one.photo_box
        mask = np.array(Image.open(one.mask))[y : y + height, x : x + width] if kind == "mask" else None
        region = None if kind == "whole" else Region(one.photo_box, mask)
        query = _kept["whitening"].rows(_kept["reader"].region(Image.open(one.photo).convert("RGB"), region))[0]
        began = time.perf_counter()
        found = best_pictures(query, _kept["numbers"], _kept["signs"], _kept["pictures"], 100)
        seconds.append(time.perf_counter() - began)
        where = np.flatnonzero(found.pictures == number)
        ranks.append(int(where[0]) if len(where) else len(found.pictures))
        best = np.argsort(-np.maximum.reduceat(exact @ query, starts), kind="stable")[:10]
        agree.append(len(set(best.tolist()) & set(found.pictures[:10].tolist())) / 10)
    return ranks, 1000 * median(seconds), float(np.mean(agree))
