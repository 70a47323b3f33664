"""The one writer of files outside an index: sheets, pages, maps, overlays, cut-outs, documents.

A file is written whole or not at all; never through a link; never over a file that cbir did not make, a photo above
all, unless the user says so; and never over what was made of another picture.

Nothing here imports NumPy: names are checked while the command line is read, before NumPy may be imported.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from cbir.errors import CbirError, OutputRefusedError, reason_of
from cbir.utils.drafts import Draft, sweep
from cbir.utils.marks import Mark, find_mark, source_of
from cbir.utils.opening import open_regular
from cbir.utils.rights import rights_of

#: A function that writes a file's content.
Fill = Callable[[IO[bytes]], object]

# How often a file that others make and remove at the same time is looked at anew.
_TRIES = 20

# The longest name of a file, in bytes, on nearly all file systems.
_LONGEST = 255

# Options that name a folder, and no file.
_OF_FOLDERS = ("--out", "--crops", "--voc", "--yolo")


@dataclass(frozen=True)
class _Standing:
    """The file at a path: whether there `is_file` at all, with something in it, and its mark, if it is cbir's."""

    is_file: bool = False
    is_empty: bool = True
    mark: Mark | None = None


def check_output(path: Path, option: str, kind: str, *, force: bool = False) -> None:
    """CbirError where a file of this kind cannot be written to `path`, which `option` named: told before the work."""
    _check_folder(path, option)
    _check(path, _look(path, option), option, kind, force=force)


def check_not_shown(path: Path, shown: Iterable[Path | None], option: str) -> None:
    """CbirError where `path`, which `option` named, is one of the pictures that are `shown`."""
    target = _identity(path)
    if target is not None and any(one is not None and _identity(one) == target for one in dict.fromkeys(shown)):
        raise OutputRefusedError(
            f"{path} would be written over, and it is one of the pictures to be shown: name another file with {option}."
        )


def write_output(
    path: Path,
    fill: Fill,
    option: str,
    kind: str,
    *,
    force: bool = False,
    shown: Sequence[Path | None] = (),
    source: str = "",
) -> None:
    """Have `fill` write a file of this kind, with its mark in it, which becomes `path`; its folder is made if need be.

    Raises CbirError where that cannot be, or would replace a picture that is `shown` or, if there is a `source`, what
    was made of another; `option` is what named it.
    """
    check_not_shown(path, shown, option)
    check_output(path, option, kind, force=force)
    try:
        with _draft(path.parent, shown) as draft:
            fill(_plain(draft.file))
            draft.finish()
            for _ in range(_TRIES):
                standing = _look(path, option)
                _check(path, standing, option, kind, force=force)
                if source and standing.mark is not None and standing.mark.source != source:
                    break
                if _put(draft, path, standing):
                    return
        raise OSError("others write it at the same time")
    except OSError as error:
        raise _failure(path, reason_of(error), option) from error


@dataclass(frozen=True)
class Piece:
    """A file that is made of a picture: its name is the picture's without ending, then `ending`.

    `option` is what named the folder.
    """

    folder: Path
    ending: str
    kind: str
    option: str


#: A function that writes a file's content, given the mark that it puts in.
MarkedFill = Callable[[IO[bytes], Mark], object]


class Derived:
    """Writes files whose names come from those of pictures, under free names where others have the same.

    `inputs` are pictures that are never written over, `reserved` files that options name, and so nothing else may be.
    """

    def __init__(self, *, inputs: Iterable[Path] = (), reserved: Iterable[Path] = (), force: bool = False) -> None:
        self._force = force
        self._inputs = {identity for identity in map(_identity, inputs) if identity is not None}
        self._taken = {real_name(path) for path in reserved}
        self._of_others: set[str] = set()

    def stem(self, picture: Path, pieces: Sequence[Piece], *, name: str = "") -> str:
        """Choose the start of names for a picture's files: that of an earlier run for the same picture, or a free one.

        It begins with `name`, by default the picture's without its ending. OutputRefusedError where one of them is a
        file that cbir did not make.
        """
        number = 1
        while True:
            stem = _fitting(name or picture.stem, "" if number == 1 else f"-{number}", pieces)
            if all(self._is_free(picture, stem, piece) for piece in pieces):
                return stem
            number += 1

    def write(self, picture: Path, files: Iterable[tuple[Piece, MarkedFill]]) -> list[Path]:
        """Write the files of a picture, all of them or none; where they are. CbirError where that cannot be."""
        with contextlib.ExitStack() as stack:
            pieces: list[Piece] = []
            drafts: list[Draft] = []
            for piece, fill in files:
                try:
                    draft = stack.enter_context(_draft(piece.folder, [picture]))
                    fill(_plain(draft.file), Mark(piece.kind, source_of(picture, piece.folder)))
                    draft.finish()
                except OSError as error:
                    path = piece.folder / f"{picture.stem}{piece.ending}"
                    raise _failure(path, reason_of(error), piece.option) from error
                pieces.append(piece)
                drafts.append(draft)
            if not pieces:
                return []
            for _ in range(_TRIES):
                stem = self.stem(picture, pieces)
                paths = [piece.folder / f"{stem}{piece.ending}" for piece in pieces]
                if self._put_all(picture, drafts, pieces, paths):
                    self._taken.update(map(real_name, paths))
                    return paths
        raise CbirError(f"Cannot write {paths[0]}: others write files of that name all the time.")

    def _put_all(self, picture: Path, drafts: Sequence[Draft], pieces: Sequence[Piece], paths: Sequence[Path]) -> bool:
        """Put files where they belong; False, with no new one there, where another run has just taken a name."""
        places = [
            (_look(path, piece.option), draft, piece, path)
            for draft, piece, path in zip(drafts, pieces, paths, strict=True)
        ]
        made: list[tuple[Draft, Path]] = []
        for standing, draft, piece, path in sorted(places, key=lambda place: place[0].is_file):  # first the new ones
            try:
                if self._may_replace(picture, piece, path, standing) and _put(draft, path, standing):
                    made += [] if standing.is_file else [(draft, path)]
                    continue
            except OSError as error:
                raise _failure(path, reason_of(error), piece.option) from error
            for one, its_path in made:
                one.take_back(its_path)
            return False
        return True

    def _is_free(self, picture: Path, stem: str, piece: Piece) -> bool:
        path = piece.folder / f"{stem}{piece.ending}"
        name = real_name(path)
        if name in self._taken or name in self._of_others:
            return False
        _check_folder(path, piece.option)
        standing = _look(path, piece.option)
        if standing.is_file and _identity(path) in self._inputs:
            raise OutputRefusedError(
                f"{path} would be written over, and it is one of the pictures that were named: "
                f"choose another folder with {piece.option}, or leave it out."
            )
        if self._may_replace(picture, piece, path, standing):
            return True
        self._of_others.add(name)
        return False

    def _may_replace(self, picture: Path, piece: Piece, path: Path, standing: _Standing) -> bool:
        """Tell whether the path is free, or its file was made of the same picture."""
        _check(path, standing, piece.option, piece.kind, force=self._force)
        mark = standing.mark
        return mark is None or mark.kind != piece.kind or mark.source == source_of(picture, piece.folder)


class _Plain:
    """A file without a number: to that Pillow would write by itself, and of a full disk say nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write
        self.writelines = file.writelines
        self.flush = file.flush


def _plain(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", _Plain(file))


def real_name(path: Path) -> str:
    """Return a path without `.`, `..` and links of folders on its way; its last part may be a link."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the identity of a file, whatever it is called; None where nothing is there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _look(path: Path, option: str) -> _Standing:
    """Look at the file at `path`, opening regular files only. Raises CbirError where it is of another kind."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _Standing()
    except OSError as error:
        raise _failure(path, reason_of(error), option) from error
    kinds = (
        (stat.S_ISLNK, "it is a link, and what that leads to is not written over"),
        (stat.S_ISDIR, "it is a folder"),
        (lambda mode: not stat.S_ISREG(mode), "it is not a regular file"),
    )
    for is_it, reason in kinds:
        if is_it(mode):
            raise _failure(path, reason, option, OutputRefusedError)
    try:
        with open_regular(path, follow=False) as file:
            is_empty = os.fstat(file.fileno()).st_size == 0
            return _Standing(True, is_empty, None if is_empty else find_mark(file))
    except FileNotFoundError:
        return _Standing()
    except OSError:  # it cannot be read, so nobody knows whose it is
        return _Standing(True, is_empty=False)


def _check(path: Path, standing: _Standing, option: str, kind: str, *, force: bool) -> None:
    """OutputRefusedError where what is there is not to be written over. An empty file is: nothing is lost."""
    if force or standing.is_empty or (standing.mark is not None and standing.mark.kind == kind):
        return
    what = (
        "cbir did not make it"
        if standing.mark is None
        else f"it is something else that cbir made ({standing.mark.kind})"
    )
    raise OutputRefusedError(
        f"{path} is there, and {what}: name another {_thing(option)} with {option}, or write over it with --force."
    )


def _check_folder(path: Path, option: str) -> None:
    """CbirError where nothing can be written to the folder of `path`, or it could not be made."""
    folder = next((parent for parent in path.absolute().parents if os.path.lexists(parent)), path)
    if not folder.is_dir():
        raise _failure(path, f"{folder} is no folder", option)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _failure(path, f"nothing may be written to {folder}", option)


def _draft(folder: Path, shown: Sequence[Path | None]) -> Draft:
    """Return a draft in a folder, which is made if need be, and from which other drafts are swept."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    return Draft(folder, rights_of(shown, folder))


def _put(draft: Draft, path: Path, standing: _Standing) -> bool:
    """Put a finished draft where it belongs; False where what is there is not what was found `standing` any more."""
    try:
        if standing.is_file:
            draft.replace(path)
        else:
            draft.become_new(path)
    except (FileExistsError, FileNotFoundError):
        return False
    return True


def _fitting(stem: str, number: str, pieces: Sequence[Piece]) -> str:
    """Return the start of names that are not too long for a file system; what is cut off is its end."""
    room = _LONGEST - max((len(piece.ending) for piece in pieces), default=0) - len(number)
    name = os.fsencode(stem)
    if len(name) > room:
        while room and name[room] & 0xC0 == 0x80:  # within a character
            room -= 1
        name = name[:room]
    return os.fsdecode(name) + number


def _failure(path: Path, reason: str, option: str, kind: type[CbirError] = CbirError) -> CbirError:
    return kind(f"Cannot write {path}: {reason}. Name another {_thing(option)} with {option}.")


def _thing(option: str) -> str:
    return "folder" if option in _OF_FOLDERS else "file"
