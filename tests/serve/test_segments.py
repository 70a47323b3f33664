"""Segments of a picture, and where a query is in it, over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from cbir.images.safely import open_image
from cbir.locate.locator import Locator
from cbir.segment.segmenter import Segmenter
from cbir.serve.problems import ProblemError
from cbir.serve.settings import Settings
from cbir.serve.turns import heavy_turns
from tests.serve.test_http import API, problem


def id_of(client: TestClient, name: str) -> str:
    return str(client.get(f"{API}/pictures/by-path", params={"path": name}).json()["id"])


def test_segments_are_those_of_the_shell_and_their_outlines_fill_them(client: TestClient, root: Path) -> None:
    found = client.get(f"{API}/pictures/{id_of(client, 'img_000.jpg')}/segments", params={"count": 4}).json()
    expected = Segmenter("fake").segment(root / "img_000.jpg", 4)
    assert (found["width"], found["height"]) == expected.image.size
    assert len(found["segments"]) == len(expected.segments) > 1
    for number, one in enumerate(found["segments"]):
        assert one["number"] == number
        assert one["box"] == list(expected.segments[number].box)
        inside = expected.labels == number
        filled = np.zeros(inside.shape, dtype=bool)
        for ring in one["outline"]:
            for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
                if x0 == x1:  # a pixel is inside if an odd number of upright edges is to its left
                    filled[min(y0, y1) : max(y0, y1), x0:] ^= True
        assert (filled == inside).all()


def test_where_a_query_is_told_if_it_is_there(client: TestClient, root: Path) -> None:
    picture = id_of(client, "img_000.jpg")
    body = {"like": [{"path": "img_000.jpg", "region": "20,20,60,60"}]}
    found = client.post(f"{API}/locate/{picture}", json=body).json()
    image = open_image(root / "img_000.jpg")
    locator = Locator("fake")
    expected = locator.locate(locator.target(image, "20,20,60,60"), image)
    assert found["score"] == round(expected.score, 4)
    assert found["box"] == (list(expected.box) if expected.score >= 0.5 else None)
    for other in ({}, {"words": ["dog"]}, {"like": [{"vector": "AAAA"}]}):
        problem(client.post(f"{API}/locate/{picture}", json=other), 422, "no-picture")


def test_a_file_that_is_gone_or_outside_is_not_read(client: TestClient, root: Path, tmp_path: Path) -> None:
    picture = id_of(client, "img_000.jpg")
    outside = tmp_path / "outside.jpg"
    (root / "img_000.jpg").rename(outside)
    problem(client.get(f"{API}/pictures/{picture}/segments"), 404, "picture-gone")
    (root / "img_000.jpg").symlink_to(outside)
    problem(client.get(f"{API}/pictures/{picture}/segments"), 403, "outside")
    other = id_of(client, "img_002.jpg")
    body = {"like": [{"path": "img_000.jpg"}]}
    problem(client.post(f"{API}/locate/{other}", json=body), 403, "outside")
    problem(client.post(f"{API}/locate/{picture}", json={"like": [{"path": "img_002.jpg"}]}), 403, "outside")


def test_a_picture_that_cannot_be_decoded_is_a_problem(client: TestClient, root: Path) -> None:
    picture = id_of(client, "img_000.jpg")
    (root / "img_000.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 500)
    problem(client.get(f"{API}/pictures/{picture}/segments"), 422, "picture-unreadable")


def test_heavy_requests_come_one_at_a_time_and_few_wait() -> None:
    async def three() -> list[int]:
        turns = heavy_turns(Settings(at_work=4, patience=5))
        entered, most = 0, 0

        async def one() -> int:
            nonlocal entered, most
            try:
                async with turns.one():
                    entered += 1
                    most = max(most, entered)
                    await asyncio.sleep(0.05)
                    entered -= 1
                    return 200
            except ProblemError as error:
                return error.status

        found = await asyncio.gather(*(one() for _ in range(3)))
        assert most == 1
        return found

    assert asyncio.run(three()) == [200, 200, 503]
