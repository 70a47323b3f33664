"""The content of a sheet or a page: cards, each a picture and facts about it, in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cbir.images.previews import Source
from cbir.images.regions import Box
from cbir.images.sources.address import Address, Location, link_to


@dataclass(frozen=True)
class Card:
    """One picture.

    `name` is what it is called, as the system has it: it may hold anything. `source` is None where there is no
    picture, as of a query by words. `figures` are pairs of a label and a value, such as ("score", "0.912"), the most
    important first: a sheet has room for one. `tags` are words for it. `boxes` are the parts of the picture that
    matter; of one with a `crop` only that part is shown. `mark` says of a match whether it ought to be there ("right",
    "wrong"), of a part that it was "missed", of a query's picture that matches are to be "unlike" it. Where the source
    is another picture that was drawn of it, `of` is the one that it is of.
    """

    name: str
    source: Source | None
    rank: int | None = None
    figures: Sequence[tuple[str, str]] = ()
    tags: Sequence[str] = ()
    boxes: tuple[Box, ...] = ()
    mark: str = ""
    crop: Box | None = None
    of: Location | None = None

    @property
    def path(self) -> Path | None:
        """The file, if there is one."""
        place = self.of or self.source
        return place if isinstance(place, Path) else None

    @property
    def link(self) -> Location | None:
        """The place that a browser can open, if there is one: a file, or an address of the web."""
        place = self.of or self.source
        return link_to(place) if isinstance(place, (Path, Address)) else None


@dataclass(frozen=True)
class Group:
    """Pictures that belong together: a query's (`leads`) and its matches (`cards`), or some that are alike.

    `title` is what the group is called; it may hold anything. `role` is what the leads are. `problem` is why there are
    no cards, a whole sentence; `notes` are short sentences about the group.
    """

    title: str
    cards: Sequence[Card]
    leads: Sequence[Card] = ()
    role: str = "query"
    problem: str = ""
    notes: Sequence[str] = ()

    @property
    def all_cards(self) -> list[Card]:
        """The leads, then the cards."""
        return [*self.leads, *self.cards]
