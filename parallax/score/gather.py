"""Join the tables and costs of all runs and the runs that were skipped into one table each."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from parallax.data.files import replacing
from parallax.score.table import RUN_KEYS, Row, read_rows, refuse_duplicates

#: Columns of `cost.json` that `costs.csv` carries beside the columns that name the run.
COST_COLUMNS = (
    "parameters",
    "steps",
    "samples_seen",
    "forward_passes_per_step",
    "train_s",
    "peak_memory_mib",
    "device",
)


def gather(inputs: Sequence[Path], skipped: Sequence[Mapping[str, Any]]) -> list[Row]:
    """All rows in an order that does not depend on the order of the inputs. Refuses duplicates."""
    rows = [row for path in inputs for row in read_rows(path)]
    rows += {skipped_row(values): None for values in skipped}
    rows = in_table_order(rows)
    refuse_duplicates(rows)
    return rows


def in_table_order(rows: Iterable[Row]) -> list[Row]:
    """Rows as they stand in the tables of a run."""
    return sorted(rows, key=_order)


def skipped_row(values: Mapping[str, Any]) -> Row:
    """The row of a run that was not started; a key left out stands for all of its values.

    A misalignment or a label fraction left out means that the method was skipped at all of them.
    """
    return Row(
        dataset=str(values["dataset"]),
        case="",
        modality="",
        structure="",
        pairing=str(values.get("pairing", "")),
        misalignment=str(values.get("misalignment") or ""),
        shift_mm=math.nan,
        rotation_deg=math.nan,
        label_fraction=float(values.get("label_fraction") or math.nan),
        label_draw=int(values.get("label_draw") or 0),
        annotation=str(values.get("annotation") or ""),
        available="",
        pretraining=str(values.get("pretraining", "none")),
        method=str(values["method"]),
        preset=str(values.get("preset", "paper")),
        adapter=str(values.get("adapter", "")),
        seed=int(values.get("seed") or 0),
        checkpoint_rule=str(values.get("checkpoint_rule", "last")),
        metric="",
        value=math.nan,
        status="skipped",
        reason=str(values.get("reason") or "no reason was given"),
    )


def gather_costs(inputs: Sequence[Path]) -> list[dict[str, Any]]:
    """One row per run that has a `cost.json` beside its table; a run without rows or cost has none."""
    costs = []
    for path in sorted(inputs):
        sibling = path.with_name("cost.json")
        rows = read_rows(path)
        if rows and sibling.exists():
            cost = json.loads(sibling.read_text(encoding="utf-8"))
            run = {name: getattr(rows[0], name) for name in RUN_KEYS}
            costs.append(run | {name: cost.get(name, "") for name in COST_COLUMNS})
    return sorted(costs, key=lambda cost: [str(cost[name]) for name in RUN_KEYS])


def write_costs(costs: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write `costs.csv`: the columns that name a run, then what it cost."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*RUN_KEYS, *COST_COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(costs)


def _order(row: Row) -> tuple[Any, ...]:
    fraction = 2.0 if math.isnan(row.label_fraction) else row.label_fraction
    names = (
        row.dataset,
        row.annotation != "full",
        row.annotation,
        row.misalignment,
        -fraction,
        row.label_draw,
    )
    run = (row.method, row.preset, row.adapter, row.pretraining, row.checkpoint_rule, row.seed)
    given = (-row.available.count("+"), row.available)
    return (*names, *run, row.case, row.modality, row.structure, row.metric, given, row.reason)
