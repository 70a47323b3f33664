"""dlib's network of faces, a residual network of 29 layers: from a chip of a face to 128 numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cbir.errors import WeightsError
from cbir.faces.dat import tensors
from cbir.faces.layers import Build, Layers
from cbir.faces.packages import RECOGNITION
from cbir.utils.vectors import Floats

#: Pixels of a chip's side, and numbers of a face.
SIDE, DIMENSION = 150, 128

# As it was trained.
_MEAN, _DIVISOR = (122.782, 117.001, 104.298), 256.0

# (channels, blocks) of each level. The first block of all but the first level halves rows and columns.
_LEVELS = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))

#: A convolution: kernels (outputs, inputs, rows, columns) and biases.
Conv = tuple[Floats, Floats]


def network() -> Build:
    """Read the weights, and return the network. WeightsError, PackageMissingError where they are not there."""
    convs, last = _weights(RECOGNITION.read())

    def build(layers: Layers[Any], images: Any) -> Sequence[Any]:
        left = iter(convs)
        x = layers.normalised(images, _MEAN, _DIVISOR)
        x = layers.max_pool(layers.relu(layers.conv(x, *next(left), stride=2)), 3)
        for level, (_, blocks) in enumerate(_LEVELS):
            for block in range(blocks):
                x = _block(layers, x, left, is_first=level > 0 and block == 0)
        return [layers.dense(layers.mean(x), last)]

    return build


def _block(layers: Layers[Any], x: Any, left: Iterator[Conv], *, is_first: bool) -> Any:
    if is_first:  # without padding where it halves
        y = layers.relu(layers.conv(x, *next(left), stride=2))
        x = layers.mean_pool(x)
    else:
        y = layers.relu(layers.conv(x, *next(left), padding=1))
    return layers.relu(layers.add(layers.conv(y, *next(left), padding=1), x))


def _weights(content: bytes) -> tuple[list[Conv], Floats]:
    """Return the convolutions, in which what dlib scales after each is contained, and the last layer's weights."""
    found = list(tensors(content))
    shapes = list(_shapes())
    if len(found) != 2 * len(shapes) + 1:
        raise WeightsError(f"The weights for faces hold {len(found)} tensors and not {2 * len(shapes) + 1}.")
    convs = []
    for (outputs, inputs, side), numbers, scales in zip(shapes, found[:-1:2], found[1:-1:2], strict=True):
        count = outputs * inputs * side * side
        if numbers.size != count + outputs or scales.size != 2 * outputs:
            raise WeightsError("The weights for faces are not those of dlib's network.")
        gamma, beta = scales.reshape(2, outputs)
        kernels = numbers.ravel()[:count].reshape(outputs, inputs, side, side)
        convs.append((kernels * gamma.reshape(-1, 1, 1, 1), numbers.ravel()[count:] * gamma + beta))
    last = found[-1]
    if last.size != _LEVELS[-1][0] * DIMENSION:
        raise WeightsError("The weights for faces are not those of dlib's network.")
    return convs, last.reshape(-1, DIMENSION)


def _shapes() -> Iterator[tuple[int, int, int]]:
    """Yield outputs, inputs and side of the kernels of each convolution."""
    inputs = _LEVELS[0][0]
    yield inputs, 3, 7
    for outputs, blocks in _LEVELS:
        for block in range(blocks):
            yield outputs, inputs if block == 0 else outputs, 3
            yield outputs, outputs, 3
        inputs = outputs
