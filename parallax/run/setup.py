"""All that the workflow knows before its first job: configuration, datasets, plan, places of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from parallax.cards import MethodCard, preset_switches
from parallax.case import Pairing, Task
from parallax.data.dataset import Dataset
from parallax.data.given import given_yaml
from parallax.data.split_list import read_split_list
from parallax.data.splits import case_index
from parallax.errors import ConfigError, DataError, nearest
from parallax.perturb.annotation import FULL
from parallax.perturb.labels import label_subsets, labels_name
from parallax.perturb.level import read_level
from parallax.plugin import dataset_cards, load_dataset, method_card, method_cards
from parallax.run.config import DatasetConfig, RunConfig, SplitConfig
from parallax.run.plan import Plan, Run, label_draws, make_plan
from parallax.run.resolve import resolve
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

    def scans_digest(self, name: str) -> str:
        """Digest over path, size and time of every file that the dataset reads; no file is opened."""
        stats = [(path.as_posix(), path.stat()) for path in self.datasets[name].inputs()]
        lines = "\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    def split(self, name: str) -> dict[str, Any]:
        """The split of a dataset as plain values; a list that it names is read."""
        return split_spec(self.config.datasets[name].split)

    def plugin_of(self, name: str) -> str:
        """Name of the file under datasets/ that serves this dataset."""
        return self.config.datasets[name].plugin or name

    def dataset_path(self, name: str) -> Path:
        """The plug-in file that serves this dataset."""
        return dataset_cards()[self.plugin_of(name)].path

    def switches(self, method: str, preset: str) -> dict[str, Any]:
        """Switches of a preset."""
        return preset_switches(self.cards[method], preset)

    def switches_json(self, method: str, preset: str) -> str:
        """Switches of a preset as one line of JSON."""
        return json.dumps(self.switches(method, preset), sort_keys=True)

    def trained_as(self, method: str, preset: str) -> str:
        """The preset whose weights this one uses: itself, unless another is trained in the same way."""
        return self.cards[method].trained_as(preset)

    def annotation(self, labels: str) -> dict[str, Any]:
        """What a folder of labels such as `f010-d0-ct_only` leaves out: name and values of the annotation."""
        name = [*labels.split("-", 2), FULL][2]
        return {"name": name, "values": self.config.annotation(name).model_dump(exclude_none=True)}

    def label_subsets(self) -> list[str]:
        """Names of all label subsets that the run draws, such as `f010-d0`."""
        return [labels_name(f, draw) for f in self.config.fractions() for draw in label_draws(self.config, f)]

    def notes(self) -> dict[str, Any]:
        """What the tables need of the configuration."""
        from parallax.tables.layout import run_notes

        return run_notes(self.config.model_dump(exclude_none=True))

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
            "pretraining": card.pretraining_of(run.preset),
            "pairing": self.tasks[run.dataset].pairing,
        }
        return json.dumps(row, sort_keys=True)

    def skipped(self) -> list[dict[str, Any]]:
        """Skipped runs with adapter, pairing and reason."""
        return [json.loads(self.run_json(skip.run)) | {"reason": skip.reason} for skip in self.plan.skipped]

    def method_hash(self, name: str) -> str:
        """Hash of the statements of a method and of all engine code that it reaches."""
        return source_hash(self.cards[name].path)


def make_setup(given: Mapping[str, Any], configfile: Path | None = None) -> Setup:
    """Resolve and check everything that can be checked before a job starts. Raises `UserError`."""
    config = resolve(given, configfile)
    datasets = {
        name: load_dataset(entry.plugin or name, fill_data(entry, config.data))
        for name, entry in config.datasets.items()
    }
    cards = cards_of(config)
    _check_reference(config.reference, cards)
    setup = Setup(config, datasets, cards, make_plan(config, _tasks(datasets), cards))
    for name, dataset in datasets.items():
        dataset.check()
        _check_splits(config, name, dataset)
        _check_levels(setup, name)
        _check_tolerances(name, setup.tasks[name])
    _check_annotations(setup)
    return setup


def cards_of(config: RunConfig) -> dict[str, MethodCard]:
    """All methods, with the presets that the configuration adds. Raises `ConfigError`."""
    cards = method_cards()
    own = {name: method_card(name).with_presets(presets) for name, presets in config.presets.items()}
    return {**cards, **own}


def read_setup(path: Path, given: Mapping[str, Any] | None = None) -> Setup:
    """The setup of a configuration file, `given` values over its own; no Snakemake. Raises `UserError`."""
    if not path.is_file():
        raise ConfigError(
            "There is no such configuration",
            where=str(path),
            expected="a YAML file, such as config/quick.yaml",
            found="no file",
            remedy="correct the path",
        )
    return make_setup(given_yaml(path) | dict(given or {}), path)


def _tasks(datasets: Mapping[str, Dataset]) -> dict[str, Task]:
    return {name: dataset.task for name, dataset in datasets.items()}


def split_spec(split: SplitConfig) -> dict[str, Any]:
    """What `make_split` takes. Raises `ConfigError` where a list is named that cannot be read."""
    if split.written is not None:
        return {"seed": split.seed, **read_split_list(split.written)}
    return split.model_dump(exclude_none=True)


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


def _check_reference(reference: str, cards: Mapping[str, MethodCard]) -> None:
    name = reference.partition(":")[0]
    if name not in cards:
        raise ConfigError(
            f"There is no method {name!r} to compare the others with",
            where="reference",
            expected="NAME or NAME:PRESET of a method or baseline",
            found=reference,
            remedy=nearest(name, cards),
        )


def _check_splits(config: RunConfig, name: str, dataset: Dataset) -> None:
    """Make the split and every label subset as the workflow will, so that no job can fail over them."""
    spec = split_spec(config.datasets[name].split)
    try:
        label_subsets(case_index(dataset), spec, config.fractions(), config.label_draws)
    except ConfigError as error:
        raise error.within(f"datasets.{name}") from error


def _check_levels(setup: Setup, name: str) -> None:
    task = setup.tasks[name]
    wanted = {level for condition in setup.config.conditions for level in condition.misalignment}
    for level in sorted(wanted) if task.pairing is not Pairing.UNPAIRED else ():
        read_level(setup.misalignment(name, level), task)


def _check_tolerances(name: str, task: Task) -> None:
    """Refuse a task without tolerances before training, not when its first run is scored."""
    for structure in task.structures:
        try:
            task.tolerance_mm(structure)
        except DataError as error:
            raise error.within(f"datasets.{name}") from error


def _check_annotations(setup: Setup) -> None:
    """Refuse an annotation that means nothing for any dataset: a misspelt name, most likely."""
    used = {name for condition in setup.config.conditions for name in condition.annotation}
    for name in sorted(used):
        reasons = [
            f"{data} {setup.config.annotation(name).unfit(task)}" for data, task in setup.tasks.items()
        ]
        if not any(setup.config.annotation(name).unfit(task) == "" for task in setup.tasks.values()):
            raise ConfigError(
                "An annotation fits none of the datasets",
                where=f"annotations.{name}",
                expected="modalities and structures of at least one dataset of the run",
                found="; ".join(reasons),
                remedy="correct the names",
            )
