"""A tiny budget: a step takes milliseconds."""

import dataclasses

import pytest
import torch
from toy import toy_batches, toy_dice, toy_task, toy_test_view, toy_view

from parallax.case import Budget
from parallax.learn.loop import Clock


@pytest.fixture
def budget():
    return Budget(steps=6, batch=2, patch=(16, 16, 16), widths=(4, 8), checkpoint_every_s=0.0)


@pytest.fixture
def dice_of_one_modality(budget, tmp_path):
    """Mean Dice on a test case after 40 steps on a task of one modality, in a second."""

    def after_training(kind):
        view = toy_view(toy_task(n_modalities=1))
        longer = dataclasses.replace(budget, steps=40, widths=(8, 16), learning_rate=1.5e-2)
        method = kind(view.task, longer, switches={}, seed=0)
        method.fit(view, tmp_path)
        test = toy_test_view(view.task, with_truth=True)
        return toy_dice(method.predict(test).label_maps["M0"], test.truth["M0"].array, 3)

    return after_training


@pytest.fixture
def terms_where_some_are_sure(budget):
    """Loss terms of a method with one network, which is sure of some voxels and unsure of others."""
    labelled, bare = toy_batches(toy_view(toy_task()))

    def terms(kind, **switches):
        method = kind(toy_task(), budget, switches=switches, seed=0)
        net = method.build()
        scores = net[0].unet.head[0]
        scores.bias.data.zero_()
        scores.weight.data.mul_(3.0)
        torch.manual_seed(0)
        return method.loss(net, labelled, bare, Clock(4, 6, 1))

    return terms
