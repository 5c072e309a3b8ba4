"""The shuffled control answers with another case: never with the case itself, on its own grid, in mm."""

import dataclasses

import numpy as np
import pytest
from toy import toy_sample, toy_task, toy_test_view, toy_view, without_labels

from parallax.case import Grid, Volume
from parallax.plugin import load_method
from parallax.score.metrics import score_label_maps

TASK = toy_task()


def fitted(view, tmp_path):
    method = load_method("shuffled")(view.task, None, switches={}, seed=0)
    method.fit(view, tmp_path)
    method.save(tmp_path / "model")
    again = load_method("shuffled")(view.task, None, switches={}, seed=0)
    again.load(tmp_path / "model")
    return again


def truths(names, seed=0):
    return [toy_test_view(TASK, case=name, with_truth=True, seed=seed) for name in names]


def test_each_case_gets_the_truth_of_the_one_before_and_the_first_that_of_a_training_case(tmp_path):
    training, views = toy_view(TASK), truths("abc")
    method = fitted(training, tmp_path)
    maps = [method.predict(view).label_maps for view in views]
    for k, name in enumerate(TASK.modality_names):
        assert np.array_equal(maps[0][name], training.labelled[0].label[k])
        assert np.array_equal(maps[1][name], views[0].truth[name].array)
        assert np.array_equal(maps[2][name], views[1].truth[name].array)
        assert maps[2][name].dtype == np.uint8


def test_its_dice_is_that_between_the_truths_counted_independently(tmp_path):
    method, views = fitted(toy_view(TASK), tmp_path), truths("abcdef")
    scored, counted = [], []
    for i, view in enumerate(views):
        found = method.predict(view).label_maps["M0"]
        if i:
            one, other = (views[n].truth["M0"].array for n in (i, i - 1))
            scores = score_label_maps(one, found, TASK.classes, TASK.spacing_mm, 1.0)
            scored += [score.values["dice"] for score in scores.values()]
            for label in TASK.classes.values():
                a, b = ({tuple(v) for v in np.argwhere(array == label)} for array in (one, other))
                counted.append(2 * len(a & b) / (len(a) + len(b)))
    assert scored == counted
    assert 0 < np.mean(scored) < 0.999


def test_another_grid_is_filled_in_mm_with_the_middles_on_each_other(tmp_path):
    ball = np.zeros((21, 21, 21), np.uint8)
    ball[5:16, 5:16, 5:16] = 1
    donor = Volume(ball, np.diag([2.0, 2.0, 2.0, 1.0]))  # a cube of 22 mm
    far = np.diag([-1.0, 1.0, 4.0, 1.0])
    far[:3, 3] = (900, -300, 40)
    grid = Grid((40, 40, 12), far)
    method = fitted(toy_view(TASK), tmp_path)
    first, second = truths("ab")
    method.predict(dataclasses.replace(first, truth={"M0": donor}, native={"M0": donor.grid}))
    own = Volume(np.zeros(grid.shape, np.uint8), grid.affine)
    found = method.predict(dataclasses.replace(second, truth={"M0": own}, native={"M0": grid})).label_maps[
        "M0"
    ]
    where = np.argwhere(found == 1)
    extent_mm = (np.ptp(where, axis=0) + 1) * np.array(grid.spacing_mm)
    assert extent_mm.tolist() == pytest.approx([22, 22, 22], abs=2.0)
    assert where.mean(axis=0).tolist() == pytest.approx([19.5, 19.5, 5.5])


def test_it_never_answers_with_the_case_itself(tmp_path):
    own = toy_sample(TASK, "a", (16, 16, 16))
    view = toy_view(TASK, n_labelled=1)
    both = dataclasses.replace(view, labelled=(own, *view.labelled))
    (test,) = truths("a")
    found = fitted(both, tmp_path).predict(test).label_maps["M0"]
    assert np.array_equal(found, view.labelled[0].label[0])
    alone = dataclasses.replace(view, labelled=(own,))
    assert not fitted(alone, tmp_path).predict(test).label_maps["M0"].any()


def test_a_modality_that_nobody_else_has_borrows_another_one(tmp_path):
    view = toy_view(TASK, n_labelled=1)
    bare = dataclasses.replace(view, labelled=(without_labels(view.labelled[0], 1),))
    found = fitted(bare, tmp_path).predict(truths("a")[0]).label_maps
    assert np.array_equal(found["M0"], found["M1"])
    assert found["M1"].max() == 2


def test_without_truth_it_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no truth for case t0"):
        fitted(toy_view(TASK), tmp_path).predict(toy_test_view(TASK))
