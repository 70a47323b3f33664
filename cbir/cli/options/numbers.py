"""Numbers as options take them: finite, and in digits. Every option with a number in it is of one of these types."""

from __future__ import annotations

from typing import Any

import click

from cbir.utils.numbers import finite, whole
from cbir.utils.printable import shortened

# Squares of larger ones leave what numbers of 32 bits can hold.
_MOST = 1_000_000


class Number(click.FloatRange):
    """A finite number within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str):
            try:
                value = finite(value)
            except ValueError:
                self.fail(f"{shortened(value)} is not a number such as 0.5.", param, ctx)
        return super().convert(value, param, ctx)


class WholeNumber(click.IntRange):
    """A whole number within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str):
            try:
                value = whole(value)
            except ValueError:
                self.fail(f"{shortened(value)} is not a whole number such as 10.", param, ctx)
        return super().convert(value, param, ctx)


class NumberList(click.ParamType):  # type: ignore[type-arg]  # which it takes from Click 8.4 on only
    """Numbers with commas between them, from 0 to a million and not all zero."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(map(finite, str(value).split(",")))
        except ValueError:
            self.fail(f"{shortened(str(value))} is not a list of numbers such as 1,0.5,2.", param, ctx)
        if min(numbers) < 0 or max(numbers) > _MOST or not any(numbers):
            typed = shortened(str(value))
            self.fail(f"{typed} has a number below 0 or above {_MOST:,}, or nothing above 0.", param, ctx)
        return numbers
