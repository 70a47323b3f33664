"""The output of `cbir search`: its matches."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.images.sources.address import Location, is_there

if TYPE_CHECKING:
    from cbir.cli.terminal.preview import Preview
    from cbir.detect.detection import Detection
    from cbir.index.store import Index
    from cbir.search.results import Match, SearchResult

logger = logging.getLogger("cbir")

# How tables set a match's figures, unless bold.
_BOLD, _STYLES = {"bold": True}, {"percentile": {"dim": True}}


def noted(results: Iterable[SearchResult]) -> Iterator[SearchResult]:
    """Yield the same results, whose notices are told on stderr, each once."""
    told: set[str] = set()
    for result in results:
        for notice in result.notices:
            if notice not in told:
                told.add(notice)
                logger.warning("%s", notice)
        yield result


def with_tags(results: Iterable[SearchResult], index: Index) -> Iterator[SearchResult]:
    """Yield the same results with the tags that an index has for their matches."""
    find_tags = None
    for result in results:
        if find_tags is None:
            from cbir.tags.tagger import RowTags

            find_tags = RowTags(index).of
        yield result.with_tags(find_tags)


class MatchWriter:
    """Writes matches in one format, those of each query as they come, and errors to stderr.

    `several` says whether there is more than one query, None that nobody knows yet: then they have headings in tables.
    With words, lines of CSV have the column `probability`, with objects `objects`, with faces `face`, with several
    indexes `index`.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        format_: str,
        *,
        several: bool | None,
        null: bool,
        with_words: bool,
        with_objects: bool = False,
        with_faces: bool = False,
        preview: Preview | None = None,
    ) -> None:
        self._indexes = indexes
        self._is_of_several = len(indexes) > 1 or bool(indexes[0].directories)
        self._format = format_
        self._several = several
        self._null = null
        self._with_words = with_words
        self._with_objects = with_objects
        self._with_faces = with_faces
        self._preview = preview
        self._exists: dict[Location, bool] = {}

    def write(self, results: Iterable[SearchResult]) -> bool:
        """Write all results; True if a query could not be read."""
        failed = missing = shown = 0
        document = output.JsonDocument(several=self._several)
        rows = [self._header()]  # nothing is written before what the index, or the request, cannot answer is refused
        for result in results:
            if result.error is not None:
                failed += 1
                output.tell(f"Error: {result.error}{_hint(result.query.name)}")
            shown += len(result.matches)
            missing += sum(not self._is_there(match.path) for match in result.matches)
            if self._format == "json":
                document.add(result.to_dict())
            elif self._format == "jsonl":
                output.write_json_line(result.to_dict())
            elif self._format in ("csv", "tsv"):
                output.write_separated([*rows, *self._rows(result)], tabs=self._format == "tsv")
                rows = []
            elif result.error is None:
                self._write_matches(result)
        if self._format == "json":
            document.close()
        elif self._format in ("csv", "tsv"):
            output.write_separated(rows, tabs=self._format == "tsv")
        if missing:
            self._tell_of_missing(missing, shown)
        return failed > 0

    def _tell_of_missing(self, missing: int, shown: int) -> None:
        roots = " or ".join(str(index.root) for index in self._indexes)
        if any(index.meta.imported for index in self._indexes):
            output.tell(f"{missing} of {shown} matches are not below {roots}: their rows came without pictures.")
            return
        name = "NAME" if self._is_of_several else self._indexes[0].directory.name
        output.tell(
            f"{missing} of {shown} matches are not below {roots} any more: refresh the index with "
            f"`cbir index --index {name}`, or say where they are with --root."
        )

    def _is_there(self, path: Location) -> bool:
        """Tell whether a match is still there; each file is looked for once, however many queries find it."""
        if path not in self._exists:
            self._exists[path] = is_there(path)
        return self._exists[path]

    def _write_matches(self, result: SearchResult) -> None:
        if self._format == "paths":
            output.write_paths((match.path for match in result.matches), null=self._null)
            return
        heading = self._several is not False
        if heading:
            output.say(f"{result.query.name}:")
        if result.shown is not None:
            output.say(f"The region shows: {result.shown.name} ({result.shown.score:.2f})")
        _write_table(result)
        if self._preview is not None:
            self._preview.write(result.matches)
        if heading:
            output.say()

    def _header(self) -> list[str]:
        with_words = ["probability"] if self._with_words else []
        with_objects = ["objects"] if self._with_objects else []
        # new ones at the end: scripts count columns
        with_face = ["face"] if self._with_faces else []
        with_index = ["index"] if self._is_of_several else []
        usual = ["query", "rank", "score", "path", "percentile", *with_words, "tag", "error", "relevance"]
        return [*usual, *with_objects, *with_face, *with_index]

    def _rows(self, result: SearchResult) -> list[list[Any]]:
        """Make the lines of a query in CSV: one a match, and one with the reason of a query that could not be read."""
        name = result.query.name
        if result.error is not None:
            cells = dict.fromkeys(self._header(), "") | {"query": name, "error": str(result.error)}
            return [list(cells.values())]
        return [
            [
                name,
                match.rank,
                f"{match.score:.6f}",
                match.path,
                "" if match.percentile is None else f"{match.percentile:.2f}",
                *([f"{match.probability or 0:.6f}"] if self._with_words else []),
                _tag(match),
                "",
                "" if match.relevance is None else f"{match.relevance:.4f}",
                *(["; ".join(map(_described, match.objects))] if self._with_objects else []),
                *([_described_face(match)] if self._with_faces else []),
                *([match.index] if self._is_of_several else []),
            ]
            for match in result.matches
        ]


def _write_table(result: SearchResult) -> None:
    figures, has_tags = result.figures, any(map(_tag, result.matches))
    with_objects = any(match.objects for match in result.matches)
    columns = [
        Column("rank", right=True, style=_BOLD),
        *(Column(figure, right=True, style=_STYLES.get(figure, _BOLD)) for figure in figures),
        *([Column("objects", cuts="end", least=12)] if with_objects else []),
        *([Column("tag", cuts="end", optional=1)] if has_tags else []),
        *([Column("index", cuts="end", optional=2)] if result.indexes else []),
        Column("path", cuts="start", least=32),
    ]
    rows = [
        [
            str(match.rank),
            *(match.shown(figure) or "–" for figure in figures),
            *([", ".join(f"{one.name} {one.score:.2f}" for one in match.objects) or "–"] if with_objects else []),
            *([_tag(match) or "–"] if has_tags else []),
            *([match.index.name if match.index else "–"] if result.indexes else []),
            output.short_path(match.path),
        ]
        for match in result.matches
    ]
    table.write(columns, rows)


def _hint(name: str) -> str:
    """Return a hint about the name of a file that is not there and looks like a word."""
    is_a_word = name.replace(" ", "").isalpha() and not os.path.exists(name)
    return f' Pictures that show it: `cbir search --word "{name}"`.' if is_a_word else ""


def _described(one: Detection) -> str:
    """Return an object's class, score and box as a cell of CSV has them: dog 0.9312 40,30,200,150."""
    return f"{one.name} {one.score:.4f} {','.join(f'{side:.0f}' for side in one.box)}"


def _described_face(match: Match) -> str:
    """Return a face's distance, its box and what is said of it as a cell of CSV has them: 0.3123 40,30,80,90 perhaps.

    Empty where there is none.
    """
    if match.face is None:
        return ""
    box = ",".join(map(str, match.face.box))
    return f"{match.face.distance:.4f} {box} {match.face.said}".rstrip()


def _tag(match: Match) -> str:
    """Return the first tag of a match; empty where there is none."""
    return match.tags[0].word if match.tags else ""
