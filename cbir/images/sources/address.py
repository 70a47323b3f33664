"""Addresses: pictures, and roots of pictures, that are no files of this system.

Nothing here opens a connection, or imports what does.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import unquote_to_bytes

from cbir.errors import CbirError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WEB = re.compile(r"https?://[^/?#]*", re.IGNORECASE)

# The user and password before a host, also where a password has characters that should have been escaped.
_PASSWORD = re.compile(r"(?<=://)(?:[^/?#\s]*@|[^/?#@:\s]*:(?!\d*[/?#])[^@\s]*@)")

#: The endings of roots that are tar shards, and of addresses that are lists.
SHARDS, LIST = ".tar", ".txt"


@dataclass(frozen=True)
class Address:
    """A picture in a root that is no folder: `path` is relative to the root, with forward slashes, empty for the root
    itself.

    It has as much of a `Path` as those need who show and compare pictures' places. `size` is its length in bytes where
    a listing told it; `is_chosen` tells whether this process was told the root by its user, or by an index or a list,
    which may be a stranger's. With `is_public` a picture of the web is to be on the public internet.

    As text a picture has no password: it is shown, and written into records and pages.
    """

    root: str
    path: str = ""
    size: int | None = field(default=None, compare=False)
    is_chosen: bool = field(default=False, compare=False)
    is_public: bool = field(default=False, compare=False)

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
            return without_password(f"{base_of(self.root)}/{self.path}")
        scheme, colon, rest = self.path.partition(":/")
        if colon and _SCHEME.fullmatch(f"{scheme}://"):
            return f"/{rest}" if scheme == "file" else without_password(f"{scheme}://{rest}")
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


def is_web(root: str) -> bool:
    """Tell whether a root is a server of the web, or a folder of one, each of whose pictures has its own address."""
    web = _WEB.match(root)
    return web is not None and (web.end() == len(root) or not (is_shards(root) or is_list(root)))


def without_password(text: str) -> str:
    """Return a text without the user and password that stand before the host of an address in it."""
    return _PASSWORD.sub("", text)


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


def picture_at(text: str, *, is_chosen: bool = True, allow_private: bool = False) -> Address:
    """Return the one picture at an address that its user named, or one of the web that a list names.

    Others that only a list names (`is_chosen` is false) are opened where their user has named a root of them.
    """
    if web := _WEB.match(text):
        path = text[web.end() :].removeprefix("/") or "."
        return Address(web[0], path, is_chosen=True, is_public=not allow_private)
    folder, _, name = text.rpartition("/")
    return Address(folder, name, is_chosen=is_chosen)


def picture_named(place: str | Location, *, is_chosen: bool = True, allow_private: bool = False) -> Location:
    """Return the picture that a user named: a file, unless it is an address, as of `picture_at`."""
    if not isinstance(place, str):
        return place
    if place[:7].lower() == "file://":
        path = place[7:]
        return Path(os.fsdecode(unquote_to_bytes(path[max(path.find("/"), 0) :])))
    is_elsewhere = is_address(place)
    return picture_at(place, is_chosen=is_chosen, allow_private=allow_private) if is_elsewhere else Path(place)


def link_to(picture: Location) -> Location | None:
    """Return the place that a browser can open, a file or an address of the web; None of any other address."""
    return None if isinstance(picture, Address) and not str(picture).startswith(("http://", "https://")) else picture


def named_after(picture: Location) -> Path:
    """Return the path that files made of a picture are named after: its own, or of one elsewhere its address."""
    return Path(str(picture))


def folder_of(root: Location) -> Path:
    """Return the folder that a root is. CbirError where it is another source, which has no files here."""
    if isinstance(root, Address):
        raise CbirError(f"{root} is no folder of this system, and its pictures are no files here.")
    return root
