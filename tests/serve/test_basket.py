"""Files of chosen pictures: what is in them, how they are called, and what is left out."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from cbir.serve import chosen
from cbir.serve.app import make_app
from cbir.serve.service import Service
from cbir.serve.settings import Settings
from tests.serve.test_http import API, problem

NAMES = ("img_000.jpg", "beach/2020/img_001.jpg", "img_002.jpg")


@pytest.fixture
def links(tmp_path: Path) -> Path:
    (tmp_path / "links").mkdir()
    return tmp_path / "links"


@pytest.fixture
def linking(service: Service, links: Path) -> Iterator[TestClient]:
    """A client of a server that may make links."""
    with TestClient(make_app(service, Settings(links=links)), base_url="http://127.0.0.1:8580") as client:
        yield client


def chosen_of(client: TestClient) -> list[str]:
    """Three pictures, two by their contents and one by its id."""
    found = [client.get(f"{API}/pictures/by-path", params={"path": name}).json() for name in NAMES]
    return [found[0]["sha256"], found[1]["id"], found[2]["sha256"][:16]]


def make(client: TestClient, format_: str, pictures: list[str] | None = None) -> bytes:
    body = {"pictures": chosen_of(client) if pictures is None else pictures, "format": format_}
    response = client.post(f"{API}/basket", json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"].startswith('attachment; filename="basket.')
    return response.content


def test_lists_have_the_pictures_in_their_order(client: TestClient, root: Path) -> None:
    paths = [str(root / name) for name in NAMES]
    assert make(client, "paths").decode().splitlines() == paths
    lines = list(csv.DictReader(io.StringIO(make(client, "csv").decode())))
    assert [line["path"] for line in lines] == paths
    assert [line["rank"] for line in lines] == ["1", "2", "3"]
    wanted = chosen_of(client)
    twice = [*wanted, wanted[0][:20], *wanted]
    response = client.post(f"{API}/basket", json={"pictures": twice, "format": "json"})
    assert [one["path"] for one in response.json()["pictures"]] == paths
    assert response.headers["cbir-left-out"] == "0"


def test_a_sheet_is_a_picture(client: TestClient) -> None:
    with Image.open(io.BytesIO(make(client, "sheet"))) as sheet:
        assert sheet.format == "JPEG"
        assert min(sheet.size) > 100


def test_an_archive_has_the_files_as_they_are(client: TestClient, root: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(make(client, "zip"))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["img_000.jpg", "img_001.jpg", "img_002.jpg"]
        for name, path in zip(archive.namelist(), NAMES, strict=True):
            assert archive.read(name) == (root / path).read_bytes()
            assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED


def test_an_archive_is_not_longer_than_its_bound(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen, "_MOST_BYTES", 1000)
    body = {"pictures": chosen_of(client), "format": "zip"}
    problem(client.post(f"{API}/basket", json=body), 413, "too-large")


def test_gone_and_outside_pictures_are_told_and_left_out(client: TestClient, root: Path, tmp_path: Path) -> None:
    wanted = [*chosen_of(client), "0" * 16]
    (root / NAMES[0]).rename(tmp_path / "secret.jpg")
    (root / NAMES[0]).symlink_to(tmp_path / "secret.jpg")
    (root / NAMES[1]).unlink()
    with zipfile.ZipFile(io.BytesIO(make(client, "zip", wanted))) as archive:
        assert archive.namelist() == ["img_002.jpg", "left-out.txt"]
        assert "leads out" in archive.read("left-out.txt").decode()
    response = client.post(f"{API}/basket", json={"pictures": wanted, "format": "json"})
    assert response.headers["cbir-left-out"] == "3"
    assert len(response.json()["left_out"]) == 3
    lines = list(csv.DictReader(io.StringIO(make(client, "csv", wanted).decode())))
    assert [bool(line["error"]) for line in lines] == [False, True, True, True]
    assert make(client, "paths", wanted).decode().split() == [str(root / NAMES[2])]
    problem(client.post(f"{API}/basket", json={"pictures": wanted[:2], "format": "paths"}), 404, "nothing-left")


def test_links_are_made_in_a_folder_of_their_own_and_only_if_that_is_allowed(
    client: TestClient, linking: TestClient, root: Path, links: Path
) -> None:
    body = {"pictures": chosen_of(client), "format": "links"}
    problem(client.post(f"{API}/basket", json=body), 422, "no-links")
    assert [one.get(API).json()["has"]["links"] for one in (client, linking)] == [False, True]
    assert not list(links.iterdir())
    made = [linking.post(f"{API}/basket", json=body) for _ in range(2)]
    assert [one.status_code for one in made] == [201, 201]
    folders = [Path(one.json()["directory"]) for one in made]
    assert len(set(folders)) == 2
    for folder in folders:
        assert folder.parent == links
        assert {one.name: os.readlink(one) for one in folder.iterdir()} == {
            Path(name).name: str(root / name) for name in NAMES
        }


def test_links_that_cannot_be_made_leave_nothing(linking: TestClient, links: Path, client: TestClient) -> None:
    body = {"pictures": chosen_of(client), "format": "links"}
    links.rmdir()
    found = problem(linking.post(f"{API}/basket", json=body), 422, "refused")
    assert "Cannot make links" in found["detail"]
    assert not links.exists()


def test_what_is_no_basket_is_refused(client: TestClient) -> None:
    for pictures in ([], ["../../etc/passwd"], ["0" * 15], ["0" * 16] * 1001, ["0" * 16 + "\n"]):
        problem(client.post(f"{API}/basket", json={"pictures": pictures, "format": "paths"}), 422, "invalid")
    problem(client.post(f"{API}/basket", json={"pictures": ["0" * 16], "format": "exe"}), 422, "invalid")
