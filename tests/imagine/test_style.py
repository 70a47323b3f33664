"""Style: a picture comes nearer to another's Gram matrices, and stays what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from cbir.backbones.backbone import describe  # noqa: E402
from cbir.backbones.catalog import BUNDLED  # noqa: E402
from cbir.errors import ModelError  # noqa: E402
from cbir.imagine import style  # noqa: E402
from cbir.imagine.canvas import to_pixels  # noqa: E402
from cbir.imagine.style import StyleSight, resized, stylise, with_colours_of  # noqa: E402


@pytest.fixture
def pictures(draw_picture: Callable) -> tuple[Image.Image, Image.Image]:
    return draw_picture(5, (160, 120)), draw_picture(8, (90, 140))


def plain(items: Iterator[Any], total: int, what: str = "", *, unit: str = "") -> Iterator[Any]:
    return items


def test_a_picture_comes_nearer_to_the_style_and_keeps_its_content(pictures: tuple[Image.Image, Image.Image]) -> None:
    styled = stylise(describe(BUNDLED), *pictures, 64, plain, steps=14)
    assert styled.picture.size == (64, 48)
    assert styled.style_error < 0.8 * styled.style_error_before
    assert 0 < styled.content_error < 1
    again = stylise(describe(BUNDLED), *pictures, 64, plain, steps=14)
    assert np.array_equal(np.asarray(styled.picture), np.asarray(again.picture))


def test_larger_pictures_are_drawn_in_steps(
    pictures: tuple[Image.Image, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "FIRST_SIDE", 32)
    monkeypatch.setattr(style, "LATER_STEPS", 6)
    totals: list[int] = []

    def watch(items: Iterator[Any], total: int, what: str = "", *, unit: str = "") -> Iterator[Any]:
        totals.append(total)
        return items

    styled = stylise(describe(BUNDLED), *pictures, 80, watch, steps=4)
    assert totals == [4, style.LATER_STEPS, style.LATER_STEPS]
    assert styled.picture.size == (80, 60)
    assert styled.style_error < styled.style_error_before


def test_colours_are_kept(pictures: tuple[Image.Image, Image.Image]) -> None:
    content = Image.fromarray(resized(pictures[0], 64))
    grey = Image.new("RGB", content.size, (90, 90, 90))
    kept = np.asarray(with_colours_of(grey, content).convert("YCbCr")).astype(int)
    assert abs(kept[..., 0].mean() - 90) < 3
    styled = stylise(describe(BUNDLED), *pictures, 64, plain, steps=2, keep_colours=True).picture
    own, its = (np.asarray(one.convert("YCbCr")).astype(int)[..., 1:] for one in (content, styled))
    assert np.abs(own - its).mean() < 8


@pytest.mark.parametrize("name", ["efficientnet_lite1", "squeezenet1_0"])
def test_networks_have_the_layers_that_are_named(name: str, pictures: tuple[Image.Image, Image.Image]) -> None:
    sight = StyleSight(describe(name, "untrained"))
    with torch.no_grad():
        content, grams = sight.look(to_pixels(resized(pictures[0], 64)))
    assert content.dim() == 4
    assert len(grams) >= 4
    assert all(gram.shape[0] == gram.shape[1] and bool((gram >= 0).all()) for gram in grams)


def test_the_layers_of_vgg16_are_those_of_the_paper() -> None:
    from torchvision.models import vgg16

    with torch.device("meta"):
        features = vgg16().features
    blocks = [0]  # each pool begins another: relu1_1, relu2_1 and so on are the first of each
    first: dict[int, list[str]] = {}
    for number, layer in enumerate(features):
        if isinstance(layer, torch.nn.MaxPool2d):
            blocks.append(number)
        elif isinstance(layer, torch.nn.ReLU):
            first.setdefault(len(blocks), []).append(f"features.{number}")
    assert style.LAYERS["vgg16"] == style.Layers(first[4][1], tuple(found[0] for found in first.values()))


def test_other_networks_are_refused() -> None:
    with pytest.raises(ModelError, match="not known which layers have style"):
        StyleSight(describe("fake"))


def test_a_line_is_a_picture_too(pictures: tuple[Image.Image, Image.Image]) -> None:
    styled = stylise(describe(BUNDLED), Image.new("RGB", (200, 1), (200, 10, 10)), pictures[1], 64, plain, steps=3)
    assert styled.picture.size == (64, 1)
    assert np.isfinite(styled.style_error)
