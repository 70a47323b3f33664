"""Output of `cbir learn`: what was learnt and from what, and the notions of an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column

if TYPE_CHECKING:
    from cbir.learn.ask import Asked
    from cbir.learn.pictures import Picture
    from cbir.learn.run import Learnt
    from cbir.notions.store import NotionInfo

FORMATS = ("table", "json")

#: Classes, likely wrong labels and contradictions that a table lists; JSON has all.
_MOST = 20


def write_learnt(learnt: Learnt, format_: str) -> None:
    """Write what was learnt, or refused, with likely wrong labels and contradictions."""
    if format_ == "json":
        output.write_json(learnt.to_dict())
        return
    from cbir.notions.notion import PARTS

    if learnt.notion is not None:
        output.say(f"{learnt.name}: {learnt.verdict}, {learnt.why}")
    outside = f", {learnt.outside:,} of them not in the index" if learnt.outside else ""
    what = "parts of pictures" if learnt.of == PARTS else "pictures"
    output.say(f"{learnt.labels:,} labelled {what}{outside}, {len(learnt.classes):,} {_things(learnt)}.")
    if learnt.kind == "classes":
        rows = [(name, f"{count:,}") for name, count in learnt.classes.items()]
        _write([Column("class", cuts="end"), Column("labels", right=True)], rows, "")
    doubtful = [(_place(one.picture), one.given, one.likelier, f"{one.margin:.2f}") for one in learnt.doubtful]
    columns = [Column("picture", cuts="start"), Column("given", cuts="end"), Column("likelier", cuts="end")]
    _write([*columns, Column("by", right=True)], doubtful, "Labels that are likely wrong:")
    said = [(output.short_path(path), ", ".join(one.said)) for one in learnt.contradictions for path in one.paths]
    _write([Column("picture", cuts="start"), Column("said", cuts="end")], said, "Labels that contradict each other:")


def write_asked(asked: Sequence[Asked], format_: str | None) -> None:
    """Write pictures that are asked for: paths alone (None), a table with the reasons, or JSON."""
    if format_ == "json":
        output.write_json([{"path": str(one.path), "likely": list(one.likely), "why": one.why} for one in asked])
    elif format_ == "table":
        rows = [(one.why, output.short_path(one.path)) for one in asked]
        table.write([Column("why", cuts="end"), Column("path", cuts="start")], rows)
    else:
        output.write_paths([one.path for one in asked], null=False)


def write_notions(notions: Sequence[NotionInfo], format_: str, index: str) -> None:
    """Write the notions of an index."""
    if format_ == "json":
        output.write_json([asdict(notion) for notion in notions])
        return
    if not notions:
        output.say(f"The index {index} has no notion yet: `cbir learn NAME --from FOLDER ...` makes one.")
        return
    from cbir.notions.notion import PICTURES

    columns = [
        Column("notion"),
        Column("from"),
        Column("quality", right=True),
        Column("state"),
        Column("labels", right=True),
        Column("classes", cuts="end"),
    ]
    rows = [
        (
            one.name,
            one.kind if one.of == PICTURES else f"{one.kind} of {one.of}",
            f"{one.quality:.2f}",
            "stale" if one.stale else one.verdict,
            f"{one.labels:,}",
            f"{len(one.classes):,} groups" if one.kind == "pairs" else ", ".join(one.classes),
        )
        for one in notions
    ]
    table.write(columns, rows)


def _place(picture: Picture) -> str:
    box = "" if picture.box is None else f" {','.join(map(str, picture.box))}"
    return output.short_path(picture.path) + box


def _things(learnt: Learnt) -> str:
    one = "group" if learnt.kind == "pairs" else "class"
    return one if len(learnt.classes) == 1 else {"group": "groups", "class": "classes"}[one]


def _write(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> None:
    """Write the first rows of a table below its title, and how many there are more; nothing where there are none."""
    if not rows:
        return
    output.say()
    if title:
        output.say(title)
    table.write(columns, rows[:_MOST])
    if len(rows) > _MOST:
        output.say(f"… and {len(rows) - _MOST:,} more: --format json lists all.")
