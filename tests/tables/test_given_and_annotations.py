"""Tables where modalities were left out at test, or labels at training."""

import dataclasses

import numpy as np
import pytest
from tidy import method_rows, row, skipped_row, toy_rows

from parallax.figures.panels import _labels
from parallax.report.write import TableInputs, build, write_all
from parallax.score.gather import gather
from parallax.score.stats.spread import generator_for, spread
from parallax.score.table import read_table, to_frame, write_parquet, write_rows
from parallax.tables.group import group_of
from parallax.tables.layout import Context
from parallax.tables.per_condition import excluded_table, given_tables, main_tables, overview_tables
from parallax.tables.summary import summarise, summarise_by_given, summarise_by_structure

CONTEXT = Context({})


def reduced_rows():
    """The toy runs, and those with all modalities again with the CT alone, 0.2 worse."""
    less = [
        dataclasses.replace(r, available="CT", value=r.value - 0.2)
        for r in toy_rows()
        if r.modality == "CT" and r.status == "ok" and r.metric == "dice"
    ]
    return toy_rows() + less


def test_main_numbers_do_not_know_of_modalities_left_out():
    full, reduced = to_frame(toy_rows()), to_frame(reduced_rows())
    assert str(summarise(reduced)) == str(summarise(full))
    assert str(summarise_by_structure(reduced)) == str(summarise_by_structure(full))
    assert summarise_by_given(full) == []


def test_one_table_per_condition_shows_what_is_left():
    table = to_frame(reduced_rows())
    aligned, aligned_hd95, shifted, shifted_hd95 = given_tables(
        summarise_by_given(table), summarise(table), CONTEXT
    )
    assert aligned.header == ("Method", "CT, given CT+MR", "CT, given CT", "MR, given CT+MR")
    cells = {cells[0]: cells[1:] for cells in aligned.rows}
    assert [cell[:5] for cell in cells["nnunet"]] == ["0.715", "0.515", "0.715"]
    assert list(cells) == [r[0] for r in main_tables(summarise(table), to_frame([]), CONTEXT)[0].rows]
    assert {r[0]: r[1:] for r in shifted.rows}["alpha"] == ("skipped",) * 3
    assert {r[0]: r[1:] for r in shifted.rows}["zeta"] == ("failed", "–", "failed")
    assert "given" in aligned.name
    assert aligned_hd95.header == aligned.header
    assert aligned_hd95.rows[0][1] == "3.0 | 3.0 ± 0.0 | 0+0/4"
    assert {r[0]: r[1:] for r in shifted_hd95.rows}["alpha"] == ("skipped",) * 3


def test_the_table_is_written_only_where_something_was_left_out(tmp_path):
    for name, rows in (("full", toy_rows()), ("reduced", reduced_rows())):
        write_parquet(to_frame(rows), tmp_path / f"{name}.parquet")
        write_all(build(TableInputs(tmp_path / f"{name}.parquet")), tmp_path / name)
    assert not list((tmp_path / "full").glob("given*"))
    assert {p.suffix for p in (tmp_path / "reduced").glob("given*")} == {".md", ".tex", ".csv"}
    assert (tmp_path / "full" / "main.csv").read_text() == (tmp_path / "reduced" / "main.csv").read_text()


def annotated_rows():
    return [
        *toy_rows(),
        *method_rows("nnunet", 0.5, annotation="ct_only"),
        skipped_row("zeta", "needs labels of every modality", annotation="ct_only"),
        skipped_row("alpha", "no modality CT", annotation="pet_only"),
        *method_rows("oracle", 0.95, annotation="ct_only", status="failed", reason="out of memory"),
    ]


def test_annotations_are_conditions_of_their_own():
    table = to_frame(annotated_rows())
    lines = summarise(table)
    found = {(x.method, x.annotation): x for x in lines if x.misalignment == "aligned"}
    assert found["nnunet", "full"].dice_mean == pytest.approx(0.715)
    assert found["nnunet", "ct_only"].dice_mean == pytest.approx(0.515)
    assert found["zeta", "ct_only"].reason == "needs labels of every modality"
    (overview,) = overview_tables(lines, table, CONTEXT)
    assert overview.header[1:] == (
        "100 % labels, aligned",
        "100 % labels, aligned, ct_only",
        "100 % labels, shifted 7.0 mm",
    )
    assert "Skipped: pet_only: no modality CT" in overview.notes
    names = [table.name for table in main_tables(lines, to_frame([]), CONTEXT)]
    assert len(set(names)) == len(names) == 3
    labels = [cells[3] for cells in excluded_table(table, CONTEXT).rows]
    assert "100 %, ct_only" in labels
    assert "100 %, ct_only (draw 0, seed 0)" in labels


def test_intervals_of_full_annotations_are_seeded_by_what_was_there_before_annotations():
    dice = np.random.default_rng(0).random(12)
    table = to_frame(row(case=f"c{i}", value=v) for i, v in enumerate(dice))
    (line,) = summarise(table)
    key = ["toy", "aligned", "1.0", "nnunet", "paper", "native", "none", "last", "", ""]
    expected = spread(group_of(table).by_case("dice"), generator_for(key))
    assert (line.dice_low, line.dice_high) == (expected.low, expected.high)
    (other,) = summarise(table.assign(annotation="noisy"))
    assert other.dice_mean == line.dice_mean
    assert (other.dice_low, other.dice_high) != (line.dice_low, line.dice_high)


def test_a_table_of_an_older_version_is_read_as_fully_annotated(tmp_path):
    old = to_frame(toy_rows()).drop(columns="annotation")
    old.to_parquet(tmp_path / "scores.parquet")
    assert set(read_table(tmp_path / "scores.parquet")["annotation"]) == {"full"}


def test_subsets_are_no_duplicates_and_come_after_the_full_set(tmp_path):
    rows = [row(available="CT", value=0.1), row(available="CT+MR"), row(annotation="noisy")]
    write_rows(rows, tmp_path / "scores.csv")
    joined = gather([tmp_path / "scores.csv"], [])
    assert [(r.annotation, r.available) for r in joined] == [
        ("full", "CT+MR"),
        ("full", "CT"),
        ("noisy", "CT+MR"),
    ]


def test_folders_of_annotated_runs_are_told_apart():
    assert _labels("f010-d0") == (0.1, "full")
    assert _labels("f002p5-d1-ct_only") == (0.025, "ct_only")
