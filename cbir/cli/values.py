"""Options of `cbir search` whose values are more than a number."""

from __future__ import annotations

import math
from typing import NamedTuple

import click


class LeastScore(NamedTuple):
    """The least score that counts: one of the two."""

    cosine: float | None = None
    percentile: float | None = None


def least_score(ctx: click.Context, param: click.Parameter, value: str | None) -> LeastScore:
    """`0.8`, a cosine from -1 to 1, or `99.9%`, from 0 to 100; a usage error where it is neither."""
    if value is None:
        return LeastScore()
    number, percent, rest = value.strip().partition("%")
    amount = math.nan if rest else _number(number)
    if math.isnan(amount):
        raise click.BadParameter(f"{value!r} is neither a cosine such as 0.8 nor a percentile such as 99.9%.")
    if percent:
        if not 0 <= amount <= 100:
            raise click.BadParameter(f"{value!r} is no percentile: these go from 0% to 100%.")
        return LeastScore(percentile=amount)
    if not -1 <= amount <= 1:
        hint = f" Did you mean {number}%?" if 1 < amount <= 100 else ""
        raise click.BadParameter(f"{value!r} is no cosine: these go from -1 to 1.{hint}")
    return LeastScore(cosine=amount)


def shares(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Positive numbers with commas between them; none where the option was not given."""
    if value is None:
        return ()
    found = tuple(_number(part) for part in value.split(","))
    if not all(0 < share < math.inf for share in found):
        raise click.BadParameter(f"{value!r} is no list of positive numbers such as 2,1.")
    return found


def strength(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A number from 0 on; None where the option was not given."""
    if value is None:
        return None
    if not 0 <= _number(value) < math.inf:
        raise click.BadParameter(f"{value!r} is no strength: these are numbers from 0 on, such as 0.5.")
    return float(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
