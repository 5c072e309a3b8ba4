import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tidy_run import AFFINE, RUN, SHAPE, ball, write_predictions, write_test_part

from parallax.case import Volume
from parallax.data.volumes import write_volume
from parallax.errors import DataError, GeometryError
from parallax.plugin import plugin_root
from parallax.score.compare import score_pair
from parallax.score.metrics import METRICS
from parallax.score.runs import CEILING, read_run_info, score_run
from parallax.score.table import read_rows

INFO = read_run_info(RUN)
OK = {"status": "ok", "reason": ""}


@pytest.fixture
def data(tmp_path, two_modality_task):
    write_test_part(tmp_path / "test", two_modality_task)
    return tmp_path / "test"


def values(rows, **wanted):
    return [row.value for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]


def test_rows_cover_case_modality_structure_and_metric(data, tmp_path):
    write_predictions(tmp_path / "p", {"CT": 0, "MR": 2})
    rows = score_run(data, tmp_path / "p", OK, INFO)
    assert len(rows) == 2 * 2 * 2 * len(METRICS)
    assert values(rows, metric="dice") == [1.0] * 8
    assert values(rows, metric="hd95_mm") == [0.0] * 8
    first = rows[0]
    assert (first.shift_mm, first.rotation_deg, first.available) == (4.0, 5.0, "CT+MR")
    assert (first.pretraining, first.checkpoint_rule) == ("none", "last")


def test_distances_are_in_mm(data, tmp_path):
    write_predictions(tmp_path / "p", {"CT": 2, "MR": 2})
    rows = score_run(data, tmp_path / "p", OK, INFO)
    # Two voxels of 2 mm along x.
    assert values(rows, case="a", modality="CT", structure="small", metric="hd95_mm") == [4.0]


def test_a_missed_structure_costs_the_diagonal_of_the_unperturbed_grid(data, tmp_path, two_modality_task):
    unperturbed = tmp_path / "prepared"
    write_test_part(unperturbed, two_modality_task)
    wide = np.zeros((40, *SHAPE[1:]), np.uint8)
    for case in "ab":
        write_volume(Volume(wide, AFFINE), unperturbed / "labels" / f"{case}__CT.nii.gz")
    for case in "ab":
        for modality in ("CT", "MR"):
            empty = Volume(np.zeros(SHAPE, np.uint8), AFFINE)
            write_volume(empty, tmp_path / "p" / f"{case}__{modality}.nii.gz")
    rows = score_run(data, tmp_path / "p", OK, INFO, unperturbed)
    assert {row.status for row in rows} == {"missed"}
    assert set(values(rows, modality="CT", metric="hd95_mm")) == {float(np.linalg.norm([80, 36, 36]))}
    assert set(values(rows, modality="MR", metric="hd95_mm")) == {float(np.linalg.norm([40, 36, 36]))}


def test_a_failed_run_leaves_a_row_for_everything(data, tmp_path):
    rows = score_run(data, tmp_path / "nothing", {"status": "failed", "reason": "killed"}, INFO)
    assert len(rows) == 8 * len(METRICS)
    assert {(row.status, row.reason) for row in rows} == {("failed", "killed")}


def test_an_absent_or_wrong_prediction_fails_alone(data, tmp_path):
    write_predictions(tmp_path / "p", {"CT": 0, "MR": 2})
    (tmp_path / "p" / "a__CT.nii.gz").unlink()
    write_volume(Volume(ball(), np.diag([1.0, 1.0, 1.0, 1.0])), tmp_path / "p" / "b__MR.nii.gz")
    rows = score_run(data, tmp_path / "p", OK, INFO)
    failed = {(row.case, row.modality): row.reason for row in rows if row.status == "failed"}
    assert set(failed) == {("a", "CT"), ("b", "MR")}
    assert "no prediction" in failed[("a", "CT")]
    assert "grid" in failed[("b", "MR")]


def test_broadcast_rows_carry_their_ceiling(data, tmp_path):
    write_predictions(tmp_path / "p", {"CT": 0, "MR": 0})
    rows = score_run(data, tmp_path / "p", OK, replace(INFO, adapter="broadcast"))
    assert values(rows, metric=CEILING, modality="CT") == [1.0] * 4
    # A map perfect on CT, copied to MR, reaches exactly the ceiling there.
    assert values(rows, metric=CEILING, modality="MR") == values(rows, metric="dice", modality="MR")
    assert max(values(rows, metric=CEILING, modality="MR")) < 0.9


def test_a_run_must_say_what_it_is():
    with pytest.raises(DataError, match="no adapter, seed"):
        read_run_info({name: RUN[name] for name in RUN if name not in ("adapter", "seed")})


def test_script_writes_the_same_rows_without_heavy_imports(data, tmp_path):
    write_predictions(tmp_path / "p", {"CT": 1, "MR": 2})
    script = plugin_root() / "workflow" / "scripts" / "score.py"
    code = (
        "import runpy, sys\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n    heavy = {'torch', 'pandas', 'matplotlib', 'monai'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    (tmp_path / "status.json").write_text(json.dumps(OK))
    arguments = ["--data", data, "--predictions", tmp_path / "p", "--status", tmp_path / "status.json"]
    arguments += ["--run", json.dumps(RUN), "--out", tmp_path / "scores.csv"]
    code = f"import sys; sys.argv = {[str(script), *map(str, arguments)]!r}\n{code}"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert read_rows(tmp_path / "scores.csv") == score_run(data, tmp_path / "p", OK, INFO)


def test_any_two_label_maps_can_be_compared(data, tmp_path):
    write_predictions(tmp_path / "p", {"CT": 1})
    rows = score_pair(data / "labels" / "a__CT.nii.gz", tmp_path / "p" / "a__CT.nii.gz")
    assert {row["case"] for row in rows} == {"a__CT"}
    assert [row["structure"] for row in rows[:: len(METRICS)]] == ["label 1", "label 2"]
    assert 0 < rows[0]["value"] < 1


def test_folders_are_compared_by_file_name(data, tmp_path):
    write_predictions(tmp_path / "p", {"CT": 0})
    rows = score_pair(data / "labels", tmp_path / "p")
    assert {row["case"]: row["status"] for row in rows} == {
        "a__CT": "ok", "a__MR": "failed", "b__CT": "ok", "b__MR": "failed",
    }  # fmt: skip


def test_comparison_names_what_is_wrong(data, tmp_path):
    with pytest.raises(DataError, match="absent"):
        score_pair(data / "labels", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing to score"):
        score_pair(tmp_path / "empty", tmp_path / "empty")
    write_volume(Volume(ball(), np.eye(4)), tmp_path / "other.nii.gz")
    with pytest.raises(GeometryError, match="grid"):
        score_pair(data / "labels" / "a__CT.nii.gz", tmp_path / "other.nii.gz")


def test_rows_of_every_subset_say_what_was_given_and_hold_nothing_else(data, tmp_path):
    write_predictions(tmp_path / "p", {"CT": 0, "MR": 2})
    write_predictions(tmp_path / "p" / "CT", {"CT": 1})
    lost = {"status": "failed", "reason": "no"}
    rows = score_run(data, tmp_path / "p", OK | {"subsets": {"CT": OK, "MR": lost}}, INFO)
    full = score_run(data, tmp_path / "p", OK, INFO)
    assert [row for row in rows if row.available == "CT+MR"] == full
    assert {row.modality for row in rows if row.available == "CT"} == {"CT"}
    assert all(0 < value < 1 for value in values(rows, available="CT", metric="dice"))
    assert {(row.modality, row.status) for row in rows if row.available == "MR"} == {("MR", "failed")}
    assert len(rows) == 2 * len(full)
    broadcast = score_run(
        data, tmp_path / "p", OK | {"subsets": {"CT": OK}}, replace(INFO, adapter="broadcast")
    )
    assert {row.available for row in broadcast if row.metric == CEILING} == {"CT+MR"}
