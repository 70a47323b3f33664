"""What each step of re-ranking gains, on a folder whose class folders are the ground truth.

    python benchmarks/reranking.py ../shared/photos
    python benchmarks/reranking.py --features ../shared/reference/efficientnet_lite0_photos.npz

Leave-one-out: every picture is searched among all others. `all` has mean average precision (mean precision at each
relevant rank), precision at 1 and at 10; `even` and `odd` are the mAP of every other class, of which the first half
chose the constants. Features come from the bundled network or from a .npz with `paths` and `features`. Small classes
and pictures of which no two are alike are drawn from the same folder.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import describe
from cbir.extract.extractor import Extractor
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.search import rerank, space
from cbir.search.centre import Centre, square_roots
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats

Labels = npt.NDArray[np.int64]

#: What is changed for each line, by the names in cbir/search/rerank.py.
WITHOUT: dict[str, dict[str, object]] = {
    "re-ranked": {},
    "without query expansion": {"_EXPANSIONS": 0},
    "without smoothing": {"_SMOOTHING_ROWS": 0},
    "without square roots": {"square_roots": square_roots},
    "without cosine in the final order": {"_COSINE_SHARE": 0.001},
    "diffusion from the query alone": {"_SOURCES": 1},
    "without the guard of the first place": {"_THIN": -1.0, "_BARREN": -1.0},
}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a folder with one folder a class")
    parser.add_argument("--features", type=Path, metavar="FILE", help="a .npz with `paths` and `features` instead")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="search by every Nth picture only")
    options = parser.parse_args()
    if (options.folder is None) == (options.features is None):
        parser.error("give a folder, or --features FILE")
    paths, features = from_file(options.features) if options.features else from_folder(options.folder)
    _, labels = np.unique([path.rsplit("/", 1)[0] for path in paths], return_inverse=True)
    with tempfile.TemporaryDirectory() as scratch:
        report(Path(scratch), features, labels, options.every)


def from_file(path: Path) -> tuple[list[str], Floats]:
    """Paths and features of a .npz."""
    with np.load(path) as content:
        return [str(one) for one in content["paths"]], content["features"].astype(np.float32)


def from_folder(folder: Path) -> tuple[list[str], Floats]:
    """Paths, relative to `folder`, and features of all pictures in its class folders."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    extractor = Extractor(describe("efficientnet_lite0"), expected=len(files))
    found = [(r.key, r.feature) for r in extractor.run((file, file) for file in files) if r.feature is not None]
    return [path.relative_to(folder).as_posix() for path, _ in found], np.stack([feature for _, feature in found])


def report(scratch: Path, features: Floats, labels: Labels, every: int) -> None:
    """Print the tables."""
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    index = make_index(scratch / "all", features)
    queries = np.arange(0, len(labels), every)
    print(f"{'':38}    mAP   P@1  P@10   even    odd   ms")
    cosine = figures(index, features, labels, queries, reranked=False)
    line("cosine", cosine, labels[queries])
    line("centred cosine", centred(features, labels, queries, expansions=False), labels[queries])
    line("query expansion alone", centred(features, labels, queries, expansions=True), labels[queries])
    for name, changes in WITHOUT.items():
        with changed(changes):
            line(name, figures(index, features, labels, queries, reranked=True), labels[queries])
    print(f"\n{'small classes, 30 draws of each':38}    mAP   P@1   -> mAP    P@1   first kept")
    kinds = [(25, 2), (10, 5), (5, 4), (len(np.unique(labels)), 1)]
    for count, size in kinds:
        small(scratch, features, labels, count, size)


@contextlib.contextmanager
def changed(changes: dict[str, object]) -> Iterator[None]:
    """cbir.search.rerank with other constants; `square_roots` stands for rows as they are."""
    with contextlib.ExitStack() as stack:
        for name, value in changes.items():
            if name == "square_roots":
                stack.enter_context(mock.patch.object(space, name, unrooted))
            else:
                stack.enter_context(mock.patch.object(rerank, name, value))
        yield


def unrooted(rows: Floats, out: Floats | None = None) -> Floats:
    """Rows as they are, in the place of their square roots."""
    if out is None:
        return rows.copy()
    out[:] = rows
    return out


def make_index(directory: Path, features: Floats) -> Index:
    """An index of `features`, shape (n, dimension), whose row i is picture i."""
    directory.mkdir()
    model = {**describe("efficientnet_lite0", "untrained").to_json(), "dimension": features.shape[1]}
    writer = Writer(directory, Meta(model, features.shape[1], "/pictures", "", ""))
    for row, feature in enumerate(features):
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature)
    writer.commit()
    writer.tidy()
    return Index.open(directory)


def figures(index: Index, features: Floats, labels: Labels, queries: Labels, reranked: bool) -> list[tuple[float, ...]]:
    """For each query: average precision, precision at 1, at 10, milliseconds, the first row found."""
    searcher = Searcher(index)
    result = []
    for query in queries:
        started = time.perf_counter()
        searcher.ranked(features[query], 11, reranked=reranked)
        taken = 1000 * (time.perf_counter() - started)
        rows, _ = searcher.ranked(features[query], index.rows, reranked=reranked)
        result.append((*judged(rows[rows != query], query, labels), taken, float(rows[rows != query][0])))
    return result


def centred(features: Floats, labels: Labels, queries: Labels, expansions: bool) -> list[tuple[float, ...]]:
    """The same of an exact scan by centred cosine."""
    centre = Centre.of(features, len(features))
    lengths = centre.lengths(features)
    result = []
    for query in queries:
        direction = centre.direction(features[query])
        if expansions:
            cosines = features @ features[query]
            direction = rerank.expand(space.Space().shortlist(features[query], features, cosines, centre))
        rows = np.argsort(-centre.cosines(features, lengths, direction))
        result.append((*judged(rows[rows != query], query, labels), 0.0, 0.0))
    return result


def judged(rows: Labels, query: int, labels: Labels) -> tuple[float, float, float]:
    """Average precision, precision at 1 and at 10 of a whole ranking without the query."""
    right = labels[rows] == labels[query]
    ranks = np.flatnonzero(right) + 1
    average = float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else 0.0
    return average, float(right[0]), float(right[:10].mean())


def line(name: str, result: list[tuple[float, ...]], labels: Labels) -> None:
    """Print one line of the first table."""
    table = np.array(result)
    mean = table.mean(axis=0)
    even, odd = table[labels % 2 == 0, 0].mean(), table[labels % 2 == 1, 0].mean()
    print(
        f"{name:38} {mean[0]:6.3f} {mean[1]:5.3f} {mean[2]:5.3f} {even:6.3f} {odd:6.3f} {np.median(table[:, 3]):5.1f}",
        flush=True,
    )


def small(scratch: Path, features: Floats, labels: Labels, count: int, size: int) -> None:
    """Print one line of the second table: classes drawn at random, `count` of `size` pictures each."""
    known, sizes = np.unique(labels, return_counts=True)
    known = known[sizes >= size]
    if len(known) < count:
        return
    drawn = []
    for seed in range(30):
        random = np.random.default_rng(seed)
        classes = random.choice(known, count, replace=False)
        rows = np.concatenate([random.choice(np.flatnonzero(labels == one), size, replace=False) for one in classes])
        index = make_index(scratch / f"{count}x{size}-{seed}", features[rows])
        every = np.arange(len(rows))
        drawn.append([figures(index, features[rows], labels[rows], every, reranked) for reranked in (False, True)])
    plain, new = np.concatenate(drawn, axis=1)
    kept = np.mean(plain[:, 4] == new[:, 4])
    before, after = plain.mean(axis=0), new.mean(axis=0)
    print(
        f"{count:3} classes of {size:2}{'':22} {before[0]:6.3f} {before[1]:5.3f}   {after[0]:6.3f} {after[1]:6.3f}"
        f" {kept:12.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
