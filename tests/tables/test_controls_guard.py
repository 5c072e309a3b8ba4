"""A control outside its band is an error: what, where, what was expected, what was found, the remedy."""

import json
from dataclasses import replace

import pytest
from tidy import row

from parallax.errors import DataError
from parallax.plugin import method_cards
from parallax.score.table import to_frame
from parallax.tables.controls import check_controls, control_errors, declared_bands, read_overlap

#: Truth and prediction of the shuffled control have 10 mL and 8 mL, so its Dice is at most 16 / 18.
GOOD = [
    row(method="oracle", value=1.0),
    row(method="oracle", metric="nsd", value=1.0),
    row(method="oracle", metric="hd95_mm", value=0.0),
    row(method="oracle", metric="assd_mm", value=0.0),
    row(method="oracle", metric="volume_difference_ml", value=0.0),
    row(method="oracle", preset="broadcast", adapter="broadcast", value=0.7),
    row(method="oracle", preset="broadcast", adapter="broadcast", metric="dice_ceiling", value=0.7),
    row(method="empty", value=0.0, status="missed"),
    row(method="empty", metric="nsd", value=0.0, status="missed"),
    row(method="empty", metric="hd95_mm", value=90.0, status="missed"),
    row(method="empty", metric="volume_difference_ml", value=-10.0, status="missed"),
    row(method="mean_shape", value=0.5),
    row(method="shuffled", value=0.6),
    row(method="shuffled", metric="volume_difference_ml", value=-2.0),
    row(method="cmc", value=0.88),
    row(method="cmc", metric="volume_difference_ml", value=-2.0),
]


def errors(rows, overlap=None):
    return [str(error) for error in control_errors(to_frame(rows), overlap)]


def mutated(method, metric, **changes):
    """The good table with one row of it changed."""
    hit = [i for i, r in enumerate(GOOD) if (f"{r.method}:{r.preset}", r.metric) == (method, metric)]
    assert len(hit) == 1
    return [replace(r, **changes) if i == hit[0] else r for i, r in enumerate(GOOD)]


def test_a_good_table_passes_and_so_does_one_without_controls():
    assert errors(GOOD) == []
    assert errors([row(method="cmc", value=0.9)]) == []


def test_every_control_declares_a_band_and_each_is_broken_below():
    declared = {(f"{band.method}:{band.preset}", band.metric) for band in declared_bands()}
    assert {name.split(":")[0] for name, _ in declared} == {
        c.name for c in method_cards().values() if c.control
    }
    assert {name.split(":")[0] for name, _ in declared} == {"oracle", "empty", "mean_shape", "shuffled"}
    broken = {(method, metric) for method, metric, _, _ in BROKEN if metric != "status"}
    assert {pair for pair in declared if pair[1] != "status"} <= broken


BROKEN = [
    ("oracle:paper", "dice", {"value": 0.9995}, "dice of 1, mean over the structures. Found: 0.9995"),
    ("oracle:paper", "nsd", {"value": 0.99}, "nsd of 1, mean over the structures. Found: 0.99"),
    ("oracle:paper", "hd95_mm", {"value": 1.0}, "hd95_mm of 0, mean over the structures. Found: 1."),
    ("oracle:paper", "assd_mm", {"value": 0.1}, "assd_mm of 0"),
    ("oracle:paper", "dice", {"status": "missed", "value": 0.0}, "status ok or both_empty. Found: missed"),
    ("oracle:broadcast", "dice", {"value": 0.7000001}, "bit for bit. Found: 0.7000001 and 0.7"),
    ("empty:paper", "dice", {"value": 0.01}, "dice of 0, mean over the structures. Found: 0.01"),
    ("empty:paper", "nsd", {"value": 0.01}, "nsd of 0, mean over the structures. Found: 0.01"),
    ("empty:paper", "dice", {"status": "ok"}, "status missed or both_empty. Found: ok"),
    ("mean_shape:paper", "dice", {"value": 1.0}, "dice between 0 and 0.999, mean over the str"),
    ("shuffled:paper", "dice", {"value": 1.0}, "dice between 0 and 0.999, mean over the str"),
]  # fmt: skip


@pytest.mark.parametrize(("control", "metric", "changes", "told"), BROKEN)
def test_a_control_out_of_its_band_is_told_with_place_and_remedy(control, metric, changes, told):
    found = errors(mutated(control, metric, **changes))
    name = control.split(":")[0]
    assert any(f"Control {name} is out of its band" in error and told in error for error in found)
    assert all("Where: toy, aligned, 100 % labels (draw 0), case a, CT, large; " in error for error in found)
    assert all("Remedy: the scoring, the label maps or the split is wrong" in error for error in found)


def test_no_method_may_have_a_dice_that_its_volumes_do_not_allow():
    (found,) = errors(mutated("cmc:paper", "dice", value=0.9))
    assert "A Dice of cmc is larger than the volumes of the two masks allow" in found
    assert "Expected: at most 0.888889. Found: 0.9 (1 such values)" in found
    assert errors(mutated("cmc:paper", "dice", value=16 / 18)) == []


def test_a_control_that_failed_is_told():
    (found,) = errors([row(method="empty", status="failed", reason="ValueError: no way")])
    assert "Control empty failed" in found
    assert "Found: ValueError: no way" in found


def test_the_copied_oracle_is_held_to_its_ceiling_where_there_is_one():
    alone = row(
        method="oracle", preset="broadcast", adapter="broadcast", available="MR", modality="MR", value=1.0
    )
    assert errors([*GOOD, alone]) == []
    bare = [r for r in GOOD if r.metric != "dice_ceiling"]
    (found,) = errors(bare)
    assert "Found: 0.7 and nan" in found


def test_a_case_that_is_trained_on_may_be_known_by_heart(tmp_path):
    perfect = mutated("mean_shape:paper", "dice", value=1.0)
    (tmp_path / "toy.json").write_text(json.dumps({"train": ["a", "b"], "test": ["a"]}))
    overlap = read_overlap(tmp_path)
    assert errors(perfect, overlap) == []
    assert errors(mutated("oracle:paper", "dice", value=0.9), overlap) != []


def test_the_mean_over_structures_counts_and_the_worst_structure_is_named():
    both = [*GOOD, row(method="shuffled", structure="small", value=1.0)]
    assert errors(both) == []
    worse = [
        *GOOD,
        row(method="oracle", structure="small", value=0.5),
        row(method="oracle", case="b", value=0.9),
    ]
    (found,) = errors(worse)
    assert "case a, CT, small; oracle:paper" in found
    assert "Found: 0.75 (2 such places)" in found


def test_the_first_error_is_raised():
    check_controls(to_frame(GOOD))
    with pytest.raises(DataError, match="Control oracle"):
        check_controls(to_frame(mutated("oracle:paper", "dice", value=0.5)))
