"""Faces over HTTP: those of a picture, searches by one of them and for a person, and what does not go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cbir.faces.likeness import DEFAULT
from cbir.index.home import index_directory
from cbir.people.edit import name_person
from cbir.people.of_index import change_people
from cbir.serve.app import make_app
from cbir.serve.service import Service
from tests.helpers.people import TWO_PEOPLE, box_of, make_index

API = "/api/v1/indexes/people"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    make_index(index_directory("people"), tmp_path / "photos", TWO_PEOPLE)
    change_people(
        index_directory("people"),
        lambda arranged, index: name_person(arranged.album, int(arranged.people[0]), "Anna"),
        threshold=DEFAULT.group,
    )
    with TestClient(make_app(Service.open(["people"])), base_url="http://127.0.0.1:8580") as client:
        yield client


def search(client: TestClient, **query: object) -> dict[str, Any]:
    response = client.post(f"{API}/search", json=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def names(found: dict[str, Any]) -> set[str]:
    return {match["picture"]["name"] for match in found["matches"]}


def test_a_picture_is_told_with_its_faces(client: TestClient) -> None:
    assert client.get(API).json()["has"]["faces"]
    record = client.get(f"{API}/pictures/by-path", params={"path": "boat.png"}).json()
    assert [(one["number"], one["box"]) for one in record["faces"]] == [(1, list(box_of(0))), (2, list(box_of(1)))]
    assert client.get(f"{API}/pictures/by-path", params={"path": "wall.png"}).json()["faces"] == []


def test_a_search_by_a_face(client: TestClient, tmp_path: Path) -> None:
    found = search(client, like=[{"path": "boat.png", "face": 2}])
    assert names(found) == {"beach.png", "wood.png"}
    assert (found["face"], found["box"], found["figures"]) == (2, list(box_of(1)), ["score", "face"])
    assert {tuple(match["face"]["box"]) for match in found["matches"]} == {box_of(0)}
    assert found["total"] == 2
    assert names(search(client, like=[{"path": "boat.png", "face": 1}], include_self=True)) == {"boat.png", "table.png"}
    assert names(search(client, like=[{"path": "boat.png", "face": 1}], filter={"folders": ["trip"]})) == {"table.png"}
    uploaded = client.post(
        f"{API}/search",
        data={"query": '{"like": [{"upload": 0, "face": 2}]}'},
        files={"files": ("new.png", (tmp_path / "photos" / "boat.png").read_bytes())},
    )
    assert uploaded.status_code == 200, uploaded.text
    # what is uploaded is no file of the index, which stays
    assert names(uploaded.json()) == {"beach.png", "wood.png", "boat.png"}


def test_a_search_for_a_person(client: TestClient) -> None:
    found = search(client, person="anna")
    assert names(found) == {"beach.png", "wood.png", "boat.png"}
    assert found["person"] == "anna"
    assert client.get(f"{API}/search", params={"person": "Anna", "count": 1}).json()["total"] == 3
    response = client.post(f"{API}/search", json={"person": "Dora"})
    assert response.status_code in (404, 422), response.text
    assert "There is no person Dora" in response.json()["detail"]


@pytest.mark.parametrize(
    "query",
    [
        {"like": [{"path": "boat.png", "face": 0}]},
        {"like": [{"path": "boat.png", "face": 3}]},
        {"like": [{"path": "wall.png", "face": 1}]},
        {"like": [{"path": "boat.png", "face": 1, "region": "1,2,3,4"}]},
        {"like": [{"path": "boat.png", "face": 1, "weight": 2}]},
        {"like": [{"path": "boat.png", "face": 1}, {"path": "beach.png"}]},
        {"like": [{"path": "boat.png", "face": 1}], "words": ["dog"]},
        {"like": [{"path": "boat.png"}], "more": [{"path": "boat.png", "face": 1}]},
        {"like": [{"path": "boat.png", "face": 1}], "filter": {"min_percentile": 99}},
        {"person": "Anna", "words": ["dog"]},
        {"person": ""},
    ],
)
def test_what_does_not_go_together_is_told(client: TestClient, query: dict[str, Any]) -> None:
    response = client.post(f"{API}/search", json=query)
    assert response.status_code == 422, response.text
    assert response.json()["title"]
