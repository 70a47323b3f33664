"""Drawing: what comes nearer to its goal, and is the same each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from cbir.backbones.backbone import describe  # noqa: E402
from cbir.backbones.head import open_classifier  # noqa: E402
from cbir.errors import ModelError  # noqa: E402
from cbir.extract.extractor import Extractor  # noqa: E402
from cbir.images.fit import fit  # noqa: E402
from cbir.imagine.canvas import to_pixels  # noqa: E402
from cbir.imagine.draw import draw  # noqa: E402
from cbir.imagine.goals import Exaggerated, LikeFeature, LikeStage, relative_error  # noqa: E402
from cbir.imagine.sight import Sight  # noqa: E402
from cbir.imagine.subject import Wish, central_square, goal_of  # noqa: E402

GOLDFISH = 1


@pytest.fixture(scope="module")
def sight() -> Sight:
    return Sight(describe("efficientnet_lite0"))


@pytest.fixture
def picture(draw_picture: Callable) -> Image.Image:
    return draw_picture(5, (160, 120))


def plain(items: Iterator[Any], total: int, what: str = "", *, unit: str = "") -> Iterator[Any]:
    assert total
    return items


def errors(sight: Sight, goal: LikeStage, steps: int, size: int) -> float:
    drawn = to_pixels(draw(goal, size, steps, 3, plain))
    with torch.no_grad():
        return float(relative_error(sight.stage(drawn, goal.stage), goal.wanted))


def test_a_sight_sees_what_an_engine_does(sight: Sight, picture: Image.Image) -> None:
    seen = Extractor("efficientnet_lite0", engine="torch").encode([picture], normalize=False)[0]
    with torch.no_grad():
        feature = sight.feature(to_pixels(fit(picture, sight.backbone.preprocessing)))
    assert np.abs(feature.numpy() - seen).max() < 1e-4


def test_what_is_fitted_is_the_middle_moved(sight: Sight) -> None:
    pixels = torch.rand(1, 3, 256, 256)
    assert torch.equal(sight.fitted(pixels, (3, -2)), pixels[..., 19:243, 14:238])
    assert sight.fitted(torch.rand(1, 3, 64, 64)).shape == (1, 3, 224, 224)
    assert sight.margin == 16


@pytest.mark.parametrize("stage", [2, 5])
def test_steps_bring_a_map_nearer(sight: Sight, picture: Image.Image, stage: int) -> None:
    goal = goal_of(sight, Wish("like", 64, stage), picture)
    assert isinstance(goal, LikeStage)
    assert errors(sight, goal, 20, 64) < 0.8 * errors(sight, goal, 1, 64)


def test_steps_bring_a_feature_nearer(sight: Sight, picture: Image.Image) -> None:
    goal = goal_of(sight, Wish("like", 64), picture)
    assert isinstance(goal, LikeFeature)

    def cosine(steps: int) -> float:
        with torch.no_grad():
            seen = sight.feature(sight.fitted(to_pixels(draw(goal, 64, steps, 3, plain))))
            return float(torch.cosine_similarity(seen, goal.wanted, dim=0))

    assert cosine(20) > cosine(1) + 0.1


def test_what_is_exaggerated_has_more_of_the_map(sight: Sight, picture: Image.Image) -> None:
    goal = goal_of(sight, Wish("exaggerate", 64), picture)
    assert isinstance(goal, Exaggerated)
    assert goal.stage == sight.stages - 1

    def share(steps: int) -> float:
        with torch.no_grad():
            drawn = sight.stage(to_pixels(draw(goal, 64, steps, 3, plain)), goal.stage)
        return float((drawn * goal.wanted).sum() / goal.wanted.square().sum())

    assert share(30) > share(1) + 0.3


def test_a_class_is_seen_in_what_is_drawn_of_it(sight: Sight) -> None:
    goal = goal_of(sight, Wish("class", 96, class_number=GOLDFISH))
    with torch.no_grad():
        feature = sight.feature(to_pixels(draw(goal, 96, 40, 3, plain)))
    assert open_classifier(sight.backbone).probabilities(feature.numpy()[np.newaxis])[0, GOLDFISH] > 0.9


def test_a_seed_gives_one_picture(sight: Sight, picture: Image.Image) -> None:
    goal = goal_of(sight, Wish("exaggerate", 64), picture)
    one, again, other = (draw(goal, 64, 3, seed, plain) for seed in (1, 1, 2))
    assert one.shape == (64, 64, 3)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_square_is_the_middle(picture: Image.Image) -> None:
    assert np.array_equal(central_square(picture, 120), np.asarray(picture)[:, 20:140])
    assert central_square(Image.new("RGB", (1, 7)), 64).shape == (64, 64, 3)


def test_what_a_network_cannot_do_is_said(sight: Sight, picture: Image.Image) -> None:
    with pytest.raises(ModelError, match="stages 1 to 5, and no stage 6"):
        goal_of(sight, Wish("like", 64, 6), picture)
    with pytest.raises(ModelError, match="know no classes"):
        goal_of(Sight(describe("efficientnet_lite0", "untrained")), Wish("class", 64))
    with pytest.raises(ModelError, match="fake"):
        Sight(describe("fake"))
