"""`--log-file`: what a run did and how it ended, for whoever looks the next morning. docs/logs.md shows its lines."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from cbir.cli.options.claims import claim
from cbir.errors import CbirError, reason_of
from cbir.images.sources.address import without_password
from cbir.utils import stopping
from cbir.utils.opening import NO_LINK, NO_WAITING, PLAIN, OddFileError
from cbir.utils.printable import printable

_OPTION = "--log-file"
_LOG = "cbir.log"
_ARGUMENTS = "cbir.arguments"

# What a line of a log begins with: by that cbir knows its own.
_LINE = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \[\d+\] ")

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_LINK | NO_WAITING | PLAIN

_RESULTS = {0: "done", 2: "wrong usage", 3: "refused to forget", 4: "done, files were skipped", 130: "interrupted"}


class LogFile(logging.Handler):
    """Appends lines to a file, each with its time and the process's number.

    The file is opened anew for each line, to append, and a line is one write: so lines of runs that write at once do
    not mix, and after logrotate has moved the file away the next line begins a new one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = Path(os.path.abspath(path.expanduser()))
        #: The run's subject, such as an index's name, and its outcome: for its last line.
        self.subject = self.outcome = ""
        self._started = time.monotonic()
        self._is_failing = False
        self._known: tuple[int, int] | None = None

    def append(self, text: str) -> None:
        """Add a line; OSError where that cannot be, and where the file is none of cbir's logs."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S %z")
        told = printable(text.strip(), keep_bytes=True)
        line = f"{moment} [{os.getpid()}] {told}\n".encode("utf-8", errors="surrogateescape")
        file = self._open()
        try:
            while line:
                line = line[os.write(file, line) :]
        finally:
            os.close(file)

    def _open(self) -> int:
        """Open the file to append to; OddFileError where it is no log, or may be another file as well (a link)."""
        with contextlib.suppress(FileNotFoundError):
            # before it is opened: that alone may do something to a device, and waits for the other end of a pipe
            _check_kind(os.lstat(self.path), self.path)
        file = os.open(self.path, _FLAGS, 0o640)
        try:
            status = os.fstat(file)
            _check_kind(status, self.path)
            if (status.st_dev, status.st_ino) != self._known:
                if not _LINE.match(os.read(file, 100)) and status.st_size:
                    raise OddFileError("it is there, and it is no log of cbir's", self.path)
                self._known = status.st_dev, status.st_ino
        except BaseException:
            os.close(file)
            raise
        return file

    def write(self, text: str) -> None:
        """Add a line; the first that cannot be added is told on stderr, and the run goes on."""
        try:
            self.append(text)
        except OSError as error:
            if not self._is_failing:
                _tell(f"Error: Cannot write the log file {self.path}: {reason_of(error)}.")
            self._is_failing = True

    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname.capitalize()}: " if record.levelno >= logging.WARNING else ""
        self.write(level + record.getMessage())

    def end(self, command: str | None, code: int) -> None:
        """Add the run's last line."""
        name = " ".join(part for part in (command or "cbir", self.subject) if part)
        seconds = time.monotonic() - self._started
        outcome = f": {self.outcome}" if self.outcome else ""
        self.write(f"{name} {_RESULTS.get(code, 'failed')}, exit code {code}, {seconds:.1f} s{outcome}")


def log_option(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    """Callback of `--log-file`: begin the log. CbirError where the file cannot be written."""
    if value is not None and not ctx.resilient_parsing:
        _begin(ctx, value)


def _begin(ctx: click.Context, path: Path) -> LogFile:
    log = LogFile(path)
    claim(ctx, log.path, _OPTION)
    ctx.meta[_LOG] = log
    try:
        log.append(f"started: cbir {shlex.join(ctx.meta.get(_ARGUMENTS, ()))}")
    except OSError as error:
        del ctx.meta[_LOG]
        raise CbirError(
            f"Cannot write the log file {log.path}: {reason_of(error)}. Name a file in a folder that is there and "
            f"that you may write to, or one that cbir has begun, with {_OPTION}."
        ) from error
    logging.getLogger("cbir").addHandler(log)
    return log


def about_index(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Callback of `--index`: the index is what the run is about."""
    if value is not None:
        describe_run(subject=value)
    return value


def about_indexes(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Callback of an `--index` that may be several: these are what the run is about."""
    if value:
        describe_run(subject=", ".join(value))
    return value


def current_log() -> LogFile | None:
    """Return the log of the run, if it has one."""
    ctx = click.get_current_context(silent=True)
    return None if ctx is None else ctx.meta.get(_LOG)


def write_log(text: str) -> None:
    """Add a line to the log of the run, if it has one."""
    if (log := current_log()) is not None:
        log.write(text)


def describe_run(*, subject: str | None = None, outcome: str | None = None) -> None:
    """Tell the log what the run is about and what it brought, for its last line."""
    if (log := current_log()) is not None:
        log.subject = log.subject if subject is None else subject
        log.outcome = log.outcome if outcome is None else outcome


def keep_arguments(ctx: click.Context, arguments: Sequence[str]) -> None:
    """Remember the command line, without passwords in addresses, for the run's first line."""
    ctx.meta[_ARGUMENTS] = tuple(map(without_password, arguments))


@contextmanager
def logged_end(ctx: click.Context) -> Iterator[None]:
    """Log the end of the run within, whatever ends it: its error and its exit code."""
    code = 0

    def end_by_force() -> None:
        if (log := ctx.meta.pop(_LOG, None)) is not None:
            log.end(ctx.invoked_subcommand, stopping.INTERRUPTED)

    try:
        with stopping.at_forced_end(end_by_force):
            yield
    except click.exceptions.Exit as error:
        code = error.exit_code
        raise
    except click.ClickException as error:
        code = error.exit_code
        if isinstance(error, click.UsageError) and _LOG not in ctx.meta:
            _begin_in_spite(ctx)
        write_log(f"Error: {error.format_message()}")
        raise
    except BaseException as error:
        code = 1
        write_log(f"Error: {type(error).__name__}: {error}")
        raise
    finally:
        log = ctx.meta.pop(_LOG, None)
        if log is not None:
            # an interruption may have come through a library as an error of another kind
            log.end(ctx.invoked_subcommand, stopping.INTERRUPTED if stopping.was_asked() else code)
            logging.getLogger("cbir").removeHandler(log)


def _begin_in_spite(ctx: click.Context) -> None:
    """Begin the log that a command line asks for which Click could not read, such as one with an unknown option."""
    arguments = ctx.meta.get(_ARGUMENTS, ())
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if argument == "--":
            return
        if name == _OPTION and (value := value if equals else following):
            try:
                _begin(ctx, Path(value))
            except CbirError as error:
                _tell(f"Error: {error}")
            return


def _check_kind(status: os.stat_result, path: Path) -> None:
    """OddFileError where what is at a path is no regular file of that one name."""
    if stat.S_ISLNK(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink > 1):
        raise OddFileError("it is a link, and so another file as well", path)
    if stat.S_ISDIR(status.st_mode):
        raise OddFileError("it is a folder", path)
    if not stat.S_ISREG(status.st_mode):
        raise OddFileError("it is not a regular file", path)


def _tell(text: str) -> None:
    """Say on stderr what cannot be in the log: `output.tell` would write it there."""
    click.echo(printable(text), err=True)
