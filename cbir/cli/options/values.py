"""Options of `cbir search` whose values are more than a number."""

from __future__ import annotations

import math
from calendar import monthrange
from datetime import date
from typing import NamedTuple

import click

from cbir.utils.numbers import finite
from cbir.utils.printable import shortened

#: The largest weight: a larger one leaves the others no say, and what numbers of 32 bits can hold.
MOST = 1_000_000


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
    typed = shortened(value)
    if math.isnan(amount):
        raise click.BadParameter(f"{typed} is neither a cosine such as 0.8 nor a percentile such as 99.9%.")
    if percent:
        if not 0 <= amount <= 100:
            raise click.BadParameter(f"{typed} is no percentile: these go from 0% to 100%.")
        return LeastScore(percentile=amount)
    if not -1 <= amount <= 1:
        hint = f" Did you mean {number}%?" if 1 < amount <= 100 else ""
        raise click.BadParameter(f"{typed} is no cosine: these go from -1 to 1.{hint}")
    return LeastScore(cosine=amount)


def shares(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Positive numbers with commas between them; none where the option was not given."""
    if value is None:
        return ()
    found = tuple(_number(part) for part in value.split(","))
    if not all(share > 0 for share in found):
        raise click.BadParameter(f"{shortened(value)} is no list of positive numbers such as 2,1.")
    if not all(1 / MOST <= share <= MOST for share in found):
        raise click.BadParameter(f"{shortened(value)} has a number below {1 / MOST:f} or above {MOST:,}.")
    return found


def strength(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return a number from 0 to a million; None where the option was not given."""
    if value is None:
        return None
    amount = _number(value)
    if not 0 <= amount <= MOST:
        typed = shortened(value)
        raise click.BadParameter(f"{typed} is no strength: these are numbers from 0 to {MOST:,}, such as 0.5.")
    return amount


def day(ctx: click.Context, param: click.Parameter, value: str | None) -> date | None:
    """`2024-05-17`, or the first day of a month or year; None where the option was not given."""
    found = _days(value)
    return found and found[0]


def last_day(ctx: click.Context, param: click.Parameter, value: str | None) -> date | None:
    """`2024-05-17`, or the last day of a month or year; None where the option was not given."""
    found = _days(value)
    return found and found[1]


def _days(value: str | None) -> tuple[date, date] | None:
    """Return the first and the last day of what was typed."""
    if value is None:
        return None
    typed = value.strip()
    parts = typed.split("-")
    try:
        if [len(part) for part in parts] not in ([4], [4, 2], [4, 2, 2]) or not typed.replace("-", "").isdecimal():
            raise ValueError(typed)
        first = date(*(int(part) for part in (*parts, "1", "1")[:3]))
        month = first.month if len(parts) > 1 else 12
        return first, first if len(parts) == 3 else date(first.year, month, monthrange(first.year, month)[1])
    except ValueError:  # also of a month 13
        raise click.BadParameter(f"{shortened(value)} is no date such as 2024-05-17, 2024-05 or 2024.") from None


def _number(text: str) -> float:
    """Return a finite number; not a number where it is none."""
    try:
        return finite(text)
    except ValueError:
        return math.nan
