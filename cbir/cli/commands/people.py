"""`cbir people`: who is in the pictures of an index, and what users say of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.common import (
    force_option,
    formats_options,
    index_option,
    sidecar_options,
    verbosity_options,
    wait_option,
)
from cbir.cli.options.given import Given
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import people as render
from cbir.cli.render.search_report import html_option
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.index.store import Index
    from cbir.people.album import Album
    from cbir.people.arrange import Arranged

logger = logging.getLogger("cbir")

#: What can be done, and the least and the most words that it takes, None for any number.
ACTIONS: dict[str, tuple[int, int | None]] = {
    "list": (0, 1),
    "name": (2, 2),
    "merge": (2, None),
    "split": (1, None),
    "add": (2, None),
    "not": (1, None),
    "forget": (1, 1),
}

_WHAT = {
    "list": "PERSON, or nobody",
    "name": "PERSON and a name",
    "merge": "two people and more",
    "split": "faces",
    "add": "PERSON and faces",
    "not": "faces",
    "forget": "PERSON",
}

RULES = (
    Rule(("dry_run", "sidecar_names"), "{said} is about sidecar files: add --xmp.", lacking=("xmp",)),
    Rule(("name",), "--name is the name of the person whom `split` makes.", lacking=("action",)),
)


class PeopleOptions(Given):
    """The options of one call, by their names."""

    action: str
    what: tuple[str, ...]
    name: str | None
    html: Path | None
    force: bool
    xmp: bool
    sidecar_names: str
    dry_run: bool
    index_name: str | None
    wait: float
    format_: str | None


@click.command("people", short_help="Who is in the pictures, with names of your own.")
@click.argument("action", type=click.Choice(list(ACTIONS)), default="list", metavar="[ACTION]")
@click.argument("what", nargs=-1, metavar="WHAT...")
@click.option("--name", metavar="NAME", help="With split: what the new person is called.")
@html_option
@force_option
@sidecar_options("names and places of faces")
@index_option
@wait_option
@formats_options(render.FORMATS, "Default: table on a terminal, jsonl in a pipe, nothing with --html or --xmp.")
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """List the people in the pictures of an index, whose faces `cbir index --faces` has found; or do what ACTION says
    with WHAT comes after it.

    Faces that are like each other are one person. What you say of people stays through all later runs, and the faces
    of new pictures join those whom they belong to. A person is a number or a name, a face the path of its picture and
    its number there, as lists have them. ACTION is one of

    list [PERSON]: the people, or the faces of one. name PERSON NAME: give a name. merge PERSON PERSON...: the others
    become the first. split FACE...: these faces are a person of their own. add PERSON FACE...: these faces are that
    person's. not FACE...: these are of somebody else. forget PERSON: take the faces of a person out of the index.

    Only what your index has is grouped; siblings, children and people whom the network knows badly are mixed up: see
    docs/people.md, and ask people before you do this.

    \b
      cbir people
      cbir people --html people.html
      cbir people list 1 --format paths
    """
    use_one_blas_thread()
    check_rules(ctx, RULES)
    request = PeopleOptions(**options)
    least, most = ACTIONS[request.action]
    if not least <= len(request.what) <= (len(request.what) if most is None else most):
        raise click.UsageError(f"`cbir people {request.action}` takes {_WHAT[request.action]}.")
    if request.name is not None and request.action != "split":
        raise click.UsageError("--name is the name of the person whom `split` makes.")
    if request.action != "list" and (request.html or request.xmp or request.format_):
        raise click.UsageError("--html, --xmp and --format are about lists: leave them out, or list people afterwards.")
    from cbir.index.open import open_index

    index = open_index(request.index_name)
    if request.action == "list":
        _list(request, index, ctx)
    elif request.action == "forget":
        _forget(request, index)
    else:
        _change(request, index)


def _list(request: PeopleOptions, index: Index, ctx: click.Context) -> None:
    """List people, or the faces of one; write the page of them, or sidecar files."""
    from cbir.people.named import FaceNames
    from cbir.people.person import faces_without, number_of, people_in

    arranged = _up_to_date(index, request.wait)
    names, people = FaceNames(index, arranged.faces), people_in(arranged)
    chosen = [number_of(arranged.album, who) for who in request.what]
    people = [one for one in people if not chosen or one.number in chosen]
    format_ = request.format_
    if format_ is None and request.html is None and not request.xmp:
        format_ = output.default_format(piped="jsonl")
    if format_ is not None:
        if chosen:
            render.write_faces(people[0], arranged, names, format_)
        else:
            render.write_people(people, arranged, names, format_)
    if request.html is not None:
        from cbir.cli.render.people_report import write_people_page

        write_people_page(people, arranged, names, index, request.html, force=request.force)
    if not chosen:
        count, without = len(arranged.faces), faces_without(arranged)
        logger.info("%s faces, %s of them nobody's yet.", f"{count:,}", f"{without:,}")
    if request.xmp:
        _write_sidecars(request, index, arranged, ctx)


def _up_to_date(index: Index, wait: float) -> Arranged:
    """Return the people of an index, new faces among them, and keep that, where it may be written."""
    from cbir.errors import IndexLockedError, IndexWriteError
    from cbir.faces.of_index import thresholds_of_index
    from cbir.people.of_index import change_people, is_up_to_date, people_of

    threshold = thresholds_of_index(index.meta.faces).group
    arranged = people_of(index, threshold=threshold)
    if not is_up_to_date(index, arranged):
        try:
            change_people(index.directory, threshold=threshold, wait=wait)
        except (IndexLockedError, IndexWriteError) as error:
            logger.warning("What was found is not kept: %s", error)
    return arranged


def _change(request: PeopleOptions, index: Index) -> None:
    """Say something of people."""
    from cbir.faces.of_index import thresholds_of_index
    from cbir.people import edit
    from cbir.people.named import FaceNames
    from cbir.people.of_index import change_people
    from cbir.people.person import number_of

    told = ""

    def change(arranged: Arranged, now: Index) -> Album:
        nonlocal told
        album, names = arranged.album, FaceNames(now, arranged.faces)

        def keys(texts: tuple[str, ...]) -> list[Any]:
            return [arranged.faces.key(names.find(text)) for text in texts]

        if request.action == "name":
            who, name = request.what
            number = number_of(album, who)
            album = edit.name_person(album, number, name)
            told = f"Person {number} is called {name}."
        elif request.action == "merge":
            numbers = [number_of(album, who) for who in request.what]
            former = {album.people[number].name for number in numbers} - {""}
            album = edit.merge_people(album, numbers)
            gone = sorted(former - {album.people[numbers[0]].name})
            told = f"They are one person: {_title(album, numbers[0])}."
            told += f" No longer called {' or '.join(gone)}." if gone else ""
        elif request.action == "split":
            album, number = edit.split_faces(album, keys(request.what), request.name or "")
            told = f"{_faces(len(request.what))} of {_title(album, number)}."
        elif request.action == "add":
            number = number_of(album, request.what[0])
            album = edit.put_faces(album, keys(request.what[1:]), number)
            told = f"{_faces(len(request.what) - 1)} of {_title(album, number)}."
        else:
            album = edit.take_out(album, keys(request.what))
            told = f"{_faces(len(request.what))} taken out."
        return album

    threshold = thresholds_of_index(index.meta.faces).group
    change_people(index.directory, change, threshold=threshold, wait=request.wait)
    output.tell(told)


def _forget(request: PeopleOptions, index: Index) -> None:
    """Forget a person, and tell what that does not reach."""
    from cbir.faces.of_index import group_in_any_case
    from cbir.people.forget import forget

    threshold = group_in_any_case(index.meta.faces)
    name, count = forget(index.directory, request.what[0], threshold=threshold, wait=request.wait)
    who = name or f"Person {request.what[0]}"
    output.tell(
        f"{who} is forgotten: {_faces(count)} out of the index {index.directory.name}. Pictures, sidecar files, pages "
        "and copies of the index made before are as they were."
    )


def _write_sidecars(request: PeopleOptions, index: Index, arranged: Arranged, ctx: click.Context) -> None:
    """Write the sidecar file of each picture with a face."""
    from functools import partial

    import numpy as np

    from cbir.cli.render.tags import SidecarWriter
    from cbir.images.sources.address import folder_of
    from cbir.tags.people import find_people, named_faces

    state = ctx.obj or {}
    root = folder_of(index.root)
    writer = SidecarWriter(
        request.sidecar_names, dry_run=request.dry_run, every=bool(state.get("verbose")), root=root, what="names"
    )
    named, files = named_faces(arranged), index.files()
    # all of them: a picture may have lost its names, and its faces
    rows = np.flatnonzero(index.valid).tolist()
    watch = progress(disable=bool(state.get("quiet")))
    for row in watch(iter(rows), len(rows)):
        sha256 = files.sha256s[row]
        find = partial(find_people, sha256=sha256, faces=named.get(sha256, []))
        writer.write_people(root / files.paths[row], find)
    if not state.get("quiet"):
        output.tell(writer.summary())
    if writer.has_failed:
        ctx.exit(CbirError.exit_code)


def _title(album: Album, number: int) -> str:
    name = album.people[number].name
    return f"{name} (person {number})" if name else f"person {number}"


def _faces(count: int) -> str:
    return "1 face is" if count == 1 else f"{count:,} faces are"
