"""Rows in Milvus over the network: milvus-lite listens as a server does, or something else does, or nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymilvus", reason="cbir[milvus] is not installed")
pytest.importorskip("milvus_lite", reason="cbir[milvus] is not installed")

from milvus_lite.adapter.grpc.server import start_server_in_thread

from cbir.errors import BackendError
from cbir.images.sources.named import remember
from cbir.index.ann.milvus import collection, connection
from cbir.index.ann.milvus.collection import Collection
from cbir.index.files import FileRecord
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.rows_elsewhere import keep_rows
from cbir.search.searcher import Searcher
from tests.helpers.feature_index import make_index
from tests.helpers.waiting import GUARD_SECONDS, SOON_SECONDS

ROWS, DIMENSION = 120, 16


class Server:
    """A server of Milvus, which milvus-lite is: the address of a collection, and the end of it."""

    def __init__(self, folder: Path) -> None:
        self._server, self._database, self.port = start_server_in_thread(str(folder))
        self.address = f"milvus://127.0.0.1:{self.port}/photos"

    def stop(self) -> None:
        self._server.stop(grace=0).wait()
        self._database.close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cbir.index.store.SMALL", 30)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    # the server is a thread of this process: on a machine that does ten other things it answers late
    monkeypatch.setattr(connection, "CONNECTING", GUARD_SECONDS)
    monkeypatch.setattr(collection, "ANSWERING", GUARD_SECONDS)


def wait_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon on what does not answer."""
    monkeypatch.setattr(collection, "ANSWERING", 1.0)
    monkeypatch.setattr(collection, "TAKING", 1.0)
    monkeypatch.setattr(connection, "CONNECTING", 1.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "server.db")
    yield started
    started.stop()


@pytest.fixture
def index(tmp_path: Path) -> Index:
    random = np.random.default_rng(3)
    return make_index(tmp_path / "index", random.normal(0, 1, (ROWS, DIMENSION)), tmp_path)


def sent(index: Index, address: str, rows: str | None = None) -> Index:
    keep_rows(index.directory, index.meta, address, rows)
    Writer(index.directory, load_meta(index.directory)).tidy()
    return Index.open(index.directory)


def first(index: Index) -> list[list[int]]:
    searcher = Searcher(index)
    return [searcher.ranked(index.features([row])[0], 10, reranked=True)[0][:10].tolist() for row in (0, 50)]


@contextmanager
def listening(answer: bytes | None) -> Iterator[tuple[int, list[int]]]:
    """Listen, and answer each connection with some bytes, or never; yields the port, and a list with each call."""
    calls: list[int] = []
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    one, _ = listener.accept()
                except TimeoutError:
                    continue
                calls.append(1)
                kept.append(one)
                if answer is not None:
                    one.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], calls
        ended.set()
        thread.join()
        for one in kept:
            one.close()


def test_a_server_is_asked_as_a_file_is(index: Index, server: Server) -> None:
    expected = first(index)
    there = sent(index, server.address)
    assert there.meta.store is not None
    assert str(there.meta.store) == server.address
    assert first(there) == expected
    assert find_problems(there, verify=True) == []
    with pytest.raises(BackendError, match=f"collection photos in Milvus at milvus://127.0.0.1:{server.port} has vect"):
        keep_rows(there.directory, there.meta.but(store=None), server.address, "milvus")


@pytest.mark.parametrize("trouble", ["nobody", "silence", "garbage"])
def test_no_server_is_said_before_the_work_and_nothing_is_changed(
    index: Index, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_less(monkeypatch)
    before = load_meta(index.directory)
    answer = {"nobody": None, "silence": None, "garbage": b"HTTP/1.1 400 no\r\n\r\n" + bytes(range(256))}[trouble]
    with listening(answer) as (port, calls):
        if trouble == "nobody":
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(BackendError, match=f"Milvus at milvus://127.0.0.1:{port}/photos does not answer as it sho"):
            keep_rows(index.directory, index.meta, f"milvus://me:secret@127.0.0.1:{port}/photos", None)
        assert time.monotonic() - started < 10 + SOON_SECONDS
        assert bool(calls) is (trouble != "nobody")
    assert load_meta(index.directory) == before


def test_a_server_that_goes_away_is_done_without_and_asked_again_later(
    index: Index, server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = sent(index, server.address)
    searcher = Searcher(there)
    feature = there.features([7])[0]
    expected = searcher.ranked(feature, 10, reranked=True)[0][:10].tolist()
    server.stop()
    wait_less(monkeypatch)
    for _ in range(3):
        assert searcher.ranked(feature, 10, reranked=True)[0][:10].tolist() == expected
    assert caplog.text.count("All pictures are compared instead.") == 1
    assert server.address in caplog.text
    now = time.monotonic()
    monkeypatch.setattr("cbir.search.scanner.time.monotonic", lambda: now + 61)
    searcher.ranked(feature, 10, reranked=False)
    assert caplog.text.count("All pictures are compared instead.") == 2


def test_a_server_that_goes_away_in_a_run_costs_nothing(
    index: Index, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = sent(index, server.address)
    wait_less(monkeypatch)
    real = Collection.send
    monkeypatch.setattr(Collection, "send", lambda *its: (server.stop(), real(*its))[1])
    writer = Writer(there.directory, there.meta)
    for row in range(5):
        writer.add(FileRecord(f"new {row}.jpg", 1, 1, f"{row + 500:064x}"), np.eye(DIMENSION)[row])
    writer.commit()
    writer.tidy()
    assert "All pictures are in the index; the next run sends what Milvus lacks of them." in caplog.text
    newer = Index.open(there.directory)
    assert (len(newer), newer.meta.candidates) == (ROWS + 5, there.meta.candidates)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("cbir.index.store.SMALL", 30)
    again = Server(tmp_path / "server.db")
    try:
        newer = sent(newer, again.address)  # it has another port now, and is another place
        assert find_problems(newer, verify=True) == []
        assert newer.meta.candidates is not None
        assert newer.meta.candidates.rows == ROWS + 5
    finally:
        again.stop()


def test_an_address_in_meta_json_is_not_called(
    index: Index, caplog: pytest.LogCaptureFixture, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = sent(index, server.address)
    assert there.meta.store is not None
    with listening(None) as (port, calls):
        forged = f"milvus://127.0.0.1:{port}"
        writer = Writer(there.directory, there.meta)
        store = there.meta.store
        writer.replace(there.meta.but(store=type(store)(forged, store.collection, store.identity, True, store.lines)))
        strange = Index.open(there.directory)
        first(strange)
        assert "which nobody named here yet" in find_problems(strange, verify=True)[0]
        writer.add(FileRecord("new.jpg", 1, 1, "e" * 64), np.eye(DIMENSION)[1])
        writer.commit()
        writer.tidy()
        assert not calls
        remember(f"{forged}/photos")
        wait_less(monkeypatch)
        first(Index.open(there.directory))
        assert calls


def test_answers_with_other_rows_than_the_index_has_are_refused(
    index: Index, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    there = sent(index, server.address)
    expected = first(there)
    candidates: Any = there.candidates()
    client = candidates.collection._client
    real = client.search
    for lie in (
        lambda hits: [[{"id": 3}]],
        lambda hits: [[{"id": "a"}]],
        lambda hits: [[{}]],
        lambda hits: [],
        lambda hits: [hits[0][:5]],
        lambda hits: "rows",
    ):
        caplog.clear()
        monkeypatch.setattr(client, "search", lambda *its, lie=lie, **named: lie(real(*its, **named)))
        assert first(there) == expected
        assert caplog.text.count("All pictures are compared instead.") == 1
