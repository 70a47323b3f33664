"""Notions over HTTP: from marks, growing, searched by, asked, forgotten; and what is refused."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from PIL import Image

import cbir
from cbir.cli import cli
from cbir.index.format import load_meta
from cbir.index.home import index_directory
from cbir.index.lock import exclusive
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.learn.marks import learn_marks
from cbir.learn.pictures import Picture
from cbir.notions.notion import NONE
from cbir.notions.store import keep_notion, load_notion
from cbir.serve.answer import answer
from cbir.serve.app import make_app
from cbir.serve.bodies import Search
from cbir.serve.problems import ProblemError
from cbir.serve.refs import Refs
from cbir.serve.search import resolved
from cbir.serve.searching import _answer, _States
from cbir.serve.service import Service
from tests.serve.test_http import API, problem, search

NOTIONS = f"{API}/notions"


def ref(number: int) -> dict[str, str]:
    return {"path": f"img_00{number}.jpg" if number % 2 == 0 else f"beach/2020/img_00{number}.jpg"}


def mark(
    client: TestClient, alike: Sequence[int], unlike: Sequence[int] = (), *, add: bool = False, name: str = "mine"
) -> dict:
    body = {"name": name, "alike": [ref(one) for one in alike], "unlike": [ref(one) for one in unlike], "add": add}
    response = client.post(NOTIONS, json=body)
    assert response.status_code == 201, response.text
    return response.json()


def names(found: dict) -> list[str]:
    return [match["picture"]["name"] for match in found["matches"]]


def test_marks_become_a_notion_that_grows_and_is_forgotten(client: TestClient) -> None:
    assert client.get(NOTIONS).json() == {"notions": [], "problems": []}
    made = mark(client, [0, 2], [1])
    assert made.items() >= {"name": "mine", "classes": ["alike"], "kind": "marks", "verdict": "weak"}.items()
    assert (made["labels"], made["stale"]) == (3, False)
    assert client.get(NOTIONS).json()["notions"] == [made]
    grown = mark(client, [4, 1], [6], add=True)
    assert grown["labels"] == 5
    index = Index.open(index_directory("photos"))
    labels = load_notion(index, "mine").labels
    given = {
        index.record(index.find(content.tobytes().hex())[0]).path: number
        for content, number in zip(labels.sha256s, labels.classes.tolist(), strict=True)
    }
    assert given == {ref(one)["path"]: 0 for one in (0, 2, 4, 1)} | {ref(6)["path"]: NONE}
    assert find_problems(index) == []
    response = client.delete(f"{NOTIONS}/mine")
    assert (response.status_code, response.content) == (204, b"")
    assert client.get(NOTIONS).json()["notions"] == []
    problem(client.delete(f"{NOTIONS}/mine"), 404, "no-such-notion")


def test_a_mark_changes_the_order_and_no_id(client: TestClient) -> None:
    before = search(client, like=[ref(0)], count=9, include_self=True)
    mark(client, [0, 5], [int(names(before)[1][4:7])])
    learnt = search(client, like=[ref(0)], count=9, include_self=True, learnt="mine")
    assert learnt["learnt"] == "mine"
    assert learnt["state"] == before["state"]
    assert names(learnt) != names(before)
    place = names(learnt).index("img_005.jpg")
    assert place < names(before).index("img_005.jpg")
    address = {"like": ref(0)["path"], "learnt": "mine"}
    posted = search(client, like=[ref(0)], learnt="mine")
    assert client.get(f"{API}/search", params=address).json()["matches"] == posted["matches"]
    assert before["learnt"] is None
    # another mark counts in the next search
    last = names(learnt)[-1]
    mark(client, [int(last[4:7])], [], add=True)
    grown = search(client, like=[ref(0)], count=9, include_self=True, learnt="mine")
    assert names(grown).index(last) < names(learnt).index(last)
    # ids of before are still good
    assert client.get(f"{API}/pictures/{before['matches'][0]['picture']['id']}").status_code == 200
    problem(client.post(f"{API}/search", json={"like": [ref(0)], "learnt": "other"}), 422, "refused")


def test_boxes_become_a_notion_of_parts(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(6):
        picture = draw_picture(number, (180, 120))
        if number < 4:
            picture.paste(draw_picture(70 + number % 2, (60, 60)).rotate(number), (60, 30))
        picture.save(tmp_path / "photos" / f"{number}.png")
    told = CliRunner().invoke(cli, ["index", f"{tmp_path}/photos", "--index", "boxes", "--parts", "-q"])
    assert told.exit_code == 0, told.output
    boxes = [{"path": f"{number}.png", "region": "60,30,60,60"} for number in range(6)]
    with TestClient(make_app(Service.open(["boxes"])), base_url="http://127.0.0.1:8580") as client:
        api = "/api/v1/indexes/boxes"

        def keep(code: int = 201, **body: object) -> dict:
            response = client.post(f"{api}/notions", json={"name": "mine", **body})
            assert response.status_code == code, response.text
            return response.json()

        made = keep(alike=[boxes[0], boxes[2]], unlike=[boxes[1]])
        assert (made["of"], made["labels"], made["verdict"]) == ("parts", 3, "weak")
        assert keep(alike=[{**boxes[4], "region": "0,0,50,50"}], add=True)["labels"] == 4
        assert keep(unlike=[{**boxes[4], "region": "0,0,50,50"}], add=True)["labels"] == 4  # the newest counts
        body = {"like": [boxes[0]], "learnt": "mine", "count": 6}
        found = client.post(f"{api}/search", json=body).json()
        assert (found["learnt"], found["matches"][0]["picture"]["name"]) == ("mine", "2.png")
        plain = client.post(f"{api}/search", json={**body, "learnt": None}).json()
        assert found["matches"][0]["score"] > plain["matches"][0]["score"]
        assert "mark such" in keep(422, alike=[{"path": "3.png"}], add=True)["detail"]
        assert "too small" in keep(422, alike=[{**boxes[0], "region": "0,0,3,3"}], add=True)["detail"]
        keep(422, alike=[boxes[0], {"path": "1.png", "segment": 0}], add=True)
        assert client.post(f"{api}/notions/mine/ask", json={"count": 2}).status_code == 422
        assert client.get(f"{api}/notions").json()["notions"][0]["labels"] == 4


def test_what_another_run_learns_is_found_at_once(client: TestClient, service: Service) -> None:
    index = Index.open(index_directory("photos"))
    row = index.files().paths.index("img_000.jpg")
    picture = Picture(Path("x"), index.record(row).sha256, row)
    state = service.index("photos").state
    keep_notion(index.directory, learn_marks(index, "theirs", [picture], []))
    service.index("photos").look()
    assert service.index("photos").state is state
    assert [one["name"] for one in client.get(NOTIONS).json()["notions"]] == ["theirs"]
    assert search(client, like=[ref(0)], learnt="theirs")["learnt"] == "theirs"
    # and what it does to pictures is another state
    writer = Writer(index.directory, load_meta(index.directory))
    writer.invalidate([row])
    writer.commit()
    service.index("photos").look()
    assert service.index("photos").state.id != state.id


def test_a_process_beside_the_server_knows_a_new_notion(client: TestClient, service: Service) -> None:
    served = service.index("photos")
    states = _States(None, None)
    directory = served.directory.absolute()
    assert states.get(directory, served.state.id) is not None
    for number in range(3):
        mark(client, [number], [5], add=number > 0)
        asked = resolved(Refs(served), Search(like=[ref(0)], learnt="mine", include_self=True))  # type: ignore[arg-type]
        assert _answer(states, directory, served.state.id, asked) == answer(served.state, asked)
    # one that is started now knows the state by the same id
    assert _States(None, None).get(directory, served.state.id) is not None
    client.delete(f"{NOTIONS}/mine")
    assert _answer(states, directory, served.state.id, asked) is not None  # as it was when it was asked


def test_features_of_other_pictures_can_be_marked(client: TestClient) -> None:
    vector = cbir.open("photos").features([3])[0].astype("<f2")
    one = {"vector": base64.b64encode(vector.tobytes()).decode(), "name": "mine.jpg"}
    response = client.post(NOTIONS, json={"name": "mine", "alike": [one, ref(0)]})
    assert (response.status_code, response.json()["labels"]) == (201, 2)
    labels = load_notion(Index.open(index_directory("photos")), "mine").labels
    assert np.allclose(labels.features.astype(np.float32), vector.astype(np.float32), atol=1e-3)


def test_pictures_are_asked_for(client: TestClient) -> None:
    mark(client, [0, 2], [1])
    found = client.post(f"{NOTIONS}/mine/ask", json={"count": 4}).json()["pictures"]
    assert len(found) == 4
    assert not {one["name"] for one in found} & {"img_000.jpg", "img_001.jpg", "img_002.jpg"}
    assert all(one["why"] and one["id"] and one["sha256"] for one in found)
    assert len(client.post(f"{NOTIONS}/mine/ask", json={}).json()["pictures"]) == 6
    problem(client.post(f"{NOTIONS}/other/ask", json={"count": 4}), 404, "no-such-notion")
    for count in (0, 101, "x"):
        problem(client.post(f"{NOTIONS}/mine/ask", json={"count": count}), 422, "invalid")


def test_what_cannot_be_marked_is_a_problem(client: TestClient) -> None:
    mark(client, [0])
    problem(client.post(NOTIONS, json={"name": "mine", "alike": [ref(2)]}), 409, "notion-there")
    bad = [
        ({"name": "../x", "alike": [ref(0)]}, "refused"),
        ({"name": "x\u202e", "alike": [ref(0)]}, "refused"),
        ({"name": "", "alike": [ref(0)]}, "invalid"),
        ({"name": "x" * 65, "alike": [ref(0)]}, "invalid"),
        ({"name": "x", "alike": []}, "refused"),
        ({"name": "x", "unlike": [ref(0)]}, "refused"),
        ({"name": "x", "alike": [ref(0)], "unlike": [ref(0)]}, "refused"),
        ({"name": "x", "alike": [{**ref(0), "region": "0,0,9,9"}]}, "refused"),
        ({"name": "x", "alike": [{"upload": 0}]}, "invalid"),
        ({"name": "x", "alike": [{"vector": "AAAA"}]}, "invalid"),
        ({"name": "x", "alike": [ref(0)] * 1001}, "invalid"),
    ]
    for body, kind in bad:
        problem(client.post(NOTIONS, json=body), 422, kind)
    problem(client.post(NOTIONS, json={"name": "x", "alike": [{"path": "none.jpg"}]}), 404, "no-such-picture")
    assert [one["name"] for one in client.get(NOTIONS).json()["notions"]] == ["mine"]


def test_an_index_that_another_run_writes_is_busy(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbir.serve.routes.notions._WAIT", 0.0)
    with exclusive(index_directory("photos")):
        response = client.post(NOTIONS, json={"name": "mine", "alike": [ref(0)]})
        problem(response, 503, "index-busy")
        assert response.headers["retry-after"]
    mark(client, [0])


def test_marks_that_come_at_once_are_all_kept(client: TestClient) -> None:
    mark(client, [0])
    threads = [threading.Thread(target=mark, args=(client, [one]), kwargs={"add": True}) for one in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get(NOTIONS).json()["notions"][0]["labels"] == 9


def test_a_damaged_notion_is_told_and_the_others_work(client: TestClient) -> None:
    mark(client, [0])
    mark(client, [2], name="other")
    entry = next(one for one in load_meta(index_directory("photos")).notions if one.name == "mine")
    (index_directory("photos") / entry.file.name).write_bytes(b"x" * entry.file.bytes)
    found = client.get(NOTIONS).json()
    assert [one["name"] for one in found["notions"]] == ["other"]
    assert len(found["problems"]) == 1
    assert search(client, like=[ref(2)], learnt="other")["learnt"] == "other"
    assert client.post(NOTIONS, json={"name": "mine", "alike": [ref(0)], "add": True}).status_code == 503
    assert client.delete(f"{NOTIONS}/mine").status_code == 204
    mark(client, [0])


def test_another_page_can_change_nothing(service: Service) -> None:
    with TestClient(make_app(service), base_url="http://127.0.0.1:8580") as client:
        headers = {"Origin": "https://elsewhere.example"}
        problem(client.post(NOTIONS, json={"name": "x", "alike": [ref(0)]}, headers=headers), 403, "other-origin")
        problem(client.delete(f"{NOTIONS}/x", headers=headers), 403, "other-origin")
    with pytest.raises(ProblemError):
        service.index("nothing")
