"""The output of `cbir models --fields`: the stages of a network, and which pixels their cells see."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cbir.cli.terminal import output, table

if TYPE_CHECKING:
    from cbir.backbones.backbone import Backbone


def write_fields(name: str, *, as_json: bool) -> None:
    """Print the stages of a network. ModelError where there is none of that name, or it has no maps."""
    from cbir.engines.fields import stage_fields
    from cbir.utils.packages import has_torch

    backbone, is_trained = _described(name)
    fields = stage_fields(backbone)
    effective: list[tuple[int | None, int | None]] = [(None, None)] * len(fields)
    is_measured = is_trained and has_torch() and backbone.first.runs_in_torch
    if is_measured:
        from cbir.engines.effective import effective_fields

        effective = [(one.half, one.most) for one in effective_fields(backbone, fields)]
    records: list[dict[str, Any]] = [
        {
            "stage": field.number,
            "channels": field.channels,
            "size": field.size,
            "jump": field.jump,
            "field": field.field,
            "start": field.start,
            "sees_means": field.sees_means,
            "half": half,
            "most": most,
        }
        for field, (half, most) in zip(fields, effective, strict=True)
    ]
    if as_json:
        output.write_json(records)
        return
    columns = [table.Column(column, right=True) for column in ("stage", "channels", "size", "jump", "field", "start")]
    names = ["stage", "channels", "size", "jump", "field", "start"]
    if is_measured:
        columns += [table.Column("half", right=True), table.Column("nine tenths", right=True)]
        names += ["half", "most"]
    table.write(columns, [[_shown(record, one) for one in names] for record in records])
    output.say()
    for sentence in _notes(records, is_measured=is_measured, is_trained=is_trained):
        output.say(sentence)


def _shown(record: dict[str, Any], name: str) -> str:
    value = record[name]
    if value is None:
        return "" if name == "start" else "far" if name == "field" else "more"
    mark = "+" if name == "field" and record["sees_means"] else ""
    return f"{value:g}{mark}"


def _notes(records: list[dict[str, Any]], *, is_measured: bool, is_trained: bool) -> list[str]:
    said = ["Sizes are cells along a side; jump, field and start are pixels: docs/fields.md."]
    if any(record["sees_means"] for record in records):
        said.append("+: a cell also knows means over the whole picture.")
    if any(record["field"] is None for record in records):
        said.append("far: cells see far places, by attention or by ways that are not followed.")
    if not is_measured:
        reason = "the weights on this machine" if not is_trained else "torch"
        said.append(f"How much of its field a cell looks at is measured with {reason} only.")
    return said


def _described(name: str) -> tuple[Backbone, bool]:
    """Describe a network with its own weights if they are on this machine, else with random ones; and say which."""
    from cbir.backbones.backbone import describe, known_of
    from cbir.backbones.families import split, stored_name
    from cbir.backbones.weights import WeightsFile, hub_file
    from cbir.errors import ModelError, WeightsError

    name = split(name)[0]  # maps are the first one's
    weights = known_of(stored_name(name)).weights
    if not isinstance(weights, WeightsFile) or os.path.isfile(hub_file(weights)):
        try:
            return describe(name), True
        except (ModelError, WeightsError):  # of a package that is not installed, say; what has no network fails again
            pass
    return describe(name, "untrained"), False
