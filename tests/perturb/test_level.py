from dataclasses import replace

import numpy as np
import pytest

from parallax.case import Case, Pairing
from parallax.errors import ConfigError
from parallax.perturb.level import case_rng, parameters_for, read_level


def test_severity_is_looked_up_in_the_task_and_the_last_modality_moves(two_modality_task):
    level = read_level({"name": "s", "severity": 2}, two_modality_task)
    assert (level.target_rms_mm, level.moved) == (6.0, "MR")
    assert read_level({"name": "s", "rms_mm": 9, "moved": "CT"}, two_modality_task).moved == "CT"
    assert read_level({"name": "s", "target_rms_mm": 9}, two_modality_task).target_rms_mm == 9


@pytest.mark.parametrize(
    "values",
    [
        {"severity": 1},
        {"name": "s"},
        {"name": "s", "severity": 3},
        {"name": "s", "severity": 1.5},
        {"name": "s", "severity": True},
        {"name": "s", "rms_mm": -1},
        {"name": "s", "rms_mm": 1, "severity": 1},
        {"name": "s", "rms_mm": 1, "moved": "PET"},
        {"name": "s", "rms_mm": 1, "elastic": 2},
        {"name": "s", "translation_mm": [1, 2]},
    ],
)
def test_levels_that_make_no_sense_are_config_errors(values, two_modality_task):
    with pytest.raises(ConfigError):
        read_level(values, two_modality_task)


def test_unpaired_datasets_may_only_be_left_alone(two_modality_task):
    task = replace(two_modality_task, pairing=Pairing.UNPAIRED)
    assert read_level({"name": "aligned", "severity": 0}, task).zero
    with pytest.raises(ConfigError, match="different patients"):
        read_level({"name": "s", "severity": 1}, task)


def test_generator_depends_on_seed_dataset_case_and_name_alone():
    base = case_rng(1, "d", "c", "n").random()
    assert case_rng(1, "d", "c", "n").random() == base
    others = [case_rng(2, "d", "c", "n"), case_rng(1, "e", "c", "n"), case_rng(1, "d", "b", "n")]
    assert len({base, case_rng(1, "d", "c", "m").random(), *(rng.random() for rng in others)}) == 5


def test_a_case_without_a_pair_is_left_as_it_is(ball_case, two_modality_task):
    level = read_level({"name": "s", "severity": 2}, two_modality_task)
    for name in ("CT", "MR"):
        alone = Case("b", {name: ball_case.images[name]})
        assert parameters_for(alone, level, np.random.default_rng(0)).identity
    assert parameters_for(ball_case, level, np.random.default_rng(0)).realised_rms_mm == pytest.approx(6)


def test_written_motion_is_the_same_for_every_case(ball_case, two_modality_task):
    values = {"name": "s", "translation_mm": [3, 0, 4], "rotation_deg": 0}
    level = read_level(values, two_modality_task)
    assert not level.zero
    assert parameters_for(ball_case, level, np.random.default_rng(0)).realised_rms_mm == pytest.approx(5)
