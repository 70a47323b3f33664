"""How `cbir search` writes its matches."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli import output

if TYPE_CHECKING:
    from cbir.search import Match, Searcher, SearchResult
    from cbir.tagging import RowTags
    from cbir.words.tags import Tag


class MatchWriter:
    """Writes what `searcher` found, of `total` queries, in one format. Errors go to stderr as they come.

    `about` is what each JSON record tells of the query beside its name. Of a query of pictures taken `together` the
    record has a list of names.
    """

    def __init__(
        self, searcher: Searcher, format_: str, *, total: int, null: bool, about: dict[str, Any], together: bool
    ) -> None:
        self._searcher = searcher
        self._format = format_
        self._total = total
        self._null = null
        self._about = about
        self._together = together
        self._exists: dict[Path, bool] = {}
        self._tags: RowTags | None = None

    def write(self, results: Iterable[SearchResult]) -> bool:
        """Write all results; True if a query could not be read."""
        failed = missing = shown = 0
        collected: list[dict[str, Any]] = []
        if self._format in ("csv", "tsv"):
            header = ("query", "rank", "score", "path", "percentile", "tag")
            output.write_separated([header], tabs=self._format == "tsv")
        for result in results:
            if result.error is not None:
                failed += 1
                click.echo(f"Error: {result.error}", err=True)
            shown += len(result.matches)
            missing += sum(not self._is_there(match.path) for match in result.matches)
            if self._format == "json":
                collected.append(self._record(result))
            elif self._format == "jsonl":
                output.write_json_line(self._record(result))
            elif result.error is None:
                self._write_matches(result)
        if self._format == "json":
            output.write_json(collected[0] if self._total == 1 else collected)
        if missing:
            index = self._searcher.index
            click.echo(
                f"{missing} of {shown} matches are not below {index.root} any more: refresh the index with "
                f"`cbir index --index {index.directory.name}`, or say where they are with --root.",
                err=True,
            )
        return failed > 0

    def _is_there(self, path: Path) -> bool:
        """Whether a match is still there; each file is looked for once, however many queries find it."""
        if path not in self._exists:
            self._exists[path] = path.exists()
        return self._exists[path]

    def _write_matches(self, result: SearchResult) -> None:
        name, matches = result.query.name, result.matches
        if self._format == "paths":
            output.write_paths((match.path for match in matches), null=self._null)
        elif self._format in ("csv", "tsv"):
            tags = self._tags_of(matches)
            rows = [
                (
                    name,
                    match.rank,
                    f"{match.score:.6f}",
                    match.path,
                    _percent(match.percentile),
                    _first(tags[match.row]),
                )
                for match in matches
            ]
            output.write_separated(rows, tabs=self._format == "tsv")
        else:
            heading = self._total > 1
            if heading:
                click.echo(f"{output.printable(name)}:")
            tags = self._tags_of(matches)
            header = ("rank", "score", "percentile", "tag", "path")
            lines: list[tuple[str, ...]] = [
                (
                    str(match.rank),
                    f"{match.score:.3f}",
                    _percent(match.percentile) or "–",
                    _first(tags[match.row]) or "–",
                    output.short_path(match.path),
                )
                for match in matches
            ]
            table: list[tuple[str, ...]] = [header, *lines]
            if not any(map(_first, tags.values())) or not _fits(table):
                table = [(*line[:3], *line[4:]) for line in table]
            output.write_table(table[0], table[1:], right=(0, 1, 2))
            if heading:
                click.echo()

    def _tags_of(self, matches: Sequence[Match]) -> dict[int, list[Tag] | None]:
        """The tags of each match's row; None where nothing is known of it."""
        if self._tags is None:
            from cbir.tagging import RowTags

            self._tags = RowTags(self._searcher.index)
        rows = [match.row for match in matches]
        return dict(zip(rows, self._tags.of(rows), strict=True))

    def _record(self, result: SearchResult) -> dict[str, Any]:
        from cbir.queries import CombinedQuery

        query = result.query
        name: str | list[str] = query.name
        if self._together and isinstance(query, CombinedQuery):
            name = [one.name for one in query.like]
        tags = self._tags_of(result.matches)
        record: dict[str, Any] = {
            "query": name,
            **self._about,
            "index": str(self._searcher.index.directory),
            "model": self._searcher.backbone.name,
            "matches": [
                {
                    "rank": match.rank,
                    "path": str(match.path),
                    "score": round(match.score, 6),
                    "percentile": None if match.percentile is None else round(match.percentile, 2),
                    "tags": _records(tags[match.row]),
                }
                for match in result.matches
            ],
        }
        if result.error is not None:
            record["error"] = str(result.error)
        return record


def _percent(percentile: float | None) -> str:
    return "" if percentile is None else f"{percentile:.2f}"


def _first(tags: Sequence[Tag] | None) -> str:
    return tags[0].word if tags else ""


def _records(tags: Sequence[Tag] | None) -> list[dict[str, Any]] | None:
    return None if tags is None else [{"word": tag.word, "probability": round(tag.probability, 4)} for tag in tags]


def _fits(lines: Sequence[Sequence[str]]) -> bool:
    """Whether a table is no wider than the terminal, where there is one."""
    if not sys.stdout.isatty():
        return True
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1) <= shutil.get_terminal_size().columns
