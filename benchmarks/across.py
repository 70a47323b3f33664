"""Point 25: what searches find across treatments, with and without the mean of each, and what that costs.

A second photo of each folder of `shared/photos` is seen through nine filters, and ought to find itself through the
others (the first ones were looked at when the way was chosen). Paintings, cartoons, photos and sketches of
`shared/pacs` ought to find those of their class in the other domains. Time and recall are those of 100,000 clustered
features, a quarter of which each of four treatments has moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from benchmarks import features
from benchmarks.harness import Settings, alone, one_blas_thread
from benchmarks.results import Result, measured, noted
from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.evaluation.across import AcrossEvaluation, Domains, evaluate_across
from cbir.evaluation.ground_truth import GroundTruth
from cbir.evaluation.systems import IndexSystem
from cbir.images.safely import open_image
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import Target
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats, Rows, l2_normalize

FOLDERS = ("drawings", "photos", "prints", "sketches")

_DIMENSION = 1280


def _warm(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    warmer = red.point([min(255, round(1.25 * value)) for value in range(256)])
    return Image.merge("RGB", (warmer, green, blue.point([round(0.6 * value) for value in range(256)])))


#: Nine filters, by name.
FILTERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "sepia": lambda image: ImageOps.colorize(ImageOps.grayscale(image), "#2b1a08", "#fff1d2", mid="#a37b4b"),
    "grey": ImageOps.grayscale,
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "posterised": lambda image: ImageOps.posterize(image, 2),
    "edges": lambda image: ImageOps.invert(ImageOps.grayscale(image).filter(ImageFilter.FIND_EDGES)),
    "embossed": lambda image: image.filter(ImageFilter.EMBOSS),
    "solarised": lambda image: ImageOps.solarize(image, 128),
    "warm": _warm,
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(2.5),
}


def run(settings: Settings) -> Iterator[Result]:
    """Look at filtered photos, at domains, and at many rows."""
    photos, pacs = settings.shared / "photos", settings.shared / "pacs"
    if photos.is_dir():
        folder = settings.scratch / "filtered"
        count = _filter(photos, folder, settings.pick(50, 15))
        index = _index(folder, settings.scratch / "filtered-index")
        details = f"{count} photos through {len(FILTERS)} filters"
        # among all, those through the same filter come between: nothing is ignored
        all_found, others = _evaluated(index, own=True), _evaluated(index)
        yield measured("across-filters", all_found["cosine, less means"].overall.average_precision, details)
        for method, one in all_found.items():
            yield noted(25, f"the same, {method}", one.overall.average_precision, "")
        yield measured("across-other-filters", others["cosine, less means"].overall.average_precision)
        for method, one in others.items():
            yield noted(25, f"the same, {method}", one.overall.average_precision, "")
    else:
        yield noted(25, "across filters", 0, "pictures", f"{photos} is not there: filters are not measured")
    if pacs.is_dir():
        index = _index(pacs, settings.scratch / "pacs-index")
        found = _evaluated(index)
        yield measured("across-domains", found["cosine, less means"].overall.average_precision, "photos and art")
        for method, one in found.items():
            pairs = {f"{of} > {to}": scores.average_precision for (of, to), scores in one.pairs.items()}
            details = ", ".join(f"{pair} {value:.3f}" for pair, value in pairs.items() if "_" not in pair)
            yield noted(25, f"the same, {method}", one.overall.average_precision, "", details, raw=pairs)
        for method, one in _evaluated(index, _Guessing).items():
            if "," in method:
                yield noted(25, f"the same, {method}, guessed", one.overall.average_precision, "")
    else:
        yield noted(25, "across domains", 0, "pictures", f"{pacs} is not there: domains are not measured")
    rows = settings.pick(100_000, 10_000)
    directory = settings.scratch / "treated"
    alone(_write, directory, rows)
    with one_blas_thread():
        plain, across, opened, recall = alone(_asked, directory, rows, settings.pick(60, 30))
    details = f"{rows:,} rows, re-ranked: {across:.1f} ms a query, {plain:.1f} ms without"
    yield measured("across-time", across / plain, details)
    yield measured("across-recall", recall)
    yield measured("across-first", opened)


def _filter(photos: Path, folder: Path, most: int) -> int:
    """Write the second photo of each folder through each filter, as FILTER/PHOTO/0.png; how many photos that are."""
    chosen = [its[1] for one in sorted(photos.iterdir()) if len(its := sorted(one.glob("*.jpg"))) > 1][:most]
    for photo in chosen:
        image = open_image(photo).convert("RGB")
        for name, treat in FILTERS.items():
            place = folder / name / photo.parent.name / "0.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            treat(image).save(place)
    return len(chosen)


def _index(folder: Path, directory: Path) -> Index:
    """Index a folder by the bundled network."""
    build_index(Target(directory, folder, is_new=True), Options(model=describe(BUNDLED)))
    return Index.open(directory)


class _Guessing(IndexSystem):
    """Searches by pictures whose folders are not known: the nearest mean is taken off."""

    def _ranked(self, query: int, feature: Floats, count: int, reranked: bool) -> Rows:
        rows, _ = self._searcher.ranked(feature, count, reranked=reranked, across=self._across)
        return rows


def _evaluated(
    index: Index, make: type[IndexSystem] = IndexSystem, *, own: bool = False
) -> dict[str, AcrossEvaluation]:
    """Evaluate searches across the folders of an index by their methods; with pictures of the `own` one in between."""
    rows = np.flatnonzero(index.valid)
    domains = Domains.of_paths([index.record(row).path for row in rows.tolist()])
    truth: GroundTruth = domains.truth()
    if own:
        nothing = np.empty(0, dtype=np.int64)
        truth = replace(truth, judgements=[one._replace(ignored=nothing) for one in truth.judgements])
    systems = [
        make(index, rows, reranked=reranked, across=across)
        for reranked in (False, True)
        for across in ((), domains.names)
    ]
    return {one.method: evaluate_across(one, domains, truth) for one in systems}


def _write(directory: Path, rows: int) -> None:
    """Write an index of clustered features, each moved by its treatment."""
    model = {**describe(BUNDLED, "untrained").to_json(), "dimension": _DIMENSION}
    directory.mkdir()
    writer = Writer(directory, Meta(model, _DIMENSION, "/pictures", "", ""))
    row = 0
    for chunk in features.chunks(rows, _DIMENSION):
        for feature in _treated(chunk, row):
            writer.add(FileRecord(f"{FOLDERS[row % len(FOLDERS)]}/{row}.jpg", 1, 1, f"{row:064x}"), feature)
            row += 1
        writer.commit()
    writer.tidy()


def _treated(chunk: Floats, first: int) -> Floats:
    """Move features of length 1 by what their treatments add, which is about as long as they are."""
    added = l2_normalize(np.random.default_rng(7).gamma(0.5, 1.0, (len(FOLDERS), _DIMENSION)).astype(np.float32))
    return l2_normalize(chunk + added[(first + np.arange(len(chunk))) % len(FOLDERS)])


def _asked(directory: Path, rows: int, count: int) -> tuple[float, float, float, float]:
    """Milliseconds of a query without and with treatments, more of the first one with, and recall at 10 by cosine."""
    index = Index.open(directory)
    searcher = Searcher(index)
    asked = _treated(features.queries(count, rows, _DIMENSION), 0)
    searcher.ranked(asked[0], 10, reranked=True)
    plain = [_milliseconds(searcher, one, ()) for one in asked]
    first = _milliseconds(searcher, asked[0], FOLDERS)
    across = [_milliseconds(searcher, one, FOLDERS) for one in asked]
    shares = []
    for one in asked[:20]:
        exact = searcher.likeness_across(one, FOLDERS)
        exact[~index.comparable] = -2
        found, _ = searcher.ranked(one, 10, reranked=False, across=FOLDERS)
        shares.append(np.isin(found, np.argsort(-exact, kind="stable")[:10]).mean())
    return median(plain), median(across), first - median(across), mean(shares)


def _milliseconds(searcher: Searcher, feature: Floats, across: tuple[str, ...]) -> float:
    started = time.perf_counter()
    searcher.ranked(feature, 10, reranked=True, across=across)
    return 1000 * (time.perf_counter() - started)
