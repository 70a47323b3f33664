"""What a benchmark found: figures, the bounds they are held against, and the raw measurements."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.targets import TARGETS, format_value


@dataclass(frozen=True)
class Result:
    """One figure. `key` names its bound in `TARGETS`, where it has one; `raw` holds all that was measured for it."""

    point: int
    what: str
    value: float
    unit: str
    key: str | None = None
    details: str = ""
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the figure keeps its bound, for people."""
        if self.key is None:
            return ""
        return "reached" if TARGETS[self.key].is_reached(self.value) else "NOT REACHED"

    def lines(self) -> list[str]:
        """The figure for people: one line, and one with details if there are any."""
        bound = TARGETS[self.key].describe() if self.key else ""
        value = format_value(self.value, self.unit)
        lines = [f"{self.point}  {self.what:<68} {value:>14}  {bound:<20} {self.verdict}".rstrip()]
        return [*lines, f"     {self.details}"] if self.details else lines

    def to_json(self) -> dict[str, Any]:
        """For the results' file."""
        record = asdict(self)
        if self.key is not None:
            target = TARGETS[self.key]
            record |= {"bound": target.bound, "at_least": target.at_least, "reached": target.is_reached(self.value)}
        return record


def measured(key: str, value: float, details: str = "", **raw: Any) -> Result:
    """A figure that has a bound."""
    target = TARGETS[key]
    return Result(target.point, target.what, float(value), target.unit, key, details, raw)


def noted(point: int, what: str, value: float, unit: str, details: str = "", **raw: Any) -> Result:
    """A figure without a bound."""
    return Result(point, what, float(value), unit, None, details, raw)
