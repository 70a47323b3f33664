"""What judgements of matches gain, with a judge that goes by the class folders of `shared/photos`.

Of each first page of 20 matches the judge marks the first two right ones, not marked before, and the first wrong one.
Precision at 20 is told after each of three rounds, 0 being the plain search, re-ranked: pictures marked `more` count
where they stand, those marked `less` do not come again; `new` is the same of pictures that were not judged at all.
The weights were chosen by queries of every other class (even), the figures are of the others (odd).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks import reranking
from benchmarks.harness import Settings
from benchmarks.results import Result, measured, noted
from cbir.search.combination import Combination, judged
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats, l2_normalize

ROUNDS, PAGE = 3, 20

Rule = Callable[[Floats, Sequence[Floats], Sequence[Floats]], Floats]


def run(settings: Settings) -> Iterator[Result]:
    """Ask by photos of the odd classes, judge, ask again."""
    file = settings.shared / "reference" / "efficientnet_lite0_photos.npz"
    paths, features = reranking.from_file(file)
    features = l2_normalize(features)
    _, labels = np.unique([path.rsplit("/", 1)[0] for path in paths], return_inverse=True)
    searcher = Searcher(reranking.make_index(settings.scratch / "feedback", features))
    queries = np.flatnonzero(labels % 2 == 1)[:: settings.pick(5, 10)]
    found = {name: _rounds(searcher, features, labels, queries, rule) for name, rule in RULES.items()}
    page, new = found["Rocchio"]
    details = f"{len(queries)} queries; after 0 to {ROUNDS} rounds {_told(page)}; of new pictures {_told(new)}"
    yield measured("feedback-one", page[1] - page[0], details)
    yield measured("feedback-three", page[ROUNDS] - page[0], details)
    for name, (its_page, its_new) in found.items():
        yield noted(
            18,
            f"precision at 20 after three rounds: {name}",
            its_page[ROUNDS],
            "",
            f"{_told(its_page)}; new {_told(its_new)}",
        )


def _rocchio(query: Floats, more: Sequence[Floats], less: Sequence[Floats]) -> Floats:
    found = judged(Combination(query, query), more, less)
    assert found is not None
    return found.direction


#: The ways of moving a query by judgements.
RULES: dict[str, Rule] = {
    "Rocchio": _rocchio,
    "no judgement but those left out": lambda query, more, less: query,
    "the right ones alone, by Rocchio": lambda query, more, less: _rocchio(query, more, ()),
    "the mean of the query and all right ones": lambda query, more, less: l2_normalize(np.mean([query, *more], axis=0)),
}


def _rounds(
    searcher: Searcher, features: Floats, labels: npt.NDArray[np.int64], queries: npt.NDArray[np.int64], rule: Rule
) -> tuple[list[float], list[float]]:
    """Return the mean precision of a page after each round, and that of its pictures that were not judged."""
    pages = np.zeros((len(queries), ROUNDS + 1))
    new = np.zeros_like(pages)
    for place, query in enumerate(queries.tolist()):
        more: list[int] = []
        less: list[int] = []
        for number in range(ROUNDS + 1):
            direction = rule(features[query], list(features[more]), list(features[less]))
            rows, _ = searcher.ranked(direction, PAGE * (ROUNDS + 2), reranked=True, own=[query, *less])
            page = rows[:PAGE]
            right = labels[page] == labels[query]
            pages[place, number] = right.mean()
            new[place, number] = (labels[rows[~np.isin(rows, more)][:PAGE]] == labels[query]).mean()
            more += [row for row in page[right].tolist() if row not in more][:2]
            less += page[~right][:1].tolist()
    return pages.mean(axis=0).tolist(), new.mean(axis=0).tolist()


def _told(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
