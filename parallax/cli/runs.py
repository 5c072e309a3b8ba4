"""Runs: what one would take, and what to do with a finished one."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


def plan(
    config: Annotated[Path, typer.Argument(help="a file under config/")],
    given: Annotated[
        list[str] | None, typer.Option("--config", help="as Snakemake's: KEY=VALUE in place of the file's")
    ] = None,
) -> None:
    """Say what a run would do and take: runs, core-hours, memory and disk by method, and what is skipped."""
    from rich.console import Console

    from parallax.errors import printable
    from parallax.run.costs import Estimator, read_cost_model
    from parallax.run.forecast import plan_notes, plan_table
    from parallax.run.resolve import given_values
    from parallax.run.setup import read_setup

    estimator = Estimator(read_cost_model(), read_setup(config, given_values(given or [])))
    console = Console()
    console.print(plan_table(estimator))
    for note in plan_notes(estimator):
        console.print(printable(note), highlight=False, markup=False)


def diff(
    first: Annotated[Path, typer.Argument(help="folder of a run, such as results/quick")],
    second: Annotated[Path, typer.Argument(help="folder of another run of the same configuration")],
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="let Dice and NSD of a row differ by this much (another machine)")
    ] = 0.0,
) -> None:
    """Compare the scores of two runs row by row: exit status 0 if they are the same, 1 if not.

    Then by how much the Dice of each method changed, with its interval over cases, and what differs in their
    manifests: methods' code, configuration, data, versions, seeds, machine.
    """
    from parallax.run.difference import compare_runs, lines, print_changes

    found = compare_runs(first, second, tolerance)
    within = f" within {tolerance:g}" if tolerance else ""
    names = (first.as_posix(), second.as_posix())
    told = [*lines(found, names), f"The scores are {'the same' if found.same else 'not the same'}{within}."]
    sys.stdout.write("\n".join(told) + "\n")
    if found.differing:
        sys.stdout.write("\n")
        sys.stdout.flush()
        print_changes(first, second)
    sys.exit(0 if found.same else 1)


def merge(
    runs: Annotated[list[Path], typer.Argument(help="folders of finished runs of one configuration")],
    out: Annotated[Path, typer.Option(help="folder to write; it must not exist")],
) -> None:
    """Join runs that several machines shared, each with a part of the methods, conditions or seeds."""
    from parallax.errors import counted
    from parallax.run.merge import merge_runs

    told = [*merge_runs(runs, out), f"{out}: scores, tables and report of {counted(len(runs), 'run')}"]
    sys.stdout.write("\n".join(told) + "\n")


def figure(
    name: Annotated[
        str, typer.Argument(help="such as dice_by_shift; a wrong one lists those that there are")
    ],
    run: Annotated[Path, typer.Option(help="folder of a finished run")] = Path("results/quick"),
    given: Annotated[
        list[str] | None,
        typer.Option("--config", help="methods=cmc,supervised or datasets=phantom_heart: draw these alone"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="where it goes, without .pdf or .png; default: NAME")
    ] = None,
) -> None:
    """Draw one figure of a finished run again, as PDF and PNG, and print its caption."""
    from parallax.figures.curves import save_figure
    from parallax.run.figures import gallery_of

    drawn, caption = gallery_of(run, given or []).draw(name)
    stem = out or Path(name)
    save_figure(drawn, stem)
    sys.stdout.write(f"Wrote {stem}.pdf and {stem}.png\n{caption}\n")


class Exported(StrEnum):
    """What `parallax export` writes."""

    CRATE = "crate"
    DATA = "data"
    PREDICTIONS = "predictions"


def export(
    what: Annotated[
        Exported,
        typer.Argument(
            help="crate: the run as an RO-Crate; data: for nnU-Net, MONAI and Croissant;"
            " predictions: NIfTI that names its method"
        ),
    ],
    run: Annotated[Path, typer.Argument(help="folder of a finished run, such as results/quick")],
    out: Annotated[Path, typer.Argument(help="folder to write; it must not exist")],
) -> None:
    """Write a finished run in the formats of other tools."""
    from parallax.errors import counted
    from parallax.exchange.crate import export_crate
    from parallax.exchange.finished import read_finished
    from parallax.exchange.predictions import export_predictions
    from parallax.exchange.training_data import export_data

    finished = read_finished(run)
    if what is Exported.CRATE:
        export_crate(finished, out)
        sys.stdout.write(f"{out}: ro-crate-metadata.json describes the run {finished.name}\n")
    elif what is Exported.DATA:
        for name in export_data(finished, out):
            sys.stdout.write(f"{out / name}\n")
    else:
        sys.stdout.write(
            f"{out}: {counted(export_predictions(finished, out), 'label map')}, listed in predictions.csv\n"
        )
