"""What is written outside an index: whole or not at all, through no link, and over nothing that cbir did not make."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from cbir.errors import CbirError, OutputRefusedError
from cbir.utils.drafts import Draft, sweep
from cbir.utils.marks import Mark, find_mark, is_made_by_cbir, picture_settings
from cbir.utils.opening import open_regular
from cbir.utils.outputs import Derived, Piece, check_output, write_output
from cbir.utils.rights import rights_of
from tests.helpers.graph_files import write as write_detector
from tests.helpers.photo_index import index_photos
from tests.helpers.signals import default_signals
from tests.helpers.waiting import GUARD_SECONDS

CONTENT = b"whoever made this wants to keep it\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def write(path: Path, content: bytes, **options: object) -> None:
    write_output(path, lambda file: file.write(content), "--sheet", "sheet", **options)  # type: ignore[arg-type]


def page(kind: str = "sheet", source: str = "") -> bytes:
    """Something small with a mark."""
    return f'<html><meta name="generator" content="{Mark(kind, source)}">'.encode()


def mark_of(path: Path) -> Mark | None:
    with open_regular(path) as file:
        return find_mark(file)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- marks


@pytest.mark.parametrize(
    ("format_", "mode", "settings"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {"compress_level": 1}),
        ("JPEG", "RGB", {"optimize": True}),
        ("JPEG", "RGB", {"progressive": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", "dpi": (72, 72)}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {"lossless": True}),
    ],
)
def test_a_picture_has_its_mark_and_others_have_none(format_: str, mode: str, settings: dict) -> None:
    image = Image.effect_noise((500, 300), 60).convert(mode)
    mark = Mark("overlay", "0123456789abcdef")
    plain, marked = io.BytesIO(), io.BytesIO()
    image.save(plain, format_, **settings)
    image.save(marked, format_, **settings, **picture_settings(format_, mark))
    assert find_mark(io.BytesIO(marked.getvalue())) == mark
    assert is_made_by_cbir(marked.getvalue())
    assert not is_made_by_cbir(plain.getvalue())
    for length in [*range(200), 1000]:  # whatever is cut off, nothing breaks
        find_mark(io.BytesIO(marked.getvalue()[:length]))
    with Image.open(marked) as again, Image.open(plain) as without:
        assert again.tobytes() == without.tobytes()


def test_a_photo_of_another_program_has_no_mark(shared: Callable[[str], Path]) -> None:
    photos = sorted(shared("photos").rglob("*.jpg"))[:200]
    assert photos
    assert not any(map(is_made_by_cbir, photos))
    assert not is_made_by_cbir(Path("/dev/zero"))
    assert not is_made_by_cbir(Path("/nowhere"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"cbir 1.0 (sheet)",
        b"<html><meta name='generator' content='cbir'>",
        b'<html><!-- <meta name="generator" content="cbir 1.0 (sheet) "> -->',
        b'{"info": {"made_by": "cbir"}}',
        b'{"images": [{"info": {"made_by": "cbir 1.0 (coco)"}}]}',
        b"\x89PNG\r\n\x1a\n" + b"\xff\xff\xff\xfftEXt" * 100,
        b"RIFF\xff\xff\xff\xffWEBP" + b"EXIF\xff\xff\xff\xff" * 100,
        b"\xff\xd8" + b"\xff\xfe\0\0" * 100,
        b"\xff\xd8\xff\xfe\0\0",
    ],
)
def test_what_only_resembles_a_mark_is_none(content: bytes) -> None:
    assert find_mark(io.BytesIO(content)) is None


def test_a_document_that_was_indented_anew_keeps_its_mark() -> None:
    document = {"info": {"year": 2026, "made_by": str(Mark("coco"))}, "images": []}
    assert find_mark(io.BytesIO(json.dumps(document, indent=4).encode())) == Mark("coco")


# --- one file


def test_a_file_is_made_with_its_folder_and_replaced_when_it_is_cbirs(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.html"
    write(path, page())
    write(path, page() + b"again")
    assert path.read_bytes() == page() + b"again"
    assert names(path.parent) == ["a.html"]


@pytest.mark.parametrize("content", [CONTENT, b"x", page("labels"), b"\x89PNG\r\n\x1a\n"])
def test_what_cbir_did_not_make_is_kept_unless_forced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(content)
    for attempt in (lambda: check_output(path, "--sheet", "sheet"), lambda: write(path, page())):
        with pytest.raises(OutputRefusedError, match=re.escape(f"{path} is there, and") + ".*--sheet.*--force"):
            attempt()
    assert path.read_bytes() == content
    check_output(path, "--sheet", "sheet", force=True)
    write(path, page(), force=True)
    assert path.read_bytes() == page()


def test_an_empty_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "of mktemp.html"
    path.touch(0o600)
    write(path, page())
    assert path.read_bytes() == page()
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_link_is_followed_and_no_content_is_shared(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(page())
    link, dangling, hard = tmp_path / "link.html", tmp_path / "dangling.html", tmp_path / "hard.html"
    link.symlink_to(kept)
    dangling.symlink_to(tmp_path / "nothing")
    hard.hardlink_to(kept)
    for path in (link, dangling):
        for force in (False, True):
            with pytest.raises(OutputRefusedError, match="it is a link"):
                write(path, b"new", force=force)
    write(hard, b"new")
    assert (hard.read_bytes(), kept.read_bytes()) == (b"new", page())
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket", "device"])
def test_odd_files_are_refused_without_waiting(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.html"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    else:
        path = Path("/dev/null")
    with pytest.raises(OutputRefusedError, match=f"Cannot write {path}: it is (a folder|not a regular file)"):
        write(path, b"new", force=True)


def test_another_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.html"

    def fill(file: io.BytesIO) -> None:
        path.write_bytes(CONTENT)
        file.write(page())

    with pytest.raises(OutputRefusedError, match="cbir did not make it"):
        write_output(path, fill, "--html", "page")  # type: ignore[arg-type]
    assert (path.read_bytes(), names(tmp_path)) == (CONTENT, ["a.html"])


@pytest.mark.parametrize("has_links", [True, False])
def test_a_new_file_never_replaces_one_that_came_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:

        def refuse(source: object, target: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    with Draft(tmp_path) as draft, Draft(tmp_path) as late:
        for one, content in ((draft, b"first"), (late, b"second")):
            one.file.write(content)
            one.finish()
        draft.become_new(tmp_path / "a")
        with pytest.raises(FileExistsError):
            late.become_new(tmp_path / "a")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"first")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, OSError(28, "No space left on device")])
def test_whatever_goes_wrong_leaves_nothing_and_keeps_the_old(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.html"
    write(path, page())

    def fill(file: io.BytesIO) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(CbirError if isinstance(error, OSError) else error):  # type: ignore[call-overload]
        write_output(path, fill, "--html", "sheet")  # type: ignore[arg-type]
    assert (path.read_bytes(), names(tmp_path)) == (page(), ["a.html"])


def test_long_names_and_names_of_any_bytes_are_written(tmp_path: Path) -> None:
    for name in ("x" * 250 + ".html", os.fsdecode(b"\xff\n.html")):
        write(tmp_path / name, page())
        assert (tmp_path / name).read_bytes() == page()
    with pytest.raises(CbirError, match=r"file name too long\. Name another file with --sheet"):
        check_output(tmp_path / ("x" * 251 + ".html"), "--sheet", "sheet")


def test_a_link_to_a_folder_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link" / "a.html", page())
    assert names(tmp_path / "real") == ["a.html"]


# --- files named after pictures


def piece(folder: Path, ending: str = ".segments.png") -> Piece:
    return Piece(folder, ending, "overlay", "--out")


def derive(
    picture: Path, folder: Path, *endings: str, derived: Derived | None = None, force: bool = False
) -> list[str]:
    pieces = [piece(folder, ending) for ending in endings or (".segments.png",)]

    def fill(file: io.BytesIO, mark: Mark) -> None:
        file.write(page(mark.kind, mark.source) + os.fsencode(os.path.realpath(picture)))

    derived = derived or Derived(inputs=[picture], force=force)
    return [path.name for path in derived.write(picture, [(one, fill) for one in pieces])]  # type: ignore[misc]


def test_pictures_of_one_name_keep_their_files_in_one_run_and_in_many(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures = [tmp_path / name for name in ("a/x.jpg", "b/x.jpg", "b/x.png", "b/y.jpg")]
    derived = Derived()
    expected = ["x.segments.png", "x-2.segments.png", "x-3.segments.png", "y.segments.png"]
    assert [derive(picture, out, derived=derived) for picture in pictures] == [[name] for name in expected]
    # each finds its own again, in whatever order and through whatever way
    (tmp_path / "way").symlink_to(tmp_path / "b")
    assert derive(tmp_path / "way" / "x.png", out) == ["x-3.segments.png"]
    assert derive(pictures[1], out) == ["x-2.segments.png"]
    assert derive(pictures[0], out) == ["x.segments.png"]
    assert names(out) == sorted(expected)
    # of a picture that is named twice there are two
    assert [derive(pictures[0], out, derived=derived) for _ in range(2)] == [["x-4.segments.png"], ["x-5.segments.png"]]
    for picture, name in zip(pictures, expected, strict=True):
        assert (out / name).read_bytes().endswith(os.fsencode(picture))


def test_what_was_made_is_known_again_when_all_is_moved(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    derive(tmp_path / "here/x.jpg", tmp_path / "here/out")
    (tmp_path / "here").rename(tmp_path / "there")
    assert derive(tmp_path / "there/x.jpg", tmp_path / "there/out") == ["x.segments.png"]


def test_the_files_of_a_picture_have_one_number(tmp_path: Path) -> None:
    derive(tmp_path / "a/x.jpg", tmp_path, ".labels.png")
    found = derive(tmp_path / "b/x.jpg", tmp_path, ".segments.png", ".labels.png")
    assert found == ["x-2.segments.png", "x-2.labels.png"]


def test_what_cbir_did_not_make_stops_a_picture_and_force_does_not_take_anothers(tmp_path: Path) -> None:
    foreign = tmp_path / "x.segments.png"
    foreign.write_bytes(CONTENT)
    with pytest.raises(OutputRefusedError, match=r"cbir did not make it: name another folder with --out.*--force"):
        derive(tmp_path / "a/x.jpg", tmp_path)
    assert (names(tmp_path), foreign.read_bytes()) == (["x.segments.png"], CONTENT)
    assert derive(tmp_path / "a/x.jpg", tmp_path, force=True) == ["x.segments.png"]
    assert derive(tmp_path / "b/x.jpg", tmp_path, force=True) == ["x-2.segments.png"]


def test_all_files_of_a_picture_are_written_or_none(tmp_path: Path) -> None:
    (tmp_path / "x.labels.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(OutputRefusedError, match="it is a link"):
        derive(tmp_path / "a/x.jpg", tmp_path, ".segments.png", ".labels.png")
    assert names(tmp_path) == ["x.labels.png"]


def test_a_name_that_is_taken_meanwhile_is_taken_by_none_of_a_pictures_files(tmp_path: Path) -> None:
    def fill(file: io.BytesIO, mark: Mark) -> None:
        file.write(page(mark.kind, mark.source))
        if not (tmp_path / "x.labels.png").exists():
            (tmp_path / "x.labels.png").write_bytes(page("overlay", "f" * 16))

    pieces = [(piece(tmp_path, ending), fill) for ending in (".segments.png", ".labels.png")]
    paths = Derived().write(tmp_path / "a/x.jpg", pieces)  # type: ignore[arg-type]
    assert [path.name for path in paths] == ["x-2.segments.png", "x-2.labels.png"]
    assert names(tmp_path) == ["x-2.labels.png", "x-2.segments.png", "x.labels.png"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_race_for_the_last_of_several_names_gives_all_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    real = Draft.become_new

    def become_new(draft: Draft, path: Path) -> None:
        if path.name == "x.labels.png":
            path.write_bytes(page("overlay", "f" * 16))  # another run, just before
        real(draft, path)

    def refuse(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Draft, "become_new", become_new)
    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    found = derive(tmp_path / "a/x.jpg", tmp_path, ".segments.png", ".labels.png")
    assert found == ["x-2.segments.png", "x-2.labels.png"]
    assert names(tmp_path) == ["x-2.labels.png", "x-2.segments.png", "x.labels.png"]
    assert all((tmp_path / name).stat().st_nlink == 1 for name in names(tmp_path))


def _derive_at_once(number: int, folder: Path, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    for name in range(20):
        derive(folder / str(number) / f"{name}.jpg", folder / "out", ".segments.png", ".labels.png")


def test_runs_at_once_take_no_name_from_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(6)
    processes = [context.Process(target=_derive_at_once, args=(number, tmp_path, start)) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    written = [path.read_bytes() for path in (tmp_path / "out").iterdir()]
    assert len(written) == 6 * 20 * 2
    assert len({content.split(b">")[-1] for content in written}) == 6 * 20


def test_names_too_long_for_what_is_added_are_cut(tmp_path: Path) -> None:
    for stem in ("x" * 250, "é" * 125, os.fsdecode(b"\xff" * 250)):
        first, second = (derive(tmp_path / folder / f"{stem}.jpg", tmp_path / "out") for folder in "ab")
        assert first != second
        assert all(len(os.fsencode(name)) <= 255 for name in first + second)
        assert os.fsencode(first[0]).startswith(os.fsencode(stem)[:200])
        if stem.isascii() or stem[0] == "é":
            first[0].encode()


# --- drafts


def killed_draft(folder: Path) -> str:
    """The name of a draft that a killed process left."""
    code = (
        "import os, signal, sys; from pathlib import Path; from cbir.utils.drafts import Draft\n"
        "with Draft(Path(sys.argv[1])) as draft:\n"
        "    draft.file.write(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    before = set(names(folder))
    process = subprocess.run([sys.executable, "-c", code, folder], check=False)
    assert process.returncode == -signal.SIGKILL
    (left,) = set(names(folder)) - before
    return left


def test_the_next_run_sweeps_what_killed_ones_left_and_nothing_else(tmp_path: Path) -> None:
    left = killed_draft(tmp_path)
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    others = [".cbir-notes.part", left.replace(".part", ".part2"), left.upper(), left.replace("-", "_")]
    for name in others:
        (tmp_path / name).write_bytes(CONTENT)
    link = left.replace(left[-9:-5], "0000")
    (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    with Draft(tmp_path) as draft:
        under_way = set(names(tmp_path))
        write(tmp_path / "a.html", page())
        assert set(names(tmp_path)) == (under_way | {"a.html"}) - {left}
        draft.finish()
    assert set(names(tmp_path)) == {"a.html", "elsewhere", link, *others}


def test_drafts_of_others_are_swept_when_they_are_old(tmp_path: Path) -> None:
    mine = f"-{os.getppid()}-"
    draft = Draft(tmp_path)
    name = os.path.basename(draft._path)
    running = name.replace(f"-{os.getpid()}-", mine)
    elsewhere = f".cbir-00000000{name[14:]}"
    old = {one: f"{one[:-17]}{'0' * 12}.part" for one in (running, elsewhere)}
    for one in (running, elsewhere):
        (tmp_path / one).touch()
        (tmp_path / old[one]).touch()
        os.utime(tmp_path / old[one], (time.time() - 90_000,) * 2)
    sweep(tmp_path)
    assert set(names(tmp_path)) == {running, elsewhere}


def test_a_process_that_ends_at_the_worst_moment_removes_its_draft(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from cbir.utils.drafts import Draft\n"
        "Draft(Path(sys.argv[1])).__enter__()\n"  # an interrupt came before the context began
        "raise KeyboardInterrupt"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False, stderr=subprocess.DEVNULL)
    assert names(tmp_path) == []


def wait_for_draft(folder: Path, process: subprocess.Popen[str]) -> bool:
    """Wait until a file is under way, or the process has ended; whether there is one."""
    while process.poll() is None:
        if any(name.endswith(".part") for name in os.listdir(folder)):
            return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_while_a_sheet_is_written_leaves_nothing(photos: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    out.mkdir()
    code = "from cbir.cli import main; main()"
    search = [sys.executable, "-c", code, "search", *sorted(photos.rglob("*.jpg")) * 12, "--sheet", out / "s.webp"]
    for _ in range(10):
        # what runs the tests may have signals ignored
        process = subprocess.Popen(
            search,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=default_signals,
        )
        if wait_for_draft(out, process):
            process.send_signal(number)
        _, error = process.communicate(timeout=GUARD_SECONDS)
        assert "Traceback" not in error
        if process.returncode != 0:
            break
        (out / "s.webp").unlink()  # it was quicker
    if number == signal.SIGKILL:
        assert len(names(out)) == 1
        assert run(*search[3:]).exit_code == 0
        assert names(out) == ["s.webp"]
    else:
        assert process.returncode == 130
        assert names(out) == []


# --- who may read


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("folder_mode", "mode", "expected"),
    [
        (0o755, 0o644, 0o644),
        (0o755, 0o600, 0o600),
        (0o700, 0o644, 0o600),
        (0o700, 0o600, 0o600),
        (0o750, 0o640, 0o640),
        (0o711, 0o644, 0o600),
        (0o755, 0o444, 0o644),
    ],
)
def test_nobody_reads_a_file_who_may_not_read_what_it_shows(
    tmp_path: Path, folder_mode: int, mode: int, expected: int
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    public, photo = tmp_path / "public.jpg", private / "photo.jpg"
    for path in (public, photo):
        path.write_bytes(CONTENT)
    public.chmod(0o644)
    photo.chmod(mode)
    private.chmod(folder_mode)
    link = tmp_path / "link.jpg"
    link.symlink_to(photo)
    for number, shown in enumerate(([public, photo], [photo, None], [link], [private / "gone.jpg", photo])):
        write(tmp_path / f"{number}.html", page(), shown=shown)
        assert (tmp_path / f"{number}.html").stat().st_mode & 0o777 == expected
    write(tmp_path / "all.html", page(), shown=[public])
    assert (tmp_path / "all.html").stat().st_mode & 0o777 == 0o644
    # beside the photo, its folder guards both
    write(private / "in.html", page(), shown=[photo])
    assert (private / "in.html").stat().st_mode & 0o777 == (0o644 if mode & 0o004 else mode | 0o600)


@pytest.mark.usefixtures("umask")
def test_a_folder_above_need_only_be_passed_through(tmp_path: Path) -> None:
    photo = tmp_path / "home" / "photos" / "photo.jpg"
    photo.parent.mkdir(parents=True)
    photo.touch()
    for mode, expected in ((0o711, 0o666), (0o710, 0o660), (0o700, 0o600)):
        (tmp_path / "home").chmod(mode)
        assert rights_of([photo], tmp_path) == expected
        assert rights_of([photo], tmp_path / "home") == 0o666


def test_the_group_of_a_photo_is_not_just_any_group(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(CONTENT)
    photo.chmod(0o640)
    assert rights_of([photo], tmp_path) == 0o660
    if os.geteuid() == 0:
        os.chown(photo, -1, 12345)
        assert rights_of([photo], tmp_path) == 0o600


@pytest.mark.usefixtures("umask")
def test_what_is_replaced_gets_no_more_rights_than_it_had(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    write(path, page())
    path.chmod(0o640)
    write(path, page())
    assert path.stat().st_mode & 0o777 == 0o640


# --- the commands


@pytest.fixture
def photos(photo_folder: Callable[..., Path]) -> Path:
    """A folder of 6 pictures in two subfolders, indexed as `photos`."""
    root = photo_folder(6, subfolders=["cats", "dogs"])
    index_photos(root)
    return root


#: Whatever a picture shows, something in it is a little red or blue.
DETECT = "detect {photo} --weights {detector} --min-score 0"

#: What each command writes: its arguments, with {photo}, {folder} and {file}, the file's name, and its kind.
WRITERS = {
    "search --sheet png": ("search {photo} --sheet {file}", "s.png", "sheet"),
    "search --sheet jpg": ("search {photo} --sheet {file}", "s.jpg", "sheet"),
    "search --sheet webp": ("search {photo} --sheet {file}", "s.webp", "sheet"),
    "search --html": ("search {photo} --html {file}", "s.html", "page"),
    "duplicates --sheet": ("duplicates --sheet {file}", "d.png", "sheet"),
    "duplicates --html": ("duplicates --html {file}", "d.html", "page"),
    "map --html": ("map --html {file}", "m.html", "page"),
    "map --png": ("map --png {file}", "m.png", "map"),
    "evaluate --html": ("evaluate --index photos --html {file}", "e.html", "page"),
    "segment --coco": ("segment {photo} --fast --no-overlay --no-labels --coco {file}", "c.json", "coco"),
    "segment --html": ("segment {photo} --fast --no-overlay --no-labels --html {file}", "p.html", "page"),
    "segment overlay": ("segment {photo} --fast --no-labels --out {folder}", "img_000.segments.png", "overlay"),
    "segment labels": ("segment {photo} --fast --no-overlay --out {folder}", "img_000.labels.png", "labels"),
    "segment layers": (
        "segment {photo} --fast --no-overlay --no-labels --layers --out {folder}",
        "img_000.layers.png",
        "layers",
    ),
    "segment --crops": (
        "segment {photo} --fast -k 2 --no-overlay --no-labels --crops {folder}",
        "img_000.segment-01.png",
        "crop",
    ),
    "locate": ("locate {photo} {photo} --out {folder}", "img_000.located.png", "located"),
    "detect": (f"{DETECT} --out {{folder}}", "img_000.objects.png", "objects"),
    "detect --crops": (f"{DETECT} --most 1 --crops {{folder}}", "img_000.object-01.png", "object"),
    "detect --coco": (f"{DETECT} --coco {{file}}", "c.json", "coco"),
    "detect --voc": (f"{DETECT} --voc {{folder}}", "img_000.xml", "voc"),
    "detect --html": (f"{DETECT} --html {{file}}", "p.html", "page"),
}


def command(writer: str, photos: Path, folder: Path) -> tuple[list[str], Path]:
    """A writer's arguments, and the file that it writes."""
    arguments, name, _ = WRITERS[writer]
    detector = folder.parent / "detector.onnx"
    if "{detector}" in arguments and not detector.exists():
        write_detector(detector, "yolox", names="{0: 'red', 1: 'blue'}")
    photo = photos / "cats/img_000.jpg"
    values = {"photo": photo, "folder": folder, "file": folder / name, "detector": detector}
    return [argument.format_map(values) for argument in arguments.split()], folder / name


@pytest.mark.parametrize("writer", WRITERS)
def test_a_command_replaces_its_own_files_and_no_others(writer: str, photos: Path, tmp_path: Path) -> None:
    arguments, path = command(writer, photos, tmp_path / "out")
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    result = run(*arguments)
    assert result.exit_code == 1
    assert f"{path} is there, and cbir did not make it" in result.stderr
    assert "--force" in result.stderr
    assert (path.read_bytes(), names(path.parent)) == (CONTENT, [path.name])
    result = run(*arguments, "--force")
    assert result.exit_code == 0, result.stderr
    mark = mark_of(path)
    assert mark is not None
    assert mark.kind == WRITERS[writer][2]
    before = names(path.parent)
    path.write_bytes(path.read_bytes() + b" ")
    changed = path.read_bytes()
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert path.read_bytes() != changed
    assert names(path.parent) == before


@pytest.mark.parametrize("writer", WRITERS)
def test_a_command_writes_to_no_link_pipe_or_folder(writer: str, photos: Path, tmp_path: Path) -> None:
    arguments, path = command(writer, photos, tmp_path / "out")
    path.parent.mkdir()
    victim = tmp_path / "victim"
    for kind in ("link", "dangling", "fifo", "folder"):
        victim.write_bytes(CONTENT)
        if kind == "link":
            path.symlink_to(victim)
        elif kind == "dangling":
            path.symlink_to(tmp_path / "nothing")
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.mkdir()
        result = run(*arguments, "--force")
        assert result.exit_code == 1
        assert f"Cannot write {path}: it is " in result.stderr
        assert victim.read_bytes() == CONTENT
        assert not (tmp_path / "nothing").exists()
        assert names(path.parent) == [path.name]
        (path.rmdir if kind == "folder" else path.unlink)()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        options = ["-t", "tmpfs", "-o", "size=64k", "cbir-test"]
        subprocess.run(["mount", *options, folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not allowed here ({error})")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_keeps_the_old_file_and_gets_no_rubbish(writer: str, photos: Path, small_disk: Path) -> None:
    arguments, path = command(writer, photos, small_disk)
    path.write_bytes(CONTENT)
    free = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(free.f_bavail * free.f_bsize))
    result = run(*arguments, "--force")
    assert result.exit_code == 1
    assert re.search(r"^Error: Cannot write .*: no space left on device\. Name another", result.stderr, re.MULTILINE)
    assert (path.read_bytes(), names(small_disk)) == (CONTENT, sorted(["filler", path.name]))


def test_a_limit_of_file_sizes_is_a_clear_error(photos: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from cbir.cli import cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "cli(sys.argv[1:])"
    )
    path = tmp_path / "out" / "s.png"
    arguments = ["search", photos / "cats/img_000.jpg", "--sheet", path]
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == f"Error: Cannot write {path}: file too large. Name another file with --sheet.\n"
    assert names(path.parent) == []


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_picture_that_was_cut_short_is_an_error_in_every_format(tmp_path: Path, format_: str) -> None:
    # Pillow, given a file with a number, writes half a JPEG without a word
    code = (
        "import resource, sys; from pathlib import Path; from PIL import Image\n"
        "from cbir.utils.outputs import write_output\n"
        "image = Image.effect_noise((900, 900), 80).convert('RGB')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "write_output(Path(sys.argv[1]), lambda file: image.save(file, sys.argv[2], optimize=True), '--sheet', 'sheet')"
    )
    command = [sys.executable, "-c", code, tmp_path / "s", format_]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Cannot write" in result.stderr
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ("search {photo} --sheet {out}/a.png --log-file {out}/./a.png", ("--log-file", "--sheet")),
        ("search {photo} --html {out}/a.html --log-file {out}/../out/a.html", ("--log-file", "--html")),
        ("map --html {link}/a.html --log-file {out}/a.html", ("--log-file", "--html")),
        ("segment {photo} --coco {out}/a.html --html {out}/a.html", ("--coco", "--html")),
        ("segment {photo} --out {out} --coco {out}/img_000.segments.png", ("--coco",)),
        ("segment {photo} --crops {out} --coco {link}/img_000.segment-00.png", ("--coco",)),
    ],
)
def test_no_two_options_name_one_file(photos: Path, tmp_path: Path, arguments: str, options: tuple[str, ...]) -> None:
    out, link = tmp_path / "out", tmp_path / "link"
    out.mkdir()
    link.symlink_to(out)
    values = {"photo": photos / "cats/img_000.jpg", "out": out, "link": link}
    result = run(*(argument.format_map(values) for argument in arguments.split()))
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert all(option in result.stderr for option in options)
    assert not [name for name in names(out) if "--log-file" not in options]


def test_runs_for_pictures_of_one_name_keep_each_others_files(photos: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one/same.jpg", tmp_path / "two/same.jpg"
    for path, source in ((one, "cats/img_000.jpg"), (other, "dogs/img_001.jpg")):
        path.parent.mkdir()
        shutil.copy(photos / source, path)
    out = tmp_path / "out"
    options = ["--fast", "-k", "3", "--out", out, "--crops", out, "--format", "json"]
    first, second = (json.loads(run("segment", path, *options).stdout) for path in (one, other))
    assert [first["overlay"], second["overlay"]] == [str(out / "same.segments.png"), str(out / "same-2.segments.png")]
    assert second["segments"][2]["crop"] == str(out / "same-2.segment-02.png")
    content = {path: path.read_bytes() for path in out.iterdir()}
    assert len(content) == 2 * 5
    again = json.loads(run("segment", other, *options).stdout)
    assert again == second
    assert {path: path.read_bytes() for path in out.iterdir()} == content
    with Image.open(second["labels"]) as labels:
        assert labels.size == Image.open(other).size
        assert np.array_equal(np.unique(np.asarray(labels)), [0, 1, 2])


def test_maps_of_indexes_of_one_name_keep_each_other(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path(os.environ["CBIR_HOME"]) / "photos"
    for folder in ("one", "two"):
        shutil.copytree(source, tmp_path / folder / "photos")
    written = [run("map", "--index", f"{folder}/photos").stdout.split() for folder in ("one", "two", "one")]
    assert written == [[f"photos{n}.map.html", f"photos{n}.map.png"] for n in ("", "-2", "")]


def test_a_picture_that_cannot_have_its_files_does_not_stop_the_others(photos: Path, tmp_path: Path) -> None:
    pictures = sorted(photos.rglob("*.jpg"))[:2]
    (tmp_path / f"{pictures[0].stem}.labels.png").write_bytes(CONTENT)
    result = run("segment", *pictures, "--fast", "--out", tmp_path, "--format", "jsonl")
    assert result.exit_code == 1
    refused, done = map(json.loads, result.stdout.splitlines())
    assert "cbir did not make it" in refused["error"]
    assert Path(done["overlay"]).is_file()
    assert not (tmp_path / f"{pictures[0].stem}.segments.png").exists()


@pytest.mark.usefixtures("umask")
def test_a_page_of_private_photos_is_private(photos: Path, tmp_path: Path) -> None:
    photo = photos / "cats/img_000.jpg"
    photo.chmod(0o600)
    run("search", photo, "--html", tmp_path / "p.html", "--sheet", tmp_path / "p.png")
    run("segment", photo, "--fast", "--out", tmp_path, "--crops", tmp_path, "--coco", tmp_path / "c.json")
    run("tags", photo, "--xmp", "--min-probability", "0.001")
    made = [path for path in [*tmp_path.iterdir(), *photo.parent.glob("*.xmp")] if path.is_file()]
    assert len(made) > 7
    assert {oct(path.stat().st_mode & 0o777) for path in made} == {"0o600"}


def test_what_cbir_made_is_not_indexed_and_told(photo_folder: Callable[..., Path]) -> None:
    root = photo_folder(3)
    assert run("index", root, "--index", "own").exit_code == 0
    photo = root / "img_000.jpg"
    assert run("search", photo, "--index", "own", "--sheet", root / "holiday.jpg").exit_code == 0
    assert run("search", photo, "--index", "own", "--sheet", root / "found.webp").exit_code == 0
    assert run("map", "--index", "own", "--png", root / "DSC_0001.png", "--html", root / "map.html").exit_code == 0
    assert run("segment", photo, "--fast", "-k", "2", "--out", root, "--crops", root / "cut").exit_code == 0
    assert run("locate", photo, photo, "--out", root).exit_code == 0
    made = 3 + 2 + 2 + 1
    # saved anew by another program, without what that does not know, it is a picture as any
    Image.open(root / "holiday.jpg").convert("L").save(root / "mine.png")
    for expected in ({"added": 1, "unchanged": 3}, {"added": 0, "unchanged": 4}):
        report = json.loads(run("index", "--index", "own", "--json", "-q").stdout)
        assert {name: report[name] for name in expected} == expected
        assert (report["total"], report["skipped"]) == (4, [])
        assert report["left_out"]["own_outputs"]["count"] == made
    result = run("index", "--index", "own", "--strict", "--retry-skipped")
    assert result.exit_code == 0
    assert f"{made} pictures that cbir made" in result.output
    # a query may be one
    result = run("search", root / "cut" / "img_000.segment-00.png", "--index", "own", "-k", "9", "--format", "paths")
    assert len(result.stdout.splitlines()) == 4
    result = run("tags", root, "--format", "jsonl")
    assert len(result.stdout.splitlines()) == 4
    assert f"Left out: {made} pictures that cbir made." in result.stderr


def test_a_photo_that_an_output_took_the_place_of_loses_its_row(photo_folder: Callable[..., Path]) -> None:
    root = photo_folder(3)
    assert run("index", root, "--index", "own").exit_code == 0
    photo = root / "img_001.jpg"
    assert run("search", root / "img_000.jpg", "--index", "own", "--sheet", root / "s.jpg", "-k", "1").exit_code == 0
    (root / "s.jpg").rename(photo)
    report = json.loads(run("index", "--index", "own", "--json", "-q").stdout)
    assert (report["total"], report["skipped"]) == (2, [])
    assert report["left_out"]["own_outputs"] == {"count": 1, "examples": ["img_001.jpg"]}
