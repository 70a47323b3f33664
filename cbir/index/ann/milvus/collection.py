"""The collection of one index in Milvus: its fields, its lines of rows, and what is asked of them.

A *line* is the rows of an index under one numbering: row i of line l has the key l * 2**40 + i. Each line has a
*claim*, a row with a note and no picture, which tells whose it is and which run wrote to it last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.errors import BackendError
from cbir.index.ann.milvus.address import MilvusAddress
from cbir.index.ann.milvus.connection import ANSWERING, TAKING, answering, connect
from cbir.index.ann.milvus.entry import TOKENS
from cbir.index.values import read_json, sha256, whole
from cbir.utils.printable import printable
from cbir.utils.vectors import Floats, Rows

#: The most rows that Milvus returns for one query.
MOST = 16_384

#: Rows that each line may number; the last number of a line is its claim's.
ROWS = 1 << 40

# Rows that are sent at a time, and that are asked for at a time with vectors: some MB.
_SENT, _ASKED = 500, 1000

#: The fields of vectors.
NEAR, FEATURE = "near", "feature"

_KEY, _GONE, _NOTE = "id", "gone", "note"
_LONGEST_NOTE, _MOST_CLAIMS = 512, 1000

# What an index of the field `near` is on a server, and how much of it is looked at for so many rows.
_HNSW = {"M": 16, "efConstruction": 200}
_LEAST_EF = 256


@dataclass(frozen=True)
class Claim:
    """The word of an index about a line of its rows.

    `head` is the token of the run whose commit was told last, 0 before the first; `pending` that of a run that has
    begun to write, 0 once its commit was told; `time` is when that was, in seconds since 1970.
    """

    line: int
    identity: str
    head: int
    pending: int
    time: int

    @classmethod
    def read(cls, line: int, note: object) -> Claim:
        """Read a claim's note; ValueError, TypeError or KeyError where it is none."""
        if not isinstance(note, str):
            raise TypeError("no note")
        record = read_json(note)
        numbers = (whole(record[key], 0, TOKENS) for key in ("head", "pending", "time"))
        return cls(line, sha256(record["identity"]), *numbers)

    @property
    def note(self) -> str:
        """The note that says so."""
        return json.dumps(
            {"identity": self.identity, "head": self.head, "pending": self.pending, "time": self.time}, sort_keys=True
        )


@dataclass(frozen=True)
class Sent:
    """Rows of a line as they are in Milvus, in no order: their numbers, when they went (0: not), and their vectors."""

    rows: Rows
    gone: Rows
    near: Floats
    features: Floats | None


class Collection:
    """A collection that is an index's, or is to be.

    `widths` are the numbers of its vectors by field: of `near`, and of `feature` where it has the features, too. Raises
    BackendError where Milvus cannot be reached, or the collection is another's.
    """

    def __init__(
        self, address: MilvusAddress, identity: str, widths: Mapping[str, int], *, may_make: bool = False
    ) -> None:
        self.address = address
        self.identity = identity
        self.widths = widths
        self._connection = connect(address, may_make=may_make)
        self._client = self._connection.client
        self._name = address.collection
        self._loaded = False
        self._numbers: np.dtype[np.floating] | None = None

    @property
    def exists(self) -> bool:
        """True if there is such a collection."""
        with answering(self.address):
            return bool(self._client.has_collection(self._name, timeout=ANSWERING))

    def make(self) -> None:
        """Make it, of halves where Milvus knows these: milvus-lite, and older servers, do not."""
        from pymilvus import DataType

        try:
            if self.address.is_lite:
                raise BackendError("milvus-lite has no halves")
            self._make(DataType.FLOAT16_VECTOR)
        except BackendError:
            self._make(DataType.FLOAT_VECTOR)

    def _make(self, vector: Any) -> None:
        from pymilvus import DataType

        with answering(self.address):
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field(_KEY, DataType.INT64, is_primary=True)
            schema.add_field(_GONE, DataType.INT64)
            schema.add_field(_NOTE, DataType.VARCHAR, max_length=_LONGEST_NOTE)
            indexes = self._client.prepare_index_params()
            for name, numbers in self.widths.items():
                schema.add_field(name, vector, dim=numbers)
                # features are asked for by their keys; but Milvus loads no vectors without an index
                is_near = name == NEAR and not self.address.is_lite
                kind, parameters = ("HNSW", _HNSW) if is_near else ("FLAT", {})
                indexes.add_index(name, index_type=kind, metric_type="COSINE", params=parameters)
            self._client.create_collection(
                self._name, schema=schema, index_params=indexes, consistency_level="Strong", timeout=TAKING
            )

    def check(self) -> None:
        """Raise BackendError where its fields are not those of an index with such vectors."""
        from pymilvus import DataType

        with answering(self.address):
            found = self._fields()
            widths = {name: int(found[name]["params"]["dim"]) for name in (NEAR, FEATURE) if name in found}
            is_ours = {_KEY, NEAR, _GONE, _NOTE} <= set(found) and found[_KEY]["type"] == DataType.INT64
        if not is_ours:
            raise self._foreign("was not made by cbir")
        if widths != self.widths:
            has, needs = (" and ".join(f"{one} of {of[one]:,}" for one in of) for of in (widths, self.widths))
            raise self._foreign(f"has vectors {has} numbers, and the index needs {needs}")

    def _fields(self) -> dict[str, Any]:
        """Return what Milvus says of the fields, by name."""
        fields = self._client.describe_collection(self._name, timeout=ANSWERING)["fields"]
        return {one["name"]: one for one in fields}

    def claims(self) -> dict[int, Claim]:
        """Return the claims of all lines, by line. BackendError where some are another index's."""
        self.load()
        with answering(self.address):
            found = self._client.query(
                self._name, filter=f'{_NOTE} != ""', output_fields=[_KEY, _NOTE], limit=_MOST_CLAIMS, timeout=ANSWERING
            )
            try:
                claims = {(line := int(one[_KEY]) // ROWS): Claim.read(line, one[_NOTE]) for one in found}
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                raise self._foreign("was not made by cbir") from error
            if not claims and self._client.query(
                self._name, filter=f"{_KEY} >= 0", output_fields=[_KEY], limit=1, timeout=ANSWERING
            ):
                raise self._foreign("was not made by cbir")
        if any(claim.identity != self.identity for claim in claims.values()):
            raise self._foreign("has the rows of another index")
        return claims

    def claim_of(self, line: int) -> Claim | None:
        """Return the claim of a line, None where it has none of this index."""
        self.load()
        with answering(self.address):
            found = self._client.query(
                self._name, ids=[_key_of_claim(line)], output_fields=[_KEY, _NOTE], timeout=ANSWERING
            )
            if not found:
                return None
            claim = Claim.read(line, found[0][_NOTE])
        return claim if claim.identity == self.identity else None

    def put(self, claim: Claim) -> None:
        """Write a claim, in place of the line's former one."""
        with answering(self.address):
            vectors = {name: self._stored(np.ones(width, dtype=np.float32)) for name, width in self.widths.items()}
            row = {_KEY: _key_of_claim(claim.line), _GONE: 0, _NOTE: claim.note, **vectors}
            self._client.upsert(self._name, [row], timeout=TAKING)

    def send(self, line: int, rows: Rows, near: Floats, features: Floats | None, gone: int = 0) -> None:
        """Send rows of a line, in place of what is there of them; `gone` tells in which state they went."""
        with answering(self.address):
            near, features = self._stored(near), None if features is None else self._stored(features)
        for start in range(0, len(rows), _SENT):
            data = [
                {
                    _KEY: line * ROWS + int(rows[place]),
                    NEAR: near[place],
                    _GONE: gone,
                    _NOTE: "",
                    **({} if features is None else {FEATURE: features[place]}),
                }
                for place in range(start, min(start + _SENT, len(rows)))
            ]
            with answering(self.address):
                self._client.upsert(self._name, data, timeout=TAKING)

    def forget(self, line: int, first: int = 0, *, with_claim: bool = False) -> None:
        """Delete the rows of a line from row `first` on."""
        last = ROWS if with_claim else ROWS - 1
        with answering(self.address):
            self._client.delete(
                self._name, filter=f"{_KEY} >= {line * ROWS + first} and {_KEY} < {line * ROWS + last}", timeout=TAKING
            )

    def drop(self) -> None:
        """Delete the collection."""
        with answering(self.address):
            self._client.drop_collection(self._name, timeout=TAKING)

    def keys(self, line: int, stop: int, which: str) -> Rows:
        """Return the numbers of a line's rows below `stop` to which a filter applies, ascending."""
        self.load()
        found, first = [np.empty(0, dtype=np.int64)], 0
        while first < stop:
            last = min(first + MOST, stop)
            with answering(self.address):
                wanted = f"{_KEY} >= {line * ROWS + first} and {_KEY} < {line * ROWS + last} and {which}"
                some = self._client.query(self._name, filter=wanted, output_fields=[_KEY], limit=MOST, timeout=TAKING)
                keys = np.asarray([whole(one[_KEY]) for one in some], dtype=np.int64) - line * ROWS
                found.append(np.unique(keys))  # milvus-lite tells some twice when it was killed
            first = last
        return np.concatenate(found)

    def sent(self, line: int, first: int, stop: int, *, features: bool = False) -> Iterator[Sent]:
        """Yield the rows [first, stop) of a line, some at a time."""
        for start, last in pairwise([*range(first, stop, _ASKED), stop]):
            wanted = f"{_KEY} >= {line * ROWS + start} and {_KEY} < {line * ROWS + last}"
            yield self._queried(line, {"filter": wanted, "limit": _ASKED}, near=True, features=features)

    def features(self, line: int, rows: Rows) -> tuple[Rows, Floats | None]:
        """Return those of some rows that are there, in no order, and their features."""
        parts = [
            self._queried(
                line, {"ids": (line * ROWS + rows[start : start + _ASKED]).tolist()}, near=False, features=True
            )
            for start in range(0, len(rows), _ASKED)
        ]
        if not parts:
            return np.empty(0, dtype=np.int64), None
        vectors = [part.features for part in parts if part.features is not None]
        return np.concatenate([part.rows for part in parts]), np.concatenate(vectors) if vectors else None

    def _queried(self, line: int, question: dict[str, Any], *, near: bool, features: bool) -> Sent:
        self.load()
        names = [_KEY, _GONE] + [NEAR] * near + [FEATURE] * features
        with answering(self.address):
            found = self._client.query(self._name, **question, output_fields=names, timeout=TAKING)
            rows = np.asarray([whole(one[_KEY]) for one in found], dtype=np.int64) - line * ROWS
            gone = np.asarray([whole(one[_GONE]) for one in found], dtype=np.int64)
            vectors = {
                name: np.stack([_floats(one[name]) for one in found]) if found else np.empty((0, 0), dtype=np.float32)
                for name in names[2:]
            }
        return Sent(rows, gone, vectors.get(NEAR, np.empty((0, 0), dtype=np.float32)), vectors.get(FEATURE))

    def nearest(self, line: int, stop: int, state: int, queries: Floats, count: int) -> list[Rows]:
        """Find, for each of some projected queries, about `count` of a line's rows below `stop` that count in a state.

        Best first.
        """
        self.load()
        here = f"{_KEY} >= {line * ROWS} and {_KEY} < {line * ROWS + stop}"
        limit = min(count, MOST)
        ef = {} if self.address.is_lite else {"params": {"ef": max(limit, _LEAST_EF)}}
        with answering(self.address):
            found = self._client.search(
                self._name,
                data=list(self._stored(queries)),
                anns_field=NEAR,
                filter=f"{here} and ({_GONE} == 0 or {_GONE} > {state})",
                limit=limit,
                output_fields=[_KEY],
                search_params={"metric_type": "COSINE", **ef},
                consistency_level="Strong",
                timeout=ANSWERING,
            )
            keys = [dict.fromkeys(whole(hit[_KEY]) for hit in hits) for hits in found]
            rows = [np.asarray([*some], dtype=np.int64) - line * ROWS for some in keys]
        if len(rows) != len(queries) or any(len(some) and not 0 <= some.min() <= some.max() < stop for some in rows):
            raise BackendError(f"Milvus at {self.address} answers with rows that the index does not have.")
        return rows

    def load(self) -> None:
        """Have Milvus load the collection, so that it can be asked."""
        if not self._loaded:
            with answering(self.address):
                self._client.load_collection(self._name, timeout=TAKING)
            self._loaded = True

    def _stored(self, vectors: Floats) -> npt.NDArray[np.floating]:
        """Return vectors in the numbers that the collection has: pymilvus takes no others."""
        if self._numbers is None:
            from pymilvus import DataType

            kind = DataType.FLOAT_VECTOR if self.address.is_lite else self._fields()[NEAR]["type"]
            self._numbers = np.dtype(np.float16 if kind == DataType.FLOAT16_VECTOR else np.float32)
        return vectors.astype(self._numbers)

    def _foreign(self, problem: str) -> BackendError:
        return BackendError(
            f"The collection {printable(self._name)} in Milvus at {printable(self.address.server)} {problem}: name "
            "another with --candidates, or drop it by other means if nobody needs it."
        )


def _key_of_claim(line: int) -> int:
    return line * ROWS + ROWS - 1


def _floats(value: Any) -> Floats:
    """Return a vector as pymilvus gives it: bytes of halves, or numbers."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], bytes):
        value = value[0]
    halves = np.frombuffer(value, dtype=np.float16) if isinstance(value, bytes) else np.asarray(value)
    return halves.astype(np.float32)
