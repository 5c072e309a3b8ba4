"""The command `parallax`: look at plug-ins, try one, check data, score label maps, see what a run would do.

Exit codes: 0 done, 1 the answer is no, 2 wrong use or bad input.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parallax.errors import ConfigError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parallax.data.inspect import Inspection

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """Which segmentation method still works when labels are scarce and modalities do not line up?"""


@app.command("list")
def list_plugins() -> None:
    """List methods, baselines and datasets with presets, output adapter, needs and source."""
    from rich.console import Console
    from rich.table import Column, Table

    from parallax.plugin import dataset_cards, method_cards

    console = Console()
    source = Column("source", overflow="fold")  # a commit that is cut off cannot be looked up
    methods = Table("method", "presets", "adapter", "needs", source, title="Methods and baselines")
    for card in method_cards().values():
        methods.add_row(card.name, ", ".join(card.presets), card.adapter, _needs(card), card.source)
    datasets = Table("dataset", "what", "source", title="Datasets")
    for dataset in dataset_cards().values():
        datasets.add_row(dataset.name, dataset.title, dataset.source)
    console.print(methods, datasets)


@app.command("check-data")
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


@app.command()
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
    from parallax.score.compare import Wanted, extra_predictions, read_names, score_pair, write_scored
    from parallax.tables.render import print_tables
    from parallax.tables.scored_pair import comparison_table

    wanted = Wanted(read_names(labels) if labels else None, tolerance_mm, legacy)
    rows = score_pair(truth, prediction, wanted)
    if csv:
        write_scored(rows, csv)
    if as_json:
        sys.stdout.write(json.dumps([_no_nan(row) for row in rows], indent=1) + "\n")
    else:
        print_tables([comparison_table(rows, wanted, extra_predictions(truth, prediction))])


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="a file under config/")],
    given: Annotated[
        list[str] | None, typer.Option("--config", help="as Snakemake's: KEY=VALUE in place of the file's")
    ] = None,
) -> None:
    """Say what a run would do and take: runs, core-hours, memory and disk by method, and what is skipped."""
    from rich.console import Console

    from parallax.run.costs import Estimator, read_cost_model
    from parallax.run.forecast import plan_notes, plan_table
    from parallax.run.resolve import given_values
    from parallax.run.setup import read_setup

    estimator = Estimator(read_cost_model(), read_setup(config, given_values(given or [])))
    console = Console()
    console.print(plan_table(estimator))
    for note in plan_notes(estimator):
        console.print(note, highlight=False, markup=False)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="folder of a run, such as results/quick")],
    second: Annotated[Path, typer.Argument(help="folder of another run of the same configuration")],
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="let Dice and NSD of a row differ by this much (another machine)")
    ] = 0.0,
) -> None:
    """Compare the scores of two runs row by row: exit status 0 if they are the same, 1 if not.

    Below them stands what differs in their manifests: methods' code, configuration, versions, seeds, machine.
    """
    from parallax.run.difference import compare_runs, lines

    found = compare_runs(first, second, tolerance)
    within = f" within {tolerance:g}" if tolerance else ""
    names = (first.as_posix(), second.as_posix())
    told = [*lines(found, names), f"The scores are {'the same' if found.same else 'not the same'}{within}."]
    sys.stdout.write("\n".join(told) + "\n")
    sys.exit(0 if found.same else 1)


@app.command("try")
def try_file(
    file: Annotated[str, typer.Argument(help="path of a method's .py file, or name of an installed method")],
    preset: Annotated[
        str | None, typer.Option(help="only this preset; else all, with the phantom run of the first")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="leave the phantom run out")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Put a method through the contract and a short phantom run: exit status 0 only if it keeps all of it.

    1 says that a check failed; each failure is printed with its remedy.
    """
    import time
    from tempfile import TemporaryDirectory

    from rich.console import Console

    from parallax.learn.device import prepare_torch
    from parallax.trial import table
    from parallax.trial.suite import Wanted, find_card, try_method

    card, started = find_card(file), time.monotonic()
    prepare_torch("cpu", threads=1)
    with TemporaryDirectory() as folder, Console(stderr=True).status("reading") as status:
        outcomes = try_method(card, Wanted(preset, quick), Path(folder), status.update)
    seconds, console = time.monotonic() - started, Console(highlight=False)
    values = table.as_json(card, outcomes, seconds)
    if as_json:
        sys.stdout.write(json.dumps(values, indent=1) + "\n")
    else:
        console.print(table.outcome_table(card, outcomes))
        console.print(table.summary(card, outcomes, seconds), markup=False, soft_wrap=True)
    sys.exit(0 if values["passed"] else 1)


@app.command("new-baseline")
def new_baseline(
    name: Annotated[str, typer.Argument(help="what it is called: the file name, and its name in --config")],
    folder: Annotated[Path, typer.Option(help="where the file goes")] = Path("baselines"),
    semi_supervised: Annotated[
        bool, typer.Option("--semi-supervised", help="start from a method that uses unlabelled cases")
    ] = False,
) -> None:
    """Write a commented file to start a baseline from; it passes `parallax try` as it stands."""
    from parallax.trial.starting_file import write_starting_file
    from parallax.trial.table import next_command

    path = write_starting_file(name, folder, semi_supervised=semi_supervised)
    sys.stdout.write(
        f"Wrote {path.as_posix()}. Change it, then:\n"
        f"  parallax try {path.as_posix()}\n"
        f"  {next_command(name)}\n"
    )


@app.command()
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


@app.command()
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
            f"{out}: {export_predictions(finished, out)} label maps, listed in predictions.csv\n"
        )


def main() -> None:
    """Entry point: errors of the user's go to stderr as one paragraph; `--debug` shows the traceback."""
    debug = "--debug" in sys.argv
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"])
    except UserError as error:
        if debug:
            raise
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(2)


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
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _no_nan(row: dict[str, Any]) -> dict[str, Any]:
    # NaN is no JSON: a structure without a value is null
    return {key: None if value != value else value for key, value in row.items()}


def _needs(card: Any) -> str:
    parts = [f"{card.min_modalities} modalities"] if card.min_modalities > 1 else []
    parts += ["one patient per case"] if card.needs_pairs else []
    semi = card.uses_unlabelled or any(p.get("unlabelled") for p in card.presets.values())
    parts += ["unlabelled cases"] if semi else []
    return ", ".join(parts) or "labels" if not card.control else "control"


if __name__ == "__main__":
    main()
