"""Norms that differ between modalities inside a network that is shared."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from parallax.learn.networks import UNet
from parallax.learn.norms import ModalityNorm, group_norm, of_modality, replace_instance_norms


@pytest.fixture
def shared():
    net = UNet(1, 3, (4, 8))
    return replace_instance_norms(net, lambda n: ModalityNorm(partial(nn.BatchNorm3d, n), 2))


@pytest.mark.parametrize("axes", [2, 3])
def test_every_norm_is_replaced_and_no_other_weight(axes):
    before = UNet(1, 3, (4, 8), axes=axes)
    kernels = {id(p) for p in before.parameters() if p.dim() > 1}
    norms = sum(isinstance(m, (nn.InstanceNorm2d, nn.InstanceNorm3d)) for m in before.modules())
    after = replace_instance_norms(before, lambda n: ModalityNorm(partial(group_norm, n), 3))
    found = [m for m in after.modules() if isinstance(m, ModalityNorm)]
    assert not any(isinstance(m, (nn.InstanceNorm2d, nn.InstanceNorm3d)) for m in after.modules())
    assert len(found) == norms == 5
    assert {id(p) for p in after.parameters() if p.dim() > 1} == kernels


def test_a_layer_that_a_block_names_twice_is_replaced_by_one(shared):
    block = shared.encoder.stages[0][0].convs[0]
    assert block.norm is block.all_modules[1]


def test_norms_of_a_modality_see_that_modality_alone(shared):
    x = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    of_modality(shared, 1)(x)
    for norm in (m for m in shared.modules() if isinstance(m, ModalityNorm)):
        assert norm.each[0].num_batches_tracked == 0
        assert norm.each[0].running_mean.abs().max() == 0
        assert norm.each[1].num_batches_tracked == 1
        assert norm.each[1].running_mean.abs().max() > 0


def test_gradient_reaches_shared_kernels_and_own_norms(shared):
    x = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    of_modality(shared, 1)(x).square().mean().backward()
    touched = {name for name, p in shared.named_parameters() if p.grad is not None}
    other = {name for name, _ in shared.named_parameters() if ".each.0." in name}
    assert other
    assert touched == {name for name, _ in shared.named_parameters()} - other


def test_a_deep_copy_chooses_for_itself(shared):
    twin = copy.deepcopy(of_modality(shared, 1))
    of_modality(twin, 0)
    assert {m.modality for m in shared.modules() if isinstance(m, ModalityNorm)} == {1}
    assert {m.modality for m in twin.modules() if isinstance(m, ModalityNorm)} == {0}


@pytest.mark.parametrize(("channels", "groups"), [(16, 8), (4, 4), (12, 4), (8, 8)])
def test_group_norm_has_at_most_eight_groups(channels, groups):
    assert group_norm(channels).num_groups == groups
