"""Searching across domains: what is relevant, what is left out, and the means of domains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from cbir.errors import CbirError
from cbir.evaluation.across import Domains, evaluate_across, less_means
from cbir.evaluation.ground_truth import Items
from cbir.evaluation.systems import ClassicalSystem
from cbir.utils.vectors import l2_normalize

PATHS = [
    "photo/cat/1.jpg",
    "photo/cat/2.jpg",
    "photo/dog/1.jpg",
    "sketch/cat/1.jpg",
    "sketch/dog/deep/1.jpg",
    "sketch/emu/1.jpg",
    "toy/cat/1.jpg",
    "photo/loose.jpg",
    "root.jpg",
]


class Fixed(ClassicalSystem):
    """Ranks pictures in one order, whatever the query."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__("fixed", np.eye(len(order), dtype=np.float32))
        self.order = np.array(order, dtype=np.int64)

    def rankings(self, queries: Sequence[int]) -> Iterator[Items]:
        """The one order for each query."""
        return (self.order for _ in queries)


class TestDomains:
    """What paths say."""

    def test_folders_are_domains_and_those_within_are_classes(self) -> None:
        domains = Domains.of_paths(PATHS)
        assert (domains.names, domains.classes) == (("photo", "sketch", "toy"), ("cat", "dog", "emu"))
        assert domains.domain_of.tolist() == [0, 0, 0, 1, 1, 1, 2, -1, -1]
        assert domains.class_of.tolist() == [0, 0, 1, 0, 1, 2, 0, -1, -1]
        assert domains.left_out == 2

    def test_relevant_is_the_class_in_other_domains_and_the_own_domain_is_ignored(self) -> None:
        truth = Domains.of_paths(PATHS).truth()
        judgements = {one.query: one for one in truth.judgements}
        assert sorted(judgements) == [0, 1, 2, 3, 4, 6]
        assert truth.without_relevant == 1  # the emu
        assert judgements[0].relevant.tolist() == [3, 6]
        assert judgements[0].ignored.tolist() == [0, 1, 2, 7, 8]
        assert judgements[6].relevant.tolist() == [0, 1, 3]
        assert truth.classes is not None
        assert [truth.classes[query] for query in judgements] == ["photo", "photo", "photo", "sketch", "sketch", "toy"]

    @pytest.mark.parametrize("paths", [["a/1.jpg", "b/2.jpg"], ["a/x/1.jpg", "b/y/2.jpg"], ["a/x/1.jpg", "a/x/2.jpg"]])
    def test_without_a_class_in_two_domains_there_is_nothing_to_find(self, paths: list[str]) -> None:
        with pytest.raises(CbirError, match="no class has pictures in two of them"):
            Domains.of_paths(paths)


class TestEvaluateAcross:
    """Measures in total, and of each pair of domains."""

    def test_ranks_are_counted_among_other_domains_only(self) -> None:
        domains = Domains.of_paths(PATHS)
        found = evaluate_across(Fixed([7, 8, 1, 0, 2, 4, 3, 6, 5]), domains, domains.truth())
        pairs = {pair: one.average_precision for pair, one in found.pairs.items()}
        # a cat's photo finds the sketch of a cat second among sketches, a dog's that of a dog first
        assert pairs["photo", "sketch"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
        assert pairs["photo", "toy"] == 1
        assert pairs["toy", "photo"] == 1
        assert pairs["sketch", "photo"] == pytest.approx((1 + 1 / 3) / 2)
        assert set(pairs) == {(a, b) for a in domains.names for b in domains.names if a != b}
        assert found.pairs["photo", "sketch"].queries == 3
        assert found.overall.queries == 6
        # among all others, the cats 2 and 3 of 4, the dog 1 of 4; sketches 1, 2 of 4 … by hand
        expected = [(1 / 2 + 2 / 3) / 2] * 2 + [1, (1 + 2 / 2 + 3 / 4) / 3, 1 / 3, (1 + 1 + 3 / 5) / 3]
        assert found.overall.average_precision == pytest.approx(np.mean(expected))

    def test_the_means_of_domains_hide_classes_until_they_are_taken_off(self) -> None:
        rng = np.random.default_rng(5)
        classes, domains_of, each = 4, 3, 6
        of_class = rng.normal(size=(classes, 32))
        of_domain = 4 * rng.normal(size=(domains_of, 32))
        paths = [f"d{d}/c{c}/{n}.jpg" for d in range(domains_of) for c in range(classes) for n in range(each)]
        features = l2_normalize(
            np.array(
                [of_domain[int(path[1])] + of_class[int(path[4])] + rng.normal(size=32) / 2 for path in paths],
                dtype=np.float32,
            )
        )
        domains = Domains.of_paths(paths)
        plain, centred = (
            evaluate_across(ClassicalSystem("made", some), domains, domains.truth()).overall.average_precision
            for some in (features, less_means(features, domains))
        )
        assert plain < 0.8 < 0.95 < centred

    def test_means_are_of_features_of_length_1_and_shrunk(self) -> None:
        domains = Domains.of_paths(["a/x/1.jpg", "a/x/2.jpg", "b/x/1.jpg", "none.jpg"])
        features = np.array([[2, 0, 0], [0, 1, 0], [0, 0, 3], [1, 1, 0]], dtype=np.float32)
        found = less_means(features, domains)
        mean = np.array([1, 1, 0]) / (2 + 5)
        assert found[0] == pytest.approx(([1, 0, 0] - mean) / np.linalg.norm([1, 0, 0] - mean))
        assert found[2] == pytest.approx([0, 0, 1])
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4))
        assert features[0].tolist() == [2, 0, 0]
