"""What reaches a terminal is printable, whatever files and indexes are called: nothing steers it, nothing lies."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cbir.cli import cli
from cbir.cli.options.completion import complete_index, complete_notion
from cbir.index.format import META
from cbir.index.open import open_index
from cbir.utils.printable import printable, shortened
from tests.helpers.terminal import run_in_terminal

CHECKOUT = Path(__file__).parents[2]

#: Sets the title, clears the screen, colours: by codes of seven bits, of eight, and by a byte that is no UTF-8; turns
#: the order of letters, ends the line three ways, and goes back to its start.
EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m\udc9b2J\u202egpj\u2066\u2028\u2029\x85\nError: fake\r\x7f\x08z"

#: What no terminal is to get, as it would arrive; of tables' own colours only these are allowed.
_CODES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\udc80-\udcff]")
_OUR_STYLES = re.compile(r"\x1b\[(?:0|1|2)m")


def assert_printable(text: str) -> None:
    assert not _CODES.search(_OUR_STYLES.sub("", text)), ascii(text)
    assert not re.search(r"^Error: fake", text, re.MULTILINE), text


def run(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=input)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """Three pictures, a broken file and a dangling link, all of evil names, in a folder of one; indexed as `photos`."""
    root = tmp_path_factory.mktemp("printable")
    folder = root / f"d{EVIL}"
    folder.mkdir()
    for seed in range(3):
        draw_picture(seed).save(root / "picture.png")
        (root / "picture.png").rename(folder / f"{seed}{EVIL}.png")
    (folder / f"bad{EVIL}.jpg").write_bytes(b"no picture")
    (folder / f"link{EVIL}.jpg").symlink_to("nowhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(root / "indexes"))
        patch.setenv("CBIR_MODEL", "fake")
        assert run("index", folder, "--index", "photos", "-q").exit_code == 0
    return folder


@pytest.fixture(autouse=True)
def _home(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_HOME", str(photos.parent / "indexes"))
    monkeypatch.setenv("CBIR_MODEL", "fake")  # what is shown is the same, and sixty starts are quicker


@given(st.text(st.characters(codec=None, categories=("Cc", "Cf", "Cs", "Co", "Zl", "Zp", "L"))))
def test_any_text_becomes_one_printable_line(text: str) -> None:
    shown = printable(text)
    assert not _CODES.search(shown)
    assert printable(shown) == shown
    kept = printable(text, keep_bytes=True)
    kept.encode("utf-8", errors="surrogateescape")
    assert not re.search("[\x00-\x1f\x7f-\x9f\udc80-\udc9f]", kept)


def test_bytes_that_are_no_utf8_are_told_as_such() -> None:
    assert printable(os.fsdecode(b"caf\xe9 \x9b2J")) == "caf\ufffd \ufffd2J"
    assert printable(os.fsdecode(b"caf\xe9 \x9b2J"), keep_bytes=True) == "caf\udce9 \\udc9b2J"
    # as where the system's names are ASCII: what is UTF-8 is read, and is no way around
    assert printable("\udcc3\udca9 \udcc2\udc9b") == "é \\x9b"
    assert printable("half \ud800") == "half \\ud800"
    assert len(shortened("9" * 5000)) < 100


def commands(photos: Path, out: Path) -> list[tuple[str | Path, ...]]:
    good, bad, none = photos / f"0{EVIL}.png", photos / f"bad{EVIL}.jpg", photos / f"none{EVIL}"
    here = ("--index", "photos")
    return [
        ("index", photos, *here, "-v"),
        ("index", photos, "--index", out / f"new{EVIL}/"),
        ("index", none, "--index", "other"),
        ("index", photos, "--model", f"m{EVIL}", "--index", "other"),
        ("index", photos, "--exclude", f"x{EVIL}", "-n", *here),
        ("search", good, bad, none, *here),
        ("search", good, "--preview", *here),
        ("search", good, "--unlike", bad, *here),
        ("search", good, "--region", "9999,0,10,10", *here),
        ("search", good, "--min-score", EVIL, *here),
        ("search", good, f"--{EVIL}"),
        ("search", "--word", EVIL, *here),
        ("search", good, "--class-weights", EVIL, *here),
        ("search", good, "--index", none),
        ("search", "--files-from", none),
        ("search", good, "--log-file", none / "log", *here),
        ("search", good, "--html", out / f"new{EVIL}" / "page.html", *here),
        *(("search", good, "--format", format_, *here) for format_ in ("paths", "csv", "tsv", "json", "jsonl")),
        ("tags", photos, "--xmp", "-n", "-v"),
        ("tags", good, bad),
        ("segment", good, bad, "--out", out / f"parts{EVIL}", "--fast"),
        ("locate", good, bad, good),
        ("detect", good, "--weights", none.with_suffix(".onnx")),
        ("detect", good, "--weights", "untrained", "--class", EVIL, "--model", EVIL),
        ("duplicates", *here, "--format", "table"),
        ("evaluate", photos),
        ("map", *here, "--html", out / f"map{EVIL}.html", "--png", good),
        ("info", *here),
        ("info", "--index", f"{none}/"),
        (EVIL,),
        ("--debug", "search", none, *here),
    ]


def test_nothing_that_a_name_holds_steers_a_terminal(photos: Path, tmp_path: Path) -> None:
    for arguments in commands(photos, tmp_path):
        code, text = run_in_terminal(*arguments, columns=100)
        assert code in (0, 1, 2), ascii(text)
        if "--preview" in arguments:  # its pictures are codes; and it asks the terminal what it can do
            text = re.sub(r"\x1b\[[0-9;]*m|\x1b_G.*?\x1b\\|\x1b\[c|\x1b\[16t", "", text)
        assert_printable(re.sub(r"\r(?=[\w .-]*:? *\d+%\|)", "", text))  # progress bars go back to their start


def test_messages_in_a_pipe_are_printable_and_data_stay_as_they_are(photos: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "cbir", "search", photos / f"0{EVIL}.png", photos / f"bad{EVIL}.jpg"]
    command += ["--index", "photos", "--log-file", log]
    done = subprocess.run([*command, "-0"], capture_output=True, check=False)
    assert_printable(done.stderr.decode())
    assert {os.fsdecode(name) for name in done.stdout.split(b"\0")[:-1]} == {
        str(photos / f"{seed}{EVIL}.png") for seed in (1, 2)
    }
    assert_printable(log.read_bytes().decode())
    table = subprocess.run([*command, "--format", "table"], capture_output=True, check=False)
    assert_printable(table.stdout.decode())
    csv = subprocess.run([*command, "--format", "csv"], capture_output=True, check=False)
    assert os.fsencode(photos / f"1{EVIL}.png") in csv.stdout


def test_what_an_index_says_of_itself_is_printable(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos.parent / "indexes" / "photos", tmp_path / "forged")
    meta = open_index(str(tmp_path / "forged")).meta
    (tmp_path / "forged" / META).write_text(
        meta.but(root=f"/x{EVIL}", updated=EVIL, created=EVIL, exclude=(EVIL,)).dump()
    )
    here = ("--index", f"{tmp_path}/forged/")
    for arguments in (("info", *here), ("index", *here), ("index", "-n", *here), ("search", "--word", "dog", *here)):
        for text in (run_in_terminal(*arguments)[1], run(*arguments).stderr):
            assert_printable(text)


def test_warnings_and_tracebacks_are_printable(photos: Path, tmp_path: Path) -> None:
    """Whoever writes to stderr: it is the last place through which all passes."""
    script = (
        "import sys\nfrom cbir.cli.terminal import streams\nstreams.prepare()\nimport warnings\n"
        "warnings.warn(sys.argv[1])\nprint(sys.argv[1], file=sys.stderr)\nraise ValueError(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", script, EVIL], capture_output=True, check=False)
    text = done.stderr.decode()
    assert "Traceback" in text
    assert "UserWarning" in text
    assert not _CODES.search(text)


def test_tab_offers_no_name_that_a_shell_would_print_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_HOME", str(tmp_path))
    for name in (EVIL, "plain"):
        (tmp_path / name).mkdir()
        (tmp_path / name / META).write_text("{}")
    assert [item.value for item in complete_index(None, None, "")] == ["plain"]  # type: ignore[arg-type]


def test_tab_offers_the_notions_of_the_index_that_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_HOME", str(tmp_path))

    def offered(incomplete: str, **params: str) -> list[str]:
        context = click.Context(click.Command("search"))
        context.params = params
        return [item.value for item in complete_notion(context, None, incomplete)]  # type: ignore[arg-type]

    assert offered("") == []
    (tmp_path / "one").mkdir()
    content = {"notions": [{"name": "kinds"}, {"name": EVIL}, {"name": "hours"}]}
    (tmp_path / "one" / META).write_text(json.dumps(content))
    assert offered("") == offered("", index_name="one") == ["kinds", "hours"]
    assert offered("ho") == ["hours"]
    assert offered("", index_name="two") == []
    for text in ("", "[]", '{"notions": 5}', '{"notions": [{}]}', '{"notions": [{"name": 5}]}', "[" * 100_000):
        (tmp_path / "one" / META).write_text(text)
        assert offered("") == []


@pytest.mark.parametrize(
    ("columns", "environment"),
    [
        (1, {}),
        (5, {}),
        (20, {}),
        (20, {"COLUMNS": "0"}),
        (20, {"COLUMNS": "-5", "TERM": "dumb"}),
        (20, {"COLUMNS": "x"}),
    ],
)
def test_narrow_terminals_keep_the_ends_of_names(photos: Path, columns: int, environment: dict[str, str]) -> None:
    query = photos / f"0{EVIL}.png"
    code, text = run_in_terminal("search", query, "--index", "photos", columns=columns, environment=environment)
    assert code == 0
    assert_printable(text)
    assert sum(line.rstrip().endswith("z.png") for line in _OUR_STYLES.sub("", text).splitlines()) == 2


def test_commands_write_by_the_functions_that_make_text_printable() -> None:
    allowed = {"output.py": 10, "table.py": 1, "preview.py": 3, "logfile.py": 1}
    for module in (CHECKOUT / "cbir").rglob("*.py"):
        count = len(re.findall(r"click\.echo\(|(?<![\w.])print\(", module.read_text()))
        if module.name == "weights.py":  # a line before a download
            count -= 1
        assert count <= allowed.get(module.name, 0), f"{module.name}: use cbir.cli.terminal.output.say or tell"


def test_json_is_ascii(photos: Path) -> None:
    done = run("search", photos / f"0{EVIL}.png", "--index", "photos", "--format", "json")
    assert done.stdout.isascii()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout)
    assert json.loads(done.stdout)["query"] == str(photos / f"0{EVIL}.png")


def test_pages_and_sidecars_hold_no_codes_either(photos: Path, tmp_path: Path) -> None:
    """Of an index that was forged as well: its root and times are on pages."""
    shutil.copytree(photos, tmp_path / "photos", symlinks=True)
    query = tmp_path / "photos" / f"0{EVIL}.png"
    shutil.copytree(photos.parent / "indexes" / "photos", tmp_path / "forged")
    meta = open_index(str(tmp_path / "forged")).meta
    (tmp_path / "forged" / META).write_text(meta.but(root=str(tmp_path / "photos"), updated=EVIL).dump())
    here = ("--index", f"{tmp_path}/forged/")
    for name, arguments in {
        "search.html": ("search", query, *here, "--html"),
        "segment.html": ("segment", query, "--fast", "--out", tmp_path / f"o{EVIL}", "--html"),
        "coco.json": ("segment", query, "--fast", "--no-overlay", "--no-labels", "--coco"),
        "duplicates.html": ("duplicates", *here, "--html"),
        "map.html": ("map", *here, "--html"),
    }.items():
        result = run(*arguments, tmp_path / name)
        assert result.exit_code == 0, result.stderr
        assert_printable((tmp_path / name).read_text(encoding="utf-8"))
    assert run("tags", query, "--xmp").exit_code == 0
    assert_printable((tmp_path / "photos" / f"0{EVIL}.png.xmp").read_text(encoding="utf-8"))


def test_a_message_ends_however_long_a_name_is() -> None:
    result = run("search", "--files-from", "-", "--index", "photos", input=b"x" * 900_000 + b"\n")
    assert result.exit_code == 1
    assert 1000 < len(result.stderr) < 25_000
