"""Files that the options of a command line name to be written: no two may name one file."""

from __future__ import annotations

import os
from pathlib import Path

import click

_CLAIMED = "cbir.claimed"


def claim(ctx: click.Context, path: Path, option: str) -> None:
    """Note that `option` names `path` to be written; a usage error where another option names it too."""
    from cbir.utils.outputs import real_name

    its_own = claimed(ctx)
    for other, by in its_own.items():
        if by != option and (real_name(other) == real_name(path) or _are_same(other, path)):
            raise click.UsageError(f"{by} and {option} name one file, {path}: name two.")
    its_own[path] = option


def claimed(ctx: click.Context) -> dict[Path, str]:
    """Return the files that options name, and by which of them."""
    found: dict[Path, str] = ctx.meta.setdefault(_CLAIMED, {})
    return found


def _are_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return False
