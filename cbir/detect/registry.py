"""The table of families of detectors: a family is a file beside this one and a line here."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Protocol, cast

from cbir.detect.detection import Detector
from cbir.detect.wish import Wish
from cbir.errors import ModelError
from cbir.utils.suggest import did_you_mean

#: Modules of families, in the order in which they are asked.
FAMILIES = ("graph", "torchvision", "regions")


class Family(Protocol):
    """A kind of detectors: a module with these functions."""

    def takes(self, wish: Wish) -> bool:
        """Tell whether what is wished for is of this family."""

    def names(self) -> tuple[str, ...]:
        """List the names by which its detectors are asked for."""

    def open_detector(self, wish: Wish) -> Detector:
        """Open the detector that is wished for. WeightsError, ModelError, EngineError where that cannot be."""


def families() -> Iterator[Family]:
    """Yield all families; each is imported when its turn comes."""
    return (cast(Family, importlib.import_module(f"cbir.detect.{name}")) for name in FAMILIES)


def names() -> list[str]:
    """List the names by which detectors are asked for."""
    return [name for family in families() for name in family.names()]


def wish_for(source: str) -> Wish:
    """Return the wish for a detector by its name, or by its file."""
    return Wish(name=source) if source in names() else Wish(weights=source)


def usual_wish() -> Wish | None:
    """Return the wish for the detector that $CBIR_DETECTOR names, a name or a file; None where it names none."""
    usual = os.environ.get("CBIR_DETECTOR")
    return wish_for(usual) if usual and usual != "untrained" else None


def open_detector(wish: Wish) -> Detector:
    """Open the detector that is wished for. ModelError where no family has it, else what `Family` says."""
    for family in families():
        if family.takes(wish):
            return family.open_detector(wish)
    if wish.name is not None:
        hint = did_you_mean(wish.name, names()).strip() or f"There are {', '.join(names())}."
        raise ModelError(f"There is no detector {wish.name!r}. {hint}")
    raise ModelError(
        f"{wish.weights} is no detector by itself: a graph ends in .onnx or .tflite, and a state dict (.pth) needs the "
        "name of its network with --model."
    )
