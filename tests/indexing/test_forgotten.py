"""Faces of forgotten people are not found again: not by a run that looks anew, nor in a picture that comes back."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cbir.index.columns.faces import FACES, FOUND, VECTORS
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.people.edit import split_faces
from cbir.people.forget import forget
from cbir.people.named import FaceNames
from cbir.people.of_index import change_people, read_album
from tests.helpers.faults import replace_in

DrawPicture = Callable[..., Image.Image]

THRESHOLD = 0.36


@pytest.fixture
def root(tmp_path: Path, draw_picture: DrawPicture, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures, in which the toy finder finds one, one, none, none and three faces."""
    replace_in(monkeypatch)
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(5):
        draw_picture(number, (48, 32)).save(root / f"{number}.png")
    return root


def refresh(root: Path, **options: object) -> None:
    build_index(choose_target(root, "photos"), Options(**options))  # type: ignore[arg-type]


def opened() -> Index:
    return Index.open(Path(os.environ["CBIR_HOME"]) / "photos")


def look_again() -> None:
    """Have nobody looked for faces yet."""
    index = opened()
    gone = dict.fromkeys((FOUND.name, FACES.name, VECTORS.name))
    blocks = tuple(block.with_columns(gone) for block in index.meta.blocks)
    Writer(index.directory, index.meta).replace(index.meta.but(blocks=blocks))
    assert not opened().faces().known.any()


def counts() -> dict[str, int]:
    index = opened()
    faces, paths = index.faces(), index.files().paths
    assert faces.known[index.valid].all()
    return {paths[row]: int((faces.rows == row).sum()) for row in range(index.rows) if index.valid[row]}


def forget_faces(*names: str) -> bytes:
    """Forget somebody who has these faces. Returns the vector of the first."""
    index = opened()
    vector = b""

    def change(arranged, now):  # type: ignore[no-untyped-def]
        nonlocal vector
        found = [FaceNames(now, arranged.faces).find(name) for name in names]
        vector = arranged.faces.vectors[found[0]].tobytes()
        return split_faces(arranged.album, [arranged.faces.key(face) for face in found], "Anna")[0]

    change_people(index.directory, change, threshold=THRESHOLD)
    forget(index.directory, "Anna", threshold=THRESHOLD)
    assert vector
    return vector


def all_bytes() -> bytes:
    return b"".join(path.read_bytes() for path in opened().directory.iterdir())


def test_a_run_that_looks_anew_does_not_find_them(root: Path) -> None:
    refresh(root, faces=True)
    before = counts()
    assert before == {"0.png": 1, "1.png": 1, "2.png": 0, "3.png": 0, "4.png": 3}
    vector = forget_faces("4.png#2", "0.png#1")
    expected = {**before, "0.png": 0, "4.png": 2}
    assert counts() == expected
    look_again()
    refresh(root)
    assert counts() == expected
    assert vector not in all_bytes()


def test_a_picture_that_comes_back_does_not_bring_them(root: Path) -> None:
    refresh(root, faces=True)
    vector = forget_faces("4.png#2")
    shutil.copy(root / "4.png", root.parent / "kept.png")
    (root / "4.png").unlink()
    refresh(root, prune=True)
    look_again()
    shutil.copy(root.parent / "kept.png", root / "back.png")
    refresh(root)
    assert counts()["back.png"] == 2
    assert vector not in all_bytes()
    # others keep what they have
    assert len(read_album(opened()).forgotten) == 1


def test_whoever_takes_all_faces_away_begins_anew(root: Path) -> None:
    refresh(root, faces=True)
    forget_faces("4.png#2")
    refresh(root, faces=False)
    assert load_meta(opened().directory).people is None
    refresh(root, faces=True)
    assert counts()["4.png"] == 3


def test_a_damaged_file_of_people_does_not_end_a_run(
    root: Path, draw_picture: DrawPicture, caplog: pytest.LogCaptureFixture
) -> None:
    refresh(root, faces=True)
    index = opened()
    Writer(index.directory, index.meta).keep_people(b"{}")
    draw_picture(4, (48, 32)).save(root / "new.png")
    with caplog.at_level(logging.WARNING):
        refresh(root)
    assert "people is damaged" in caplog.text
    assert counts()["4.png"] == 3


def test_a_run_that_finds_nothing_new_reads_nothing_of_people(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    refresh(root, faces=True)
    index = opened()
    Writer(index.directory, index.meta).keep_people(b"{}")
    with caplog.at_level(logging.WARNING):
        refresh(root)
    assert "people is damaged" not in caplog.text
