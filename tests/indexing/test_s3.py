"""Pictures in S3: the index is the folder's, whatever the server does; changes are told by ETag and length.

The server is a real one on loopback (moto's), at times behind one that fails (`tests.helpers.s3`).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cbir.backbones.catalog import FAKE
from cbir.images.sources import named, patience
from cbir.index.store import Index
from cbir.indexing.policy import CommitPolicy
from tests.helpers.faults import replace_in, run_cli
from tests.helpers.s3 import BUCKET, Troubles, client, name_endpoint, s3_server, troubled, upload
from tests.helpers.signals import default_signals
from tests.helpers.waiting import GUARD_SECONDS, SOON_SECONDS, wait_for

Folder = Callable[..., Path]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fake network, short pauses, and an account that has named no source yet."""
    replace_in(monkeypatch)
    monkeypatch.setattr(patience, "PAUSES", (0.02,) * 6)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server(monkeypatch) as address:
        yield address


def small_pictures(root: Path, count: int) -> Path:
    """Draw tiny pictures of a few colours, by the hundred in a folder."""
    random = np.random.default_rng(3)
    for number in range(count):
        path = root / f"{number // 100:02}" / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        coarse.resize((50, 40), Image.Resampling.BICUBIC).save(path, quality=85)
    return root


def directory(name: str, tmp_path: Path) -> Path:
    return tmp_path / "indexes" / name


def on_disk(index: Path) -> dict[str, Any]:
    """All files of an index by their names: their bytes, and of the lists of files all but the times.

    Left out: what names the root and the moments, `meta.json`, the columns of change tokens, and Annoy's trees, which
    are others each time that they are built.
    """
    found: dict[str, Any] = {}
    for path in sorted(index.iterdir()):
        if path.name.startswith("files-"):
            found[path.name] = [[row[0], row[1], row[3]] for row in json.loads(path.read_bytes())]
        elif not path.name.startswith(("meta", "lock", "changed-")) and path.suffix != ".ann":
            found[path.name] = path.read_bytes()
    return found


def matches(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capfd.readouterr()
    assert run_cli(["search", *arguments, "--format", "json"]) == 0
    return json.loads(capfd.readouterr().out)["matches"]


def report(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capfd.readouterr()
    assert run_cli(["index", *arguments, "--json", "--quiet"]) == code
    return json.loads(capfd.readouterr().out)


@pytest.mark.parametrize(("count", "every"), [(60, 4), pytest.param(2000, 10, marks=pytest.mark.slow)])
def test_a_troubled_server_gives_the_index_of_the_folder(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    count: int,
    every: int,
) -> None:
    monkeypatch.setattr("cbir.indexing.run.commit_policy", lambda parts: CommitPolicy(256, seconds=1000))
    root = small_pictures(tmp_path / "photos", count)
    upload(root, "all/")
    troubles = Troubles(every)
    with troubled(server, troubles) as front:
        name_endpoint(front, monkeypatch)
        assert run_cli(["index", f"s3://{BUCKET}/all", "--index", "far", "--quiet"]) == 0
        assert min(troubles.done[kind] for kind in Troubles.KINDS) >= count // 100 + 1, troubles.done
    assert run_cli(["index", str(root), "--index", "near", "--quiet"]) == 0
    far, near = directory("far", tmp_path), directory("near", tmp_path)
    assert len(Index.open(far)) == count
    assert on_disk(far) == on_disk(near)
    query = str(root / "00" / "0050.jpg")
    found = {name: matches(capfd, query, "--index", name, "--self", "-k", "50") for name in ("far", "near")}
    for one in found["near"]:
        one["path"] = one["path"].replace(str(root), f"s3://{BUCKET}/all")
    assert found["far"] == found["near"]


def test_changes_are_told_by_etag_and_length(
    server: str,
    tmp_path: Path,
    photo_folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = photo_folder(6)
    upload(root)
    address = f"s3://{BUCKET}"
    assert report(capfd, address)["added"] == 6
    to = client()
    same = (root / "img_000.jpg").read_bytes()
    to.put_object(Bucket=BUCKET, Key="img_000.jpg", Body=same)  # another time, the same ETag
    other = bytearray((root / "img_001.jpg").read_bytes())
    other[-40] ^= 1  # a pixel or two, the same length
    to.put_object(Bucket=BUCKET, Key="img_001.jpg", Body=bytes(other))
    to.delete_object(Bucket=BUCKET, Key="img_002.jpg")
    to.put_object(Bucket=BUCKET, Key="moved/img_003.jpg", Body=(root / "img_003.jpg").read_bytes())
    to.delete_object(Bucket=BUCKET, Key="img_003.jpg")
    read = []
    with troubled(server, Troubles(10**9)) as front:
        name_endpoint(front, monkeypatch)
        from cbir.images.sources.store import Store

        whole = Store.read
        monkeypatch.setattr(Store, "read", lambda *given: read.append(given[1]) or whole(*given))
        found = report(capfd, address)
    assert sorted(read) == [f"{address}/img_001.jpg", f"{address}/moved/img_003.jpg"]
    counts = {name: found[name] for name in ("added", "changed", "moved", "removed", "unchanged", "touched", "total")}
    assert counts == {"added": 0, "changed": 1, "moved": 1, "removed": 1, "unchanged": 3, "touched": 0, "total": 5}
    assert report(capfd, address)["unchanged"] == 5


def test_a_folder_that_moves_into_a_bucket_keeps_its_rows(
    server: str, tmp_path: Path, photo_folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    root = photo_folder(5)
    report(capfd, str(root), "--index", "photos")
    before = on_disk(directory("photos", tmp_path))
    upload(root, "all/")
    found = report(capfd, "--index", "photos", "--root", f"s3://{BUCKET}/all")
    assert (found["touched"], found["added"], found["total"]) == (5, 0, 5)
    assert on_disk(directory("photos", tmp_path)) == before
    assert report(capfd, "--index", "photos")["unchanged"] == 5


def test_what_cannot_be_listed_is_not_gone(
    server: str,
    tmp_path: Path,
    photo_folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    upload(photo_folder(4), "all/")
    report(capfd, f"s3://{BUCKET}/all", "--index", "photos")
    before = on_disk(directory("photos", tmp_path))
    name_endpoint("http://127.0.0.1:9", monkeypatch)  # nobody is there
    assert run_cli(["index", "--index", "photos", "--quiet"]) == 3
    with troubled(server, Troubles(1)) as front:  # each request fails, and each try of it
        monkeypatch.setattr(Troubles, "next", lambda self: "503")
        name_endpoint(front, monkeypatch)
        assert run_cli(["index", "--index", "photos", "--quiet"]) == 3
    name_endpoint(server, monkeypatch)
    assert run_cli(["index", "--index", "photos", "--root", "s3://another/all", "--quiet"]) == 3
    assert run_cli(["index", "--index", "photos", "--root", f"s3://{BUCKET}/nothing", "--quiet"]) == 3
    assert on_disk(directory("photos", tmp_path)) == before
    assert report(capfd, f"s3://{BUCKET}/all", "--index", "photos")["unchanged"] == 4


def test_a_listing_that_breaks_off_forgets_nothing(
    server: str,
    tmp_path: Path,
    photo_folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    upload(photo_folder(7), "all/")
    monkeypatch.setattr("cbir.images.sources.store._PAGE", 2)
    assert report(capfd, f"s3://{BUCKET}/all", "--index", "photos")["added"] == 7
    pages = []
    monkeypatch.setattr(Troubles, "next", lambda self: "none" if len(pages) < 2 and not pages.append(1) else "503")
    with troubled(server, Troubles()) as front:
        name_endpoint(front, monkeypatch)
        assert run_cli(["index", "--index", "photos", "--quiet"]) == 3
    assert len(pages) == 2
    assert len(Index.open(directory("photos", tmp_path))) == 7


def test_a_picture_that_never_comes_whole_is_skipped_and_tried_again(
    server: str,
    tmp_path: Path,
    photo_folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    upload(photo_folder(3), "all/")
    with troubled(server, Troubles()) as front:
        name_endpoint(front, monkeypatch)
        lists = threading.Event()

        def next_(self: Troubles) -> str:
            if not lists.is_set():
                lists.set()
                return "none"
            return "short"

        monkeypatch.setattr(Troubles, "next", next_)
        assert run_cli(["index", f"s3://{BUCKET}/all", "--index", "photos"]) == 0
        said = capfd.readouterr().err
        assert "bytes came where" in said
    name_endpoint(server, monkeypatch)
    assert report(capfd, f"s3://{BUCKET}/all", "--index", "photos")["added"] == 3


def test_originals_of_matches_are_fetched(
    server: str,
    tmp_path: Path,
    photo_folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = photo_folder(5)
    upload(root, "all/")
    address = f"s3://{BUCKET}/all"
    report(capfd, address, "--index", "photos")
    page = tmp_path / "page.html"
    assert (
        run_cli(["search", f"{address}/img_002.jpg", "--index", "photos", "--html", str(page), "--format", "paths"])
        == 0
    )
    paths = capfd.readouterr().out.split()
    assert sorted(paths) == [f"{address}/img_00{number}.jpg" for number in (0, 1, 3, 4)]
    assert page.read_text("utf-8").count("data:image/") >= 5
    found = matches(capfd, str(root / "img_002.jpg"), "--index", "photos")
    assert found[0]["path"] == f"{address}/img_002.jpg"


def test_a_strangers_index_sends_nobody_to_a_server(
    server: str,
    tmp_path: Path,
    photo_folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = photo_folder(3)
    upload(root, "all/")
    address = f"s3://{BUCKET}/all"
    report(capfd, address, "--index", "photos")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another-account"))
    with troubled(server, troubles := Troubles(10**9)) as front:
        name_endpoint(front, monkeypatch)
        page = tmp_path / "page.html"
        assert run_cli(["search", str(root / "img_000.jpg"), "--index", "photos", "--html", str(page)]) == 0
        assert "only an index" in page.read_text("utf-8") or "an index names this source" in page.read_text("utf-8")
        assert run_cli(["index", "--index", "photos", "--quiet"]) == 3
        assert troubles.done.total() == 0
        monkeypatch.setenv(named.VARIABLE, f"s3://{BUCKET}")
        assert report(capfd, "--index", "photos")["unchanged"] == 3
        assert troubles.done.total() > 0


def test_an_index_of_a_bucket_is_its_users_alone(
    server: str, tmp_path: Path, photo_folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    upload(photo_folder(2))
    report(capfd, f"s3://{BUCKET}")
    index = directory(BUCKET, tmp_path)
    assert {path.stat().st_mode & 0o077 for path in (index, *index.iterdir())} == {0}


def test_a_served_index_shows_pictures_and_originals(
    server: str,
    tmp_path: Path,
    photo_folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    from cbir.serve.app import make_app
    from cbir.serve.service import Service

    root = photo_folder(4)
    upload(root, "all/")
    report(capfd, f"s3://{BUCKET}/all", "--index", "photos")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with testclient.TestClient(make_app(Service.open(["photos"])), base_url="http://127.0.0.1:8580") as browser:
        api = "/api/v1/indexes/photos"
        body = {"like": [{"path": "img_002.jpg"}]}
        (first, *_) = browser.post(f"{api}/search", json=body).json()["matches"]
        picture = first["picture"]
        assert picture["path"] == f"s3://{BUCKET}/all/{picture['name']}"
        data = (root / picture["name"]).read_bytes()
        whole = browser.get(f"{api}/pictures/{picture['id']}/original")
        assert (whole.status_code, whole.content) == (200, data)
        part = browser.get(f"{api}/pictures/{picture['id']}/original", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, data[10:20])
        small = browser.get(f"{api}/pictures/{picture['id']}/thumbnail?size=128")
        assert (small.status_code, small.headers["content-type"]) == (200, "image/jpeg")
        client().delete_object(Bucket=BUCKET, Key=f"all/{picture['name']}")
        assert browser.get(f"{api}/pictures/{picture['id']}/original").status_code == 404


@pytest.mark.parametrize("hangs_at", ["list", "pictures"])
def test_a_run_that_waits_for_a_server_ends_at_a_signal(
    server: str, tmp_path: Path, photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, hangs_at: str
) -> None:
    upload(photo_folder(30), "all/")
    requests: list[int] = []
    released = threading.Event()

    def hang(self: Troubles) -> str:
        requests.append(1)
        if len(requests) > (0 if hangs_at == "list" else 12):
            released.wait(GUARD_SECONDS)
        return "none"

    monkeypatch.setattr(Troubles, "next", hang)
    monkeypatch.setenv("CBIR_MODEL", FAKE)
    with troubled(server, Troubles()) as front:
        name_endpoint(front, monkeypatch)
        command = [sys.executable, "-m", "cbir", "index", f"s3://{BUCKET}/all", "--index", "photos"]
        run = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=default_signals)
        try:
            wait_for(lambda: len(requests) >= (1 if hangs_at == "list" else 13))
            time.sleep(0.3)
            began = time.monotonic()
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=GUARD_SECONDS)
            assert run.returncode == 130
            assert time.monotonic() - began < SOON_SECONDS
        finally:
            run.kill()
            released.set()


def test_hidden_and_excluded_keys_are_left_out_as_in_a_folder(
    server: str, tmp_path: Path, photo_folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    root = photo_folder(9, subfolders=["a", ".hidden", "@eaDir", "raw"])
    (root / "a" / ".img.jpg").write_bytes((root / "a" / "img_000.jpg").read_bytes())
    (root / "a" / "film.mp4").write_bytes(b"film")
    (root / "a" / "picture").write_bytes((root / "a" / "img_000.jpg").read_bytes())
    (root / "a" / "text").write_bytes(b"nothing but words in here, and no more")
    upload(root, "all/")
    far = report(capfd, f"s3://{BUCKET}/all", "--index", "far", "--exclude", "raw")
    near = report(capfd, str(root), "--index", "near", "--exclude", "raw")
    assert near["left_out"].keys() == {"videos", "others", "hidden", "system", "excluded"}
    for name in ("left_out", "added", "copied", "total", "patterns_without_matches"):
        assert far[name] == near[name], name
