"""All checks of one method file, in order, for one or more of its presets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from parallax.cards import MethodCard, preset_switches
from parallax.case import Budget
from parallax.errors import ConfigError
from parallax.plugin import load_method_of, method_card, read_method_card
from parallax.trial.answer_checks import ANSWER_CHECKS
from parallax.trial.cost_check import cost
from parallax.trial.file_checks import FILE_CHECKS
from parallax.trial.method_checks import EVERY_METHOD, OWN_TRAINING
from parallax.trial.outcome import Check, Outcome, Status, last_line
from parallax.trial.phantom_run import phantom_run
from parallax.trial.training_checks import TRAINING_CHECKS
from parallax.trial.trial import Trial

NETWORK_CHECKS: tuple[Check, ...] = (*TRAINING_CHECKS, *ANSWER_CHECKS, *EVERY_METHOD, cost)
_OWN_LOOP = "no NetworkMethod: a training of its own cannot be looked into"
_FULL = Budget(steps=100)  # crops and widths of the default run


@dataclass(frozen=True)
class Wanted:
    """What of a method is to be tried.

    Attributes:
        preset: one preset; None for all of them, with the phantom run for the first one only.
        quick: leave the phantom run out.
    """

    preset: str | None = None
    quick: bool = False


def find_card(given: str) -> MethodCard:
    """The card of a path to a .py file, or of the name of an installed method.

    Raises:
        ConfigError: no such file, or no such method.
        PluginError: the file is no plug-in.
    """
    path = Path(given)
    if given.isidentifier():
        return method_card(given)
    if path.is_file() and path.suffix == ".py":
        return read_method_card(path.resolve())
    raise ConfigError(
        "There is no such method file",
        where="parallax try FILE",
        expected="the path of a .py file, or the name of a method that `parallax list` shows",
        found=given,
        remedy="correct the path, or write a file to start from with `parallax new-baseline NAME`",
    )


def try_method(
    card: MethodCard, wanted: Wanted, folder: Path, report: Callable[[str], None] = lambda _: None
) -> list[Outcome]:
    """Put a method through its checks; `report` is told the name of each one as it begins.

    Raises:
        ConfigError: the method has no such preset.
    """
    if wanted.preset is not None:
        preset_switches(card, wanted.preset)
    try:
        kind = load_method_of(card)
    except Exception as error:
        remedy = "run `python FILE` to see where; imports come from parallax and installed packages"
        return [Outcome("plug-in file", Status.FAILED, last_line(error), remedy)]
    first = next(iter(card.presets))
    outcomes = run_checks(Trial(kind, card, first, folder / "file"), FILE_CHECKS, report)
    if any(outcome.status is Status.FAILED for outcome in outcomes):
        return outcomes
    for preset in [wanted.preset] if wanted.preset else card.presets:
        trial = Trial(kind, card, preset, folder / preset, _FULL)
        long = not wanted.quick and preset == (wanted.preset or first)
        tried = _try_preset(trial, long, report)
        outcomes += [replace(outcome, preset=preset) for outcome in tried]
    return outcomes


def checks_of(trial: Trial) -> tuple[Check, ...]:
    """All checks of this kind of method but the phantom run."""
    return NETWORK_CHECKS if trial.is_network else OWN_TRAINING


def run_checks(
    trial: Trial, checks: Iterable[Check], report: Callable[[str], None] = lambda _: None
) -> list[Outcome]:
    """Run checks in order; one whose needs did not pass is skipped, with that reason."""
    outcomes: list[Outcome] = []
    for check in checks:
        report(f"{trial.card.name}:{trial.preset}, {check.name}")
        broken = _unmet(check, outcomes)
        reason = f"waits for “{broken}”"
        outcomes.append(Outcome(check.name, Status.SKIPPED, reason) if broken else check(trial))
    return outcomes


def _try_preset(trial: Trial, long: bool, report: Callable[[str], None]) -> list[Outcome]:
    if package := trial.card.missing_package(trial.preset):
        return [Outcome("it trains", Status.SKIPPED, f"the package {package} is not installed")]
    inside = [] if trial.is_network else [Outcome("steps and gradients", Status.SKIPPED, _OWN_LOOP)]
    return [*inside, *run_checks(trial, (*checks_of(trial), *((phantom_run,) if long else ())), report)]


def _unmet(check: Check, before: Sequence[Outcome]) -> str:
    passed = {outcome.check: outcome.status is Status.PASSED for outcome in before}
    return next((name for name in check.needs if not passed.get(name, True)), "")
