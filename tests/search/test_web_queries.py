"""Pictures of the web as queries: `cbir search https://…`, in lists, from Python, and never over HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cbir
from cbir.cli import cli
from cbir.images import safely
from cbir.images.sources import web
from cbir.images.sources.address import Address, is_web, picture_named, without_password
from tests.helpers.web import Web, dripping, picture, serving, status

FAKE = ("--model", "fake")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch, served: Web) -> None:
    """Nothing is kept of other tests, and pictures are decoded as before."""
    monkeypatch.setattr(web, "_KEPT", web._Kept())
    monkeypatch.setattr(safely, "_all_apart", [])
    served.requests.clear()


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """Six pictures, and in the folder `indexes` the index `photos` of five of them."""
    parent = tmp_path_factory.mktemp("web")
    (parent / "photos").mkdir()
    for number in range(5):
        draw_picture(number).save(parent / "photos" / f"{number}.jpg")
    draw_picture(5).save(parent / "new.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(parent / "indexes"))
        cbir.index_folder(parent / "photos", "photos", model="fake")
    return parent


@pytest.fixture
def photos(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the five pictures."""
    monkeypatch.setenv("CBIR_HOME", str(indexed / "indexes"))
    return indexed / "photos"


@pytest.fixture(scope="module")
def served(indexed: Path) -> Iterator[Web]:
    """A server of these, and of what is none."""
    known, new = (indexed / "photos/3.jpg").read_bytes(), (indexed / "new.jpg").read_bytes()
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    answers = {
        "/known.jpg": picture(known),
        "/new.jpg": picture(new),
        "/lies.jpg": status(200, "Content-Type: text/html", body=new),
        "/page.jpg": status(200, "Content-Type: image/jpeg", body=b"<!DOCTYPE html><title>Not a picture</title>"),
        "/half.jpg": picture(new[: len(new) // 2]),
        "/empty.jpg": picture(b""),
        "/bomb.png": picture(bomb.getvalue()),
        "/on.jpg": status(302, "Location: /new.jpg"),
    }
    with serving(answers) as web:
        yield web


def found(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_a_picture_of_the_web_finds_what_its_file_finds(photos: Path, served: Web) -> None:
    for name, file in (("known.jpg", photos / "3.jpg"), ("new.jpg", photos.parent / "new.jpg")):
        address = f"{served.address}/{name}"
        options = ("--format", "json", "--self")
        by_web, by_file = (
            found(run("search", address, "--allow-private", *options)),
            found(run("search", file, *options)),
        )
        assert by_web["query"] == address
        assert by_web["matches"] == by_file["matches"]
    assert found(run("search", f"{served.address}/on.jpg", "--allow-private", "--format", "json"))["matches"]
    assert found(run("search", f"{served.address}/lies.jpg", "--allow-private", "--format", "json"))["matches"]


def test_private_places_need_the_option(photos: Path, served: Web) -> None:
    result = run("search", f"{served.address}/known.jpg")
    assert result.exit_code == 1
    assert (
        f"Cannot read {served.address}/known.jpg: its host is at 127.0.0.1, which is no place of the" in result.stderr
    )
    assert served.requests == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.jpg", "there is no such file"),
        ("page.jpg", "it is an HTML page"),
        ("half.jpg", "truncated"),
        ("empty.jpg", "empty"),
        ("bomb.png", "megapixels"),
    ],
)
def test_what_cannot_be_had_is_an_error_of_its_query(photos: Path, served: Web, name: str, said: str) -> None:
    address = f"{served.address}/{name}"
    result = run("search", address, photos / "1.jpg", "--allow-private", "--format", "json")
    assert result.exit_code == 1
    assert f"Error: Cannot read {address}: " in result.stderr
    assert said in result.stderr
    wrong, right = json.loads(result.stdout)
    assert said in wrong["error"]
    assert right["matches"]


def test_a_slow_server_holds_up_nobody_else(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SECONDS", 0.5)
    monkeypatch.setattr(web.fetch, "__kwdefaults__", {**web.fetch.__kwdefaults__, "seconds": 0.5})
    with serving({"/slow.jpg": dripping(picture(bytes(1000)))}) as slow:
        result = run("search", f"{slow.address}/slow.jpg", photos / "1.jpg", "--allow-private", "--format", "paths")
    assert "it did not come within 0.5 seconds" in result.stderr
    assert len(result.stdout.split()) == 4


def test_pictures_of_servers_are_decoded_apart(photos: Path, served: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbir.images.read.read_views", lambda *_, **__: pytest.fail("decoded in this process"))
    monkeypatch.setattr("cbir.images.read.decode_with_size", lambda *_, **__: pytest.fail("decoded in this process"))
    options = ("--allow-private", "--format", "json")
    assert found(run("search", f"{served.address}/new.jpg", *options))["matches"]
    assert found(run("search", f"{served.address}/new.jpg", *options, "--region", "0,0,50%,50%"))["matches"]


def test_pages_show_what_was_searched_by_and_ask_for_it_once(photos: Path, served: Web, tmp_path: Path) -> None:
    page, sheet = tmp_path / "page.html", tmp_path / "sheet.png"
    address = f"{served.address}/new.jpg".replace("//", "//me:secret@")
    options = ("--allow-private", "--region", "0,0,50%,50%", "--no-parts")
    assert run("search", address, *options, "--html", page, "--sheet", sheet).exit_code == 0
    assert served.paths == ["/new.jpg"]
    text = page.read_text()
    assert f'href="{served.address}/new.jpg"' in text
    assert "secret" not in text
    assert text.count("data:image/jpeg") == 6


def test_passwords_are_never_told(photos: Path, served: Web, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for name, place in (
        ("new.jpg", "me:secret@"),
        ("gone.jpg", "me:secret@"),
        ("new.jpg", "me:se/cret@"),
        ("x", "secret@"),
    ):
        address = f"{served.address}/{name}".replace("//", f"//{place}")
        for format_ in ("json", "csv", "table", "jsonl"):
            result = run(
                "search", address, f"--unlike={address}", "--allow-private", "--format", format_, "--log-file", log
            )
            for one in ("secret", "se/cret", "cret@"):
                assert one not in result.output, format_
                assert one not in log.read_text()
    assert "Authorization: Basic bWU6c2VjcmV0" in served.requests[0]


def test_names_without_passwords() -> None:
    for text, shown in {
        "https://me:pw@host/a.jpg": "https://host/a.jpg",
        "--unlike=https://me@host/a.jpg": "--unlike=https://host/a.jpg",
        "https://me:p/w?#x@host/a.jpg": "https://host/a.jpg",
        "https://host/@me/a.jpg": "https://host/@me/a.jpg",
        "https://host:8080/@me/a.jpg": "https://host:8080/@me/a.jpg",
        "s3://key:secret@bucket/a.jpg": "s3://bucket/a.jpg",
        "me@host": "me@host",
    }.items():
        assert without_password(text) == shown
    assert str(picture_named("https://me:pw@host/b/a.jpg?x=1/2")) == "https://host/b/a.jpg?x=1/2"
    assert cbir.Query.from_path("https://me:pw@host/a.jpg").name == "https://host/a.jpg"
    assert [is_web(f"https://{root}") for root in ("host.tar", "host/b", "host/b.tar")] == [True, True, False]
    assert picture_named("https://host.tar/b.txt/a.jpg") == Address("https://host.tar", "b.txt/a.jpg")


def test_lists_may_name_addresses(photos: Path, served: Web, tmp_path: Path) -> None:
    names = tmp_path / "names"
    lines = [f"{served.address}/new.jpg", f"  {served.address}/known.jpg  ", str(photos / "1.jpg"), "s3://bucket/a.jpg"]
    names.write_text("\n".join([*lines, f"file://{photos}/2.jpg", "file:///dev/zero", "ssh://host/a.jpg"]))
    result = run("search", "--files-from", names, "--allow-private", "--format", "json", "-k", 1)
    by_name = {one["query"]: one for one in json.loads(result.stdout)}
    assert [bool(one.get("matches")) for one in by_name.values()] == [True, True, True, False, True, False, False]
    assert by_name[f"{served.address}/new.jpg"]["matches"]
    for name in ("s3://bucket/a.jpg", "ssh://host/a.jpg"):
        assert "names this source, or a list, and nobody here has yet" in by_name[name]["error"]
    assert "it is not a regular file" in by_name["/dev/zero"]["error"]
    result = run("search", "--files-from", names, "--format", "json", "-k", 1)
    assert "which is no place of the public internet" in json.loads(result.stdout)[0]["error"]
    result = run("tags", "--files-from", names, *FAKE)  # no queries
    assert f"Cannot read {Path(served.address) / 'new.jpg'}: there is no such file" in result.stderr


def test_from_python(photos: Path, served: Web) -> None:
    address = f"{served.address}/new.jpg"
    collection = cbir.open("photos")
    with pytest.raises(cbir.ImageReadError, match="no place of the public internet"):
        collection.search(address)
    assert served.requests == []
    query = cbir.Query.from_path(address, allow_private=True)
    assert query.name == address
    assert len(collection.search(query, 3)) == 3
    collection.search(query, 3)
    assert len(served.requests) == 2  # nothing is kept unless a command asks for it
