"""Point 25: whether `cbir search --treatment` finds pictures that went through the same filter, and what that costs.

Fifty photos go through nine filters each. Of each picture the nearest other one should have the same filter: the same
photo through eight other filters competes with forty-nine other photos through its own. The constants of
`cbir.search.treatment_space` were chosen by other photos and other filters, whose figures come with these.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from benchmarks import across, features, pictures
from benchmarks.filters import REPORTED, TUNED_ON, Filter
from benchmarks.harness import Settings, Worker, alone, environment, take_turns, timed
from benchmarks.results import Result, measured, noted
from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.evaluation import metrics
from cbir.index.columns.treatment import pack
from cbir.index.entries import TreatmentEntry
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.treatments import treatment_of
from cbir.index.writer import Writer
from cbir.indexing.run import index_folder
from cbir.search.picture_query import ImageQuery
from cbir.search.searcher import Searcher
from cbir.search.treatment_query import TreatmentQuery

SEED = 7

#: Photos that go through filters, of each half, those that go through none, and how many have each filter among them.
PHOTOS, UNTREATED, FEW = 50, 300, 10

_QUALITY = 92

# Numbers of a treatment, as the bundled network's; seconds after which files are taken to stay as they are.
_NUMBERS, _SETTLED = 128, 2.5


def run(settings: Settings) -> Iterator[Result]:
    """Filter photos of both halves, and measure."""
    folder = settings.shared / "photos"
    if not folder.is_dir():
        yield noted(25, "treatment", 0, "pictures", f"{folder} is not there: treatments are not measured")
        return
    photos = sorted(folder.glob("*/*.jpg"))
    random.Random(SEED).shuffle(photos)
    count = settings.pick(PHOTOS, 15)
    others = photos[PHOTOS : PHOTOS + count]
    halves = {"tuned-on": (TUNED_ON, photos[:count]), "reported": (REPORTED, others)}
    halves["those of benchmarks.across"] = (across.FILTERS, others)
    untreated = photos[2 * PHOTOS : 2 * PHOTOS + settings.pick(UNTREATED, 90)]
    for name, (filters, its) in halves.items():
        yield from _of_half(settings, name, filters, its)
        yield from _among_others(settings, name, filters, its, untreated)
    yield from _of_labelled(settings, "PACS, the same domain", "pacs", "*/*/*")
    yield from _of_labelled(settings, "textures, the same word", "textures", "*/*")
    yield _cost(settings)
    yield from _first_searches(settings)


def _of_half(settings: Settings, name: str, filters: Mapping[str, Filter], photos: Sequence[Path]) -> Iterator[Result]:
    """Measure filtered pictures among each other."""
    folder = settings.scratch / f"treatment-{name}"
    files = _filtered(folder, filters, photos)
    searcher = _searcher(settings, folder)
    found = {kind: _scores(searcher, files, kind) for kind in ("treatment", "features", "re-ranked")}
    own = found["treatment"]
    by_filter = {one: _precision(its) for one, its in own.items()}
    details = ", ".join(f"{one} {value:.2f}" for one, value in by_filter.items())
    precision = fmean(by_filter.values())
    what = f"{len(photos)} photos × {len(filters)} filters ({name})"
    if name == "reported":
        yield measured("treatment-nine", precision, details, raw=by_filter)
    else:
        yield noted(25, f"{what}: nearest has the same filter", precision, "", details, raw=by_filter)
    yield noted(25, f"{what}: mean average precision", _average(own), "")
    for kind in ("features", "re-ranked"):
        values = {"P@1": _precision(list(chain.from_iterable(found[kind].values()))), "mAP": _average(found[kind])}
        shown = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
        yield noted(25, f"the same by {kind}: nearest has the same filter", values["P@1"], "", shown)


def _among_others(
    settings: Settings, name: str, filters: Mapping[str, Filter], photos: Sequence[Path], untreated: Sequence[Path]
) -> Iterator[Result]:
    """Measure few pictures of each filter, each of another photo where there are so many, among untreated photos."""
    folder = settings.scratch / f"few-{name}"
    drawn, files = random.Random(SEED), {}
    for one, filter_ in filters.items():
        its = drawn.sample(list(photos), min(FEW, len(photos)))
        files |= _filtered(folder, {one: filter_}, its)
    for number, path in enumerate(untreated):
        target = folder / "untreated" / f"{number:04}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    searcher = _searcher(settings, folder)
    what = f"{FEW} of each filter among {len(untreated)} untreated photos ({name})"
    for kind in ("treatment", "features"):
        scores = list(chain.from_iterable(_scores(searcher, files, kind).values()))
        shown = f"P@1 {_precision(scores):.3f}, P@5 {fmean(one.precision[5] for one in scores):.3f}"
        yield noted(25, f"{what}, by {kind}: mAP", fmean(one.average_precision for one in scores), "", shown)


def _of_labelled(settings: Settings, what: str, name: str, pattern: str) -> Iterator[Result]:
    """Measure, for what it is not for, pictures whose first folder says what they have in common."""
    folder = settings.shared / name
    files = {path: path.relative_to(folder).parts[0] for path in sorted(folder.glob(pattern)) if path.is_file()}
    files = {path: label for path, label in files.items() if path.suffix in (".jpg", ".png")}
    if not files:
        return
    searcher = _searcher(settings, folder)
    for kind in ("treatment", "features"):
        scores = list(chain.from_iterable(_scores(searcher, files, kind).values()))
        shown = f"{len(files)} pictures, P@1 {_precision(scores):.3f}"
        yield noted(25, f"{what}, by {kind}: mAP", fmean(one.average_precision for one in scores), "", shown)


def _cost(settings: Settings) -> Result:
    """Measure what it costs to index small photos with treatments, against without."""
    files = pictures.small(settings.work, settings.shared, settings.pick(300, 100))
    folder = pictures.folder_of(files, settings.scratch / "cost")
    with Worker() as worker:

        def index(*, treatment: bool) -> float:
            directory = settings.scratch / f"cost-{treatment}"
            return worker.call(_index_anew, folder, directory, treatment)

        pair = take_turns(partial(index, treatment=True), partial(index, treatment=False), settings.pick(5, 2))
    return measured("treatment-cost", pair.ratio, seconds=pair.to_json())


def _index_anew(folder: Path, directory: Path, treatment: bool) -> float:
    shutil.rmtree(directory, ignore_errors=True)
    return timed(index_folder, folder, f"{directory}/", model=BUNDLED, treatment=treatment)


def _first_searches(settings: Settings) -> Iterator[Result]:
    """Measure what the first search of a process waits for among many pictures, never before and once more."""
    rows = settings.pick(100_000, 10_000)
    directory = settings.scratch / "many"
    alone(_write_many, directory, rows)
    time.sleep(_SETTLED)
    with environment(OPENBLAS_NUM_THREADS="1", XDG_CACHE_HOME=str(settings.scratch / "cache")):
        made, next_one = alone(_opened, directory)
        kept, _ = alone(_opened, directory)
    yield measured(
        "treatment-first", made, f"{rows:,} rows; a search of the same process then {1000 * next_one:.0f} ms"
    )
    yield measured("treatment-kept", kept)


def _write_many(directory: Path, rows: int) -> None:
    """Write an index of clustered features, and of treatments of which they tell something."""
    dimension, drawn = describe(BUNDLED, "untrained").dimension, np.random.default_rng(SEED)
    model = {**describe(BUNDLED, "untrained").to_json(), "dimension": dimension}
    directory.mkdir()
    writer = Writer(directory, Meta(model, dimension, "/pictures", "", "", treatment=TreatmentEntry(_NUMBERS)))
    tells, usual = drawn.standard_normal((dimension, _NUMBERS)) / 2, drawn.gamma(1, 3, _NUMBERS)
    for chunk in features.chunks(rows, dimension):
        vectors = usual + chunk @ tells + drawn.standard_normal((len(chunk), _NUMBERS)) / 2
        for feature, vector in zip(chunk, np.maximum(vectors, 0).astype(np.float32), strict=True):
            row = writer.count_valid()
            writer.add(FileRecord(f"{row % 100}/{row}.jpg", 1, 1, f"{row:064x}"), feature, pack(vector))
        writer.commit()


def _opened(directory: Path) -> tuple[float, float]:
    """Seconds until an index's treatments can be compared, and of a comparison with all of them."""
    index = Index.open(directory)
    searched = Searcher(index).searched
    seconds = timed(searched.treatment_space)
    vector, feature = treatment_of(index, 0), index.features([0])[0]
    assert vector is not None
    return seconds, timed(searched.treatment_space().cosines, vector, feature)


def _filtered(folder: Path, filters: Mapping[str, Filter], photos: Sequence[Path]) -> dict[Path, str]:
    """Write photos through filters as JPEGs, and return these with their filters' names."""
    files = {}
    for name, filter_ in filters.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(photos):
            target = folder / name / f"{number:03}.jpg"
            with Image.open(path) as image:
                filter_(image.convert("RGB")).save(target, quality=_QUALITY)
            files[target] = name
    return files


def _searcher(settings: Settings, folder: Path) -> Searcher:
    directory = settings.scratch / f"index-{folder.name}"
    index, _ = index_folder(folder, f"{directory}/", model=BUNDLED, treatment=True)
    return Searcher(index)


def _scores(searcher: Searcher, files: Mapping[Path, str], kind: str) -> dict[str, list[metrics.Scores]]:
    """Search by each of the files, which have labels; the measures of each, by label."""
    labels = {path.resolve(): label for path, label in files.items()}
    asked = (TreatmentQuery if kind == "treatment" else ImageQuery).from_path
    queries = [asked(path) for path in labels]
    results = searcher.search(queries, count=len(searcher.index), reranked=kind == "re-ranked")
    found: dict[str, list[metrics.Scores]] = {}
    for path, result in zip(labels, results, strict=True):
        ranking = [labels.get(Path(match.path).resolve()) for match in result.matches]
        ranks = 1 + np.flatnonzero([label == labels[path] for label in ranking])
        score = metrics.score(ranks, len(ranking), ())
        score.precision[5] = metrics.precision_at(5, ranks, len(ranking))
        found.setdefault(labels[path], []).append(score)
    return found


def _precision(scores: Sequence[metrics.Scores]) -> float:
    return fmean(one.precision[1] for one in scores)


def _average(scores: Mapping[str, Sequence[metrics.Scores]]) -> float:
    return fmean(one.average_precision for its in scores.values() for one in its)
