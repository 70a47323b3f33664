"""People over HTTP and on their page: listed, named, merged, corrected, forgotten; and what is refused."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from cbir.index.home import index_directory
from cbir.index.lock import exclusive
from cbir.index.store import Index
from cbir.people.of_index import read_album
from cbir.serve.app import make_app
from cbir.serve.service import Service
from cbir.serve.settings import Settings
from tests.helpers.chromium import needs_chromium
from tests.helpers.people import Picture, box_of, give_faces
from tests.serve.browser import DESK, PHONE, opened, serving, sound, until
from tests.serve.test_http import API, problem

PEOPLE, PAGE = f"{API}/people", "/people/photos"

PICTURES: dict[str, Picture] = {
    "img_000.jpg": ["anna"],
    "beach/2020/img_001.jpg": ["anna"],
    "img_002.jpg": ["anna", "bob"],
    "beach/2020/img_003.jpg": ["bob", "cleo"],
    "img_004.jpg": ["bob"],
}


@pytest.fixture
def service(root: Path) -> Service:
    give_faces(index_directory("photos"), PICTURES)
    return Service.open(["photos"])


def listed(client: TestClient, path: str = PEOPLE) -> dict[str, Any]:
    for _ in range(500):
        response = client.get(path)
        if response.status_code != 202:
            break
        assert response.json()["status"] == "working"
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def say(client: TestClient, **said: object) -> int:
    response = client.post(PEOPLE, json=said)
    assert response.status_code == 200, response.text
    number: int = response.json()["person"]
    return number


def numbers(client: TestClient) -> list[tuple[int, str | None, int]]:
    return [(one["number"], one["name"], one["total"]) for one in listed(client)["people"]]


def faces_of(client: TestClient, number: int) -> dict[str, str]:
    """The faces of a person: the names by which requests call them, by their pictures."""
    found = listed(client, f"{PEOPLE}/{number}")
    return {f"{one['picture']['name']}#{one['number']}": one["face"] for one in found["faces"]}


def test_people_are_listed_with_faces(client: TestClient) -> None:
    found = listed(client)
    assert (found["total"], found["nobodys"]) == (2, 1)
    assert numbers(client) == [(1, None, 3), (2, None, 3)]
    first = found["people"][0]["faces"][0]
    assert first["box"] == list(box_of(0))
    response = client.get(f"{API}/pictures/{first['picture']['id']}/faces/{first['number']}")
    assert response.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(response.content)).format == "JPEG"
    assert "immutable" in response.headers["cache-control"]
    problem(client.get(f"{API}/pictures/{first['picture']['id']}/faces/9"), 404, "no-such-face")
    assert listed(client, f"{PEOPLE}?offset=1&count=1")["people"][0]["number"] == 2
    assert list(faces_of(client, 0)) == ["img_003.jpg#2"]
    assert client.get(API).json()["has"]["faces"] is True


def test_what_is_said_stays_and_is_listed_at_once(client: TestClient) -> None:
    state = listed(client)["state"]
    assert say(client, action="name", person=2, name="Bob") == 2
    assert numbers(client) == [(2, "Bob", 3), (1, None, 3)]
    faces = faces_of(client, 1)
    assert say(client, action="not", person=1, faces=[faces["img_000.jpg#1"]]) == 1
    assert "img_000.jpg#1" in faces_of(client, 0)
    assert say(client, action="add", into=2, faces=[faces["img_000.jpg#1"]]) == 2
    assert "img_000.jpg#1" in faces_of(client, 2)
    cleo = faces_of(client, 0)["img_003.jpg#2"]
    assert say(client, action="split", faces=[cleo], name="Cleo") == 3
    assert say(client, action="merge", person=3, into=2) == 2
    assert numbers(client) == [(2, "Bob", 5), (1, None, 2)]
    assert listed(client)["state"] == state, "pictures keep their ids"
    album = read_album(Index.open(index_directory("photos")))
    assert album.people[2].name == "Bob"
    assert client.delete(f"{PEOPLE}/2").status_code == 204
    assert numbers(client) == [(1, None, 2)]
    problem(client.delete(f"{PEOPLE}/2"), 422, "refused")


def test_what_cannot_be_is_refused(client: TestClient, service: Service) -> None:
    say(client, action="name", person=1, name="Anna")
    face = next(iter(faces_of(client, 1).values()))
    before = (index_directory("photos") / "meta.json").read_bytes()
    for said, status, kind in (
        ({"action": "name", "person": 2, "name": "anna"}, 422, "refused"),
        ({"action": "name", "person": 2}, 422, "refused"),
        ({"action": "name", "person": 9, "name": "Bob"}, 404, "no-such-person"),
        ({"action": "name", "name": "Bob"}, 422, "invalid"),
        ({"action": "merge", "person": 1}, 422, "invalid"),
        ({"action": "merge", "person": 1, "into": 9}, 404, "no-such-person"),
        ({"action": "not"}, 422, "invalid"),
        ({"action": "add", "faces": [face]}, 422, "invalid"),
        ({"action": "add", "into": 1, "faces": ["0" * 64 + ":1,2,3,4"]}, 410, "face-gone"),
        ({"action": "not", "faces": [face.replace(":0,", ":1,")]}, 410, "face-gone"),
        ({"action": "not", "faces": ["../etc/passwd"]}, 410, "face-gone"),
        ({"action": "dance"}, 422, "invalid"),
        ({"action": "split", "faces": [face] * 1001}, 422, "invalid"),
    ):
        problem(client.post(PEOPLE, json=said), status, kind)
    problem(client.get(f"{PEOPLE}/9"), 404, "no-such-person")
    assert (index_directory("photos") / "meta.json").read_bytes() == before
    with exclusive(index_directory("photos")):
        problem(client.post(PEOPLE, json={"action": "name", "person": 2, "name": "Bob"}), 503, "index-busy")


def test_an_index_without_faces_says_how_to_get_them(root: Path) -> None:
    with TestClient(make_app(Service.open(["photos"])), base_url="http://127.0.0.1:8580") as client:
        assert "--faces` looks for them" in problem(client.get(PEOPLE), 422, "refused")["detail"]
        response = client.get(PAGE)
        assert response.status_code == 422
        assert "--faces` looks for them" in response.text
        assert client.get(API).json()["has"]["faces"] is False


def form(client: TestClient, **fields: object) -> Any:
    return client.post(PAGE, data=fields, follow_redirects=False)


def test_the_page_takes_forms_and_leads_back(client: TestClient) -> None:
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "script" not in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    done = form(client, action="name", person=1, name="<b>Anna</b>", into="")
    assert (done.status_code, done.headers["location"]) == (303, "photos#person-1")
    page = client.get(PAGE)
    assert "&lt;b&gt;Anna&lt;/b&gt;" in page.text
    assert "<b>Anna" not in page.text
    faces = re.findall(r'name="face" value="([^"]+)"', client.get(f"{PAGE}?person=1").text)
    assert len(faces) == 3
    # the name that is there already is not that of the new one
    done = form(client, action="split", person=1, name="<b>Anna</b>", face=faces[:2], shown="1")
    assert (done.status_code, done.headers["location"]) == (303, "photos#person-3")
    assert [total for _, _, total in numbers(client)] == [1, 3, 2]
    done = form(client, action="not", person=2, face=faces_of(client, 2)["img_004.jpg#1"], shown="2")
    assert done.headers["location"] == "photos?person=2#person-2"


def test_what_the_page_cannot_do_it_tells(client: TestClient) -> None:
    for fields, why in (
        ({"action": "name", "person": 1, "name": "12"}, "A person cannot be called"),
        ({"action": "merge", "person": 1, "into": ""}, "into is missing"),
        ({"action": "add", "person": 1, "into": 2}, "No face is chosen."),
        ({"action": "x"}, "action"),
        ({"action": "name", "person": 9, "name": "Bob"}, "no person 9"),
    ):
        done = form(client, **fields)
        assert done.status_code == 422
        assert done.headers["content-type"] == "text/html; charset=utf-8"
        assert re.search(rf'role="alert">[^<]*{why}', done.text), done.text[:2000]
    assert client.post(PAGE, content=b"a=1&" * 5000).status_code == 422
    assert client.get("/people/other").status_code == 404
    assert client.get(f"{PAGE}?person=9").status_code == 404


def test_another_page_cannot_send_its_forms(client: TestClient, service: Service) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        done = client.post(PAGE, data={"action": "name", "person": 1, "name": "Eve"}, headers=headers)
        assert done.status_code == 403
    with TestClient(make_app(service, Settings(token="secret")), base_url="http://127.0.0.1:8580") as other:
        assert other.get(PAGE).status_code == 401
        assert other.post(PAGE, data={"action": "name", "person": 1, "name": "Eve"}).status_code == 401
    assert numbers(client) == [(1, None, 3), (2, None, 3)]


@pytest.fixture
def address(root: Path) -> Iterator[str]:
    give_faces(index_directory("photos"), PICTURES)
    with serving("--index", "photos") as one:
        yield one


@needs_chromium
@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_people_are_named_on_their_page(browser: Any, address: str, size: dict[str, int], scheme: str) -> None:
    with opened(browser, address, size=size, color_scheme=scheme) as page:
        page.wait_for_selector("#people:not([hidden])")
        page.click("#people")
        page.wait_for_selector("form.group")
        sound(page)
        assert page.locator(".faces img").count() == 6
        until(page, "[...document.images].every(one => !one.complete || one.naturalWidth > 0)")
        first = page.locator("form.group").first
        first.locator("[name=name]").fill("Anna")
        first.locator("[name=name]").press("Enter")
        page.wait_for_selector("h3:has-text('Anna')")
        assert page.url.endswith("/people/photos#person-1")
        anna = page.locator("#person-1")
        anna.locator("[type=checkbox]").first.check()
        anna.locator("[value=not]").click()
        page.wait_for_selector("#person-1 .heading p:has-text('2 faces')")
        anna.locator("[name=into]").select_option("2")
        anna.locator("[value=merge]").click()
        page.wait_for_selector("#person-2 .heading p:has-text('5 faces')")
        page.click("nav a:has-text('Pictures')")
        page.wait_for_selector("#wall .card")
