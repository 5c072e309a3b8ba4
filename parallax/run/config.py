"""The configuration of a run: one schema, unknown keys refused, checked before any job starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from parallax.case import Budget
from parallax.errors import ConfigError
from parallax.perturb.annotation import FULL, Annotation, Coarse, Drop, Noisy
from parallax.plugin import nearest, plugin_root
from parallax.run.experiment import Experiment, check_experiment

Fraction = Annotated[float, Field(gt=0, le=1)]
Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Patch = tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class BudgetConfig(_Strict):
    """What every method gets; see `parallax.case.Budget`. Absent keys keep their default."""

    steps: int | None = Field(None, ge=1)
    batch: int | None = Field(None, ge=1)
    patch: Patch | None = None
    widths: Widths | None = None
    learning_rate: float | None = Field(None, gt=0)
    weight_decay: float | None = Field(None, ge=0)
    augment: bool | None = None
    checkpoint_every_s: float | None = Field(None, gt=0)
    precision: str | None = Field(None, pattern="^(float32|bfloat16)$")
    deterministic: bool | None = None
    nnunet_steps: int | None = Field(None, ge=1)
    nnunet_spacing: float | None = Field(None, ge=1)


_COUNTS = ("allow_overlap", "test", "train", "validation")


class SplitConfig(_Strict):
    """Cases to train on, to keep for validation and to test on: counts drawn by a seed, or lists of ids.

    `list` names a CSV that says it instead (case, patient, part); the seed then draws label subsets alone.
    """

    seed: int = 0
    train: Count | list[str] | None = None
    validation: Count | list[str] = 0
    test: Count | list[str] | None = None
    allow_overlap: bool = False
    written: str | None = Field(None, alias="list")

    @model_validator(mode="after")
    def _one_form(self) -> SplitConfig:
        # what a dumped configuration says of its own accord is not given by anyone
        fields = {name: SplitConfig.model_fields[name].default for name in _COUNTS}
        given = [name for name, default in fields.items() if getattr(self, name) != default]
        if self.written is not None and given:
            raise ValueError(f"either list or counts and ids, not list with {', '.join(given)}")
        if self.written is None and self.test is None:
            raise ValueError("test: a count or ids of cases, or list: a CSV")
        return self


class DatasetConfig(_Strict):
    """One dataset of a run. `plugin` names the file under datasets/ (default: the key itself)."""

    plugin: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    split: SplitConfig
    budget: BudgetConfig = BudgetConfig()
    moved: str | None = None
    rank: bool = True


class Condition(_Strict):
    """A block of the grid: every label fraction with every misalignment and every annotation.

    `datasets` and `methods` narrow the block to some of those of the run; empty means all.
    """

    labels: list[Fraction] = Field(min_length=1)
    misalignment: list[str] = Field(default=["aligned"], min_length=1)
    annotation: list[str] = Field(default=[FULL], min_length=1)
    datasets: list[str] = Field(default_factory=list)
    methods: list[str] = Field(default_factory=list)


class Misalignment(_Strict):
    """A level of misalignment: its family and one size; docs/perturbations.md says what each means."""

    family: Literal["rigid", "elastic", "respiratory", "composite", "fov", "spacing", "subject"] = "rigid"
    severity: int | None = Field(None, ge=0)
    rms_mm: float | None = Field(None, ge=0)
    knot_mm: float | None = Field(None, ge=10)
    covered_fraction: Fraction | None = None
    slice_mm: float | None = Field(None, gt=0)
    swapped_fraction: float | None = Field(None, ge=0, le=1)


class RunConfig(_Strict):
    """All that a run depends on. Its name is the name of the folder under results/."""

    run: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    title: str = ""
    notes: list[str] = Field(default_factory=list)
    data: str | None = None
    datasets: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")], DatasetConfig] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    presets: dict[str, dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")], dict[str, Any]]] = Field(
        default_factory=dict
    )
    reference: str = "nnunet"
    conditions: list[Condition] = Field(min_length=1)
    misalignments: dict[str, Misalignment] = Field(default_factory=dict)
    annotations: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")], Annotation] = Field(
        default_factory=dict
    )
    test_modalities: Literal["given", "every"] = "given"
    seeds: list[int] = Field(default=[0], min_length=1)
    label_draws: int = Field(1, ge=1)
    budget: BudgetConfig
    experiment: Experiment | None = None

    def budget_of(self, dataset: str) -> Budget:
        """The budget of a dataset: the run's, overridden by the dataset's own."""
        own = self.datasets[dataset].budget.model_dump(exclude_none=True)
        return Budget(**{**self.budget.model_dump(exclude_none=True), **own})

    def fractions(self) -> list[float]:
        """All label fractions that occur, ascending."""
        return sorted({fraction for condition in self.conditions for fraction in condition.labels})

    def annotation(self, name: str) -> Annotation:
        """The annotation called `name`; `full` is always known and leaves nothing out."""
        return Annotation() if name == FULL else self.annotations[name]

    def misalignment(self, name: str) -> dict[str, Any]:
        """The level called `name` as plain values; `aligned` is always known and is severity 0."""
        level = Misalignment(severity=0) if name == "aligned" else self.misalignments[name]
        return {"name": name, **level.model_dump(exclude_none=True)}


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
        values = {**_read(base), **values}
    values["methods"] = _names(values.get("methods"))
    if not isinstance(values.get("datasets"), Mapping):
        values["datasets"] = _narrow(values, base)
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise _explained(error) from None
    _check_names(config, {*config.datasets, *(_read(base).get("datasets") or {})})
    _check_budgets(config)
    if config.experiment:
        plugins = {name: entry.plugin or name for name, entry in config.datasets.items()}
        check_experiment(config.experiment, plugins)
    return config


def _names(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _read(path: Path) -> dict[str, Any]:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}


def _narrow(values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    known = _read(base).get("datasets") or {}
    wanted = _names(values.get("datasets")) or []
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
            found=repr(first["input"])[:80],
            remedy=nearest(str(first["loc"][-1]), known),
        )
    if first["type"] == "missing":
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
        found=repr(first["input"])[:80],
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
        "experiment": Experiment,
    }
    model = next((models[part] for part in reversed(location[:-1]) if part in models), RunConfig)
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _check_names(config: RunConfig, datasets: set[str]) -> None:
    if FULL in config.annotations:
        raise _unknown(FULL, "annotations", "another name: full means that nothing is left out", "rename it")
    for index, condition in enumerate(config.conditions):
        for name in condition.misalignment:
            if name not in {"aligned", *config.misalignments}:
                known = sorted({"aligned", *config.misalignments})
                remedy = "define it under misalignments:, with a severity or rms_mm"
                raise _unknown(name, f"conditions.{index}.misalignment", f"one of {', '.join(known)}", remedy)
        for name in condition.annotation:
            if name not in {FULL, *config.annotations}:
                known = sorted({FULL, *config.annotations})
                remedy = "define it under annotations: (config/README.md shows each kind)"
                raise _unknown(name, f"conditions.{index}.annotation", f"one of {', '.join(known)}", remedy)
        for name in condition.datasets:
            if name not in datasets:
                where, expected = f"conditions.{index}.datasets", f"one of {', '.join(sorted(datasets))}"
                raise _unknown(name, where, expected, nearest(name, datasets))


def _unknown(name: str, where: str, expected: str, remedy: str) -> ConfigError:
    kind = next(kind for kind in ("annotation", "dataset", "misalignment") if kind in where)
    return ConfigError(
        f"There is no {kind} called {name!r}" if where.startswith("cond") else f"{name!r} cannot be defined",
        where=where,
        expected=expected,
        found=name,
        remedy=remedy,
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
