"""Addresses of collections in Milvus, as users write them and as `meta.json` keeps them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from cbir.errors import CbirError
from cbir.index.entries import LITE, StoreEntry

#: The variable with a token, or with `user:password`, where the address has none.
TOKEN = "MILVUS_TOKEN"

_SERVERS = {"milvus": "http", "milvus+https": "https"}
_PORT = 19530
_COLLECTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")

_FORMS = "milvus://HOST:PORT/COLLECTION, milvus+https://HOST:PORT/COLLECTION or milvus+lite:FILE.db"


_TOKENS: dict[str, str] = {}


@dataclass(frozen=True)
class MilvusAddress:
    """A server, or a file that milvus-lite opens in this process, and a collection there; "" for one of the index's own
    name.

    `server` is what `meta.json` may say of it; `token` never stands there.
    """

    server: str
    collection: str = ""
    token: str = ""

    @classmethod
    def parse(cls, text: str) -> MilvusAddress:
        """Read an address as a user writes it. CbirError, which repeats no password, where it is none."""
        if text.startswith(LITE):
            path = text.removeprefix(LITE)
            if not path.strip("/"):
                raise CbirError(f"{text} names no file: {LITE}FILE.db does.")
            return cls(LITE + os.path.abspath(os.path.expanduser(path)))
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or _PORT
        except ValueError:
            parts, host, port = urlsplit(""), None, 0
        query = parse_qs(parts.query)
        collection = parts.path.strip("/")
        if parts.scheme not in _SERVERS or not host or set(query) - {"token"} or parts.fragment:
            raise CbirError(f"That is no address of a collection in Milvus: write {_FORMS}.")
        if collection and not _COLLECTION.fullmatch(collection):
            raise CbirError(f"Milvus has no collections called {collection}: letters, digits and _ make a name.")
        user = ":".join(unquote(one) for one in (parts.username, parts.password) if one)
        shown = f"[{host}]" if ":" in host else host
        return cls(f"{parts.scheme}://{shown}:{port}", collection, query.get("token", [user])[0])

    @classmethod
    def of(cls, store: StoreEntry) -> MilvusAddress:
        """Return the address that an index names, with the token of the environment."""
        return cls(store.server, store.collection, _TOKENS.get(store.server) or os.environ.get(TOKEN, ""))

    def use_token(self) -> None:
        """Let this process, as long as it runs, use the address's token for its server."""
        if self.token:
            _TOKENS[self.server] = self.token

    @property
    def is_lite(self) -> bool:
        """True for a file of milvus-lite."""
        return self.server.startswith(LITE)

    @property
    def file(self) -> Path:
        """The file of milvus-lite, which is a folder."""
        return Path(self.server.removeprefix(LITE))

    @property
    def uri(self) -> str:
        """The server's address as pymilvus takes it."""
        scheme, _, rest = self.server.partition("://")
        return f"{_SERVERS[scheme]}://{rest}"

    def __str__(self) -> str:
        return self.server if self.is_lite else f"{self.server}/{self.collection}"
