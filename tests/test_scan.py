"""Walking a folder finds the pictures in it, leaves out what a person would, and says what it could not see."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from cbir.images.scan import FoundFile, is_excluded, picture_suffixes, scan


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())


def paths(result):
    return [found.path for found in result.files]


def test_pictures_are_found_in_all_folders_and_sorted_by_path(tmp_path):
    touch(tmp_path, "b.jpg", "a/z.PNG", "a/b/c.jpeg", "a.tif", "A.webp", "a/notes.txt", "jpg", "README.md")
    result = scan(tmp_path)
    assert paths(result) == ["A.webp", "a.tif", "a/b/c.jpeg", "a/z.PNG", "b.jpg"]
    assert (result.problems, result.unreadable, result.excluded) == ([], [], 0)


def test_an_empty_folder_has_no_pictures(tmp_path):
    assert scan(tmp_path).files == []


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.gif", "a.bmp", "a.tiff", "a.webp", "a.heic", "a.avif"])
def test_what_cameras_and_the_web_make_is_a_picture(tmp_path, name):
    touch(tmp_path, name)
    assert paths(scan(tmp_path)) == [name]


@pytest.mark.parametrize("name", ["a.pdf", "a.mpg", "a.fits", "a.h5", "a.eps", "a.mp4", "a.jpg.txt", "a.json"])
def test_what_pillow_might_open_but_nobody_calls_a_photo_is_none(tmp_path, name):
    touch(tmp_path, name)
    result = scan(tmp_path)
    assert not result.files
    assert not result.problems


def test_suffixes_are_lower_case_with_a_dot():
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in picture_suffixes())


def test_size_and_time_of_each_file_are_told(tmp_path):
    touch(tmp_path, "a/one.jpg")
    os.utime(tmp_path / "a/one.jpg", ns=(5, 1_234_567_890_123_456_789))
    assert scan(tmp_path).files == [FoundFile("a/one.jpg", len("a/one.jpg"), 1_234_567_890_123_456_789)]


def test_hidden_names_and_the_folders_of_systems_are_left_out(tmp_path):
    touch(
        tmp_path,
        "kept.jpg",
        ".hidden.jpg",
        "._kept.jpg",
        ".git/a.jpg",
        "sub/.thumbnails/a.jpg",
        "@eaDir/kept.jpg/SYNOPHOTO_THUMB_M.jpg",
        "sub/@eaDir/a.jpg",
        "#recycle/a.jpg",
        "$RECYCLE.BIN/a.jpg",
        "System Volume Information/a.jpg",
        "__MACOSX/a.jpg",
    )
    result = scan(tmp_path)
    assert paths(result) == ["kept.jpg"]
    assert result.excluded == 0


def test_a_root_that_is_hidden_itself_is_walked(tmp_path):
    touch(tmp_path / ".photos", "a.jpg")
    assert paths(scan(tmp_path / ".photos")) == ["a.jpg"]


@pytest.mark.parametrize(
    ("patterns", "kept", "excluded"),
    [
        (["*.png"], ["a.jpg", "raw/a.jpg", "raw/deep/b.jpg", "sub/raw/c.jpg"], 1),
        (["raw"], ["a.jpg", "a.png"], 2),
        (["raw/*.jpg"], ["a.jpg", "a.png", "sub/raw/c.jpg"], 2),
        (["raw/deep"], ["a.jpg", "a.png", "raw/a.jpg", "sub/raw/c.jpg"], 1),
        (["raw/"], ["a.jpg", "a.png", "sub/raw/c.jpg"], 1),
        (["/a.jpg"], ["a.png", "raw/a.jpg", "raw/deep/b.jpg", "sub/raw/c.jpg"], 1),
        (["a.*"], ["raw/deep/b.jpg", "sub/raw/c.jpg"], 3),
        (["?.png", "deep", "sub"], ["a.jpg", "raw/a.jpg"], 3),
        (["*"], [], 4),
        (["nothing", "a"], ["a.jpg", "a.png", "raw/a.jpg", "raw/deep/b.jpg", "sub/raw/c.jpg"], 0),
    ],
)
def test_patterns_exclude_files_and_folders(tmp_path, patterns, kept, excluded):
    touch(tmp_path, "a.jpg", "a.png", "raw/a.jpg", "raw/deep/b.jpg", "sub/raw/c.jpg")
    result = scan(tmp_path, patterns)
    assert paths(result) == kept
    assert result.excluded == excluded


def test_an_excluded_folder_is_not_even_listed(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "huge/b.jpg")
    listed = watch_scandir(monkeypatch)
    scan(tmp_path, ["huge"])
    assert [path.name for path in listed] == [tmp_path.name]


def test_a_pattern_without_a_slash_looks_at_the_last_part_only():
    assert is_excluded("a/b.jpg", ["b.*"])
    assert not is_excluded("b.folder/a.jpg", ["b.*"])
    assert is_excluded("a/b.jpg", ["a/*"])
    assert not is_excluded("c/a/b.jpg", ["a/*"])


def watch_scandir(monkeypatch, refuse=()):
    """Record which folders are listed; those named in `refuse` may not be."""
    listed, scandir = [], os.scandir

    def watched(path):
        listed.append(Path(path))
        if Path(path).name in refuse:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    return listed


def test_a_folder_that_may_not_be_listed_is_named_and_the_rest_is_found(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "sub/private/b.jpg", "sub/c.jpg", "z/d.jpg")
    watch_scandir(monkeypatch, refuse=["private"])
    result = scan(tmp_path)
    assert paths(result) == ["a.jpg", "sub/c.jpg", "z/d.jpg"]
    assert result.unreadable == ["sub/private"]


def test_a_root_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "missing")
    touch(tmp_path, "file.jpg")
    with pytest.raises(NotADirectoryError):
        scan(tmp_path / "file.jpg")
    watch_scandir(monkeypatch, refuse=[tmp_path.name])
    with pytest.raises(PermissionError):
        scan(tmp_path)


def test_links_to_files_are_followed(tmp_path):
    touch(tmp_path / "elsewhere", "original.jpg")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "original.jpg")
    (found,) = scan(tmp_path / "root").files
    assert (found.path, found.size) == ("link.jpg", len("original.jpg"))


def test_links_to_folders_are_not_followed_so_that_loops_end(tmp_path):
    touch(tmp_path, "sub/a.jpg")
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "sub" / "self").symlink_to("self")
    (tmp_path / "folder.jpg").symlink_to(tmp_path / "sub", target_is_directory=True)
    result = scan(tmp_path)
    assert paths(result) == ["sub/a.jpg"]
    assert result.problems == []


def test_links_that_lead_nowhere_are_problems_with_a_reason(tmp_path):
    touch(tmp_path, "a.jpg")
    (tmp_path / "z.jpg").symlink_to(tmp_path / "missing.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "broken.txt").symlink_to("missing")
    result = scan(tmp_path)
    assert paths(result) == ["a.jpg"]
    (circle, why_circle), (broken, why_broken) = result.problems
    assert (circle, broken) == ("circle.jpg", "z.jpg")
    assert "symbolic links" in why_circle
    assert why_broken == "a link to nowhere"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_with_a_pictures_name_is_a_problem(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    result = scan(tmp_path)
    assert result.files == []
    assert result.problems == [("pipe.jpg", "it is not a regular file")]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no sockets in folders")
def test_a_socket_with_a_pictures_name_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the whole path may be longer than a socket's may be
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        result = scan(tmp_path)
    assert result.files == []
    assert result.problems == [("socket.jpg", "it is not a regular file")]


@pytest.mark.skipif(not hasattr(os, "mknod"), reason="this system has no device files")
def test_a_device_with_a_pictures_name_is_a_problem(tmp_path):
    (tmp_path / "link.jpg").symlink_to(os.devnull)
    expected = [("link.jpg", "it is not a regular file")]
    try:
        os.mknod(tmp_path / "device.jpg", 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero, which never ends
        expected.insert(0, ("device.jpg", "it is not a regular file"))
    except PermissionError:
        pass  # only root makes devices; the link to one is left
    result = scan(tmp_path)
    assert result.files == []
    assert result.problems == expected


def test_each_name_of_a_file_with_several_is_found(tmp_path):
    touch(tmp_path, "a.jpg", "sub/c.png")
    (tmp_path / "sub" / "b.jpg").hardlink_to(tmp_path / "a.jpg")
    result = scan(tmp_path)
    assert paths(result) == ["a.jpg", "sub/b.jpg", "sub/c.png"]
    assert result.files[0].size == result.files[1].size
    assert result.files[0].mtime_ns == result.files[1].mtime_ns


def test_files_and_folders_that_vanish_while_they_are_walked_stop_nothing(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "gone.jpg", "gone/b.jpg", "z/c.jpg")
    scandir = os.scandir

    def scandir_too_late(path):
        """Lists a folder, then has what is called gone removed before anybody looks at it."""
        with scandir(path) as listing:
            entries = list(listing)
        for file in ("gone.jpg", "gone/b.jpg"):
            (tmp_path / file).unlink(missing_ok=True)
        if (tmp_path / "gone").exists():
            (tmp_path / "gone").rmdir()
        return contextlib.nullcontext(entries)

    monkeypatch.setattr(os, "scandir", scandir_too_late)
    result = scan(tmp_path)
    assert paths(result) == ["a.jpg", "z/c.jpg"]
    assert result.problems == [("gone.jpg", "it vanished while it was looked at")]
    assert result.unreadable == ["gone"]


def test_a_folder_with_a_pictures_name_is_walked(tmp_path):
    touch(tmp_path, "album.jpg/a.jpg")
    assert paths(scan(tmp_path)) == ["album.jpg/a.jpg"]


@pytest.mark.parametrize(
    "name",
    [b"two\nlines.jpg", b"tab\t.jpg", b"caf\xe9.jpg", "größe 写真.jpg".encode(), b" .jpg", b"-rf.jpg", b"%s[1]*?.jpg"],
)
def test_any_name_that_the_system_allows_is_found_as_it_is(tmp_path, name):
    try:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"x")
    except OSError as error:
        pytest.skip(f"this file system does not take the name ({error})")
    (found,) = scan(tmp_path).files
    assert os.fsencode(found.path) == name
    assert (tmp_path / found.path).read_bytes() == b"x"
