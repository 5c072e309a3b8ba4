"""The table of presets: what each changes, by how much, and how sure that is."""

from dataclasses import replace

import pandas as pd
import pytest
from tidy import method_rows

from parallax.report.write import TableInputs, build, write_all
from parallax.score.table import write_rows

SWITCHES = {"presets": {"cmc": {"no_csc": {"terms": "cac"}}}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Ten cases on two datasets: `released` is 5 points lower, `no_csc` case by case equal."""
    rows = []
    for dataset in ("one", "two"):
        for preset, dice in (("paper", 0.80), ("released", 0.75), ("no_csc", 0.80)):
            rows += method_rows("cmc", dice, cases=10, preset=preset, dataset=dataset)
        rows += method_rows("nnunet", 0.7, cases=10, dataset=dataset)
    noisy = [
        replace(row, value=row.value + 0.001 * (i % 7)) if row.preset == "released" else row
        for i, row in enumerate(rows)
    ]
    path = tmp_path_factory.mktemp("presets") / "scores.csv"
    write_rows(noisy, path)
    return build(TableInputs(path, notes=SWITCHES))


def test_one_table_with_presets_as_rows_and_datasets_as_columns(made):
    (table,) = made.presets
    assert table.header == ("Preset", "Changes", "one", "two")
    assert [row[0].split(" · ")[1:] for row in table.rows] == [[], ["released"], ["no_csc"]]
    assert table.rows[0][2:] == ("0.845", "0.845")


def test_what_differs_is_named(made):
    (table,) = made.presets
    assert table.rows[0][1] == "–"
    assert table.rows[1][1] == "16 switches, see docs/methods/cmc.md"
    assert table.rows[2][1] == "terms = cac"


def test_differences_carry_intervals(made):
    (table,) = made.presets
    lost = made.presets_compared[0].rows
    released = next(row for row in lost if row.preset == "released")
    assert released.difference == pytest.approx(-0.047, abs=0.001)
    assert table.rows[1][2].startswith(f"{100 * released.difference:+.1f} (")
    assert released.low < released.difference < released.high < 0
    assert table.rows[2][2].startswith("+0.0")


def test_files_are_written(made, tmp_path):
    write_all(made, tmp_path / "tables")
    frame = pd.read_csv(tmp_path / "tables" / "presets.csv")
    assert set(frame["preset"]) == {"released", "no_csc"}
    assert "terms = cac" in (tmp_path / "tables" / "presets.md").read_text()
    assert (tmp_path / "tables" / "presets.tex").exists()
