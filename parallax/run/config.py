"""The configuration of a run: one schema, unknown keys refused, checked before any job starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from parallax.case import Budget
from parallax.data.strict import Number, Plain, Seed, Strict, Text
from parallax.perturb.annotation import FULL, Annotation
from parallax.run.experiment import Experiment

# Upper bounds refuse a slip of the keyboard, and are far above what anyone runs.
#: Names folders of a run and stands in commands: no path, no option, nothing that a shell would read.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)]
Fraction = Annotated[Number, Field(gt=0, le=1)]
Steps = Annotated[int, Field(ge=1, le=10**8)]
Draws = Annotated[int, Field(ge=1, le=1000)]
Millimetres = Annotated[Number, Field(ge=0, le=1000)]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=10, strict=False)
]
Count = Annotated[int, Field(ge=0, le=10**6)]
_Side = Annotated[int, Field(ge=8, le=1024)]
Patch = Annotated[tuple[_Side, _Side, _Side], Field(strict=False)]


class BudgetConfig(Strict):
    """What every method gets; see `parallax.case.Budget`. Absent keys keep their default."""

    steps: Steps | None = None
    batch: int | None = Field(None, ge=1, le=10**4)
    patch: Patch | None = None
    widths: Widths | None = None
    learning_rate: Number | None = Field(None, gt=0, le=100)
    weight_decay: Number | None = Field(None, ge=0, le=100)
    augment: bool | None = None
    checkpoint_every_s: Number | None = Field(None, gt=0, le=10**7)
    precision: str | None = Field(None, pattern="^(float32|bfloat16)$")
    deterministic: bool | None = None
    nnunet_steps: Steps | None = None
    nnunet_spacing: Number | None = Field(None, ge=1, le=100)


_COUNTS = ("allow_overlap", "test", "train", "validation")


class SplitConfig(Strict):
    """Cases to train on, to keep for validation and to test on: counts drawn by a seed, or lists of ids.

    `list` names a CSV that says it instead (case, patient, part); the seed then draws label subsets alone.
    """

    seed: Seed = 0
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


class DatasetConfig(Strict):
    """One dataset of a run. `plugin` names the file under datasets/ (default: the key itself)."""

    plugin: str | None = None
    options: dict[str, Plain] = Field(default_factory=dict)
    split: SplitConfig
    budget: BudgetConfig = BudgetConfig()
    moved: str | None = None
    rank: bool = True


class Condition(Strict):
    """A block of the grid: every label fraction with every misalignment and every annotation.

    `datasets` and `methods` narrow the block to some of those of the run; empty means all. `label_draws`
    keeps the first few of the run's draws.
    """

    labels: list[Fraction] = Field(min_length=1)
    misalignment: list[str] = Field(default=["aligned"], min_length=1)
    annotation: list[str] = Field(default=[FULL], min_length=1)
    datasets: list[str] = Field(default_factory=list)
    methods: list[str] = Field(default_factory=list)
    label_draws: Draws | None = None


class Misalignment(Strict):
    """A level of misalignment: its family and one size; docs/perturbations.md says what each means."""

    family: Literal["rigid", "elastic", "respiratory", "composite", "fov", "spacing", "subject"] = "rigid"
    severity: int | None = Field(None, ge=0, le=100)
    rms_mm: Millimetres | None = None
    knot_mm: Millimetres | None = Field(None, ge=10)
    covered_fraction: Fraction | None = None
    slice_mm: Millimetres | None = Field(None, gt=0)
    swapped_fraction: Number | None = Field(None, ge=0, le=1)


class LimitsConfig(Strict):
    """Most that one run may take before it counts as failed. A change of these trains nothing again."""

    train_s: Number = Field(2 * 86400, gt=0, le=10**9)
    predict_s: Number = Field(86400 / 2, gt=0, le=10**9)
    memory_mib: Number | None = Field(None, gt=0, le=10**9)

    def options(self, seconds: float) -> str:
        """Options of train.py and predict.py."""
        memory = "" if self.memory_mib is None else f" --limit-mib {self.memory_mib:g}"
        return f"--limit-s {seconds!r}{memory}"


class RunConfig(Strict):
    """All that a run depends on. Its name is the name of the folder under results/."""

    run: Name
    title: Text = ""
    notes: list[Text] = Field(default_factory=list)
    data: str | None = None
    datasets: dict[Name, DatasetConfig] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    presets: dict[str, dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")], dict[str, Plain]]] = Field(
        default_factory=dict
    )
    reference: str = "nnunet"
    conditions: list[Condition] = Field(min_length=1)
    misalignments: dict[Name, Misalignment] = Field(default_factory=dict)
    annotations: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")], Annotation] = Field(
        default_factory=dict
    )
    test_modalities: Literal["given", "every"] = "given"
    seeds: list[Seed] = Field(default=[0], min_length=1)
    label_draws: Draws = 1
    budget: BudgetConfig
    limits: LimitsConfig = LimitsConfig()
    viewer_mib: Annotated[Number, Field(ge=0, le=10_000)] = 48.0
    experiment: Experiment | None = None

    @model_validator(mode="after")
    def _seeds_once(self) -> RunConfig:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: each seed once")
        return self

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
