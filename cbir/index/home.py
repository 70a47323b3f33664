"""The folders that indexes live in, and the choice of one of them."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import platformdirs

from cbir.errors import CbirError, IndexNotFoundError
from cbir.images.sources.address import Address, Location, base_of, is_list, is_shards
from cbir.utils.cache import make_private, users_folder

#: The file that makes a directory an index: its one commit point.
META = "meta.json"

#: The folder for indexes that a checkout has.
CHECKOUT_HOME = Path("indexes")


def home() -> Path:
    """Return the folder of named indexes: `$CBIR_HOME`, else `./indexes` if it exists, else the user's data folder."""
    chosen = os.environ.get("CBIR_HOME")
    if chosen:
        return Path(chosen).expanduser()
    if os.path.isdir(CHECKOUT_HOME):
        return CHECKOUT_HOME
    folder = users_folder(platformdirs.user_data_path)
    if folder is None:
        raise CbirError(
            "Nothing says where your home folder is, and so where indexes are: set $CBIR_HOME or $HOME, or name an "
            "index by its path with --index /PATH/TO/INDEX."
        )
    return folder / "indexes"


def make_folder_of(directory: Path) -> None:
    """Make the folder that an index is to be in; where it is the user's data folder, only for the user to look into."""
    folder = users_folder(platformdirs.user_data_path)
    if folder is not None and directory.parent == folder / "indexes":
        make_private(directory.parent)
    else:
        directory.parent.mkdir(parents=True, exist_ok=True)


def index_directory(name: str) -> Path:
    """Find the directory of `--index NAME`: a path if it has a slash or is an index here, else a name in `home`."""
    separators = {"/", os.sep, os.altsep} - {None}
    if any(separator in name for separator in separators if separator) or os.path.isfile(os.path.join(name, META)):
        return Path(name).expanduser()
    return home() / name


def find_directories(names: Sequence[str]) -> list[Path]:
    """Find the directories of several indexes, each once, in order: names or paths, or patterns of either.

    IndexNotFoundError where a pattern matches none.
    """
    found: dict[str, Path] = {}
    for name in names:
        directory = index_directory(name)
        if not any(char in name for char in "*?[") or os.path.lexists(directory):
            matched = [directory]
        elif directory.parent == home():
            matched = [one for one in all_directories() if fnmatch.fnmatchcase(one.name, name)]
        else:
            paths = sorted(map(Path, glob.glob(str(directory))))
            matched = [path for path in paths if os.path.isfile(path / META)]
        if not matched:
            raise IndexNotFoundError(f"No index is called {name} ({directory}).")
        for one in matched:
            found.setdefault(os.path.realpath(one), one)
    return list(found.values())


def name_for(root: Location) -> str:
    """Return the name that the index of a folder gets: the folder's own, or the bucket's, the list's, the shards'."""
    own = root.name
    if isinstance(root, Address) and (is_shards(root.root) or is_list(root.root)):
        own = (
            root.name.partition("{")[0].removesuffix(root.suffix).rstrip("-_.")
            or PurePosixPath(base_of(root.root)).name
        )
    name = re.sub(r"[\x00-\x1f/\\]", "_", own).strip() or "root"
    return name if not name.startswith(".") else f"_{name[1:]}"


def all_directories() -> list[Path]:
    """Return the directories of all indexes in `home`, by name."""
    folder = home()
    if not os.path.isdir(folder):
        return []
    return sorted(path for path in folder.iterdir() if os.path.isfile(path / META))


def the_only_directory() -> Path:
    """Return the index that is meant where none is named: the only one there is.

    Raises IndexNotFoundError that lists them where there are several, or says how to make the first.
    """
    directories = all_directories()
    if not directories:
        raise IndexNotFoundError(f"There is no index in {home()} yet: make one with `cbir index FOLDER`.")
    if len(directories) > 1:
        names = ", ".join(path.name for path in directories)
        raise IndexNotFoundError(f"There are {len(directories)} indexes: say which one with --index ({names}).")
    return directories[0]
