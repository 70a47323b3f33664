"""Rules about options: which combinations are refused, and with which sentence."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from cbir.cli import cli
from cbir.cli.commands import detect, evaluate, search, tags
from cbir.cli.options.regions import REGION_RULES
from cbir.cli.options.rules import Rule, check_rules

RULES = (
    Rule(("one", "other"), "{said} want more.", lacking=("more",)),
    Rule(("parts=True",), "Parts are alone.", beside=("one", "names")),
)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--one")
@click.option("--other", multiple=True)
@click.option("--more", is_flag=True)
@click.option("--parts/--no-parts", default=None)
@click.pass_context
def command(ctx: click.Context, /, **params: Any) -> None:
    check_rules(ctx, RULES)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], None),
        (["--one", "1", "--more"], None),
        (["--more"], None),
        (["--one", "1"], "--one want more."),
        (["--one", "", "--other", "2"], "--one and --other want more."),
        (["--parts"], None),
        (["--parts", "x"], "Parts are alone."),
        (["--no-parts", "x"], None),
        (["--parts", "--one", "1", "--more"], "Parts are alone."),
    ],
)
def test_a_rule_is_broken_by_what_was_said(arguments: list[str], sentence: str | None) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == (0 if sentence is None else 2)
    if sentence is not None:
        assert f"Error: {sentence}\n" in result.output


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("search", search.RULES),
        ("locate", REGION_RULES),
        ("detect", detect.RULES),
        ("tags", tags.RULES),
        ("evaluate", evaluate.RULES),
    ],
)
def test_rules_name_parameters_that_there_are(name: str, rules: tuple[Rule, ...]) -> None:
    parameters = {parameter.name for parameter in cli.get_command(click.Context(cli), name).params}  # type: ignore[union-attr]
    for rule in rules:
        named = {one.partition("=")[0] for one in (*rule.options, *rule.beside, *rule.lacking)}
        assert named <= parameters
