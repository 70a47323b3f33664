"""Pictures in tar shards, as WebDataset has them: each is a folder, its members are files in it.

A shard is listed by its headers alone, and what is listed is kept in the user's cache for as long as the shard is the
same; pictures are read as parts of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tarfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from cbir.errors import CbirError
from cbir.images.formats.first_bytes import HEAD_BYTES
from cbir.images.patterns import Patterns
from cbir.images.scan import FoundFile, Scan
from cbir.images.sources.address import base_of, is_address
from cbir.images.sources.objects import looked, sifted
from cbir.images.sources.patience import IncompleteError, SourceError, side_by_side
from cbir.images.sources.store import Told, number_of, store_for
from cbir.utils.cache import cache_folder, keep, kept
from cbir.utils.opening import open_regular

# Shards of a root, members of a shard, and bytes of what is kept of one in the cache, at most.
_MOST_SHARDS, _MOST_MEMBERS, _MOST_BYTES = 1_000_000, 10_000_000, 1 << 30

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


class Member(NamedTuple):
    """A file in a shard: where its bytes begin, how many they are, and its time in seconds since 1970."""

    name: str
    offset: int
    size: int
    mtime: int


class Shards:
    """The shards that a pattern names: `shards/{000000..000127}.tar`."""

    def __init__(self, root: str) -> None:
        self._base = base_of(root)
        self._shards = expand(root)
        self._listed: dict[str, dict[str, Member]] = {}
        self._lock = threading.Lock()

    def scan(self, exclude: Patterns | None = None) -> Scan:
        """List the pictures in all shards. Raises OSError where none can be read."""
        unreadable: list[str] = []
        errors: list[OSError] = []

        def files() -> Iterator[FoundFile]:
            for shard, listed in zip(self._shards, side_by_side(self._list_safely, self._shards), strict=False):
                name = self._name(shard)
                if isinstance(listed, OSError):
                    unreadable.append(name)
                    errors.append(listed)
                    continue
                token, members = listed
                for member in members.values():
                    number = number_of(f"{token} {member.offset}")
                    yield FoundFile(f"{name}/{member.name}", member.size, member.mtime * 10**9, number)

        found = sifted(files(), exclude, ())
        found.unreadable = sorted(unreadable)
        if len(errors) == len(self._shards):
            raise errors[0]
        return found

    def look(self, paths: Sequence[str]) -> Iterator[bool | OSError]:
        """Read the first bytes of files, and tell whether they are pictures'."""
        return side_by_side(lambda path: looked(self.head, path), paths)

    def length(self, path: str) -> int:
        """Return a file's length in bytes. Raises OSError."""
        return self._member(path)[1].size

    def head(self, path: str) -> bytes:
        """Read a file's first bytes. Raises OSError."""
        shard, member = self._member(path)
        return _part(shard, member.offset, min(HEAD_BYTES, member.size))

    def read(self, path: str, size: int | None, most: int) -> bytes:
        """Read a file. Raises OSError, also where not all of it comes, or the shard has become another."""
        shard, member = self._member(path)
        if size is not None and size != member.size:
            raise IncompleteError(member.size, size)
        content = _part(shard, member.offset, member.size)
        if len(content) != member.size:
            raise IncompleteError(len(content), member.size)
        return content

    def _name(self, shard: str) -> str:
        return shard[len(self._base) + 1 :] if shard.startswith(f"{self._base}/") else shard

    def _member(self, path: str) -> tuple[str, Member]:
        end = path.find(".tar/") + len(".tar")
        name, inside = path[:end], path[end + 1 :]
        shard = name if self._base == "." else f"{self._base}/{name}"
        with self._lock:
            listed = self._listed.get(shard)
        if listed is None:
            if shard not in self._shards:
                raise FileNotFoundError(2, "there is no such shard")
            listed = self._list(shard)[1]
        if inside not in listed:
            raise FileNotFoundError(2, "there is no such file in its shard")
        return shard, listed[inside]

    def _list_safely(self, shard: str) -> tuple[str, dict[str, Member]] | OSError:
        try:
            return self._list(shard)
        except OSError as error:
            return error

    def _list(self, shard: str) -> tuple[str, dict[str, Member]]:
        """Return what tells a shard from another one of its name, and its members by name; the last of each counts."""
        told = _info(shard)
        token = f"{told.token} {told.size} {0 if told.token else told.mtime_ns}"
        members = _kept(shard, token)
        if members is None:
            with _open(shard) as file:
                members = list(_headers(file))
            _keep(shard, token, members)
        listed = {member.name: member for member in members}
        with self._lock:
            self._listed[shard] = listed
        return token, listed


def expand(pattern: str) -> list[str]:
    """Return the names that a pattern with `{000..127}` or `{a,b}` stands for. SourceError where they are too many."""
    names = [""]
    at = 0
    for found in _RANGE.finditer(pattern):
        if found[3] is not None:
            parts: Sequence[str] = found[3].split(",")
        else:
            first, last = int(found[1][:18]), int(found[2][:18])
            if last - first >= _MOST_SHARDS:
                raise SourceError(f"its pattern names more than {_MOST_SHARDS:,} shards")
            parts = [f"{number:0{len(found[1])}}" for number in range(first, last + 1)]
        if len(names) * len(parts) > _MOST_SHARDS:
            raise SourceError(f"its pattern names more than {_MOST_SHARDS:,} shards")
        names = [f"{name}{pattern[at : found.start()]}{part}" for name in names for part in parts]
        at = found.end()
    return [name + pattern[at:] for name in names]


def _headers(file: IO[bytes]) -> Iterator[Member]:
    """Yield the regular files of a tar. SourceError where it is none."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for count, one in enumerate(tar):
                if count >= _MOST_MEMBERS:
                    raise SourceError(f"it has more than {_MOST_MEMBERS:,} members")
                tar.members = []  # type: ignore[attr-defined]  # which would keep all of them
                if one.isreg() and not one.issparse():
                    yield Member(one.name.removeprefix("./"), one.offset_data, one.size, int(one.mtime))
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise SourceError(f"it is no tar without compression ({error})") from error


def _open(shard: str) -> IO[bytes]:
    return store_for(shard).open(shard) if is_address(shard) else open_regular(shard)


def _part(shard: str, start: int, length: int) -> bytes:
    if not length:
        return b""
    if is_address(shard):
        return store_for(shard).part(shard, start, start + length)
    with open_regular(shard) as file:
        file.seek(start)
        return file.read(length)


def _info(shard: str) -> Told:
    if is_address(shard):
        return store_for(shard).info(shard)
    status = os.stat(shard)
    return Told(status.st_size, status.st_mtime_ns, 0)


def _kept(shard: str, token: str) -> list[Member] | None:
    """Return the members of a shard as they were listed before; None where that is not known, or it has changed."""
    try:
        content = kept(_cache_file(shard), _MOST_BYTES)
        known_token, rows = json.loads(content) if content is not None else ("", [])
        if known_token != token:
            return None
        members = [Member(*row) for row in rows]
    except (CbirError, ValueError, TypeError, RecursionError):
        return None
    is_sound = all(
        isinstance(one.name, str) and all(type(number) is int and number >= 0 for number in one[1:3]) for one in members
    )
    return members if is_sound else None


def _keep(shard: str, token: str, members: Sequence[Member]) -> None:
    with contextlib.suppress(CbirError, OSError):  # which only costs time
        keep(_cache_file(shard), json.dumps([token, members]).encode("ascii"))


def _cache_file(shard: str) -> Path:
    name = os.path.abspath(shard) if not is_address(shard) else shard
    return cache_folder("shards") / f"{hashlib.sha256(os.fsencode(name)).hexdigest()}.json"
