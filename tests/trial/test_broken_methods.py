"""A method that breaks one point of the contract fails that check and no other; a good one passes all."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from broken import BROKEN, GOOD

from parallax.plugin import load_method_of, method_card, read_method_card
from parallax.trial import phantom_run as phantom
from parallax.trial.file_checks import FILE_CHECKS
from parallax.trial.outcome import Outcome, Status
from parallax.trial.suite import NETWORK_CHECKS, Wanted, run_checks, try_method
from parallax.trial.trial import Trial


def trial_of(added: str, folder: Path) -> Trial:
    path = folder / "tiny.py"
    path.write_text(GOOD + textwrap.indent(added, "    ") + "\n")
    card = read_method_card(path)
    return Trial(load_method_of(card), card, next(iter(card.presets)), folder)


def failed(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.check: outcome for outcome in outcomes if outcome.status is Status.FAILED}


def test_a_good_method_passes_every_check(tmp_path):
    outcomes = run_checks(trial_of("", tmp_path), (*FILE_CHECKS, *NETWORK_CHECKS))
    assert [o for o in outcomes if o.status is not Status.PASSED] == []


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_method_fails_one_check(what, tmp_path):
    check, added = BROKEN[what]
    outcomes = failed(try_method(trial_of(added, tmp_path).card, Wanted(quick=True), tmp_path / "runs"))
    assert list(outcomes) == [check], outcomes
    assert outcomes[check].detail
    assert outcomes[check].remedy


def test_every_check_has_a_method_that_breaks_it():
    checks = {check.name for check in (*FILE_CHECKS, *NETWORK_CHECKS)}
    assert {check for check, _ in BROKEN.values()} == checks


def test_what_a_method_raises_is_told_with_its_line(tmp_path):
    outcomes = failed(
        run_checks(trial_of(BROKEN["names a switch that is not there"][1], tmp_path), NETWORK_CHECKS)
    )
    line = len(GOOD.splitlines()) + 2
    assert outcomes["it trains"].detail == f"it raised KeyError: 'wait' (tiny.py, line {line})"


def test_checks_that_would_fail_of_the_same_cause_wait(tmp_path):
    outcomes = run_checks(trial_of(BROKEN["builds a list"][1], tmp_path), NETWORK_CHECKS)
    assert [o.status for o in outcomes].count(Status.SKIPPED) == len(NETWORK_CHECKS) - 1
    assert outcomes[1].detail == "waits for “it builds a network”"


def test_a_phantom_run_tells_learning_from_none(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom, "STEPS", 30)
    card = method_card("early_fusion")
    outcome = phantom.phantom_run(Trial(load_method_of(card), card, "paper", tmp_path))
    assert outcome.status is Status.PASSED, outcome
    assert all(f"{name} 0." in outcome.detail for name in ("mean_shape", "empty", "supervised"))
    idle = "def weight(self, scores, clock):\n    return -1.0"  # the wrong sign
    outcome = phantom.phantom_run(trial_of(idle, tmp_path))
    assert outcome.status is Status.FAILED
    assert "Dice 0.0" in outcome.detail
