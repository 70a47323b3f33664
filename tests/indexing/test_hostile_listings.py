"""What an S3 server lists is a stranger's word: names, lengths, times, tokens and pages that cannot be."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from cbir.images.sources import patience
from cbir.index.store import Index
from cbir.index.verify import find_problems
from tests.helpers.faults import replace_in, run_cli
from tests.helpers.s3 import name_endpoint

pytest.importorskip("s3fs")

Folder = Callable[..., Path]


class Lying:
    """An S3 server that says what it is told to, and sends one of two pictures for each name."""

    def __init__(self, pictures: list[bytes]) -> None:
        self.pictures = pictures
        self.keys: list[dict[str, Any]] = []
        self.more: Callable[[str | None], str] = lambda token: ""
        self.asked: list[str | None] = []
        self.sends = 0

    def body(self, path: str) -> bytes:
        query = parse_qs(urlsplit(path).query)
        if "list-type" not in query:
            return self.pictures[self.sends]
        token = query.get("continuation-token", [None])[0]
        self.asked.append(token)
        listed = "".join(self._record(**one) for one in self.keys)
        return (
            f"<ListBucketResult>{self.more(token)}<EncodingType>url</EncodingType>{listed}</ListBucketResult>".encode()
        )

    def _record(self, key: str, size: object = None, token: str = "one", time: str = "2024-01-01T00:00:00Z") -> str:
        size = len(self.pictures[0]) if size is None else size
        return (
            f"<Contents><Key>{quote(key)}</Key><LastModified>{time}</LastModified><ETag>{token}</ETag>"
            f"<Size>{size}</Size></Contents>"
        )


@pytest.fixture
def lying(photo_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lying]:
    replace_in(monkeypatch)
    monkeypatch.setattr(patience, "PAUSES", (0.02,) * 2)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "made-up")
    pictures = [path.read_bytes() for path in sorted(photo_folder(2, "two").iterdir())]
    longest = max(map(len, pictures))
    lies = Lying([picture.ljust(longest, b"\0") for picture in pictures])

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = lies.body(self.path)
            self.send_response_only(200)
            for name, value in (("Content-Length", str(len(body))), ("ETag", "one")):
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name_endpoint(f"http://127.0.0.1:{server.server_address[1]}", monkeypatch)
    yield lies
    server.shutdown()
    server.server_close()


def paths(tmp_path: Path, capfd: pytest.CaptureFixture[str], root: str = "s3://photos") -> list[str]:
    """Index the bucket; the names that the index has then, which is sound."""
    assert run_cli(["index", root, "--index", "photos", "-q"]) == 0, capfd.readouterr().err
    index = Index.open(tmp_path / "indexes" / "photos")
    assert find_problems(index, verify=True) == []
    return sorted(record.path for row, record in index.records() if index.valid[row])


@pytest.mark.parametrize(
    "name", ["../../x.jpg", "/x.jpg", "a//x.jpg", "./x.jpg", "a/../x.jpg", "x\0.jpg", "x" * 300 + ".jpg", "y/" * 20_000]
)
def test_a_key_that_no_file_can_have_is_skipped_and_told(
    lying: Lying, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    lying.keys = [{"key": "a.jpg"}, {"key": f"{name}z.jpg" if name.endswith("/") else name}]
    assert paths(tmp_path, capfd) == ["a.jpg"]
    assert run_cli(["index", "--index", "photos"]) == 0
    said = capfd.readouterr()
    assert "no file can have that name" in said.out + said.err
    assert len(said.out + said.err) < 1000


def test_a_key_that_is_listed_twice_is_one_picture(
    lying: Lying, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lying.keys = [{"key": "a.jpg", "token": "two"}, {"key": "plain"}, {"key": "a.jpg"}, {"key": "plain"}]
    assert paths(tmp_path, capfd) == ["a.jpg", "plain"]
    assert paths(tmp_path, capfd) == ["a.jpg", "plain"]


def test_keys_that_were_not_asked_for_are_left(lying: Lying, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lying.keys = [{"key": "all/a.jpg"}, {"key": "elsewhere/b.jpg"}, {"key": "all"}]
    assert paths(tmp_path, capfd, "s3://photos/all") == ["a.jpg"]


@pytest.mark.parametrize(
    "lie",
    [
        {"time": "9999-12-31T23:59:59Z"},
        {"time": "0001-01-01T00:00:00Z"},
        {"size": -5},
        {"size": 0},
        {"size": 7},
        {"token": "e" * 100_000},
        {"token": ""},
    ],
)
def test_lengths_times_and_tokens_that_cannot_be_harm_nothing(
    lying: Lying, tmp_path: Path, capfd: pytest.CaptureFixture[str], lie: dict[str, Any]
) -> None:
    lying.keys = [{"key": "a.jpg", **lie}, {"key": "b.jpg", "size": 2**70}]
    assert paths(tmp_path, capfd) == ["a.jpg"]
    assert paths(tmp_path, capfd) == ["a.jpg"]


@pytest.mark.parametrize("token", ["", "<NextContinuationToken>again</NextContinuationToken>"])
def test_pages_without_an_end_forget_nothing(
    lying: Lying, tmp_path: Path, capfd: pytest.CaptureFixture[str], token: str
) -> None:
    lying.keys = [{"key": "a.jpg"}]
    assert paths(tmp_path, capfd) == ["a.jpg"]
    lying.keys, lying.asked = [{"key": "b.jpg"}], []
    lying.more = lambda asked: f"<IsTruncated>true</IsTruncated>{token}"
    assert run_cli(["index", "--index", "photos"]) == 3
    assert "its list breaks off" in capfd.readouterr().err
    assert len(lying.asked) <= 2
    lying.more = lambda asked: ""
    lying.keys.append({"key": "a.jpg"})
    assert paths(tmp_path, capfd) == ["a.jpg", "b.jpg"]


def test_a_picture_that_is_replaced_between_listing_and_reading_is_what_was_read(
    lying: Lying, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The token is that of the listing, so the next run compares contents, and finds them the same."""
    lying.keys, lying.sends = [{"key": "a.jpg"}], 1
    assert paths(tmp_path, capfd) == ["a.jpg"]
    index = Index.open(tmp_path / "indexes" / "photos")
    before = index.record(0).sha256
    lying.keys = [{"key": "a.jpg", "token": "two"}]
    assert run_cli(["index", "--index", "photos"]) == 0
    assert "1 touched" in capfd.readouterr().out
    lying.sends = 0
    assert paths(tmp_path, capfd) == ["a.jpg"]  # with the token of before it is not read
    assert Index.open(tmp_path / "indexes" / "photos").record(0).sha256 == before
    lying.keys = [{"key": "a.jpg", "token": "three"}]
    assert paths(tmp_path, capfd) == ["a.jpg"]
    index = Index.open(tmp_path / "indexes" / "photos")
    assert {index.record(row).sha256 for row in range(index.rows) if index.valid[row]} != {before}
