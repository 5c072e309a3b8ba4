"""The plan of a run: which method is trained on what, and what is skipped for which reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from parallax.cards import MethodCard, preset_switches
from parallax.case import Pairing, Task
from parallax.errors import ConfigError, nearest
from parallax.perturb.annotation import FULL, Annotation
from parallax.perturb.labels import labels_name
from parallax.plugin import method_card
from parallax.run.config import Condition, RunConfig


@dataclass(frozen=True, order=True)
class Run:
    """One training run and the folder that it is kept in."""

    dataset: str
    misalignment: str
    label_fraction: float
    label_draw: int
    method: str
    preset: str
    seed: int
    annotation: str = FULL

    @property
    def labels(self) -> str:
        """Name of what is labelled: `f010-d0` for 10 %, draw 0; `f010-d0-ct_only` where not all of it is."""
        return labels_name(self.label_fraction, self.label_draw, self.annotation)

    @property
    def path(self) -> str:
        """Folder of the run below `runs/` and `scratch/`, POSIX."""
        return f"{self.dataset}/{self.misalignment}/{self.labels}/{self.method}/{self.preset}-s{self.seed}"


@dataclass(frozen=True)
class Skip:
    """A run that is not made, and why; it leaves a row in every table."""

    run: Run
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The run and the reason as plain values."""
        return {**asdict(self.run), "reason": self.reason}


@dataclass(frozen=True)
class Plan:
    """What will run and what will not, in a fixed order."""

    runs: tuple[Run, ...]
    skipped: tuple[Skip, ...]


def expand_methods(names: list[str], cards: Mapping[str, MethodCard]) -> list[tuple[MethodCard, str]]:
    """Turn `cmc`, `cmc:released`, `all` and `all:released` into pairs of card and preset.

    `all` is every method with every preset, `all:released` every method that has that preset.

    Raises `ConfigError` for an unknown method or preset.
    """
    pairs: list[tuple[MethodCard, str]] = []
    for name in names:
        method, _, preset = name.partition(":")
        if method == "all":
            pairs += _every(cards, preset)
            continue
        card = cards[method] if method in cards else method_card(method)
        preset = preset or next(iter(card.presets))
        preset_switches(card, preset)
        pairs.append((card, preset))
    return list({(card.name, preset): (card, preset) for card, preset in pairs}.values())


def _every(cards: Mapping[str, MethodCard], preset: str) -> list[tuple[MethodCard, str]]:
    found = [(card, own) for card in cards.values() for own in card.presets if preset in (own, "")]
    if not found:
        known = {own for card in cards.values() for own in card.presets}
        raise ConfigError(
            f"No method has a preset {preset!r}",
            where="methods",
            expected="all, or all: and a preset that some method has",
            found=f"all:{preset}",
            remedy=nearest(preset, known),
        )
    return found


def make_plan(config: RunConfig, tasks: Mapping[str, Task], cards: Mapping[str, MethodCard]) -> Plan:
    """All runs of a configuration, in the order dataset, condition, method, draw, seed.

    Raises `ConfigError` for an unknown method or preset, and where no block of the grid has anything to run.
    """
    runs: list[Run] = []
    skipped: list[Skip] = []
    for condition, dataset, fraction, misalignment, annotation in _cells(config):
        left_out = config.annotation(annotation)
        for card, preset in _methods(config, condition, cards):
            reason = _reason_to_skip(card, preset, dataset, tasks[dataset], misalignment)
            reason = reason or _reason_of_labels(card, dataset, tasks[dataset], left_out)
            for draw in label_draws(config, fraction)[: condition.label_draws]:
                for seed in config.seeds[:1] if card.control else config.seeds:
                    run = Run(dataset, misalignment, fraction, draw, card.name, preset, seed, annotation)
                    if reason:
                        skipped.append(Skip(run, reason))
                    else:
                        runs.append(run)
    if not runs and not skipped:
        raise _nothing_to_run(config)
    return Plan(tuple(dict.fromkeys(runs)), tuple(dict.fromkeys(skipped)))


def _methods(
    config: RunConfig, condition: Condition, cards: Mapping[str, MethodCard]
) -> list[tuple[MethodCard, str]]:
    """The methods of the run that this block of the grid has."""
    every = expand_methods(config.methods, cards)
    own = {(card.name, preset) for card, preset in expand_methods(condition.methods, cards)}
    return [(card, preset) for card, preset in every if not own or (card.name, preset) in own]


def _nothing_to_run(config: RunConfig) -> ConfigError:
    return ConfigError(
        "There is nothing to run",
        where="conditions, of which some name datasets or methods of their own",
        expected="a block that has one of the datasets and one of the methods of the run",
        found=f"datasets {', '.join(config.datasets)}; methods {', '.join(config.methods)}",
        remedy="name other datasets or methods, or change the blocks",
    )


def _cells(config: RunConfig) -> Iterator[tuple[Condition, str, float, str, str]]:
    for dataset in config.datasets:
        for condition in config.conditions:
            if condition.datasets and dataset not in condition.datasets:
                continue
            for annotation in condition.annotation:
                for misalignment in condition.misalignment:
                    for fraction in condition.labels:
                        yield condition, dataset, fraction, misalignment, annotation


def label_draws(config: RunConfig, fraction: float) -> range:
    """The draws of a label fraction."""
    # All labels are all labels: drawing them again would train the same run twice.
    return range(1 if fraction == 1 else config.label_draws)


def _reason_to_skip(card: MethodCard, preset: str, dataset: str, task: Task, misalignment: str) -> str:
    if package := card.missing_package(preset):
        return f"needs the Python package {package} (docs/methods/{card.name}.md says how to install it)"
    if len(task.modalities) < card.min_modalities:
        return f"needs {card.min_modalities} modalities, {dataset} has {len(task.modalities)}"
    if card.pairs_needed_by(preset) and task.pairing is Pairing.UNPAIRED:
        return f"needs the modalities of one patient, {dataset} is unpaired"
    if misalignment != "aligned" and task.pairing is Pairing.UNPAIRED:
        return f"a shift means nothing between different patients: {dataset} is unpaired"
    if misalignment != "aligned" and len(task.modalities) < 2:
        return f"a shift between modalities needs two of them, {dataset} has one"
    return ""


def _reason_of_labels(card: MethodCard, dataset: str, task: Task, annotation: Annotation) -> str:
    unfit = annotation.unfit(task)
    if unfit:
        return f"{dataset} {unfit}"
    if annotation.modalities is not None and card.needs_every_label:
        return f"needs labels of every modality, here only {', '.join(annotation.modalities)} is labelled"
    return ""
