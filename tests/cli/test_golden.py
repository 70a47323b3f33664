"""Texts that users see, as they are in `golden/`: tables, summaries, help.

A golden file that is missing is written: delete one, run the tests, and look at its diff.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cbir.cli import COMMANDS, cli

GOLDEN = Path(__file__).parent / "golden"

FAKE = ("--model", "fake")

#: Commands with all that they print, in this order; `photos` is a folder, and the index of it.
TABLES: dict[str, Sequence[str]] = {
    "index": ("index", "photos", *FAKE, "--parts"),
    "index-again": ("index", "photos"),
    "info": ("info",),
    "info-verify": ("info", "--index", "photos", "--verify"),
    "search": ("search", "photos/a/03.png", "--format", "table"),
    "search-several": ("search", "photos/a/03.png", "photos/gone.png", "-k", "2", "--format", "table"),
    "search-json": ("search", "photos/a/03.png", "-k", "2", "--format", "json"),
    "search-csv": ("search", "photos/a/03.png", "-k", "2", "--format", "csv"),
    "search-region": (
        "search",
        "photos/a/03.png",
        "--region",
        "0,0,50%,50%",
        "--no-parts",
        "-k",
        "3",
        "--format",
        "table",
    ),
    "search-word": ("search", "--word", "dog", "-k", "3", "--format", "table"),
    "words": ("words", "dog", "-k", "4", "--format", "table"),
    "locate": ("locate", "photos/a/03.png", "photos/b/04.png", "--region", "0,0,50%,50%", *FAKE, "--format", "table"),
    "tags": ("tags", "--index", "photos", "--format", "table"),
    "duplicates": ("duplicates", "--format", "table"),
    "evaluate": ("evaluate", "--index", "photos", "--format", "table"),
    "segment": ("segment", "photos/a/03.png", *FAKE, "-k", "3", "--out", "out", "--format", "table"),
    "no-such-index": ("search", "photos/a/03.png", "--index", "nothing"),
    "wrong-option": ("search", "photos/a/03.png", "--word", "dog", "--not-word", "dog", "--parts", "--together"),
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each of TABLES prints, stderr and exit code included, in a folder with drawn pictures."""
    folder = tmp_path_factory.mktemp("golden")
    for number in range(9):
        _draw(folder / "photos" / "abc"[number % 3] / f"{number:02}.png", number)
    (folder / "photos" / "c" / "copy.png").write_bytes((folder / "photos" / "a" / "03.png").read_bytes())
    (folder / "photos" / "broken.png").write_bytes(b"no picture at all")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CBIR_HOME", str(folder / "indexes"))
        patch.setenv("COLUMNS", "100")
        return {name: _run(arguments, folder) for name, arguments in TABLES.items()}


def _draw(path: Path, seed: int) -> None:
    """Blocks of colour, of a size that is neither cut nor resized in between: the same for every version of Pillow."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(blocks.repeat(32, axis=0).repeat(32, axis=1)).save(path)


def _run(arguments: Sequence[str], folder: Path) -> str:
    result = CliRunner().invoke(cli, list(arguments))
    text = f"$ cbir {' '.join(arguments)}\n{result.stdout}"
    if result.stderr:
        text += f"--- stderr\n{result.stderr}"
    if result.exit_code:
        text += f"--- exit code {result.exit_code}\n"
    text = text.replace(str(folder.resolve()), "/home/me").replace(str(folder), "/home/me")
    return _without_what_changes(text)


def _without_what_changes(text: str) -> str:
    """A text with signs instead of times, dates and sizes on disk."""
    text = re.sub(r"\d\d\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?Z?", "<date>", text)
    text = re.sub(r"\bin \d+(\.\d+)? (ms|s)\b", "in <time>", text)
    text = re.sub(r" *\d[\d,.]* ?(bytes|KB|MB|GB)\b", " <size>", text)
    text = re.sub(r"\d+\.\d\d(?=  exact$)", "<ms>", text, flags=re.MULTILINE)
    text = re.sub(r"^Try '.*' for help\.\n", "", text, flags=re.MULTILINE)  # versions of Click name other options
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def _compare(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8"), f"{file} has something else; delete it where the new text is right"


@pytest.mark.parametrize("name", TABLES)
def test_a_command_prints_what_it_did(printed: dict[str, str], name: str) -> None:
    _compare(name, printed[name])


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_what_it_was(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = CliRunner().invoke(cli, [command, "--help"] if command else ["--help"], prog_name="cbir")
    assert result.exit_code == 0
    _compare(f"help-{command}" if command else "help", result.stdout)
