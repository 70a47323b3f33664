"""Addresses: pictures, and roots of pictures, that are no files of this system.

Nothing here opens a connection, or imports what does.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from cbir.errors import CbirError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

#: The endings of roots that are tar shards, and of addresses that are lists.
SHARDS, LIST = ".tar", ".txt"


@dataclass(frozen=True)
class Address:
    """A picture in a root that is no folder: `path` is relative to the root, with forward slashes, empty for the root
    itself.

    It has as much of a `Path` as those need who show and compare pictures' places. `size` is its length in bytes where
    a listing told it; `is_chosen` tells whether this process was told the root by its user, or by an index, which may
    be a stranger's.
    """

    root: str
    path: str = ""
    size: int | None = field(default=None, compare=False)
    is_chosen: bool = field(default=False, compare=False)

    def __truediv__(self, path: str) -> Address:
        return replace(self, path=f"{self.path}/{path}" if self.path else path, size=None)

    def at(self, path: str, size: int) -> Address:
        """Return a picture of a root, of a length that a listing told."""
        return replace(self, path=path, size=size)

    def __lt__(self, other: Address) -> bool:
        return (self.root, self.path) < (other.root, other.path)

    def __str__(self) -> str:
        if not self.path:
            return self.root
        if not is_list(self.root):
            return f"{base_of(self.root)}/{self.path}"
        scheme, colon, rest = self.path.partition(":/")
        if colon and _SCHEME.fullmatch(f"{scheme}://"):
            return f"/{rest}" if scheme == "file" else f"{scheme}://{rest}"
        return f"{self.root.rpartition('/')[0] or '.'}/{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path, or of the root."""
        return PurePosixPath(self.path or self.root).name

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Address:
        """The folder that it is in; the root's is the root."""
        above = PurePosixPath(self.path).parent.as_posix()
        return replace(self, path="" if above == "." else above, size=None)

    def relative_to(self, root: Location) -> PurePosixPath:
        """Return the path as seen from its root. ValueError for any other."""
        if not self.is_relative_to(root):
            raise ValueError(f"{self} is not below {root}")
        return PurePosixPath(self.path)

    def is_relative_to(self, root: Location) -> bool:
        """Tell whether that is its root."""
        return isinstance(root, Address) and not root.path and root.root == self.root

    def absolute(self) -> Address:
        """Return the address itself, which depends on no current folder."""
        return self


#: A file of this system, or a picture elsewhere; of roots, a folder or another source.
Location = Path | Address


def root_of(text: str, *, is_chosen: bool = False) -> Location:
    """Return the root that a text means: a folder of this system, unless it is an address, tar shards or a list.

    Tar shards end in `.tar`, and lists in `.txt`; a folder may have any name.
    """
    if is_address(text):
        return Address(text.rstrip("/"), is_chosen=is_chosen)
    is_other = text.endswith((SHARDS, LIST)) and not os.path.isdir(text)
    return Address(text, is_chosen=is_chosen) if is_other else Path(text)


def is_address(text: str) -> bool:
    """Tell whether a text begins as an address does: `s3://`, say."""
    return _SCHEME.match(text) is not None


def is_shards(root: str) -> bool:
    """Tell whether a root that is no folder is one or more tar shards."""
    return root.endswith(SHARDS)


def is_list(root: str) -> bool:
    """Tell whether a root that is no folder is a list of pictures."""
    return root.endswith(LIST)


def base_of(root: str) -> str:
    """Return what paths of a root are shown below: the folder that all its shards are in, or the root itself."""
    if not is_shards(root):
        return root
    return root.partition("{")[0].rpartition("/")[0] or "."


def is_there(location: Location) -> bool:
    """Tell whether a picture is where it was. Of one elsewhere that is believed: it costs a request each to ask."""
    return isinstance(location, Address) or os.path.exists(location)


def root_exists(root: Location) -> bool | None:
    """Tell whether a root is there now; None of one on another machine, which is not asked."""
    if not isinstance(root, Address):
        return os.path.isdir(root)
    if is_address(root.root):
        return None
    return os.path.isdir(base_of(root.root)) if is_shards(root.root) else os.path.isfile(root.root)


def is_same_place(one: Location, other: Location) -> bool:
    """Tell whether two pictures, or roots, are one, whatever links lead there."""
    if isinstance(one, Address) or isinstance(other, Address):
        return str(one) == str(other)
    return os.path.realpath(one) == os.path.realpath(other)


def below(location: Location, root: Location) -> PurePath:
    """Return a place as seen from a root. ValueError where it is not below it."""
    if isinstance(location, Address):
        return location.relative_to(root)
    if isinstance(root, Address):
        raise ValueError(f"{location} is not below {root}")
    return location.relative_to(root)


def picture_at(text: str) -> Address:
    """Return the one picture at an address that its user named."""
    folder, _, name = text.rpartition("/")
    return Address(folder, name, is_chosen=True)


def picture_named(place: str | Location) -> Location:
    """Return the picture that a user named: a file, unless it is an address."""
    if not isinstance(place, str):
        return place
    return picture_at(place) if is_address(place) else Path(place)


def folder_of(root: Location) -> Path:
    """Return the folder that a root is. CbirError where it is another source, which has no files here."""
    if isinstance(root, Address):
        raise CbirError(f"{root} is no folder of this system, and its pictures are no files here.")
    return root
