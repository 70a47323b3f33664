"""The HTTP interface: searches, pictures, uploads, errors."""

from __future__ import annotations

import base64
import datetime
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import cbir
from cbir.index.home import index_directory
from cbir.serve.app import make_app
from cbir.serve.service import Service

API = "/api/v1/indexes/photos"


def search(client: TestClient, **query: object) -> dict:
    response = client.post(f"{API}/search", json=query)
    assert response.status_code == 200, response.text
    return response.json()


def problem(response: object, status: int, kind: str) -> dict:
    assert response.status_code == status, response.text  # type: ignore[attr-defined]
    assert response.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    found: dict = response.json()  # type: ignore[attr-defined]
    assert (found["type"], found["status"]) == (f"/problems/{kind}", status)
    return found


def test_health_and_indexes(client: TestClient, root: Path) -> None:
    assert client.get("/api/v1/health").json()["indexes"][0]["pictures"] == 9
    (one,) = client.get("/api/v1/indexes").json()["indexes"]
    assert (one["name"], one["model"], one["root"]) == ("photos", "fake", str(root))
    about = client.get(API).json()
    assert {one["folder"]: one["pictures"] for one in about["folders"]} == {"": 5, "beach/2020": 4}
    problem(client.get("/api/v1/indexes/others"), 404, "no-such-index")


def test_a_search_finds_what_the_shell_finds_and_reads_no_file(client: TestClient, root: Path) -> None:
    path = root / "img_000.jpg"
    expected = [match.to_dict() for match in cbir.open("photos").search(path, count=4)]
    found = search(client, like=[{"path": "img_000.jpg"}], count=4, tags=False)
    for match in found["matches"]:
        assert match.pop("picture")["path"] == match["path"]
    assert found["matches"] == expected
    path.unlink()
    again = search(client, like=[{"path": "img_000.jpg"}], count=4, tags=False)
    assert [match["path"] for match in again["matches"]] == [match["path"] for match in expected]


def test_pictures_are_named_by_id_content_and_path(client: TestClient) -> None:
    first = search(client, like=[{"path": "img_000.jpg"}])["matches"][0]["picture"]
    names = [
        {"picture": first["id"]},
        {"sha256": first["sha256"][:16]},
        {"path": f"{first['folder']}/{first['name']}".lstrip("/")},
    ]
    results = [search(client, like=[name])["matches"] for name in names]
    assert results[0] == results[1] == results[2]
    for name in (first["id"], first["sha256"], f"by-sha256/{first['sha256'][:20]}"):
        record = client.get(f"{API}/pictures/{name}").json()
        assert (record["sha256"], record["width"], record["height"]) == (first["sha256"], 160, 120)
    listed = client.get(f"{API}/search", params={"like": first["id"], "count": 3}).json()
    assert listed["matches"] == results[0][:3]


def test_nothing_asked_is_all_pictures_newest_first(client: TestClient, service: Service, root: Path) -> None:
    os.utime(root / "img_004.jpg", (2e9, 2e9))
    cbir.index_folder(root, "photos", model="fake")
    service.index("photos").look()
    found = search(client)
    assert (found["total"], found["matches"][0]["picture"]["name"]) == (9, "img_004.jpg")
    assert search(client, offset=7)["matches"] == found["matches"][7:]


def test_an_upload_is_searched_by_and_its_feature_too(client: TestClient, root: Path) -> None:
    data = (root / "img_002.jpg").read_bytes()
    query = {"like": [{"upload": 0}], "count": 3}
    form = {"data": {"query": json.dumps(query)}, "files": [("files", ("x.jpg", data, "image/jpeg"))]}
    response = client.post(f"{API}/search", **form)
    assert response.json()["matches"][0]["picture"]["name"] == "img_002.jpg"
    encoded = client.post(f"{API}/encode", files={"file": ("x.jpg", data, "image/jpeg")}).json()
    assert (encoded["width"], encoded["height"], encoded["dimension"]) == (160, 120, cbir.open("photos").dimension)
    vector = np.frombuffer(base64.b64decode(encoded["vector"]), "<f2")
    assert vector.shape == (encoded["dimension"],)
    again = search(client, like=[{"vector": encoded["vector"], "name": "x"}], count=1)
    assert again["matches"][0]["picture"]["name"] == "img_002.jpg"
    bad = client.post(f"{API}/encode", files={"file": ("x.jpg", b"no picture", "image/jpeg")})
    problem(bad, 422, "picture-unreadable")


@pytest.mark.parametrize(
    "query",
    [
        {"like": [{}]},
        {"like": [{"upload": 0}]},
        {"like": [{"vector": "AAAA"}]},
        {"like": [{"path": "img_000.jpg", "region": "1,2"}]},
        {"like": [{"path": "img_000.jpg", "region": "0,0,9999,9999"}]},
        {"filter": {"folders": ["no such folder"]}},
        {"words": ["no such word at all"]},
        {"count": 0},
        {"offset": 9999, "count": 9999},
        {"unknown": 1},
    ],
)
def test_what_cannot_be_answered_is_a_problem(client: TestClient, query: dict) -> None:
    response = client.post(f"{API}/search", json=query)
    assert response.status_code == 422, response.text
    assert response.json()["detail"]


def test_small_pictures_are_upright_and_kept(client: TestClient, root: Path) -> None:
    picture = search(client)["matches"][0]["picture"]
    address = f"{API}/pictures/{picture['id']}/thumbnail?size=128"
    response = client.get(address)
    assert Image.open(io.BytesIO(response.content)).size == (128, 96)
    assert "immutable" in response.headers["cache-control"]
    Path(picture["path"]).unlink()
    assert client.get(address).content == response.content
    assert client.get(address, headers={"If-None-Match": response.headers["etag"]}).status_code == 304
    problem(client.get(address.replace("128", "256")), 404, "picture-gone")


def test_an_original_is_the_file_and_ranges_are_parts_of_it(client: TestClient) -> None:
    picture = search(client)["matches"][0]["picture"]
    data = Path(picture["path"]).read_bytes()
    address = f"{API}/pictures/{picture['id']}/original"
    whole = client.get(address)
    assert (whole.content, whole.headers["content-type"]) == (data, "image/jpeg")
    part = client.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert client.get(address, headers={"Range": "bytes=-5"}).content == data[-5:]
    problem(client.get(address, headers={"Range": f"bytes={len(data)}-"}), 416, "no-such-range")
    assert client.get(address, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


def test_nothing_outside_the_root_is_served(client: TestClient, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    Image.new("RGB", (40, 30)).save(secret)
    picture = search(client)["matches"][0]["picture"]
    Path(picture["path"]).unlink()
    Path(picture["path"]).symlink_to(secret)
    for what in ("original", "thumbnail", "view"):
        problem(client.get(f"{API}/pictures/{picture['id']}/{what}"), 403, "outside")


def test_damaged_sizes_are_told_as_unknown(root: Path) -> None:
    (damaged,) = index_directory("photos").glob("thumbnails-*.npy")
    damaged.write_bytes(b"no column")
    with TestClient(make_app(Service.open(["photos"])), base_url="http://127.0.0.1:8580") as client:
        assert [match["picture"]["width"] for match in search(client)["matches"]] == [None] * 9


def test_no_file_but_a_picture_is_served(client: TestClient) -> None:
    """An index of a stranger's may name any file of its user's."""
    picture = search(client)["matches"][0]["picture"]
    Path(picture["path"]).write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    for what in ("original", "thumbnail", "view"):
        answer = client.get(f"{API}/pictures/{picture['id']}/{what}")
        problem(answer, 404, "picture-gone")
        assert "BEGIN" not in answer.text
    problem(client.post(f"{API}/basket", json={"pictures": [picture["id"]], "format": "zip"}), 404, "nothing-left")


def test_ids_of_the_state_before_are_good_for_a_minute(
    client: TestClient, service: Service, root: Path, draw_picture: Callable[..., Image.Image]
) -> None:
    old = search(client)["matches"][0]["picture"]["id"]
    draw_picture(77).save(root / "new.jpg")
    cbir.index_folder(root, "photos", model="fake")
    service.index("photos").look()
    assert search(client)["total"] == 10
    assert client.get(f"{API}/pictures/{old}").status_code == 200
    service.index("photos")._before = None
    assert problem(client.get(f"{API}/pictures/{old}"), 410, "state-gone")["state"] == search(client)["state"]


def test_an_index_that_goes_away_comes_back(client: TestClient, service: Service, tmp_path: Path) -> None:
    directory = service.index("photos").directory
    directory.rename(tmp_path / "away")
    service.index("photos").look()
    assert "photos" in problem(client.get(API), 503, "index-gone")["detail"]
    (tmp_path / "away").rename(directory)
    service.index("photos").look()
    assert client.get(API).status_code == 200


def test_judgements_and_filters_are_the_librarys(client: TestClient, root: Path) -> None:
    judged = {"more": [{"path": "img_002.jpg"}], "less": [{"path": "img_004.jpg"}]}
    found = search(client, like=[{"path": "img_000.jpg"}], **judged)
    names = [match["picture"]["name"] for match in found["matches"]]
    one, more, less = (cbir.Query.from_path(root / f"img_00{number}.jpg") for number in (0, 2, 4))
    expected = cbir.open("photos").search(cbir.FeedbackQuery(one, (more,), (less,)), count=60)
    assert names == [match.path.name for match in expected]
    assert "img_004.jpg" not in names
    within = search(client, like=[{"path": "img_000.jpg"}], filter={"folders": ["beach"]})
    assert {match["picture"]["folder"] for match in within["matches"]} == {"beach/2020"}
    assert within["total"] == 4


@pytest.fixture
def dated(root: Path, service: Service) -> None:
    """Three of the nine pictures have a date, the newest the last by name."""
    for number, year in ((2, 2019), (4, 2021), (6, 2021)):
        with Image.open(root / f"img_00{number}.jpg") as picture:
            picture.load()
            exif = picture.getexif()
            exif[0x0110] = "Spyglass 3"
            exif.get_ifd(0x8769)[0x9003] = f"{year}:07:0{number} 23:59:59"
            picture.save(root / f"img_00{number}.jpg", exif=exif)
    cbir.index_folder(root, "photos", model="fake")
    service.index("photos").look()


@pytest.mark.usefixtures("dated")
def test_photos_have_dates(client: TestClient, root: Path) -> None:
    found = [match["picture"] for match in search(client, filter={"since": "2019-07-02"})["matches"]]
    assert [picture["taken"] for picture in found] == [f"20{when} 23:59:59".replace(" ", "T") for when in NEWEST]
    record = client.get(f"{API}/pictures/{found[0]['id']}").json()
    assert (record["camera"], record["format"], record["taken"]) == ("Spyglass 3", "JPEG", "2021-07-06T23:59:59")
    about = client.get(API).json()
    assert about["has"]["dates"]
    assert about["dates"] == {
        "first": "2019-07-02T23:59:59",
        "last": "2021-07-06T23:59:59",
        "known": 3,
        "by_year": [{"year": 2019, "pictures": 1}, {"year": 2021, "pictures": 2}],
    }
    changed = int(os.stat(root / "img_006.jpg").st_mtime)
    assert datetime.datetime.fromisoformat(record["changed"].replace("Z", "+00:00")).timestamp() == changed
    (root / "img_006.jpg").unlink()
    gone = client.get(f"{API}/pictures/{found[0]['id']}").json()
    assert (gone["camera"], gone["format"]) == (None, None)


NEWEST = ("21-07-06", "21-07-04", "19-07-02")


@pytest.mark.usefixtures("dated")
@pytest.mark.parametrize(
    ("limits", "count"),
    [
        ({"until": "2019-07-01"}, 0),
        ({"until": "2019-07-02"}, 1),
        ({"since": "2019-07-03"}, 2),
        ({"since": "2021-07-04", "until": "2021-07-05"}, 1),
        ({"since": "2021-01-01", "folders": ["beach"]}, 0),
        ({"since": "0001-01-01"}, 3),
        ({"until": "9999-12-31"}, 3),
    ],
)
def test_days_are_limits_and_the_total_is_what_they_leave(client: TestClient, limits: dict, count: int) -> None:
    for like in ([], [{"path": "img_008.jpg"}]):
        found = search(client, like=like, filter=limits, count=1)
        assert (found["total"], len(found["matches"])) == (count, min(count, 1))


def test_the_total_is_that_of_all_pages_from_the_first_on(client: TestClient) -> None:
    like, other = [{"path": "img_000.jpg"}], [{"path": "img_004.jpg"}]
    middle = sorted(match["score"] for match in search(client, like=like)["matches"])[4] - 1e-5
    for query, expected in (
        ({}, 9),
        ({"like": like}, 8),  # without itself
        ({"like": like, "include_self": True}, 9),
        ({"like": like, "less": other}, 7),
        ({"like": like, "filter": {"min_score": middle}}, 4),
        ({"like": like, "less": other, "filter": {"min_score": middle}}, None),
        ({"words": ["animal"]}, None),
        ({"words": ["dog"], "filter": {"min_probability": 0.01}}, None),
        ({"words": ["dog"], "like": like}, None),
        ({"words": ["dog"], "like": like, "filter": {"min_score": middle}}, None),
    ):
        every = len(search(client, **query)["matches"])
        assert expected in (None, every), query
        for offset in (0, 1, every, every + 3):
            page = search(client, **query, count=1, offset=offset)
            assert (page["total"], page["exact"]) == (every, True), (query, offset)
            assert len(page["matches"]) == (offset < every)


def test_a_file_that_has_changed_is_shown_and_not_kept_as_what_it_was(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where nothing is kept of what it was
    picture = search(client)["matches"][0]["picture"]
    Image.new("RGB", (160, 120), "green").save(picture["path"])
    for address in ("view?size=1024", "thumbnail?size=128"):
        response = client.get(f"{API}/pictures/{picture['id']}/{address}")
        assert Image.open(io.BytesIO(response.content)).convert("RGB").getpixel((5, 5))[1] > 100  # type: ignore[index]
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers


def test_what_is_no_file_any_more_is_gone_at_once(client: TestClient) -> None:
    first, second = (match["picture"] for match in search(client, count=2)["matches"])
    for picture, make in ((first, os.mkfifo), (second, os.mkdir)):
        Path(picture["path"]).unlink()
        make(picture["path"])
        for what in ("original", "thumbnail", "view"):
            problem(client.get(f"{API}/pictures/{picture['id']}/{what}"), 404, "picture-gone")


def test_small_pictures_are_made_also_where_nothing_can_be_kept(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    first, second = (match["picture"]["id"] for match in search(client, count=2)["matches"])
    assert client.get(f"{API}/pictures/{first}/thumbnail").status_code == 200
    (folder,) = cache.rglob("thumbnails")
    assert len([*folder.rglob("*.jpg")]) == 1
    shutil.rmtree(folder)
    folder.touch()  # from here on, nothing can be written below it
    assert client.get(f"{API}/pictures/{second}/thumbnail").status_code == 200
