"""A picture that could not be looked at is not gone: its row stays until it is known to be."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cbir.errors import RefusedToForgetError
from cbir.images import scan as scanning
from cbir.images.patterns import Patterns
from cbir.index.store import Index
from cbir.indexing.plan import Plan, make_plan
from tests.helpers.photo_index import index_photos
from tests.helpers.waiting import GUARD_SECONDS

Folder = Callable[..., Path]


def plan_of(directory: Path, *, prune: bool = False, exclude: tuple[str, ...] = ()) -> Plan:
    index = Index.open(directory)
    return make_plan(index.root, Patterns(exclude), index, prune=prune)


def gone(plan: Plan) -> list[str]:
    return sorted(record.path for record in plan.gone.values())


class Refusals:
    """Makes the system refuse to stat some names of listings, as a failing disk does."""

    def __init__(self) -> None:
        self.errors: dict[str, int] = {}
        self.of_kind: dict[str, int] = {}

    def listing(self, real: Iterator[os.DirEntry[str]]) -> Iterator[object]:
        return (_Entry(entry, self) for entry in real)


class _Entry:
    def __init__(self, entry: os.DirEntry[str], refusals: Refusals) -> None:
        self._entry, self._refusals = entry, refusals
        self.name, self.path = entry.name, entry.path

    def _fail(self, errors: dict[str, int]) -> None:
        if self.name in errors:
            raise OSError(errors[self.name], os.strerror(errors[self.name]), self.path)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        self._fail(self._refusals.errors)
        return self._entry.stat(follow_symlinks=follow_symlinks)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        self._fail(self._refusals.of_kind)
        return self._entry.is_dir(follow_symlinks=follow_symlinks)

    def is_symlink(self) -> bool:
        self._fail(self._refusals.of_kind)
        return self._entry.is_symlink()


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> Refusals:
    refused, real = Refusals(), os.scandir

    class Listing:
        def __init__(self, path: object) -> None:
            self._listing = real(path)  # type: ignore[call-overload]

        def __enter__(self) -> Iterator[object]:
            return refused.listing(self._listing)

        def __exit__(self, *error: object) -> None:
            self._listing.close()

    monkeypatch.setattr(os, "scandir", Listing)
    return refused


@pytest.mark.parametrize("name", ["EIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "EACCES", "ENAMETOOLONG", "EHOSTDOWN"])
def test_a_file_that_the_system_will_not_tell_of_is_kept(photo_folder: Folder, refusals: Refusals, name: str) -> None:
    root = photo_folder(4)
    directory = index_photos(root)
    refusals.errors["img_001.jpg"] = getattr(errno, name)
    (root / "img_002.jpg").unlink()
    plan = plan_of(directory)
    assert gone(plan) == ["img_002.jpg"]
    assert (plan.kept, plan.unchanged) == (1, 2)
    assert [path for path, _ in plan.scan.problems] == ["img_001.jpg"]


def test_what_cannot_even_be_told_from_a_folder_is_kept_with_all_that_may_be_in_it(
    photo_folder: Folder, refusals: Refusals
) -> None:
    root = photo_folder(9, subfolders=["a", "b", "b/c"])
    directory = index_photos(root)
    for errors in (refusals.of_kind, refusals.errors):
        errors["b"] = errno.EACCES
    plan = plan_of(directory)
    assert (gone(plan), plan.kept, plan.unchanged) == ([], 6, 3)
    refusals.of_kind["img_000.jpg"] = refusals.errors["img_000.jpg"] = errno.EIO
    assert gone(plan_of(directory)) == []


def test_a_link_to_a_disk_that_is_away_is_kept_and_one_that_was_removed_is_not(
    photo_folder: Folder, tmp_path: Path
) -> None:
    root, disk = photo_folder(5), photo_folder(4, "disk", first_seed=20)
    for file in sorted(disk.iterdir()):
        (root / f"link_{file.name}").symlink_to(file)
    (root / "through.jpg").symlink_to(root / "link_img_000.jpg")  # a link to a link
    directory = index_photos(root)
    disk.rename(tmp_path / "away")
    (root / "link_img_003.jpg").unlink()
    for prune in (False, True):
        plan = plan_of(directory, prune=prune)
        assert gone(plan) == ["link_img_003.jpg"]
        assert plan.kept == 4
    (tmp_path / "disk").write_text("a file is where the disk was")
    assert gone(plan_of(directory)) == ["link_img_003.jpg"]
    (tmp_path / "disk").unlink()
    (tmp_path / "away").rename(disk)
    assert plan_of(directory).kept == 0


def test_names_that_have_become_too_long_are_kept(tmp_path: Path, draw_picture: Callable[..., object]) -> None:
    root = tmp_path / "photos"
    folder = root
    for _ in range(15):
        folder = folder / ("d" * 200)
    folder.mkdir(parents=True)
    for number in range(3):
        draw_picture(number).save(folder / f"{number}.jpg")  # type: ignore[attr-defined]
    draw_picture(9).save(root / "top.jpg")  # type: ignore[attr-defined]
    directory = index_photos(root)
    # by another, longer name, as where a disk is mounted elsewhere
    longer = tmp_path.joinpath(*["p" * 200] * 7)
    longer.mkdir(parents=True)
    meta = Index.open(directory).meta.but(root=str(root.rename(longer / "photos")))
    (directory / "meta.json").write_text(meta.dump())
    try:
        plan = plan_of(directory)
        assert (gone(plan), plan.kept, plan.unchanged) == ([], 3, 1)
    finally:  # pytest's own tidying cannot reach it there
        (longer / "photos").rename(root)


@pytest.mark.parametrize("removed", [False, True], ids=["empty", "gone"])
def test_a_mounted_folder_that_is_empty_or_gone_is_kept(
    photo_folder: Folder, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    root = photo_folder(9, subfolders=["a", "b", "usb/x"])
    directory = index_photos(root)
    mounted = {"usb"}
    monkeypatch.setattr(scanning, "_device", lambda entry, parents: parents + (entry.name in mounted))
    plan = plan_of(directory)
    assert plan.mounts == ("usb",)
    (directory / "meta.json").write_text(Index.open(directory).meta.but(mounts=plan.mounts).dump())
    mounted.clear()
    shutil.rmtree(root / "usb")
    if not removed:
        (root / "usb").mkdir()
    (root / "b/img_001.jpg").unlink()
    plan = plan_of(directory)
    assert (gone(plan), plan.kept, plan.unmounted) == (["b/img_001.jpg"], 3, ["usb"])
    assert plan.mounts == ("usb",)  # still to be missed by the run after
    assert len(gone(plan_of(directory, prune=True))) == 4
    # whoever leaves it out says that it is not wanted
    assert len(gone(plan_of(directory, exclude=("usb",)))) == 4
    (root / "usb").mkdir(exist_ok=True)
    (root / "usb/note.txt").write_text("a folder like others now")
    assert (len(gone(plan_of(directory))), plan_of(directory).mounts) == (4, ())


def test_a_folder_of_another_file_system_is_known_as_one(tmp_path: Path) -> None:
    mount = shutil.which("mount")
    (tmp_path / "root/disk/sub").mkdir(parents=True)
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "none", tmp_path / "root/disk"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (tmp_path / "root/disk/sub").mkdir()
        assert scanning.scan(tmp_path / "root").mounts == ["disk"]
    finally:
        subprocess.run(["umount", tmp_path / "root/disk"], check=True)
    assert scanning.scan(tmp_path / "root").mounts == []


def as_a_user_without_rights(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of cbir that the rights of files count for, also where the tests run as root."""
    prefix: list[str] = []
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root can read everything, and there is no setpriv")
        rights = "-dac_override,-dac_read_search"
        prefix = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", "--"]
    command = [*prefix, sys.executable, "-m", "cbir", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * GUARD_SECONDS, check=False)


@pytest.mark.parametrize("mode", [0o444, 0o300, 0o000], ids=["not entered", "not listed", "neither"])
def test_pictures_in_a_folder_that_may_not_be_entered_are_kept(photo_folder: Folder, mode: int) -> None:
    root = photo_folder(6, subfolders=["a", "b"])
    assert as_a_user_without_rights("index", str(root), "-q").returncode == 0
    (root / "b").chmod(mode)
    try:
        run = as_a_user_without_rights("index", str(root), "--json", "--strict")
    finally:
        (root / "b").chmod(0o755)
    report = json.loads(run.stdout)
    assert (run.returncode, report["total"], report["removed"], report["kept"]) == (4, 6, 0, 3)
    assert json.loads(as_a_user_without_rights("index", str(root), "--json").stdout)["unchanged"] == 6


def test_a_root_that_may_not_be_looked_at_is_refused(photo_folder: Folder) -> None:
    root = photo_folder(3, "outer/photos")
    assert as_a_user_without_rights("index", str(root), "-q").returncode == 0
    for folder in (root, root.parent):
        folder.chmod(0)
        try:
            run = as_a_user_without_rights("index", "--index", "photos", "--prune")
            new = as_a_user_without_rights("index", str(root), "--index", "other")
        finally:
            folder.chmod(0o755)
        assert run.returncode == 3
        assert "cannot be listed (permission denied)" in run.stderr
        assert new.returncode in (1, 2, 3)  # Click looks, too
        assert "permission denied" in new.stderr
        assert "Traceback" not in run.stderr + new.stderr
    assert len(Index.open(Path(os.environ["CBIR_HOME"]) / "photos")) == 3


def test_pictures_in_folders_that_are_left_out_by_now_are_no_lost_ones(photo_folder: Folder) -> None:
    root = photo_folder(8, subfolders=["#snapshot/a", "#snapshot/b", "#snapshot/c", "kept"])
    directory = index_photos(root)
    assert len(gone(plan_of(directory))) == 6
    shutil.rmtree(root / "kept")
    (root / "kept").mkdir()
    assert len(gone(plan_of(directory, prune=True))) == 8


def test_more_than_half_gone_is_still_refused(photo_folder: Folder) -> None:
    root = photo_folder(5)
    directory = index_photos(root)
    for number in range(3):
        (root / f"img_{number:03}.jpg").unlink()
    with pytest.raises(RefusedToForgetError):
        plan_of(directory)
