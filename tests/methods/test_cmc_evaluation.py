"""The mistakes of the release's evaluation, and the network without what CMC adds to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cmc_toy import difference, method, trained
from toy import toy_task, toy_test_view

from parallax.case import Grid
from parallax.learn.as_released import released_scores, saved_backwards
from parallax.plugin import load_method, method_card

DIRECTIONS = {
    "RAS": np.diag([2.0, 2.0, 2.0, 1.0]),
    "LAS": np.diag([-2.0, 2.0, 2.0, 1.0]),
    "PSR": np.array([[0, 0, 2.0, 0], [-2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1.0]]),
}


def saved(view, codes):
    """The same case with the grid of its first modality saved along other directions."""
    return replace(view, native={**view.native, "M0": Grid((16, 16, 16), DIRECTIONS[codes])})


@pytest.mark.parametrize(("codes", "axes"), [("RAS", ()), ("LAS", (0,)), ("PSR", (1,))])
def test_directions_in_which_a_file_runs_backwards(codes, axes):
    assert saved_backwards(saved(toy_test_view(toy_task()), codes)) == [axes, ()]


def test_a_modality_that_is_absent_is_not_turned():
    assert saved_backwards(toy_test_view(toy_task(), missing=(1,))) == [(), ()]


def scores(view, **how):
    """Of a network that answers with the sum of coordinate and intensity, and so knows left from right."""
    ramp = torch.linspace(0, 3, 16)[:, None, None]

    def forward(image, available):
        one = image + ramp
        return torch.stack([one, -one, 0 * one], dim=2)

    return released_scores(forward, view, method().budget, "cpu", **how)


def test_as_saved_mirrors_the_modality_that_is_saved_backwards_and_no_other():
    view = saved(toy_test_view(toy_task()), "LAS")
    right = scores(view, as_saved=False, squeeze=False)
    seen = scores(view, as_saved=True, squeeze=False)
    assert not np.allclose(right[0], seen[0])
    np.testing.assert_array_equal(right[1], seen[1])
    flipped = replace(view.sample, image=view.sample.image[:, ::-1].copy())
    back = scores(replace(view, sample=flipped), as_saved=False, squeeze=False)
    np.testing.assert_allclose(seen[0], back[0][:, ::-1], rtol=1e-6)


def test_squeezing_a_volume_of_the_size_of_a_patch_changes_nothing_and_another_it_does():
    view = toy_test_view(toy_task())
    plain = scores(view, as_saved=False, squeeze=False)
    np.testing.assert_allclose(scores(view, as_saved=False, squeeze=True), plain, atol=1e-6)
    longer = toy_test_view(toy_task(), (16, 16, 24))
    squeezed = scores(longer, as_saved=False, squeeze=True)
    assert squeezed.shape == (2, 3, 16, 16, 24)
    assert not np.allclose(squeezed, scores(longer, as_saved=False, squeeze=False), atol=1e-3)


def test_the_evaluation_of_the_release_needs_no_training_of_its_own(tmp_path):
    assert method_card("cmc").trained_as("released_evaluation") == "released"
    made, other = method("released"), method("released_evaluation")
    made.net = made.build()
    for backbone in made.net.backbones:
        torch.nn.init.zeros_(backbone.head[0].bias)  # untrained, it says background everywhere
    made.save(tmp_path)
    other.load(tmp_path)
    view = saved(toy_test_view(toy_task()), "LAS")
    one, two = (m.predict(view).label_maps for m in (made, other))
    assert not np.array_equal(one["M0"], two["M0"])


def test_without_collaboration_and_unlabelled_terms_it_is_the_supervised_baseline_bit_for_bit(tmp_path):
    plain = method(collaboration=False, terms="supervised")
    weights = trained(plain, tmp_path / "a")
    baseline = load_method("supervised")(plain.task, plain.budget, switches={}, seed=1)
    reference = trained(baseline, tmp_path / "b")
    assert difference({k.removeprefix("backbones."): v for k, v in weights.items()}, reference) == 0.0
    assert trained(method(terms="supervised"), tmp_path / "c").keys() != weights.keys()
