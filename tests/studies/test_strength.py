"""The shares that `make coverage` and `make mutate` print and judge."""

import json

import pytest
import strength


def meta(folder, file, codes):
    path = folder / f"{file}.meta"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"exit_code_by_key": {f"x__mutmut_{i}": code for i, code in enumerate(codes, 1)}})
    )


def test_mutants_that_no_test_notices_are_counted_and_named(tmp_path, capsys):
    """Killed, killed by a limit, alive, without a test, not tried: 2 of 4 that were tried."""
    meta(tmp_path, "parallax/score/metrics.py", [1, -24, 0, 33, None])
    meta(tmp_path, "parallax/learn/availability.py", [1, 1, 1])
    meta(tmp_path, "parallax/learn/job.py", [])
    assert strength.main(["mutation", str(tmp_path)]) == 1
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert ["metrics", "`parallax/score/metrics.py`", "5", "4", "2", "2", "50.0"] in rows
    assert ["**perturbations**", "", "", "3", "3", "0", "100.0"] in rows
    assert ["x__mutmut_3"] in rows
    assert ["x__mutmut_4"] in rows
    meta(tmp_path, "parallax/score/metrics.py", [1] * 17 + [0] * 3)
    assert strength.main(["mutation", str(tmp_path)]) == 0
    meta(tmp_path, "parallax/score/metrics.py", [1] * 16 + [0] * 3)
    assert strength.main(["mutation", str(tmp_path)]) == 1


def test_nothing_tried_is_no_success(tmp_path):
    meta(tmp_path, "parallax/score/metrics.py", [None])
    assert strength.main(["mutation", str(tmp_path)]) == 1


@pytest.mark.parametrize(("covered", "status"), [(19, 0), (18, 1)])
def test_branches_have_a_bound_of_their_own(covered, status, tmp_path, capsys):
    totals = {"covered_lines": 99, "num_statements": 100, "covered_branches": covered, "num_branches": 20}
    files = {
        name: {"summary": {"missing_branches": branches, "missing_lines": 3}}
        for name, branches in (("a.py", 1), ("b.py", 7))
    }
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"totals": totals, "files": files}))
    assert strength.main(["coverage", str(path)]) == status
    first, _, _, worst, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("lines 99.00 % (99 of 100), branches")
    assert worst.split() == ["7", "3", "b.py"]


def test_wrong_use_is_told(capsys):
    assert strength.main([]) == 2
    assert "Usage" in capsys.readouterr().err
