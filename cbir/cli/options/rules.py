"""Rules of options that go together: tables that commands check before they begin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import click

from cbir.cli.options.common import given_options


class Rule(NamedTuple):
    """A combination of options that means nothing, and the sentence that says so.

    It is broken where at least one of `options` was said; one of `beside`, if it names any; and none of `lacking`.
    All are names of parameters. `{said}` in the sentence stands for those of `options` that were said.
    """

    options: tuple[str, ...]
    sentence: str
    beside: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


def said_options(ctx: click.Context) -> set[str]:
    """List the parameters given with a value; of pairs such as --parts/--no-parts, `parts=True` or `=False` as well."""
    said = {name for name in given_options(ctx) if ctx.params[name] not in (None, ())}
    return said | {f"{name}={ctx.params[name]}" for name in said if isinstance(ctx.params[name], bool)}


def check_rules(ctx: click.Context, rules: Iterable[Rule]) -> None:
    """Raise a usage error with the sentence of the first rule that is broken."""
    said = said_options(ctx)
    for rule in rules:
        own = [name for name in rule.options if name in said]
        if own and not said.intersection(rule.lacking) and (not rule.beside or said.intersection(rule.beside)):
            names = " and ".join(f"--{name.replace('_', '-')}" for name in own)
            raise click.UsageError(rule.sentence.format(said=names))
