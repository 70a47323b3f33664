"""The pages of `cbir learn`: labels that are likely wrong, and pictures that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cbir.cli.terminal import output
from cbir.images.sources.address import Location, below
from cbir.index.store import Index
from cbir.learn.ask import Asked
from cbir.learn.run import Learnt
from cbir.report.card import Card, Group
from cbir.report.page import write_page

#: Labels that are likely wrong on a page, the most doubtful ones.
MOST_DOUBTFUL = 20


def write_doubtful(learnt: Learnt, index: Index, html: Path, *, force: bool) -> None:
    """Write a page of the most doubtful labels. CbirError where it cannot be written."""
    some = learnt.doubtful[:MOST_DOUBTFUL]
    cards = [
        Card(
            _name(one.picture.path, index),
            one.picture.path,
            rank,
            [("given", one.given), ("likelier", one.likelier), ("by", f"{one.margin:.2f}")],
        )
        for rank, one in enumerate(some, start=1)
    ]
    problem = "" if cards else "None: the others contradict no label clearly."
    more = f", of {len(learnt.doubtful):,}," if len(learnt.doubtful) > len(some) else ""
    _write(
        Group("Labels that are likely wrong", cards, problem=problem),
        index,
        html,
        force=force,
        heading=f"{learnt.name}: labels that are likely wrong",
        about=f"Those{more} of which {learnt.labels:,} labels of {index.directory.name} say something else, the most "
        "doubtful first. Nothing was changed.",
    )


def write_asked(asked: Sequence[Asked], name: str, index: Index, html: Path, *, force: bool) -> None:
    """Write a page of pictures that are asked for. CbirError where it cannot be written."""
    cards = []
    for rank, one in enumerate(asked, start=1):
        cards.append(Card(_name(one.path, index), one.path, rank, [("", one.why)]))
    how = " --add" if any(entry.name == name for entry in index.meta.notions) else ""
    _write(
        Group("Pictures to label next", cards, problem="" if cards else "All pictures have a label."),
        index,
        html,
        force=force,
        heading=f"{name}: pictures to label next",
        about=f"Pictures of {index.directory.name} whose labels would teach most, the first one most. "
        f"`cbir learn {name} --labels FILE{how}` takes them.",
    )


def _write(group: Group, index: Index, html: Path, *, force: bool, heading: str, about: str) -> None:
    write_page(
        "search.html",
        [group],
        html,
        advice="Ask for fewer.",
        force=force,
        heading=heading,
        about=[about],
        alt="Picture",
    )


def _name(path: Location, index: Index) -> str:
    try:
        return str(below(path, index.root))
    except ValueError:
        return output.short_path(path)
