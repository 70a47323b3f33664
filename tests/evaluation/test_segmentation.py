"""Measures of segmentations, against numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cbir.evaluation.segmentation import agreement, overlaps, summary

HALVES = np.array([[0, 0, 1, 1]])
QUARTERS = np.array([[5, 6, 7, 9]])
WHOLE = np.zeros((1, 4), dtype=np.int64)


def test_the_same_regions_under_other_names_agree_in_full() -> None:
    assert summary([agreement(HALVES, [np.array([[8, 8, 3, 3]])])]) == pytest.approx((1, 1, 0))


def test_one_region_for_two_halves() -> None:
    # each half overlaps the whole by 1/2; of 6 pairs the 2 within a half agree; one bit is missing
    assert summary([agreement(WHOLE, [HALVES])]) == pytest.approx((1 / 2, 2 / 6, 1))


def test_regions_across_each_other() -> None:
    # overlap 1/3 everywhere; of 6 pairs 2 are apart in both and none together; H(X|Y) + H(Y|X) is 1 + 1 bits
    assert summary([agreement(HALVES, [np.array([[0, 1, 0, 1]])])]) == pytest.approx((1 / 3, 2 / 6, 2))


def test_uneven_regions() -> None:
    # 3 + 1 pixels against halves: shared 2, 1, 0, 1, so overlaps 2/3 and 1/2 for two pixels each
    found = agreement(np.array([[0, 0, 0, 1]]), [HALVES])
    assert found.covered == pytest.approx(2 * 2 / 3 + 2 * 1 / 2)
    assert found.index == pytest.approx(3 / 6)
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert found.variation == pytest.approx(2 * 1.5 - entropy - 1)


def test_covering_is_pooled_and_the_others_are_means() -> None:
    alike, other = agreement(HALVES, [HALVES, HALVES, HALVES]), agreement(WHOLE, [HALVES])
    assert summary([alike, other]) == pytest.approx(((12 + 2) / 16, (1 + 1 / 3) / 2, 0.5))


def test_several_people_count_alike() -> None:
    found = agreement(QUARTERS, [QUARTERS, WHOLE])
    assert (found.covered, found.pixels) == (pytest.approx(4 + 1), 8)
    assert found.index == pytest.approx((1 + 0) / 2)
    assert found.variation == pytest.approx((0 + 2) / 2)


def test_overlaps_count_pixels() -> None:
    assert overlaps(np.array([[3, 3], [9, 3]]), np.array([[1, 2], [2, 2]])).tolist() == [[1, 2], [0, 1]]
