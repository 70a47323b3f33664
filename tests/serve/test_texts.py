"""Sentences in the server: over HTTP, and in the page's field."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cbir.backbones.backbone import named_by_user
from cbir.serve.app import make_app
from cbir.serve.service import Service
from tests.helpers.chromium import needs_chromium
from tests.helpers.toy import toy_index, toy_weights
from tests.helpers.waiting import GUARD_SECONDS
from tests.serve.browser import opened, ranks, serving, until


@pytest.fixture(autouse=True)
def known(own_cache: None) -> None:
    """The weights are known in each cache: an index alone may not name them."""
    named_by_user(str(toy_weights()), "toy")


@pytest.fixture(scope="module")
def toy() -> Iterator[TestClient]:
    """A client of a server of the drawn pictures by the toy network."""
    with TestClient(make_app(Service.open([f"{toy_index()}/"])), base_url="http://127.0.0.1:8580") as client:
        yield client


def folders(record: dict[str, Any]) -> list[str]:
    return [Path(match["path"]).parent.name for match in record["matches"]]


def post(client: TestClient, name: str, **body: Any) -> Any:
    return client.post(f"/api/v1/indexes/{name}/search", json={"count": 5, **body})


def test_sentences_are_answered_in_every_form(toy: TestClient) -> None:
    name = toy_index().name
    bodies = [
        {"text": "hot air balloons"},
        {"texts": ["hot air balloons"]},
        {"texts": ["9:hot air balloons", "galaxies"]},
    ]
    for body in bodies:
        found = post(toy, name, **body).json()
        assert set(folders(found)) == {"hot_air_balloons"}
        assert found["figures"] == ["score", "percentile"]
    address = f"/api/v1/indexes/{name}/search?text=hot+air+balloons&not_text=night&count=5"
    found = toy.get(address).json()
    assert set(folders(found)) == {"hot_air_balloons"}
    assert found["not_texts"] == [{"text": "night", "weight": 1.0}]


def test_pictures_and_judgements_go_with_sentences(toy: TestClient) -> None:
    name = toy_index().name
    like = [{"path": "mountain_lakes/mountain_lakes_05.jpg"}]
    assert set(folders(post(toy, name, like=like, texts=["9:galaxies"]).json())) == {"galaxies"}
    assert "mountain_lakes" not in folders(post(toy, name, like=like, not_texts=["30:mountain lakes"]).json())
    judged = post(toy, name, texts=["galaxies"], more=like * 1, count=20).json()
    assert "mountain_lakes" in folders(judged)


@pytest.mark.parametrize(
    "body",
    [
        {"texts": [" "]},
        {"texts": ["0:dog"]},
        {"not_texts": ["dog"]},
        {"texts": ["x" * 2001]},
        {"texts": ["a"] * 21},
        {"texts": "a"},
        {"texts": ["a dog"], "class_weights": "dog"},
    ],
)
def test_what_cannot_be_is_refused(toy: TestClient, body: dict[str, Any]) -> None:
    answer = post(toy, toy_index().name, **body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["detail"]


def test_words_go_beside_texts(toy: TestClient) -> None:
    body = {"texts": ["a photo of a lake"], "words": ["mountain"]}
    found = post(toy, toy_index().name, **body).json()
    assert [text["text"] for text in found["texts"]] == ["a photo of a lake"]
    assert [word["word"] for word in found["words"]] == ["mountain"]
    assert found["matches"]


def test_without_a_network_that_reads_text_the_nouns_are_looked_for(client: TestClient) -> None:
    found = post(client, "photos", text="two parrots on a branch").json()
    assert found["notices"][0].startswith("The network of the index photos, fake, reads no text")
    assert [word["word"] for word in found["words"]] == ["parrots"]
    refused = post(client, "photos", text="on it")
    assert refused.status_code >= 400
    assert "no noun" in refused.json()["detail"]


def test_the_contract_has_texts(toy: TestClient) -> None:
    document = toy.get("/api/v1/openapi.json").json()
    path = document["paths"]["/api/v1/indexes/{index}/search"]
    body = path["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"text", "texts", "not_texts"} <= body.keys()
    assert {"text", "not_text"} <= {one["name"] for one in path["get"]["parameters"]}


@needs_chromium
def test_the_field_takes_sentences(browser: Any) -> None:
    with serving("--index", f"{toy_index()}/") as address, opened(browser, address) as page:
        until(page, "document.querySelectorAll('#wall .card').length > 3")

        def enter(text: str, chips: int, is_found: Callable[[list[str]], bool]) -> None:
            page.fill("#words", text)
            page.focus("#words")
            page.keyboard.press("Enter")
            until(page, f"document.querySelectorAll('.chip').length === {chips}")
            end = time.monotonic() + GUARD_SECONDS
            while not (len(names := ranks(page)[:4]) == 4 and is_found(names)):
                assert time.monotonic() < end, names
                page.wait_for_timeout(25)

        enter("hot air balloons in the sky", 1, lambda names: all("hot_air_balloons" in name for name in names))
        enter("9:galaxies", 2, lambda names: all("galaxies" in name for name in names))
        enter("-90:galaxies", 3, lambda names: not any("galaxies" in name for name in names))
        assert "wrong" in page.locator(".chip").nth(2).get_attribute("class")
        page.go_back()
        until(page, "document.querySelectorAll('.chip').length === 2")
        assert "texts=hot" in page.url
        page.goto(page.url.split("#")[0] + "#index=" + toy_index().name + "&text=galaxies")
        until(page, "document.querySelectorAll('.chip').length === 1")
