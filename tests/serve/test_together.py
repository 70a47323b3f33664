"""Several served indexes asked at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import cbir
from cbir.index.home import index_directory
from cbir.serve.app import make_app
from cbir.serve.service import Service


@pytest.fixture
def folders(photo_folder: Callable[..., Path]) -> Path:
    """Indexes of two folders by one network, and of both by another."""
    root = photo_folder(10, subfolders=["left", "right"])
    for name in ("left", "right"):
        cbir.index_folder(root / name, name, model="fake")
    cbir.index_folder(root, "both", model="fake")
    cbir.index_folder(root, "two", model="fake", views=2)
    return root


@pytest.fixture
def client(folders: Path) -> Iterator[TestClient]:
    service = Service.open(["left", "right", "both", "two"])
    with TestClient(make_app(service), base_url="http://127.0.0.1:8580") as client:
        yield client


def search(client: TestClient, index: str, **body: Any) -> Any:
    answer = client.post(f"/api/v1/indexes/{index}/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_indexes_of_one_network_answer_as_one(client: TestClient) -> None:
    path = client.get("/api/v1/indexes/left/search?count=1").json()["matches"][0]["path"]
    name = Path(path).name
    together = search(client, "left", like=[{"path": name}], also=["right"], count=6)
    alone = search(client, "both", like=[{"path": f"left/{name}"}], count=6)
    shown = ("rank", "path", "score", "relevance", "percentile")
    wanted = [[match[key] for key in shown] for match in alone["matches"]]
    assert [[match[key] for key in shown] for match in together["matches"]] == wanted
    assert together["total"] == alone["total"]
    assert {match["served_as"] for match in together["matches"]} == {"left", "right"}
    for match in together["matches"]:
        picture = client.get(f"/api/v1/indexes/{match['served_as']}/pictures/{match['picture']['id']}")
        assert picture.json()["path"] == match["path"]
    second = search(client, "left", like=[{"path": name}], also=["right"], count=2, offset=2)
    assert [match["path"] for match in second["matches"]] == [match["path"] for match in together["matches"][2:4]]


def test_indexes_of_several_networks_are_asked_by_a_picture(client: TestClient, folders: Path) -> None:
    picture = next((folders / "left").glob("*.*"))
    answer = client.post(
        "/api/v1/indexes/left/search",
        data={"query": '{"like": [{"upload": 0}], "also": ["two"], "count": 8}'},
        files={"files": (picture.name, picture.read_bytes())},
    )
    found = answer.json()
    assert {match["served_as"] for match in found["matches"]} == {"left", "two"}
    relevance = [match["relevance"] for match in found["matches"]]
    assert relevance == sorted(relevance, reverse=True)
    # by a feature of the first, the other cannot be asked, which is told
    asked = search(client, "left", like=[{"path": picture.name}], also=["two"], count=8)
    assert {match["served_as"] for match in asked["matches"]} == {"left"}
    assert "two cannot be asked by features of another network" in asked["notices"][0]


def test_one_that_is_gone_is_told_and_the_others_answer(client: TestClient) -> None:
    shutil.rmtree(index_directory("right"))
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    service.index("right").look()
    found = search(client, "left", also=["right", "both"], count=3)
    assert found["matches"]
    assert any("right" in notice for notice in found["notices"])
    answer = client.post("/api/v1/indexes/right/search", json={"also": ["left"]})
    assert answer.status_code == 503


def test_what_cannot_be_is_refused(client: TestClient) -> None:
    for body, status in (({"also": ["nowhere"]}, 404), ({"also": ["right"], "learnt": "kinds"}, 422)):
        assert client.post("/api/v1/indexes/left/search", json=body).status_code == status
