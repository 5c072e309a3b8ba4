import pandas as pd
import pytest
from tidy import row

from parallax.run.verify import control_problems


def problems(*rows):
    return control_problems(pd.DataFrame([vars(r) for r in rows]))


def copied(dice, ceiling):
    about = {"method": "oracle", "preset": "broadcast", "adapter": "broadcast", "modality": "MR"}
    return row(metric="dice", value=dice, **about), row(metric="dice_ceiling", value=ceiling, **about)


def test_controls_within_their_bands_are_in_order():
    good = row(method="oracle", value=1.0), row(method="oracle", metric="hd95_mm", value=0.0)
    assert problems(*good, row(method="empty", value=0.0), *copied(0.7, 0.7)) == []


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (row(method="oracle", value=0.999), "oracle has dice 0.999 instead of 1.0 at toy a CT large"),
        (row(method="oracle", metric="hd95_mm", value=1.0), "hd95_mm 1.0 instead of 0.0"),
        (row(method="empty", value=0.1), "empty has dice 0.1 instead of 0.0"),
        (row(method="cmc", status="failed", reason="no loss"), "cmc failed on toy: no loss"),
    ],
)
def test_a_control_out_of_its_band_and_a_failed_run_are_told(bad, told):
    (found,) = problems(bad)
    assert told in found


def test_a_copied_oracle_must_lose_exactly_its_ceiling():
    (found,) = problems(*copied(0.7, 0.7000001))
    assert "dice 0.7, its ceiling is 0.7000001, at toy a MR large" in found
