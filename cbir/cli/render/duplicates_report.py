"""The contact sheet and page of `cbir duplicates`: the picture to keep, and those that are the same."""

from __future__ import annotations

from pathlib import Path

from cbir.cli.terminal import output
from cbir.duplicates.find import Duplicates, Group, Member
from cbir.images.sources.address import Location, below
from cbir.index.store import Index
from cbir.report import card
from cbir.report.page import write_page
from cbir.report.sheet import write_sheet

_ADVICE = "Ask for fewer, with --exact or a higher --min-score."


def write_duplicates(
    found: Duplicates, index: Index, *, sheet: Path | None, html: Path | None, force: bool = False
) -> None:
    """Show all groups on a sheet, a page or both. CbirError where one cannot be written."""
    if sheet is None and html is None:
        return
    groups = [_group(group, index.root) for group in found.groups]
    if not groups:
        groups = [card.Group("No duplicates", [], problem=f"There are none in {index.directory.name}.")]
    if sheet is not None:
        write_sheet(groups, sheet, advice=_ADVICE, force=force)
    if html is not None:
        further = sum(len(group.members) - 1 for group in found.groups)
        write_page(
            "search.html",
            groups,
            html,
            advice=_ADVICE,
            force=force,
            heading=f"Duplicates in {index.directory.name}",
            navigation="Groups",
            about=[
                f"{len(found.groups):,} groups in {len(index):,} pictures below {index.root}. "
                f"The first picture of each is the one to keep; there are {further:,} others. Nothing was deleted."
            ],
        )


def _group(group: Group, root: Location) -> card.Group:
    kept, *others = group.members
    cards = [_card(member, root, rank) for rank, member in enumerate(others, 1)]
    lead = _card(kept, root)
    notes = [] if group.label is None else [group.label]
    return card.Group(f"{len(group.members)} × {lead.name}", cards, [lead], role="keep", notes=notes)


def _card(member: Member, root: Location, rank: int | None = None) -> card.Card:
    name = str(below(member.path, root))
    figures = [] if rank is None else [("score", "exact" if member.is_exact else f"{member.score:.3f}")]
    if member.width and member.height:
        figures.append(("pixels", f"{member.width} × {member.height}"))
    figures.append(("file", output.human_bytes(member.bytes)))
    return card.Card(name, member.path, rank, figures)
