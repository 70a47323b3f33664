"""MTCNN's three networks (Zhang and others 2016): proposals, their refinement, and boxes with five points."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from cbir.errors import WeightsError
from cbir.faces.layers import Build, Layers
from cbir.faces.packages import OUTPUT, PROPOSAL, REFINEMENT, PackageFile, missing
from cbir.utils.vectors import Floats

#: Pixels of the windows that each of the networks sees.
PROPOSED, REFINED, LAST = 12, 24, 48

# As they were trained.
_MEAN, _DIVISOR = (127.5, 127.5, 127.5), 128.0

# Weights in the order of the packages' files, as shapes there: kernels are (rows, columns, inputs, outputs).
_PROPOSAL = ((3, 3, 3, 10), (3, 3, 10, 16), (3, 3, 16, 32), (1, 1, 32, 4), (1, 1, 32, 2))
_REFINEMENT = ((3, 3, 3, 28), (3, 3, 28, 48), (2, 2, 48, 64), (576, 128), (128, 4), (128, 2))
_OUTPUT = ((3, 3, 3, 32), (3, 3, 32, 64), (3, 3, 64, 64), (2, 2, 64, 128), (1152, 256), (256, 4), (256, 10), (256, 2))


def proposal() -> Build:
    """Return the network that sees all windows of a picture.

    Its outputs are how each window's box is to be moved, (n, 4, rows, columns), and whether it is a face.
    """
    *convs, move, score = _layers_of(PROPOSAL, _PROPOSAL, outputs=2)

    def build(layers: Layers[Any], images: Any) -> Sequence[Any]:
        x = layers.normalised(images, _MEAN, _DIVISOR)
        for number, (kernels, bias, slopes) in enumerate(convs):
            x = layers.prelu(layers.conv(x, kernels, bias), slopes)
            if number == 0:
                x = layers.max_pool(x, 2, is_padded=True)
        return [layers.conv(x, *move[:2]), layers.second(layers.conv(x, *score[:2]))]

    return build


def refinement() -> Build:
    """Return the network that sees windows of REFINED pixels.

    Its outputs are how a box is to be moved, (n, 4), and whether it is a face, (n, 1).
    """
    *convs, dense, move, score = _layers_of(REFINEMENT, _REFINEMENT, outputs=2)

    def build(layers: Layers[Any], images: Any) -> Sequence[Any]:
        x = _seen(layers, images, convs, pools=((3, True), (3, False)))
        x = layers.prelu(layers.dense(layers.flat(x), *dense[:2]), dense[2])
        return [layers.dense(x, *move[:2]), layers.second(layers.dense(x, *score[:2]))]

    return build


def output() -> Build:
    """Return the network that sees windows of LAST pixels.

    Its outputs are how a box is to be moved, (n, 4), five points, (n, 10), and whether it is a face, (n, 1). Points
    are shares of the window: across, then down, of eyes, nose and corners of the mouth.
    """
    *convs, dense, move, points, score = _layers_of(OUTPUT, _OUTPUT, outputs=3)

    def build(layers: Layers[Any], images: Any) -> Sequence[Any]:
        x = _seen(layers, images, convs, pools=((3, True), (3, False), (2, True)))
        x = layers.prelu(layers.dense(layers.flat(x), *dense[:2]), dense[2])
        moved, placed = (layers.dense(x, *one[:2]) for one in (move, points))
        return [moved, placed, layers.second(layers.dense(x, *score[:2]))]

    return build


def _seen(layers: Layers[Any], images: Any, convs: Sequence[list[Floats]], *, pools: Sequence[tuple[int, bool]]) -> Any:
    x = layers.normalised(images, _MEAN, _DIVISOR)
    for number, (kernels, bias, slopes) in enumerate(convs):
        x = layers.prelu(layers.conv(x, kernels, bias), slopes)
        if number < len(pools):
            side, is_padded = pools[number]
            x = layers.max_pool(x, side, is_padded=is_padded)
    return x


def _layers_of(file: PackageFile, shapes: Sequence[tuple[int, ...]], *, outputs: int) -> list[list[Floats]]:
    """Read weights, biases and slopes of each layer; the last ones, the outputs, have no slopes."""
    numbers = _read(file)
    wanted: list[tuple[int, ...]] = []
    for number, shape in enumerate(shapes):
        slopes = (1, 1, shape[-1]) if len(shape) == 4 else shape[-1:]
        wanted += [shape, shape[-1:]] + [slopes] * (number < len(shapes) - outputs)
    if [one.shape for one in numbers] != wanted:
        raise WeightsError(f"The weights in {file.path} are not those of MTCNN.")
    left = iter(numbers)
    found = []
    for number, shape in enumerate(shapes):
        weights = next(left)
        layer = [weights.transpose(3, 2, 0, 1) if len(shape) == 4 else weights, next(left)]
        if number < len(shapes) - outputs:
            layer.append(next(left))
        found.append([np.array(one, np.float32) for one in layer])
    return found


def _read(file: PackageFile) -> list[Floats]:
    """Read the arrays of a file, whose content is the one expected: reading it runs what it says."""
    content = file.read()
    try:
        import joblib
    except ImportError as error:
        raise missing("mtcnn") from error
    return [np.asarray(one, np.float32) for one in joblib.load(io.BytesIO(content))]
