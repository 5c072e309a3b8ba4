"""Data: check a download, score label maps."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parallax.errors import ConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parallax.data.inspect import Inspection


def check_data(
    name: Annotated[str, typer.Argument(help="a dataset, as `parallax list` names it")],
    path: Annotated[Path, typer.Argument(help="the folder that its download was unpacked into")],
    protocol: Annotated[
        str | None, typer.Option(help="which structures and modalities a run would use")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Read a whole download and say whether a run would work: exit status 0 only then."""
    from parallax.data.inspect import inspect_dataset
    from parallax.data.scans import ScanDataset
    from parallax.plugin import load_dataset

    dataset = load_dataset(name, {"root": str(path)} | ({"protocol": protocol} if protocol else {}))
    if not isinstance(dataset, ScanDataset):
        raise ConfigError(
            f"Dataset {name!r} is no download",
            where="parallax check-data",
            expected="a dataset that is read as it unpacks",
            found=name,
            remedy="for your own scans write a configuration and run `parallax plan CONFIG`",
        )
    found = inspect_dataset(dataset)
    if as_json:
        sys.stdout.write(json.dumps(found.to_json(), indent=1) + "\n")
    else:
        _print_inspection(found, dataset.values.structures)
    sys.exit(0 if found.usable else 1)


def score(
    truth: Annotated[Path, typer.Argument(help="label map (NIfTI) that is right, or a folder of them")],
    prediction: Annotated[Path, typer.Argument(help="label map (NIfTI) to score, or a folder of them")],
    tolerance_mm: Annotated[
        float | None, typer.Option(help="distance in mm up to which two boundaries are one: adds the NSD")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="names of the labels to score: liver=1,spleen=2 or a dataset.json")
    ] = None,
    legacy: Annotated[bool, typer.Option("--legacy", help="add the pooled HD95 (hd95_pooled_mm)")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    csv: Annotated[Path | None, typer.Option(help="write a CSV file as well")] = None,
) -> None:
    """Score label maps against others: Dice, NSD, HD95, ASSD and volume difference by case and label.

    In folders, a prediction has the file name of its truth.
    """
    from parallax.score import compare
    from parallax.tables.render import print_tables
    from parallax.tables.scored_pair import comparison_table

    wanted = compare.Wanted(compare.read_names(labels) if labels else None, tolerance_mm, legacy)
    rows = compare.score_pair(truth, prediction, wanted)
    for line in compare.header_remarks(truth, prediction):
        sys.stderr.write(f"Header: {printable(line)}\n")
    if csv:
        compare.write_scored(rows, csv)
    if as_json:
        sys.stdout.write(json.dumps([_no_nan(row) for row in rows], indent=1) + "\n")
    else:
        print_tables([comparison_table(rows, wanted, compare.extra_predictions(truth, prediction))])


def _print_inspection(found: Inspection, structures: Iterable[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from parallax.data.inspect import modality_rows, remarks, structure_rows

    console = Console()
    scans = Table("modality", "scans", "labelled", "size", "spacing (mm)", title=f"{found.dataset}: scans")
    for row in modality_rows(found.scans):
        scans.add_row(*row)
    volumes = Table("structure", "modality", "shown in", "volume (mL), least / median / largest")
    for row in structure_rows(found.scans, structures):
        volumes.add_row(*row)
    console.print(scans, volumes)
    for line in remarks(found):
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _no_nan(row: dict[str, Any]) -> dict[str, Any]:
    # NaN is no JSON: a structure without a value is null
    return {key: None if value != value else value for key, value in row.items()}
