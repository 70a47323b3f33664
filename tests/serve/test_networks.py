"""An index that is served while it is moved to another network: each answer is from one state, by its network."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

import cbir
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.serve.service import Service
from tests.serve.test_http import search


def scores(client: TestClient) -> list[float]:
    found = search(client, like=[{"path": "img_000.jpg"}], count=4)
    return [match["score"] for match in found["matches"]]


def test_a_served_index_goes_over_to_its_new_network(root: Path, service: Service, client: TestClient) -> None:
    (served,) = service.indexes.values()
    before, state = scores(client), served.state
    index, report = cbir.index_folder(root, "photos", model="fake_small", keep_old=True)
    assert report.by_others[0].has_taken_over
    old = load_meta(index.directory).kept[0]
    # between two commits of a move nothing changes for who searches
    Writer(index.directory, load_meta(index.directory)).replace(old.but(moving_to=index.meta.but(kept=())))
    served.look()
    assert served.state is state
    assert scores(client) == before
    Writer(index.directory, load_meta(index.directory)).replace(index.meta)
    served.look()
    assert served.state is not state
    assert served.collection.backbone.name == "fake_small"
    after = scores(client)
    assert len(after) == 4
    assert after != before
    assert Index.open(index.directory, model="fake").dimension == 128
