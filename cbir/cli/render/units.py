"""The output of `cbir units`: tables, JSON, a sheet, a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.images.sources.address import Location

if TYPE_CHECKING:
    from cbir.images.regions import Box
    from cbir.index.store import Index

FORMATS = ("table", "json", "jsonl")


@dataclass(frozen=True)
class Found:
    """A picture that excites a unit: its name in the index, how much, and where; None where nobody has looked."""

    name: str
    value: float
    box: Box | None


@dataclass(frozen=True)
class Shown:
    """A unit with the pictures that excite it most; of a channel that a picture excites, how much, and where."""

    name: str
    record: dict[str, Any]
    found: Sequence[Found]
    above: float | None = None
    box: Box | None = None


def write_units(
    units: Sequence[Shown],
    index: Index,
    format_: str,
    *,
    sheet: Path | None,
    html: Path | None,
    force: bool,
    picture: Location | None,
) -> None:
    """Print units, and draw them where that is asked for. CbirError where a file cannot be written."""
    records = [_record(unit, index) for unit in units]
    if format_ == "json":
        output.write_json(records)
    elif format_ == "jsonl":
        for record in records:
            output.write_json_line(record)
    else:
        _write_table(units)
    if sheet is None and html is None:
        return
    from cbir.report.card import Card, Group
    from cbir.report.page import write_page
    from cbir.report.sheet import write_sheet

    groups = []
    for unit in units:
        cards = [
            Card(one.name, index.root / one.name, rank, [("", f"{one.value:.3f}")], boxes=(one.box,) if one.box else ())
            for rank, one in enumerate(unit.found, start=1)
        ]
        notes = [] if unit.above is None else [f"{unit.above:.1f} standard deviations above the index's mean"]
        leads = []
        if picture is not None:
            leads = [Card(str(picture), picture, boxes=(unit.box,) if unit.box else ())]
        problem = "" if cards else "No picture of the index excites it."
        groups.append(Group(unit.name, cards, leads, role="picture", problem=problem, notes=notes))
    if sheet is not None:
        write_sheet(groups, sheet, force=force)
    if html is not None:
        write_page(
            "search.html",
            groups,
            html,
            force=force,
            heading=f"What excites units of {index.model['name']}",
            navigation="Units",
            about=[
                f"The pictures of {index.directory.name} that excite each most, and the place that does. A channel's "
                "number is how much of the picture's feature it makes up, of length 1; a class's is its probability.",
            ],
            alt="Picture",
        )


def _record(unit: Shown, index: Index) -> dict[str, Any]:
    record = {**unit.record, "index": str(index.directory), "model": index.model["name"]}
    if unit.above is not None:
        record["above"] = round(unit.above, 3)
        record["box"] = None if unit.box is None else list(unit.box)
    record["pictures"] = [
        {
            "rank": rank,
            "path": str(index.root / one.name),
            "value": round(one.value, 6),
            "box": None if one.box is None else list(one.box),
        }
        for rank, one in enumerate(unit.found, start=1)
    ]
    return record


def _write_table(units: Sequence[Shown]) -> None:
    rows = [
        [unit.name, str(rank), f"{one.value:.3f}", "" if one.box is None else ",".join(map(str, one.box)), one.name]
        for unit in units
        for rank, one in enumerate(unit.found, start=1)
    ]
    columns = [
        table.Column("unit"),
        table.Column("rank", right=True),
        table.Column("value", right=True),
        table.Column("box", optional=1),
        table.Column("path", cuts="start", least=16),
    ]
    if rows:
        table.write(columns, rows)
    for unit in units:
        if not unit.found:
            output.tell(f"No picture of the index excites {unit.name}.")
