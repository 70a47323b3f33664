"""One picture in the style of another, after Gatys, Ecker and Bethge 2015, "A Neural Algorithm of Artistic Style".

Content is a map of a network, style how the channels of some maps go together whatever the place: their Gram matrices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.errors import ModelError
from cbir.imagine.canvas import Canvas, roughness, to_array, to_pixels
from cbir.imagine.draw import Watch
from cbir.imagine.goals import relative_error
from cbir.imagine.sight import Sight

#: Steps at the first size, and at each larger one.
STEPS, LATER_STEPS = 100, 25

#: The longer side, in pixels, at which a picture is styled first; larger ones go on from there, twice as large a time.
FIRST_SIDE = 384

# How much style and roughness count beside content.
_STYLE, _ROUGHNESS = 100.0, 1.0

# The steps that L-BFGS remembers, and the numbers that these may be, of 4 bytes.
_HISTORY, _REMEMBERED = 20, 150_000_000


@dataclass(frozen=True)
class Layers:
    """The modules of a network whose outputs, rectified, are `content` and `style`."""

    content: str
    style: tuple[str, ...]


#: Layers by the beginning of a network's name. Those of EfficientNet-Lite are widened maps: the narrow ones give noise.
LAYERS = {
    "efficientnet_lite": Layers("blocks.5.bn0", ("bn0", *(f"blocks.{number}.bn0" for number in (1, 3, 5, 8)))),
    "squeezenet1_0": Layers("features.4", ("features.1", "features.4", "features.6", "features.7")),
    "vgg16": Layers("features.20", tuple(f"features.{number}" for number in (1, 6, 11, 18, 25))),
}


@dataclass(frozen=True)
class Styled:
    """A picture, and how far it is from both: squared errors, relative to what was wanted, at the start and the end.

    `content_error` is that of the map, which starts at 0, `style_error` that of the Gram matrices, their mean.
    """

    picture: Image.Image
    content_error: float
    style_error: float
    style_error_before: float

    def errors(self) -> dict[str, float]:
        """Return the errors, rounded, for JSON."""
        return {
            "content_error": round(self.content_error, 4),
            "style_error_before": round(self.style_error_before, 4),
            "style_error": round(self.style_error, 4),
        }


class _EnoughError(Exception):
    """All layers were seen."""


class StyleSight:
    """The layers of content and style of a backbone's first network. ModelError where none are known of it."""

    def __init__(self, backbone: Backbone) -> None:
        name = backbone.first.name
        found = next((layers for start, layers in LAYERS.items() if name.startswith(start)), None)
        if found is None:
            raise ModelError(
                f"Of {name} it is not known which layers have style: choose efficientnet_lite0, squeezenet1_0 or vgg16."
            )
        self._layers = found
        self._sight = Sight(backbone)
        self._names = {found.content, *found.style}
        self._kept: dict[str, torch.Tensor] = {}
        for name in self._names:
            self._sight.network.headless.get_submodule(name).register_forward_hook(self._keep(name))

    def look(self, pixels: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the map of content, and the Gram matrix of each layer of style."""
        self._kept = {}
        with contextlib.suppress(_EnoughError):
            self._sight.feature(pixels)
        kept, self._kept = self._kept, {}
        return kept[self._layers.content], [_gram(kept[name]) for name in self._layers.style]

    def _keep(self, name: str) -> Callable[[torch.nn.Module, object, torch.Tensor], None]:
        def hook(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
            self._kept[name] = output.clamp(0, 6) if name.endswith("bn0") else output.relu()
            if len(self._kept) == len(self._names):
                raise _EnoughError

        return hook


def _gram(found: torch.Tensor) -> torch.Tensor:
    """Compute the mean products of channels, shape (channels, channels), of a map (1, channels, rows, columns)."""
    flat = found.flatten(2)[0]
    return flat @ flat.T / flat.shape[1]


def stylise(
    backbone: Backbone,
    content: Image.Image,
    style: Image.Image,
    size: int,
    watch: Watch,
    *,
    steps: int = STEPS,
    keep_colours: bool = False,
) -> Styled:
    """Draw `content` in the style of `style`, its longer side `size` pixels; the same each time.

    It starts as `content`. `steps` are those of the first size. With `keep_colours` only the brightness is drawn.
    ModelError where no layers of style are known of the network.
    """
    with torch.no_grad():
        return _stylised(StyleSight(backbone), content, style, _sides(size), watch, steps, keep_colours)


def _stylised(
    sight: StyleSight,
    content: Image.Image,
    style: Image.Image,
    sides: list[int],
    watch: Watch,
    steps: int,
    keep_colours: bool,
) -> Styled:
    drawn = resized(content, sides[0])
    before = 0.0
    for number, side in enumerate(sides):
        wanted = sight.look(to_pixels(resized(content, side)))[0]
        grams = sight.look(to_pixels(resized(style, side)))[1]
        drawn = _fitted(drawn, resized(content, side).shape)
        if number == 0:
            before = float(_style_error(sight.look(to_pixels(drawn))[1], grams))
        drawn = _draw(sight, drawn, (wanted, grams), steps if number == 0 else LATER_STEPS, watch)
    found = sight.look(to_pixels(drawn))
    picture = Image.fromarray(drawn)
    if keep_colours:
        picture = with_colours_of(picture, Image.fromarray(resized(content, sides[-1])))
    return Styled(picture, float(relative_error(found[0], wanted)), float(_style_error(found[1], grams)), before)


def resized(picture: Image.Image, side: int) -> npt.NDArray[np.uint8]:
    """Return a picture whose longer side has so many pixels, shape (height, width, 3)."""
    scale = side / max(picture.size)
    width, height = (max(1, round(scale * one)) for one in picture.size)
    return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))


def with_colours_of(picture: Image.Image, other: Image.Image) -> Image.Image:
    """Return the brightness of a picture with the colours of another of its size."""
    brightness = picture.convert("YCbCr").getchannel(0)
    return Image.merge("YCbCr", (brightness, *other.convert("YCbCr").split()[1:])).convert("RGB")


def _sides(size: int) -> list[int]:
    """List the sizes to be drawn, each at most twice the one before, from FIRST_SIDE on."""
    sides = [size]
    while sides[0] > FIRST_SIDE:
        sides.insert(0, max(FIRST_SIDE, (sides[0] + 1) // 2))
    return sides


def _fitted(drawn: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(drawn).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def _style_error(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([relative_error(*pair) for pair in zip(found, wanted, strict=True)]).mean()


def _draw(
    sight: StyleSight,
    start: npt.NDArray[np.uint8],
    wanted: tuple[torch.Tensor, list[torch.Tensor]],
    steps: int,
    watch: Watch,
) -> npt.NDArray[np.uint8]:
    """Draw from a picture on, by L-BFGS: so many times the loss is computed."""
    height, width = start.shape[:2]
    canvas = Canvas(height, width, torch.Generator().manual_seed(0))
    canvas.show(to_pixels(start))
    history = max(1, min(_HISTORY, _REMEMBERED // (2 * canvas.spectrum.numel())))
    descent = torch.optim.LBFGS(
        canvas.parameters(), max_iter=steps, max_eval=steps, history_size=history, line_search_fn="strong_wolfe"
    )
    counted = watch(iter(range(steps)), steps, unit=" steps")

    def loss() -> torch.Tensor:
        next(counted, None)
        descent.zero_grad()
        with torch.enable_grad():
            pixels = canvas()
            content, grams = sight.look(pixels)
            found = relative_error(content, wanted[0]) + _STYLE * _style_error(grams, wanted[1])
            found = found + _ROUGHNESS * roughness(pixels)
            found.backward()  # type: ignore[no-untyped-call]
        return found

    descent.step(loss)  # type: ignore[no-untyped-call]
    for _ in counted:  # the bar's rest, where it ended before
        pass
    with torch.inference_mode():
        return to_array(canvas())
