"""The heat map of missing modalities, and what methods cost against what they reach."""

import pytest
from tidy import method_rows

from parallax.errors import ConfigError
from parallax.figures.gallery import Gallery
from parallax.score.table import to_frame
from parallax.tables.layout import Context
from parallax.tables.summary import CONDITION, CONTENDER

COSTS = ("parameters", "steps", "samples_seen", "forward_passes_per_step", "train_s", "peak_memory_mib")


def rows_with_sets():
    sets = {"CT+MR": 0.8, "CT": 0.6, "MR": 0.5}
    return [
        row
        for method, extra in (("nnunet", 0.0), ("cmc", 0.1), ("oracle", 0.15))
        for given, dice in sets.items()
        for row in method_rows(method, dice + extra, cases=4, available=given)
        if row.modality in given
    ]


def write_costs(frame, folder):
    """costs.csv of a run in which method number i trains 10 * i s; the first one was not trained."""
    runs = frame[[*CONDITION, *CONTENDER, "label_draw", "seed"]].drop_duplicates()
    costs = runs.assign(**{name: range(0, 10 * len(runs), 10) for name in COSTS})
    costs.to_csv(folder / "costs.csv", index=False)


def test_the_heat_map_has_every_method_and_every_set(tmp_path):
    gallery = Gallery(tmp_path, to_frame(rows_with_sets()), Context({}))
    figure, caption = gallery.draw("given_toy")
    panels = [axes for axes in figure.axes if axes.get_title("left")]
    assert [axes.get_title("left") for axes in panels] == ["scored in CT", "scored in MR"]
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["CT+MR", "CT"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["nnunet", "cmc"]
    assert [text.get_text() for text in panels[0].texts] == ["0.82", "0.61", "0.92", "0.71"]
    assert "4 test cases are fewer than the 6 that an interval takes" in caption


def test_no_heat_map_where_no_modality_was_left_out(tmp_path):
    assert "given_toy" not in Gallery(tmp_path, to_frame(method_rows("cmc", 0.8)), Context({})).names


def test_a_point_for_each_trained_method(tmp_path):
    frame = to_frame([row for name in ("alpha", "beta", "cmc") for row in method_rows(name, 0.7, cases=6)])
    write_costs(frame, tmp_path)
    gallery = Gallery(tmp_path, frame, Context({}))
    assert "costs" in gallery.names
    figure, caption = gallery.draw("costs")
    spots = {c.get_label(): float(c.lines[0].get_xdata()[0]) for c in figure.axes[0].containers}
    assert spots == {"beta": 10.0, "cmc": 20.0}
    assert figure.axes[0].get_xscale() == "log"
    assert "95 % bootstrap interval" in caption


def test_no_figure_of_costs_without_costs(tmp_path):
    frame = to_frame(method_rows("cmc", 0.8))
    assert "costs" not in Gallery(tmp_path, frame, Context({})).names


@pytest.mark.parametrize("name", ["given_toy", "costs"])
def test_a_figure_that_cannot_be_drawn_is_no_name(tmp_path, name):

    with pytest.raises(ConfigError):
        Gallery(tmp_path, to_frame(method_rows("cmc", 0.8)), Context({})).draw(name)
