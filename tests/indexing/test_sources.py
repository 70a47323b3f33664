"""Tar shards, lists and other addresses as roots: the index is that of a folder, and changes are told."""

from __future__ import annotations

import http.server
import io
import json
import os
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cbir.errors import ImageReadError
from cbir.images.contents import read_bytes
from cbir.images.scan import Scan
from cbir.images.sources import lists, patience, shards
from cbir.images.sources.address import Address, base_of, root_of
from cbir.images.sources.opened import _opened
from cbir.images.sources.shards import expand
from cbir.images.sources.source import place_of, source_of
from cbir.index.home import name_for
from cbir.index.store import Index
from cbir.indexing.target import choose_target
from tests.helpers.faults import content, replace_in, run_cli

Folder = Callable[..., Path]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fake network, short pauses, an account that has named no source yet, and its own cache."""
    replace_in(monkeypatch)
    monkeypatch.setattr(patience, "PAUSES", (0.02,) * 6)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    _opened.cache_clear()


def index_of(root: str, tmp_path: Path, name: str = "other", code: int = 0) -> Path:
    assert run_cli(["index", root, "--index", name, "--quiet"]) == code
    return tmp_path / "indexes" / name


def by_name(index: Path) -> dict[str, tuple[str, bytes]]:
    """What an index has of each picture, by the last part of its path: its content's hash and feature."""
    return {path.rpartition("/")[2]: kept[:2] for path, kept in content(index).items()}


def scanned(root: str) -> Scan:
    return source_of(root_of(root, is_chosen=True)).scan()


def make_shards(folder: Path, into: Path, count: int = 2) -> str:
    """Put the pictures of a folder into shards, in turn, each with a text as WebDataset has them."""
    into.mkdir(exist_ok=True)
    for number in range(count):
        with tarfile.open(into / f"{number:06}.tar", "w") as tar:
            for path in sorted(folder.iterdir())[number::count]:
                tar.add(path, f"./{path.name}")
                text = tarfile.TarInfo(f"{path.stem}.txt")
                tar.addfile(text, io.BytesIO())
    return f"{into}/{{000000..{count - 1:06}}}.tar"


def test_shards_have_the_pictures_of_the_folder_that_they_were_made_of(tmp_path: Path, photo_folder: Folder) -> None:
    root = photo_folder(7)
    pattern = make_shards(root, tmp_path / "shards")
    index = index_of(pattern, tmp_path)
    assert by_name(index) == by_name(index_of(str(root), tmp_path, "near"))
    first = Index.open(index).files().paths[0]
    assert first == "000000.tar/img_000.jpg"
    picture = Index.open(index).root / first
    assert str(picture) == f"{tmp_path}/shards/000000.tar/img_000.jpg"
    assert read_bytes(picture) == (root / "img_000.jpg").read_bytes()


def test_unchanged_shards_are_not_listed_again_and_changed_ones_compared(
    tmp_path: Path, photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = photo_folder(6)
    pattern = make_shards(root, tmp_path / "shards")
    index_of(pattern, tmp_path)
    listed: list[Any] = []
    headers = shards._headers
    monkeypatch.setattr(shards, "_headers", lambda file: listed.append(file) or headers(file))
    capfd.readouterr()

    def report() -> dict[str, Any]:
        _opened.cache_clear()
        assert run_cli(["index", "--index", "other", "--quiet", "--json"]) == 0
        return json.loads(capfd.readouterr().out)

    assert (report()["unchanged"], listed) == (6, [])
    with tarfile.open(tmp_path / "shards" / "000001.tar", "a") as tar:
        tar.add(root / "img_000.jpg", "again.jpg")
    found = report()
    assert (found["unchanged"], found["touched"], found["copied"], len(listed)) == (3, 3, 1, 1)
    (tmp_path / "shards" / "000001.tar").unlink()
    found = report()
    assert (found["kept"], found["unreadable_folders"]) == (4, ["000001.tar"])


def test_what_is_listed_of_a_shard_is_not_believed_once_it_has_changed(tmp_path: Path, photo_folder: Folder) -> None:
    root = photo_folder(2)
    pattern = make_shards(root, tmp_path / "shards", 1)
    index = Index.open(index_of(pattern, tmp_path))
    (root / "img_000.jpg").write_bytes(b"shorter")
    make_shards(root, tmp_path / "shards", 1)
    _opened.cache_clear()
    assert read_bytes(index.root / "000000.tar/img_000.jpg") == b"shorter"
    assert read_bytes(index.root / "000000.tar/img_001.jpg") == (root / "img_001.jpg").read_bytes()


@pytest.mark.parametrize("kind", ["rubbish", "gz", "cut"])
def test_what_is_no_plain_tar_is_told(
    tmp_path: Path, photo_folder: Folder, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shard = tmp_path / "one.tar"
    with tarfile.open(shard, "w:gz" if kind == "gz" else "w") as tar:
        tar.add(photo_folder(2) / "img_000.jpg", "img_000.jpg")
    if kind == "rubbish":
        shard.write_bytes(b"no tar" * 1000)
    if kind == "cut":
        shard.write_bytes(shard.read_bytes()[:700])
    assert run_cli(["index", str(shard), "--quiet"]) in (0, 1)
    said = capfd.readouterr().err
    assert "no tar without compression" in said or "img_000.jpg" in said or "bytes came" in said


@pytest.mark.parametrize("name", ["../../out.jpg", "/etc/out.jpg", "a//b.jpg", "x" * 300 + ".jpg"])
def test_a_member_leads_nowhere_outside(tmp_path: Path, photo_folder: Folder, name: str) -> None:
    data = (photo_folder(1) / "img_000.jpg").read_bytes()
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        for one in (name, "in.jpg"):
            info = tarfile.TarInfo(one)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    found = scanned(str(tmp_path / "one.tar"))
    assert [file.path for file in found.files] == ["one.tar/in.jpg"]
    assert [reason for _, reason in found.problems] == ["no file can have that name"]


def test_patterns_of_shards() -> None:
    assert expand("a/{08..11}.tar") == ["a/08.tar", "a/09.tar", "a/10.tar", "a/11.tar"]
    assert expand("{a,b}/{0..1}.tar") == ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]
    assert expand("one.tar") == ["one.tar"]
    assert base_of("s3://b/x/{0..1}.tar") == "s3://b/x"
    for monstrous in ("{0..9999999999999999999999}.tar", "{0..9999}{0..9999}.tar"):
        with pytest.raises(OSError, match="more than"):
            expand(monstrous)


def test_a_list_of_files_is_indexed_by_their_own_names(
    tmp_path: Path, photo_folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    root = photo_folder(5)
    names = ["photos/img_000.jpg", f"{root}/img_001.jpg", "./photos/img_002.jpg", "photos/img_003.jpg", "gone.jpg"]
    list_ = tmp_path / "list.txt"
    list_.write_text("\ufeff" + "\r\n".join(names) + "\r\n\r\n", "utf-8")
    index = index_of(str(list_), tmp_path)
    said = capfd.readouterr()
    assert "gone.jpg" in said.out + said.err or run_cli(["index", "--index", "other"]) == 0
    near = by_name(index_of(str(root), tmp_path, "near"))
    assert by_name(index) == {name: kept for name, kept in near.items() if name != "img_004.jpg"}
    found = Index.open(index)
    assert sorted(str(found.root / path) for path in found.files().paths) == sorted(
        str(root / f"img_00{number}.jpg") for number in range(4)
    )
    (root / "img_003.jpg").unlink()
    capfd.readouterr()
    assert run_cli(["index", "--index", "other", "--quiet", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["kept"] == 1, "the list has it still"
    list_.write_text("\n".join(names[1:]), "utf-8")
    capfd.readouterr()
    assert run_cli(["index", "--index", "other", "--quiet", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["removed"] == 1


def test_an_index_of_a_list_names_nothing_that_the_list_does_not(tmp_path: Path, photo_folder: Folder) -> None:
    root = photo_folder(2)
    list_ = tmp_path / "list.txt"
    list_.write_text("photos/img_000.jpg\n", "utf-8")
    named = root_of(str(list_), is_chosen=True)
    assert isinstance(named, Address)
    for path in ("photos/img_001.jpg", f"file:{root}/img_001.jpg", "file:/etc/passwd"):
        with pytest.raises(ImageReadError, match="does not name it"):
            read_bytes(named / path)
    assert read_bytes(named / "photos/img_000.jpg") == (root / "img_000.jpg").read_bytes()


@pytest.mark.parametrize(
    "line", ["https://host/a?b=//c/../d.jpg", "https://host/" + "x" * 400, "../up/../a.jpg", "a\x01/b"]
)
def test_odd_lines_have_names_that_can_be_paths(line: str) -> None:
    from cbir.utils.paths import are_inside

    name, place = lists._line(line, "/home/me")
    assert are_inside([name])
    assert lists._line(line + "x", "/home/me").name != name
    assert place.endswith(line)


def test_an_address_in_memory_is_a_root(tmp_path: Path, photo_folder: Folder) -> None:
    fsspec = pytest.importorskip("fsspec")
    root, memory = photo_folder(4, subfolders=["a", "b"]), fsspec.filesystem("memory")
    memory.store.clear()
    for path in root.rglob("*.jpg"):
        memory.pipe(f"/photos/{path.relative_to(root)}", path.read_bytes())
    memory.pipe("/photosx/none.jpg", b"of a folder beside it")
    assert by_name(index_of("memory://photos", tmp_path)) == by_name(index_of(str(root), tmp_path, "near"))
    memory.store.clear()
    assert run_cli(["index", "--index", "other", "--quiet"]) == 3


@pytest.fixture
def web(tmp_path: Path, photo_folder: Folder) -> Iterator[tuple[str, list[str]]]:
    """A web server with five pictures, and the requests that it was sent."""
    pytest.importorskip("aiohttp")
    folder, asked = photo_folder(5), []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            if self.path.startswith("/endless"):
                self.send_response(200)
                self.end_headers()
                while True:
                    self.wfile.write(bytes(1 << 20))
            super().do_GET()

        def log_message(self, format_: str, *arguments: Any) -> None:
            asked.append(f"{self.command} {self.path}")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *arguments: None  # type: ignore[method-assign]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_a_list_on_the_web_of_pictures_on_the_web(
    tmp_path: Path, web: tuple[str, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    address, asked = web
    photos = tmp_path / "photos"
    names = [*(f"img_00{number}" for number in range(5)), "no"]
    (photos / "list.txt").write_text("".join(f"{address}/{name}.jpg\n" for name in names))
    index = index_of(f"{address}/list.txt", tmp_path)
    near = tmp_path / "near"
    near.mkdir()
    for path in photos.glob("*.jpg"):
        (near / path.name).write_bytes(path.read_bytes())
    assert by_name(index) == by_name(index_of(str(near), tmp_path, "near"))
    found = Index.open(index)
    assert str(found.root / found.files().paths[0]) == f"{address}/img_000.jpg"
    asked.clear()
    capfd.readouterr()
    assert run_cli(["index", "--index", "other", "--quiet", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["unchanged"] == 5
    assert {one.split()[0] for one in asked if "/img" in one} == {"HEAD"}
    changed = photos / "img_003.jpg"
    changed.write_bytes(changed.read_bytes()[:-9] + bytes(9))
    os.utime(changed, (2e9, 2e9))
    assert run_cli(["index", "--index", "other", "--quiet", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["changed"] == 1
    page = tmp_path / "page.html"
    assert run_cli(["search", str(near / "img_000.jpg"), "--index", "other", "--html", str(page)]) == 0
    assert f'href="{address}/img_001.jpg"' in page.read_text("utf-8")


def test_an_answer_that_never_ends_is_given_up(
    tmp_path: Path, web: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbir.images.contents.MAX_BYTES", 5_000_000)
    (tmp_path / "list.txt").write_text(f"{web[0]}/endless.jpg\n")
    named = root_of(str(tmp_path / "list.txt"), is_chosen=True)
    (path,) = lists.List(str(tmp_path / "list.txt"))._read()
    with pytest.raises(ImageReadError, match="more than 5,000,000 bytes"):
        read_bytes(named / path)


def test_a_web_server_itself_is_no_root(web: tuple[str, list[str]], capfd: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["index", f"{web[0]}/", "--quiet"]) == 1
    assert "name a list (.txt) of addresses, or tar shards" in capfd.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    import sys

    from cbir.images.sources.store import store_of

    monkeypatch.setitem(sys.modules, "gcsfs", None)
    store_of.cache_clear()
    assert run_cli(["index", "gs://bucket/photos", "--quiet"]) == 1
    assert "install cbir[gs]" in capfd.readouterr().err
    assert run_cli(["index", "nosuch://bucket/photos", "--quiet"]) == 1
    assert "no kind of address called nosuch://" in capfd.readouterr().err
    assert run_cli(["index", "ftp://host/photos", "--quiet"]) == 1
    assert "what opens ftp:// needs more than an address (host)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("s3://bucket", "bucket"),
        ("s3://bucket/photos/2024", "2024"),
        ("/data/shards/{000000..000127}.tar", "shards"),
        ("/data/cc-{0..9}.tar", "cc"),
        ("https://host/some/list.txt", "list"),
        ("s3://bucket/train.tar", "train"),
    ],
)
def test_an_index_is_called_after_its_source(root: str, name: str) -> None:
    assert name_for(Address(root)) == name


def test_workers_elsewhere_go_by_what_was_named_here(tmp_path: Path, photo_folder: Folder) -> None:
    (tmp_path / "list.txt").write_text(f"{photo_folder(1)}/img_000.jpg\n")
    index_of(str(tmp_path / "list.txt"), tmp_path)
    target = choose_target(None, "other")
    (file,) = source_of(target.root).scan().files
    sent = pickle.dumps(place_of(target.root, file))
    (tmp_path / "XDG_DATA_HOME" / "cbir" / "sources.txt").unlink()
    assert read_bytes(pickle.loads(sent)) == (tmp_path / "photos" / "img_000.jpg").read_bytes()
    with pytest.raises(ImageReadError, match="an index names this source"):
        read_bytes(Index.open(target.directory).root / file.path)


def test_a_scheme_that_is_a_script_is_no_link() -> None:
    from cbir.report.page import file_uri

    assert file_uri(Address("javascript://x/%0aalert(1)", "a.jpg")) == "#"
    assert file_uri(Address("https://host/list.txt", 'https:/host/a"b.jpg')) == "https://host/a%22b.jpg"
