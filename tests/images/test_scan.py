"""Walking a folder finds the pictures in it, leaves out what a person would, and says what it could not see."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from pathlib import Path

import pytest

from cbir.images import scan as scanning
from cbir.images.formats.suffixes import picture_suffixes
from cbir.images.patterns import Patterns
from cbir.images.scan import FoundFile, look_in, look_into, pictures_in, scan


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
    changed = (tmp_path / "a/one.jpg").stat().st_ctime_ns
    assert scan(tmp_path).files == [FoundFile("a/one.jpg", len("a/one.jpg"), 1_234_567_890_123_456_789, changed)]


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


@pytest.mark.parametrize("name", [".photos", "@Recycle", "#snapshot", "lost+found", "a/#recycle/b"])
def test_a_root_that_is_a_systems_or_hidden_itself_is_walked(tmp_path, name):
    touch(tmp_path / name, "a.jpg", "#snapshot/a.jpg", "b/c.jpg")
    assert paths(scan(tmp_path / name)) == ["a.jpg", "b/c.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "#snapshot",
        "@Recently-Snapshot",
        "@recycle",
        "#RECYCLE",
        "~snapshot",
        "@Snapshot",
        "LOST+FOUND",
        "$Recycle.Bin",
        "@EADIR",
        "@tmp",
        "system volume information",
        "RECYCLER",
        "Catalog Previews.lrdata",
        "Thumbs.db",
        "Desktop.ini",
    ],
)
def test_systems_names_are_left_out_in_any_case_and_told(tmp_path, name):
    touch(tmp_path, f"sub/{name}/GMT-2026.01.01/a.jpg", "sub/a.jpg")
    result = scan(tmp_path)
    assert paths(result) == ["sub/a.jpg"]
    assert result.left_out.to_json() == {"system": {"count": 1, "examples": [f"sub/{name}"]}}


@pytest.mark.parametrize("name", ["snapshots", "recycle", "tmp", "lost", "Thumbs", "eaDir", "bin"])
def test_folders_of_people_are_walked(tmp_path, name):
    touch(tmp_path, f"{name}/a.jpg")
    assert paths(scan(tmp_path)) == [f"{name}/a.jpg"]


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
    result = scan(tmp_path, Patterns(patterns))
    assert paths(result) == kept
    assert result.excluded == excluded


def test_an_excluded_folder_is_not_even_listed(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "huge/b.jpg")
    listed = watch_scandir(monkeypatch)
    scan(tmp_path, Patterns(["huge"]))
    assert [path.name for path in listed] == [tmp_path.name]


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
    assert result.unknown == {"gone.jpg"}  # it may have vanished with a whole disk


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


SAMPLES = {
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "gif": b"GIF89a\1\0\1\0",
    "tiff": b"II*\0\x08\0\0\0",
    "webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0",
    "bmp": b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0" + bytes(20),
    "ppm": b"P6\n4 4\n255\n",
    "jxl": b"\0\0\0\x0cJXL \r\n\x87\n",
}


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize(
    "name", ["no_ending_at_all", "photo.jpg_large", "scan.jpg_original", "2026-01-05 12.30.05", "a.JPG~", "a.dat"]
)
def test_files_whose_names_tell_nothing_are_looked_into(tmp_path, kind, name):
    (tmp_path / name).write_bytes(SAMPLES[kind] + bytes(100))
    assert paths(pictures_in(tmp_path)) == [name]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"BMW is a make of cars, and this is a text of many bytes",
        b"P6 is a chord",
        b"Python\n",
        b"RIFF    WAVE",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00",
        b"#define X 1\n",
        b"\x00" * 100,
        b"%PDF-1.7",
        b"\xff\xfea\x00b\x00",
        b"II+",
    ],
)
def test_what_does_not_begin_as_pictures_do_is_another_file(tmp_path, content):
    (tmp_path / "a.unknown").write_bytes(content)
    result = pictures_in(tmp_path)
    assert paths(result) == []
    assert result.left_out.to_json() == {"others": {"count": 1, "examples": ["a.unknown"]}}


def test_what_was_left_out_is_told_by_kind_on_one_line(tmp_path):
    touch(tmp_path, "a.jpg", "a.mp4", "b.MOV", "c.mkv", "d.avi", "e.webm", "notes.txt", ".hidden", "sub/.git/x")
    touch(tmp_path, "b.jpg.part", "c.crdownload", "@eaDir/x", "sub/skipped.gif", "README")
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    (tmp_path / "link.zip").symlink_to(tmp_path / "sub")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    found = scan(tmp_path, Patterns(["*.gif"]))
    opened = look_into(look_in(tmp_path), found, lambda file: None)
    assert [file.path for file in opened] == ["README"]
    line = found.left_out.describe(str)
    assert re.sub(r"videos \(.*? …\)", "videos (…)", line) == (
        "5 videos (…), 2 unfinished downloads, 3 other files (txt …), 2 hidden names, "
        "1 system folder or file, 1 excluded name, 2 links to folders"
    )
    assert found.left_out.to_json()["links_to_folders"] == {"count": 2, "examples": ["link", "link.zip"]}
    assert found.left_out.total() == 16
    assert found.problems == []


def test_only_the_first_names_of_many_are_kept(tmp_path):
    touch(tmp_path, *(f"{number:03}.mp4" for number in range(50)))
    (told,) = scan(tmp_path).left_out.to_json().values()
    assert (told["count"], len(told["examples"])) == (50, 10)


def test_a_file_is_not_opened_where_its_verdict_is_known(tmp_path, monkeypatch):
    touch(tmp_path, "a", "b", "c")
    (tmp_path / "c").write_bytes(SAMPLES["png"])
    looked = []
    real = scanning.looks_like_picture
    monkeypatch.setattr(scanning, "looks_like_picture", lambda path: looked.append(path.name) or real(path))
    found = scan(tmp_path)
    assert look_into(look_in(tmp_path), found, lambda file: {"a": True, "b": False}.get(file.path)) == []
    assert (looked, paths(found)) == (["c"], ["a", "c"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_without_a_pictures_name_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to(os.devnull)
    assert pictures_in(tmp_path).left_out["others"] == 2
