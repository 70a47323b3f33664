"""The command line. One file a command; this one is about what they share: errors, exit codes, messages.

Command modules import what they need inside their functions, so that `cbir --help` loads neither NumPy nor torch.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import keyword
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import click

from cbir._version import __version__
from cbir.cli.options.common import STDERR
from cbir.cli.terminal import failures, logfile, output, streams
from cbir.errors import CbirError
from cbir.utils import stopping
from cbir.utils.room import check_room
from cbir.utils.stopping import INTERRUPTED

COMMANDS = (
    *("index", "search", "serve", "locate", "detect", "faces", "verify", "people", "duplicates", "learn", "tags"),
    *("words", "classify", "map", "segment", "explain", "units", "imagine", "stylise", "evaluate", "export"),
    *("import", "merge", "info", "models"),
)


# Address space that a command takes, with the libraries that it loads; they fault or wait for good where there is none.
_ROOM = 600 << 20


class _Failure(click.ClickException):
    """An error as Click shows it: `Error: …` on stderr, and its exit code."""

    def __init__(self, sentence: str, exit_code: int = CbirError.exit_code) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code  # type: ignore[misc]  # Click's own code sets it on instances too


class Commands(click.Group):
    """Loads a command when it is asked for, and turns a CbirError into its sentence and exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of that name."""
        if name not in COMMANDS:
            return None
        module = f"{name}_" if keyword.iskeyword(name) else name
        command: click.Command = importlib.import_module(f"cbir.cli.commands.{module}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; `--help` and `--version` write here."""
        logfile.keep_arguments(ctx, args)
        with _in_sentences(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; how it ends is the last line of its log, if it has one."""
        with logfile.logged_end(ctx), _in_sentences(ctx):
            return super().invoke(ctx)


@contextlib.contextmanager
def _in_sentences(ctx: click.Context) -> Iterator[None]:
    """Turn whatever goes wrong within into one or two lines, unless `--debug` wants the traceback."""
    try:
        yield
    except click.ClickException as error:
        # what was typed is in it, and no name may look like a line of ours
        error.message = output.as_line(error.message)  # type: ignore[misc]
        raise
    except click.exceptions.Exit:
        raise
    except CbirError as error:
        if ctx.params.get("debug"):
            raise
        raise _Failure(output.as_line(str(error)), error.exit_code) from error
    except KeyboardInterrupt:
        output.tell_end("Interrupted. What was committed is kept.")
        ctx.exit(INTERRUPTED)
    except BrokenPipeError:
        # `cbir search … | head` is no failure
        streams.discard_stdout()
        ctx.exit(0)
    except Exception as error:
        sentence = failures.sentence_of(error)
        if sentence is None or ctx.params.get("debug"):
            raise
        raise _Failure(output.as_line(sentence)) from error


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
    if debug:
        failures.show_tracebacks()
    _log_to_stderr()
    check_room(_ROOM, on_all_cores=True)


def main() -> None:
    """The `cbir` command."""
    # a hundred thousand file names are as many objects, in none of which the collector ever finds a cycle
    gc.set_threshold(100_000)
    # tools that convert networks are half of what `import openvino` takes, and it does without them
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    streams.prepare()
    stopping.install()
    failures.tell_defects()
    # what libraries warn of is for who writes programs; as errors ($PYTHONWARNINGS) they would end the run
    warnings.simplefilter("ignore")
    try:
        cli(prog_name="cbir")
    except BrokenPipeError:  # what completion offers is written before any command begins
        streams.discard_stdout()
    finally:
        # whatever became of the interruption on its way, and though a thread may still wait for a disk
        if stopping.was_asked():
            stopping.end()


class _OneLine(logging.Formatter):
    """Writes each message on one line that is printable."""

    def format(self, record: logging.LogRecord) -> str:
        return output.as_line(super().format(record))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.set_name(STDERR)
    handler.setFormatter(_OneLine("%(message)s"))
    logger = logging.getLogger("cbir")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
