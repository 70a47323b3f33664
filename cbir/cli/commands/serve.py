"""`cbir serve`: indexes in a browser, and over HTTP."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import FilePath, engine_option, verbosity_options, weights_option
from cbir.cli.options.completion import complete_index
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import use_one_blas_thread, use_one_heap
from cbir.errors import CbirError, reason_of
from cbir.utils import stopping

if TYPE_CHECKING:
    from cbir.serve.service import Service
    from cbir.serve.settings import Settings

# Of the extra.
_PACKAGES = ("fastapi", "uvicorn", "httptools", "python_multipart")

# Characters of a token at least, and bytes of its file at most.
_LEAST_TOKEN, _MOST_TOKEN = 16, 4096

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command("serve", short_help="Look at indexes in a browser.")
@click.option(
    "--index",
    "-i",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_index,
    help="An index: a name, or a path (with a slash). Repeatable. Default: all there are.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen. Another needs --token-file.")
@click.option(
    "--port", type=WholeNumber(0, 65535), default=8580, show_default=True, help="Its port; 0: any that is free."
)
@click.option("--url", metavar="URL", help="Where browsers find it, if that is elsewhere, as behind a proxy.")
@click.option("--token-file", type=FilePath(), metavar="FILE", help="A file with a secret: only who knows it gets in.")
@click.option("--links", type=FilePath(), metavar="DIR", help="A folder in which the page may make folders of links.")
@click.option("--watch", is_flag=True, help="Keep the indexes fresh meanwhile, as `cbir index --watch` does.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@weights_option
@engine_option
@verbosity_options
def command(
    names: tuple[str, ...],
    host: str,
    port: int,
    url: str | None,
    token_file: Path | None,
    links: Path | None,
    watch: bool,
    opens: bool,
    weights: str | None,
    engine: str | None,
) -> None:
    """Serve indexes to a browser on this machine, and to programs over HTTP, until it is interrupted.

    The page searches by pictures and words, and shows what was found. Nothing is sent anywhere else, and nothing that
    is sent here is kept. docs/serve.md has the page, docs/http.md what programs ask.

    \b
      cbir serve
      cbir serve --index photos --open
      cbir serve --host 0.0.0.0 --token-file token.txt
    """
    use_one_blas_thread()
    use_one_heap()
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise CbirError(f"`cbir serve` needs an extra: install cbir[serve] ({', '.join(missing)} is missing).")
    settings = _settings(host, port, url, token_file, links)
    from cbir.index.home import all_directories, the_only_directory
    from cbir.serve.run import run
    from cbir.serve.service import Service

    paths = [*names] or [f"{one.absolute()}/" for one in all_directories() or [the_only_directory()]]
    service = Service.open(paths, engine=engine, weights=weights)

    def ready(address: str) -> None:
        output.tell(f"Serving {', '.join(service.indexes)} at {address} (Ctrl-C ends it)")
        if opens:
            webbrowser.open(address)

    with _kept_fresh(service, watch=watch) as begin_to_end:
        run(service, settings, ready, begin_to_end)
    # not as Python ends: a thread that is taken out of a network's compilation would abort the process
    logging.shutdown()
    stopping.end_by_force(0)


def _kept_fresh(service: Service, *, watch: bool) -> AbstractContextManager[Callable[[], None]]:
    """Return what keeps the served indexes fresh, if they are to be; it gives what begins the end of that."""
    if not watch:
        return nullcontext(lambda: None)
    from cbir.indexing.watched import kept_fresh

    for served in service.indexes.values():
        served.watched = True
    return kept_fresh([served.directory for served in service.indexes.values()])


def _settings(host: str, port: int, url: str | None, token_file: Path | None, links: Path | None) -> Settings:
    from cbir.serve.settings import Settings

    if token_file is None and (host.lower() not in _LOOPBACK or url is not None):
        raise CbirError(
            "Whoever reaches this server could see all pictures: other machines get in with a secret only. Write one "
            "into a file, 16 letters at least, and name it with --token-file."
        )
    if links is not None and not links.is_dir():
        raise CbirError(f"{links} is no folder: make it, or name another with --links.")
    return Settings(host, port, None if token_file is None else _read_token(token_file), url, links)


def _read_token(path: Path) -> str:
    from cbir.utils.opening import read_regular

    try:
        token = read_regular(path, most=_MOST_TOKEN).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        raise CbirError(f"Cannot read the token in {path}: {reason_of(error)}.") from error
    if len(token) < _LEAST_TOKEN or not token.isprintable():
        raise CbirError(f"The token in {path} is too short: write {_LEAST_TOKEN} letters or more on one line.")
    return token
