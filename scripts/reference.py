"""Write what follows from the commands' own help: docs/commands.md, and the man pages in docs/man.

    python scripts/reference.py            # writes them; `make docs` is the same
    python scripts/reference.py --check    # exits with 1, and names what differs, unless they are up to date

The man pages are not made by the click-man package: it finds no commands in a group that loads them when they are asked
for, and does not run on all versions of Python that cbir runs on.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path

import click

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"

MADE_BY = "made by scripts/reference.py from the help of the commands: `make docs` makes it again"

#: What man pages have at their foot; to be changed with the version.
DATE = "2026-11-26"

EXIT_CODES = (
    (0, "Done."),
    (1, "Failed; one or two lines on stderr say what and what to do (`--debug` shows a traceback)."),
    (2, "Wrong usage."),
    (3, "Refused to forget: the folder is missing, empty, or has lost most of its pictures."),
    (4, "Done, but pictures were skipped and `--strict` was given."),
    (5, "`cbir verify`: different people. The same person is 0."),
    (6, "`cbir verify`: it cannot be said."),
    (130, "Interrupted, by Ctrl-C, SIGTERM or SIGHUP; what was done is kept."),
)

ENVIRONMENT = (
    ("CBIR_HOME", "The folder of named indexes. Default: `./indexes` where that exists, else `cbir/indexes` in the "
     "user's data folder (`$XDG_DATA_HOME`, else `~/.local/share` on Linux)."),
    ("CBIR_MODEL", "The backbone of new indexes, and of what needs no index, unless `--model` names one."),
    ("CBIR_ENGINE", "What runs networks, unless `--engine` says it: `auto`, `openvino` or `torch`."),
    ("CBIR_PRECISION", "The numbers that networks are computed in, unless `--precision` says it: `auto`, `f32`, "
     "`bf16` or `f16`."),
    ("CBIR_DETECTOR", "The detector of `cbir detect`, a name or a file, unless `--model` or `--weights` names one."),
    ("CBIR_WEIGHTS_MIRROR", "The address of a folder that weights are downloaded from, in place of torchvision's own."),
    ("CBIR_SOURCES", "Addresses, with spaces between, that an index may name as the source of its pictures, though "
     "nobody here has named them yet."),
    ("XDG_CACHE_HOME", "Where `cbir/`, the folder of compiled networks and what else can be made again, is kept. "
     "Default: `~/.cache` on Linux."),
    ("TORCH_HOME", "Where torch keeps downloaded weights. Default: `torch` in the cache folder."),
)  # fmt: skip


@dataclass(frozen=True)
class Help:
    """A command's help, in its parts. `options` and `arguments` are names and what is said of them."""

    name: str
    command: click.Command
    usage: str
    paragraphs: list[str]
    examples: list[str]
    arguments: list[tuple[str, str]]
    options: list[tuple[str, str]]

    @property
    def summary(self) -> str:
        """What lists of commands say."""
        return self.command.get_short_help_str(limit=200).rstrip(".")


def commands() -> Iterator[Help]:
    """The help of `cbir` itself and of each command, by names such as "cbir index"."""
    sys.path.insert(0, str(CHECKOUT))
    from cbir.cli import cli

    ctx = click.Context(cli, info_name="cbir", **cli.context_settings)
    yield _help(cli, ctx)
    for name in cli.list_commands(ctx):
        command = cli.get_command(ctx, name)
        assert command is not None
        yield _help(command, click.Context(command, info_name=name, parent=ctx))


def _help(command: click.Command, ctx: click.Context) -> Help:
    paragraphs, examples = _parts(command.help or "")
    arguments, options = [], []
    for param in command.get_params(ctx):
        if isinstance(param, click.Argument):
            arguments.append((param.make_metavar(ctx), ""))
        elif (record := param.get_help_record(ctx)) is not None:
            options.append(record)
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    return Help(ctx.command_path, command, usage, paragraphs, examples, arguments, options)


def _parts(text: str) -> tuple[list[str], list[str]]:
    """The paragraphs of a help text, each on one line, and the command lines of its `\\b` paragraphs."""
    paragraphs, examples = [], []
    for paragraph in re.split(r"\n\s*\n", cleandoc(text)):
        if paragraph.startswith("\b"):
            examples += [line.strip() for line in paragraph.splitlines()[1:] if line.strip()]
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return paragraphs, examples


# Markdown


def commands_page() -> str:
    """docs/commands.md."""
    first, *others = commands()
    lines = [
        "# Commands",
        "",
        f"<!-- {MADE_BY} -->",
        "",
        *_wrapped(
            "Every command and option, as `cbir COMMAND --help` tells them. Man pages have the same ([completion.md]"
            "(completion.md#man-pages)): `man cbir`, `man cbir-index` and so on."
        ),
        "",
        "| command | |",
        "|---|---|",
        *(f"| [`{one.name}`](#{one.name.replace(' ', '-')}) | {_cell(one.summary)} |" for one in others),
        "",
        *_options_table(first),
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {code} | {_cell(meaning)} |" for code, meaning in EXIT_CODES),
        "",
        *_wrapped(
            "Data goes to stdout, all else to stderr; `-q` silences what is no error. [exit-codes.md](exit-codes.md) "
            "explains both for jobs."
        ),
        "",
        "## Environment",
        "",
        "| variable | |",
        "|---|---|",
        *(f"| `{name}` | {_cell(meaning)} |" for name, meaning in ENVIRONMENT),
        "",
    ]
    for one in others:
        lines += [f"## {one.name}", "", "```text", one.usage, "```", ""]
        for paragraph in one.paragraphs:
            lines += [*_wrapped(_prose(paragraph)), ""]
        page = DOCS / f"{one.name.split()[-1]}.md"
        if page.exists():
            lines += [f"More: [{page.name}]({page.name}).", ""]
        lines += [*_options_table(one), "```sh", *one.examples, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _options_table(one: Help) -> list[str]:
    return ["| option | |", "|---|---|", *(f"| `{_cell(name)}` | {_cell(text)} |" for name, text in one.options), ""]


def _wrapped(text: str, width: int = 120) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    """A paragraph of help in Markdown, in which names of arguments and options are code."""
    return re.sub(r"(?<![\w`-])(--?[a-z][\w-]*|\$[A-Z_]+|[A-Z]+\.[a-z.]+)(?![\w`])", r"`\1`", text)


# Man pages: man(7), whose requests are explained in groff_man(7)


def man_pages() -> dict[str, str]:
    """The text of each man page by the name of its file."""
    every = list(commands())
    return {f"{one.name.replace(' ', '-')}.1": _man_page(one, every) for one in every}


def _man_page(one: Help, every: list[Help]) -> str:
    from cbir import __version__

    name = one.name.replace(" ", "-")
    is_group = one is every[0]
    lines = [
        f'.\\" {MADE_BY}'.replace("`", ""),
        f'.TH {_roff(name.upper())} 1 "{DATE}" "cbir {__version__}" "cbir"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(_lower(one.summary))}",
        ".SH SYNOPSIS",
        f".B {_roff(one.name)}",
        _roff(one.usage.removeprefix(one.name).strip()),
        ".SH DESCRIPTION",
    ]
    for number, paragraph in enumerate(one.paragraphs):
        lines += [*([".PP"] if number else []), *_text(re.sub(":$", ".", paragraph))]
    if is_group:
        lines.append(".SH COMMANDS")
        for other in every[1:]:
            lines += [".TP", f".BR {_roff(other.name.replace(' ', '-'))} (1)", *_text(f"{other.summary}.")]
    lines.append(".SH OPTIONS")
    for option, text in one.options:
        lines += [".TP", f".B {_roff(option)}", *_text(text)]
    lines += [".SH EXAMPLES", ".nf", *map(_roff, one.examples), ".fi", ".SH EXIT STATUS"]
    for code, meaning in EXIT_CODES:
        lines += [".TP", f".B {code}", *_text(meaning)]
    lines.append(".SH ENVIRONMENT")
    for variable, meaning in ENVIRONMENT:
        lines += [".TP", f".B {variable}", *_text(meaning)]
    references = [other.name.replace(" ", "-") for other in every if other is not one]
    ends = [","] * (len(references) - 1) + [""]
    lines.append(".SH SEE ALSO")
    lines += [f".BR {_roff(other)} (1){end}" for other, end in zip(references, ends, strict=True)]
    return "\n".join(lines) + "\n"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _text(text: str) -> list[str]:
    """Running text in lines as short as roff's readers want them; none of them is a request."""
    lines = _wrapped(_roff(" ".join(text.split())), 78)
    return [f"\\&{line}" if line.startswith((".", "'")) else line for line in lines]


def _roff(text: str) -> str:
    """`text` for roff: nothing in it is a request, hyphens are those of options, `code` is bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`(.+?)`", r"\\fB\1\\fR", text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def files() -> dict[Path, str]:
    """All files that this script writes, and what belongs in them."""
    pages = {DOCS / "man" / name: text for name, text in man_pages().items()}
    return {DOCS / "commands.md": commands_page(), **pages}


def outdated() -> list[Path]:
    """Files that are not what they ought to be, or ought not to be there."""
    wanted = files()
    differ = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    return differ + [path for path in sorted((DOCS / "man").glob("*")) if path not in wanted]


def main() -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description="Write docs/commands.md and the man pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 unless all are up to date")
    arguments = parser.parse_args()
    if arguments.check:
        differ = outdated()
        sys.exit("\n".join(f"{path.relative_to(CHECKOUT)} is not up to date: make docs" for path in differ) or 0)
    (DOCS / "man").mkdir(exist_ok=True)
    for path in outdated():
        path.unlink(missing_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
