"""Masked patches: counts, places, and a loss that sees only what was hidden."""

import pytest
import torch

from parallax.learn.nets.masking import (
    draw_masks,
    hidden_error,
    normalised,
    patches_of,
    positions_3d,
    restored,
    take,
)

BOTH = torch.ones(3, 2, dtype=torch.bool)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("patches", "ratio", "kept"), [(196, 0.75, 49), (216, 0.75, 54), (512, 0.75, 128), (5, 0.5, 2)]
)
def test_how_many_are_kept(patches, ratio, kept):
    masks = draw_masks(generator(), BOTH, patches, ratio)
    assert masks.visible.shape == (3, 2, kept)
    assert bool((masks.hidden.sum(dim=2) == patches - kept).all())


def test_volumes_are_masked_independently():
    hidden = draw_masks(generator(), BOTH, 512, 0.75).hidden
    assert (hidden[:, 0] & hidden[:, 1]).float().mean().item() == pytest.approx(0.75**2, abs=0.03)
    again = draw_masks(generator(), BOTH, 512, 0.75).hidden
    assert torch.equal(hidden, again)
    assert not torch.equal(hidden, draw_masks(generator(1), BOTH, 512, 0.75).hidden)


@pytest.mark.parametrize(("patches", "ratio", "masked"), [(64, 0.25, 16), (64, 0.5, 32), (65, 0.5, 32)])
def test_complementary_masks_are_disjoint(patches, ratio, masked):
    hidden = draw_masks(generator(), BOTH, patches, ratio, complementary=True).hidden
    assert not bool((hidden[:, 0] & hidden[:, 1]).any())
    assert bool((hidden.sum(dim=2) == masked).all())


def test_what_one_of_four_hides_another_available_one_shows():
    available = torch.tensor(
        [[True, True, True, True], [True, False, True, False], [False, True, True, True]]
    )
    hidden = draw_masks(generator(), available, 64, 0.5, complementary=True).hidden
    assert not bool((hidden | ~available[:, :, None]).all(dim=1).any())


def test_shuffled_and_restored_is_the_same_to_the_bit():
    tokens = torch.randn(3, 2, 64, 5)
    masks = draw_masks(generator(), BOTH, 64, 0.0)
    assert torch.equal(restored(take(tokens, masks.visible), masks, torch.zeros(5)), tokens)
    masks = draw_masks(generator(), BOTH, 64, 0.75)
    back = restored(take(tokens, masks.visible), masks, torch.full((5,), 9.0))
    assert torch.equal(back[~masks.hidden], tokens[~masks.hidden])
    assert bool((back[masks.hidden] == 9.0).all())


def test_patches_lie_where_they_were_cut():
    volume = torch.randn(2, 8, 12, 4)
    patches = patches_of(volume, 4).unflatten(1, (2, 3, 1))
    assert torch.equal(patches[1, 1, 2, 0], volume[1, 4:8, 8:12, :4].flatten())


def test_visible_patches_do_not_count():
    masks = draw_masks(generator(), BOTH, 64, 0.75)
    hidden = masks.hidden.flatten(0, 1)
    predicted, target = torch.randn(6, 64, 8), torch.randn(6, 64, 8)
    changed = predicted.where(hidden[..., None], 7.0)
    assert hidden_error(predicted, target, hidden) == hidden_error(changed, target, hidden)
    assert hidden_error(predicted, target, hidden) != hidden_error(predicted + 1, target, hidden)


@pytest.mark.parametrize("voxels", [8, 64])
def test_a_predictor_of_zeros_loses_the_biased_variance(voxels):
    target = normalised(5 + 3 * torch.randn(4, 10, voxels, generator=generator()))
    everything = torch.ones(4, 10, dtype=torch.bool)
    error = hidden_error(torch.zeros_like(target), target, everything)
    assert error.item() == pytest.approx((voxels - 1) / voxels, abs=1e-5)


def test_a_flat_patch_becomes_zero():
    assert torch.equal(normalised(torch.full((1, 1, 8), 3.0)), torch.zeros(1, 1, 8))


def test_every_place_has_its_own_code_on_any_grid():
    code = positions_3d((3, 4, 2), 12, torch.zeros(1))
    assert code.shape == (24, 12)
    assert len(code.unique(dim=0)) == 24
    larger = positions_3d((5, 4, 2), 12, torch.zeros(1))
    assert torch.equal(larger[:24], code)
