"""The command line. One file a command; this one is about what they share: errors, exit codes, messages.

Command modules import what they need inside their functions, so that `cbir --help` loads neither NumPy nor torch.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import sys
from typing import Any

import click

from cbir import __version__
from cbir.cli import logfile, output
from cbir.cli.options import STDERR
from cbir.errors import CbirError

COMMANDS = ("index", "search", "locate", "duplicates", "tags", "map", "segment", "evaluate", "info", "models")

INTERRUPTED = 130


class _Failure(click.ClickException):
    """A CbirError as Click shows it: `Error: …` on stderr, and the error's exit code."""

    def __init__(self, error: CbirError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # Click's own code sets it on instances too


class Commands(click.Group):
    """Loads a command when it is asked for, and turns a CbirError into its sentence and exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"cbir.cli.{name}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`."""
        logfile.keep_arguments(ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; how it ends is the last line of its log, if it has one."""
        with logfile.logged_end(ctx):
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever goes wrong becomes one or two lines, unless `--debug` wants the traceback."""
        try:
            return super().invoke(ctx)
        except CbirError as error:
            if ctx.params.get("debug"):
                raise
            raise _Failure(error) from error
        except KeyboardInterrupt:
            output.tell("\nInterrupted. What was committed is kept.")
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # `cbir search … | head` is no failure; the interpreter's own last flush must not find the pipe either
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="cbir")
def cli(debug: bool) -> None:
    """Find pictures by picture.

    Make an index of a folder of photos, then search it by any picture:

    \b
      cbir index photos/
      cbir search some.jpg
    """
    _write_any_name()
    _log_to_stderr()


def main() -> None:
    """The `cbir` command."""
    # a hundred thousand file names are as many objects, in none of which the collector ever finds a cycle
    gc.set_threshold(100_000)
    _open_missing_streams()
    cli(prog_name="cbir")


def _open_missing_streams() -> None:
    """Give a process whose stdin, stdout or stderr was closed (`<&-`) an empty one.

    Otherwise the next file that is opened, one of an index say, would be what child processes take for theirs.
    """
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            # the lowest number that is free: those below are open by now
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == number:
                os.set_inheritable(opened, True)
            setattr(sys, name, open(opened, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def _write_any_name() -> None:
    """Let file names that are no UTF-8 pass to stdout as the bytes that they are."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.set_name(STDERR)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("cbir")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
