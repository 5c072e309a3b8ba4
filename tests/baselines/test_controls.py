"""The controls give what they are for."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from toy import toy_sample, toy_task, toy_test_view, toy_view, without_labels

from parallax.case import Grid, Volume
from parallax.plugin import load_method, method_card


def fitted(name, view, tmp_path, preset="paper"):
    switches = method_card(name).presets[preset]
    method = load_method(name)(view.task, None, switches=switches, seed=0)
    cost = method.fit(view, tmp_path)
    assert (cost.parameters, cost.steps, cost.train_s) == (0, 0, 0.0)
    method.save(tmp_path / "model")
    again = load_method(name)(view.task, None, switches=switches, seed=0)
    again.load(tmp_path / "model")
    return again


def test_oracle_returns_the_truth(tmp_path):
    task = toy_task()
    view = toy_test_view(task, with_truth=True, missing=(1,))
    maps = fitted("oracle", toy_view(task), tmp_path).predict(view).label_maps
    assert list(maps) == ["M0"]
    assert np.array_equal(maps["M0"], view.truth["M0"].array)


def test_copied_oracle_puts_the_first_modality_on_every_grid(tmp_path):
    task = toy_task()
    view = toy_test_view(task, with_truth=True)
    first, turned = view.truth["M0"], np.diag([-1.0, 1.0, 1.0, 1.0])
    turned[0, 3] = first.array.shape[0] - 1
    other = Volume(np.zeros_like(first.array), first.affine @ turned)
    view = dataclasses.replace(view, truth={"M0": first, "M1": other})
    maps = fitted("oracle", toy_view(task), tmp_path, "broadcast").predict(view).label_maps
    assert np.array_equal(maps["M0"], first.array)
    assert np.array_equal(maps["M1"], first.array[::-1])
    assert maps["M0"].any()


def test_oracle_without_truth_is_an_error(tmp_path):
    method = fitted("oracle", toy_view(toy_task()), tmp_path)
    with pytest.raises(ValueError, match="case t0"):
        method.predict(toy_test_view(toy_task()))


def test_empty_is_zero_on_the_native_grid(tmp_path):
    task = toy_task()
    view = toy_test_view(task, missing=(0,))
    view = dataclasses.replace(view, native={"M1": Grid((5, 6, 7), np.eye(4))})
    maps = fitted("empty", toy_view(task), tmp_path).predict(view).label_maps
    assert list(maps) == ["M1"]
    assert maps["M1"].shape == (5, 6, 7)
    assert maps["M1"].dtype == np.uint8
    assert not maps["M1"].any()


def test_mean_shape_of_equal_masks_is_that_mask(tmp_path):
    view = toy_view(toy_task(), n_labelled=1)
    maps = fitted("mean_shape", view, tmp_path).predict(toy_test_view(view.task)).label_maps
    for k, name in enumerate(view.task.modality_names):
        assert np.array_equal(maps[name], view.labelled[0].label[k])


def test_mean_shape_takes_the_majority(tmp_path):
    view = toy_view(toy_task(), n_labelled=3)
    stack = np.stack([sample.label[0] for sample in view.labelled])
    maps = fitted("mean_shape", view, tmp_path).predict(toy_test_view(view.task)).label_maps
    agreed = (stack == stack[0]).sum(axis=0) >= 2
    assert np.array_equal(maps["M0"][agreed], stack[0][agreed])


def test_mean_shape_is_centred_on_another_frame(tmp_path):
    view = toy_view(toy_task(), n_labelled=1)
    maps = fitted("mean_shape", view, tmp_path).predict(toy_test_view(view.task, (20, 12, 16))).label_maps
    wanted = np.zeros((20, 12, 16), dtype=np.uint8)
    wanted[2:18] = view.labelled[0].label[0][:, 2:14]
    assert np.array_equal(maps["M0"], wanted)


def test_mean_shape_borrows_for_a_modality_without_masks(tmp_path):
    view = toy_view(toy_task(), n_labelled=1)
    bare = dataclasses.replace(view, labelled=(without_labels(view.labelled[0], 0),))
    maps = fitted("mean_shape", bare, tmp_path).predict(toy_test_view(view.task)).label_maps
    assert np.array_equal(maps["M0"], maps["M1"])
    assert maps["M0"].any()


def test_mean_shape_with_frames_of_different_size(tmp_path):
    task = toy_task()
    view = toy_view(task, n_labelled=1)
    larger = toy_sample(task, "big", (20, 20, 20))
    both = dataclasses.replace(view, labelled=(*view.labelled, larger))
    maps = fitted("mean_shape", both, tmp_path).predict(toy_test_view(task, (20, 20, 20))).label_maps
    assert maps["M0"].any()


def test_controls_do_not_import_torch():
    code = (
        "import sys; from parallax.plugin import load_method as load, method_cards;"
        "[load(c.name) for c in method_cards().values() if c.control]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
