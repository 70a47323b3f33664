"""Times as text."""

from __future__ import annotations

import datetime

_DAYS_OF_400_YEARS = 146_097
_FIRST_DAY = datetime.date(1970, 1, 1).toordinal()


def moment(seconds: int) -> str:
    """Return a time since 1970 as ISO 8601 has it, in UTC, for files of any year; those beyond 9999 get a plus sign."""
    days, rest = divmod(seconds, 86400)
    # the calendar repeats itself after 400 years
    eras, day = divmod(days, _DAYS_OF_400_YEARS)
    date = datetime.date.fromordinal(_FIRST_DAY + day)
    year = date.year + 400 * eras
    sign = "-" if year < 0 else "+" if year > 9999 else ""
    hours, minutes = divmod(rest // 60, 60)
    return f"{sign}{abs(year):04}-{date:%m-%d}T{hours:02}:{minutes:02}:{rest % 60:02}Z"
