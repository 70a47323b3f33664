"""Point 20: the labels that are asked for, marks, and how probable classes are.

Each class is halved at random, three times. Labels come from one half, twenty at a time, by `cbir learn --ask` or at
random; what is searched is the other half, by every third picture: mean average precision by likeness alone. The full
gain is that of all labels of the first half. Then an index of 100,000 synthetic rows is asked, and marked.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from benchmarks import clients, collection, plain, reranking, serve
from benchmarks.harness import Settings, alone, cbir_command, run_command, timed
from benchmarks.results import Result, measured, noted
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.learn.ask import ask
from cbir.learn.fitting import basis_of, fit_classes
from cbir.learn.labels import Labelled, no_pairs
from cbir.learn.marks import learn_marks
from cbir.learn.pictures import Picture
from cbir.notions.notion import GATE, Notion, fingerprint
from cbir.notions.probability import calibrate
from cbir.notions.store import keep_notion
from cbir.search.queries import IndexedQuery
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats, Rows

SEEDS, EVERY, STEP, SHARE = 3, 3, 20, 0.95

#: A function that returns which rows of an index get labels next, given what is learnt and which rows have some.
Choose = Callable[[Index, Notion | None, Rows], Rows]


def run(settings: Settings) -> Iterator[Result]:
    """Ask collection by collection, then a large index."""
    for name in ("photos", "textures", "pacs"):
        if (settings.shared / name).is_dir():
            features, classes = _features(settings, name)
            halves = [_halves(classes, seed) for seed in range(settings.pick(SEEDS, 1))]
            if name != "pacs":
                yield _labels_needed(settings, name, features, classes, halves)
            yield _calibration(settings, name, features, classes, halves)
    yield from _large(settings)


def _features(settings: Settings, name: str) -> tuple[Floats, Rows]:
    """Index a collection, and return its features and the numbers of their classes."""
    directory = settings.scratch / "indexes" / f"asking-{name}"
    run_command([*cbir_command(), "index", settings.shared / name, "--index", directory, "-q"])
    index = Index.open(directory)
    rows = np.flatnonzero(index.valid)
    paths = index.files().paths
    _, classes = np.unique([paths[row].split("/")[0] for row in rows.tolist()], return_inverse=True)
    return index.features(rows), classes


def _halves(classes: Rows, seed: int) -> tuple[Rows, Rows]:
    random = np.random.default_rng(100 + seed)
    first = np.zeros(len(classes), dtype=np.bool_)
    for one in np.unique(classes):
        its = random.permutation(np.flatnonzero(classes == one))
        first[its[: len(its) // 2]] = True
    return np.flatnonzero(first), np.flatnonzero(~first)


def _learnt(index: Index, rows: Rows, classes: Rows) -> Notion:
    """Learn from labels of rows of an index, whatever comes of it."""
    pictures = [Picture(Path(f"{row}"), index.record(row).sha256, row) for row in rows.tolist()]
    names, numbers = np.unique(classes, return_inverse=True)
    labelled = Labelled(pictures, tuple(map(str, names)), numbers.astype(np.int32), no_pairs())
    basis = basis_of(index, labelled)
    found = fit_classes(basis, labelled.numbers, len(names))
    return Notion(
        name="kinds",
        classes=labelled.classes,
        mean=basis.mean,
        weights=found.weights,
        scale=found.scale,
        kind="classes",
        quality=0,
        verdict="weak",
        model=fingerprint(index.model),
        labels=labelled.to_labels(index.dimension),
        gate=found.gate(GATE),
        certainty=calibrate(np.float32(found.scale) * found.left_out, labelled.numbers),
    )


def _precision(notion: Notion, features: Floats, classes: Rows) -> float:
    """Return the mean average precision of every third of some pictures among all of them."""
    vectors = notion.vectors(features)
    queries = np.arange(0, len(features), EVERY)
    found = vectors[queries] @ vectors.T
    unclaimed = ~notion.claims(notion.scores(features[queries]))
    found[unclaimed] = notion.centred(features[queries][unclaimed]) @ notion.centred(features).T
    precisions = []
    for query, likeness in zip(queries.tolist(), found, strict=True):
        order = np.argsort(-likeness, kind="stable")
        right = np.flatnonzero(classes[order[order != query]] == classes[query])
        precisions.append((np.arange(1, len(right) + 1) / (right + 1)).mean())
    return float(np.mean(precisions))


def _asked(index: Index, notion: Notion | None, rows: Rows) -> Rows:
    return np.array([one.row for one in ask(index, STEP, notion)])


def _at_random(index: Index, notion: Notion | None, rows: Rows) -> Rows:
    left = np.setdiff1d(np.arange(index.rows), rows)
    return np.random.default_rng(len(rows)).permutation(left)[:STEP]


def _most_doubtful(index: Index, notion: Notion | None, rows: Rows) -> Rows:
    """The usual way: the smallest margins between the first two classes, which are often of pictures that are alike."""
    if notion is None:
        return _at_random(index, notion, rows)
    left = np.setdiff1d(np.arange(index.rows), rows)
    scores = -np.sort(-notion.scores(index.features(left)), axis=1)
    return left[np.argsort(scores[:, 0] - (scores[:, 1] if scores.shape[1] > 1 else 0), kind="stable")[:STEP]]


def _labels_needed(
    settings: Settings, name: str, features: Floats, classes: Rows, halves: list[tuple[Rows, Rows]]
) -> Result:
    """Measure after how many labels most of the full gain is there, asked for and at random."""
    ways: dict[str, Choose] = {"asked": _asked, "at random": _at_random, "by margin": _most_doubtful}
    needed: dict[str, list[int]] = {way: [] for way in ways}
    gains: dict[str, list[list[float]]] = {way: [] for way in ways}
    for number, (pool, rest) in enumerate(halves):
        directory = settings.scratch / f"asking-{name}-{number}"
        shutil.rmtree(directory, ignore_errors=True)
        index = reranking.make_index(directory, features[pool])
        full = _learnt(index, np.arange(len(pool)), classes[pool])
        base = _precision(replace(full, weights=np.zeros_like(full.weights)), features[rest], classes[rest])
        whole = _precision(full, features[rest], classes[rest]) - base
        for way, choose in ways.items():
            rows, notion, gain = np.zeros(0, np.int64), None, [0.0]
            while gain[-1] < SHARE and len(rows) < len(pool):
                rows = np.concatenate([rows, choose(index, notion, rows)])
                notion = _learnt(index, rows, classes[pool][rows])
                gain.append((_precision(notion, features[rest], classes[rest]) - base) / whole)
            needed[way].append(len(rows))
            gains[way].append(gain)
    told = "; ".join(f"{way} {np.mean(counts):.0f} ({', '.join(map(str, counts))})" for way, counts in needed.items())
    after = 3  # steps
    shares = "; ".join(
        f"{way} {np.mean([gain[after] for gain in its if len(gain) > after]):.2f}" for way, its in gains.items()
    )
    ratio = float(np.mean(needed["asked"]) / np.mean(needed["at random"]))
    return measured(f"asking-{name}", ratio, f"labels: {told}; of the gain after {after * STEP} labels: {shares}")


def _calibration(
    settings: Settings, name: str, features: Floats, classes: Rows, halves: list[tuple[Rows, Rows]]
) -> Result:
    """Measure how far the probabilities of claimed pictures are from how often they are right."""
    errors: dict[str, list[float]] = {}
    for number, (pool, rest) in enumerate(halves):
        directory = settings.scratch / f"calibration-{name}-{number}"
        shutil.rmtree(directory, ignore_errors=True)
        index = reranking.make_index(directory, features[pool])
        for key, each in (("half", len(pool)), ("10", 10), ("3", 3)):
            rows = np.concatenate([np.flatnonzero(classes[pool] == one)[:each] for one in np.unique(classes)])
            notion = _learnt(index, rows, classes[pool][rows])
            claimed = rest[notion.claims(notion.scores(features[rest]))]
            probabilities = notion.probabilities(features[claimed])
            right = probabilities.argmax(axis=1) == classes[claimed]
            errors.setdefault(key, []).append(expected_error(probabilities.max(axis=1), right))
    told = ", ".join(f"{key} {np.mean(its):.3f}" for key, its in errors.items())
    return measured(f"calibration-{name}", float(np.mean(errors["half"])), f"labels a class: {told}")


def expected_error(probabilities: Floats, is_right: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """Return the expected calibration error: how far the mean of probabilities in a bin is from what is right in it."""
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    inside = [places == one for one in range(bins)]
    return float(sum(abs(probabilities[its].sum() - is_right[its].sum()) for its in inside) / max(len(places), 1))


def _large(settings: Settings) -> Iterator[Result]:
    rows = settings.pick(100_000, 20_000)
    directory = settings.scratch / "indexes" / "asking-large"
    alone(collection.write, directory, rows, settings.scratch, (), plain.LITE)
    seconds, fits, keeps, searches = alone(_ask_and_mark, directory, settings.pick(15, 5))
    yield measured("asking-time", seconds, f"{rows:,} rows")
    details = f"learning {median(fits):.0f} ms, keeping {median(keeps):.0f} ms, searching {median(searches):.0f} ms"
    whole = [sum(its) for its in zip(fits, keeps, searches, strict=True)]
    yield measured("mark-time", median(whole), f"{rows:,} rows; {details}; at worst {max(whole):.0f} ms")
    yield noted(
        20, "the same, searched before it is kept", median(map(sum, zip(fits, searches, strict=True))), "ms", ""
    )
    kept, searched = _mark_by_http(directory, rows, settings.pick(15, 5))
    whole = [sum(its) for its in zip(kept, searched, strict=True)]
    details = f"keeping {median(kept):.0f} ms, searching {median(searched):.0f} ms; at worst {max(whole):.0f} ms"
    yield measured("mark-http-time", median(whole), details)


def _mark_by_http(directory: Path, rows: int, marks: int) -> tuple[list[float], list[float]]:
    """Return milliseconds of keeping each of some marks by `cbir serve`, and of the search by the notion after it."""
    kept, searched = [], []
    with serve.served(directory) as server:
        start = f"/api/v1/indexes/{directory.name}"
        clients.load(server.port, [f"{start}/search?like={server.state}-5"], 4, 2)
        for number in range(marks + 1):
            pictures = [[{"picture": f"{server.state}-{row + 7 * number}"}] for row in (20, rows // 3)]
            body = {"name": "clicks", "alike": pictures[0], "unlike": pictures[1], "add": True}
            kept.append(1000 * timed(clients.ask, server.port, f"{start}/notions", body))
            found = f"{start}/search?like={server.state}-20&learnt=clicks"
            searched.append(1000 * timed(clients.ask, server.port, found))
    return kept[1:], searched[1:]


def _ask_and_mark(directory: Path, marks: int) -> tuple[float, list[float], list[float], list[float]]:
    """Return seconds of asking, and milliseconds of learning, keeping and searching after each of some marks."""
    index = Index.open(directory)
    rows = np.arange(0, index.rows, index.rows // 100)[:100]
    notion = _learnt(index, rows, np.arange(100) % 10)
    seconds = median(timed(ask, index, 20, notion) for _ in range(3))

    def picture(row: int) -> Picture:
        record = index.record(row)
        return Picture(Path(record.path), record.sha256, row)

    searcher = Searcher(index)
    query = IndexedQuery(Path("query"), "query", index.record(5).sha256, index.features([5])[0])

    def keep(index: Index, notion: Notion) -> None:
        """Keep a notion and take note of it, as the server does."""
        keep_notion(index.directory, notion)
        index.take_notions(load_meta(index.directory))

    def search() -> None:
        next(iter(searcher.search([query], count=60, learnt="mine")))

    fits, keeps, searches = [], [], []
    before: Notion | None = None
    for number in range(marks + 1):
        alike, unlike = [picture(10 + 7 * number)], [picture(index.rows // 2 + 7 * number)]
        made: list[Notion] = []

        def learn(before: Notion | None = before, alike=alike, unlike=unlike, made=made) -> None:
            made.append(learn_marks(index, "mine", alike, unlike, before))

        fits.append(1000 * timed(learn))
        before = made[0]
        keeps.append(1000 * timed(keep, index, before))
        searches.append(1000 * timed(search))
    return seconds, fits[1:], keeps[1:], searches[1:]
