"""Processes beside the server that search: they answer as the server does, and what happens to them costs no search."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import cbir
from cbir.search.keeping import KEPT, KEPT_BYTES
from cbir.search.scanner import FEW
from cbir.serve import processes
from cbir.serve.answer import Asked, answer
from cbir.serve.bodies import Search
from cbir.serve.processes import SearchProcesses
from cbir.serve.refs import Refs
from cbir.serve.search import resolved
from cbir.serve.service import ServedIndex, Service
from tests.helpers.waiting import GUARD_SECONDS, wait_for

API = "/api/v1/indexes/photos"


@pytest.fixture
def served(service: Service) -> ServedIndex:
    return service.index("photos")


@pytest.fixture
def beside(service: Service, served: ServedIndex, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchProcesses]:
    monkeypatch.setattr(processes, "_PAUSE", 0.1)
    monkeypatch.setattr(KEPT, "most", KEPT_BYTES)
    service.processes = SearchProcesses(1)
    first = served.first_search()
    assert first is not None
    service.processes.start([first])
    yield service.processes
    service.processes.close()


def asked(served: ServedIndex, **wanted: Any) -> Asked:
    return resolved(Refs(served), Search.model_validate(wanted))


def pictures(served: ServedIndex, *rows: int) -> list[dict[str, str]]:
    return [{"picture": served.state.picture_id(row)} for row in rows]


def ids(beside: SearchProcesses) -> list[int]:
    return [process._child.pid for process in beside._running]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_they_answer_what_the_server_would(beside: SearchProcesses, served: ServedIndex) -> None:
    vector = np.ones(served.state.index.dimension, dtype="<f2")
    for wanted in (
        {"like": pictures(served, 3)},
        {"like": pictures(served, 3), "count": 2, "offset": 1, "reranked": False, "tags": False},
        {"like": pictures(served, 1, 2), "include_self": True},
        {"like": pictures(served, 1), "more": pictures(served, 2), "less": pictures(served, 4)},
        {"like": pictures(served, 1), "filter": {"folders": ["beach/2020"], "min_score": 0.1}},
        {"words": ["dog"], "without": ["cat"]},
        {"like": [{"vector": base64.b64encode(vector.tobytes()).decode(), "name": "a picture of mine"}]},
        {"like": [{"sha256": served.state.record(2).sha256}], "words": ["dog"]},
    ):
        one = asked(served, **wanted)
        assert one.is_known
        found = beside.answer(served.state, one)
        assert found is not None, wanted
        assert found == answer(served.state, one)


def test_what_needs_the_network_or_all_names_is_answered_by_the_server(served: ServedIndex) -> None:
    picture = pictures(served, 3)
    assert not asked(served).is_known
    assert not asked(served, text="a dog").is_known
    assert not asked(served, like=[{**picture[0], "region": "0,0,20,20"}]).is_known
    assert not asked(served, like=picture, more=[{**picture[0], "segment": 1}]).is_known
    uploads = Refs(served, [("x.png", b"x")])
    assert not resolved(uploads, Search.model_validate({"like": [{"upload": 0}]})).is_known
    assert asked(served, more=picture).is_known


def test_an_error_is_told_by_the_server(beside: SearchProcesses, client: TestClient) -> None:
    response = client.get(f"{API}/search?like=img_000.jpg&folder=nowhere")
    assert response.status_code == 422
    assert "nowhere" in response.json()["detail"]
    assert len(ids(beside)) == 1


def test_one_that_is_killed_costs_no_search_and_another_follows(beside: SearchProcesses, client: TestClient) -> None:
    expected = client.get(f"{API}/search?like=img_000.jpg").json()
    (first,) = ids(beside)
    os.kill(first, signal.SIGKILL)
    assert client.get(f"{API}/search?like=img_000.jpg").json() == expected
    wait_for(lambda: beside._running)
    assert ids(beside) != [first]
    assert client.get(f"{API}/search?like=img_000.jpg").json() == expected
    assert not is_alive(first)


def test_each_of_many_threads_gets_its_own_answer(beside: SearchProcesses, served: ServedIndex) -> None:
    searches = [asked(served, like=pictures(served, row), count=3) for row in (0, 1, 2, 3)] * 6
    expected = [answer(served.state, one) for one in searches]
    assert len(set(expected)) == 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda one: beside.answer(served.state, one), searches)) == expected
    assert [process.asked for process in beside._running] == [0]


def ahead(beside: SearchProcesses, served: ServedIndex, pool: ThreadPoolExecutor) -> list[Future[bytes | None]]:
    """Ask a process that was stopped for two searches, and return what they will find."""
    os.kill(ids(beside)[0], signal.SIGSTOP)
    one = asked(served, like=pictures(served, 3))
    found = [pool.submit(beside.answer, served.state, one) for _ in range(2)]
    wait_for(lambda: beside._running[0].asked == 2)
    return found


def test_all_that_wait_for_one_that_is_killed_are_told_and_one_follows(
    beside: SearchProcesses, served: ServedIndex
) -> None:
    (first,) = ids(beside)
    with ThreadPoolExecutor(2) as pool:
        found = ahead(beside, served, pool)
        os.kill(first, signal.SIGKILL)
        assert [one.result(GUARD_SECONDS) for one in found] == [None, None]
    wait_for(lambda: beside._running)
    assert len(ids(beside)) == 1
    assert not is_alive(first)
    assert beside.answer(served.state, asked(served, like=pictures(served, 3))) is not None


def test_what_is_asked_is_answered_when_they_are_closed(beside: SearchProcesses, served: ServedIndex) -> None:
    (process,) = ids(beside)
    with ThreadPoolExecutor(2) as pool:
        found = ahead(beside, served, pool)
        beside.close()
        os.kill(process, signal.SIGCONT)
        assert None not in [one.result(GUARD_SECONDS) for one in found]
    assert not is_alive(process)


def test_a_new_state_is_searched_once_the_server_has_it(
    beside: SearchProcesses, service: Service, served: ServedIndex, client: TestClient, root: Path
) -> None:
    before, old = served.state, asked(served, like=pictures(served, 3))
    Image.new("RGB", (60, 40), "green").save(root / "new.jpg")
    cbir.index_folder(root, "photos", model="fake")
    # as it is open already, also after the process has looked for another
    expected = beside.answer(before, old)
    assert expected == answer(before, old)
    served.look()
    assert served.state.id != before.id
    found = beside.answer(served.state, asked(served, like=pictures(served, 3), count=60))
    assert found is not None
    assert found.count(b'"rank"') == 9
    assert beside.answer(before, old) is None
    assert client.post(f"{API}/search", json={"like": pictures(served, 3)}).status_code == 200


@pytest.mark.parametrize("most", [1, 2, 4])
def test_all_of_them_keep_what_one_process_would(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(processes, "_Process", lambda arguments: started.append(arguments))
    monkeypatch.setattr(KEPT, "most", KEPT_BYTES)
    SearchProcesses(most).start([])
    shares = [int(share) for *_, share in started]
    assert len(shares) == most
    assert KEPT_BYTES * 0.99 < sum(shares) + KEPT.most <= KEPT_BYTES
    # of the largest filter whose rows are all compared, by the bundled network, where there are two
    assert most > 2 or shares[0] >= 4 * (1280 + 1) * FEW


def test_all_end_with_the_server(beside: SearchProcesses, served: ServedIndex) -> None:
    (process,) = ids(beside)
    beside.close()
    assert not is_alive(process)
    assert beside.answer(served.state, asked(served, like=pictures(served, 3))) is None
