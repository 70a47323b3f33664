"""Folders of links: what they are called, what a second run adds, what is never touched."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cbir.errors import CbirError
from cbir.utils.links import Linked, LinkFolders, safe_names


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Four files in two folders, of which two have the same name."""
    found = [tmp_path / "photos" / name for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/3.jpg")]
    for path in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return found


def links_in(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): os.readlink(path) for path in folder.rglob("*") if path.is_symlink()}


def test_names_are_safe_and_different_on_every_system() -> None:
    strange = ["a.jpg", "A.JPG", "a.jpg", "..", ".", "", "con.jpg", "-rf", "x\\y:z?.png", "new\nline\x1b.jpg", "ä.jpg"]
    strange += ["a\u0308.jpg", "half\udcff.jpg", "\udcff\udcff.jpg", "ü" * 200 + ".jpeg", "left-out.txt", "end. "]
    found = list(safe_names(strange, taken=["left-out.txt"]))
    assert found[0] == "a.jpg"
    assert "left-out.txt" not in found
    assert len({one.casefold() for one in found}) == len(strange)
    for one in found:
        assert 0 < len(one.encode("utf-8")) < 255
        assert one.isprintable()
        assert not set(one) & set('<>:"/\\|?*')
        assert one.strip(" .") == one
        assert not one.startswith("-")
    assert "con.jpg" not in found
    assert found[-3].endswith(".jpeg")


def test_ten_thousand_files_of_one_name_are_called_at_once() -> None:
    found = list(safe_names(["img.jpg"] * 10_000))
    assert (found[0], found[-1]) == ("img.jpg", "img-10000.jpg")


def test_each_picture_is_linked_once_and_later_runs_add_what_is_new(tmp_path: Path, pictures: list[Path]) -> None:
    folder = tmp_path / "sorted" / "here"
    first = LinkFolders(folder, ["cats", "dogs"])
    assert not folder.exists()
    assert [first.add(place, path) for place, path in zip((0, 1, 0), pictures, strict=False)] == [Linked.NEW] * 3
    made = {"cats/1.jpg": pictures[0], "cats/1-2.jpg": pictures[2], "dogs/2.jpg": pictures[1]}
    assert links_in(folder) == {name: str(path) for name, path in made.items()}
    (folder / "dogs" / "2.jpg").rename(folder / "cats" / "mine.jpg")
    second = LinkFolders(folder, ["cats", "dogs"])
    found = [second.add(place, path) for place, path in zip((0, 1, 1, 1), pictures, strict=True)]
    assert found == [Linked.THERE, Linked.ELSEWHERE, Linked.ELSEWHERE, Linked.NEW]
    assert sorted(links_in(folder)) == ["cats/1-2.jpg", "cats/1.jpg", "cats/mine.jpg", "dogs/3.jpg"]


def test_a_dry_run_tells_the_same_and_makes_nothing(tmp_path: Path, pictures: list[Path]) -> None:
    folder = tmp_path / "sorted"
    dry = LinkFolders(folder, ["cats"], dry_run=True)
    assert [dry.add(0, path) for path in [*pictures, pictures[0]]] == [*[Linked.NEW] * 4, Linked.THERE]
    assert not folder.exists()


def test_nothing_is_written_over_or_removed(tmp_path: Path, pictures: list[Path]) -> None:
    folder = tmp_path / "sorted"
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "1.JPG").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    (folder / "cats" / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    made = LinkFolders(folder, ["cats"])
    (folder / "cats" / "1-2.jpg").write_text("of another program")
    made.add(0, pictures[0])
    assert sorted(path.name for path in (folder / "cats").iterdir()) == ["1-2.jpg", "1-3.jpg", "1.JPG", "gone.jpg"]
    assert {(folder / name).read_text() for name in ("cats/1.JPG", "notes.txt")} == {"mine"}
    assert links_in(folder) == {"cats/gone.jpg": "/nowhere/gone.jpg", "cats/1-3.jpg": str(pictures[0])}


def test_a_class_whose_folder_is_something_else_is_an_error(tmp_path: Path, pictures: list[Path]) -> None:
    folder, other = tmp_path / "sorted", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "cats").symlink_to(other)
    with pytest.raises(CbirError, match="cats is no folder: name another folder with --links"):
        LinkFolders(folder, ["cats"])
    made = LinkFolders(folder, ["dogs"])
    (folder / "dogs").symlink_to(other)
    with pytest.raises(CbirError, match=r"Cannot make links in .*dogs: it has become a link"):
        made.add(0, pictures[0])
    (folder / "birds").write_text("")
    with pytest.raises(CbirError, match="birds is no folder"):
        LinkFolders(folder, ["birds"])
    (tmp_path / "notes").write_text("")
    with pytest.raises(CbirError, match=r"Cannot make links in .*notes: not a directory"):
        LinkFolders(tmp_path / "notes", ["cats"])
    assert not list(other.iterdir())


def test_names_of_strangers_stay_in_their_folder(tmp_path: Path, pictures: list[Path]) -> None:
    folder = tmp_path / "sorted"
    names = ["../up", "..", "", "a/b", "a\x00b", "-rf", "CON", "Dog", "dog", "half\udcff", "\x1b[2J", "x" * 300, "none"]
    made = LinkFolders(folder, names)
    for place in range(len(names)):
        picture = tmp_path / f"{place}.jpg"
        made.add(place, picture)
    assert len({one.casefold() for one in made.folders}) == len(names)
    assert sorted(os.listdir(folder)) == sorted(made.folders)
    assert len(links_in(folder)) == len(names)
    assert {path.name for path in tmp_path.iterdir()} == {"sorted", "photos"}


def test_a_file_system_without_links_is_told(
    tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(target: str, link: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "symlink", refuse)
    with pytest.raises(CbirError, match=r"Cannot make links in .*cats: operation not permitted. Name another folder"):
        LinkFolders(tmp_path / "sorted", ["cats"]).add(0, pictures[0])
