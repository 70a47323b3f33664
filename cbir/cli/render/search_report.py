"""Results as pictures: the options for a contact sheet and an HTML page, and what `cbir search` shows on them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cbir.cli.options.claims import claim
from cbir.cli.options.common import FilePath, force_option
from cbir.errors import CbirError
from cbir.images.sources.address import Location, below
from cbir.report.files import check_page_ending, check_png_ending, check_sheet_ending
from cbir.utils.outputs import check_output

if TYPE_CHECKING:
    from cbir.cli.render.search_explained import ExplainedMatches
    from cbir.images.regions import Box
    from cbir.report.card import Card, Group
    from cbir.search.queries import AnyQuery, Picture
    from cbir.search.results import Match, SearchResult
    from cbir.search.searcher import Searcher

Command = TypeVar("Command", bound=Callable[..., Any])

#: Pictures that no report can show: from then on nothing is kept of what is found, so that memory does not grow.
TOO_MANY = 25_000

#: Names of a query's pictures that its title has; the others are counted.
_NAMED = 3


def sheet_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Return a sheet's name, checked before anything is done; a usage error where it has another ending."""
    return _checked(ctx, value, "--sheet", "sheet", check_sheet_ending)


def html_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Return a page's name, checked before anything is done; a usage error where it has another ending."""
    return _checked(ctx, value, "--html", "page", check_page_ending)


def png_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Check the name of a map's picture before anything is done; a usage error where it has another ending."""
    return _checked(ctx, value, "--png", "map", check_png_ending)


def drawing_file(ctx: click.Context, value: Path | None, option: str, kind: str) -> Path | None:
    """Return the name of a picture of that kind, checked as the others are; `option` is what named it."""
    return _checked(ctx, value, option, kind, check_png_ending)


def coco_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Return the name of a COCO document, checked before anything is done."""
    return _checked(ctx, value, "--coco", "coco")


def results_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Return the name of a file of COCO's results, checked before anything is done."""
    return _checked(ctx, value, "--coco-results", "results")


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
    """The sheet, the page or both of a search; without either it does nothing. Matches may be shown `explained`."""

    def __init__(
        self,
        searchers: Sequence[Searcher],
        sheet: Path | None,
        html: Path | None,
        *,
        force: bool = False,
        explained: ExplainedMatches | None = None,
    ) -> None:
        self._searchers = searchers
        self._explained = explained
        self._sheet = sheet
        self._html = html
        self._force = force
        self._groups: list[Group] = []
        self._count = 0

    def watch(self, results: Iterable[SearchResult]) -> Iterator[SearchResult]:
        """Pass results on, and keep of each what is shown of it. The files are written after the last one."""
        if self._sheet is None and self._html is None:
            yield from results
            return
        for result in results:
            self._count += 1 + len(result.matches)
            if self._count <= TOO_MANY:
                self._groups.append(self._group(result))
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

        names = [
            directory.name
            for searcher in self._searchers
            for directory in searcher.index.directories or (searcher.index.directory,)
        ]
        write_page(
            "search.html",
            self._groups,
            path,
            force=self._force,
            heading=f"Search in {' and '.join(names)}",
            about=[
                *(
                    f"{len(one.index):,} pictures below {one.index.root}, by {one.backbone.name}."
                    for one in self._searchers[:-1]
                ),
                f"{len(self._searchers[-1].index):,} pictures below {self._searchers[-1].index.root}, by "
                f"{self._searchers[-1].backbone.name}; searched on {time.strftime('%Y-%m-%d at %H:%M')}.",
            ],
        )

    def _group(self, result: SearchResult) -> Group:
        from cbir.report.card import Card, Group

        title, leads, notes = self._describe(result.query)
        if result.shown is not None:
            notes.append(f"the region shows: {result.shown.name} {result.shown.score:.2f}")
        if any(result.boxes):
            boxes = [() if box is None else (box,) for box in result.boxes]
            leads = [replace(lead, boxes=its) for lead, its in zip(leads, boxes, strict=True)]
        drawn: Sequence[bytes | None] = [None] * len(result.matches)
        if self._explained is not None:
            drawn, note = self._explained.of(result)
            notes += [note] if note else []
        cards = [
            Card(
                self._short(match.path),
                heat or match.path,
                match.rank,
                [(figure, text) for figure in result.figures if (text := match.shown(figure))]
                + [(name, f"{score:.2f}") for name, score in match.best_objects.items()],
                [tag.word for tag in match.tags or ()],
                () if heat else _boxes(match),
                of=match.path if heat else None,
            )
            for match, heat in zip(result.matches, drawn, strict=True)
        ]
        problem = "" if result.error is None else str(result.error)
        return Group(title, cards, leads, problem=problem, notes=notes)

    def _describe(self, query: AnyQuery) -> tuple[str, list[Card], list[str]]:
        """Return a query's title, its images or words as cards, and what else there is to say of it."""
        from cbir.report.card import Card

        if not query.like:
            return query.name, [Card(query.name, None)], []
        unlike = query.images[len(query.like) :]
        names = [_name(one) for one in query.like[:_NAMED]]
        if len(query.like) > _NAMED:
            names.append(f"{len(query.like) - _NAMED} more")
        notes = ["unlike: " + ", ".join(map(_name, unlike))] if unlike else []
        if query.spoken:
            notes.append(f"showing: {query.spoken}")
        leads = [_picture(one) for one in query.like] + [_picture(one, "unlike") for one in unlike]
        return " + ".join(names), leads, notes

    def _short(self, path: Location) -> str:
        """Return a match's name as the index has it."""
        for searcher in self._searchers:
            with contextlib.suppress(ValueError):
                return str(below(path, searcher.index.root))
        return str(path)


def _boxes(match: Match) -> tuple[Box, ...]:
    """Return what is drawn of a match: its objects, else the window that is most like the query."""
    from cbir.images.regions import Box

    if match.objects:
        return tuple(Box(*map(round, one.box)) for one in match.objects)
    return () if match.box is None else (match.box,)


def _name(query: Picture) -> str:
    from cbir.search.weights import typed_with

    from_stdin = isinstance(_source(query), bytes) and query.name == "-"
    return typed_with(query.weight, "a picture from stdin" if from_stdin else query.name)


def _picture(query: Picture, mark: str = "") -> Card:
    from cbir.report.card import Card

    return Card(_name(query), _source(query), mark=mark)


def _source(query: Picture) -> Location | bytes | None:
    """Return what a card shows of a query's picture; a vector has none."""
    source: Location | bytes | None = getattr(query, "source", None)
    return source
