"""Objects over HTTP: what pictures show, as a facet, as a query and as a filter, and of one picture with boxes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import cbir
from cbir.index.home import index_directory
from cbir.index.store import Index
from cbir.search.keeping import KEPT, KEPT_BYTES
from cbir.serve.answer import answer
from cbir.serve.app import make_app
from cbir.serve.bodies import Search
from cbir.serve.processes import SearchProcesses
from cbir.serve.refs import Refs
from cbir.serve.search import resolved
from cbir.serve.service import Service
from tests.helpers.object_index import Thing
from tests.helpers.objects_added import with_objects

API = "/api/v1/indexes/seen"

NAMES = ("person", "dog", "cat", "bus")
DOG, SECOND = (10, 20, 30, 40), (60, 20, 30.0, 40)
#: Of the nine pictures, img_000.jpg to img_008.jpg, every other one in a folder.
THINGS: dict[str, list[Thing]] = {
    "img_000.jpg": [("dog", 0.9, DOG), ("dog", 0.8, SECOND), ("person", 0.7, (0, 0, 50, 60)), ("cat", 0.3, DOG)],
    "img_002.jpg": [("dog", 0.6, (1, 2, 3, 4))],
    "img_004.jpg": [("cat", 0.8, (2, 2, 9, 9))],
    "img_006.jpg": [],
}


@pytest.fixture
def service(root: Path) -> Service:
    with_objects(Index.open(index_directory("photos")), index_directory("seen"), THINGS, NAMES)
    return Service.open(["seen", "photos"])


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(make_app(service), base_url="http://127.0.0.1:8580") as client:
        yield client


def search(client: TestClient, **query: object) -> dict[str, Any]:
    response = client.post(f"{API}/search", json=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [match["picture"]["name"] for match in found["matches"]]


def test_an_index_tells_how_many_pictures_show_each(client: TestClient) -> None:
    about = client.get(API).json()
    assert about["has"]["objects"]
    assert about["objects"] == [
        {"object": "dog", "pictures": 2},
        {"object": "person", "pictures": 1},
        {"object": "cat", "pictures": 1},
    ]
    other = client.get("/api/v1/indexes/photos").json()
    assert (other["has"]["objects"], other["objects"]) == (False, [])


def test_a_picture_is_told_with_what_it_shows(client: TestClient) -> None:
    record = client.get(f"{API}/pictures/by-path", params={"path": "img_000.jpg"}).json()
    assert [(one["class"], one["score"]) for one in record["objects"]] == [("dog", 0.9), ("dog", 0.8), ("person", 0.7)]
    assert [one["box"] for one in record["objects"]] == [list(DOG), list(SECOND), [0, 0, 50, 60]]
    assert {"person", "dog"} <= {tag["word"] for tag in record["tags"]}
    nothing = client.get(f"{API}/pictures/by-path", params={"path": "img_006.jpg"}).json()
    assert nothing["objects"] == []
    unknown = client.get(f"{API}/pictures/by-path", params={"path": "img_008.jpg"}).json()
    assert unknown["objects"] is None


def test_objects_alone_make_the_order_and_beside_others_they_are_a_filter(client: TestClient, root: Path) -> None:
    found = search(client, objects=["dog"])
    assert names(found) == ["img_000.jpg", "img_002.jpg"]
    assert (found["total"], found["exact"], found["objects"]) == (2, True, ["dog"])
    assert [match["score"] for match in found["matches"]] == pytest.approx([0.9, 0.6], abs=1e-4)
    # what the shell prints
    expected = cbir.open("seen").search(cbir.ObjectQuery.from_text("dog"), count=60)
    shell = [match.to_dict() for match in expected]
    told = [{key: match[key] for key in one} for match, one in zip(found["matches"], shell, strict=True)]
    assert [one | {"tags": None} for one in told] == shell
    assert names(search(client, objects=["animal", "person"])) == ["img_000.jpg"]
    assert names(search(client, objects=["2:dog"])) == ["img_000.jpg"]
    assert names(search(client, objects=["dog"], not_objects=["person"])) == ["img_002.jpg"]
    assert sorted(names(search(client, not_objects=["dog"]))) == ["img_004.jpg", "img_006.jpg"]
    within = search(client, like=[{"path": "img_008.jpg"}], objects=["animal"])
    assert sorted(names(within)) == ["img_000.jpg", "img_002.jpg", "img_004.jpg"]
    assert within["total"] == 3
    assert names(search(client, more=[{"path": "img_008.jpg"}], objects=["cat"])) == ["img_004.jpg"]
    assert names(search(client, objects=["dog"], filter={"folders": ["beach"]})) == []
    assert {"img_000.jpg", "img_002.jpg"} <= set(names(search(client, filter={"tags": ["dog"]})))
    by_address = client.get(f"{API}/search", params={"object": ["dog"], "not_object": ["person"]}).json()
    assert names(by_address) == ["img_002.jpg"]


def test_processes_beside_the_server_find_the_same(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KEPT, "most", KEPT_BYTES)
    served, beside = service.index("seen"), SearchProcesses(1)
    first = served.first_search()
    assert first is not None
    beside.start([first])
    try:
        for wanted in (
            {"objects": ["2:dog"]},
            {"not_objects": ["dog"]},
            {"objects": ["animal"], "like": [{"path": "img_008.jpg"}]},
        ):
            one = resolved(Refs(served), Search.model_validate(wanted))
            assert one.is_known
            assert beside.answer(served.state, one) == answer(served.state, one)
    finally:
        beside.close()


def test_what_is_no_object_is_told(client: TestClient) -> None:
    for objects in (["violin"], [""], ["0:dog"], ["dog:2"], ["40:dog"], ["\x00"]):
        response = client.post(f"{API}/search", json={"objects": objects})
        assert response.status_code == 422, objects
        beside = client.post(f"{API}/search", json={"objects": objects, "like": [{"path": "img_008.jpg"}]})
        assert beside.status_code == 422, objects
    response = client.post("/api/v1/indexes/photos/search", json={"objects": ["dog"]})
    assert response.status_code == 422
    assert "`cbir index --index photos --objects` looks for them" in response.json()["detail"]


def test_damaged_objects_cost_only_themselves(service: Service, client: TestClient) -> None:
    directory = index_directory("seen")
    shutil.copytree(directory, index_directory("damaged"))
    for file in index_directory("damaged").glob("objects-*.npy"):
        file.write_bytes(file.read_bytes()[:-1000] + b"\xff" * 1000)
    damaged = Service.open(["damaged"])
    with TestClient(make_app(damaged), base_url="http://127.0.0.1:8580") as other:
        about = other.get("/api/v1/indexes/damaged").json()
        assert (about["pictures"], about["objects"]) == (9, [])
        record = other.get("/api/v1/indexes/damaged/pictures/by-path", params={"path": "img_008.jpg"}).json()
        assert (record["objects"], record["name"]) == (None, "img_008.jpg")
        assert len(other.get("/api/v1/indexes/damaged/search?like=img_000.jpg").json()["matches"]) == 8
        assert other.get("/api/v1/indexes/damaged/search?object=dog").status_code == 503
