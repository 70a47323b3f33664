"""Regions: superpixels, how they are merged, and pictures whose regions are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from cbir.backbones.backbone import Backbone, describe
from cbir.segment import hypercolumns, merging
from cbir.segment.affinity import distances, general_points, learnt, probability
from cbir.segment.enlarge import enlarged_labels
from cbir.segment.hierarchy import merge
from cbir.segment.hypercolumns import StageMap, on_grid, on_regions, stage_maps
from cbir.segment.runs import neighbours
from cbir.segment.segmenter import Segmenter
from cbir.segment.superpixels import superpixels
from cbir.utils.vectors import l2_normalize


@pytest.fixture(scope="module")
def segmenter(bundled: Backbone) -> Segmenter:
    return Segmenter(bundled)


@pytest.fixture(scope="module")
def squeezenet(shared: Callable) -> Backbone:
    return describe("squeezenet1_0", str(shared("weights/squeezenet1_0.pth")))


def flat() -> Image.Image:
    return Image.new("RGB", (240, 180), (90, 120, 60))


def gradient() -> Image.Image:
    return Image.linear_gradient("L").convert("RGB").resize((240, 180))


def scene() -> tuple[Image.Image, np.ndarray]:
    """Grass, a sky, a red ball and a striped board, and which is which."""
    width, height = 320, 240
    down, across = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 1, (height, width, 1))
    where = np.where(down < 110, 1, 0)
    where[(down - 150) ** 2 + (across - 80) ** 2 < 45**2] = 2
    where[60:200, 190:280] = 3
    stripes = np.where((across // 6 % 2)[..., np.newaxis] == 1, [240, 240, 240], [20, 20, 60])
    colours = np.array([[60, 140, 50], [140, 190, 240], [200, 30, 30], [0, 0, 0]])[where]
    pixels = np.where((where == 3)[..., np.newaxis], stripes, colours) + noise * 6
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), where


def test_a_scene_is_cut_into_its_things(segmenter: Segmenter) -> None:
    image, where = scene()
    labels = segmenter.segment(image).labels
    for thing in range(4):
        overlaps = [
            ((labels == segment) & (where == thing)).sum() / ((labels == segment) | (where == thing)).sum()
            for segment in range(labels.max() + 1)
        ]
        assert max(overlaps) > 0.8


def test_any_number_of_parts_is_made_exactly(segmenter: Segmenter) -> None:
    image, _ = scene()
    for count in (1, 2, 3, 17, 256):
        assert len(segmenter.segment(image, count).segments) == count


def test_coarser_parts_are_unions_of_finer_ones(bundled: Backbone, segmenter: Segmenter) -> None:
    image, _ = scene()
    assert len(segmenter.segment(image, scale=0.1).segments) > len(segmenter.segment(image, scale=100).segments)
    _, merged = merging.hierarchy(image, segmenter.engine, bundled, fast=True)
    found = [merged.regions(merged.count_at(merging.threshold_at(scale))) for scale in (0.1, 1, 10, 1000)]
    assert found[0].max() > found[1].max() > found[2].max() >= found[3].max() == 0
    for fine, coarse in itertools.pairwise(found):
        for segment in range(fine.max() + 1):
            assert len(np.unique(coarse[fine == segment])) == 1


def test_the_margin_keeps_zero_padding_out_of_the_maps(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    def deviations(image: Image.Image) -> list[float]:
        """How far each stage's vectors at the left and right edge are from those in the middle, which look the same."""
        found = []
        for stage in stage_maps(image, segmenter.engine):
            read = on_grid(stage, 6, (30, 40))
            vectors = l2_normalize(read.reshape(1200, -1)).reshape(read.shape)
            away = np.linalg.norm(vectors - vectors[:, 15:25].mean(axis=1, keepdims=True), axis=2)
            found.append(float(away[5:-5, [0, -1]].mean()))
        return found

    for image in (flat(), gradient()):
        monkeypatch.setattr(hypercolumns, "MARGIN", 64)
        with_margin = deviations(image)
        monkeypatch.setattr(hypercolumns, "MARGIN", 0)
        without = deviations(image)
        # the coarsest stage sees so far that some of it is left
        assert max(with_margin[:4]) < 0.2 < 0.4 < without[3]


@pytest.mark.parametrize("method", ["regions", "kmeans"])
def test_no_part_is_the_border(bundled: Backbone, method: str) -> None:
    segmenter = Segmenter(bundled, method=method)
    for count in (None, 4):
        assert most_at_the_edge(segmenter.segment(flat(), count).labels) < 0.45
        # bands across the gradient may well touch the upper or lower edge
        assert most_at_the_edge(segmenter.segment(gradient(), count).labels, above=False) < 0.15


def test_without_the_margin_a_part_is_the_border(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    # so that the test above is known to see one
    monkeypatch.setattr(hypercolumns, "MARGIN", 0)
    assert most_at_the_edge(segmenter.segment(flat(), 4).labels) > 0.55


def most_at_the_edge(labels: np.ndarray, above: bool = True) -> float:
    """The largest share of a segment's pixels near the left and right edge and, with `above`, near the others."""
    border = np.ones(labels.shape, dtype=bool)
    border[6 if above else 0 : -6 if above else None, 6:-6] = False
    return max(float(border[labels == segment].mean()) for segment in range(labels.max() + 1))


def test_a_flat_picture_is_one_region(segmenter: Segmenter) -> None:
    assert len(segmenter.segment(flat()).segments) == 1


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (33, 31), (1500, 40), (700, 500)])
@pytest.mark.parametrize("fast", [False, True])
def test_any_size_gets_labels_of_its_size(bundled: Backbone, draw_picture: Callable, size: tuple, fast: bool) -> None:
    result = Segmenter(bundled, fast=fast).segment(draw_picture(1, size))
    assert result.labels.shape == (size[1], size[0])
    assert [segment.label for segment in result.segments] == list(range(len(result.segments)))


def test_both_engines_cut_alike(bundled: Backbone) -> None:
    pytest.importorskip("openvino")
    image, _ = scene()
    first, second = (Segmenter(bundled, engine=engine).segment(image, 5).labels for engine in ("openvino", "torch"))
    assert (first == second).mean() > 0.99


def test_a_network_that_nothing_was_learnt_for_cuts_too(squeezenet: Backbone) -> None:
    assert learnt(squeezenet, 2) is None
    image, where = scene()
    labels = Segmenter(squeezenet).segment(image, 4).labels
    for thing in range(4):
        overlaps = [
            ((labels == segment) & (where == thing)).sum() / ((labels == segment) | (where == thing)).sum()
            for segment in range(4)
        ]
        assert max(overlaps) > 0.7


def test_what_was_learnt_belongs_to_these_very_weights(bundled: Backbone) -> None:
    affinity = learnt(bundled, 1)
    assert affinity is not None
    assert affinity.projection.shape[0] == len(affinity.means) + 3 == 16 + 24 + 40 + 112 + 320 + 3


def test_regions_read_a_map_by_linear_interpolation() -> None:
    # a map whose values are the places of its cells, in pixels of the picture: reading it gives the place back
    margin, zoom, cells = 8, 2, 28
    centres = ((np.arange(cells) + 0.5) * 4 - margin) / zoom
    values = np.stack(np.meshgrid(centres, centres, indexing="ij")).astype(np.float32)
    labels = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 10, axis=0), 10, axis=1)
    read = on_regions(StageMap(values, (112, 112), margin, zoom), labels)
    expected = np.stack(np.divmod(np.arange(16), 4), axis=1) * 10 + 5
    assert np.allclose(read, expected, atol=1e-4)


def test_superpixels_are_described_by_what_they_cover() -> None:
    image, _ = scene()
    cut = superpixels(np.asarray(image))
    assert cut.shares.sum() == pytest.approx(1, abs=1e-5)
    rows, columns = np.nonzero(cut.labels == 7)
    assert cut.centres[7] * 320 == pytest.approx([columns.mean(), rows.mean()], abs=0.01)
    assert cut.shares[7] == pytest.approx(len(rows) / cut.labels.size)


def test_touching_labels_are_found_both_ways() -> None:
    assert np.argwhere(np.triu(neighbours(np.array([[0, 0, 2], [1, 1, 2]])))).tolist() == [[0, 1], [0, 2], [1, 2]]


def test_merging_takes_the_likeliest_first_and_only_neighbours() -> None:
    # a row of four: 0-1 alike, 2-3 alike, 0 and 3 most alike of all but not touching
    together = np.array([[1, 0.9, 0.2, 0.99], [0.9, 1, 0.1, 0.2], [0.2, 0.1, 1, 0.8], [0.99, 0.2, 0.8, 1]], np.float32)
    merged = merge(together, np.full(4, 0.25, np.float32), np.array([[0, 1], [1, 2], [2, 3]]))
    assert merged.pairs.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert merged.regions(2).tolist() == [0, 0, 1, 1]
    assert merged.regions(1).tolist() == [0, 0, 0, 0]
    assert merged.regions(9).tolist() == [0, 1, 2, 3]
    # between the pairs the mean of .2, .99, .1 and .2
    assert merged.costs[2] == pytest.approx((1 - 0.3725) * 0.25**0.05, rel=1e-4)
    assert merged.count_at(merged.costs[1] + 0.01) == 2
    assert merged.count_at(0) == 4


def test_the_mean_between_regions_counts_areas() -> None:
    together = np.array([[1, 0.9, 0.4], [0.9, 1, 0.1], [0.4, 0.1, 1]], np.float32)
    merged = merge(together, np.array([0.6, 0.2, 0.2], np.float32), np.array([[0, 1], [1, 2], [0, 2]]))
    mean = (0.6 * 0.4 + 0.2 * 0.1) / 0.8
    assert merged.costs[1] == pytest.approx((1 - mean) * (0.8 * 0.2) ** 0.05, rel=1e-4)


def test_log_odds_fall_with_distance() -> None:
    assert probability(np.array([-200, 0, 200], np.float32)) == pytest.approx([0, 0.5, 1])
    assert distances(np.array([[0, 0], [3, 4]], np.float32)) == pytest.approx(np.array([[0, 5], [5, 0]]))


def test_general_points_are_one_apart_on_the_mean(squeezenet: Backbone) -> None:
    image, _ = scene()
    cut = superpixels(np.asarray(image))
    stages = merging.stages_of(image, Segmenter(squeezenet).engine, cut, 1)[0]
    assert float(cut.shares @ distances(general_points(stages, cut)) @ cut.shares) == pytest.approx(1, abs=1e-3)


def test_the_threshold_stays_a_probability() -> None:
    assert merging.threshold_at(1) == pytest.approx(merging.THRESHOLD)
    assert 0 < merging.threshold_at(0.001) < merging.threshold_at(0.5) < merging.threshold_at(1000) < 1


@pytest.mark.parametrize("size", [(97, 61), (40, 25), (13, 9)])
def test_labels_at_another_size_are_where_they_were(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    labels = np.kron(rng.integers(0, 6, (5, 8)), np.ones((5, 5))).astype(np.uint8)
    found = enlarged_labels(labels, size)
    # away from the borders, each pixel has the label of the pixel that it came from
    down, across = (np.arange(length) + 0.5 for length in size[::-1])
    rows, columns = (down * 25 / size[1]).astype(int), (across * 40 / size[0]).astype(int)
    expected = labels[np.ix_(rows, columns)]
    assert (found == expected).mean() > 0.8
    inner = np.ix_(np.abs(down * 5 / size[1] % 1 - 0.5) < 0.25, np.abs(across * 8 / size[0] % 1 - 0.5) < 0.25)
    assert np.array_equal(found[inner], expected[inner])


def test_labels_of_the_same_size_are_left_alone() -> None:
    labels = np.array([[0, 1], [2, 2]], dtype=np.uint8)
    assert np.array_equal(enlarged_labels(labels, (2, 2)), labels)
