"""Drawing towards a goal: steps of gradient descent on a canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cbir.imagine.canvas import Canvas, roughness, to_array
from cbir.imagine.goals import Goal

# How far a step goes, and in which share of the steps, the last ones, ever less far.
_RATE, _LAST = 0.05, 0.3

#: A function that passes items on, and shows how many of a total have come.
Watch = Callable[..., Iterator[Any]]


def draw(goal: Goal, size: int, steps: int, seed: int, watch: Watch) -> npt.NDArray[np.uint8]:
    """Draw a square picture of `size` pixels a side for a goal, by Adam; the same seed gives the same one.

    The result has shape (size, size, 3).
    """
    chance = torch.Generator().manual_seed(seed)
    side = size + 2 * goal.margin
    canvas = Canvas(side, side, chance)
    descent = torch.optim.Adam(canvas.parameters(), lr=_RATE)
    for step in watch(iter(range(steps)), steps, unit=" steps"):
        for group in descent.param_groups:
            group["lr"] = _RATE * min(1.0, (steps - step) / steps / _LAST)
        descent.zero_grad()
        with torch.enable_grad():
            pixels = canvas()
            loss = goal.loss(pixels, chance) + goal.smooth * roughness(pixels)
            loss.backward()  # type: ignore[no-untyped-call]
        descent.step()
    with torch.inference_mode():
        return to_array(canvas()[..., goal.margin : goal.margin + size, goal.margin : goal.margin + size])
