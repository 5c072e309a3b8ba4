"""From the values that Snakemake hands over to a checked configuration, with errors that name the key."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from parallax.data.given import given_yaml
from parallax.errors import ConfigError, nearest
from parallax.perturb.annotation import FULL, Annotation, Coarse, Drop, Noisy
from parallax.plugin import plugin_root
from parallax.run.config import (
    BudgetConfig,
    Condition,
    DatasetConfig,
    LimitsConfig,
    Misalignment,
    RunConfig,
    SplitConfig,
)
from parallax.run.experiment import Experiment, check_experiment

_HOW_TO_DEFINE = {
    "misalignment": "define it under misalignments:, with a severity or rms_mm",
    "annotation": "define it under annotations: (config/README.md shows each kind)",
}


def resolve(given: Mapping[str, Any], configfile: Path | None = None) -> RunConfig:
    """The configuration of a run from what Snakemake hands over.

    Args:
        given: the values of `--configfile` with those of `--config` laid over them.
        configfile: the file of `--configfile`; None where none was given, and `config/quick.yaml` is meant.
            `--config datasets=a,b` replaces a mapping by names, which are looked up again in this file.

    Raises:
        ConfigError: naming the key.
    """
    base = configfile or plugin_root() / "config" / "quick.yaml"
    values = dict(given)
    if "run" not in values:
        values = {**given_yaml(base), **values}
    values["methods"] = names_of(values.get("methods"))
    if not isinstance(values.get("datasets"), Mapping):
        values["datasets"] = _narrow(values, base)
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise _explained(error) from None
    _check_names(config, {*config.datasets, *_datasets(base)})
    _check_budgets(config)
    if config.experiment:
        plugins = {name: entry.plugin or name for name, entry in config.datasets.items()}
        check_experiment(config.experiment, plugins)
    return config


def given_values(pairs: Sequence[str]) -> dict[str, Any]:
    """Values of `--config KEY=VALUE`, each read as YAML, as Snakemake does. Raises `ConfigError`."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise ConfigError(
                "This is no value of the configuration",
                where=f"--config {pair}",
                expected="KEY=VALUE, such as --config methods=cmc,supervised",
                found=pair,
                remedy="give --config once for each value",
            )
        try:
            values[key] = yaml.safe_load(value)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise ConfigError(
                "A value of --config is no YAML",
                where=f"--config {pair}",
                expected="a value as a configuration file would have it",
                found=f"{type(error).__name__}: {error}",
                remedy="put quotes around it",
            ) from error
    return values


def names_of(value: Any) -> Any:
    """A list of names that is given as one text, `a,b`; anything else stays."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _datasets(base: Path) -> Mapping[str, Any]:
    """What a file says of its datasets."""
    held = given_yaml(base).get("datasets")
    return held if isinstance(held, Mapping) else {}


def _narrow(values: Mapping[str, Any], base: Path) -> Any:
    known, wanted = _datasets(base), names_of(values.get("datasets"))
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        return wanted  # refused as any other value of a wrong type
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"The run has no dataset {name!r}",
                where="--config datasets=...",
                expected=f"names that {base.name} configures: {', '.join(known)}",
                found=name,
                remedy=nearest(name, known),
            )
    return {name: known[name] for name in wanted}


def _explained(error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        return ConfigError(
            f"Unknown key {first['loc'][-1]!r} in the configuration",
            where=key,
            expected=f"one of {', '.join(known)}",
            found=reprlib.repr(first["input"]),
            remedy=nearest(str(first["loc"][-1]), known),
        )
    if first["type"] == "missing" and isinstance(first["loc"][-1], str):
        return ConfigError(
            f"The configuration lacks the key {first['loc'][-1]!r}",
            where=key,
            expected="this key",
            found=f"only {', '.join(map(str, first['input'])) or 'an empty block'}",
            remedy="add it; config/README.md lists every key with an example",
        )
    return ConfigError(
        "A value in the configuration cannot be used",
        where=key,
        expected=first["msg"],
        found=reprlib.repr(first["input"]),
        remedy="correct this key; config/README.md lists every key with an example",
    )


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "budget": BudgetConfig,
        "split": SplitConfig,
        "datasets": DatasetConfig,
        "conditions": Condition,
        "misalignments": Misalignment,
        "annotations": Annotation,
        "drop": Drop,
        "coarse": Coarse,
        "noisy": Noisy,
        "limits": LimitsConfig,
        "experiment": Experiment,
    }
    model = next((models[part] for part in reversed(location[:-1]) if part in models), RunConfig)
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _check_names(config: RunConfig, datasets: set[str]) -> None:
    if FULL in config.annotations:
        raise ConfigError(
            f"{FULL!r} cannot be defined",
            where="annotations",
            expected="another name: full means that nothing is left out",
            found=FULL,
            remedy="rename it",
        )
    kinds = {
        "misalignment": {"aligned", *config.misalignments},
        "annotation": {FULL, *config.annotations},
        "datasets": datasets,
    }
    for index, condition in enumerate(config.conditions):
        for key, known in kinds.items():
            for name in getattr(condition, key):
                if name not in known:
                    raise _unknown(name, f"conditions.{index}.{key}", known)
        if (condition.label_draws or 1) > config.label_draws:
            raise ConfigError(
                "A block of the grid asks for more draws of labels than the run makes",
                where=f"conditions.{index}.label_draws",
                expected=f"at most label_draws of the run, which is {config.label_draws}",
                found=str(condition.label_draws),
                remedy="raise label_draws of the run, or lower it here",
            )


def _unknown(name: str, where: str, known: set[str]) -> ConfigError:
    key = where.rpartition(".")[2]
    return ConfigError(
        f"There is no {key.removesuffix('s')} called {name!r}",
        where=where,
        expected=f"one of {', '.join(sorted(known))}",
        found=name,
        remedy=_HOW_TO_DEFINE.get(key) or nearest(name, known),
    )


def _check_budgets(config: RunConfig) -> None:
    for name, dataset in config.datasets.items():
        if config.budget.steps is None and dataset.budget.steps is None:
            raise ConfigError(
                "The configuration lacks the key 'steps'",
                where="budget.steps",
                expected="the number of optimiser steps",
                found="none",
                remedy="add it; config/README.md lists every key with an example",
            )
        budget = config.budget_of(name)
        unit = 2 ** len(budget.widths)
        if any(side % unit for side in budget.patch):
            raise ConfigError(
                "A patch does not fit the network",
                where=f"budget.patch, as dataset {name} has it",
                expected=f"sides that are multiples of {unit}, as there are {len(budget.widths)} widths",
                found=" x ".join(map(str, budget.patch)),
                remedy="change the patch, or the number of widths",
            )
