from dataclasses import replace

import pytest
from tidy import method_rows, toy_rows
from tidy_run import write_run

from parallax.figures.curves import BY_LABELS, BY_SHIFT, draw_curves, line_styles, save_figure
from parallax.figures.differences import draw_differences
from parallax.figures.multiples import draw_by
from parallax.figures.panels import draw_case, headline
from parallax.score.table import read_table, to_frame
from parallax.tables.comparisons import compare
from parallax.tables.layout import Context
from parallax.tables.summary import summarise

CONTEXT = Context({})


def lines_of(cases=4):
    return summarise(to_frame(toy_rows(cases)))


@pytest.mark.parametrize("axis", [BY_LABELS, BY_SHIFT])
def test_curves_are_written_twice_the_same(axis, tmp_path):
    for name in ("one", "two"):
        figure, _ = draw_curves(lines_of(), axis, CONTEXT)
        save_figure(figure, tmp_path / name / "curve")
    for kind in ("png", "pdf"):
        content = (tmp_path / "one" / f"curve.{kind}").read_bytes()
        assert len(content) > 5000
        assert content == (tmp_path / "two" / f"curve.{kind}").read_bytes()


def test_axis_has_its_unit_and_curves_their_points():
    figure, caption = draw_curves(lines_of(), BY_SHIFT, CONTEXT)
    panel = figure.axes[0]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("Shift between modalities, RMS (mm)", "Dice")
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0.0", "7.0"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["nnunet", "alpha", "zeta"]
    assert "range of single cases (4 test cases" in caption
    assert "bootstrap" in draw_curves(lines_of(6), BY_SHIFT, CONTEXT)[1]


def test_levels_that_displace_nothing_have_no_place_on_an_axis_in_mm():
    cut = {"misalignment": "cut", "shift_mm": 0.0}
    lines = summarise(to_frame([*toy_rows(), *method_rows("nnunet", 0.1, **cut)]))
    figure, _ = draw_curves(lines, BY_SHIFT, Context({}))
    heights = [y for line in figure.axes[0].get_lines() for y in line.get_ydata()]
    assert min(heights) > 0.5


def test_a_run_of_controls_alone_is_drawn_too():
    figure, caption = draw_curves(summarise(to_frame(method_rows("empty", 0.0))), BY_LABELS, CONTEXT)
    assert len(figure.axes) == 1
    assert "left out" not in caption
    assert "The control oracle (1) is left out" in draw_curves(lines_of(), BY_LABELS, CONTEXT)[1]


def test_many_methods_get_a_panel_each_with_the_reference_behind():
    names = ["supervised", *(f"m{i:02d}" for i in range(11))]
    rows = [row for i, name in enumerate(names) for row in _two_fractions(name, 0.5 + 0.01 * i)]
    rows += method_rows("point", 0.7, label_fraction=0.1)
    figure, caption = draw_by(summarise(to_frame(rows)), BY_LABELS, Context({}, reference="supervised"))
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert sorted(panel.get_title("left") for panel in panels) == names[1:]
    assert all(len(panel.get_lines()) == 2 for panel in panels)
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["10", "100"]
    assert "supervised (grey)" in caption


def test_few_methods_share_a_panel():
    rows = [*_two_fractions("supervised", 0.5), *_two_fractions("m", 0.6)]
    figure, _ = draw_by(summarise(to_frame(rows)), BY_LABELS, CONTEXT)
    assert len(figure.axes) == 1


def _two_fractions(name, dice):
    return [*method_rows(name, dice, label_fraction=0.1), *method_rows(name, dice + 0.1, label_fraction=1.0)]


def test_a_run_in_which_nothing_ran_still_has_its_figures(tmp_path):
    figure, caption = draw_curves([], BY_SHIFT, CONTEXT)
    save_figure(figure, tmp_path / "empty")
    assert "no method ran" in caption


def test_a_control_far_below_the_methods_is_written_not_drawn():
    rows = [*method_rows("nnunet", 0.8), *method_rows("mean_shape", 0.3)]
    figure, caption = draw_curves(summarise(to_frame(rows)), BY_LABELS, CONTEXT)
    panel = figure.axes[0]
    assert panel.get_ylim()[0] == pytest.approx(0.7)
    assert "\u2193 mean_shape 0.31" in [text.get_text() for text in panel.texts]
    assert "starts at 0.7" in caption
    assert len(figure.legends[0].get_texts()) == 1


def test_a_control_that_falls_below_the_axis_at_one_point_is_written_whole():
    few = method_rows("mean_shape", 0.3, label_fraction=0.1)
    rows = [*method_rows("nnunet", 0.8), *method_rows("mean_shape", 0.72), *few]
    figure, _ = draw_curves(summarise(to_frame(rows)), BY_LABELS, CONTEXT)
    panel = figure.axes[0]
    written = [text.get_text() for text in panel.texts if "mean_shape" in text.get_text()]
    assert len(written) == 1
    assert " to " in written[0]
    assert len(figure.legends[0].get_texts()) == 1


def test_every_method_has_a_look_of_its_own():
    rows = [row for i in range(15) for row in method_rows(f"m{i:02d}", 0.5)]
    styles = line_styles(summarise(to_frame(rows)), CONTEXT)
    assert len({(style["color"], style["marker"]) for style in styles.values()}) == 15


def test_headline_is_nnunet_the_proposed_method_and_the_best_and_worst_of_the_rest():
    rows = [row for name, dice in {"nnunet": 0.6, "cmc": 0.7, "a": 0.5, "b": 0.9, "c": 0.8}.items()
            for row in method_rows(name, dice, cases=6)]  # fmt: skip
    assert [line.method for line in headline(summarise(to_frame(rows)), CONTEXT)] == [
        "nnunet",
        "b",
        "cmc",
        "a",
    ]


def test_case_picture_has_one_row_per_modality(tmp_path, two_modality_task):
    root = write_run(tmp_path, two_modality_task)
    table = read_table(root / "scores.parquet")
    figure, caption = draw_case(root, table, summarise(table), CONTEXT)
    assert [axis.get_title() for axis in figure.axes[:3]] == ["image", "truth", "nnunet"]
    assert [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()] == ["CT", "MR"]
    assert "case a" in caption
    save_figure(figure, tmp_path / "case")
    assert (tmp_path / "case.png").stat().st_size > 5000


def test_names_of_structures_are_no_formulas(two_modality_task, tmp_path):
    from matplotlib.figure import Figure

    from parallax.figures.panels import _legend

    figure = Figure()
    _legend(figure, replace(two_modality_task, classes={r"$\frac$": 1, "a $ b": 2}))
    save_figure(figure, tmp_path / "legend")
    assert (tmp_path / "legend.pdf").is_file()


def test_unpaired_modalities_each_show_their_own_case(tmp_path, two_modality_task):
    root = write_run(tmp_path, two_modality_task)
    described = root / "data/toy/shifted/test/dataset.json"
    described.write_text(described.read_text().replace("same_subject", "unpaired"), encoding="utf-8")
    table = read_table(root / "scores.parquet")
    table = table[(table["case"] == "a") == (table["modality"] == "CT")]
    _, caption = draw_case(root, table, summarise(table), CONTEXT)
    assert "CT: a, MR: b" in caption


def compared(cases=8):
    rows = [
        *method_rows("nnunet", 0.7, cases=cases),
        *method_rows("better", 0.8, cases=cases),
        *method_rows("worse", 0.5, cases=cases, preset="released"),
        *method_rows("nnunet", 0.6, cases=cases, label_fraction=0.1),
        *method_rows("better", 0.6, cases=cases, label_fraction=0.1),
        *method_rows("oracle", 1.0, cases=cases),
    ]
    table = to_frame(rows)
    # cases differ a little, so that there is something to resample
    table["value"] += 0.01 * (table["method"] == "better") * table["case"].str[-1].astype(int).mod(3)
    return summarise(table), compare(table, CONTEXT)


def test_differences_have_a_panel_per_condition_and_a_row_per_method():
    lines, found = compared()
    figure, caption = draw_differences(found, lines, CONTEXT)
    few, all_labels = figure.axes
    assert [panel.get_title(loc="left").split("\n")[0] for panel in (few, all_labels)] == [
        "10 % labels",
        "100 % labels",
    ]
    assert [text.get_text() for text in few.get_yticklabels()] == ["better", "worse · released"]
    points = {line.get_color(): line.get_xdata()[0] for line in all_labels.lines if line.get_marker() == "o"}
    assert points["#0072B2"] == pytest.approx(10.0 + 0.9, abs=0.3)
    assert points["#D55E00"] == pytest.approx(-20.0)
    assert "minus that of nnunet" in caption
    assert "8 test cases" in caption
    assert all_labels.get_xlabel() == "Dice points"


def test_differences_of_too_few_cases_are_not_drawn():
    lines, found = compared(cases=4)
    assert draw_differences(found, lines, CONTEXT) is None


def test_long_names_leave_the_panels_their_width():
    name = "a method whose name says at great length what it does and where it comes from"
    rows = [*method_rows("nnunet", 0.7, cases=8), *method_rows(name, 0.8, cases=8)]
    table = to_frame(rows)
    figure, _ = draw_differences(compare(table, CONTEXT), summarise(table), CONTEXT)
    assert figure.axes[0].get_position().width * figure.get_figwidth() > 1.2  # inches
