"""Facts of what `meta.json` says of candidates in Milvus, which are read with every index: this loads nothing heavy."""

from __future__ import annotations

from types import MappingProxyType

from cbir.index.values import LARGEST

#: Lines that a collection may number.
LINES = 1 << 22

#: The tokens by which runs know what they wrote.
TOKENS = 1 << 60

#: The keys of the files, each with what their names begin with.
FILES = MappingProxyType({"projection": "projection"})

#: The keys of whole numbers that are remembered, each with the least and the most that it may be.
SETTINGS = MappingProxyType(
    {
        "line": (1, LINES - 1),
        "state": (1, LARGEST),
        "token": (1, TOKENS),
        "live": (0, LARGEST),
        "learnt": (1, LARGEST),
        "former": (0, LINES - 1),
    }
)

#: Says how rows get there again.
REMEDY = "`cbir index --repair` sends them again; of a copy of an index, take a newer one."
