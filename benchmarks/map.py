"""Point 13: how long maps of 2,000 photos and of 100,000 rows take, and how well a grid keeps like pictures together.

Of a picture's neighbours on the grid, across corners too, the share of its own class is told for cbir's layout, for
random cells and for t-SNE whose plane is cut into cells by median splits, as cbir's layout starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from benchmarks import collection
from benchmarks.harness import Settings, Worker, alone, cbir_command, run_command, timed
from benchmarks.results import Result, measured, noted
from cbir.backbones.catalog import BUNDLED
from cbir.index.store import Index
from cbir.map.collection import map_index
from cbir.map.grid import Grid, by_median_splits, grid_for

ASPECT = 1.4


def run(settings: Settings) -> Iterator[Result]:
    """Lay out many rows; index the photos of `shared/photos`, map them, and look at the neighbours."""
    yield _large(settings)
    photos = settings.shared / "photos"
    if not photos.is_dir():
        return
    directory = settings.scratch / "indexes" / "photos"
    run_command([*cbir_command(), "index", photos, "--index", directory, "--model", BUNDLED, "-q"])
    page, picture = settings.scratch / "map.html", settings.scratch / "map.png"
    command = [*cbir_command(), "map", "--index", directory, "--html", page, "--png", picture, "-q"]
    seconds = [timed(run_command, command) for _ in range(settings.pick(3, 1))]
    index = Index.open(directory)
    sizes = f"page {page.stat().st_size / 1e6:.1f} MB, picture {picture.stat().st_size / 1e6:.1f} MB"
    yield measured("map-time", median(seconds), f"{len(index):,} photos, {sizes}", seconds=seconds)
    started = time.perf_counter()
    whole = map_index(index, aspect=ASPECT)
    layout = time.perf_counter() - started
    cells = np.array([cell.line * whole.grid.columns + cell.column for cell in whole.cells])
    share = same_class([cell.path for cell in whole.cells], cells, whole.grid)
    yield measured("map-neighbours", share, f"layout {layout:.1f} s")
    yield from _others(index)


def _large(settings: Settings) -> Result:
    rows = settings.pick(100_000, 10_000)
    directory = settings.scratch / "indexes" / "to-lay-out"
    alone(collection.write, directory, rows, Path("/nowhere"))
    with Worker() as worker:
        seconds = [worker.call(lay_out, directory) for _ in range(settings.pick(3, 1))]
    return measured("map-layout", median(seconds), f"{rows:,} rows", seconds=seconds)


def lay_out(directory: Path) -> float:
    """Seconds in which the pictures of an index are chosen and given their places."""
    index = Index.open(directory)
    started = time.perf_counter()
    map_index(index, aspect=ASPECT)
    return time.perf_counter() - started


def _others(index: Index) -> Iterator[Result]:
    """Random cells, and t-SNE."""
    from sklearn.manifold import TSNE

    paths = [index.root / index.record(row).path for row in range(index.rows)]
    grid = grid_for(len(paths), ASPECT)
    random = np.random.default_rng(0).permutation(grid.columns * grid.rows)[: len(paths)]
    yield noted(13, "map: neighbours of one class, random cells", same_class(paths, random, grid), "")
    started = time.perf_counter()
    features = index.features(range(index.rows))
    plane = TSNE(2, metric="cosine", init="random", random_state=0).fit_transform(features)
    cells = by_median_splits(plane, grid)
    details = f"layout {time.perf_counter() - started:.1f} s"
    yield noted(13, "map: neighbours of one class, t-SNE", same_class(paths, cells, grid), "", details)


def same_class(paths: Sequence[Path], cells: npt.NDArray[np.int64], grid: Grid) -> float:
    """The share of neighbouring pictures that are of one class, which is their folder."""
    of = np.full(grid.columns * grid.rows, -1)
    of[cells] = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    table = of.reshape(grid.rows, grid.columns)
    same = pairs = 0
    for one, other in (
        (table[:, :-1], table[:, 1:]),
        (table[:-1], table[1:]),
        (table[:-1, :-1], table[1:, 1:]),
        (table[:-1, 1:], table[1:, :-1]),
    ):
        are_pairs = (one >= 0) & (other >= 0)
        pairs += int(are_pairs.sum())
        same += int((are_pairs & (one == other)).sum())
    return same / pairs
