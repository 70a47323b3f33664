"""The output of `cbir tags`: tags on stdout, sidecar files, and a line about these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli.render.outcomes import Outcomes
from cbir.cli.terminal import cells, output
from cbir.cli.terminal.table import terminal_width
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.tags.people import FoundPeople
    from cbir.tags.tagger import Tagged
    from cbir.tags.xmp import Outcome
    from cbir.words.tag import Tag

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

# Longer names are no reason to put the tags of all pictures far to the right.
_WIDEST = 60


class SidecarWriter:
    """Writes sidecar files and counts what became of them; those that it must leave alone are told, `every` or some.

    With a `root` it is an index of that folder which says that they are pictures, and a forged one may name anything.
    `what` is in them.
    """

    def __init__(self, names: str, *, dry_run: bool, every: bool, root: Path | None, what: str = "tags") -> None:
        from cbir.tags.xmp import Sidecars

        self._what = what

        self._sidecars = Sidecars(names, dry_run=dry_run)
        self._dry_run = dry_run
        self._root = None if root is None else os.path.realpath(root)
        self._outcomes = Outcomes(every=every)

    @property
    def has_failed(self) -> bool:
        """True if a sidecar could not be written."""
        return self._outcomes.counts["failed"] > 0

    def write(self, tagged: Tagged) -> dict[str, Any] | None:
        """Write the tags of a picture; what a record tells of it, None where the picture has no place for a sidecar."""
        tags = tagged.tags
        if not isinstance(tagged.path, Path) or tags is None:
            return None
        return self._write(tagged.path, lambda picture: self._sidecars.write(picture, tags))

    def write_people(self, picture: Path, find: Callable[[Path], FoundPeople]) -> dict[str, Any] | None:
        """Write the people of a picture, whom `find` finds if it is there, as `write` does."""
        return self._write(picture, lambda path: self._sidecars.write_people(path, *find(path)))

    def _write(self, picture: Path, write: Callable[[Path], Outcome]) -> dict[str, Any] | None:
        from cbir.images.formats.first_bytes import is_picture_below

        path = self._sidecars.path_of(picture)
        if not os.path.exists(picture):  # an index may know pictures that are gone
            self._outcomes.note("gone", picture, "the picture is not there any more")
            return None
        if self._root is not None and not is_picture_below(self._root, picture):
            self._outcomes.note("no picture", picture, "it is no picture")
            return None
        try:
            outcome = write(picture)
        except CbirError as error:
            self._outcomes.note("failed", path, f"Error: {error}")
            return {"path": str(path), "outcome": "failed"}
        if outcome.value == "foreign":
            self._outcomes.note("foreign", path, "left alone: cbir did not write it, or it was changed since")
        else:
            self._outcomes.counts[outcome.value] += 1
        return {"path": str(path), "outcome": outcome.value}

    def summary(self) -> str:
        """Return a line about all of them."""
        counts = self._outcomes.counts
        parts = [f"{counts['written']:,} written"]
        parts += [f"{counts[name]:,} {name}" for name in ("refreshed", "unchanged") if counts[name]]
        if counts["foreign"]:
            parts.append(f"{counts['foreign']:,} of others left alone")
        if counts["without tags"]:
            parts.append(f"none for {counts['without tags']:,} without {self._what}")
        if counts["gone"]:
            parts.append(f"none for {counts['gone']:,} that are gone")
        if counts["no picture"]:
            parts.append(f"none for {counts['no picture']:,} that are no pictures")
        if counts["failed"]:
            parts.append(f"{counts['failed']:,} failed")
        return f"Sidecar files: {', '.join(parts)}.{' Nothing was written.' * self._dry_run}"


class TagWriter:
    """Writes tags in one format, or in none (None), as they come; errors go to stderr.

    `names` are those of all pictures, for the table's first column. JSON is one object where there `is_one` picture.
    """

    def __init__(
        self, format_: str | None, names: Sequence[str], sidecars: SidecarWriter | None, *, is_one: bool
    ) -> None:
        self._format = format_
        self._sidecars = sidecars
        self._is_one = is_one
        self._width = 0
        self._terminal: int | None = None
        if format_ == "table":
            self._terminal = terminal_width()
            widest = _WIDEST if self._terminal is None else min(_WIDEST, self._terminal // 2)
            self._width = min(max((cells.width(_shown(name)) for name in names), default=0), widest)
        #: Pictures of which the index has no classes.
        self.unknown = 0

    def write(self, results: Iterable[Tagged]) -> bool:
        """Write all results; True if a picture could not be read, or a sidecar not written."""
        failed = False
        collected: list[dict[str, Any]] = []
        if self._format in ("csv", "tsv"):
            header = ("path", "rank", "tag", "probability", "synset", "error")
            output.write_separated([header], tabs=self._format == "tsv")
        for tagged in results:
            if tagged.error is not None:
                failed = True
                output.tell(f"Error: {tagged.error}")
            elif tagged.tags is None:
                self.unknown += 1
            sidecar = self._sidecars.write(tagged) if self._sidecars else None
            if self._format in ("json", "jsonl"):
                record = _record(tagged, sidecar)
                if self._format == "json":
                    collected.append(record)
                else:
                    output.write_json_line(record)
            elif tagged.error is not None and self._format in ("csv", "tsv"):
                output.write_separated([(tagged.name, "", "", "", "", tagged.error)], tabs=self._format == "tsv")
            elif tagged.tags is not None:
                self._write_tags(tagged.name, tagged.tags)
        if self._format == "json":
            output.write_json(collected[0] if self._is_one else collected)
        return failed or (self._sidecars is not None and self._sidecars.has_failed)

    def _write_tags(self, name: str, tags: Sequence[Tag]) -> None:
        if self._format == "table":
            told = ", ".join(f"{tag.word} {tag.probability:.0%}" for tag in tags) or "–"
            shown, lines = _shown(name), [told]
            if self._terminal is not None:
                shown = cells.cut_start(shown, self._width)
                lines = cells.wrap(told, max(self._terminal - self._width - 2, 1))
            for start, line in zip([shown, *[""] * (len(lines) - 1)], lines, strict=True):
                output.say(f"{cells.pad(start, self._width)}  {line}")
        elif self._format is not None:
            rows = [
                (name, rank, tag.word, f"{tag.probability:.4f}", tag.synset, "")
                for rank, tag in enumerate(tags, start=1)
            ]
            output.write_separated(rows, tabs=self._format == "tsv")


def _record(tagged: Tagged, sidecar: dict[str, Any] | None) -> dict[str, Any]:
    record: dict[str, Any] = {"path": tagged.name}
    if tagged.error is not None:
        return {**record, "error": str(tagged.error)}
    record["tags"] = None
    if tagged.tags is not None:
        record["tags"] = [
            {"word": tag.word, "probability": round(tag.probability, 4), "synset": tag.synset} for tag in tagged.tags
        ]
    return record if sidecar is None else {**record, "sidecar": sidecar}


def _shown(name: str) -> str:
    return output.printable(output.short_path(Path(name)))
