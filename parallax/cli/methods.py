"""Methods: list them, try one, start one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


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


def _needs(card: Any) -> str:
    parts = [f"{card.min_modalities} modalities"] if card.min_modalities > 1 else []
    parts += ["one patient per case"] if card.needs_pairs else []
    semi = card.uses_unlabelled or any(p.get("unlabelled") for p in card.presets.values())
    parts += ["unlabelled cases"] if semi else []
    return ", ".join(parts) or "labels" if not card.control else "control"
