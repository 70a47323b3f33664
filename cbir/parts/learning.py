"""The whitening of an index's parts: learnt on its own pictures where there are enough, else what cbir has."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cbir.backbones.backbone import Backbone
from cbir.errors import CbirError
from cbir.extract.extractor import Extractor, Watch
from cbir.images.large import Large
from cbir.images.sources.address import Location
from cbir.index.datafile import DataFile
from cbir.index.entries import PartsEntry
from cbir.index.store import Index
from cbir.parts.maker import start_means
from cbir.parts.proposals import WINDOWS, Proposer, checked
from cbir.parts.reader import Means
from cbir.parts.whitening import MOST_BYTES, Learner, Whitening, general, shipped_content

logger = logging.getLogger("cbir")

#: Pictures that a whitening is learnt on; more make it hardly better. Where there are fewer than ENOUGH, cbir's own is
#: taken, if it has one for the network.
SAMPLE, ENOUGH = 200, 200

#: An index that has grown so many times since it learnt from fewer than ENOUGH would do well to learn anew.
_GROWN = 10


def general_name(backbone: Backbone) -> str | None:
    """Return what an index calls the whitening that comes with cbir; None where the network has none."""
    return None if general(backbone) is None else _shipped_digest(backbone.first.name)


@functools.cache
def _shipped_digest(network: str) -> str | None:
    # each query asks whether its index's parts can be compared with
    content = shipped_content(network)
    return None if content is None else hashlib.sha256(content).hexdigest()


class Learnt(NamedTuple):
    """A whitening as a file has it, and the means of windows that it was learnt on, by the pictures' SHA-256."""

    content: bytes
    means: dict[str, Means]


def learn(files: Sequence[Location], extractor: Extractor, watch: Watch, proposer: Proposer = WINDOWS) -> Learnt | None:
    """Learn a whitening on the parts of a sample of pictures; None where none of them can be read.

    The same files give the same sample. ModelError where the network has no maps of what is where in a picture.
    """
    chosen = sorted(files, key=lambda path: hashlib.sha256(os.fsencode(str(path))).digest())[:SAMPLE]
    engine, learner = extractor.engine, Learner()
    under_way: deque[tuple[str, Callable[[], Means]]] = deque()
    known: dict[str, Means] = {}

    def add() -> None:
        content, finish = under_way.popleft()
        means = finish()
        learner.add(means)
        known[content] = means

    logger.info("Learning from %s pictures what parts of them have in common …", f"{len(chosen):,}")
    for content, viewed in watch(extractor.views(chosen, Large()), len(chosen)):
        if viewed is not None and content not in known:
            if len(under_way) == engine.depth:
                add()
            arrays = viewed.arrays[Large.name]
            regions = checked(proposer, viewed.size, arrays["pixels"])
            under_way.append((content, start_means(regions, arrays, engine)))
    while under_way:
        add()
    if not learner.pictures:
        return None
    return Learnt(learner.learn(general(extractor.backbone)).to_bytes(), known)


def check_parts(index: Index, backbone: Backbone) -> None:
    """CbirError, which says what to do, where an index has no parts, or such as cannot be compared with any more."""
    entry, name = index.meta.parts, index.directory.name
    if entry is None or entry.whitening is None:
        raise CbirError(f"The index {name} has no parts: `cbir index --index {name} --parts` reads them.")
    if entry.file is None and entry.whitening != general_name(backbone):
        raise CbirError(
            f"The parts of the index {name} were made by another cbir: `cbir index --index {name} --no-parts`, then "
            "the same with --parts, reads them again."
        )


def whitening_of_index(index: Index, backbone: Backbone) -> Whitening:
    """Return the whitening of an index's parts. Raises IndexDamagedError, and what `check_parts` does."""
    check_parts(index, backbone)
    entry = index.meta.parts
    assert entry is not None
    if entry.file is None:
        known = general(backbone)
        assert known is not None
        return known
    file = DataFile(index.directory, entry.file)
    if file.size > MOST_BYTES:
        raise file.damaged(f"is damaged (its {file.size:,} bytes are more than those of a whitening)")
    data = file.read(0, file.size)
    try:
        if hashlib.sha256(data).hexdigest() != entry.whitening:
            raise ValueError("it is not what was written")
        return Whitening.from_bytes(data)
    except ValueError as error:
        raise file.damaged(f"is damaged ({error})") from error


def warn_of_growth(entry: PartsEntry, pictures: int, name: str) -> None:
    """A line where the index of that name learnt from few pictures and has many now."""
    if entry.file is not None and entry.pictures < ENOUGH and pictures >= _GROWN * entry.pictures:
        logger.warning(
            "The parts of %s were made when it had %s pictures; with --no-parts, then --parts, `cbir index --index %s` "
            "learns from those that it has now, and finds better.",
            name,
            f"{entry.pictures:,}",
            name,
        )
