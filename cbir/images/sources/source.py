"""The source of an index's pictures: a folder, or what an address opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cbir.images.patterns import Patterns
from cbir.images.scan import FoundFile, Look, Scan, look_in, scan
from cbir.images.sources.address import Address, Location
from cbir.images.sources.opened import opened


class Source(Protocol):
    """Tells which pictures there are."""

    def scan(self, exclude: Patterns | None = None) -> Scan:
        """Find the pictures, without opening any. Raises OSError where the source itself cannot be listed."""

    @property
    def look(self) -> Look:
        """The function that looks into files by their first bytes."""


@dataclass(frozen=True)
class Folder:
    """A folder of this system, with all that is below it."""

    root: Path

    def scan(self, exclude: Patterns | None = None) -> Scan:
        """Walk the folder."""
        return scan(self.root, exclude)

    @property
    def look(self) -> Look:
        """The function that opens files below the folder."""
        return look_in(self.root)


def source_of(root: Location) -> Source:
    """Return the source that a root is. Raises OSError where what it needs is not installed, or it is not trusted."""
    return opened(root) if isinstance(root, Address) else Folder(root)


def place_of(root: Location, file: FoundFile) -> Location:
    """Return where a file of a source is, of the length that was listed."""
    return root.at(file.path, file.size) if isinstance(root, Address) else root / file.path
