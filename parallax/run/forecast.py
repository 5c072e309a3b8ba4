"""What `parallax plan` prints: runs by method, what is skipped and why, and what all of it will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from parallax.data.reading import odd_headers
from parallax.errors import counted
from parallax.run.costs import Estimate, Estimator

if TYPE_CHECKING:
    from rich.table import Table

    from parallax.run.plan import Plan, Run


def plan_table(estimator: Estimator) -> Table:
    """One row per method and preset, then what belongs to no method, then everything."""
    from rich.table import Table

    plan = estimator.setup.plan
    table = Table(title=f"{estimator.setup.config.run}: {counted(len(plan.runs), 'run')}")
    table.add_column("method", no_wrap=True)
    for name in ("runs", "skipped", "core-hours", "memory (MiB)", "disk (GiB)"):
        table.add_column(name, justify="right")
    if plan.skipped:
        table.add_column("why skipped")
    found = estimator.methods()
    for (method, preset), runs, skipped, why in _counts(plan):
        cost = _cells(found.get((method, preset), Estimate()))
        row = [f"{method}:{preset}", str(runs), str(skipped), *cost, why]
        table.add_row(*row[: len(table.columns)])
    table.add_section()
    table.add_row("data, tables, report", "", "", *_cells(estimator.rest()))
    total = [str(len(plan.runs)), str(len(plan.skipped)), *_cells(estimator.total())]
    table.add_row("in all", *total)
    return table


def ahead_line(estimator: Estimator, runs: Collection[Run]) -> str:
    """What is left to train, in one line for the start of a run."""
    cost = sum(estimator.methods(runs).values(), Estimate())
    hours, memory, _ = _cells(cost)
    count = counted(len(runs), "run")
    return f"to train: {count}, about {hours} core-hours, up to {memory} MiB each (parallax plan)"


def plan_notes(estimator: Estimator) -> list[str]:
    """What the numbers of the table mean, and how far they reach."""
    notes = [
        f"Estimated from runs measured on: {estimator.model.measured_on}. Core-hours are of one core of it; "
        "memory is the most of one job, of which each core runs one. Other processors differ, and no GPU "
        "was measured. docs/scale.md says how good the estimate is."
    ]
    rough = [f"{m}:{p}" for (m, p), cost in estimator.methods().items() if not cost.measured]
    if rough:
        notes.append(f"~ never measured, so the median of the methods that were: {', '.join(rough)}.")
    return [*notes, *_header_notes(estimator)]


def _header_notes(estimator: Estimator) -> list[str]:
    return [
        f"Header, {name}: {what}, in {n} of {len(dataset.inputs())} files, the first is {first}."
        for name, dataset in estimator.setup.datasets.items()
        for what, (n, first) in odd_headers(dataset.inputs()).items()
    ]


def _cells(cost: Estimate) -> tuple[str, str, str]:
    mark = "" if cost.measured else "~"
    memory = f"{mark}{cost.memory_mib:.0f}" if cost.memory_mib else ""
    return f"{mark}{_short(cost.core_s / 3600)}", memory, f"{mark}{_short(cost.disk_mib / 1024)}"


def _short(value: float) -> str:
    """Two digits behind the point, none where they would mean nothing and widen the table."""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _counts(plan: Plan) -> Iterator[tuple[tuple[str, str], int, int, str]]:
    runs = Counter((run.method, run.preset) for run in plan.runs)
    skipped = Counter((skip.run.method, skip.run.preset) for skip in plan.skipped)
    for key in dict.fromkeys([*runs, *skipped]):
        reasons = {skip.reason for skip in plan.skipped if (skip.run.method, skip.run.preset) == key}
        yield key, runs[key], skipped[key], "; ".join(sorted(reasons))
