"""The page that tells why a picture was found: made by the server, and in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import cbir
from cbir.serve.addresses import PageAddress
from cbir.serve.app import make_app
from cbir.serve.problems import ProblemError
from cbir.serve.service import Service
from tests.helpers.chromium import needs_chromium
from tests.serve.browser import DESK, PHONE, opened, serving, sound, until, until_found
from tests.serve.test_http import API

pytest.importorskip("fastapi", reason="cbir[serve] is not installed")

QUERY, MATCH = "img_000.jpg", "img_002.jpg"


def sha256_of(client: TestClient, name: str) -> str:
    return str(client.get(f"{API}/pictures/by-path", params={"path": name}).json()["sha256"])[:16]


def address(client: TestClient, **fields: object) -> str:
    return f"/why?{urlencode({'index': 'photos', **fields, 'picture': sha256_of(client, MATCH)}, doseq=True)}"


def test_an_address_of_the_page_is_a_search() -> None:
    sha = "0123456789abcdef"
    fields = {
        "index": "my \\ud800",
        "picture": sha,
        "view": "map",
        "like": [f"{sha}@s3", f"{sha}@f2", f"{sha}@10,20,30%,40%", "v:AAA+/=:own\\\\.jpg", "nonsense", f"{sha}{sha}"],
        "less": sha,
        "words": ["dog", 'a \\"b\\"'],
        "text": "a dog",
        "not_texts": "a cat",
        "folders": ["", "beach"],
        "since": "2020-01-01",
        "until": "",
        "score": "0.5",
        "learnt": "taste",
    }
    found = PageAddress.parse(urlencode(fields, doseq=True))
    search = found.search
    assert (found.index, found.picture) == ("my \ud800", sha)
    assert [one.model_dump(exclude_defaults=True) for one in search.like] == [
        {"sha256": sha, "segment": 3},
        {"sha256": sha, "face": 2},
        {"sha256": sha, "region": "10,20,30%,40%"},
        {"vector": "AAA+/=", "name": "own\\.jpg"},
        {"sha256": sha},
    ]
    assert (search.words, search.texts, search.not_texts) == (["dog", 'a "b"'], ["a dog"], ["a cat"])
    assert (search.filter.folders, str(search.filter.since), search.filter.until) == (["", "beach"], "2020-01-01", None)
    assert search.filter.min_score == 0.5
    assert search.learnt is None, "searches by words are without"
    assert PageAddress.parse(f"like={sha}&learnt=taste").search.learnt == "taste"
    for wrong in ("since=never", "words=" + "x" * 300, "a=1&" * 4000, f"score={'9' * 400}"):
        with pytest.raises(ProblemError):
            PageAddress.parse(wrong)


def test_the_page_shows_both_pictures_their_words_and_the_way(client: TestClient) -> None:
    response = client.get(address(client, like=sha256_of(client, QUERY)))
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "script" not in policy
    assert "default-src 'none'" in policy
    text = response.text
    assert "<script" not in text
    assert f"Why – {MATCH}" in text
    for part in (
        "What both show",
        "The way to it",
        "Numbers join the places",
        "less the mean",
        "data:image/jpeg;base64,",
    ):
        assert part in text
    images = re.findall(r'src="(api/[^"]+)"', text)
    assert images
    assert {client.get(f"/{one}").status_code for one in images} == {200}
    (other,) = re.findall(r'href="(\?[^"]+fine=1)"', text)
    fine = client.get(f"/why{other.replace('&amp;', '&')}")
    assert "Places as usual" in fine.text
    assert "fine=1" not in re.sub(r'src="[^"]*"', "", fine.text)


def test_it_leads_back_to_the_large_picture(client: TestClient) -> None:
    text = client.get(address(client, like=sha256_of(client, QUERY), folders="")).text
    (back,) = re.findall(r'href="./#([^"]+)">Back', text)
    fields = parse_qs(back.replace("&amp;", "&"), keep_blank_values=True)
    assert fields == {
        "index": ["photos"],
        "like": [sha256_of(client, QUERY)],
        "folders": [""],
        "picture": [sha256_of(client, MATCH)],
    }


def test_words_have_a_picture_each(client: TestClient) -> None:
    text = client.get(address(client, words=["dog", "lake"])).text
    assert re.findall("What speaks for ([a-z]+)", text) == ["dog", "lake"]
    assert text.count("data:image/jpeg") == 2
    assert "The way to it" not in text


def test_of_several_pictures_each_leads_to_its_own_page(client: TestClient) -> None:
    names = [QUERY, "img_004.jpg"]
    text = client.get(address(client, like=[sha256_of(client, one) for one in names], learnt="")).text
    assert "2 pictures" in text
    links = re.findall(r'href="\?([^"]+like=[^"]+)"><span', text.replace("\n", ""))
    assert len(links) == 2
    for link in links:
        one = client.get(f"/why?{link.replace('&amp;', '&')}")
        assert "Numbers join the places" in one.text


def test_a_picture_of_the_reader_is_asked_for_and_shown(client: TestClient, root: Path) -> None:
    upload = {"file": ("own.jpg", (root / QUERY).read_bytes())}
    vector = client.post(f"{API}/encode", files=upload).json()["vector"]
    where = address(client, like=f"v:{vector}:own.jpg")
    text = client.get(where).text
    assert 'enctype="multipart/form-data"' in text
    assert "Numbers join the places" not in text
    (action,) = re.findall(r'action="(\?[^"]+)"', text)
    response = client.post(f"/why{action.replace('&amp;', '&')}", files=upload)
    assert response.status_code == 200
    assert "Numbers join the places" in response.text
    assert "own.jpg" in response.text
    assert "<form" not in response.text
    assert client.post(where, files={"file": ("own.jpg", b"no picture")}).status_code == 422
    assert client.post(where, data={"file": "no picture"}).status_code == 415


def test_what_goes_wrong_is_told_on_the_page(client: TestClient, root: Path) -> None:
    like = sha256_of(client, QUERY)
    for where, status, said in (
        ("/why", 404, "No index"),
        ("/why?index=%3Cb%3E&picture=1", 404, "No index &lt;b&gt;"),
        (f"/why?index=photos&like={like}", 410, "has changed since"),
        (f"/why?index=photos&like={like}&picture=%3Cscript%3E", 410, "&lt;script&gt;"),
        (f"/why?index=photos&like={'0' * 16}&picture={like}", 404, "no picture 0000"),
        (address(client), 422, "neither a picture nor a word"),
        (address(client, since="never"), 422, "not understood"),
    ):
        response = client.get(where)
        assert response.status_code == status, where
        assert said in response.text, where
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "<script" not in response.text
    where = address(client, like=like)
    (root / MATCH).unlink()
    response = client.get(where)
    assert response.status_code == 404
    assert f"{MATCH} cannot be read" in response.text


def test_names_of_strangers_are_text(
    photo_folder: Callable[..., Path], draw_picture: Callable[..., Image.Image]
) -> None:
    root = photo_folder(5, "strange")
    hostile = '"><img src=x onerror=alert(1)>&amp;.jpg'
    draw_picture(9).save(root / hostile)
    cbir.index_folder(root, "photos", model="fake")
    with TestClient(make_app(Service.open(["photos"])), base_url="http://127.0.0.1:8580") as client:
        its, other = sha256_of(client, hostile), sha256_of(client, QUERY)
        for like, picture in ((its, other), (other, its), (f"v:{'AAAA' * 3}:{hostile}", other)):
            fields = {"index": "photos", "like": like, "picture": picture, "x": '"><script>'}
            text = client.get(f"/why?{urlencode(fields)}").text
            assert "<img src=x" not in text
            assert "<script" not in text
            assert like is not its or "&lt;img src=x onerror=alert(1)&gt;&amp;amp;.jpg" in text
        raw = client.get('/why?index=photos&like=%22&x="><script>', headers={"accept": "text/html"})
        assert "<script" not in raw.text


@pytest.fixture(scope="module")
def tour(tour_index: Path) -> Iterator[str]:
    with serving("--index", f"{tour_index}/") as one:
        yield one


@needs_chromium
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_large_picture_leads_to_it_and_back(browser: Any, tour: str, size: dict[str, int]) -> None:
    with opened(browser, tour, size=size) as page:
        until(page, "document.querySelectorAll('#wall .card').length > 3")
        page.locator("#wall .card a.frame").first.click()
        page.wait_for_selector("#facts dt:text-is('Path')")
        assert page.locator("#why").is_hidden(), "nothing was asked"
        page.click("[data-do=alone]")
        until(page, "!document.querySelector('#viewer').open")
        until_found(page)
        until(page, "document.querySelectorAll('#wall .card').length > 3")
        page.locator("#wall .card a.frame").nth(1).click()
        page.wait_for_selector("#facts dt:text-is('Path')")
        shown = page.inner_text("#viewer-name")
        where = page.url
        if size is DESK:
            page.keyboard.press("y")
        else:
            page.click("#why")
        page.wait_for_selector(".pair img")
        assert page.inner_text("#title").startswith("Why ")
        assert shown in page.inner_text("#title")
        until(page, "[...document.images].every(one => one.complete && one.naturalWidth)")
        sound(page)
        page.click("text=Back to the picture")
        page.wait_for_selector("#facts dt:text-is('Path')")
        assert parse_qs(page.url.partition("#")[2]) == parse_qs(where.partition("#")[2])
        assert page.inner_text("#viewer-name") == shown
        sound(page)


@needs_chromium
def test_a_picture_of_the_reader_is_chosen_in_a_form(browser: Any, tour: str) -> None:
    own = Path(__file__).parents[2] / "dataset/photos/chess_boards/chess_boards_01.jpg"
    with opened(browser, tour) as page:
        until(page, "document.querySelectorAll('#wall .card').length > 3")
        page.set_input_files("#file", own)
        until_found(page)
        until(page, "document.querySelectorAll('#wall .card').length > 3")
        page.locator("#wall .card a.frame").nth(2).click()
        page.wait_for_selector("#facts dt:text-is('Path')")
        page.click("#why")
        page.wait_for_selector(".why form")
        sound(page)
        page.set_input_files("input[type=file]", own)
        page.click("text=Show its places")
        page.wait_for_selector("text=Numbers join the places")
        assert own.name in page.inner_text("#title")
        sound(page)
