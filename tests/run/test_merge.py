"""Runs that several machines shared, joined."""

import json

import pytest
from tidy import method_rows, skipped_row
from typer.testing import CliRunner

from parallax.cli import app
from parallax.exchange.finished import ExportError
from parallax.run.merge import MergeError, merge_runs
from parallax.score.gather import COST_COLUMNS, write_costs
from parallax.score.table import RUN_KEYS, read_rows, read_table, to_frame, write_parquet, write_rows

CONFIG = {
    "run": "part",
    "methods": ["supervised"],
    "conditions": [{"labels": [1.0]}],
    "seeds": [0],
    "datasets": {"toy": {"options": {"cases": 6}}},
    "budget": {"steps": 3},
}


def manifest(**changes):
    values = {
        "run": "part",
        "commit": "0123abc",
        "methods": {"supervised": "s0"},
        "splits": {"toy": "aa"},
        "inputs": {"splits/toy.json": "bb"},
        "scans": {"toy": {"/here/a.nii.gz": "cc"}},
        "machine": {"cores": 2},
        "versions": {"torch": "2.9"},
        "config": CONFIG,
    }
    return values | changes


def run(folder, rows, **changes):
    """A finished run with these rows and this manifest."""
    folder.mkdir()
    write_rows(rows, folder / "scores.csv")
    write_parquet(to_frame(rows), folder / "scores.parquet")
    runs = {tuple(getattr(row, name) for name in RUN_KEYS) for row in rows if row.case}
    spent = dict.fromkeys(COST_COLUMNS, 1.0) | {"device": "cpu"}
    write_costs([dict(zip(RUN_KEYS, keys, strict=True)) | spent for keys in runs], folder / "costs.csv")
    (folder / "splits").mkdir()
    (folder / "splits" / f"{folder.name}.json").write_text("{}")
    (folder / "manifest.json").write_text(json.dumps(manifest(**changes)))
    return folder


SUPERVISED = method_rows("supervised", 0.7, cases=6)
CMC = method_rows("cmc", 0.8, cases=6)


def test_what_two_machines_ran_becomes_one_run(tmp_path):
    ours = run(tmp_path / "a", [*SUPERVISED, skipped_row("mkd", "needs pairs")])
    other = {
        "methods": {"cmc": "c0"},
        "scans": {"toy": {"/there/a.nii.gz": "cc"}},
        "versions": {"torch": "2.10"},
        "config": CONFIG | {"methods": ["cmc"]},
    }
    theirs = run(tmp_path / "b", [*CMC, SUPERVISED[0]], **other)
    told = merge_runs([ours, theirs], tmp_path / "both")
    assert told == ["versions differs: the manifest has that of each run"]
    rows = read_rows(tmp_path / "both" / "scores.csv")
    assert len(rows) == len(SUPERVISED) + len(CMC) + 1
    assert len(read_table(tmp_path / "both" / "scores.parquet")) == len(rows)
    joined = json.loads((tmp_path / "both" / "manifest.json").read_text())
    assert joined["config"]["methods"] == ["supervised", "cmc"]
    assert joined["config"]["run"] == joined["run"] == "both"
    assert joined["methods"] == {"supervised": "s0", "cmc": "c0"}
    assert [one["versions"]["torch"] for one in joined["merged"]] == ["2.9", "2.10"]
    assert sorted(p.name for p in (tmp_path / "both" / "splits").iterdir()) == ["a.json", "b.json"]
    main = (tmp_path / "both" / "tables" / "main.md").read_text()
    assert "CMC" in main
    assert "Supervised" in main
    assert "CMC" in (tmp_path / "both" / "report" / "index.html").read_text()
    assert (tmp_path / "both" / "figures" / "differences_toy.pdf").is_file()
    costs = (tmp_path / "both" / "costs.csv").read_text().splitlines()
    assert len(costs) == 3


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"splits": {"toy": "zz"}}, "splits, toy"),
        ({"inputs": {"splits/toy.json": "zz"}}, "inputs, splits/toy.json"),
        ({"methods": {"supervised": "zz"}}, "methods, supervised"),
        ({"scans": {"toy": {"/there/a.nii.gz": "zz"}}}, "scans of toy"),
        ({"config": CONFIG | {"budget": {"steps": 4}}}, "config, budget"),
        ({"config": CONFIG | {"datasets": {"toy": {"options": {"cases": 7}}}}}, "config, datasets, toy"),
    ],
)
def test_runs_that_contradict_each_other_are_not_joined(tmp_path, changes, place):
    ours, theirs = run(tmp_path / "a", SUPERVISED), run(tmp_path / "b", CMC, **changes)
    with pytest.raises(MergeError, match=place):
        merge_runs([ours, theirs], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_one_row_has_one_value(tmp_path):
    ours = run(tmp_path / "a", SUPERVISED)
    theirs = run(tmp_path / "b", method_rows("supervised", 0.71, cases=6))
    with pytest.raises(MergeError, match=r"scores\.csv, .*supervised"):
        merge_runs([ours, theirs], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_the_command_says_what_it_wrote(tmp_path):
    parts = [str(run(tmp_path / "a", SUPERVISED)), str(run(tmp_path / "b", CMC))]
    result = CliRunner().invoke(app, ["merge", *parts, "--out", str(tmp_path / "both")])
    assert result.stdout == f"{tmp_path / 'both'}: scores, tables and report of 2 runs\n"
    with pytest.raises(ExportError, match="no finished run"):
        merge_runs([tmp_path / "nowhere"], tmp_path / "other")
