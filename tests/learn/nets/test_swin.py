"""The Swin encoder: shapes, windows, and what sees what."""

from __future__ import annotations

import pytest
import torch

from parallax.learn.nets.branches import Branch
from parallax.learn.nets.swin import WINDOW, SwinEncoder, SwinUNet
from parallax.learn.networks import BACKGROUND_LOGIT, UNet


@pytest.mark.parametrize("size", [(16, 16, 16), (48, 48, 32), (64, 48, 32)])
def test_features_are_those_of_a_unet(size):
    widths = (4, 8, 16, 32) if size[0] > 16 else (4, 8)
    image = torch.randn(1, 2, *size)
    with torch.no_grad():
        ours, suite = SwinEncoder(2, widths)(image), UNet(2, 6, widths).encode(image)
    assert [f.shape for f in ours] == [f.shape for f in suite]
    assert all(bool(f.isfinite().all()) for f in ours)


def test_it_works_on_slices():
    net = SwinUNet(2, 6, (4, 8), heads=2, axes=2)
    assert net(torch.randn(3, 2, 16, 24)).shape == (3, 6, 16, 24)


def test_parameters_of_the_default_widths():
    """Two modalities, eight classes."""
    net = SwinUNet(2, 16, (16, 32, 64, 128), heads=2)
    tokens = sum(p.numel() for p in net.tokens())
    assert sum(p.numel() for p in net.parameters()) == 1_004_468
    assert tokens == 619_620
    assert sum(p.numel() for p in net.encoder.stem.parameters()) + tokens == sum(
        p.numel() for p in net.encoder.parameters()
    )


def test_background_is_favoured_in_every_head():
    net = SwinUNet(2, 6, (4, 8), heads=2)
    assert net.head[0].bias.view(2, 3)[:, 0].tolist() == [BACKGROUND_LOGIT] * 2


def test_a_map_smaller_than_a_window_keeps_the_window():
    """A token sees its neighbour through the same relative position, whatever the extent of the map."""
    encoder = SwinEncoder(1, (4, 8)).eval()
    whole = encoder.stages[0].blocks[0].attn.relative_position_bias_table.shape[0]
    assert whole == (2 * WINDOW - 1) ** 3
    seen = []
    encoder.stages[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    with torch.no_grad():
        features = encoder(torch.randn(1, 1, 8, 16, 24))
    assert features[-1].shape[2:] == (2, 4, 6)
    assert seen == [(4, 4, 6)]


def test_tokens_see_across_the_borders_of_windows():
    """Windows of the second block are shifted: a voxel reaches tokens beyond its own window."""
    encoder = SwinEncoder(1, (4, 8)).eval()
    image = torch.randn(1, 1, 32, 16, 16)  # 8 x 4 x 4 tokens: two windows
    changed = image.clone()
    changed[0, 0, 12:16] += 1.0  # last tokens of the first window
    with torch.no_grad():
        difference = (encoder(image)[-1] - encoder(changed)[-1]).abs().amax(dim=(0, 1, 3, 4))
    assert (difference[4:6] > 1e-6).all()


@pytest.mark.parametrize("kind", [UNet, SwinUNet])
def test_a_branch_in_slices_answers_each_slice_on_its_own(kind):
    branch = Branch(kind(2, 6, (4, 8), heads=2, axes=2), 2, 3, "axial").eval()
    image, available = torch.randn(2, 2, 16, 16, 3), torch.ones(2, 2, dtype=torch.bool)
    changed = image.clone()
    changed[..., 1] += 1.0
    with torch.no_grad():
        seen, other = branch.see(image, available), branch(changed, available)
    assert seen.logits.shape == (2, 2, 3, 16, 16, 3)
    assert seen.fine.shape == (6, 4, 8, 8)
    same = torch.isclose(seen.logits, other, atol=1e-5).all(dim=(0, 1, 2, 3, 4))
    assert same.tolist() == [True, False, True]


@pytest.mark.parametrize(("widths", "extent", "width"), [((4, 8), 4, 8), ((4, 8, 16, 32), 4, 16)])
def test_the_middle_level_is_at_an_eighth_where_the_network_goes_that_far(widths, extent, width):
    size = 16 if len(widths) == 2 else 32
    branch = Branch(UNet(1, 3, widths), 1, 3)
    seen = branch.see(torch.randn(1, 1, size, size, size), torch.ones(1, 1, dtype=torch.bool))
    assert seen.middle.shape == (1, width, extent, extent, extent)
    assert seen.fine.shape == (1, 4, size // 2, size // 2, size // 2)
