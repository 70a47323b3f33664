"""Beginning an index: its first state, and its directory, which is made, locked, and taken away if none came to be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cbir.backbones.backbone import Backbone
from cbir.errors import IndexWriteError, reason_of
from cbir.images.sources.address import Location
from cbir.index.format import FORMAT, FORMAT_OF_SEVERAL, META, Meta
from cbir.index.home import make_folder_of
from cbir.index.lock import LOCK, exclusive, now
from cbir.index.rights import Rights
from cbir.utils.stopping import at_forced_end


def first_state(backbone: Backbone, root: Location) -> Meta:
    """Return the state of an index of pictures in `root` that has no rows yet."""
    moment = now()
    return Meta(
        backbone.to_json(),
        backbone.dimension,
        str(root),
        created=moment,
        updated=moment,
        complete=False,
        format=FORMAT if backbone.is_plain else FORMAT_OF_SEVERAL,
    )


@contextlib.contextmanager
def opened_for_writing(directory: Path, rights: Rights, wait: float = 0) -> Iterator[None]:
    """Make the directory of an index and lock it while the block runs. Raises what `index.lock.exclusive` does.

    A directory that no index came to be in is removed at the end.
    """
    try:
        make_folder_of(directory)
        rights.make_folder(directory)
    except OSError as error:
        raise IndexWriteError(f"Cannot make {directory} ({reason_of(error)}).") from error
    try:
        with at_forced_end(lambda: _remove_if_unused(directory)), exclusive(directory, wait, rights):
            yield
    finally:
        _remove_if_unused(directory)


def _remove_if_unused(directory: Path) -> None:
    """Take away the directory of an index that never came to be."""
    if (directory / META).exists():
        return
    with contextlib.suppress(OSError):
        (directory / LOCK).unlink(missing_ok=True)
        directory.rmdir()
