"""Candidates from Milvus: a backend that keeps projected rows in a collection, and asks it for those near a query."""

from __future__ import annotations

import io
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbir.errors import BackendError
from cbir.index.ann.base import USUAL
from cbir.index.ann.milvus.address import MilvusAddress
from cbir.index.ann.milvus.collection import FEATURE, MOST, NEAR, Claim, Collection
from cbir.index.ann.milvus.entry import FILES, LINES, REMEDY, SETTINGS, TOKENS
from cbir.index.ann.milvus.sending import Sender
from cbir.index.ann.projection import DIRECTIONS, principal_directions, project, read_projection
from cbir.index.entries import MILVUS, CandidatesEntry, StoreEntry
from cbir.index.exact import RowSource, exact_first
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.index.newfiles import NewFiles

# Rows by which the recall is measured.
_PROBES = 100
_SEED = 1

# After so many seconds, a line of which no commit was told was left by a run that died.
_ABANDONED = 24 * 3600

# The share of the rows that it has which Milvus is to return at least: an approximate index may miss some.
_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class MilvusCandidates:
    """The first `rows` rows of an index in one state, as they are in a collection; `live` of them count."""

    rows: int
    live: int
    line: int
    state: int
    collection: Collection
    projection: Floats
    most: int = MOST

    def search(self, queries: Floats, count: int) -> list[Rows]:
        found = self.collection.nearest(self.line, self.rows, self.state, project(queries, self.projection), count)
        if any(len(rows) < _LEAST_SHARE * min(count, self.live, MOST) for rows in found):
            raise _lacking(self.collection.address)
        return found

    def search_direction(self, direction: Floats, count: int) -> Rows:
        return self.search((self.projection[0] + direction)[np.newaxis], count)[0]

    def check(self) -> None:
        """Nothing: each search finds out whether its rows are there."""


class Milvus:
    """The backend of an index whose rows are in the collection that a `store` names.

    It has candidates of an index of any size, and follows each change: somebody may search by it alone.
    """

    name = MILVUS
    files = FILES
    settings = SETTINGS

    def __init__(self, store: StoreEntry) -> None:
        self.store = store
        self._used: Collection | None = None  # which keeps the connection open for the next step

    def is_needed(self, source: RowSource, entry: CandidatesEntry | None) -> bool:
        """Tell whether rows have come or gone that Milvus does not know of."""
        if not source.valid.any():
            return False
        return entry is None or (entry.rows, entry.settings["live"]) != (source.rows, int(source.valid.sum()))

    def build(
        self,
        source: RowSource,
        new: NewFiles,
        number: int,
        former: CandidatesEntry | None = None,
        *,
        mend: bool = False,
    ) -> CandidatesEntry:
        """Send what Milvus lacks of `source`: under the line of the `former` entry, or all under a new one.

        A new line begins where rows have other numbers, where there are twice as many as when the directions were
        learnt, and where somebody else wrote to the line, which is a copy of the index. With `mend`, rows that are
        there are compared, too.
        """
        collection = self._collection(source.dimension, may_make=True)
        claims = self._claims_of(collection)
        claim = self._own(claims)
        if former is None or claim is None or claim.line != former.settings["line"] or not _fits(former, source):
            return self._begin(collection, claims, source, new, number)
        return self._go_on(collection, claim, source, new.directory, former, mend=mend)

    def _own(self, claims: dict[int, Claim]) -> Claim | None:
        """Return the claim of the index's last line, if nobody else has written to that since."""
        claim = claims.get(self.store.lines[-1]) if self.store.lines else None
        return claim if claim is not None and self.store.token in (claim.head, claim.pending) else None

    def _begin(
        self, collection: Collection, claims: dict[int, Claim], source: RowSource, new: NewFiles, number: int
    ) -> CandidatesEntry:
        projection = principal_directions(source)
        line, token = _unused(claims), _token()
        collection.put(Claim(line, self.store.identity, 0, token, int(time.time())))
        valid = np.flatnonzero(source.valid)
        Sender(collection, line, source, projection).send(valid)
        found = MilvusCandidates(source.rows, len(valid), line, 1, collection, projection)
        recall = _measure(source, found)
        buffer = io.BytesIO()
        np.save(buffer, projection, allow_pickle=False)
        file = new.write(f"projection-{number:06}.npy", [buffer.getvalue()])
        self._make_sure(collection, line, token)
        own = self._own(claims)
        settings = {"line": line, "state": 1, "token": token, "live": len(valid), "learnt": source.rows}
        settings["former"] = 0 if own is None else own.line
        return CandidatesEntry(source.rows, {"projection": file}, settings, recall, self.name)

    def _go_on(
        self,
        collection: Collection,
        claim: Claim,
        source: RowSource,
        directory: Path,
        former: CandidatesEntry,
        *,
        mend: bool,
    ) -> CandidatesEntry:
        projection = read_projection(directory, former.files["projection"], source.dimension)
        token, state = _token(), former.settings["state"] + 1
        sender = Sender(collection, claim.line, source, projection)
        if claim.pending not in (0, self.store.token):
            sender.take_back(former.rows, former.settings["state"])
        collection.put(replace(claim, head=self.store.token, pending=token, time=int(time.time())))
        if mend:
            sender.mend(former.rows)
        live = int(source.valid.sum())
        if mend or int(source.valid[: former.rows].sum()) != former.settings["live"]:
            sender.bring_up(former.rows, state)
        sender.send(former.rows + np.flatnonzero(source.valid[former.rows :]))
        self._make_sure(collection, claim.line, token)
        settings = {**former.settings, "state": state, "token": token, "live": live}
        return replace(former, rows=source.rows, settings=settings)

    def committed(self, entry: CandidatesEntry, dimension: int) -> None:
        """Note in Milvus that a commit names an entry, and delete lines that nobody can need any more.

        Those are the line before the former one, and what runs left that died a day ago. The former line stays, for
        those who search its state just now. The backend's `store` is that of the state before.
        """
        collection = self._collection(dimension)
        claims, now = collection.claims(), int(time.time())
        line, former = entry.settings["line"], entry.settings["former"]
        if line in claims:
            collection.put(replace(claims[line], head=entry.settings["token"], pending=0, time=now))
        before = set(self.store.lines) if former else set()
        abandoned = {one.line for one in claims.values() if one.head == 0 and now - one.time > _ABANDONED}
        for one in sorted((before | abandoned) & set(claims) - {line, former}):
            collection.forget(one, with_claim=True)

    def leave(self) -> None:
        """Delete the rows of an index that does not want them any more; the collection, too, if it has no others."""
        collection = self._collection(None)
        if not collection.exists:
            return
        claims = collection.claims()
        own = set(self.store.lines) if self._own(claims) is not None or not claims else set()
        if set(claims) <= own:
            collection.drop()
            return
        for line in sorted(own):
            collection.forget(line, with_claim=True)

    def prepare(self, dimension: int) -> None:
        """Raise BackendError where the collection cannot be reached or is another's; make it if it is not there."""
        self._claims_of(self._collection(dimension, may_make=True))

    def open(
        self, directory: Path, entry: CandidatesEntry, dimension: int, valid: npt.NDArray[np.bool_]
    ) -> MilvusCandidates:
        """Open them. IndexDamagedError where the projection is wrong, BackendError where Milvus has not these rows."""
        projection = read_projection(directory, entry.files["projection"], dimension)
        collection = self.opened(entry, dimension)
        settings = entry.settings
        return MilvusCandidates(
            entry.rows, settings["live"], settings["line"], settings["state"], collection, projection
        )

    def opened(self, entry: CandidatesEntry, dimension: int) -> Collection:
        """Return the collection that has an entry's rows. BackendError where it cannot be reached or has them not."""
        collection = self._collection(dimension)
        if not collection.exists or collection.claim_of(entry.settings["line"]) is None:
            raise _lacking(collection.address)
        return collection

    def find_problem(self, directory: Path, entry: CandidatesEntry, source: RowSource) -> str | None:
        """Say what is wrong with the rows that Milvus has, if anything: their number, and samples of them."""
        collection = self.opened(entry, source.dimension)
        line, rows, state = entry.settings["line"], entry.rows, entry.settings["state"]
        present = collection.keys(line, rows, f"(gone == 0 or gone > {state})")
        wanted = np.flatnonzero(source.valid[:rows])
        lacking, more = len(np.setdiff1d(wanted, present)), len(present) - entry.settings["live"]
        if lacking or more > 0:
            what = f"lacks {lacking:,} of {len(wanted):,}" if lacking else f"has {more:,} more than the"
            return f"Milvus at {collection.address} {what} rows of the index. {REMEDY}"
        projection = read_projection(directory, entry.files["projection"], source.dimension)
        sender = Sender(collection, line, source, projection)
        starts = np.unique(np.linspace(0, max(rows - 100, 0), 10).astype(np.int64)).tolist()
        wrong = sum(len(sender.wrong(start, min(start + 100, rows))) for start in starts)
        return f"Milvus at {collection.address} has other rows than the index. {REMEDY}" if wrong else None

    def _collection(self, dimension: int | None, *, may_make: bool = False) -> Collection:
        widths = {}
        if dimension is not None:
            widths = {NEAR: min(DIRECTIONS, dimension)} | ({FEATURE: dimension} if self.store.whole else {})
        self._used = Collection(MilvusAddress.of(self.store), self.store.identity, widths, may_make=may_make)
        return self._used

    def _claims_of(self, collection: Collection) -> dict[int, Claim]:
        """Return the claims of a collection, which is made if it is not there."""
        if not collection.exists:
            collection.make()
            return {}
        collection.check()
        return collection.claims()

    def _make_sure(self, collection: Collection, line: int, token: int) -> None:
        """Raise BackendError where another run has written to the line meanwhile: a copy of the index, at once."""
        claim = collection.claim_of(line)
        if claim is None or claim.pending != token:
            raise BackendError(
                f"Another copy of the index wrote to {collection.address} at the same time: run `cbir index` again."
            )


def _lacking(address: MilvusAddress) -> BackendError:
    return BackendError(f"Milvus at {address} lacks rows of the index. {REMEDY}")


def _fits(former: CandidatesEntry, source: RowSource) -> bool:
    """Tell whether an index has so few new rows that their directions are still those that were learnt."""
    learnt = former.settings["learnt"]
    return former.rows <= source.rows < max(2 * learnt, learnt + USUAL)


def _unused(claims: dict[int, Claim]) -> int:
    line = 1 + secrets.randbelow(LINES - 1)
    return line if line not in claims else _unused(claims)


def _token() -> int:
    return 1 + secrets.randbelow(TOKENS)


def _measure(source: RowSource, candidates: MilvusCandidates) -> float:
    """Return the share of the exact first ten that candidates bring, on sampled rows."""
    rows = np.flatnonzero(source.valid)
    wanted = min(10, len(rows))
    probes = np.random.default_rng(_SEED).choice(rows, min(_PROBES, len(rows)), replace=False)
    queries = source.features(probes)
    exact, _ = exact_first(source, queries, wanted)
    found = candidates.search(queries, USUAL)
    hits = sum(len(set(its.tolist()) & set(near.tolist())) for its, near in zip(exact, found, strict=True))
    return hits / exact.size
