"""Options that are numbers take finite ones in digits, whichever command they belong to."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cbir.cli import COMMANDS, cli
from cbir.cli.options.numbers import Number, NumberList, WholeNumber
from cbir.utils.numbers import finite, whole

NO_NUMBERS = ("nan", "-nan", "inf", "-inf", "infinity", "1e400", "-1e400", "1_0", "١٢", "½", "0x1", "", "1" * 5000)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def numeric_options() -> list[tuple[str, click.Parameter]]:
    """All options of all commands whose values are numbers, or have numbers in them."""
    typed = {"min_score", "shares", "strength", "region", "senses"}
    found = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for parameter in command.params:
            is_number = isinstance(parameter.type, (click.types.IntParamType, click.types.FloatParamType, NumberList))
            if is_number or parameter.name in typed:
                found.append((name, parameter))
    return found


def test_every_number_is_of_one_of_our_types() -> None:
    for name, parameter in numeric_options():
        if isinstance(parameter.type, (click.types.IntParamType, click.types.FloatParamType)):
            assert isinstance(parameter.type, (Number, WholeNumber)), f"{name} {parameter.opts}"
    assert len(numeric_options()) > 20


@pytest.mark.parametrize(("command", "parameter"), numeric_options(), ids=lambda one: getattr(one, "name", one))
def test_what_is_no_finite_number_is_wrong_usage(command: str, parameter: click.Parameter, tmp_path: Path) -> None:
    needed = {"search": ("x.jpg",), "segment": ("x.jpg",), "tags": ("x.jpg",), "locate": ("x.jpg", "y.jpg")}
    beside = {"shares": ("--together", "y.jpg"), "strength": ("--unlike", "y.jpg"), "senses": ("--word", "dog")}
    beside |= {"min_probability": ("--word", "dog"), "layer_weights": ("--method", "kmeans")}
    beside |= {"seed": ("--method", "kmeans")} if command == "segment" else {}
    rest = (*needed.get(command, ()), *beside.get(str(parameter.name), ()))
    if command == "tags":
        rest = needed["tags"]
    option = max(parameter.opts, key=len)
    for value in NO_NUMBERS:
        values = [value]
        if parameter.name in ("shares", "layer_weights"):
            values = [f"1,{value}", f"{value},1"]
        elif parameter.name == "region":
            values = [f"{value},0,1,1", f"0%,0%,{value}%,1%"]
        elif parameter.name == "min_score" and command == "search":
            values = [value, f"{value}%"]
        for one in values:
            result = run(command, *rest, *([f"{option}={one}"] if option.startswith("--") else [option, one]))
            assert result.exit_code == 2, (option, one, result.output)
            assert len(result.stderr) < 600, "a number of thousands of digits is not told in full"


@given(st.text(st.sampled_from("0123456789.eE+-_ ١nafi"), max_size=12))
def test_a_number_is_what_python_reads_in_plain_digits(text: str) -> None:
    try:
        number = finite(text)
    except ValueError:
        number = None
    if number is not None:
        assert math.isfinite(number)
        assert number == float(text)
    elif re.fullmatch("[0-9.eE+-]*", text):
        with contextlib.suppress(ValueError):
            assert math.isinf(float(text))


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_are_read(number: int) -> None:
    assert whole(str(number)) == number
    assert whole(f"+{abs(number)}") == abs(number)


def test_numbers_that_are_large_or_small_are_no_harm(photo_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = photo_folder(3)
    first, second, third = sorted(root.iterdir())
    assert run("index", root, "--max-megapixels", "0.000001", "-n").exit_code == 0
    assert run("index", root, "--max-megapixels", "1e308", "-n").exit_code == 2
    assert run("index", root, "-q").exit_code == 0
    many = "9" * 60
    for arguments in (
        ("search", first, "-k", many),
        ("search", "--word", "dog", "--no-rerank", "-k", many),
        ("tags", "--index", "photos", "-k", many),
        ("search", first, second, "--together", "--shares", "1000000,0.000001"),
        ("search", first, "--unlike", second, "--strength", "1000000"),
        ("search", first, "--region", "0,0,1e-300,1e-300"),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.exception) == (0, None), result.stderr
        assert result.stdout or "--word" in arguments, arguments
    for arguments in (
        ("search", first, second, "--together", "--shares", "1e308,1"),
        ("search", first, second, "--together", "--shares", "1e-320,1"),
        ("search", first, "--unlike", second, "--strength", "1e308"),
        ("segment", third, "--method", "kmeans", "--layer-weights", "1e308,1,1,1,1"),
    ):
        assert run(*arguments).exit_code == 2
    assert run("search", first, "--region", "1e308,1e308,1e308,1e308").exit_code == 1


@pytest.mark.parametrize(
    "word",
    ["dog " * 30_000, "d" * 120_000, "e" + "\u0301" * 50_000, "-" * 99_999],
    ids=["words", "letters", "accents", "hyphens"],
)
def test_words_of_any_length_are_answered_at_once(photo_folder: Callable[..., Path], word: str) -> None:
    root = photo_folder(1)
    assert run("index", root, "-q").exit_code == 0
    start = time.process_time()
    for arguments in (("--word", word), (root / "img_000.jpg", "--class-weights", word)):
        result = run("search", *arguments)
        assert result.exit_code == 1
        assert len(result.stderr) < 300
    assert time.process_time() - start < 5
