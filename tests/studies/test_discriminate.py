"""The study of the phantoms, on images and scores whose answer is known."""

import discriminate as study
import numpy as np
import pandas as pd
import pytest
from tidy import row

from parallax.score.stats.separation import separation


def ball_and_noise(contrast):
    rng = np.random.default_rng(0)
    index = np.indices((24, 24, 24)) - 11.5
    label = (np.linalg.norm(index, axis=0) < 8).astype(np.uint8)
    return (contrast * label + rng.normal(0, 1, label.shape)).astype(np.float32), label


def test_a_strong_boundary_is_all_shown_and_none_is_what_noise_gives():
    strong, absent = (study.shown_share(*ball_and_noise(c), 1) for c in (10.0, 0.0))
    assert strong > 0.99
    assert absent == pytest.approx(0.05, abs=0.02)
    assert np.isnan(study.shown_share(*ball_and_noise(1.0), 2))


def scores():
    """`early_fusion` gains 0.1 in CT and nothing in MR when aligned, and loses 0.2 in both when shifted."""
    rows = []
    for case in range(8):
        for seed in (0, 1):
            about = {"case": f"c{case}", "seed": seed, "metric": "dice", "dataset": "toy"}
            wobble = 0.001 * case + 0.002 * seed
            for level, fraction, method, modality, dice in (
                ("aligned", 1.0, "supervised", "CT", 0.6),
                ("aligned", 1.0, "supervised", "MR", 0.8),
                ("aligned", 1.0, "early_fusion", "CT", 0.7),
                ("aligned", 1.0, "early_fusion", "MR", 0.8),
                ("aligned", 0.1, "supervised", "CT", 0.5),
                ("aligned", 0.1, "early_fusion", "CT", 0.7),
                ("shifted", 1.0, "supervised", "CT", 0.6),
                ("shifted", 1.0, "supervised", "MR", 0.8),
                ("shifted", 1.0, "early_fusion", "CT", 0.5),
                ("shifted", 1.0, "early_fusion", "MR", 0.6),
            ):
                where = {"misalignment": level, "label_fraction": fraction, "modality": modality}
                rows.append(row(method=method, value=dice + wobble, **where, **about))
    return pd.DataFrame([vars(r) for r in rows])


def test_signs_are_paired_differences_in_points():
    poor = pd.DataFrame({"case": [f"c{i}" for i in range(8)], "structure": "large", "modality": "CT"})
    few, _, both, shift = study.signs("toy", scores(), poor)
    assert few.points == pytest.approx(20.0)  # (0.6 + 0.8) / 2 - 0.5
    assert both.points == pytest.approx(10.0)
    assert shift.points == pytest.approx(20.0)
    assert [s.shown for s in (few, both, shift)] == ["yes"] * 3
    assert both.low == pytest.approx(10.0)
    none = study.sign("toy", "nothing", study.paired(scores(), method="supervised") * 0)
    assert none.shown == "no"


def test_the_ratio_is_between_methods_over_seeds():
    frame = separation(scores(), ["dataset", "misalignment", "label_fraction"])
    shifted = frame[frame.misalignment == "shifted"].iloc[0]
    assert shifted["within"] == pytest.approx(0.2 / np.sqrt(2))
    assert shifted["between"] == pytest.approx(15 / np.sqrt(2))
    assert shifted["ratio"] == pytest.approx(75)
    assert shifted["its_sd"] == pytest.approx(0.2 / np.sqrt(2))


def test_a_copied_oracle_is_compared_value_by_value():
    about = {"method": "oracle", "adapter": "broadcast"}
    rows = [row(metric=m, value=v, **about) for m, v in (("dice", 0.7), ("dice_ceiling", 0.65))]
    (found,) = study.ceiling_rows(pd.DataFrame([vars(r) for r in rows])).itertuples()
    assert (found.values, found.apart) == (1, pytest.approx(0.05))
