"""Groups of faces: average linkage as SciPy has it, what is told of faces, and memory for a crowd."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from cbir.people import groups as groups_module
from cbir.people.groups import ALONE, Told, group, nothing_told
from cbir.people.linkage import Linkage, distances_between
from cbir.utils.vectors import Floats, Rows, l2_normalize

THRESHOLD = 0.36


def made(people: int, faces: int, spread: float, seed: int = 1, differ: float = 0.5) -> tuple[Floats, Rows]:
    """Vectors of faces as a network makes them: all in one part of the sphere, those of a person nearer to each other.

    With them comes the person of each, shape (faces,).
    """
    random = np.random.default_rng(seed)
    centres = l2_normalize(random.normal(size=(people, 16)).astype(np.float32) @ random.normal(size=(16, 128)))
    centres = l2_normalize((differ * centres + l2_normalize(random.normal(size=128))).astype(np.float32))
    who = random.integers(people, size=faces)
    noise = random.normal(size=(faces, 128)) * spread / np.sqrt(128)
    return l2_normalize((centres[who] + noise).astype(np.float32)), who


def all_of(count: int) -> np.ndarray:
    return np.ones(count, dtype=np.bool_)


def partition(groups: Rows) -> set[frozenset[int]]:
    """The groups of two faces and more as sets."""
    return {
        frozenset(np.flatnonzero(groups == one).tolist())
        for one in np.unique(groups).tolist()
        if one != ALONE and (groups == one).sum() > 1
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [0.2, 0.3, 0.4])
def test_groups_are_those_of_average_linkage(spread: float, seed: int) -> None:
    vectors, _ = made(40, 300, spread, seed)
    expected = fcluster(linkage(pdist(vectors.astype(np.float64)), "average"), THRESHOLD, "distance")
    assert partition(group(vectors, all_of(300), threshold=THRESHOLD)) == partition(expected)


def test_a_crowd_that_hangs_together_is_linked_exactly() -> None:
    vectors, _ = made(200, 700, 0.25, 9, 0.24)
    found = groups_module._components(vectors, np.arange(700), THRESHOLD, nothing_told(700))
    assert max(map(len, found)) > 500
    expected = fcluster(linkage(pdist(vectors.astype(np.float64)), "average"), THRESHOLD, "distance")
    assert partition(group(vectors, all_of(700), threshold=THRESHOLD)) == partition(expected)


def test_groups_are_numbered_by_their_first_faces_and_have_two() -> None:
    one, other, third = l2_normalize(np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32))
    vectors = np.stack([third, other, one, other, one, other])
    assert group(vectors, all_of(6), threshold=THRESHOLD).tolist() == [ALONE, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_faces(count: int) -> None:
    vectors = np.eye(128, dtype=np.float32)[:count]
    assert group(vectors, all_of(count), threshold=THRESHOLD).tolist() == [ALONE] * count


def test_small_faces_join_but_do_not_found() -> None:
    vectors, who = made(2, 8, 0.1)
    who_of = [np.flatnonzero(who == one).tolist() for one in (0, 1)]
    assert min(map(len, who_of)) >= 3
    may_found = all_of(8)
    # of the first person one is small, of the second all but one
    may_found[who_of[0][0]] = False
    may_found[who_of[1][1:]] = False
    assert partition(group(vectors, may_found, threshold=THRESHOLD)) == {frozenset(who_of[0])}


def test_two_faces_of_one_picture_are_two_people() -> None:
    vectors, who = made(1, 6, 0.1)
    assert len(set(who.tolist())) == 1
    pictures = np.array([0, 0, 1, 1, 2, 3])
    told = Told(pictures, np.zeros(6, np.int64), np.arange(6), np.zeros((0, 2), np.int64))
    groups = group(vectors, all_of(6), threshold=THRESHOLD, told=told)
    assert groups[0] != groups[1]
    assert groups[2] != groups[3]
    assert len(partition(groups)) == 2
    # nor where one of them only joins
    may_found = np.array([True, False, True, False, True, True])
    groups = group(vectors, may_found, threshold=THRESHOLD, told=told)
    assert groups.tolist() == [0, ALONE, 0, ALONE, 0, 0]


def test_of_two_small_faces_of_a_picture_the_nearer_joins() -> None:
    vectors, _ = made(1, 5, 0.3)
    told = Told(np.array([0, 1, 2, 3, 3]), np.zeros(5, np.int64), np.arange(5), np.zeros((0, 2), np.int64))
    groups = group(vectors, np.array([True, True, True, False, False]), threshold=1.0, told=told)
    means = distances_between(vectors[3:], vectors[:3]).mean(axis=1)
    assert groups[3 + int(means.argmin())] == 0
    assert groups[3 + int(means.argmax())] == ALONE


def test_owners_units_and_pairs_apart_hold() -> None:
    vectors, _ = made(1, 7, 0.1)
    owners = np.array([5, 5, 7, 0, 0, 0, 0])
    units = np.array([0, 0, 2, 3, 4, 5, 6])
    apart = np.array([[3, 0], [2, 3]])
    told = Told(np.arange(7), owners, units, apart)
    groups = group(vectors, all_of(7), threshold=THRESHOLD, told=told)
    assert groups[0] == groups[1]
    assert len({int(groups[0]), int(groups[2])}) == 2
    assert groups[3] not in (groups[0], groups[2])
    # also a face that only joins is kept out
    may_found = np.array([True, True, True, False, True, True, True])
    groups = group(vectors, may_found, threshold=THRESHOLD, told=told)
    assert groups[3] == ALONE


def test_a_unit_stays_together_however_far_apart_its_faces_are() -> None:
    vectors = np.eye(128, dtype=np.float32)[:4]
    told = Told(np.arange(4), np.zeros(4, np.int64), np.array([0, 1, 0, 3]), np.zeros((0, 2), np.int64))
    assert group(vectors, all_of(4), threshold=THRESHOLD, told=told).tolist() == [0, ALONE, 0, ALONE]


def test_a_face_with_an_owner_is_a_group_by_itself() -> None:
    vectors, _ = made(1, 3, 0.1)
    told = Told(np.arange(3), np.array([4, 0, 0]), np.arange(3), np.zeros((0, 2), np.int64))
    assert group(vectors, np.array([True, False, False]), threshold=THRESHOLD, told=told).tolist() == [0, 0, 0]
    alone = Told(told.pictures[:1], told.owners[:1], told.units[:1], told.apart)
    assert group(vectors[:1], all_of(1), threshold=THRESHOLD, told=alone).tolist() == [0]


def test_more_than_fit_are_split_rather_than_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, who = made(60, 600, 0.25)
    whole = partition(group(vectors, all_of(600), threshold=THRESHOLD))
    monkeypatch.setattr(groups_module, "_LINKED", 40)
    split = group(vectors, all_of(600), threshold=THRESHOLD)
    assert 0 < len(whole) <= len(partition(split))
    for one in partition(split):
        assert len(set(who[list(one)].tolist())) == 1
    # so many of one picture that nothing can tell them apart
    same = np.repeat(vectors[:1], 100, axis=0)
    assert sorted(map(len, partition(group(same, all_of(100), threshold=THRESHOLD)))) == [33, 33, 34]


def test_forbidden_pairs_stay_so_through_all_joining() -> None:
    vectors, _ = made(1, 30, 0.2)
    random = np.random.default_rng(3)
    for _ in range(20):
        pairs = random.integers(30, size=(25, 2))
        linkage_ = Linkage(vectors)
        linkage_.forbid(*pairs.T)
        clusters = linkage_.run(THRESHOLD)
        assert all(clusters[one] != clusters[other] for one, other in pairs.tolist() if one != other)
        # and nothing is apart without a reason: any two clusters have a forbidden pair between them, or are far apart
        means = {
            (one, other): distances_between(vectors[clusters == one], vectors[clusters == other]).mean()
            for one in set(clusters.tolist())
            for other in set(clusters.tolist())
            if one < other
        }
        forbidden = {tuple(sorted((int(clusters[one]), int(clusters[other])))) for one, other in pairs.tolist()}
        assert all(mean >= THRESHOLD or pair in forbidden for pair, mean in means.items())


CROWD = """
from pathlib import Path
from cbir.people.groups import group
from tests.people.test_groups import all_of, made
vectors, _ = made(4000, 10_000, 0.25, differ=0.32)
groups = group(vectors, all_of(10_000), threshold=0.36)
# `ru_maxrss` would be at least what the process has that started this one
most = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(most.split()[1]) / 1024, groups.max() + 1)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells the most memory of one process")
def test_ten_thousand_faces_that_hang_together_take_no_400_mb() -> None:
    found = subprocess.run([sys.executable, "-c", CROWD], check=True, capture_output=True, text=True).stdout
    megabytes, count = map(float, found.split())
    assert count > 1000
    assert megabytes < 400
