"""All that the workflow knows before its first job: configuration, datasets, plan, places of files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from parallax.case import Task
from parallax.data.dataset import Dataset
from parallax.errors import ConfigError
from parallax.perturb.labels import n_labelled
from parallax.plugin import MethodCard, dataset_cards, load_dataset, method_cards, preset_switches
from parallax.run.config import DatasetConfig, RunConfig, resolve
from parallax.run.plan import Plan, Run, label_draws, labels_name, make_plan
from parallax.run.source import source_hash


@dataclass(frozen=True)
class Setup:
    """The resolved run. Every path is POSIX and relative to the working directory."""

    config: RunConfig
    datasets: Mapping[str, Dataset]
    cards: Mapping[str, MethodCard]
    plan: Plan

    @property
    def root(self) -> str:
        """Folder of the run."""
        return f"results/{self.config.run}"

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The task of each dataset."""
        return {name: dataset.task for name, dataset in self.datasets.items()}

    def dataset_options(self, name: str) -> dict[str, Any]:
        """Options of a dataset with `{data}` filled in."""
        return fill_data(self.config.datasets[name], self.config.data)

    def plugin_of(self, name: str) -> str:
        """Name of the file under datasets/ that serves this dataset."""
        return self.config.datasets[name].plugin or name

    def dataset_path(self, name: str) -> Path:
        """The plug-in file that serves this dataset."""
        return dataset_cards()[self.plugin_of(name)].path

    def switches(self, method: str, preset: str) -> dict[str, Any]:
        """Switches of a preset."""
        return preset_switches(self.cards[method], preset)

    def label_subsets(self) -> list[str]:
        """Names of all label subsets that the run draws, such as `f010-d0`."""
        return [labels_name(f, draw) for f in self.config.fractions() for draw in label_draws(self.config, f)]

    def notes(self) -> dict[str, Any]:
        """What every table says beneath it: the run's own notes, and the datasets that are not ranked."""
        unranked = [name for name, entry in self.config.datasets.items() if not entry.rank]
        return {"notes": self.config.notes, "unranked": unranked}

    def misalignment(self, dataset: str, name: str) -> dict[str, Any]:
        """The level with the modality that moves."""
        moved = self.config.datasets[dataset].moved
        return self.config.misalignment(name) | ({"moved": moved} if moved else {})

    def budget_json(self, dataset: str) -> str:
        """The budget of a dataset as one line of JSON."""
        return json.dumps(asdict(self.config.budget_of(dataset)), sort_keys=True)

    def run_json(self, run: Run) -> str:
        """What the score table says of a run, as one line of JSON."""
        card = self.cards[run.method]
        row = {
            **asdict(run),
            "adapter": card.adapter_of(run.preset),
            "pairing": self.tasks[run.dataset].pairing,
        }
        return json.dumps(row, sort_keys=True)

    def skipped(self) -> list[dict[str, Any]]:
        """Skipped runs with adapter, pairing and reason."""
        return [json.loads(self.run_json(skip.run)) | {"reason": skip.reason} for skip in self.plan.skipped]

    def method_hash(self, name: str) -> str:
        """Hash of the statements of a method and of all engine code that it reaches."""
        return source_hash(self.cards[name].path)


def make_setup(given: Mapping[str, Any]) -> Setup:
    """Resolve and check everything that can be checked before a job starts. Raises `UserError`."""
    config = resolve(given)
    datasets = {
        name: load_dataset(entry.plugin or name, fill_data(entry, config.data))
        for name, entry in config.datasets.items()
    }
    cards = method_cards()
    setup = Setup(config, datasets, cards, make_plan(config, _tasks(datasets), cards))
    for name, dataset in datasets.items():
        dataset.check()
        _check_fractions(config, name, dataset)
    return setup


def _tasks(datasets: Mapping[str, Dataset]) -> dict[str, Task]:
    return {name: dataset.task for name, dataset in datasets.items()}


def fill_data(entry: DatasetConfig, data: str | None) -> dict[str, Any]:
    """Replace `{data}` in string options by the path given with `--config data=PATH`."""
    filled = {}
    for key, value in entry.options.items():
        if isinstance(value, str) and "{data}" in value:
            if data is None:
                raise ConfigError(
                    "This run reads scans that are not part of the project",
                    where=f"datasets option {key} = {value}",
                    expected="the folder of those scans on the command line",
                    found="no data path",
                    remedy="add --config data=/path/to/scans",
                )
            value = Path(value.replace("{data}", data)).as_posix()
        filled[key] = value
    return filled


def _check_fractions(config: RunConfig, name: str, dataset: Dataset) -> None:
    split = config.datasets[name].split
    n_cases = len(dataset.case_ids())
    n_test = sum(part if isinstance(part, int) else len(part) for part in (split.test, split.validation))
    if isinstance(split.train, list):
        n_train = len(split.train)
    else:
        n_train = split.train if split.train is not None else n_cases - n_test
        if n_train < 1 or n_train + n_test > n_cases:
            raise ConfigError(
                "The split asks for more cases than there are",
                where=f"datasets.{name}.split",
                expected=f"train + test of at most {n_cases}, and at least one of each",
                found=f"train {n_train}, test {n_test}",
                remedy="lower one of them",
            )
    for fraction in config.fractions():
        if n_labelled(fraction, n_train) < 1:
            raise ConfigError(
                "A label fraction leaves no labelled case",
                where=f"datasets.{name}: {fraction:g} of {n_train} training cases",
                expected="at least one labelled case",
                found="none",
                remedy=f"use a fraction of at least {0.5 / n_train:.3f}, or more training cases",
            )
