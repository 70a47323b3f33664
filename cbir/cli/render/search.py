"""How `cbir search` writes its matches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column

if TYPE_CHECKING:
    from cbir.cli.options.words import Words
    from cbir.cli.terminal.preview import Preview
    from cbir.search.searcher import Match, Searcher, SearchResult
    from cbir.tags.rules import Tag
    from cbir.tags.tagger import RowTags


class MatchWriter:
    """Writes what `searcher` found in one format, each query's matches as they come, and errors to stderr.

    `several` says whether there is more than one query, None that nobody knows yet: then they have headings in tables.
    `about` is what each JSON record tells of the query beside its name. Of a query of pictures taken `together` the
    record has a list of names. With `words`, each match has its probability.
    """

    def __init__(
        self,
        searcher: Searcher,
        format_: str,
        *,
        several: bool | None,
        null: bool,
        about: dict[str, Any],
        together: bool,
        words: Words,
        preview: Preview | None = None,
    ) -> None:
        self._searcher = searcher
        self._format = format_
        self._several = several
        self._null = null
        self._about = about
        self._together = together
        self._words = words
        self._preview = preview
        self._exists: dict[Path, bool] = {}
        self._tags: RowTags | None = None

    def write(self, results: Iterable[SearchResult]) -> bool:
        """Write all results; True if a query could not be read."""
        failed = missing = shown = 0
        document = output.JsonDocument(several=self._several)
        if self._format in ("csv", "tsv"):
            with_words = ["probability"] if self._words.all else []
            header = ["query", "rank", "score", "path", "percentile", *with_words, "tag", "error"]
            output.write_separated([header], tabs=self._format == "tsv")
        for result in results:
            if result.error is not None:
                failed += 1
                output.tell(f"Error: {result.error}{_hint(result.query.name)}")
            shown += len(result.matches)
            missing += sum(not self._is_there(match.path) for match in result.matches)
            if self._format == "json":
                document.add(self._record(result))
            elif self._format == "jsonl":
                output.write_json_line(self._record(result))
            elif self._format in ("csv", "tsv"):
                output.write_separated(self._rows(result), tabs=self._format == "tsv")
            elif result.error is None:
                self._write_matches(result)
        if self._format == "json":
            document.close()
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
            self._exists[path] = os.path.exists(path)
        return self._exists[path]

    def _write_matches(self, result: SearchResult) -> None:
        if self._format == "paths":
            output.write_paths((match.path for match in result.matches), null=self._null)
            return
        heading = self._several is not False
        if heading:
            output.say(f"{result.query.name}:")
        self._write_table(result)
        if self._preview is not None:
            self._preview.write(result.matches)
        if heading:
            output.say()

    def _rows(self, result: SearchResult) -> list[list[Any]]:
        """The lines of a query in CSV: one a match, and one with the reason of a query that could not be read."""
        name, tags = result.query.name, self._tags_of(result.matches)
        with_words = bool(self._words.all)
        if result.error is not None:
            return [[name, *[""] * (6 if with_words else 5), str(result.error)]]
        return [
            [
                name,
                match.rank,
                f"{match.score:.6f}",
                match.path,
                _percent(match.percentile),
                *([f"{match.probability or 0:.6f}"] if with_words else []),
                _first(tags[match.row]),
                "",
            ]
            for match in result.matches
        ]

    def _write_table(self, result: SearchResult) -> None:
        from cbir.search.queries import WordQuery

        query = result.query
        tags = self._tags_of(result.matches)
        bold, dim = {"bold": True}, {"dim": True}
        columns: list[tuple[Column, Callable[[Match], str]]] = [
            (Column("rank", right=True, style=bold), lambda match: str(match.rank))
        ]
        if not isinstance(query, WordQuery) or query.picture is not None:
            columns += [
                (Column("score", right=True, style=bold), lambda match: f"{match.score:.3f}"),
                (Column("percentile", right=True, style=dim), lambda match: _percent(match.percentile) or "–"),
            ]
        if isinstance(query, WordQuery):
            # what an inexact word's matches have is none
            name = "probability" if self._words.are_exact else "likeness"
            columns.append((Column(name, right=True, style=bold), lambda match: f"{match.probability or 0:.3f}"))
        if any(map(_first, tags.values())):
            tag = Column("tag", cuts="end", optional=1)
            columns.append((tag, lambda match: _first(tags[match.row]) or "–"))
        path = Column("path", cuts="start", least=32)
        columns.append((path, lambda match: output.short_path(match.path)))
        rows = [[told(match) for _, told in columns] for match in result.matches]
        table.write([column for column, _ in columns], rows)

    def _tags_of(self, matches: Sequence[Match]) -> dict[int, list[Tag] | None]:
        """The tags of each match's row; None where nothing is known of it."""
        if self._tags is None:
            from cbir.tags.tagger import RowTags

            self._tags = RowTags(self._searcher.index)
        rows = [match.row for match in matches]
        return dict(zip(rows, self._tags.of(rows), strict=True))

    def _record(self, result: SearchResult) -> dict[str, Any]:
        from cbir.search.queries import CombinedQuery, WordQuery

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
                    **({} if match.box is None else {"box": list(match.box)}),
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
    is_a_word = name.replace(" ", "").isalpha() and not os.path.exists(name)
    return f' Pictures that show it: `cbir search --word "{name}"`.' if is_a_word else ""


def _percent(percentile: float | None) -> str:
    return "" if percentile is None else f"{percentile:.2f}"


def _first(tags: Sequence[Tag] | None) -> str:
    return tags[0].word if tags else ""


def _records(tags: Sequence[Tag] | None) -> list[dict[str, Any]] | None:
    return None if tags is None else [{"word": tag.word, "probability": round(tag.probability, 4)} for tag in tags]
