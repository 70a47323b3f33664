"""Weights of pictures, words and texts over HTTP."""

from __future__ import annotations

from fastapi.testclient import TestClient

SEARCH = "/api/v1/indexes/photos/search"


def test_pictures_words_and_texts_have_weights(client: TestClient) -> None:
    like = [{"path": "img_000.jpg", "weight": 2}, {"path": "img_002.jpg"}]
    search = {"like": like, "words": ["3:dog"], "without": ["0.5:cat"], "text": "2:a horse"}
    answer = client.post(SEARCH, json=search).json()
    assert answer["weights"] == [2, 1]
    assert {one["word"]: one["weight"] for one in answer["words"]} == {"dog": 3, "horse": 2}
    assert [(one["word"], one["weight"]) for one in answer["not_words"]] == [("cat", 0.5)]
    assert client.get(SEARCH, params={"word": "2:dog", "like": "img_000.jpg"}).json()["words"][0]["weight"] == 2


def test_impossible_weights_are_refused(client: TestClient) -> None:
    for weight in (0, -1, 1e9, "NaN", None):
        assert client.post(SEARCH, json={"like": [{"path": "img_000.jpg", "weight": weight}]}).status_code == 422
    for search in ({"words": ["0:dog"]}, {"text": "0:dog"}, {"words": ["9999999:dog"]}):
        answer = client.post(SEARCH, json=search)
        assert answer.status_code in (400, 422), search
        assert "is no number from" in answer.json()["detail"]
