"""Point 20: notions. How much a few labels gain, what they never harm, and what learning costs.

Each class is halved at random. Labels come from one half, what is searched is an index of the other, by every third
picture; so no picture that is found was ever labelled. Three such splits, by seeds. `plain` is the order by likeness
alone, the other is re-ranked. The pictures are those of `shared/photos`, `shared/textures` and `shared/pacs` (by
domain), as far as they are there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import reranking, triplets
from benchmarks.harness import Settings, cbir_command, run_command
from benchmarks.results import Result, measured, noted
from benchmarks.targets import TARGETS
from cbir.index.store import Index
from cbir.learn.fitting import basis_of, fit_classes
from cbir.learn.labels import Labelled, no_pairs
from cbir.learn.pairs import by_pairs
from cbir.learn.pictures import Picture
from cbir.learn.run import Learner, Learnt
from cbir.notions.notion import STRENGTH
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats, l2_normalize

Numbers = npt.NDArray[np.int64]

SEEDS, EVERY = 3, 3

#: The collections, and which folder of a picture's path is its class.
SETS = {"photos": 0, "textures": 0, "pacs": 0}

_NAME = "kinds"


@dataclass(frozen=True)
class Half:
    """A collection halved by a seed: the pictures that may be labelled, and an index of the others."""

    directory: Path
    seed: int
    train: Floats
    train_classes: Numbers
    test: Floats
    test_classes: Numbers

    @cached_property
    def index(self) -> Index:
        """The index of the half that is searched."""
        return (
            Index.open(self.directory) if self.directory.exists() else reranking.make_index(self.directory, self.test)
        )

    @property
    def queries(self) -> Numbers:
        """Every third picture."""
        return np.arange(0, len(self.test), EVERY)

    def labels(self, each: int | None, classes: Sequence[int] | None = None) -> Numbers:
        """Places of so many of each class that may be labelled, all of them if None; of all classes or some."""
        random = np.random.default_rng(self.seed)
        wanted = np.unique(self.train_classes) if classes is None else classes
        return np.concatenate([random.permutation(np.flatnonzero(self.train_classes == one))[:each] for one in wanted])

    def learn(self, places: Numbers, classes: Numbers | None = None) -> Learnt:
        """Learn from labelled pictures, of their own classes or of others, and keep it in the index."""
        given = self.train_classes[places] if classes is None else classes
        known, numbers = np.unique(given, return_inverse=True)
        labelled = Labelled(
            [self._picture(place) for place in places.tolist()],
            tuple(map(str, known)),
            numbers.astype(np.int32),
            no_pairs(),
        )
        return self._learner.learn(_NAME, labelled, "classes")

    def _picture(self, place: int) -> Picture:
        if self.train is self.test:  # all of it is in the index
            return Picture(Path(f"{place}.jpg"), f"{place:064x}", place)
        return _outside(place, self.train[place])

    def learn_pairs(self, count: int, *, shuffled: bool = False) -> Learnt:
        """Learn from so many `same` and as many `different` pairs."""
        random = np.random.default_rng(self.seed)
        pairs = []
        while len(pairs) < 2 * count:
            one, other = random.integers(len(self.train), size=2).tolist()
            is_same = bool(self.train_classes[one] == self.train_classes[other])
            if one != other and sum(given == is_same for given, _, _ in pairs) < count:
                pairs.append((is_same, one, other))
        said = random.permutation([given for given, _, _ in pairs]) if shuffled else [given for given, _, _ in pairs]
        given = [
            (bool(same), _outside(one, self.train[one]), _outside(other, self.train[other]))
            for same, (_, one, other) in zip(said, pairs, strict=True)
        ]
        labelled, contradictions = by_pairs(given)
        return self._learner.learn(_NAME, labelled, "pairs", (), contradictions)

    @property
    def _learner(self) -> Learner:
        return Learner(Index.open(self.index.directory))

    def found(self, learnt: Learnt | None = None, queries: Numbers | None = None) -> npt.NDArray[np.float64]:
        """Return the mean average precision, plain and re-ranked, shape (2,), without a notion or with one."""
        searcher = Searcher(Index.open(self.directory) if learnt else self.index)
        name = _NAME if learnt is not None and learnt.notion is not None else None
        asked = self.queries if queries is None else queries
        precisions = [
            [self._precision(searcher, query, name, reranked=reranked) for reranked in (False, True)]
            for query in asked.tolist()
        ]
        return np.nanmean(np.array(precisions), axis=0)

    def _precision(self, searcher: Searcher, query: int, name: str | None, *, reranked: bool) -> float:
        rows, _ = searcher.ranked(self.test[query], len(self.test), reranked=reranked, own=[query], learnt=name)
        return average_precision(self.test_classes[rows] == self.test_classes[query])


def _measured(key: str, value: float, details: str = "", **raw: Any) -> Result:
    """Return a figure of this benchmark."""
    return measured(f"adapt-{key}", value, details, **raw)


def average_precision(is_right: npt.NDArray[np.bool_]) -> float:
    """Return the mean precision at each right one of a ranking; NaN where there is none."""
    places = np.flatnonzero(is_right)
    return float((np.arange(1, len(places) + 1) / (places + 1)).mean()) if len(places) else float("nan")


def run(settings: Settings) -> Iterator[Result]:
    """Learn and search, set by set; then what belongs to no set."""
    collections = {}
    for name, depth in SETS.items():
        if (settings.shared / name).is_dir():
            collections[name] = _features(settings, name, depth)
    for name, (features, classes) in collections.items():
        halves = [_half(settings, name, features, classes, seed) for seed in range(settings.pick(SEEDS, 1))]
        base = [half.found() for half in halves]
        yield from _few_labels(name, halves, base)
        if name == "pacs":
            yield from _as_used(settings, name, features, classes)
            continue
        yield from _harmless(settings, name, halves, base, collections)
        yield from _wrong_labels(name, halves, base)
        yield from _pairs(name, halves, base)
    if "textures" in collections:
        yield from _rivals(settings, *collections["textures"])
    yield from _time(settings)


def _features(settings: Settings, name: str, depth: int) -> tuple[Floats, Numbers]:
    """Index a collection, and return its features and the numbers of their classes."""
    directory = settings.scratch / "indexes" / name
    run_command([*cbir_command(), "index", settings.shared / name, "--index", directory, "-q"])
    index = Index.open(directory)
    rows = np.flatnonzero(index.valid)
    paths = index.files().paths
    _, classes = np.unique([paths[row].split("/")[depth] for row in rows.tolist()], return_inverse=True)
    return index.features(rows), classes


def _half(settings: Settings, name: str, features: Floats, classes: Numbers, seed: int) -> Half:
    random = np.random.default_rng(100 + seed)
    in_train = np.zeros(len(classes), dtype=np.bool_)
    for one in np.unique(classes):
        its = random.permutation(np.flatnonzero(classes == one))
        in_train[its[: len(its) // 2]] = True
    directory = settings.scratch / f"{name}-{seed}"
    shutil.rmtree(directory, ignore_errors=True)
    return Half(directory, seed, features[in_train], classes[in_train], features[~in_train], classes[~in_train])


def _outside(place: int, feature: Floats) -> Picture:
    return Picture(Path(f"{place}.jpg"), f"{10**9 + place:064x}", None, feature)


def _told(before: Sequence[npt.NDArray[np.float64]], after: Sequence[npt.NDArray[np.float64]]) -> str:
    """Say what was gained, plain and re-ranked, and re-ranked seed by seed."""
    (plain, reranked), (plain_after, reranked_after) = np.mean(before, axis=0), np.mean(after, axis=0)
    gains = " ".join(f"{other[1] - one[1]:+.3f}" for one, other in zip(before, after, strict=True))
    return f"plain {plain:.3f} > {plain_after:.3f}, re-ranked {reranked:.3f} > {reranked_after:.3f} ({gains})"


def _few_labels(name: str, halves: Sequence[Half], base: Sequence[npt.NDArray[np.float64]]) -> Iterator[Result]:
    """Measure what labels of half, 10, 5 and 3 of each class gain."""
    for key, each in (("half", None), ("10", 10), ("5", 5), ("3", 3)):
        learnt, after = [], []
        for half in halves:
            learnt.append(half.learn(half.labels(each)))
            after.append(half.found(learnt[-1]))
        kappa = np.mean([one.quality for one in learnt])
        details = f"{_told(base, after)}, kappa {kappa:.2f}"
        if name != "pacs":
            gain = float((np.mean(after, axis=0) - np.mean(base, axis=0))[1])
            yield _measured(f"{name}-{key}", gain, details)
        elif f"adapt-{name}-{key}" in TARGETS:
            yield _measured(f"{name}-{key}", np.mean(after, axis=0)[0], details)
        else:
            what = f"{name} by domain, plain, labelled: {key} of each"
            yield noted(20, what, float(np.mean(after, axis=0)[0]), "", details)


def _as_used(settings: Settings, name: str, features: Floats, classes: Numbers) -> Iterator[Result]:
    """Measure the same where the labelled pictures are in the index too, and are found and asked for."""
    for each in (3, 10):
        before, after = [], []
        for seed in range(settings.pick(SEEDS, 1)):
            directory = settings.scratch / f"{name}-whole-{each}-{seed}"
            whole = Half(directory, seed, features, classes, features, classes)
            before.append(whole.found())
            after.append(whole.found(whole.learn(whole.labels(each))))
        what = f"{name} by domain, the labelled pictures in the index: {each} of each domain, plain"
        yield noted(20, what, float(np.mean(after, axis=0)[0]), "", _told(before, after))


def _harmless(
    settings: Settings,
    name: str,
    halves: Sequence[Half],
    base: Sequence[npt.NDArray[np.float64]],
    collections: dict[str, tuple[Floats, Numbers]],
) -> Iterator[Result]:
    """Measure what becomes of classes that were not labelled, and of a collection by another's notion."""
    unseen, partial, wrong, own = [], [], [], []
    for half, before in zip(halves, base, strict=True):
        random = np.random.default_rng(half.seed)
        every = np.unique(half.train_classes)
        seen = np.sort(random.permutation(every)[: len(every) // 2])
        queries = half.queries[~np.isin(half.test_classes[half.queries], seen)]
        unseen.append((half.found(None, queries), half.found(half.learn(half.labels(None, seen.tolist())), queries)))
        few = random.permutation(every)[:3]
        is_few = np.isin(half.test_classes, few)
        of_few = half.learn(half.labels(10, few.tolist()))
        others = half.queries[~is_few[half.queries]]
        partial.append((half.found(None, others), half.found(of_few, others)))
        own.append((half.found(None, np.flatnonzero(is_few)), half.found(of_few, np.flatnonzero(is_few))))
        for other, (features, classes) in collections.items():
            if other != name:
                theirs = replace(_half(settings, other, features, classes, half.seed), directory=half.directory)
                stranger = replace(half, train=theirs.train, train_classes=theirs.train_classes)
                learnt = stranger.learn(stranger.labels(None))
                wrong.append((before, half.found(learnt) if learnt.notion else before))
    for key, pairs in (("unseen", unseen), ("wrong-collection", wrong), ("partial", partial)):
        worst = min(float(after[1] - before[1]) for before, after in pairs) if key == "wrong-collection" else None
        mean = float(np.mean([after[1] - before[1] for before, after in pairs]))
        details = _told([one for one, _ in pairs], [other for _, other in pairs])
        if key == "partial":
            details += f"; the three labelled classes {_told([one for one, _ in own], [other for _, other in own])}"
        yield _measured(f"{name}-{key}", mean if worst is None else worst, details)


def _wrong_labels(name: str, halves: Sequence[Half], base: Sequence[npt.NDArray[np.float64]]) -> Iterator[Result]:
    """Measure what shuffled labels do, and labels of which 40 of 100 are wrong."""
    qualities, after = [], []
    for half in halves:
        random = np.random.default_rng(half.seed)
        places = half.labels(None)
        classes = half.train_classes[places]
        qualities += [half.learn(places, random.permutation(classes)).quality for _ in range(5)]
        wrong = random.random(len(places)) < 0.4
        every = np.unique(classes)
        moved = (np.searchsorted(every, classes) + random.integers(1, len(every), len(places))) % len(every)
        after.append(half.found(half.learn(places, np.where(wrong, every[moved], classes))))
    refused = all(one < 0.3 for one in qualities)
    yield _measured(f"{name}-shuffled", float(refused), f"kappa at most {max(qualities):.3f}")
    gains = [float(other[1] - one[1]) for one, other in zip(base, after, strict=True)]
    yield _measured(f"{name}-wrong", min(gains), f"40 % wrong, the worst of the seeds: {_told(base, after)}")


def _pairs(name: str, halves: Sequence[Half], base: Sequence[npt.NDArray[np.float64]]) -> Iterator[Result]:
    """Measure what pairs gain, and that shuffled ones are refused."""
    for count in (50, 150, 500) if name == "textures" else (150,):
        learnt, after = [], []
        for half, before in zip(halves, base, strict=True):
            learnt.append(half.learn_pairs(count))
            after.append(half.found(learnt[-1]) if learnt[-1].notion else before)
        kept = sum(one.notion is not None for one in learnt)
        gain = float(np.mean(after, axis=0)[1] - np.mean(base, axis=0)[1])
        told = ", ".join(f"{one.plain or 0:.3f} > {one.quality:.3f}" for one in learnt)
        what = f"{name}: gain of {count} + {count} pairs, re-ranked"
        yield noted(20, what, gain, "", f"{_told(base, after)}; {kept} of {len(halves)} applied, held-out {told}")
    refused = [half.learn_pairs(500, shuffled=True) for half in halves]
    contradictions = [len(one.contradictions) for one in refused]
    yield _measured(
        f"{name}-shuffled-pairs",
        float(all(one.notion is None for one in refused)),
        f"{contradictions} of 500 contradict the others",
    )


def _rivals(settings: Settings, features: Floats, classes: Numbers) -> Iterator[Result]:
    """Compare the regression with triplet loss on the same features, plain, by seeds: labelled classes and others."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for seed in range(settings.pick(SEEDS, 1)):
        half = _half(settings, "rivals", features, classes, seed)
        every = np.unique(classes)
        seen = np.sort(np.random.default_rng(seed).permutation(every)[: len(every) // 2])
        ways = _ways(settings, half)
        for name, way in ways.items():
            started = time.perf_counter()
            vectors = way(half.labels(None))
            seconds = time.perf_counter() - started
            of_three = way(half.labels(3))
            unseen = way(half.labels(None, seen.tolist()))
            others = half.queries[~np.isin(half.test_classes[half.queries], seen)]
            figures = (
                _plain(vectors, half.test_classes, half.queries),
                _plain(of_three, half.test_classes, half.queries),
                _plain(unseen, half.test_classes, others),
                seconds,
            )
            found.setdefault(name, []).append(figures)
    means = {name: np.mean(figures, axis=0) for name, figures in found.items()}
    for name, (whole, three, others, seconds) in means.items():
        details = f"3 a class {three:.3f}, classes without labels {others:.3f}, {seconds:.2f} s"
        yield noted(20, f"textures, half labelled, plain: {name}", whole, "", details)
    # of each way what it does for classes with few labels, and to those without: seen classes alone are no measure
    rivals = [one for name, one in means.items() if name.endswith("triplets")]
    ridge = means["ridge"]
    for key, place in (("few", 1), ("unseen", 2)):
        best = max(one[place] for one in rivals)
        yield _measured(f"rivals-{key}", float(ridge[place] - best), f"{ridge[place]:.3f} against {best:.3f}")
    alone = means["ridge, scores alone"][0]
    best = max(one[0] for one in rivals)
    yield _measured("rivals-half", float(alone - best), f"scores alone {alone:.3f} against {best:.3f}")
    fastest = min(one[3] for one in rivals)
    yield _measured("rivals-time", float(fastest / ridge[3]), f"{fastest:.1f} s, {ridge[3]:.3f} s")


def _ways(settings: Settings, half: Half) -> dict[str, Callable[[Numbers], Floats]]:
    """Return the ways from labelled places to vectors of the half that is searched."""
    return {
        "centred": lambda places: half_centred(half),
        "ridge": lambda places: _by_ridge(half, places),
        "ridge, scores alone": lambda places: _by_ridge(half, places, alone=True),
        "semi-hard triplets": lambda places: _by_triplets(settings, half, places, semi_hard=True),
        "batch-hard triplets": lambda places: _by_triplets(settings, half, places, semi_hard=False),
    }


def half_centred(half: Half) -> Floats:
    """Return the searched half's features about their mean."""
    return l2_normalize(half.test - half.test.mean(axis=0))


def _labelled(half: Half, places: Numbers) -> Labelled:
    _, numbers = np.unique(half.train_classes[places], return_inverse=True)
    pictures = [_outside(place, half.train[place]) for place in places.tolist()]
    count = int(numbers.max()) + 1
    return Labelled(pictures, tuple(map(str, range(count))), numbers.astype(np.int32), no_pairs())


def _by_ridge(half: Half, places: Numbers, *, alone: bool = False) -> Floats:
    labelled = _labelled(half, places)
    basis = basis_of(half.index, labelled)
    fit = fit_classes(basis, labelled.numbers, len(labelled.classes))
    centred = l2_normalize(half.test - basis.mean)
    scores = np.float32(fit.scale) * np.maximum(centred @ fit.weights, 0)
    return l2_normalize(scores if alone else np.concatenate([centred, np.float32(STRENGTH) * scores], axis=1))


def _by_triplets(settings: Settings, half: Half, places: Numbers, *, semi_hard: bool) -> Floats:
    labelled = _labelled(half, places)
    mean = half.test.mean(axis=0)
    rows = l2_normalize(half.train[places] - mean)
    steps = settings.pick(triplets.STEPS, 100)
    numbers = labelled.numbers.astype(np.int64)
    return triplets.embed(rows, numbers, half_centred(half), semi_hard=semi_hard, steps=steps, seed=half.seed)


def _plain(vectors: Floats, classes: Numbers, queries: Numbers) -> float:
    """Return the mean average precision by dot products."""
    likeness = vectors[queries] @ vectors.T
    likeness[np.arange(len(queries)), queries] = -np.inf
    orders = np.argsort(-likeness, axis=1, kind="stable")[:, :-1]
    found = [average_precision(classes[order] == classes[query]) for query, order in zip(queries, orders, strict=True)]
    return float(np.mean(found))


def _time(settings: Settings) -> Iterator[Result]:
    """Time learning from all of an index of 10,000 pictures in 100 classes: from labels to the committed file."""
    random = np.random.default_rng(1)
    count, classes = 10_000, 100
    centres = random.gamma(0.5, 1, (classes, 1280))
    numbers = np.arange(count) % classes
    features = np.maximum(centres[numbers] + random.normal(0, 0.7, (count, 1280)), 0).astype(np.float32)
    index = reranking.make_index(settings.scratch / "ten-thousand", l2_normalize(features))
    files = index.files()
    pictures = [Picture(Path(files.paths[row]), files.sha256s[row], row) for row in range(count)]
    labelled = Labelled(pictures, tuple(map(str, range(classes))), numbers.astype(np.int32), no_pairs())
    seconds = []
    for _ in range(settings.pick(3, 1)):
        learner = Learner(Index.open(index.directory))
        started = time.perf_counter()
        learner.learn(_NAME, labelled, "classes")
        seconds.append(time.perf_counter() - started)
    size = sum(path.stat().st_size for path in (settings.scratch / "ten-thousand").glob("notion-*"))
    yield _measured("time", min(seconds), f"{size / 1000:,.0f} kB of file", seconds=seconds)
