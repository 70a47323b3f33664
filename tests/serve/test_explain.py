"""Why a picture was found, over HTTP: the shell's records, the picture of them, and what cannot be told."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from PIL import Image

import cbir
from cbir.cli import cli
from cbir.notions.store import keep_notion
from cbir.serve.app import make_app
from cbir.serve.service import Service
from tests.helpers.notions import make_notion
from tests.serve.test_http import API, problem

QUERY, MATCH = "img_000.jpg", "img_002.jpg"


def id_of(client: TestClient, name: str = MATCH) -> str:
    return str(client.get(f"{API}/pictures/by-path", params={"path": name}).json()["id"])


def why(client: TestClient, search: dict[str, Any], **asked: object) -> dict[str, Any]:
    response = client.post(f"{API}/explain/{id_of(client)}", json=search, params=asked)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def shell(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["explain", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    (record,) = json.loads(result.stdout)
    found: dict[str, Any] = record
    return found


def without_pictures(record: dict[str, Any]) -> dict[str, Any]:
    """A record without where the pictures of its way are to be had, which the shell does not tell."""
    for one in (*record["way"]["neighbours"], *record["way"]["steps"]):
        assert one["path"].endswith(one.pop("picture")["name"])
    return record


@pytest.mark.parametrize("options", [(), ("--fine",), ("--all-pairs",)])
def test_one_picture_is_explained_as_the_shell_does(client: TestClient, root: Path, options: tuple[str, ...]) -> None:
    asked = {name[2:].replace("-", "_"): True for name in options}
    found = why(client, {"like": [{"path": QUERY}]}, **asked)
    assert (found["picture"]["name"], found["notices"], found["parts"]) == (MATCH, [], [])
    (record,) = found["explanations"]
    assert without_pictures(record) == shell(root / QUERY, root / MATCH, *options)
    by_address = client.get(f"{API}/explain/{id_of(client)}", params={"like": QUERY, **asked}).json()
    assert without_pictures(by_address["explanations"][0]) == record


def test_a_picture_of_the_request_is_explained_and_kept_nowhere(client: TestClient, root: Path) -> None:
    upload = {"files": ("own.jpg", (root / QUERY).read_bytes())}
    body = {"query": json.dumps({"like": [{"upload": 0}]})}
    response = client.post(f"{API}/explain/{id_of(client)}", data=body, files=upload)
    (record,) = response.json()["explanations"]
    expected = shell(root / QUERY, root / MATCH)
    assert without_pictures(record) == expected | {"query": "own.jpg"}
    drawn = client.post(f"{API}/explain/{id_of(client)}/overlay", data=body, files=upload)
    assert Image.open(io.BytesIO(drawn.content)).width > 640, "both are side by side"


def test_words_are_explained_as_the_shell_does(client: TestClient, root: Path) -> None:
    found = why(client, {"words": ["dog", "lake"], "like": [{"path": QUERY}]})
    pair, *words = found["explanations"]
    assert pair["query_places"]
    assert words == [shell("--word", word, root / MATCH) for word in ("dog", "lake")]
    five = why(client, {"words": ["dog", "cat", "lake", "boat", "car"]})
    assert len(five["explanations"]) == 4
    assert five["notices"] == ["The first 4 words are shown."]
    text = why(client, {"text": "a dog on a boat"})
    assert [one["word"] for one in text["explanations"]] == ["dog", "boat"]
    assert "reads no text" in text["notices"][0]


def test_several_pictures_are_explained_together(client: TestClient) -> None:
    search = {"like": [{"path": QUERY}, {"path": "img_004.jpg", "weight": 3}], "more": [{"path": "img_006.jpg"}]}
    (record,) = (found := why(client, search))["explanations"]
    score = next(
        one["score"]
        for one in client.post(f"{API}/search", json=search | {"reranked": False}).json()["matches"]
        if one["picture"]["name"] == MATCH
    )
    assert abs(record["score"] - score) < 1e-3  # rows are in float16
    shares = record["match_places"][0]
    assert abs(sum(map(sum, shares["raw"])) - record["score"]) < 1e-5
    assert abs(sum(map(sum, shares["likeness"])) - record["likeness"]) < 1e-5
    assert (record["by"], record["query_places"], record["lines"], record["words"]) == ("centred", None, [], [])
    assert [one["picture"]["name"] for one in found["parts"]] == [QUERY, "img_004.jpg", "img_006.jpg"]
    alone = why(client, {"like": [{"path": QUERY}]})["explanations"][0]
    assert abs(found["parts"][0]["score"] - alone["score"]) < 1e-3
    assert "several pictures" in found["notices"][0]


def test_of_a_feature_or_a_region_the_match_alone_has_places(client: TestClient, root: Path) -> None:
    pair = why(client, {"like": [{"path": QUERY}]})["explanations"][0]
    upload = {"file": ("own.jpg", (root / QUERY).read_bytes())}
    vector = client.post(f"{API}/encode", files=upload).json()["vector"]
    (record,) = (found := why(client, {"like": [{"vector": vector, "name": "own.jpg"}]}))["explanations"]
    assert "only the feature is kept" in found["notices"][0]
    assert (record["query"], record["query_places"]) == ("own.jpg", None)
    for one, other in ((record["match_places"][0][key], pair["match_places"][0][key]) for key in ("raw", "likeness")):
        assert np.abs(np.subtract(one, other)).max() < 1e-4
    assert abs(record["way"]["direct"] - pair["way"]["direct"]) < 0.01
    for part in ({"region": "20,20,60,60"}, {"segment": 0}):
        found = why(client, {"like": [{"path": QUERY, **part}]})
        assert "by a part of a picture" in found["notices"][0]
        assert found["explanations"][0]["score"] != pair["score"]


def test_without_reranking_there_is_no_way_and_filters_are_left_aside(client: TestClient) -> None:
    search = {"like": [{"path": QUERY}]}
    assert "way" not in why(client, search | {"reranked": False})["explanations"][0]
    found = why(client, search | {"filter": {"folders": [""]}, "class_weights": "goldfish"})
    assert found["explanations"][0]["way"]["steps"]
    assert ["Filters are left aside" in one for one in found["notices"]] == [True, False]


def test_a_notion_has_its_own_likeness(client: TestClient, root: Path) -> None:
    index = cbir.open("photos").index
    rows = np.arange(9)
    keep_notion(index.directory, make_notion(index, rows, rows % 3, name="taste"))
    client.app.state.service.indexes["photos"].look()  # type: ignore[attr-defined]
    for like in ([QUERY], [QUERY, "img_006.jpg"]):
        search: dict[str, Any] = {"like": [{"path": one} for one in like], "learnt": "taste"}
        (record,) = why(client, search)["explanations"]
        assert record["by"] == "learnt"
        assert abs(sum(map(sum, record["match_places"][0]["likeness"])) - record["likeness"]) < 1e-5
    expected = shell(root / QUERY, root / MATCH, "--learnt", "taste")
    assert without_pictures(why(client, {"like": [{"path": QUERY}], "learnt": "taste"})["explanations"][0]) == expected
    found = client.post(f"{API}/search", json=search | {"reranked": False}).json()["matches"]
    score = next(one["score"] for one in found if one["picture"]["name"] == MATCH)
    assert abs(record["likeness"] - score) < 2e-3
    problem(client.post(f"{API}/explain/{id_of(client)}", json=search | {"learnt": "none"}), 422, "refused")


def test_the_overlay_is_a_picture(client: TestClient) -> None:
    path = f"{API}/explain/{id_of(client)}/overlay"
    sizes = []
    every: list[dict[str, Any]] = [{"like": QUERY}, {"like": [QUERY, "img_004.jpg"]}, {"word": "dog"}]
    for asked in (*every, {"like": QUERY, "fine": True}):
        response = client.get(path, params=asked)
        assert response.headers["content-type"] == "image/jpeg"
        sizes.append(Image.open(io.BytesIO(response.content)).width)
    pair, alone, word, fine = sizes
    assert pair == fine == 2 * alone + 12
    assert word == alone


def test_what_has_no_places_says_so(client: TestClient) -> None:
    path = f"{API}/explain/{id_of(client)}"
    for search, said in (
        ({}, "neither a picture nor a word"),
        ({"less": [{"path": QUERY}]}, "to be unlike"),
        ({"without": ["dog"]}, "to be without"),
        ({"person": "Anna"}, "by a face"),
        ({"like": [{"path": QUERY, "face": 1}]}, "by a face"),
        ({"objects": ["dog"]}, "by objects"),
    ):
        assert said in problem(client.post(path, json=search), 422, "nothing-to-explain")["detail"]


def test_requests_that_cannot_be_are_refused(client: TestClient) -> None:
    path, like = f"{API}/explain/{id_of(client)}", {"like": [{"path": QUERY}]}
    problem(client.post(path, json={"like": [{"path": "../../etc/passwd"}]}), 404, "no-such-picture")
    problem(client.post(path, json={"like": [{"upload": 0}]}), 422, "no-such-upload")
    problem(client.post(path, json={"like": [{"vector": "AAAA"}]}), 422, "invalid")
    problem(client.post(path, json={"like": [{"vector": "AAAAAAAA"}]}), 422, "other-network")
    problem(client.post(path, json={"like": [{"path": QUERY, "region": "9,9,9999,1"}]}), 422, "no-such-region")
    problem(client.post(path, json={"words": ["qwertz"]}), 422, "refused")
    problem(client.get(path, params={"like": "x" * 5000}), 422, "invalid")
    problem(client.post(f"{API}/explain/0123456789ab-1", json=like), 410, "state-gone")
    problem(client.post(f"{API}/explain/..%2f..%2fetc", json=like), 404, "http")
    problem(client.post(path.replace("photos", "nope"), json=like), 404, "no-such-index")
    upload = {"files": ("own.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 500)}
    body = {"query": json.dumps({"like": [{"upload": 0}]})}
    problem(client.post(path, data=body, files=upload), 422, "picture-unreadable")


def test_files_that_are_gone_changed_or_outside(
    client: TestClient, root: Path, tmp_path: Path, draw_picture: Callable[..., Image.Image]
) -> None:
    path, search = f"{API}/explain/{id_of(client)}", {"like": [{"path": QUERY}]}
    whole = why(client, search)["explanations"][0]
    query = (root / QUERY).read_bytes()
    (root / QUERY).unlink()
    found = why(client, search)
    (record,) = found["explanations"]
    assert "cannot be read" in found["notices"][0]
    assert "only its feature is known" in found["notices"][0]
    assert abs(record["score"] - whole["score"]) < 1e-3
    assert record["query_places"] is None
    (root / QUERY).write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 500)
    assert why(client, search)["explanations"][0]["query_places"] is None
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(query)
    (root / QUERY).unlink()
    (root / QUERY).symlink_to(outside)
    problem(client.post(path, json=search), 403, "outside")
    (root / QUERY).unlink()
    draw_picture(77).save(root / QUERY)
    found = why(client, search)
    assert found["notices"] == [f"{QUERY} has changed since it was indexed: it is looked at as it is now."]
    assert found["explanations"][0]["score"] != whole["score"]
    (root / MATCH).unlink()
    problem(client.post(path, json=search), 404, "picture-gone")
    (root / MATCH).symlink_to(outside)
    problem(client.post(path, json=search), 403, "outside")


def test_an_index_that_is_away_and_a_server_that_is_busy(client: TestClient, service: Service) -> None:
    path, search = f"{API}/explain/{id_of(client)}", {"like": [{"path": QUERY}]}
    meta = service.indexes["photos"].directory / "meta.json"
    aside = meta.with_name("aside")
    meta.rename(aside)
    service.indexes["photos"].look()
    problem(client.post(path, json=search), 503, "index-gone")
    aside.rename(meta)
    service.indexes["photos"].look()
    assert client.post(path, json=search).status_code == 200
    client.app.state.heavy._settings = client.app.state.heavy._settings.__class__(at_work=0, waiting=0)  # type: ignore[attr-defined]
    response = client.post(path, json=search)
    problem(response, 503, "busy")
    assert response.headers["retry-after"]


def test_a_network_without_places_says_so(photo_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(3, "few")
    cbir.index_folder(root, "few", model="alexnet", weights="untrained")
    with TestClient(make_app(Service.open(["few"])), base_url="http://127.0.0.1:8580") as client:
        path = f"{API.replace('photos', 'few')}/explain/{{}}"
        id_ = client.get(path.format("x").replace("explain/x", "search")).json()["matches"][0]["picture"]["id"]
        for search in ({"like": [{"path": "img_000.jpg"}]}, {"words": ["dog"]}):
            detail = problem(client.post(path.format(id_), json=search), 422, "refused")["detail"]
            assert "No place of a picture has its own share in what alexnet makes of it" in detail
        page = client.get("/why", params={"index": "few", "picture": id_, "words": "dog"})
        assert page.status_code == 422
        assert "No place of a picture has its own share" in page.text


def test_a_search_by_parts_says_that_whole_pictures_are_compared(photo_folder: Callable[..., Path]) -> None:
    cbir.index_folder(photo_folder(3, "few"), "few", model="fake", parts=True)
    with TestClient(make_app(Service.open(["few"])), base_url="http://127.0.0.1:8580") as client:
        api = API.replace("photos", "few")
        id_ = client.get(f"{api}/search").json()["matches"][0]["picture"]["id"]
        search = {"like": [{"path": "img_000.jpg", "region": "20,20,60,60"}]}
        (notice,) = client.post(f"{api}/explain/{id_}", json=search).json()["notices"]
        assert "the search compared parts: Where is it? shows where" in notice


def test_a_feature_of_the_request_moves_nothing_on_disk(client: TestClient, root: Path) -> None:
    before = sorted(path.name for path in root.rglob("*"))
    vector = np.ones(client.app.state.service.indexes["photos"].state.index.dimension, dtype="<f2")  # type: ignore[attr-defined]
    why(client, {"like": [{"vector": base64.b64encode(vector.tobytes()).decode()}]})
    assert sorted(path.name for path in root.rglob("*")) == before


def test_it_is_in_the_document_of_the_interface(client: TestClient) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    for path in ("/api/v1/indexes/{index}/explain/{picture}", "/api/v1/indexes/{index}/explain/{picture}/overlay"):
        assert set(paths[path]) == {"get", "post"}
        assert "application/json" in paths[path]["post"]["requestBody"]["content"]
