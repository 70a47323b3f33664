"""Choosing the index directory that a folder goes into."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from cbir.errors import CbirError, IndexConflictError, reason_of
from cbir.images.sources.address import Address, Location, is_address, root_of
from cbir.images.sources.named import is_named, remember
from cbir.index.format import META, is_writers, load_meta
from cbir.index.home import home, index_directory, name_for, the_only_directory
from cbir.index.lock import HOLDER, LOCK


@dataclass(frozen=True)
class Target:
    """A folder, or another source, and the index directory that it goes into."""

    directory: Path
    root: Location
    is_new: bool

    @property
    def name(self) -> str:
        """The index's name, for people."""
        return self.directory.name


def choose_target(folder: Location | None, name: str | None = None, root: Location | None = None) -> Target:
    """Find the index directory for a folder, or the folder of an index.

    Without `folder` the index's own root counts, without `name` the folder's; `root` says where the pictures of
    an existing index are now. Raises IndexConflictError where the index belongs to another folder.
    """
    if name is not None:
        directory = index_directory(name)
    elif folder is not None:
        directory = home() / name_for(_absolute(folder))
    else:
        directory = the_only_directory()
    if not (directory / META).exists():
        check_free(directory)
        new_root = root or folder
        if new_root is None:
            raise CbirError(f"There is no index in {directory}: name the folder to make it of.")
        _check_root(new_root)
        return Target(directory, named(new_root), is_new=True)
    text = load_meta(directory).root
    # told here, since workers elsewhere do not know what was named on this machine
    current = root_of(text, is_chosen=is_named(text))
    if root is not None:
        return Target(directory, named(root), is_new=False)
    if folder is not None and not _same_folder(folder, current):
        raise IndexConflictError(
            f"The index {directory.name} belongs to {current}. For an index of {folder} choose another name with "
            f"--index NAME; if the pictures have moved there, say so with --index {directory.name} --root {folder}."
        )
    return Target(directory, current, is_new=False)


def _absolute(folder: Location) -> Location:
    """`folder` without its relative parts, but with its links: a link may be there because disks change."""
    if not isinstance(folder, Address):
        return Path(os.path.abspath(folder.expanduser()))
    return folder if is_address(folder.root) else replace(folder, root=os.path.abspath(folder.root))


def named(root: Location) -> Location:
    """Return a root that the user named without its relative parts, and note that the user did."""
    root = _absolute(root)
    if isinstance(root, Address):
        remember(root.root)
    return root


def _same_folder(one: Location, other: Location) -> bool:
    if isinstance(one, Address) or isinstance(other, Address):
        return _absolute(one) == other
    return os.path.realpath(one.expanduser()) == os.path.realpath(other)


def _check_root(root: Location) -> None:
    """Refuse what no index can be made of. Other sources are asked when they are listed."""
    if isinstance(root, Address):
        return
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except FileNotFoundError as error:
        raise CbirError(f"{root} is not there: name a folder of pictures.") from error
    except (OSError, ValueError) as error:
        raise CbirError(f"{root} cannot be looked at ({reason_of(error)}): name a folder of pictures.") from error
    if not is_folder:
        raise CbirError(f"{root} is a file: name a folder of pictures.")


def check_free(directory: Path) -> None:
    """Refuse to make an index among files of something else: a photo folder named by mistake, say."""
    names = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    # a run that was killed before its first commit leaves files without a meta.json
    if any(not is_writers(name) for name in names - {LOCK, HOLDER}):
        raise IndexConflictError(
            f"{directory} is no index but has files in it: give the new index another name or an empty folder."
        )
    if directory.exists() and not directory.is_dir():
        raise IndexConflictError(f"{directory} is a file: give the new index another name.")
