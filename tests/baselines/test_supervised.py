"""One network per modality, none of which sees the others."""

import dataclasses

import pytest
import torch
from toy import toy_dice, toy_task, toy_test_view, toy_view, without_labels

from parallax.plugin import load_method


def fitted(budget, view, scratch):
    method = load_method("supervised")(view.task, budget, switches={}, seed=0)
    method.fit(view, scratch)
    return method


def parts(method):
    return [torch.cat([p.flatten() for p in part.parameters()]) for part in method.net]


def test_modality_without_masks_is_not_trained_and_leaves_the_other_alone(budget, tmp_path):
    view = toy_view(toy_task())
    half = dataclasses.replace(view, labelled=tuple(without_labels(s, 1) for s in view.labelled))
    full, bare = fitted(budget, view, tmp_path / "a"), fitted(budget, half, tmp_path / "b")
    untrained = load_method("supervised")(view.task, budget, switches={}, seed=0)
    untrained.net = untrained.build()
    assert torch.equal(parts(full)[0], parts(bare)[0])
    assert torch.equal(parts(bare)[1], parts(untrained)[1])
    assert not torch.equal(parts(full)[1], parts(bare)[1])


def test_logits_of_a_modality_depend_on_it_alone(budget, tmp_path):
    view = toy_view(toy_task())
    method = fitted(budget, view, tmp_path)
    image, available = torch.randn(1, 2, 16, 16, 16), torch.ones(1, 2, dtype=torch.bool)
    other = image.clone()
    other[:, 1] += 1
    with torch.no_grad():
        a, b = method.logits(method.net, image, available), method.logits(method.net, other, available)
    assert a.shape == (1, 2, 3, 16, 16, 16)
    assert torch.equal(a[:, 0], b[:, 0])
    assert not torch.equal(a[:, 1], b[:, 1])


def test_learns_the_toy_and_survives_saving(budget, tmp_path):
    view = toy_view(toy_task())
    longer = dataclasses.replace(budget, steps=60, widths=(8, 16), learning_rate=1.5e-2)
    method = fitted(longer, view, tmp_path)
    method.save(tmp_path / "model")
    again = load_method("supervised")(view.task, method.budget, switches={}, seed=0)
    again.load(tmp_path / "model")
    test = toy_test_view(view.task, with_truth=True)
    maps, same = method.predict(test).label_maps, again.predict(test).label_maps
    for name in view.task.modality_names:
        assert (maps[name] == same[name]).all()
        assert toy_dice(maps[name], test.truth[name].array, 3) > 0.7


def test_counts_a_pass_per_modality(budget, tmp_path):
    view = toy_view(toy_task(n_modalities=3))
    method = load_method("supervised")(view.task, budget, switches={}, seed=0)
    assert method.fit(view, tmp_path).forward_passes_per_step == 3.0


def test_prediction_before_training_is_an_error(budget):
    method = load_method("supervised")(toy_task(), budget, switches={}, seed=0)
    with pytest.raises(RuntimeError, match="neither fit nor load"):
        method.predict(toy_test_view(toy_task()))
