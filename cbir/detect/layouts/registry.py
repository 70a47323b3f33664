"""The table of layouts: a kind is a file beside this one and a line here."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, cast

from cbir.detect.layouts import end_to_end, nanodet, yolo, yolox
from cbir.detect.layouts.layout import Layout, LayoutFamily
from cbir.utils.vectors import Floats

# In the order in which they are asked: those that are told by their grids of cells first.
_FAMILIES: Mapping[str, tuple[LayoutFamily, type]] = {
    "nanodet": (nanodet, nanodet.NanoDet),
    "yolox": (yolox, yolox.YoloX),
    "yolo": (yolo, yolo.Yolo),
    "end_to_end": (end_to_end, end_to_end.EndToEnd),
}

# Of any number in a layout.
_MOST = 1 << 16


def recognise(outputs: Sequence[Floats], side: tuple[int, int], names: int | None) -> Layout | None:
    """Return the layout of outputs for an input of that width and height, as of `LayoutFamily`, if one is known."""
    for family, _ in _FAMILIES.values():
        if (layout := family.recognise(outputs, side, names)) is not None:
            return layout
    return None


def to_json(layout: Layout) -> dict[str, Any]:
    """Return a JSON object; `from_json` reads it back."""
    kind = next(name for name, (_, made) in _FAMILIES.items() if isinstance(layout, made))
    return {"kind": kind, **asdict(cast(Any, layout))}


def from_json(record: dict[str, Any]) -> Layout:
    """Read what `to_json` wrote; ValueError or KeyError where it is something else."""
    made = _FAMILIES[record["kind"]][1]
    values = {field.name: record[field.name] for field in fields(made)}
    for field in fields(made):
        value = values[field.name]
        if type(value).__name__ != field.type or not 0 <= int(value) <= _MOST:
            raise ValueError(f"impossible layout: {reprlib.repr(record)}")
    return cast(Layout, made(**values))
