"""Searching across domains, such as photos and drawings: what pictures of one find of the same classes in the others.

Paths below the root say both: the first folder is a picture's domain, the folder in it the class.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cbir.errors import CbirError
from cbir.evaluation.ground_truth import GroundTruth, Items, Judgement
from cbir.evaluation.metrics import Scores, mean, score
from cbir.evaluation.runner import RECALL_AT, Watch, ranks_of
from cbir.evaluation.systems import LESS_MEANS, ClassicalSystem, System
from cbir.search.treatments import PRIOR_ROWS
from cbir.utils.vectors import Floats, l2_normalize

#: The pictures of one domain searched for by those of another, by the names of both.
Pair = tuple[str, str]


@dataclass(frozen=True)
class Domains:
    """The domain and the class of each of some pictures, by their numbers in `names` and in `classes`.

    `domain_of` and `class_of` have shape (pictures,); both are -1 of pictures that lie in no class of a domain.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    domain_of: Items
    class_of: Items

    @classmethod
    def of_paths(cls, paths: Sequence[str]) -> Domains:
        """Read the domains and classes of pictures from their paths, which are relative to the root.

        Pictures deeper down belong to the class that their folder lies in. CbirError where no two domains have a class
        in common, so that nothing could be found across them.
        """
        folders = [tuple(path.split("/")[:2]) if path.count("/") > 1 else None for path in paths]
        names = sorted({one[0] for one in folders if one})
        classes = sorted({one[1] for one in folders if one})
        number, of_class = ({name: place for place, name in enumerate(some)} for some in (names, classes))
        domain_of = np.array([number[one[0]] if one else -1 for one in folders], dtype=np.int64)
        class_of = np.array([of_class[one[1]] if one else -1 for one in folders], dtype=np.int64)
        shared = Counter(name for _, name in {one for one in folders if one})
        if not any(count > 1 for count in shared.values()):
            raise CbirError(
                "There is nothing to find across domains: no class has pictures in two of them. Domains are folders of "
                "folders, photo/dog/… and sketch/dog/…, and the folders of a class have the same name in each."
            )
        return cls(tuple(names), tuple(classes), domain_of, class_of)

    @property
    def left_out(self) -> int:
        """The number of pictures that lie in no class of a domain: they are neither queries nor answers."""
        return int(np.count_nonzero(self.domain_of < 0))

    def truth(self) -> GroundTruth:
        """Return what each picture ought to find: the pictures of its class in all other domains.

        Those of its own domain are ignored. The classes of the ground truth are the queries' domains.
        """
        names = [self.names[number] if number >= 0 else "" for number in self.domain_of.tolist()]
        inside = np.flatnonzero(self.domain_of >= 0).tolist()
        judgements = [one for item in inside if len((one := self.judgement(item)).relevant)]
        return GroundTruth(judgements, names, len(inside) - len(judgements))

    def judgement(self, query: int, answers: int | None = None) -> Judgement:
        """Return what one picture ought to find in another domain, by its number; without one, in all others."""
        own, of_class = int(self.domain_of[query]), int(self.class_of[query])
        places = [answers] if answers is not None else [one for one in range(len(self.names)) if one != own]
        nothing = np.empty(0, dtype=np.int64)
        relevant = [self._members.get((place, of_class), nothing) for place in places]
        ignored = self._in_or_nowhere[own] if answers is None else self._out_of[answers]
        return Judgement(query, np.concatenate(relevant), ignored)

    @cached_property
    def _members(self) -> dict[tuple[int, int], Items]:
        """The pictures of each class of each domain."""
        found: dict[tuple[int, int], list[int]] = defaultdict(list)
        for item, (domain, of_class) in enumerate(zip(self.domain_of.tolist(), self.class_of.tolist(), strict=True)):
            found[domain, of_class].append(item)
        return {key: np.array(items, dtype=np.int64) for key, items in found.items()}

    @cached_property
    def _in_or_nowhere(self) -> list[Items]:
        """The pictures of each domain, and those of none."""
        return [np.flatnonzero((self.domain_of == one) | (self.domain_of < 0)) for one in range(len(self.names))]

    @cached_property
    def _out_of(self) -> list[Items]:
        """The pictures that are not in each domain."""
        return [np.flatnonzero(self.domain_of != one) for one in range(len(self.names))]


@dataclass(frozen=True)
class AcrossEvaluation:
    """The measures that one system reached across domains: over all queries, and for each pair of domains.

    `overall` ranks all other domains together, `pairs`, by (the queries', the answers') domain, one of them each.
    """

    name: str
    model: str
    method: str
    overall: Scores
    pairs: dict[Pair, Scores]

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation for `--json`."""
        return {
            "system": self.name,
            "model": self.model,
            "method": self.method,
            **self.overall.to_json(),
            "pairs": [{"queries_of": of, "answers_of": to, **one.to_json()} for (of, to), one in self.pairs.items()],
        }


def evaluate_across(
    system: System,
    domains: Domains,
    truth: GroundTruth,
    recall_at: Sequence[int] = RECALL_AT,
    watch: Watch = lambda scores, total, name: scores,
) -> AcrossEvaluation:
    """Rank all pictures by each query of `truth`, of which there is at least one, and measure across `domains`.

    The ground truth is that of the domains, or a part of its queries.
    """
    of_pair: dict[Pair, list[Scores]] = defaultdict(list)

    def scores() -> Iterator[Scores]:
        rankings = system.rankings([judgement.query for judgement in truth.judgements])
        for judgement, ranking in zip(truth.judgements, rankings, strict=True):
            own = int(domains.domain_of[judgement.query])
            for other in range(len(domains.names)):
                between = domains.judgement(judgement.query, other)
                if other != own and len(between.relevant):
                    of_pair[domains.names[own], domains.names[other]].append(_scored(between, ranking, recall_at))
            yield _scored(judgement, ranking, recall_at)

    overall = mean(watch(scores(), len(truth.judgements), system.name))
    pairs = {pair: mean(of_pair[pair]) for pair in sorted(of_pair)}
    return AcrossEvaluation(system.name, system.model, system.method, overall, pairs)


def feature_systems(model: str, features: Floats, domains: Domains) -> list[ClassicalSystem]:
    """Return the systems that compare features of length 1, shape (pictures, dimension), and those less the means."""
    return [ClassicalSystem(model, features), ClassicalSystem(model, less_means(features, domains), LESS_MEANS)]


def less_means(features: Floats, domains: Domains) -> Floats:
    """Return features, shape (pictures, dimension), each less the mean of its domain, at length 1 once more.

    A domain of few pictures has a mean that is shrunk towards zero. Pictures of no domain have one of their own.
    """
    found = l2_normalize(features)
    for number in np.unique(domains.domain_of):
        inside = domains.domain_of == number
        found[inside] -= found[inside].sum(axis=0) / np.float32(np.count_nonzero(inside) + PRIOR_ROWS)
    return l2_normalize(found)


def _scored(judgement: Judgement, ranking: Items, recall_at: Sequence[int]) -> Scores:
    ranks, ranked = ranks_of(judgement, ranking)
    return score(ranks, ranked, recall_at)
