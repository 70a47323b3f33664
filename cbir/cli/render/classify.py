"""The output of `cbir classify`: records on stdout, links, and lines about these."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli.render.outcomes import Outcomes
from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.images.sources.address import folder_of

if TYPE_CHECKING:
    from cbir.index.store import Index
    from cbir.tags.learnt import Classified
    from cbir.utils.links import LinkFolders

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

# Classes that are counted by name in one line.
_COUNTED = 8


class ClassWriter:
    """Writes the class of each picture in one format as they come, or in none (None)."""

    def __init__(self, format_: str | None, classes: Sequence[str]) -> None:
        self._format = format_
        self._classes = classes
        self._rows: list[list[str]] = []
        self._document = output.JsonDocument(several=True) if format_ == "json" else None
        if format_ in ("csv", "tsv"):
            output.write_separated([("path", "class", "probability")], tabs=format_ == "tsv")

    def write(self, one: Classified) -> None:
        """Write a picture; a table is written at the end."""
        name = None if one.number is None else self._classes[one.number]
        probability = None if name is None else round(one.probability, 4)
        if self._format in ("csv", "tsv"):
            row: list[Any] = [str(one.path), "" if name is None else name, "" if name is None else probability]
            output.write_separated([row], tabs=self._format == "tsv")
        elif self._format == "table":
            told = "" if probability is None else f"{probability:.0%}"
            self._rows.append([name or "–", told, output.short_path(one.path)])
        elif self._format is not None:
            record = {"path": str(one.path), "class": name, "probability": probability}
            if self._document is not None:
                self._document.add(record)
            else:
                output.write_json_line(record)

    def close(self) -> None:
        """Write what has to wait for the last picture."""
        if self._document is not None:
            self._document.close()
        if self._rows:
            columns = [
                Column("class", cuts="end"),
                Column("probability", right=True, optional=1),
                Column("path", cuts="start"),
            ]
            table.write(columns, self._rows)


class Linker:
    """Links pictures into the folders of their classes, and counts what became of them; some are named.

    Of an index, which may be a stranger's, only files below its root that are pictures get links.
    """

    def __init__(self, folders: LinkFolders, index: Index, *, none: bool, every: bool) -> None:
        self._folders = folders
        self._root = os.path.realpath(folder_of(index.root))
        self._none = none
        self._outcomes = Outcomes(every=every)

    def link(self, one: Classified) -> None:
        """Link a picture, unless it has no class and those are not asked for. CbirError where that cannot be."""
        from cbir.images.formats.first_bytes import is_picture_below

        if not one.is_sound or (one.number is None and not self._none):
            return
        assert isinstance(one.path, Path)
        if not os.path.exists(one.path):
            self._outcomes.note("gone", one.path, "it is not there any more")
        elif not is_picture_below(self._root, one.path):
            self._outcomes.note("no picture", one.path, "it is no picture")
        else:
            outcome = self._folders.add(-1 if one.number is None else one.number, one.path).value
            if outcome == "in another folder":
                self._outcomes.note(
                    outcome, one.path, "its link is in another folder than its class, and was left there"
                )
            else:
                self._outcomes.counts[outcome] += 1

    def summary(self, *, dry_run: bool) -> str:
        """Return a line about all of them."""
        counts = self._outcomes.counts
        parts = [f"{counts['new']:,} new"]
        parts += [f"{counts[name]:,} {name}" for name in ("there already", "in another folder") if counts[name]]
        if counts["gone"]:
            parts.append(f"none for {counts['gone']:,} that are gone")
        if counts["no picture"]:
            parts.append(f"none for {counts['no picture']:,} that are no pictures")
        return f"Links in {self._folders.directory}: {', '.join(parts)}.{' Nothing was made.' * dry_run}"


def told(counts: Counter[str | None]) -> str:
    """Return a line about how many pictures each class has, the largest first."""
    total, without = sum(counts.values()), counts[None]
    named = sorted(((name, count) for name, count in counts.items() if name is not None), key=lambda one: -one[1])
    parts = [f"{count:,} {name}" for name, count in named[:_COUNTED]]
    if len(named) > _COUNTED:
        parts.append(f"{sum(count for _, count in named[_COUNTED:]):,} of {len(named) - _COUNTED:,} other classes")
    if without:
        parts.append(f"{without:,} of none")
    return f"{'1 picture' if total == 1 else f'{total:,} pictures'}: {', '.join(parts) or 'none'}."
