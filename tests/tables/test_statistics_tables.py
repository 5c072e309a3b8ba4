import csv
import math

import pytest
import simulated
from tidy import method_rows, toy_rows

from parallax.report.write import TableInputs, build, write_all
from parallax.score.table import to_frame, write_parquet
from parallax.tables.comparisons import compare, find_reference
from parallax.tables.layout import Context, run_notes
from parallax.tables.statistics_tables import comparison_tables, rank_tables
from parallax.tables.summary import summarise
from parallax.tables.trend_tables import trend_tables
from parallax.tables.trends import trends

CONTEXT = Context({"nnunet": "nnU-Net"}, families={"s1": "rigid", "s2": "rigid", "cut": "fov"})
NOTHING_LOST = {"supervised": 0.0, "early_fusion": 0.015, "nnunet": 0.005}


def grid(levels=(("aligned", 0.0), ("s1", 2.0), ("s2", 8.0)), fractions=(0.5,), loss=NOTHING_LOST, **more):
    """Three methods on a grid: Dice falls by `loss` per mm, and by 0.05 with every halving of the labels."""
    truth = {
        (method, level, mm, fraction): 0.85 - per_mm * mm + 0.05 * math.log2(fraction)
        for method, per_mm in loss.items()
        for level, mm in levels
        for fraction in fractions
    }
    return simulated.scores(truth, **more)


def cells(table, row=0):
    return dict(zip(table.header, table.rows[row], strict=True))


def test_verdicts_are_those_that_were_planted():
    truth = {("nnunet", "aligned", 0.0, 1.0): 0.8, ("a", "aligned", 0.0, 1.0): 0.84}
    truth |= {("b", "aligned", 0.0, 1.0): 0.76, ("c", "aligned", 0.0, 1.0): 0.8}
    frame = simulated.scores(truth, seed=2)
    (found,) = compare(frame, CONTEXT)
    verdicts = {row.method: row.verdict for row in found.rows}
    assert verdicts == {"a": "better", "b": "worse", "c": "not separable"}
    by_method = {row.method: row for row in found.rows}
    assert by_method["a"].low < 0.04 < by_method["a"].high
    assert (by_method["a"].seeds, by_method["a"].runs, by_method["a"].cases) == (3, 3, 12)
    assert by_method["a"].p_holm == pytest.approx(3 * by_method["a"].p)
    assert found.between / found.within > 3
    (table,) = comparison_tables([found], summarise(frame), CONTEXT)
    assert [row[0] for row in table.rows] == ["a", "c", "b"]
    assert cells(table)["Verdict"] == "better"
    assert "ratio" in table.notes[0]
    assert "a is ahead" in table.notes[1]


def test_a_first_place_that_is_one_of_trainings_is_no_win():
    truth = {("nnunet", "aligned", 0.0, 1.0): 0.8, ("a", "aligned", 0.0, 1.0): 0.8}
    frame = simulated.scores(truth, sd_run=0.02, sd_rest=0.001)
    (found,) = compare(frame, CONTEXT)
    (table,) = comparison_tables([found], summarise(frame), CONTEXT)
    assert found.first_false < 0.001
    assert "not separable, no winner" in table.notes[1]
    assert cells(table)["Verdict"] == "not separable"


def test_one_seed_is_told_in_the_verdict():
    truth = {("nnunet", "aligned", 0.0, 1.0): 0.8, ("a", "aligned", 0.0, 1.0): 0.84}
    frame = simulated.scores(truth, seeds=(0,))
    (table,) = comparison_tables(compare(frame, CONTEXT), summarise(frame), CONTEXT)
    assert cells(table)["Verdict"] == "better, one seed"
    assert "One training seed" in table.notes[-1]
    assert "is not known" in table.notes[0]


def test_few_cases_are_neither_ranked_nor_judged():
    frame = to_frame(toy_rows(4))
    found = compare(frame, CONTEXT)
    lines = summarise(frame)
    first = comparison_tables(found, lines, CONTEXT)[0]
    assert cells(first)["Verdict"] == "too few cases: needs 7"
    assert cells(first)["95 % interval"] == cells(first)["p (Holm)"] == "–"
    (ranks,) = rank_tables(found, lines, CONTEXT)
    assert "3 methods need 7 cases, there are 4" in ranks.notes[1]
    assert {cell for row in ranks.rows for cell in row[1:]} == {"–"}


def test_ranks_show_how_firm_they_are():
    truth = {("nnunet", "aligned", 0.0, 1.0): 0.8, ("a", "aligned", 0.0, 1.0): 0.9}
    truth |= {("b", "aligned", 0.0, 1.0): 0.8}
    frame = simulated.scores(truth, seed=1, sd_run=0.0)
    (table,) = rank_tables(compare(frame, CONTEXT), summarise(frame), CONTEXT)
    assert {row[0]: row[1][0] for row in table.rows}["a"] == "1"
    assert "(2 to 3)" in table.rows[0][1] + table.rows[-1][1]
    assert "tau median" in table.notes[1]
    assert "change places" in table.notes[1]


def test_another_reference_and_its_stand_in():
    names = [("a", "paper"), ("a", "released"), ("supervised", "paper")]
    contenders = [(*name, "native", "none", "last") for name in names]
    assert find_reference(contenders, "a:released")[:2] == ("a", "released")
    assert find_reference(contenders, "nnunet")[0] == "supervised"
    assert find_reference(contenders[:2], "nnunet") is None
    frame = grid(levels=(("aligned", 0.0),), loss={"supervised": 0, "early_fusion": 0})
    (table,) = comparison_tables(compare(frame, CONTEXT), summarise(frame), CONTEXT)
    assert table.title.startswith("Against supervised")
    assert any("nnU-Net did not run here" in note for note in table.notes)


def test_datasets_that_are_not_ranked_and_controls_are_left_out():
    frame = to_frame(toy_rows(8))
    assert all(row.method != "oracle" for one in compare(frame, CONTEXT) for row in one.rows)
    assert compare(frame, Context({}, unranked=frozenset({"toy"}))) == []


def test_robustness_is_that_which_was_planted():
    frame = grid()
    (table,) = trend_tables(trends(frame, CONTEXT), summarise(frame), CONTEXT)
    assert table.title == "Robustness to rigid misalignment, toy: 50 % labels"
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert rows["supervised"]["Loses 5 points at (mm)"] == "> 8.1"
    assert rows["early_fusion"]["Loses 5 points at (mm)"].startswith("3.")
    slopes = {name: float(row["Points per mm"].split()[0]) for name, row in rows.items()}
    assert slopes == pytest.approx({"supervised": 0.0, "early_fusion": -1.5, "nnU-Net": -0.5}, abs=0.1)
    assert float(rows["supervised"]["Against nnU-Net"].split()[0]) == pytest.approx(0.5, abs=0.1)
    assert rows["nnU-Net"]["Against nnU-Net"] == "–"


def test_families_without_a_distance_and_single_levels_have_no_curve():
    frame = grid(levels=(("aligned", 0.0), ("cut", 0.0)), cases=6)
    assert trends(frame, CONTEXT) == []
    frame = grid(levels=(("s1", 2.0), ("s2", 4.0)), cases=6)
    assert trends(frame, CONTEXT) == []


def test_more_labels_bring_what_was_planted():
    frame = grid(levels=(("aligned", 0.0),), fractions=(0.25, 0.5, 1.0))
    (table,) = trend_tables(trends(frame, CONTEXT), summarise(frame), CONTEXT)
    assert table.title == "What more labels bring, toy: aligned"
    slopes = [float(row[1].split()[0]) for row in table.rows]
    assert slopes == pytest.approx([5.0] * 3, abs=0.6)


def test_statistics_are_written_as_files_that_agree(tmp_path):
    write_parquet(grid(cases=8), tmp_path / "scores.parquet")
    made = build(TableInputs(tmp_path / "scores.parquet", notes={"families": dict(CONTEXT.families)}))
    write_all(made, tmp_path / "tables")
    with (tmp_path / "tables" / "statistics.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    assert {row["reference"] for row in rows} == {"nnunet"}
    for name in ("ranks.csv", "trends.csv", "statistics.md", "statistics.tex"):
        assert (tmp_path / "tables" / name).stat().st_size > 100
    text = (tmp_path / "tables" / "statistics.md").read_text(encoding="utf-8")
    assert text.count("## ") == 3 + 1 + 1


def test_a_single_method_has_no_statistics(tmp_path):
    write_parquet(to_frame(method_rows("nnunet", 0.8, cases=8)), tmp_path / "scores.parquet")
    made = build(TableInputs(tmp_path / "scores.parquet"))
    write_all(made, tmp_path / "tables")
    assert made.statistics == []
    assert not (tmp_path / "tables" / "statistics.md").exists()


def test_what_tables_need_of_a_configuration():
    config = {"misalignments": {"s": {"severity": 1}, "e": {"family": "elastic"}}, "notes": ["x"]}
    config |= {"datasets": {"a": {"rank": False}, "b": {}}, "reference": "supervised"}
    found = run_notes(config)
    assert found["families"] == {"s": "rigid", "e": "elastic"}
    assert (found["unranked"], found["notes"], found["reference"]) == (["a"], ["x"], "supervised")
