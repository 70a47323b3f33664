"""Stages of networks as features, and what they find across domains: on vectors of which the answer is known."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from PIL import Image

from cbir.backbones.backbone import describe
from cbir.engines.select import open_engine
from cbir.errors import CbirError
from cbir.evaluation.across import Domains
from cbir.evaluation.by_stage import _by_chance, chance_of, evaluate_stage, seen_of
from cbir.evaluation.metrics import average_precision
from cbir.evaluation.stages import Stage, look, name_of
from cbir.images.fit import fit

PATHS = [
    f"{domain}/{name}/{number}.jpg" for domain in ("photo", "sketch") for name in ("cat", "dog") for number in "12"
]


def stage(vectors: list[list[float]]) -> Stage:
    return Stage("net", 2, np.array(vectors, dtype=np.float32), "f32")


def test_what_a_stage_finds_across_domains_and_within_one_is_known() -> None:
    domains = Domains.of_paths(PATHS)
    # the first two numbers are the class, the last two the domain
    of_class = stage([[1, 0, 0.1, 0]] * 2 + [[0, 1, 0.1, 0]] * 2 + [[1, 0, 0, 0.1]] * 2 + [[0, 1, 0, 0.1]] * 2)
    found = evaluate_stage(of_class, domains, domains.truth())
    assert (found.name, found.channels, found.precision) == ("stage 2", 4, "f32")
    assert found.across.overall.average_precision == found.across.overall.precision[1] == 1
    assert {name: one.average_precision for name, one in found.within.items()} == {"photo": 1, "sketch": 1}
    assert found.own_domain == 1


def brute_force(vectors: np.ndarray, paths: list[str], query: int, of: Callable[[int], bool]) -> tuple[float, bool]:
    """The average precision of a query among the others that `of` takes, and whether the first is of its domain."""
    own, name, _ = paths[query].split("/")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = [one for one in np.argsort(-(unit @ unit[query]), kind="stable").tolist() if one != query]
    right = [paths[one].split("/")[1] == name for one in order if of(one)]
    precisions = [fmean(right[: place + 1]) for place, is_right in enumerate(right) if is_right]
    return fmean(precisions), paths[order[0]].split("/")[0] == own


def test_figures_are_those_of_every_query_one_by_one() -> None:
    paths = [f"{domain}/{name}/{number}.jpg" for domain in "abc" for name in "xyz" for number in range(4)]
    # classes and domains show in the vectors, a little
    chance = np.random.default_rng(5)
    places = {name: chance.normal(0, 1, 12) for name in "abcxyz"}
    vectors = np.stack([places[path[0]] + 0.5 * places[path[2]] + chance.normal(0, 0.7, 12) for path in paths])
    domains = Domains.of_paths(paths)
    found = evaluate_stage(stage(vectors.tolist()), domains, domains.truth())
    across = [
        brute_force(vectors, paths, one, lambda other, own=one: paths[other][0] != paths[own][0]) for one in range(36)
    ]
    within = [
        brute_force(vectors, paths, one, lambda other, own=one: paths[other][0] == paths[own][0]) for one in range(36)
    ]
    assert found.across.overall.average_precision == pytest.approx(fmean(one for one, _ in across))
    assert found.own_domain == pytest.approx(fmean(is_own for _, is_own in across))
    assert found.inside is not None
    assert found.inside.average_precision == pytest.approx(fmean(one for one, _ in within))
    assert found.within["b"].average_precision == pytest.approx(fmean(one for one, _ in within[12:24]))
    assert 0.4 < found.across.overall.average_precision < 0.8 < found.own_domain + 0.2
    record = found.to_json()
    assert [one["domain"] for one in record["domains"]] == ["a", "b", "c"]
    assert len(record["across"]["pairs"]) == len(record["less_means"]["pairs"]) == 6
    assert record["within"]["map"] == pytest.approx(found.inside.average_precision, abs=1e-4)


def test_a_domain_hides_classes_until_its_mean_is_taken_off() -> None:
    paths = [f"{domain}/{name}/{number}.jpg" for domain in ("photo", "sketch") for name in "xy" for number in range(40)]
    # y of photos is where x of sketches is
    height = {"photo/x": 1.0, "photo/y": 2.0, "sketch/x": 2.0, "sketch/y": 3.0}
    vectors = [[2.0, height[path.rpartition("/")[0]]] for path in paths]
    domains = Domains.of_paths(paths)
    found = evaluate_stage(stage(vectors), domains, domains.truth())
    assert found.less.overall.average_precision == 1
    assert (
        found.across.overall.precision[1] == 0.5
    )  # x of photos and y of sketches are far from what they ought to find


def test_chance_is_the_mean_over_all_orders() -> None:
    for relevant, ranked in ((1, 1), (1, 4), (2, 5), (3, 6)):
        orders = itertools.combinations(range(1, ranked + 1), relevant)
        assert _by_chance(relevant, ranked) == pytest.approx(fmean(average_precision(np.array(one)) for one in orders))
    domains = Domains.of_paths(PATHS)
    chance = chance_of(domains, domains.truth())
    assert (chance.precision, chance.own_domain) == (0.5, pytest.approx(3 / 7))
    assert chance.within_average_precision == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_pictures_that_were_not_seen_are_neither_queries_nor_answers() -> None:
    domains = seen_of(Domains.of_paths(PATHS), np.arange(8) != 4)
    truth = domains.truth()
    assert [one.query for one in truth.judgements] == [0, 1, 2, 3, 5, 6, 7]
    assert truth.judgements[0].relevant.tolist() == [5]
    found = evaluate_stage(stage([[1, place] for place in range(8)]), domains, truth)
    assert found.across.overall.queries == 7
    assert found.within["sketch"].queries == 2  # the cat is alone there


def test_stages_of_a_collection_are_those_of_each_picture(
    tmp_path: Path, draw_picture: Callable[..., Image.Image], caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / f"{number}.png" for number in range(21)]
    for number, file in enumerate(files):
        draw_picture(number).save(file)
    shutil.copy(files[3], files[7])  # a content that comes twice
    files[5].write_bytes(b"no picture")
    files[9].unlink()
    seen_by: list[tuple[int, str]] = []

    def watch(results, total, name):
        seen_by.append((total, name))
        return results

    backbone = describe("efficientnet_lite0")
    found = look(backbone, files, "openvino:f32", watch)
    assert seen_by == [(21, "stages of efficientnet_lite0")]
    assert np.flatnonzero(~found.seen).tolist() == [5, 9]
    assert [Path(error.name).name for error in found.problems] == ["5.png", "9.png"]
    assert [one.name for one in found.stages] == [*map(name_of, range(1, 6)), "feature"]
    assert {one.precision for one in found.stages} == {"f32"}
    for number in (0, 7, 20):
        with Image.open(files[number]) as image:
            pixels = fit(image.convert("RGB"), backbone.preprocessing)
        alone = open_engine(backbone, engine="torch").pooled(pixels[np.newaxis])
        for one, other in zip(found.stages, alone, strict=True):
            assert np.abs(one.vectors[number] - other[0]).max() < 1e-4 * np.abs(other).max()
    assert not any(one.vectors[5].any() for one in found.stages)


def test_what_does_not_fit_into_memory_and_what_is_no_picture(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"no picture")
    with pytest.raises(CbirError, match=r"none can be read. Cannot read .*a.jpg"):
        look(describe("fake"), [file])
    with pytest.raises(CbirError, match=r"352 numbers a picture, and 3 pictures are too many .* 2 pictures at most"):
        look(describe("fake"), [file] * 3, most_bytes=2 * 352 * 4)


def test_of_a_network_without_stages_there_is_the_feature(
    tmp_path: Path, draw_picture: Callable[..., Image.Image], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("torch")
    draw_picture(1).save(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING, logger="cbir"):
        found = look(describe("vit_b_16", "untrained"), [tmp_path / "a.png"], "torch")
    assert [(one.name, one.model) for one in found.stages] == [("feature", "vit_b_16, untrained")]
    assert "Of vit_b_16 only the feature is measured: This backbone takes pictures of one size only" in caplog.text


def test_several_networks_are_looked_at_one_by_one(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> None:
    draw_picture(1).save(tmp_path / "a.png")
    joined = replace(describe("fake+fake_small"), views=2)
    (first, second) = (look(one, [tmp_path / "a.png"]) for one in joined.networks)
    assert [one.vectors.shape[1] for one in first.stages] == [32, 64, 128, 128]
    assert [one.vectors.shape[1] for one in second.stages] == [32, 64, 128, 64]
