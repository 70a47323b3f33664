"""The pictures that a command is given: named, in a list, on stdin, or those of an index."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import Command, FilePath, Weighed
from cbir.cli.options.lists import NameList
from cbir.cli.terminal import output
from cbir.errors import CbirError, reason_of
from cbir.images.sources.address import Location
from cbir.utils.marks import is_made_by_cbir

if TYPE_CHECKING:
    from cbir.search.queries import ImageQuery

logger = logging.getLogger("cbir")

_READ_BYTES = 1 << 20

# Of a picture on stdin: larger ones exist, but none that would be decoded.
_MOST_BYTES = 1 << 30


def list_options(command: Command) -> Command:
    """`--files-from` and `--null`, as `files_from` and `null`: a list of pictures."""
    command = click.option("--null", "-0", is_flag=True, help="Names in --files-from end in NUL, not newline.")(command)
    return files_from_option(command)


query_index_option = click.option(
    "--query-index", metavar="NAME", help="Each picture of this index is a query, by the features that it has."
)

vectors_option = click.option(
    "--vectors", type=FilePath(), metavar="FILE", help="Each vector of a .npy or .fvecs file is a query: a feature."
)

files_from_option = click.option(
    "--files-from", type=FilePath(), metavar="FILE", help="Read names of pictures from FILE, or - for stdin."
)


private_option = click.option(
    "--allow-private",
    is_flag=True,
    is_eager=True,
    help="Pictures of the web (https://…) may be on this machine, or in a private network.",
)


class Stdin:
    """Stdin, which is one picture or one list of names."""

    def __init__(self) -> None:
        self._is_taken = False

    def take(self) -> None:
        """A usage error the second time."""
        if self._is_taken:
            raise click.UsageError("Stdin can be one picture or one list of names, and only once.")
        self._is_taken = True

    def query(self, picture: Location | Weighed) -> ImageQuery:
        """Return a query by a file, or by stdin's picture."""
        from cbir.search.queries import ImageQuery

        place, weight = picture if isinstance(picture, Weighed) else (picture, 1.0)
        if str(place) != "-":
            return ImageQuery.from_path(place, weight=weight)
        self.take()
        return ImageQuery(_read_picture(), "-", weight=weight)


def _read_picture() -> bytes:
    """All of stdin; CbirError where it cannot be read, or does not end."""
    parts, size = [], 0
    try:
        # bit by bit: what asks for all that there may be gets no memory where there is little
        while part := sys.stdin.buffer.read(_READ_BYTES):
            parts.append(part)
            if (size := size + len(part)) > _MOST_BYTES:
                raise CbirError(f"The picture on stdin has more than {_MOST_BYTES:,} bytes: that is none.")
    except OSError as error:
        raise CbirError(f"Cannot read the picture on stdin: {reason_of(error)}.") from error
    return b"".join(parts)


class NamedPictures:
    """The pictures of the arguments, then those of the list `files_from`, whose names end in NUL with `null`.

    Names in a list are files' names; with `allow_private`, True or False, they may be addresses too, and have weights.
    """

    def __init__(
        self,
        images: Iterable[Location | Weighed],
        files_from: Path | None,
        stdin: Stdin,
        *,
        null: bool,
        allow_private: bool | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._named = [stdin.query(image) for image in images]
        self._list: NameList | None = None
        if files_from is not None:
            if str(files_from) == "-":
                stdin.take()
            self._list = NameList(files_from, null=null)
        self._begun: Iterator[ImageQuery] = iter(())  # the rest of the batch whose first one was waited for
        self._listed = self._read_list()

    @property
    def at_least(self) -> int:
        """The least number of pictures, as far as it is known before the whole list has been read."""
        return len(self._named) + (self._list.arrived if self._list else 0)

    @property
    def several(self) -> bool | None:
        """True if there are more than one; None where only the list's end will tell."""
        return None if self._list and len(self._named) < 2 else len(self._named) > 1

    def are_none(self) -> bool:
        """Wait for the first picture and tell whether there is none."""
        if not self._named:
            for batch in self._listed:
                if (first := next(batch, None)) is not None:
                    self._named.append(first)
                    self._begun = batch
                    break
        return not self._named

    def batches(self) -> Iterator[Iterator[ImageQuery]]:
        """All of them in order, once: those that are named, then those of each batch of the list (`NameList`)."""
        if self._named:
            yield chain(self._named, self._begun)
        yield from self._listed

    def _read_list(self) -> Iterator[Iterator[ImageQuery]]:
        from cbir.search.queries import ImageQuery

        for batch in self._list.batches() if self._list else ():
            yield (ImageQuery.from_path(one.place, weight=one.weight) for one in map(self._weighed, batch))

    def _weighed(self, name: str) -> Weighed:
        """Return the picture that a line of the list names; one with an impossible weight is a file's name."""
        if self._allow_private is None:
            return Weighed(Path(name))
        try:
            found = Weighed.parse(name.strip(), is_chosen=False, allow_private=self._allow_private)
        except ValueError:
            return Weighed(Path(name))
        is_file = isinstance(found.place, Path) and found.weight == 1
        return Weighed(Path(name)) if is_file and not name.lower().startswith("file:") else found

    def all(self) -> list[ImageQuery]:
        """All of them, when the whole list has been read."""
        return [picture for batch in self.batches() for picture in batch]


def listed_paths(files_from: Path | None, *, null: bool) -> list[Path]:
    """Return the files that a list names, when the whole of it has been read; none without a list."""
    return [] if files_from is None else [Path(name) for name in NameList(files_from, null=null)]


def with_folders(pictures: list[ImageQuery]) -> tuple[list[ImageQuery], bool]:
    """Put its pictures in the place of each folder among `pictures`.

    With them comes whether something in a folder cannot be read, which is told.
    """
    from cbir.images.scan import pictures_in
    from cbir.search.queries import ImageQuery

    found: list[ImageQuery] = []
    is_incomplete = False
    for picture in pictures:
        folder = picture.source
        if not isinstance(folder, Path) or not os.path.isdir(folder):
            found.append(picture)
            continue
        try:
            its = pictures_in(folder)
        except OSError as error:
            raise CbirError(f"Cannot list the folder {folder}: {reason_of(error)}.") from error
        problems = [*its.problems, *((name, "the folder cannot be listed") for name in its.unreadable)]
        for name, reason in problems:
            output.tell(f"Error: Cannot read {folder / name}: {reason}.")
        is_incomplete = is_incomplete or bool(problems)
        if not its.files and not problems:
            raise CbirError(f"There are no pictures in {folder}.")
        files = [path for path in (folder / file.path for file in its.files) if not is_made_by_cbir(path)]
        if len(files) < len(its.files):
            logger.info("Left out: %s that cbir made.", _pictures(len(its.files) - len(files)))
        found += map(ImageQuery.from_path, files)
    return found, is_incomplete


def named_or_indexed(
    images: Sequence[Path], files_from: Path | None, *, null: bool, index: str | None
) -> tuple[list[ImageQuery], bool]:
    """Return the pictures that were named, or all of the index of a name, and whether something cannot be read.

    That is something in a folder, which is told. A usage error where nothing was named.
    """
    if index is not None:
        from cbir.index.open import open_index
        from cbir.search.queries import ImageQuery

        found, is_incomplete = [ImageQuery.from_path(path) for path in open_index(index).paths()], False
    else:
        found, is_incomplete = with_folders(NamedPictures(images, files_from, Stdin(), null=null).all())
    if not found and not is_incomplete:
        raise click.UsageError("Name a picture, a list of them with --files-from, or an index with --index.")
    return found, is_incomplete


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"
