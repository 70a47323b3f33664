"""Lists of pictures and ground truths as other programs write them, and lists that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cbir.cli import cli
from cbir.cli.options import images
from cbir.cli.options.lists import NameList, names_in
from cbir.errors import CbirError
from cbir.evaluation.ground_truth import by_file
from cbir.utils.text import decode

NAMES = ["a.jpg", "Übung & 1%.jpg", "☃ 京都.jpg"]


def run(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=input)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files of all NAMES."""
    (tmp_path / "pictures").mkdir()
    for name in NAMES:
        (tmp_path / "pictures" / name).touch()
    return tmp_path / "pictures"


def listed(path: Path, content: bytes, *, null: bool = False) -> list[str]:
    path.write_bytes(content)
    return [name for name in NameList(path, null=null) if name is not None]


def writings(folder: Path) -> dict[str, bytes]:
    """The same names as lists of many kinds."""
    names = [str(folder / name) for name in NAMES]
    lines = "".join(f"{name}\n" for name in names)
    windows = lines.replace("\n", "\r\n")
    return {
        "plain": lines.encode(),
        "no newline at the end": lines.rstrip().encode(),
        "crlf": windows.encode(),
        "mark": b"\xef\xbb\xbf" + lines.encode(),
        "mark and crlf": b"\xef\xbb\xbf" + windows.encode(),
        "utf-16 with a mark": windows.encode("utf-16"),
        "utf-16, big end first": b"\xfe\xff" + windows.encode("utf-16-be"),
        "utf-16 without a mark": windows.encode("utf-16-le"),
        "utf-16, big end first, without": lines.encode("utf-16-be"),
        "utf-16, no newline at the end": windows.rstrip().encode("utf-16"),
        "blank lines": windows.replace("\r\n", "\r\n\r\n  \r\n\t\r\n").encode(),
        "quotes": "".join(f'"{name}"\r\n' for name in names).encode(),
        "apostrophes": "".join(f"'{name}' \n" for name in names).encode(),
        "blanks": "".join(f"  {name}\t \n" for name in names).encode(),
        "addresses": "".join(f"file://{quote(name)}\r\n" for name in names).encode(),
        "addresses of this machine": "".join(f"FILE://localhost{quote(name)}\n" for name in names).encode(),
        "addresses with one slash": "".join(f"file:{quote(name)}\n" for name in names).encode(),
        "backslashes": lines.replace("/", "\\").encode(),
        "old macs": lines.replace("\n", "\r").encode(),
        "a mark, quotes and backslashes": ("\ufeff" + "".join(f'"{name}"\r\n' for name in names))
        .replace("/", "\\")
        .encode(),
    }


@pytest.mark.parametrize("kind", writings(Path("/")))
def test_lists_of_other_programs_are_read(folder: Path, tmp_path: Path, kind: str) -> None:
    assert listed(tmp_path / "list", writings(folder)[kind]) == [str(folder / name) for name in NAMES]


def test_a_name_is_taken_as_it_is_where_there_is_such_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    strange = ['"a.jpg"', " a.jpg", "a.jpg ", "file:a.jpg", "b\\a.jpg", "\ufeffa.jpg", "'", "  ", "a.jpg"]
    for name in strange:
        Path(name).touch()
        assert names_in(name) == [name]
    assert listed(tmp_path / "list", "\n".join(strange).encode()) == strange
    # what ends in NUL is as it is, whether there is such a file or not
    for name in strange:
        Path(name).unlink()
    exact = [*strange, "\xff\xfe\n.jpg", "a\r"]
    assert listed(tmp_path / "list", "\0".join(exact).encode(), null=True) == exact
    assert listed(tmp_path / "list", b"\xff\xfea\0b\0", null=True) == ["\udcff\udcfea", "b"]


def test_lists_and_ground_truths_in_windows_1252_are_read(tmp_path: Path) -> None:
    (tmp_path / "größe €.jpg").touch()
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).touch()
    names = [f"{tmp_path}/größe €.jpg", f"{tmp_path}/" + os.fsdecode(b"caf\xe9.jpg")]
    content = "".join(f'"{tmp_path}\\{name}.jpg"\r\n' for name in ("größe €", "café")).encode("cp1252")
    assert listed(tmp_path / "list", content) == names
    (tmp_path / "truth").write_bytes("query;relevant\r\na.jpg;größe €.jpg\r\n".encode("cp1252"))
    (judgement,) = by_file(tmp_path / "truth", ["a.jpg", "größe €.jpg"], tmp_path).judgements
    assert judgement.relevant.tolist() == [1]


def test_a_name_of_no_file_is_told_as_it_was_written(tmp_path: Path) -> None:
    assert listed(tmp_path / "list", b'\xef\xbb\xbf"none.jpg"\nfile:///none%00\n ') == ['"none.jpg"', "file:///none%00"]


@pytest.mark.parametrize(
    ("content", "null", "message"),
    [
        (b"\xff\xfea\0\n\0b", False, "begins as UTF-16"),
        (b"a\nb\0c\n", False, "add -0"),
        (b"\n" * 3_000_000, False, "no names that end in a newline"),
        (b"\0" * 3_000_000, True, "no names that end in a NUL"),
        (b"x" * 3_000_000, False, "no names that end in a newline"),
        ("x" * 3_000_000, False, "no names that end in a newline"),
    ],
)
def test_lists_that_are_none_are_told(tmp_path: Path, content: bytes | str, null: bool, message: str) -> None:
    data = content.encode("utf-16") if isinstance(content, str) else content
    with pytest.raises(CbirError, match=message):
        listed(tmp_path / "list", data, null=null)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no /dev/zero here")
@pytest.mark.parametrize("options", [[], ["-0"]])
def test_an_endless_list_ends(options: list[str]) -> None:
    result = run("segment", "--files-from", "/dev/zero", *options)
    assert result.exit_code == 1
    assert "Cannot read the list /dev/zero" in result.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_each_line_is_a_name_as_soon_as_it_is_written(folder: Path, tmp_path: Path, encoding: str, mark: str) -> None:
    """From a FIFO, as a shell's `<(…)` is one: whoever waits for an answer has not to write more."""
    os.mkfifo(tmp_path / "fifo")
    names = NameList(tmp_path / "fifo", null=False)
    with open(tmp_path / "fifo", "wb", buffering=0) as fifo:
        watchdog = threading.Timer(30, lambda: os._exit(9))
        watchdog.start()
        found = iter(names)
        for name in NAMES:
            fifo.write(f"{mark}{folder / name}\n".encode(encoding))
            assert next(one for one in found if one is not None) == str(folder / name)
            mark = ""
        watchdog.cancel()
    assert [one for one in found if one is not None] == []


def test_a_process_substitution_is_a_list(folder: Path) -> None:
    script = f'"{sys.executable}" -m cbir segment --files-from <(printf "%s\\r\\n" "$@")'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *folder.iterdir()], capture_output=True, text=True, check=False
    )
    assert done.stderr.count("the file is empty") == len(NAMES), done.stderr


def test_a_long_list_with_odd_lines_is_read_in_time(folder: Path, tmp_path: Path) -> None:
    content = b"".join(f'"{folder / name}"\r\n'.encode() for name in NAMES) * 10_000
    start = time.process_time()
    assert len(listed(tmp_path / "list", content)) == 30_000
    assert time.process_time() - start < 10


def test_a_picture_on_stdin_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MOST_BYTES", 5_000_000)
    result = run("tags", "-", input=bytes(6_000_000))
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: The picture on stdin has more than 5,000,000 bytes: that is none.\n",
    )


# ---- ground truths

PATHS = ["a/0.jpg", "a/1.jpg", "Ü/☃ 2.jpg"]
PAIRS = [("a/0.jpg", "a/1.jpg"), ("a/0.jpg", "Ü/☃ 2.jpg"), ("Ü/☃ 2.jpg", "a/0.jpg")]


def truths() -> dict[str, bytes]:
    """The same ground truth as programs save it."""
    plain = "query,relevant\n" + "".join(f"{one},{other}\n" for one, other in PAIRS)
    semicolons = plain.replace(",", ";")
    lists = json.dumps({PATHS[0]: PATHS[1:], PATHS[2]: [PATHS[0]]}, ensure_ascii=False)
    return {
        "plain": plain.encode(),
        "mark": b"\xef\xbb\xbf" + plain.encode(),
        "crlf": plain.replace("\n", "\r\n").encode(),
        "semicolons": semicolons.encode(),
        "which says so": b"\xef\xbb\xbfsep=;\r\n" + semicolons.replace("\n", "\r\n").encode(),
        "tabs": plain.replace(",", "\t").encode(),
        "tabs in UTF-16": plain.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),
        "UTF-16 without a mark": plain.encode("utf-16-le"),
        "quotes": ('"' + plain.strip().replace(",", '","').replace("\n", '"\n"') + '"\n').encode(),
        "backslashes": plain.replace("/", "\\").encode(),
        "blanks": plain.replace(",", " , ").encode(),
        "a header in capitals": plain.replace("query,relevant", "Query,Relevant").encode(),
        "blank lines": plain.replace("\n", "\n\n,\n").encode(),
        "old macs": plain.replace("\n", "\r").encode(),
        "dots": plain.replace("a/", "./a/").encode(),
        "JSON": lists.encode(),
        "JSON with a mark": b"\xef\xbb\xbf" + lists.encode(),
        "JSON in UTF-16": lists.encode("utf-16"),
    }


@pytest.mark.parametrize("kind", truths())
def test_ground_truths_of_other_programs_are_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "truth").write_bytes(truths()[kind])
    truth = by_file(tmp_path / "truth", PATHS, tmp_path)
    assert [(one.query, one.relevant.tolist()) for one in truth.judgements] == [(0, [1, 2]), (2, [0])]


def test_a_ground_truth_is_a_file_with_an_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "cut").write_bytes("query,relevant\n".encode("utf-16")[:-1])
    cases = [("fifo", "not a regular file"), (".", "it is a folder"), ("cut", "begins as UTF-16")]
    if os.path.exists("/dev/zero"):
        (tmp_path / "zero").symlink_to("/dev/zero")
        cases.append(("zero", "not a regular file"))
    for name, message in cases:
        with pytest.raises(CbirError, match=message):
            by_file(tmp_path / name, PATHS, tmp_path)


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff"), min_size=4))
def test_any_text_is_read_back_from_what_it_is_written_in(text: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert decode(text.encode(encoding)) == text


def test_a_name_that_the_system_refuses_is_one_query_that_failed(draw_picture: Callable, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        draw_picture(seed).save(tmp_path / "photos" / f"{seed}.jpg")
    assert run("index", tmp_path / "photos", "-q").exit_code == 0
    # longer than a name may be, than a path may be, and through a file as if it were a folder
    listing = ["x" * 300, "y/" * 5000, f"{tmp_path}/photos/0.jpg/1.jpg", str(tmp_path / "photos/0.jpg")]
    for command in ("search", "tags"):
        result = run(command, "--files-from", "-", "--format", "jsonl", input="\n".join(listing).encode())
        assert (result.exit_code, len(result.stdout.splitlines())) == (1, 4), result.stderr
        assert ["error" in json.loads(line) for line in result.stdout.splitlines()] == [True, True, True, False]
