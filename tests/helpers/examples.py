"""Examples in documents and help texts: found, and run in a folder with the pictures that they name.

In Markdown these are examples that run:

- fences marked `sh`, all lines; and fences without a mark whose lines begin with `$ `, these lines;
- blocks indented by four spaces;
- fences marked `python`; those of one document share their names.

What cannot run, because it belongs in a crontab, say, has the comment `<!-- not run: REASON -->` on the line before it;
a line that downloads something ends in `# downloads …`, which help texts have room for, too. Anything else is data:
fences marked `text`, `json`, `ini` and so on.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner
from PIL import Image, ImageFilter, ImageOps

from cbir.cli import cli
from cbir.detect.formats import coco
from cbir.detect.formats.annotations import Annotated, Annotation, Size
from cbir.faces.likeness import GROUP
from cbir.index.store import Index
from cbir.indexing.run import index_folder
from cbir.people.album import Album
from cbir.people.arrange import Arranged
from cbir.people.edit import name_person
from cbir.people.of_index import change_people
from tests.helpers.graph_files import write as write_detector
from tests.helpers.people import give_faces
from tests.helpers.waiting import GUARD_SECONDS

CHECKOUT = Path(__file__).resolve().parents[2]
DATASET = CHECKOUT / "dataset" / "photos"

#: Folders that labels in examples are about.
_LEARNT = ("mountain_lakes", "hot_air_balloons")

#: What is done to pictures of prints/, by the folders that they are in.
_TREATMENTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "photos": lambda image: image,
    "sketches": lambda image: ImageOps.invert(image.convert("L").filter(ImageFilter.FIND_EDGES)),
}

#: Pictures that examples find, by the paths that they name, each with the picture of dataset/ that it is.
#: An example that needs another one gets it here.
PICTURES = {
    "some.jpg": "mountain_lakes/mountain_lakes_05",
    "other.jpg": "mountain_lakes/mountain_lakes_06",
    "third.jpg": "fruit_bowls/fruit_bowls_01",
    "a.jpg": "hot_air_balloons/hot_air_balloons_01",
    "b.jpg": "hot_air_balloons/hot_air_balloons_02",
    "c.jpg": "city_towers/city_towers_01",
    "d.jpg": "city_towers/city_towers_02",
    "new/one.jpg": "galaxies/galaxies_01",
    "new/two.jpg": "sunset_seas/sunset_seas_01",
    "photo.jpg": "sunset_seas/sunset_seas_02",
    "one.jpg": "misty_forests/misty_forests_01",
    "photos/Faces/image_0001.jpg": "fruit_bowls/fruit_bowls_02",
    "photos/flamingo/image_0011.jpg": "coral_reefs/coral_reefs_01",
    "photos/flamingo/image_0019.jpg": "coral_reefs/coral_reefs_02",
    "photos/ant/image_0010.jpg": "desert_dunes/desert_dunes_01",
    **{
        f"{folder}/{name}/{name}_{number:02}.jpg": f"{name}/{name}_{number:02}"
        for folder in ("photos", "dataset/photos")
        for name in ("mountain_lakes", "hot_air_balloons")
        for number in (3, 4, 5)
    },
    **{
        f"dataset/photos/{name}/{name}_{number:02}.jpg": f"{name}/{name}_{number:02}"
        for name in ("mountain_lakes", "hot_air_balloons", "city_towers", "sunset_seas", "galaxies")
        for number in range(1, 13)
    },
}

#: Other files that examples read: networks' weights, a ground truth.
FILES = {
    "same.csv": "query,relevant\nsunset_seas/sunset_seas_03.jpg,sunset_seas/sunset_seas_04.jpg\n",
    "labels.csv": "path,class\n"
    + "".join(f"{name}/{name}_0{number}.jpg,{name}\n" for name in _LEARNT for number in (3, 4, 5)),
    "boxes.csv": "path,class,x,y,width,height\n"
    + "".join(f"{name}/{name}_0{number}.jpg,{name},25%,20%,50%,50%\n" for name in _LEARNT for number in (3, 4, 5)),
    "dataset/hours.csv": (DATASET.parent / "hours.csv").read_text("utf-8"),
    "scripts/train_toy.py": (CHECKOUT / "scripts" / "train_toy.py").read_text("utf-8"),
    "words.txt": "mountain lake\nhot air balloon\ngalaxy\nsunset sea\ncity tower\n",
    "list.txt": "some.jpg\nother.jpg\n",
    "token.txt": "a-secret-of-some-letters\n",
    "paths.txt": "".join(f"mountain_lakes/mountain_lakes_0{number}.jpg\n" for number in (3, 4, 5)),
}

#: The address of the server in examples.
_ADDRESS = "http://127.0.0.1:8580"

NOT_RUN = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Example:
    """A block of examples in a file: its `kind` ("sh" or "python"), its first line's number, and its text.

    `not_run` is the reason why it cannot run, if there is one.
    """

    file: Path
    line: int
    kind: str
    text: str
    not_run: str = ""

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}"


def examples_in(file: Path) -> Iterator[Example]:
    """The examples of a Markdown document, in order."""
    lines = file.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        start, kind, block = number, "", []
        if lines[number].lstrip().startswith("```"):
            mark = lines[number].strip()[3:]
            number += 1
            while not lines[number].lstrip().startswith("```"):
                block.append(lines[number])
                number += 1
            kind = {"sh": "sh", "python": "python", "": "console"}.get(mark, "")
        elif lines[number].startswith("    ") and not lines[number - 1].strip():
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                block.append(lines[number][4:])
                number += 1
            number -= 1
            # a paragraph of a list may be indented, too
            kind = "" if _is_in_list(lines, start) else "sh"
        number += 1
        if kind == "console":
            kind, block = "sh", [line[2:] for line in block if line.startswith("$ ")]
        text = "\n".join(block).strip("\n")
        if kind and text:
            mark_before = next((line for line in reversed(lines[:start]) if line.strip()), "")
            found = NOT_RUN.fullmatch(mark_before.strip())
            yield Example(file, start + 1, kind, text, found[1] if found else "")


def _is_in_list(lines: list[str], start: int) -> bool:
    before = [line for line in lines[:start] if line.strip() and not line.startswith(" ")]
    return bool(before) and re.match(r"([-*]|\d+\.) ", before[-1]) is not None


def prepare(folder: Path) -> None:
    """Put the pictures and files that examples name into a folder; the detector takes red and blue for its classes."""
    for name, picture in PICTURES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(DATASET / f"{picture}.jpg", folder / name)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for treatment, treat in _TREATMENTS.items():
        for name in _LEARNT:
            for number in (3, 4, 5):
                place = folder / "prints" / treatment / name / f"{number}.jpg"
                place.parent.mkdir(parents=True, exist_ok=True)
                treat(Image.open(DATASET / name / f"{name}_0{number}.jpg")).save(place)
    np.save(folder / "features.npy", np.random.default_rng(1).normal(size=(3, 1280)).astype(np.float32))
    write_detector(folder / "yolox_nano.onnx", "yolox", names="{0: 'dog', 1: 'car'}")
    pictures = [name.removeprefix("photos/") for name in PICTURES if name.startswith("photos/")]
    for file, score in (("boxes.json", None), ("found.json", 0.9)):
        boxes = (Annotation((5, 5, 40, 30), "dog", score), Annotation((20, 30, 60, 40), "car", score))
        drawn = [Annotated(name, Size(*Image.open(folder / "photos" / name).size), boxes) for name in pictures]
        (folder / file).write_text(json.dumps(coco.dataset(drawn)))


def run_line(line: str) -> None:
    """Run one line of a shell's in the current folder, `cbir` in this process; AssertionError where it fails.

    Of the shell's grammar there are quotes, comments, patterns and pipes. A pipe's other programs run as they are.
    """
    data = b""
    for stage in _split(line):
        words = [word for raw in stage for word in _words(raw)]
        if words[:2] == ["cbir", "serve"]:
            _serve(words[2:])
        elif "--watch" in words:
            _watch(words[1:])
        elif words[0] == "curl":
            data = _ask(words)
        elif words[0] == "cbir":
            if words[1] == "people" or not {"--face", "--person"}.isdisjoint(words):
                give_faces(Path("indexes/photos"))
            if "search" in words and "--treatment" in words:
                index_folder(Path("photos"), "indexes/photos", treatment=True)
            if "--person" in words:
                _give_name(Path("indexes/photos"), words[words.index("--person") + 1])
            result = CliRunner().invoke(cli, words[1:], input=data, prog_name="cbir")
            what = "".join(getattr(result, "stderr", ""))
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                what += f"{type(result.exception).__name__}: {result.exception}"
            # no drawn picture shows a face to be compared
            expected = 1 if words[1] == "verify" and "o face is found" in what else 0
            assert result.exit_code == expected, (
                f"`{line}` exits with {result.exit_code}: {what}\n"
                "Mend the example; add a picture that it needs to PICTURES in tests/helpers/examples.py; or, if it "
                "cannot run anywhere, mark it (see the head of that file)."
            )
            data = result.stdout_bytes
        else:
            program = [sys.executable if words[0] in ("python", "python3") else words[0], *words[1:]]
            done = subprocess.run(program, input=data, capture_output=True, check=False)
            assert done.returncode == 0, f"`{line}`: {words[0]} exits with {done.returncode}: {done.stderr.decode()}"
            data = done.stdout


def _give_name(directory: Path, name: str) -> None:
    """Let the first person of an index be called so, unless somebody is."""

    def named(arranged: Arranged, index: Index) -> Album:
        album = arranged.album
        return album if album.named(name) else name_person(album, min(album.people), name)

    change_people(directory, named, threshold=GROUP)


def run_python(example: Example, names: dict[str, Any]) -> None:
    """Run an example in Python with what those before it defined; a server that it asks is on a free port."""
    with _served([]) if _ADDRESS in example.text else contextlib.nullcontext(_ADDRESS) as address:
        assert address is not None
        exec(compile(example.text.replace(_ADDRESS, address), str(example), "exec"), names)


def _split(line: str) -> list[list[str]]:
    """The raw words, still quoted, of each stage of a pipe."""
    lexer = shlex.shlex(line, posix=False, punctuation_chars="|")
    lexer.commenters = ""
    lexer.whitespace_split = True
    stages: list[list[str]] = [[]]
    for word in lexer:
        if word.startswith("#"):
            break
        if word == "|":
            stages.append([])
        else:
            stages[-1].append(word)
    assert all(stages), line
    return stages


def _words(raw: str) -> list[str]:
    """What a shell makes of a raw word: without quotes; the names that fit an unquoted pattern, at most two of them."""
    (word,) = shlex.split(raw) or [""]
    word = os.path.expandvars(word) if "'" not in raw else word
    if glob.has_magic(raw) and "'" not in raw and '"' not in raw:
        return sorted(glob.glob(word))[:2] or [word]
    return [word]


def _serve(words: list[str]) -> None:
    """Start a server as an example says, have it answer once, and end it as a service is ended."""
    with _served(words) as address:
        if address is not None:
            urllib.request.urlopen(address, timeout=GUARD_SECONDS).close()


def _watch(words: list[str]) -> None:
    """Start what goes on until it is interrupted, wait for its first run, and end it as a service is ended."""
    with subprocess.Popen([sys.executable, "-m", "cbir", *words], stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        try:
            lines = iter(watching.stderr.readline, "")
            assert any(re.search(r"\d pictures? \(", line) for line in lines)
        finally:
            watching.terminate()
            rest = watching.stderr.read()
    assert watching.returncode == 130, f"{watching.returncode}: {rest}"


def _ask(words: list[str]) -> bytes:
    """Run curl as an example says, but with a server on a free port."""
    with _served([]) as address:
        assert address is not None
        words = ["curl", "-sS", "--fail-with-body", *(word.replace(_ADDRESS, address) for word in words[1:])]
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr!r} {done.stdout!r}"
        return done.stdout


@contextlib.contextmanager
def _served(words: list[str]) -> Iterator[str | None]:
    """Run `cbir serve` on a free port; its address, None where only a proxy knows it."""
    command = [sys.executable, "-m", "cbir", "serve", *(word for word in words if word != "--open"), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            line = server.stderr.readline()
            port = re.search(r":(\d+)/ |https://", line)
            assert port is not None, line
            yield f"http://127.0.0.1:{port[1]}" if port[1] else None
        finally:
            server.terminate()
    assert server.returncode == 0, (command, server.returncode)
