"""What a terminal gets: tables as wide as it is, colour, thumbnails, and files in the system's viewer."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.cli.terminal import cells, table
from cbir.cli.terminal.output import JsonDocument, write_json
from cbir.cli.terminal.table import Column
from tests.helpers.terminal import run_in_terminal

NAMES = (
    "京都の紅葉と金閣寺と清水寺の長い長い名前の写真.jpg",
    "e\u0301te\u0301 a\u0300 la mer avec les amis.jpg",
    "🏖️ plain.jpg",
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """Four pictures with wide, combined and long names in a deep folder, indexed as `photos`."""
    root = tmp_path_factory.mktemp("terminal")
    folder = root / "photos" / ("deep" * 20)
    folder.mkdir(parents=True)
    for seed, name in enumerate((*NAMES, "query.jpg")):
        draw_picture(seed).save(folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(root / "indexes"))
        assert run("index", root / "photos", "-q").exit_code == 0
    return root / "photos"


@pytest.fixture(autouse=True)
def _home(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_HOME", str(photos.parent / "indexes"))


@pytest.fixture
def query(photos: Path) -> Path:
    return next(photos.rglob("query.jpg"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


# ---- cells


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("日本", 4),
        ("e\u0301", 1),
        ("\u1112\u1161\u11ab", 2),
        ("🏖\ufe0f", 2),
        ("😀", 2),
        ("", 0),
        ("ｱ", 1),
        ("é", 1),
    ],
)
def test_text_takes_as_many_cells_as_a_terminal_gives_it(text: str, width: int) -> None:
    assert cells.width(text) == width


def test_cut_text_has_the_width_that_it_may_have_and_its_own_end() -> None:
    random = np.random.default_rng(3)
    alphabet = list("ab/日本😀e\u0301\u0308 ")
    for _ in range(500):
        text = "".join(random.choice(alphabet, random.integers(1, 40)))
        room = int(random.integers(3, 30))
        start, end = cells.cut_start(text, room), cells.cut_end(text, room)
        assert cells.width(start) <= room
        assert cells.width(end) <= room
        if cells.width(text) <= room:
            assert start == end == text
            continue
        assert text.endswith(start.removeprefix("…"))
        assert text.startswith(end.removesuffix("…"))
        assert cells.width(end) >= room - 1
        assert not start.startswith(("…\u0301", "…\u0308"))
        lines = cells.wrap(text, room)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert max(map(cells.width, lines)) <= room


def test_paths_are_cut_before_a_folder_where_one_is_near() -> None:
    assert cells.cut_start("/home/me/photos/2026/summer/sea.jpg", 24) == "…/2026/summer/sea.jpg"
    assert cells.cut_start("/home/averyveryverylongfoldername.jpg", 12) == "…dername.jpg"


# ---- tables


def test_columns_are_narrowed_and_left_out_in_their_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    columns = [
        Column("n", right=True),
        Column("what", optional=2),
        Column("tag", optional=1, cuts="end"),
        Column("path", cuts="start", least=12),
    ]
    rows = [("1", "something", "grand piano", "/photos/of/pianos/1.jpg")]

    def lines(room: int | None) -> list[str]:
        monkeypatch.setattr(table, "terminal_width", lambda: room)
        table.write(columns, rows)
        return capsys.readouterr().out.splitlines()

    whole = lines(None)
    assert whole == ["n  what       tag          path", "1  something  grand piano  /photos/of/pianos/1.jpg"]
    assert lines(len(whole[1])) == whole
    assert lines(40)[1] == "1  something  grand piano  …pianos/1.jpg"
    assert lines(30)[0].split() == ["n", "what", "path"]
    assert lines(18)[0].split() == ["n", "path"]
    for room in range(11, 60):
        assert max(map(cells.width, lines(room))) <= room


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_every_table_fits_the_terminal(photos: Path, query: Path, columns: int) -> None:
    code, text = run_in_terminal("search", query, columns=columns)
    lines = plain(text)
    assert code == 0
    assert len(lines) == 4
    assert max(map(cells.width, lines)) <= columns
    assert {line.rsplit("…", 1)[-1][-9:] for line in lines[1:]} == {name[-9:] for name in NAMES}
    if columns == 60:
        for arguments in (("tags", "--index", "photos"), ("models",), ("search", "--word", "crane", "--sense", "list")):
            code, text = run_in_terminal(*arguments, columns=columns)
            whole = [line for line in plain(text) if not line.startswith("Any other")]
            assert code == 0
            assert max(map(cells.width, whole)) <= columns, arguments


def test_colour_is_for_terminals_that_want_it(query: Path) -> None:
    assert "\x1b[1m" in run_in_terminal("search", query)[1]
    for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in run_in_terminal("search", query, environment=unwanted)[1]
    assert "\x1b" not in run("search", query, "--format", "table").stdout


# ---- thumbnails


def test_thumbnails_are_drawn_in_half_blocks_on_a_terminal_that_answers_nothing(query: Path) -> None:
    code, text = run_in_terminal("search", query, "--preview", "-k", "2", columns=80)
    assert code == 0
    assert len(re.findall("[▀▄]", text)) > 2 * 30 * 10
    assert max(map(cells.width, plain(re.sub(r"\x1b_G.*?\x1b\\|\x1b\[c", "", text)))) <= 80


def test_thumbnails_do_not_ask_where_stdin_is_a_list(query: Path) -> None:
    read, write = os.pipe()
    os.write(write, os.fsencode(query) + b"\n")
    os.close(write)
    code, text = run_in_terminal("search", "--files-from", "-", "--preview", "-k", "1", stdin=read)
    os.close(read)
    assert code == 0
    assert "\x1b[c" not in text
    assert "▀" in text


@pytest.mark.parametrize("way", ["sixel", "kitty"])
def test_thumbnails_are_drawn_in_pixels_where_the_terminal_says_so(query: Path, way: str) -> None:
    pytest.importorskip("textual_image")
    answers = {b"\x1b[c": b"\x1b[?62;4;22c" if way == "sixel" else b"\x1b[?62;22c", b"\x1b[16t": b"\x1b[6;20;10t"}
    answers[b"a=q"] = b"\x1b_Gi=1;OK\x1b\\"
    code, text = run_in_terminal("search", query, "--preview", "-k", "2", answers=answers)
    assert code == 0
    assert not re.search("[▀▄]", text)
    if way == "sixel":
        assert re.search(r"\x1bP[0-9;]*q.{1000,}\x1b\\", text, re.DOTALL)
        return
    chunks = re.findall(r"\x1b_G[^;]*f=100[^;]*;([A-Za-z0-9+/=]+)\x1b\\", text)
    picture = Image.open(io.BytesIO(base64.b64decode("".join(chunks))))
    assert picture.size == (50 * 10, 9 * 20)  # two of 24 columns and the gap
    assert np.asarray(picture.convert("RGB")).std() > 10


@pytest.mark.parametrize("options", [[], ["--format", "json"], ["--format", "table"]])
def test_thumbnails_without_a_terminal_are_wrong_usage(query: Path, options: list[str]) -> None:
    result = run("search", query, "--preview", *options)
    assert result.exit_code == 2
    assert "a terminal" in result.stderr


# ---- --open


def test_matches_are_opened(query: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = tmp_path / "xdg-open"
    viewer.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    viewer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = run("search", query, "--open")
    assert result.exit_code == 0, result.stderr
    assert sorted((tmp_path / "opened").read_text().splitlines()) == sorted(result.stdout.splitlines())
    # what is written of it rather than ten matches; of a map the page
    page, sheet, plan = (str(tmp_path / name) for name in ("page.html", "sheet.png", "map.html"))
    (tmp_path / "opened").unlink()
    assert run("search", query, "--open", "--html", page, "--sheet", sheet).exit_code == 0
    assert run("map", "--open", "--html", plan, "--png", str(tmp_path / "map.png")).exit_code == 0
    assert set((tmp_path / "opened").read_text().splitlines()) == {page, sheet, plan}
    viewer.write_text("#!/bin/sh\nexit 3\n")
    failed = run("search", query, "--open")
    assert failed.exit_code == 1
    assert "has no viewer for it" in failed.stderr
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert "has no viewer for it" in run("search", query, "--open").stderr


def test_matches_that_are_no_pictures_any_more_are_not_opened(
    query: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    for file in query.parent.rglob("*.*"):
        if file != query:
            file.write_text("#!/bin/sh\n")
    result = run("search", query, "--open")
    assert result.exit_code == 0
    assert "Nothing is opened: none of the matches is a picture that is there." in result.stderr


# ---- JSON as it comes


# with False it was said that there is one at most
@pytest.mark.parametrize(
    ("count", "several"),
    [*((count, several) for count in range(4) for several in (None, True)), (0, False), (1, False)],
)
def test_a_document_that_is_written_bit_by_bit_is_the_same(
    capsys: pytest.CaptureFixture, count: int, several: bool | None
) -> None:
    records = [{"query": f"ä\udcff{n}", "matches": [{"rank": 1}], "box": [1, 2]} for n in range(count)]
    document = JsonDocument(several=several)
    for record in records:
        document.add(record)
    document.close()
    ours = capsys.readouterr().out
    write_json(records[0] if count == 1 and not several else records)
    assert ours == capsys.readouterr().out
