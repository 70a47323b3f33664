"""Rows in Milvus that an index is to have, or not to have any more, as somebody asks."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cbir.errors import BackendError, CbirError, IndexConflictError
from cbir.images.sources.named import is_named, remember
from cbir.index.block import is_here
from cbir.index.entries import ANNOY, StoreEntry
from cbir.index.format import META, Meta, load_meta
from cbir.index.writer import Writer

if TYPE_CHECKING:
    from cbir.index.ann.milvus.address import MilvusAddress

logger = logging.getLogger("cbir")

#: Where features may be.
BLOCKS, MILVUS = "blocks", "milvus"


def keep_rows(directory: Path, meta: Meta, candidates: str | None, rows: str | None) -> Meta:
    """Return the state that says where its candidates, and its rows, are to be; the index has it, if there is one.

    `candidates` is `annoy` or the address of a collection in Milvus, which is made, and which the user names by it;
    `rows` is BLOCKS or MILVUS; None leaves each as it is. BackendError where Milvus cannot be reached, CbirError where
    one goes not with the other.
    """
    wanted = _wanted(meta, candidates, rows)
    if wanted is None and meta.store is None:
        return meta
    if wanted is not None and wanted.is_same_place(meta.store):
        return meta
    former, meta = meta.store, meta.but(store=wanted, candidates=None)
    if wanted is not None:
        from cbir.index.ann.milvus.backend import Milvus

        Milvus(wanted).prepare(meta.dimension)
    if (directory / META).exists():
        Writer(directory, load_meta(directory)).replace(meta)
    if former is not None:
        leave(former)
    return load_meta(directory) if (directory / META).exists() else meta


def leave(store: StoreEntry) -> None:
    """Take the rows of an index out of a collection; where that cannot be, a line says that they stay."""
    from cbir.index.ann.milvus.backend import Milvus

    try:
        Milvus(store).leave()
    except BackendError as error:
        logger.warning("%s What the index had there stays: the collection %s.", error, store.collection)


def refuse_without_features(directory: Path) -> None:
    """Raise IndexConflictError where an index has its features in Milvus only: it is a copy, for searching."""
    meta = load_meta(directory)
    if meta.store is not None and meta.store.whole and not all(is_here(directory, block) for block in meta.blocks):
        raise IndexConflictError(
            f"{directory} has no features, which are in Milvus: it is a copy for searching. Run `cbir index` where the "
            "features are, or add --repair to read all pictures again here."
        )


def _wanted(meta: Meta, candidates: str | None, rows: str | None) -> StoreEntry | None:
    """Return the collection that an index is to be in, None for none."""
    if candidates == ANNOY or (candidates is None and meta.store is None):
        if rows == MILVUS:
            raise CbirError("Rows in Milvus need its address: name it with --candidates milvus://HOST:PORT/COLLECTION.")
        return None
    from cbir.index.ann.milvus.address import MilvusAddress

    whole = rows == MILVUS if rows is not None else meta.store is not None and meta.store.whole
    if candidates is None:
        assert meta.store is not None
        if whole == meta.store.whole:
            return meta.store
        address, is_known = MilvusAddress(meta.store.server), is_named(str(meta.store))
    else:
        address, is_known = MilvusAddress.parse(candidates), True
        address.use_token()
    entry = _entry(address, meta, whole)
    if is_known:
        remember(str(entry))
    return entry


def _entry(address: MilvusAddress, meta: Meta, whole: bool) -> StoreEntry:
    """Return the entry of an address; a collection that it does not name is called by the index and what it has."""
    identity = _identity(meta)
    name = address.collection or f"cbir_{identity[:16]}_{meta.dimension}{'_rows' if whole else ''}"
    return StoreEntry(address.server, name, identity, whole)


def _identity(meta: Meta) -> str:
    """Return what Milvus knows an index by: the same for a run that goes on where a first one died, and for copies."""
    if meta.store is not None:
        return meta.store.identity
    return hashlib.sha256(f"{meta.created}\0{meta.root}".encode("utf-8", "surrogatepass")).hexdigest()
