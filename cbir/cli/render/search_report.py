"""Results as pictures: the options for a contact sheet and an HTML page, and what `cbir search` shows on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cbir.cli.options.claims import claim
from cbir.cli.options.common import FilePath, force_option
from cbir.errors import CbirError
from cbir.report.files import check_page_ending, check_png_ending, check_sheet_ending
from cbir.utils.outputs import check_output

if TYPE_CHECKING:
    from cbir.cli.options.words import Words
    from cbir.report.card import Card, Group
    from cbir.search.queries import AnyQuery, Query
    from cbir.search.searcher import Match, Searcher, SearchResult
    from cbir.tags.rules import Tag

Command = TypeVar("Command", bound=Callable[..., Any])

#: Pictures that no report can show: from then on nothing is kept of what is found, so that memory does not grow.
TOO_MANY = 25_000

#: Names of a query's pictures that its title has; the others are counted.
_NAMED = 3


def sheet_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A sheet's name, checked before anything is done; a usage error where it has another ending."""
    return _checked(ctx, value, "--sheet", "sheet", check_sheet_ending)


def html_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A page's name, checked before anything is done; a usage error where it has another ending."""
    return _checked(ctx, value, "--html", "page", check_page_ending)


def png_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """The name of a map's picture, checked before anything is done; a usage error where it has another ending."""
    return _checked(ctx, value, "--png", "map", check_png_ending)


def coco_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """The name of a COCO document, checked before anything is done."""
    return _checked(ctx, value, "--coco", "coco")


def _checked(
    ctx: click.Context,
    path: Path | None,
    option: str,
    kind: str,
    check_ending: Callable[[Path, str], None] = lambda path, option: None,
) -> Path | None:
    if path is not None and not ctx.resilient_parsing:
        try:
            check_ending(path, option)
        except CbirError as error:
            raise click.BadParameter(str(error)) from error
        claim(ctx, path, option)
        check_output(path, option, kind, force=ctx.params["force"])
    return path


sheet_option = click.option(
    "--sheet",
    type=FilePath(),
    callback=sheet_file,
    metavar="FILE",
    help="Also draw a contact sheet: a .png, .jpg or .webp.",
)

html_option = click.option(
    "--html",
    type=FilePath(),
    callback=html_file,
    metavar="FILE",
    help="Also write a page for a browser: one .html file with everything in it.",
)


def report_options(command: Command) -> Command:
    """`--sheet` and `--html`, and `--force` for both."""
    return sheet_option(html_option(force_option(command)))


class SearchReports:
    """What is to be shown of a search on a sheet, a page or both; without either it does nothing."""

    def __init__(
        self, searcher: Searcher, sheet: Path | None, html: Path | None, words: Words, *, force: bool = False
    ) -> None:
        self._searcher = searcher
        self._sheet = sheet
        self._html = html
        self._words = words
        self._force = force
        self._groups: list[Group] = []
        self._count = 0

    def watch(self, results: Iterable[SearchResult]) -> Iterator[SearchResult]:
        """Pass results on, and keep of each what is shown of it. The files are written after the last one."""
        if self._sheet is None and self._html is None:
            yield from results
            return
        from cbir.tags.tagger import RowTags

        tags = RowTags(self._searcher.index)
        for result in results:
            self._count += 1 + len(result.matches)
            if self._count <= TOO_MANY:
                found = tags.of([match.row for match in result.matches]) if self._html else None
                self._groups.append(self._group(result, found))
            else:
                self._groups.clear()
            yield result

    def write(self) -> list[Path]:
        """Write the files and return them. CbirError where one cannot be; the other is written all the same."""
        errors, written = [], []
        for path, write in ((self._sheet, self._write_sheet), (self._html, self._write_page)):
            if path is not None:
                try:
                    if self._count > TOO_MANY:
                        raise CbirError(
                            f"{self._count:,} pictures are too many for {path}: ask for fewer (-k), or search by fewer "
                            "at a time."
                        )
                    write(path)
                    written.append(path)
                except CbirError as error:
                    errors.append(str(error))
        if errors:
            raise CbirError(" ".join(errors))
        return written

    def _write_sheet(self, path: Path) -> None:
        from cbir.report.sheet import write_sheet

        write_sheet(self._groups, path, force=self._force)

    def _write_page(self, path: Path) -> None:
        from cbir.report.page import write_page

        index = self._searcher.index
        write_page(
            "search.html",
            self._groups,
            path,
            force=self._force,
            heading=f"Search in {index.directory.name}",
            about=[
                f"{len(index):,} pictures below {index.root}, by {self._searcher.backbone.name}; "
                f"searched on {time.strftime('%Y-%m-%d at %H:%M')}."
            ],
        )

    def _group(self, result: SearchResult, tags: Sequence[list[Tag] | None] | None) -> Group:
        from cbir.report.card import Card, Group

        words = [[] if its is None else [tag.word for tag in its] for its in tags or [None] * len(result.matches)]
        title, leads, notes = self._describe(result.query)
        if any(result.boxes):
            leads = [replace(lead, box=box) for lead, box in zip(leads, result.boxes, strict=True)]
        cards = [
            Card(self._short(match.path), match.path, match.rank, self._figures(match, result.query), its, match.box)
            for match, its in zip(result.matches, words, strict=True)
        ]
        problem = "" if result.error is None else str(result.error)
        return Group(title, cards, leads, problem=problem, notes=notes)

    def _describe(self, query: AnyQuery) -> tuple[str, list[Card], list[str]]:
        """A query's title, its pictures or words as cards, and what else there is to say of it."""
        from cbir.report.card import Card
        from cbir.search.queries import CombinedQuery, WordQuery

        notes: list[str] = []
        if isinstance(query, WordQuery):
            by_words = WordQuery(query.words, query.without).name
            if query.picture is None:
                return by_words, [Card(by_words, None)], []
            notes.append(f"showing: {by_words}")
            query = query.picture
        if not isinstance(query, CombinedQuery):
            return _name(query), [_picture(query)], notes
        names = [_name(one) for one in query.like[:_NAMED]]
        if len(query.like) > _NAMED:
            names.append(f"{len(query.like) - _NAMED} more")
        if query.unlike:
            notes.insert(0, "unlike: " + ", ".join(map(_name, query.unlike)))
        leads = [_picture(one) for one in query.like] + [_picture(one, "unlike") for one in query.unlike]
        return " + ".join(names), leads, notes

    def _figures(self, match: Match, query: AnyQuery) -> list[tuple[str, str]]:
        from cbir.search.queries import WordQuery

        figures = []
        if not isinstance(query, WordQuery) or query.picture is not None:
            figures.append(("score", f"{match.score:.3f}"))
            if match.percentile is not None:
                figures.append(("percentile", f"{match.percentile:.2f}"))
        if isinstance(query, WordQuery):
            name = "probability" if self._words.are_exact else "likeness"
            figures.append((name, f"{match.probability or 0:.3f}"))
        return figures

    def _short(self, path: Path) -> str:
        """A match's name as the index has it."""
        try:
            return str(path.relative_to(self._searcher.index.root))
        except ValueError:
            return str(path)


def _name(query: Query) -> str:
    return "a picture from stdin" if isinstance(query.source, bytes) and query.name == "-" else query.name


def _picture(query: Query, mark: str = "") -> Card:
    from cbir.report.card import Card

    return Card(_name(query), query.source, mark=mark)
