"""The audit: presets of this run beside published Dice, never as comparable."""

from tidy import method_rows

from parallax.score.table import to_frame
from parallax.tables.audit import audit_table
from parallax.tables.layout import Context
from parallax.tables.presets import compare_presets
from parallax.tables.summary import summarise

PUBLISHED = {
    "method": "CMC (theirs)", "dataset": "toy", "setting": "10/2", "modality": "CT", "label_fraction": "10%",
    "structure": "mean", "metric": "mean_dice", "value": "80", "unit": "%", "source": "them",
    "evidence": "readme", "comparable_to": "none: other split",
}  # fmt: skip


def audit(published, *, released=True, dataset="toy"):
    rows = [*method_rows("nnunet", 0.7, cases=8), *method_rows("cmc", 0.8, cases=8)]
    rows += method_rows("cmc", 0.75, cases=8, preset="released") if released else []
    frame = to_frame(rows)
    context = Context({"cmc": "CMC (proposed)"})
    return audit_table(summarise(frame), compare_presets(frame, context), published, context)


def test_presets_and_published_numbers_stand_in_one_row():
    (row,) = audit([PUBLISHED, PUBLISHED | {"value": "0.7", "unit": "fraction", "metric": "dice"}]).rows
    assert row[3].startswith("0.835 (")
    assert row[4].startswith("0.785 (")
    assert row[5].startswith("-5.0")
    assert row[6] == "0.700 to 0.800 (2 on toy)"
    assert row[7:] == ("authors' repository", "no: other split")


def test_a_method_with_nothing_to_audit_has_no_row():
    assert audit([], released=False).rows == ()


def test_numbers_without_value_or_of_another_metric_do_not_count():
    lost = [PUBLISHED | {"value": "not sourced"}, PUBLISHED | {"metric": "hd95"}]
    assert audit(lost, released=False).rows == ()


def test_other_data_is_named_as_such():
    (row,) = audit([PUBLISHED | {"dataset": "AMOS"}], released=False).rows
    assert (row[4], row[5], row[-1]) == ("–", "–", "no: other data")
