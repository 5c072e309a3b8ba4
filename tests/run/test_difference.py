import json
import math

import pytest
from tidy import method_rows, row, skipped_row, toy_rows

from parallax.cli import main
from parallax.errors import DataError
from parallax.run.difference import compare_runs, manifest_differences
from parallax.score.table import write_rows

MANIFEST = {
    "run": "a",
    "commit": "1",
    "methods": {"cmc": "ab"},
    "seeds": {"training": [0]},
    "versions": {"torch": "2.9"},
    "config": {"run": "a", "budget": {"steps": 3}},
    "scores_sha256": "x",
}


def run(folder, rows, **changes):
    folder.mkdir()
    write_rows(rows, folder / "scores.csv")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | changes), encoding="utf-8")
    return folder


def test_runs_with_the_same_scores_are_the_same_in_any_order(tmp_path):
    rows = [*toy_rows(), skipped_row("beta", "one reason"), skipped_row("beta", "another")]
    found = compare_runs(run(tmp_path / "a", rows), run(tmp_path / "b", rows[::-1], run="b"))
    assert found.same
    assert (found.rows, found.causes, found.largest) == (len(rows), {}, {})


def test_the_last_bit_of_a_value_makes_a_difference(tmp_path):
    rows = [row(case=case, value=0.1 + 0.2) for case in "ab"]
    changed = [rows[0], row(case="b", value=math.nextafter(0.1 + 0.2, 0))]
    found = compare_runs(run(tmp_path / "a", rows), run(tmp_path / "b", changed))
    assert [(d.row.case, d.columns) for d in found.differing] == [("b", ("value",))]
    assert 0 < found.largest["dice"] < 1e-16


@pytest.mark.parametrize(
    ("other", "tolerance", "same"),
    [
        ({"value": 0.81}, 0.0, False),
        ({"value": 0.81}, 0.02, True),
        ({"value": 0.83}, 0.02, False),
        ({"value": 0.0, "status": "missed"}, 0.02, False),
        ({"status": "failed", "reason": "no"}, 0.5, False),
        ({"shift_mm": 1.0}, 0.0, False),
    ],
)
def test_a_tolerance_is_for_values_of_dice(tmp_path, other, tolerance, same):
    folders = run(tmp_path / "a", [row()]), run(tmp_path / "b", [row(**other)])
    assert compare_runs(*folders, tolerance).same is same


def test_distances_do_not_decide_where_something_is_tolerated_and_are_told(tmp_path):
    a, b = (method_rows("cmc", 0.5, hd95) for hd95 in (3.0, 50.0))
    folders = run(tmp_path / "a", a), run(tmp_path / "b", b)
    assert not compare_runs(*folders).same
    found = compare_runs(*folders, 0.01)
    assert found.same
    assert found.largest == {"hd95_mm": 47.0}


def test_rows_of_one_run_alone_make_a_difference(tmp_path):
    folders = run(tmp_path / "a", toy_rows()), run(tmp_path / "b", toy_rows()[:-1])
    found = compare_runs(*folders, 0.5)
    assert not found.same
    assert [len(rows) for rows in found.only] == [1, 0]


def test_manifests_tell_what_may_be_the_cause():
    other = MANIFEST | {"methods": {"cmc": "cd"}, "versions": {"torch": "2.8", "numpy": "2"}, "run": "b"}
    other |= {"config": {"run": "b", "budget": {"steps": 4}}, "scores_sha256": "y"}
    assert manifest_differences(MANIFEST, other) == {
        "methods.cmc": ("ab", "cd"),
        "versions.torch": ("2.9", "2.8"),
        "versions.numpy": (None, "2"),
        "config.budget.steps": (3, 4),
    }


def test_scans_are_compared_by_content_wherever_they_lie():
    here = MANIFEST | {"scans": {"la": {"/a/1.nii": "x", "/a/2.nii": "y"}, "phantom": {}}}
    there = MANIFEST | {"scans": {"la": {"/b/1.nii": "x", "/b/2.nii": "y"}, "phantom": {}}}
    assert manifest_differences(here, there) == {}
    changed = MANIFEST | {"scans": {"la": {"/b/1.nii": "z"}, "phantom": {}}}
    ((key, (ours, theirs)),) = manifest_differences(here, changed).items()
    assert (key, ours[:8], theirs[:7]) == ("scans.la", "2 files,", "1 file,")


def test_a_folder_without_scores_is_named(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        compare_runs(tmp_path / "none", tmp_path)


@pytest.mark.parametrize(("value", "code"), [(0.8, 0), (0.7, 1), (None, 2)])
def test_the_command_ends_with_0_1_or_2(tmp_path, monkeypatch, capsys, value, code):
    first, second = run(tmp_path / "a", [row(value=0.8)]), tmp_path / "b"
    if value is not None:
        run(second, [row(value=value)], commit="2")
    monkeypatch.setattr("sys.argv", ["parallax", "diff", str(first), str(second)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == code
    out = capsys.readouterr()
    assert ("no such folder" in out.err) == (code == 2)
    assert ("commit: 1 / 2" in out.out) == (code < 2)
