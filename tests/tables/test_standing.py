"""Who holds up: both ends of a dataset, what is lost between them, what is decided."""

import pytest
from tidy import method_rows, skipped_row

from parallax.report.write import TableInputs, build
from parallax.score.table import to_frame, write_rows
from parallax.tables.standing import ends_of
from parallax.tables.summary import summarise

SHIFTED = {"misalignment": "shifted", "shift_mm": 7.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Twelve cases; `cmc` is 10 points above nnU-Net when shifted, `mkd` equal, the oracle loses nothing."""
    rows = []
    for method, aligned, shifted in (
        ("nnunet", 0.7, 0.5),
        ("cmc", 0.7, 0.6),
        ("mkd", 0.7, 0.5),
        ("oracle", 0.8, 0.8),
    ):
        rows += method_rows(method, aligned, cases=12)
        rows += method_rows(method, aligned - 0.02, cases=12, label_fraction=0.1)
        rows += method_rows(method, shifted, cases=12, label_fraction=0.1, **SHIFTED)
    rows += method_rows("cmc", 0.1, cases=12, preset="released", label_fraction=0.1, **SHIFTED)
    rows.append(skipped_row("mean_teacher", "why", label_fraction=0.1, **SHIFTED))
    path = tmp_path_factory.mktemp("standing") / "scores.csv"
    write_rows(rows, path)
    return build(TableInputs(path))


def test_ends_are_least_and_most_of_both_difficulties(made):
    ends = ends_of(made.lines)
    assert [(own[0].misalignment, own[0].label_fraction) for own in (ends.easiest, ends.hardest)] == [
        ("aligned", 1.0),
        ("shifted", 0.1),
    ]


def test_a_condition_of_few_methods_is_no_end():
    alone = {"misalignment": "far", "shift_mm": 90.0}
    rows = [row for name in ("nnunet", "cmc", "mkd") for row in method_rows(name, 0.7)]
    lines = summarise(to_frame([*rows, *method_rows("cmc", 0.2, **alone)]))
    assert ends_of(lines).hardest[0].misalignment == "aligned"


def test_a_row_says_both_ends_the_loss_and_the_verdict(made):
    (table,) = made.standing
    row = dict(zip(table.header, next(row for row in table.rows if row[0] == "CMC"), strict=True))
    assert row["Rank"].startswith("1")
    assert row["Dice: 10 % labels, shifted 7.0 mm"].startswith("0.655 (")
    assert row["Dice: 100 % labels, aligned"].startswith("0.755 (")
    assert row["Lost between (points)"].startswith("+10.0 (")
    assert row["Against nnU-Net (points)"].startswith("+10.0 (")
    assert row["Verdict"] == "better"


def test_only_first_presets_and_every_method_even_where_skipped(made):
    (table,) = made.standing
    assert [row[0] for row in table.rows] == ["nnU-Net", "CMC", "MKD", "Mean Teacher", "Oracle"]
    assert table.rows[3][2] == "skipped"
    assert table.rules == (4,)


def test_what_is_decided_is_named_and_counted(made):
    last = made.decided.rows[-1]
    assert last[1:4] == ("10 % labels, shifted 7.0 mm", "nnU-Net", "1: CMC")
    assert last[4:] == ("1: CMC · released", "1: MKD")


def test_few_cases_give_no_interval_and_no_rank(tmp_path):
    rows = method_rows("nnunet", 0.7, cases=3) + method_rows("cmc", 0.8, cases=3)
    path = tmp_path / "scores.csv"
    write_rows(rows, path)
    tables = build(TableInputs(path))
    (table,) = tables.standing
    assert table.rows[1] == ("CMC", "–", "0.810 (0.800 to 0.820)", "+10.0", "too few cases")
    assert "least and most of a case; 3 test cases" in table.notes[0]
    assert tables.decided.rows[0][-1].startswith("too few cases: 3, needs ")
