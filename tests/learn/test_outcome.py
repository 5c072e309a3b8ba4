"""The simulated outcome is a known function of training labels plus chance."""

from dataclasses import replace

import numpy as np
import pytest
from toy import toy_grid, toy_sample, toy_task, without_labels

from parallax.case import Sample
from parallax.learn.outcome import OutcomeModel, simulated_outcomes, volume_and_side

TASK = toy_task(2)
FAIR = OutcomeModel(intercept=0.0, volume=0.0, midline=0.0, age=0.0)


def case(name, voxels, first=0):
    """A label of `voxels` voxels of 8 mm3 that begins at x = `first`."""
    label = np.zeros((2, 10, 10, 10), dtype=np.uint8)
    label[:, first:].reshape(2, -1)[:, :voxels] = 1
    return Sample(name, label.astype(np.float32), label, (True, True), toy_grid((10, 10, 10)))


@pytest.mark.parametrize(
    ("volume_ratio", "midline", "age_years", "expected"),
    [
        (1.0, 0.0, 65.0, 0.5),
        (1.0, 1.0, 65.0, 1 / (1 + np.exp(-1.0))),
        (3.0, 0.0, 65.0, 2 / 3),  # log 4 - log 2 = log 2, odds 2
        (1.0, 0.0, 89.0, 1 / (1 + np.exp(-1.0))),  # two standard deviations, weight 1/2
    ],
)
def test_probability(volume_ratio, midline, age_years, expected):
    assert OutcomeModel().probability(volume_ratio, midline, age_years) == pytest.approx(expected)


def test_without_weights_half_of_the_outcomes_are_1():
    n = 2000
    outcomes = simulated_outcomes([case(f"c{i}", 8) for i in range(n)], FAIR)
    assert abs(np.mean(list(outcomes.values())) - 0.5) < 3 * 0.5 / np.sqrt(n)


def test_large_volumes_have_the_outcome_more_often():
    cases = [case(f"c{i}", 10 if i % 2 else 500) for i in range(400)]
    outcomes = simulated_outcomes(cases, OutcomeModel())
    small, large = (np.mean([outcomes[f"c{i}"] for i in range(start, 400, 2)]) for start in (1, 0))
    assert large > small + 0.05


def test_an_outcome_is_the_same_in_every_run_and_beside_every_other_case():
    cases = [case(f"c{i}", 8) for i in range(20)]
    outcomes = simulated_outcomes(cases, OutcomeModel())
    assert simulated_outcomes(cases[::-1], OutcomeModel()) == outcomes
    assert simulated_outcomes(cases[5:9], OutcomeModel()) == {f"c{i}": outcomes[f"c{i}"] for i in range(5, 9)}
    assert set(outcomes.values()) == {0, 1}


def test_volume_in_ml_and_side():
    assert volume_and_side(case("a", 1000)) == (8.0, 0.0)
    volume_ml, side = volume_and_side(case("b", 100, first=9))
    assert (volume_ml, side) == (0.8, 1.0)


def test_cases_without_a_known_structure_have_no_outcome():
    sample = toy_sample(TASK, "a", (8, 8, 8))
    unknown = without_labels(without_labels(sample, 0), 1)
    cases = [unknown, replace(sample, label=None), case("empty", 0)]
    assert simulated_outcomes(cases, OutcomeModel()) == {}
    assert volume_and_side(without_labels(sample, 0)) == volume_and_side(sample)  # the second mask is as good
