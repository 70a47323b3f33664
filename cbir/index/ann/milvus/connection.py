"""Connections to Milvus, opened when they are first needed: the package for them takes a second or two to load."""

from __future__ import annotations

import logging
import os
import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cbir.errors import BackendError, CbirError, reason_of
from cbir.images.sources.named import VARIABLE, is_named
from cbir.index.ann.milvus.address import MilvusAddress
from cbir.utils.printable import printable

#: Seconds that a server may take to be reached, to answer, and to take rows.
CONNECTING, ANSWERING, TAKING = 5.0, 10.0, 60.0

_INSTALL = "install cbir[milvus] with pip"

# Characters of a server's own words that are told.
_LONGEST = 200


class Connection:
    """An open connection; what milvus-lite started for it ends when nobody uses the connection any more."""

    def __init__(self, address: MilvusAddress, *, may_make: bool) -> None:
        """Open it; a file of milvus-lite is only made where it `may_make` one. BackendError where that cannot be."""
        make_client = _client_class()
        started: list[Any] = []
        with answering(address):
            if address.is_lite:
                started, port = _start_lite(address, may_make=may_make)
                # a proxy that the environment names has no business between this process and itself
                options = {"grpc_options": {"grpc.enable_http_proxy": 0}}
                uri, token = f"http://127.0.0.1:{port}", ""
            else:
                options, uri, token = {}, address.uri, address.token
            try:
                self.client: Any = make_client(uri, token=token, timeout=CONNECTING, dedicated=True, **options)
            except BaseException:
                _end([], started)
                raise
        weakref.finalize(self, _end, [self.client], started)


_OPEN: weakref.WeakValueDictionary[tuple[str, str], Connection] = weakref.WeakValueDictionary()
_OPENING = threading.Lock()


def connect(address: MilvusAddress, *, may_make: bool = False) -> Connection:
    """Return a connection to a server, the one that is in use where there is one.

    BackendError where it cannot be opened, or nobody on this machine has named the address: an index may be a
    stranger's, and whatever it names is not asked.
    """
    if not is_named(str(address)):
        raise BackendError(
            f"The index says that rows of it are in Milvus at {printable(str(address))}, which nobody named here yet. "
            f"If you know it, let ${VARIABLE} name it (`export {VARIABLE}='{printable(str(address))}'`), or say "
            "`cbir index --index … --candidates …` where its pictures are."
        )
    with _OPENING:
        key = address.server, address.token
        connection = _OPEN.get(key)
        if connection is None:
            connection = _OPEN[key] = Connection(address, may_make=may_make)
        return connection


@contextmanager
def answering(address: MilvusAddress) -> Iterator[None]:
    """Raise BackendError for whatever pymilvus raises in the block: what a server answers may be anything."""
    try:
        yield
    except (CbirError, MemoryError):
        raise
    except Exception as error:
        raise BackendError(
            f"Milvus at {printable(str(address))} does not answer as it should ({_words(error)})."
        ) from error


def _words(error: Exception) -> str:
    """Return the first line of a server's or a library's own words."""
    details = getattr(error, "details", None)  # of gRPC's own errors
    told = str((details() if callable(details) else None) or getattr(error, "message", None) or reason_of(error))
    told = re.sub(r"\s+", " ", told).strip()
    return printable(told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…")


def _client_class() -> Any:
    # of gRPC: no words of its own on stderr, and nothing that holds up the processes that are started meanwhile
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise BackendError(f"An index with rows in Milvus needs the package pymilvus: {_INSTALL}.") from error
    for name in ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc._server"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # whatever they log comes as an error, too
    return MilvusClient


def _start_lite(address: MilvusAddress, *, may_make: bool) -> tuple[list[Any], int]:
    """Start milvus-lite in this process: what is to be ended, and the port on which it listens to this machine."""
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError
    except ImportError as error:
        raise BackendError(f"{address} needs the package milvus-lite: {_INSTALL}.") from error
    path = address.file
    try:
        if not path.is_dir():
            if not may_make:
                raise BackendError(f"{path}, which has rows of the index in milvus-lite, is not there.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
        server, database, port = start_server_in_thread(str(path))
    except DataDirLockedError as error:
        raise BackendError(
            f"{path} is in use by another process, and milvus-lite lets one at a time have it: wait for that to end, "
            "or use a server of Milvus."
        ) from error
    except OSError as error:
        raise BackendError(f"Cannot open {path} in milvus-lite ({reason_of(error)}).") from error
    return [server, database], port


def _end(clients: list[Any], started: list[Any]) -> None:
    """Close clients, and a server of milvus-lite with its database."""
    for client in clients:
        with _quietly():
            client.close()
    if started:
        server, database = started
        with _quietly():
            server.stop(grace=None).wait(ANSWERING)
        with _quietly():
            database.close()


@contextmanager
def _quietly() -> Iterator[None]:
    try:
        yield
    except Exception:  # nothing can be done about it
        logging.getLogger("cbir").debug("Milvus was not closed in order.", exc_info=True)
