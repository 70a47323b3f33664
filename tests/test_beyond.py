"""What the benchmark of many machines is made of: its servers end with it, and it sees what it is there to see."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import beyond, processes
from benchmarks.cluster import BUCKET, nodes, store
from benchmarks.harness import Settings, environment
from cbir.backbones.catalog import FAKE
from cbir.indexing.run import index_folder
from tests.helpers.waiting import GUARD_SECONDS, wait_for

Folder = Callable[..., Path]


def test_the_store_counts_what_is_fetched_and_ends_with_the_block(tmp_path: Path) -> None:
    pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    (tmp_path / "a.jpg").write_bytes(b"a picture")
    with environment(AWS_ENDPOINT_URL="http://nobody"):
        with contextlib.suppress(KeyboardInterrupt), store(tmp_path / "log") as bucket:
            bucket.upload({"all/a.jpg": tmp_path / "a.jpg", "all/b.jpg": tmp_path / "a.jpg"})
            client = boto3.session.Session().client("s3")
            assert client.get_object(Bucket=BUCKET, Key="all/b.jpg")["Body"].read() == b"a picture"
            assert bucket.fetched() == 1
            assert os.environ["AWS_ENDPOINT_URL"] == bucket.address
            raise KeyboardInterrupt
        assert os.environ["AWS_ENDPOINT_URL"] == "http://nobody"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(bucket.address, timeout=GUARD_SECONDS)


def test_processes_are_known_by_what_they_were_started_with() -> None:
    with environment(ONE_OF_OURS="some-address"):
        child = processes.subprocess.Popen(["sleep", "30"])
    try:
        # a program that has just begun has no environment yet that could be read
        wait_for(lambda: processes.with_variable("ONE_OF_OURS=some-address") == ["sleep"])
    finally:
        child.kill()
        child.wait()
    assert processes.with_variable("ONE_OF_OURS=some-address") == []


@pytest.mark.slow
def test_nodes_are_killed_with_all_their_processes_and_end_with_the_block() -> None:
    ray = pytest.importorskip("ray")
    with (
        environment(ONE_OF_OURS="a-cluster"),
        contextlib.suppress(KeyboardInterrupt),
        nodes(2) as cluster,
    ):
        ray.init(cluster.address, log_to_driver=False)
        assert sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]) == 2
        before = len(processes.with_variable("ONE_OF_OURS=a-cluster"))
        cluster.kill()
        cluster.cluster.wait_for_nodes()
        assert sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]) == 1
        assert len(processes.with_variable("ONE_OF_OURS=a-cluster")) < before
        ray.shutdown()
        raise KeyboardInterrupt
    wait_for(lambda: processes.with_variable("ONE_OF_OURS=a-cluster") == [])


@pytest.fixture
def server() -> Iterator[tuple[int, list[str]]]:
    """A server that answers searches with ten matches, and by words with an error; and what it was asked."""
    bodies: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode("latin-1")
            bodies.append(body)
            count = 7 if "upload" in body else beyond.COUNT
            matches = [{"picture": {"id": f"abc-{len(bodies) % 2}-{number}"}} for number in range(count)]
            self.send_response(503 if "words" in body else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"matches": matches}).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    there = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=there.serve_forever, daemon=True).start()
    yield there.server_address[1], bodies
    there.shutdown()
    there.server_close()


def test_three_clients_note_all_that_is_no_answer(tmp_path: Path, server: tuple[int, list[str]]) -> None:
    port, bodies = server
    (tmp_path / "a.jpg").write_bytes(b"a picture")
    with beyond.asking(port, {"one/a.jpg": tmp_path / "a.jpg"}) as asked:
        wait_for(lambda: len(bodies) >= 9)
    kinds = [sum(kind in body for body in bodies) for kind in ("one/a.jpg", "words", "a picture")]
    assert min(kinds) >= 2
    assert len(asked.seconds) == len(bodies) == sum(kinds)
    assert sum(error == "7 matches" for error in asked.errors) == kinds[2]
    assert sum("503" in error for error in asked.errors) == kinds[1] == len(asked.errors) - kinds[2]
    assert asked.states <= {"abc-0", "abc-1"}


def test_indexes_differ_in_rows_that_are_not_the_same(photo_folder: Folder, tmp_path: Path) -> None:
    root = photo_folder(5)
    for name in ("one", "two"):
        index_folder(str(root), str(tmp_path / name), model=FAKE)
    assert beyond.differing(tmp_path / "one", tmp_path / "two")[0] == 0
    (root / "img_004.jpg").write_bytes((root / "img_003.jpg").read_bytes())
    (root / "img_000.jpg").unlink()
    index_folder(str(root), str(tmp_path / "two"), model=FAKE)
    assert beyond.differing(tmp_path / "one", tmp_path / "two")[0] == 5  # one fewer, and none in its old place
    assert "classes" in beyond.differing(tmp_path / "one", tmp_path / "two")[1]


def test_photos_are_chosen_from_all_folders(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / "photos" / f"{number % 3}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = beyond.chosen(Settings(tmp_path, tmp_path, tmp_path), 6)
    assert len(found) == 6
    assert {name.split("/")[0] for name in found} == {"0", "1", "2"}
    assert all(path == tmp_path / "photos" / name for name, path in found.items())
