"""The measures beside a drawing are what a search and the networks say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import cbir  # noqa: E402
from cbir.backbones.backbone import describe  # noqa: E402
from cbir.errors import ModelError  # noqa: E402
from cbir.images.safely import open_image  # noqa: E402
from cbir.imagine.measures import Eye, judge_for, rank_of  # noqa: E402
from cbir.index.open import open_index  # noqa: E402
from cbir.utils.vectors import l2_normalize  # noqa: E402
from tests.helpers.toy import DRAWN  # noqa: E402


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = str(tmp_path_factory.mktemp("imagine") / "few")
    cbir.index_folder(DRAWN / "mountain_lakes", directory, model="efficientnet_lite0")
    return directory


@pytest.mark.parametrize("original", ["mountain_lakes/mountain_lakes_07.jpg", "galaxies/galaxies_01.jpg"])
def test_the_rank_is_that_of_a_search(name: str, original: str) -> None:
    drawing, path = DRAWN / "mountain_lakes/mountain_lakes_03.jpg", DRAWN / original
    eye = Eye(describe("efficientnet_lite0"))
    features = [l2_normalize(eye.see(open_image(one)).feature[np.newaxis])[0] for one in (drawing, path)]
    found = rank_of(open_index(name), features[0], features[1], path.read_bytes())
    matches = cbir.open(name).search(drawing, 100, reranked=False, include_self=True)
    ranks = [number for number, match in enumerate(matches, 1) if Path(str(match.path)).name == path.name]
    own = float(features[0] @ features[1])
    expected = ranks[0] if ranks else 1 + sum(match.score > own for match in matches)
    assert found["rank"] == expected
    assert found["pictures"] == len(matches) == 12
    assert found["has_original"] == bool(ranks)


def test_rounding_does_not_let_a_picture_outdo_itself(name: str) -> None:
    index, random = open_index(name), np.random.default_rng(3)
    features = index.features(np.arange(index.rows))
    for row in list(range(index.rows)) * 20:
        drawing = l2_normalize((features[row] + random.normal(0, 0.01, 1280).astype(np.float32))[np.newaxis])[0]
        content = (DRAWN / "mountain_lakes" / Path(index.record(row).path).name).read_bytes()
        assert rank_of(index, drawing, features[row], content)["rank"] == 1


def test_what_is_seen_is_what_tags_are_from() -> None:
    seen = Eye(describe("efficientnet_lite0")).see(open_image(DRAWN / "hot_air_balloons/hot_air_balloons_04.jpg"))
    first = seen.classes()[0]
    assert first["class"] == "balloon"
    assert seen.of_class(417) == {"probability": first["probability"], "rank": 1}
    assert seen.cosine(seen) == pytest.approx(1)


def test_a_judge_is_another_network() -> None:
    own = describe("efficientnet_lite0")
    found = judge_for(own)
    assert found is None or found.name != own.name
    named = judge_for(own, "fake")
    assert named is not None
    assert named.name == "fake"
    with pytest.raises(ModelError, match="another network with --judge"):
        judge_for(own, "efficientnet_lite0")
