"""Volumes to slices and back."""

import pytest
import torch
from torch import nn

from parallax.learn.slices import AXES, SliceWise, from_slices, to_slices, with_neighbours

PLANES = list(AXES)


@pytest.fixture
def volume():
    return torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("plane", PLANES)
def test_there_and_back_changes_nothing(volume, plane):
    slices = to_slices(volume, plane)
    assert slices.shape[0] == 2 * volume.shape[2 + AXES[plane]]
    assert torch.equal(from_slices(slices, plane, 2), volume)


def test_planes_are_those_of_a_ras_frame(volume):
    assert torch.equal(to_slices(volume, "sagittal")[1], volume[0, :, 1])
    assert torch.equal(to_slices(volume, "coronal")[5 + 2], volume[1, :, :, 2])
    assert torch.equal(to_slices(volume, "axial")[5], volume[0, :, :, :, 5])


@pytest.mark.parametrize("plane", PLANES)
def test_neighbours_are_before_and_after_and_the_ends_repeat(volume, plane):
    one, axis = volume[:, :1], 1 + AXES[plane]
    before, same, after = with_neighbours(one, plane).unbind(1)
    n = one.shape[axis + 1]
    assert torch.equal(same, one[:, 0])
    assert torch.equal(before.narrow(axis, 1, n - 1), same.narrow(axis, 0, n - 1))
    assert torch.equal(after.narrow(axis, 0, n - 1), same.narrow(axis, 1, n - 1))
    assert torch.equal(before.narrow(axis, 0, 1), same.narrow(axis, 0, 1))
    assert torch.equal(after.narrow(axis, n - 1, 1), same.narrow(axis, n - 1, 1))


@pytest.mark.parametrize("plane", PLANES)
def test_a_network_of_slices_answers_voxel_for_voxel(volume, plane):
    pick = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        pick.weight[:] = torch.tensor([[0.0, 1.0, 0.0], [0.0, -2.0, 0.0]])[:, :, None, None]
        found = SliceWise(pick, plane)(volume[:, :1])
    torch.testing.assert_close(found, torch.cat([volume[:, :1], -2 * volume[:, :1]], dim=1))
