"""What every method keeps, in each preset; found by file, so nothing is listed.

The points of the contract are those of `parallax try`: parallax/trial/ holds them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from parallax.cards import MethodCard
from parallax.learn.network_method import NetworkMethod
from parallax.plugin import load_method, method_cards
from parallax.trial.file_checks import FILE_CHECKS
from parallax.trial.outcome import Check, NotApplicableError
from parallax.trial.suite import NETWORK_CHECKS, OWN_TRAINING
from parallax.trial.trial import Trial

TRAINED_APART = "nnunet"  # plans and trains for seconds each time; tests/baselines/test_nnunet.py has it

CARDS = list(method_cards().values())
ALL = [(card, preset) for card in CARDS for preset in card.presets if not card.missing_package(preset)]
CONTENDERS = [(card, preset) for card, preset in ALL if issubclass(load_method(card.name), NetworkMethod)]
OTHERS = [pair for pair in ALL if pair not in CONTENDERS and pair[0].name != TRAINED_APART]


def name_of(value: object) -> str:
    if isinstance(value, Check):
        return value.name.replace(",", "").replace(" ", "_")
    return f"{value[0].name}:{value[1]}" if isinstance(value, tuple) else str(value)


def trial_of(pair: tuple[MethodCard, str], folder: Path) -> Trial:
    card, preset = pair
    return Trial(load_method(card.name), card, preset, folder)


@pytest.fixture(scope="session", params=CONTENDERS, ids=name_of)
def contender(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return trial_of(request.param, tmp_path_factory.mktemp("trial"))


@pytest.fixture(scope="session", params=OTHERS, ids=name_of)
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return trial_of(request.param, tmp_path_factory.mktemp("trial"))


def keeps(check: Check, trial: Trial) -> None:
    """Not called as `parallax try` does: what a check or a method raises shall show its traceback here."""
    try:
        with trial.watched():
            check.keep(trial)
    except NotApplicableError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("check", NETWORK_CHECKS, ids=name_of)
def test_a_network(check: Check, contender: Trial) -> None:
    keeps(check, contender)


@pytest.mark.parametrize("check", OWN_TRAINING, ids=name_of)
def test_a_method_with_training_of_its_own(check: Check, other: Trial) -> None:
    keeps(check, other)


@pytest.mark.parametrize("check", FILE_CHECKS, ids=name_of)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_file(check: Check, card: MethodCard, tmp_path: Path) -> None:
    keeps(check, trial_of((card, next(iter(card.presets))), tmp_path))
