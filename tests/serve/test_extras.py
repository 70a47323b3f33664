"""Completion, duplicates and maps over HTTP."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import cbir
from cbir.duplicates.find import find_duplicates
from cbir.serve import states
from cbir.serve.app import make_app
from cbir.serve.service import Service
from cbir.words.complete import Completion
from tests.serve.test_http import API, problem


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    """A client of nine pictures, a copy of the first and a smaller one."""
    shutil.copy(root / "img_000.jpg", root / "Copy of it.jpg")
    with Image.open(root / "img_000.jpg") as picture:
        picture.resize((120, 90), Image.Resampling.LANCZOS).save(root / "small.jpg", quality=92)
    cbir.index_folder(root, "photos", model="fake")
    service = Service.open(["photos"])
    with TestClient(make_app(service), base_url="http://127.0.0.1:8580") as client:
        yield client
    service.end()


def until_done(client: TestClient, address: str) -> dict[str, Any]:
    """The answer, once it is there; until then there is 202, how much is done, and when to ask again."""
    for _ in range(600):
        response = client.get(address)
        if response.status_code != 202:
            assert response.status_code == 200, response.text
            return dict(response.json())
        assert response.json()["status"] == "working"
        assert 0 <= response.json()["done"] < 1
        assert int(response.headers["retry-after"]) >= 1
        time.sleep(0.02)
    raise AssertionError("it is never done")


def test_words_are_completed(client: TestClient) -> None:
    words = client.get(f"{API}/words", params={"prefix": "do", "count": 5}).json()["words"]
    assert len(words) == 5
    assert all(one["word"].startswith("do") and one["meaning"] for one in words)
    pictures = [one["pictures"] or 0 for one in words]
    assert pictures == sorted(pictures, reverse=True)
    assert client.get(f"{API}/words").json() == {"words": []}
    problem(client.get(f"{API}/words", params={"prefix": "d", "count": 0}), 422, "invalid")
    problem(client.get(f"{API}/words", params={"prefix": "d" * 201}), 422, "invalid")


def test_files_are_found_by_pieces_of_their_names(client: TestClient) -> None:
    def found(typed: str, **more: int) -> list[str]:
        files = client.get(f"{API}/files", params={"prefix": typed, **more}).json()["files"]
        for one in files:
            assert client.get(f"{API}/pictures/{one['id']}").json()["path"].endswith(one["path"])
        return [one["path"] for one in files]

    assert found("COPY") == ["Copy of it.jpg"]
    assert found("it") == ["Copy of it.jpg"]
    assert found("2020", count=100) == [f"beach/2020/img_00{number}.jpg" for number in (1, 3, 5, 7)]
    assert found("img", count=2) == ["beach/2020/img_001.jpg", "beach/2020/img_003.jpg"]
    assert found("nothing") == found("") == []
    assert found("i", count=100)[-2:] == ["img_008.jpg", "Copy of it.jpg"]


def test_duplicates_are_those_of_the_shell_once_they_are_found(client: TestClient, root: Path) -> None:
    found = until_done(client, f"{API}/duplicates")
    assert [sorted(one["picture"]["name"] for one in group["members"]) for group in found["groups"]] == [
        ["Copy of it.jpg", "img_000.jpg", "small.jpg"]
    ]
    expected = find_duplicates(cbir.open("photos").index).to_dict()
    assert found["total"] == len(expected["groups"]) == 1
    members = [dict(one) for one in found["groups"][0]["members"]]
    for one in members:
        assert one.pop("picture")["path"] == one["path"]
    assert members == expected["groups"][0]["members"]
    assert [one["keep"] for one in members] == [True, False, False]
    assert client.get(f"{API}/duplicates", params={"offset": 1}).json()["groups"] == []
    problem(client.get(f"{API}/duplicates", params={"min_score": "nan"}), 422, "invalid")


def test_duplicates_of_one_picture(client: TestClient) -> None:
    (file,) = client.get(f"{API}/files", params={"prefix": "img_000"}).json()["files"]
    matches = client.get(f"{API}/pictures/{file['id']}/duplicates").json()["matches"]
    assert [one["picture"]["name"] for one in matches] == ["Copy of it.jpg", "small.jpg"]
    assert [one["rank"] for one in matches] == [1, 2]
    assert matches[0]["score"] == 1 >= matches[1]["score"] >= 0.95
    other = client.get(f"{API}/files", params={"prefix": "img_004"}).json()["files"][0]
    assert client.get(f"{API}/pictures/{other['id']}/duplicates").json()["matches"] == []
    state = file["id"].partition("-")[0]
    problem(client.get(f"{API}/pictures/{state}-99/duplicates"), 404, "no-such-picture")


def test_the_map_has_every_picture_in_a_place_of_its_own(client: TestClient) -> None:
    found = until_done(client, f"{API}/map")
    places = {(cell["column"], cell["line"]) for cell in found["cells"]}
    assert len(places) == len(found["cells"]) == 11
    assert all(column < found["columns"] and line < found["rows"] for column, line in places)
    some = until_done(client, f"{API}/map?most=4")
    assert len(some["cells"]) <= 4
    assert sum(cell["pictures"] for cell in some["cells"]) == 11
    problem(client.get(f"{API}/map", params={"most": 0}), 422, "invalid")


def test_words_are_counted_once_and_no_network_waits_for_that(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Completion] = []

    def slowly(*arguments: Any) -> Completion:
        time.sleep(0.2)
        made.append(Completion(*arguments))
        return made[-1]

    monkeypatch.setattr(states, "Completion", slowly)
    served = client.app.state.service.index("photos")  # type: ignore[attr-defined]
    served.warm_up()
    assert served.warm
    assert not made
    threads = [threading.Thread(target=served.prepare), *(threading.Thread(target=ask, args=(client,)) for _ in "ab")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def ask(client: TestClient) -> None:
    assert client.get(f"{API}/words?prefix=do").status_code == 200
