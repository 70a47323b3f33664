"""Chosen pictures of an index, and what is made of them: lists, a contact sheet, an archive, a folder of links."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbir.errors import CbirError, ImageReadError, reason_of
from cbir.images.sources.address import Location, folder_of
from cbir.report.card import Card, Group
from cbir.report.sheet import draw_sheet
from cbir.serve.files import open_picture
from cbir.serve.problems import ProblemError
from cbir.serve.records import pictures
from cbir.serve.service import ServedIndex
from cbir.serve.states import ServedState
from cbir.serve.thumbnails import Thumbnails
from cbir.utils.links import safe_names
from cbir.utils.printable import printable

# Bytes of an archive, and those that are read at a time.
_MOST_BYTES, _PART = 2_000_000_000, 1 << 18

# The file of an archive that tells what is missing.
_LEFT_OUT = "left-out.txt"

# Pixels of a picture on a sheet, one of the sizes of thumbnails.
_SIDE = 256


@dataclass
class Chosen:
    """Pictures of an index by state and row, and those that were left out: what they were called, and why.

    `size` is the length of all their files, in bytes.
    """

    found: list[tuple[ServedState, int]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0

    @classmethod
    def of(cls, index: ServedIndex, names: Sequence[str]) -> Chosen:
        """Find pictures by their ids, or by the beginnings of their SHA-256, each once.

        Those that are gone, or are links that lead out of the index's folder, are left out. ProblemError where none is
        left.
        """
        chosen, state = cls(), index.state
        for name in dict.fromkeys(names):
            try:
                one = index.picture(name) if "-" in name else (state, state.row_of_content(name))
                opened = open_picture(one[0].index.root, one[0].record(one[1]).path)
                opened.file.close()
            except ProblemError as error:
                chosen.left_out.append((name, error.detail))
                continue
            if one not in chosen.found:
                chosen.found.append(one)
                chosen.size += opened.size
        if not chosen.found:
            raise ProblemError(404, "nothing-left", f"None of the pictures is there: {chosen.left_out[0][1]}")
        return chosen

    @property
    def paths(self) -> list[Location]:
        """The pictures' files."""
        return [(state.index.root / state.record(row).path).absolute() for state, row in self.found]

    def records(self) -> list[dict[str, Any]]:
        """Return the pictures' records with their tags."""
        found = []
        for state, row in self.found:
            tags = state.tags.of([row])[0]
            told = None if tags is None else [tag.to_dict() for tag in tags]
            found.append({**pictures(state, [row])[0], "tags": told})
        return found

    def as_paths(self) -> bytes:
        """Return a path a line, exactly as it is."""
        return b"".join(_as_bytes(str(path)) + b"\n" for path in self.paths)

    def as_json(self) -> bytes:
        """Return the records, and what was left out."""
        left_out = [{"picture": name, "reason": printable(reason)} for name, reason in self.left_out]
        return json.dumps({"pictures": self.records(), "left_out": left_out}, indent=1).encode("ascii") + b"\n"

    def as_csv(self) -> bytes:
        """Return lines with the columns of `cbir search --format csv`; those that were left out have an error."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["query", "rank", "score", "path", "percentile", "tag", "error", "relevance"])
        for rank, record in enumerate(self.records(), start=1):
            tag = record["tags"][0]["word"] if record["tags"] else ""
            writer.writerow(["", rank, "", record["path"], "", tag, "", ""])
        for _, reason in self.left_out:
            writer.writerow(["", "", "", "", "", "", f"Left out: {printable(reason)}", ""])
        return _as_bytes(text.getvalue())

    def as_sheet(self, thumbnails: Thumbnails) -> bytes:
        """Return a contact sheet, a JPEG. CbirError where there are too many pictures for one."""
        cards = []
        for number, (state, row) in enumerate(self.found, start=1):
            name = state.record(row).path
            try:
                cards.append(Card(name, thumbnails.of(state, row, _SIDE)[0], rank=number))
            except (ImageReadError, ProblemError) as error:
                self.left_out.append((state.picture_id(row), str(error)))
        sheet = draw_sheet([Group(_counted(len(cards)), cards)], advice="Choose fewer pictures.")
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=88)
        return file.getvalue()

    def as_zip(self) -> Iterator[bytes]:
        """Return the parts of an archive of the files as they are. ProblemError where they are too long for one.

        What is gone by the time when its turn comes is left out, too; `left-out.txt` in the archive tells.
        """
        if self.size > _MOST_BYTES:
            raise ProblemError(
                413,
                "too-large",
                f"These pictures have {self.size / 1e9:.1f} GB, and an archive at most 2: take fewer.",
            )
        return self._zipped()

    def link(self, folder: Path) -> Path:
        """Make a new folder in `folder` with a link to each picture, and return it. CbirError where that cannot be."""
        made: list[Path] = []
        new, paths = None, [folder_of(path) for path in self.paths]
        try:
            new = _new_folder(folder)
            for name, path in zip(safe_names(path.name for path in paths), paths, strict=True):
                (new / name).symlink_to(path)
                made.append(new / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                for one in made:
                    one.unlink()
                if new is not None:
                    new.rmdir()
            raise CbirError(f"Cannot make links in {folder}: {reason_of(error)}.") from error
        return new

    def _zipped(self) -> Iterator[bytes]:
        sink = _Sink()
        left_out = list(self.left_out)
        names = safe_names((path.name for path in self.paths), taken=[_LEFT_OUT])
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
            for name, (state, row) in zip(names, self.found, strict=True):
                record = state.record(row)
                try:
                    opened = open_picture(state.index.root, record.path)
                except ProblemError as error:
                    left_out.append((name, error.detail))
                    continue
                with opened.file as file, archive.open(_entry(name, record.mtime_ns), "w") as entry:
                    left = opened.size
                    while left:
                        part = file.read(min(_PART, left))
                        if not part:
                            raise ConnectionError("a picture was shortened while it was sent")
                        left -= len(part)
                        entry.write(part)
                        yield sink.taken()
            if left_out:
                text = "".join(f"{name}: {printable(reason)}\n" for name, reason in left_out)
                archive.writestr(_entry(_LEFT_OUT, time.time_ns()), text.encode("utf-8"))
        yield sink.taken()


def _new_folder(folder: Path) -> Path:
    """Make a folder that was not there, called by the moment."""
    moment = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    for number in range(1, 1000):
        new = folder.absolute() / f"basket-{moment}{'' if number == 1 else f'-{number}'}"
        with contextlib.suppress(FileExistsError):
            new.mkdir()
            return new
    raise FileExistsError("there are too many baskets of this second")


class _Sink:
    """A file to write to whose content is taken away as it comes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """Do nothing: it is in memory."""

    def taken(self) -> bytes:
        content = b"".join(self._parts)
        self._parts.clear()
        return content


def _entry(name: str, mtime_ns: int) -> zipfile.ZipInfo:
    try:
        moment = time.localtime(mtime_ns / 1e9)[:6]
    except (OverflowError, OSError, ValueError):
        moment = (1980, 1, 1, 0, 0, 0)
    if not 1980 <= moment[0] <= 2107:  # what an archive can tell
        moment = (1980, 1, 1, 0, 0, 0)
    entry = zipfile.ZipInfo(name, moment)
    entry.external_attr = 0o644 << 16
    return entry


def _as_bytes(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # half a character, as only a stranger's index has it
        return text.encode("utf-8", errors="backslashreplace")


def _counted(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"
