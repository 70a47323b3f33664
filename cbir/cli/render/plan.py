"""The plan of a run of `cbir index`, printed instead of carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbir.cli.terminal.logfile import describe_run
from cbir.cli.terminal.output import printable, say, tell, write_json

if TYPE_CHECKING:
    from cbir.indexing.plan import Plan
    from cbir.indexing.target import Target


def show_plan(target: Target, plan: Plan, *, as_json: bool) -> None:
    """Print what a run would do."""
    from cbir.index.columns.registry import named_columns

    new = len(plan.fresh) - len(plan.stale)
    compared = sorted(path for path, known in plan.stale.items() if known.stays)
    to_compare = f"{len(compared):,} to be compared with what they were, " if compared else ""
    counts = (
        f"{new:,} new or moved, {len(plan.stale) - len(compared):,} changed, {len(plan.gone):,} gone, {to_compare}"
        f"{plan.unchanged:,} unchanged{_to_read_again(plan)}{_by_others(plan)}{_unwanted(plan)}. Nothing was written."
    )
    describe_run(outcome=counts)
    if as_json:
        record = {
            "index": str(target.directory),
            "root": str(target.root),
            "dry_run": True,
            "new": [file.path for file in plan.fresh if file.path not in plan.stale],
            "changed": sorted(path for path, known in plan.stale.items() if not known.stays),
            "compared": compared,
            "gone": sorted(record.path for record in plan.gone.values()),
            "unchanged": plan.unchanged,
            **{f"without_{column.name}": sorted(plan.again_for(column)) for column in named_columns()},
            "by_networks": plan.by_others,
            "taken_away": plan.unwanted,
            "kept": plan.kept,
            "excluded": plan.scan.excluded,
            "left_out": plan.scan.left_out.to_json(),
            "skipped": [{"path": path, "reason": reason} for path, reason in (*plan.scan.problems, *plan.as_before)],
        }
        write_json(record)
        return
    say(f"{target.name}: {counts}")
    if plan.scan.left_out:
        tell(f"  left out: {plan.scan.left_out.describe(printable)}", logged=False)


def _by_others(plan: Plan) -> str:
    """Say how many pictures are still to be seen by which networks beside the index's own."""
    return "".join(f", {count:,} not seen by {network} yet" for network, count in plan.by_others.items() if count)


def _unwanted(plan: Plan) -> str:
    """Say what would be taken away from the index."""
    return f"; {', '.join(plan.unwanted)} to be taken away" if plan.unwanted else ""


def _to_read_again(plan: Plan) -> str:
    from cbir.index.columns.registry import named_columns

    what = " and ".join(column.name for column in named_columns() if plan.again_for(column))
    return f" ({len(plan.again):,} of them to be read again for their {what})" if what else ""
