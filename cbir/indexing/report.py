"""The report of a run of `cbir index`: its counts, in words and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cbir.images.left_out import LeftOut
from cbir.index.columns.classes import CLASSES
from cbir.index.columns.registry import named_columns
from cbir.utils.printable import printable

#: What of a run is counted, one picture once.
COUNTS = ("total", "added", "changed", "changed_unseen", "touched", "moved", "copied", "removed", "unchanged", "kept")


@dataclass(frozen=True)
class ByAnother:
    """The outcome of a run for the rows by another network than the index's own, which has its own `report`.

    Of a move from the `previous` one, which it may keep, `not_seen` are pictures that are in the index and were not
    seen by the new one, with the reasons. `has_taken_over` tells whether it is the index's own now.
    """

    network: str
    report: Report
    is_move: bool = False
    previous: str = ""
    keeps_previous: bool = False
    not_seen: list[tuple[str, str]] = field(default_factory=list)
    has_taken_over: bool = False

    def summary(self, name: str) -> str | None:
        """Say in a line for people what became of it; None where nothing has changed."""
        if not self.is_move:
            return self.report.summary(f"{name} by {self.network}") if self.report.has_changes else None
        seen, time = self.report.total - self.report.unchanged, duration(self.report.seconds)
        by = f"{_pictures(self.report.total)} seen by it, {seen:,} of them in this run, in {time}"
        forgotten = f"; {_pictures(len(self.not_seen))} that it could not see forgotten" if self.not_seen else ""
        if self.has_taken_over:
            old = f"{self.previous} is kept beside it" if self.keeps_previous else f"not by {self.previous} any more"
            return f"{name}: searched by {self.network} from now on, {old}: {by}{forgotten}."
        path, reason = self.not_seen[0]
        return (
            f"{name}: still searched by {self.previous}: {self.network} could not see {_pictures(len(self.not_seen))} "
            f"({printable(path)}: {printable(reason)}). It takes over when it has; --prune forgets them instead ({by})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as a JSON record."""
        return {
            "network": self.network,
            "is_move": self.is_move,
            "has_taken_over": self.has_taken_over,
            "previous": self.previous or None,
            "keeps_previous": self.keeps_previous,
            "not_seen": [{"path": path, "reason": reason} for path, reason in self.not_seen],
            **{name: getattr(self.report, name) for name in COUNTS},
            "seconds": round(self.report.seconds, 3),
        }


@dataclass
class Report:
    """The outcome of a run; every file that was found is counted once, under what became of it.

    `changed` files have another content, `touched` ones other times only. Of the former, `changed_unseen` have all
    their times as they were, so that only reading them told.

    `backfilled[column]` counts pictures that were in the index without the column and have it now; `not_backfilled`
    lists those that could not be given it, with the reasons. So many files are `unsettled`: they are still being
    written, and left for the next run. `by_others` is what became of the rows by other networks.
    """

    unchanged: int = 0
    added: int = 0
    changed: int = 0
    touched: int = 0
    changed_unseen: int = 0
    moved: int = 0
    copied: int = 0
    removed: int = 0
    kept: int = 0
    unsettled: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    backfilled: Counter[str] = field(default_factory=Counter)
    not_backfilled: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    as_before: set[str] = field(default_factory=set)
    unreadable_folders: list[str] = field(default_factory=list)
    unmounted_folders: list[str] = field(default_factory=list)
    idle_patterns: list[str] = field(default_factory=list)
    total: int = 0
    seconds: float = 0.0
    by_others: list[ByAnother] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """True if every picture that was found is in the index, and no move waits for pictures."""
        waits = any(one.not_seen and not one.has_taken_over for one in self.by_others)
        return not (self.skipped or self.unreadable_folders or self.unmounted_folders or waits)

    @property
    def has_changes(self) -> bool:
        """True if the index is another than before, or a file was skipped that was not before."""
        counts = self.added, self.changed, self.touched, self.moved, self.copied, self.removed, self.backfilled.total()
        by_others = (one.has_taken_over or one.report.has_changes for one in self.by_others)
        return any(counts) or len(self.skipped) > len(self.as_before) or any(by_others)

    @property
    def excluded(self) -> int:
        """Names that a pattern matched."""
        return self.left_out["excluded"]

    @property
    def classified(self) -> int:
        """Pictures whose classes were filled in."""
        return self.backfilled[CLASSES.name]

    @property
    def without_classes(self) -> list[tuple[str, str]]:
        """Pictures whose classes could not be filled in, and why."""
        return self.not_backfilled.get(CLASSES.name, [])

    def summary(self, name: str) -> str:
        """One line for people."""
        before = _share(len(self.as_before), len(self.skipped), "as before")
        unseen = _share(self.changed_unseen, self.changed, "with the times of before")
        counts = [
            (self.added, "added"),
            (self.changed, f"changed{unseen}"),
            (self.touched, "touched"),
            (self.moved, "moved"),
            (self.copied, "copied"),
            (self.removed, "removed"),
            (self.unchanged, "unchanged"),
            (self.kept, "kept unseen"),
            (self.unsettled, "still being written"),
            (len(self.skipped), f"skipped{before}"),
        ]
        parts = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "no change"
        for what, count in self.backfilled.items():
            if count:
                parts += f"; {what} of {_pictures(count)} filled in"
        return f"{name}: {_pictures(self.total)} ({parts}) in {duration(self.seconds)}."

    def summaries(self, name: str) -> list[str]:
        """Return the `summary`, and one of each other network for which there was something to do."""
        others = (one.summary(name) for one in self.by_others)
        return [self.summary(name), *(line for line in others if line is not None)]

    def counts(self) -> str:
        """All counts on one line, in the same order every time: for logs."""
        new = (self.added, self.changed, self.touched, self.moved, self.copied)
        found = sum(new) + self.unchanged + len(self.skipped)
        text = (
            f"found {found}, added {self.added}, changed {self.changed}, touched {self.touched}, moved {self.moved}, "
            f"copied {self.copied}, removed {self.removed}, unchanged {self.unchanged}, skipped {len(self.skipped)}"
        )
        if self.unreadable_folders:
            text += f", folders that cannot be read {len(self.unreadable_folders)}"
        if self.unmounted_folders:
            text += f", folders that are not mounted {len(self.unmounted_folders)}"
        if self.kept:
            text += f", kept unseen {self.kept}"
        if self.left_out:
            text += f", left out {self.left_out.total()}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the report as one JSON record."""
        not_backfilled = {
            f"without_{column.name}": self.not_backfilled.get(column.name, []) for column in named_columns()
        }
        return {
            **{name: getattr(self, name) for name in (*COUNTS, "excluded", "classified")},
            "filled_in": {column.name: self.backfilled[column.name] for column in named_columns()},
            **{name: [{"path": path, "reason": why} for path, why in files] for name, files in not_backfilled.items()},
            "skipped": [
                {"path": path, "reason": reason, "as_before": path in self.as_before} for path, reason in self.skipped
            ],
            "unreadable_folders": self.unreadable_folders,
            "unmounted_folders": self.unmounted_folders,
            "left_out": self.left_out.to_json(),
            "patterns_without_matches": self.idle_patterns,
            "networks": [one.to_dict() for one in self.by_others],
            "seconds": round(self.seconds, 3),
        }


def _share(count: int, total: int, what: str) -> str:
    """Say how many of those that were just counted are so."""
    if not count:
        return ""
    return f" {what}" if count == total else f" ({count:,} {what})"


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def duration(seconds: float, digits: int = 1) -> str:
    """Say how long so many seconds are, those of less than a minute with so many digits."""
    if seconds < 60:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
