"""How `cbir search` writes its matches."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli import output

if TYPE_CHECKING:
    from cbir.cli.words import Words
    from cbir.search import Match, Searcher, SearchResult
    from cbir.tagging import RowTags
    from cbir.words.tags import Tag


class MatchWriter:
    """Writes what `searcher` found, of `total` queries, in one format. Errors go to stderr as they come.

    `about` is what each JSON record tells of the query beside its name. Of a query of pictures taken `together` the
    record has a list of names. With `words`, each match has its probability.
    """

    def __init__(
        self,
        searcher: Searcher,
        format_: str,
        *,
        total: int,
        null: bool,
        about: dict[str, Any],
        together: bool,
        words: Words,
    ) -> None:
        self._searcher = searcher
        self._format = format_
        self._total = total
        self._null = null
        self._about = about
        self._together = together
        self._words = words
        self._exists: dict[Path, bool] = {}
        self._tags: RowTags | None = None

    def write(self, results: Iterable[SearchResult]) -> bool:
        """Write all results; True if a query could not be read."""
        failed = missing = shown = 0
        collected: list[dict[str, Any]] = []
        if self._format in ("csv", "tsv"):
            with_words = ["probability"] if self._words.all else []
            header = ["query", "rank", "score", "path", "percentile", *with_words, "tag"]
            output.write_separated([header], tabs=self._format == "tsv")
        for result in results:
            if result.error is not None:
                failed += 1
                output.tell(f"Error: {result.error}{_hint(result.query.name)}")
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
            output.tell(
                f"{missing} of {shown} matches are not below {index.root} any more: refresh the index with "
                f"`cbir index --index {index.directory.name}`, or say where they are with --root."
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
                    *([] if match.probability is None else [f"{match.probability:.6f}"]),
                    _first(tags[match.row]),
                )
                for match in matches
            ]
            output.write_separated(rows, tabs=self._format == "tsv")
        else:
            heading = self._total > 1
            if heading:
                click.echo(f"{output.printable(name)}:")
            self._write_table(result)
            if heading:
                click.echo()

    def _write_table(self, result: SearchResult) -> None:
        from cbir.queries import WordQuery

        query = result.query
        tags = self._tags_of(result.matches)
        columns: dict[str, Callable[[Match], str]] = {"rank": lambda match: str(match.rank)}
        if not isinstance(query, WordQuery) or query.picture is not None:
            columns["score"] = lambda match: f"{match.score:.3f}"
            columns["percentile"] = lambda match: _percent(match.percentile) or "–"
        if isinstance(query, WordQuery):
            # what an inexact word's matches have is none
            name = "probability" if self._words.are_exact else "likeness"
            columns[name] = lambda match: f"{match.probability or 0:.3f}"
        numbers = range(len(columns))
        columns["tag"] = lambda match: _first(tags[match.row]) or "–"
        columns["path"] = lambda match: output.short_path(match.path)
        table = [list(columns), *([column(match) for column in columns.values()] for match in result.matches)]
        if not any(map(_first, tags.values())) or not _fits(table):
            table = [[*line[:-2], line[-1]] for line in table]
        output.write_table(table[0], table[1:], right=numbers)

    def _tags_of(self, matches: Sequence[Match]) -> dict[int, list[Tag] | None]:
        """The tags of each match's row; None where nothing is known of it."""
        if self._tags is None:
            from cbir.tagging import RowTags

            self._tags = RowTags(self._searcher.index)
        rows = [match.row for match in matches]
        return dict(zip(rows, self._tags.of(rows), strict=True))

    def _record(self, result: SearchResult) -> dict[str, Any]:
        from cbir.queries import CombinedQuery, WordQuery

        query = result.query
        name: str | list[str] = query.name
        if isinstance(query, WordQuery):
            query = query.picture or query
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
                    **({} if match.probability is None else {"probability": round(match.probability, 6)}),
                    "tags": _records(tags[match.row]),
                }
                for match in result.matches
            ],
        }
        if result.error is not None:
            record["error"] = str(result.error)
        return record


def _hint(name: str) -> str:
    """What to say of the name of a file that is not there and looks like a word."""
    is_a_word = name.replace(" ", "").isalpha() and not Path(name).exists()
    return f' Pictures that show it: `cbir search --word "{name}"`.' if is_a_word else ""


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
