"""RFNet: the parts of region-aware fusion, and the published network."""

import pytest
import torch

from parallax.learn.nets.rfnet import (
    PUBLISHED,
    PUBLISHED_WIDTHS,
    SUITE,
    CoarseMap,
    PublishedEncoder,
    RegionFusion,
    RFNet,
)
from parallax.learn.networks import UNet

WIDTHS = (4, 8, 16)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def suite(modalities=2, classes=3, heads=2):
    torch.manual_seed(0)
    encoders = [UNet(1, classes, WIDTHS).encoder for _ in range(modalities)]
    return RFNet(encoders, WIDTHS, classes, heads, SUITE)


def published(modalities, classes, heads):
    torch.manual_seed(0)
    encoders = [PublishedEncoder() for _ in range(modalities)]
    return RFNet(encoders, PUBLISHED_WIDTHS, classes, heads, PUBLISHED)


@pytest.fixture
def fusion():
    torch.manual_seed(0)
    return RegionFusion(4, 3, 2, SUITE).double()


@pytest.fixture
def features():
    return torch.randn(2, 3, 4, 4, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def probability():
    draw = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return draw.softmax(dim=1)


def test_published_network_has_the_parameters_of_the_release():
    # A 3x3x3 block from i to o channels has 27 i o + o, a 1x1x1 block i o + o; norms have none.
    # Encoder: 27 (1 + 16 + 16) 16 + 27 (16 + 32 + 32) 32 + 27 (32 + 64 + 64) 64 + 27 (64 + 128 + 128) 128
    #   = 1,465,776 and 3 (16 + 32 + 64 + 128) = 720 offsets: 1,466,496.
    # Single decoder, per level w: 27 (2w w + 2w w) + w w + 3 w, w = 64, 32, 16: 446,656 + 111,712 + 27,952;
    #   scores 16 * 4 + 4: 586,388.
    # Fusing decoder: the same, and per level w (of 16, 32, 64, 128; 4 modalities, 4 classes)
    #   coarse: (4w + 1) w/4 + 27 (w/4)^2 + w/4 + (w/4 + 1) w + (2w + 1) 16 + 68, the lowest (w + 1) 16 + 68;
    #   weights: 4 ((4w + 1) 128 + 128 + 128 * 4 + 4);
    #   regions and short cut: 2 ((4w + 1) w + 27 w^2 + w + (w + 1) w/2).
    # In all 2,532,588, and 4 * 1,466,496 + 586,388 + 2,532,588 = 8,984,960.
    net = published(4, 4, 1)
    assert [parameters(encoder) for encoder in net.encoders] == [1_466_496] * 4
    assert parameters(net.single) == 586_388
    assert parameters(net.fusing) == 2_532_588
    assert parameters(net) == 8_984_960


def test_published_output_and_maps():
    net = published(2, 3, 2)
    image, seen = torch.randn(1, 2, 16, 16, 16), torch.tensor([[True, False]])
    pyramid = net.encode(image, torch.ones(1, 2, dtype=torch.bool))
    assert [tuple(level.shape[1:]) for level in pyramid] == [
        (2, 16, 16, 16, 16),
        (2, 32, 8, 8, 8),
        (2, 64, 4, 4, 4),
        (2, 128, 2, 2, 2),
    ]
    fused = net.fuse(pyramid, seen)
    assert fused.logits.shape == net.alone(pyramid).shape == (1, 2, 3, 16, 16, 16)
    assert [m.shape for m in fused.maps] == [(1, 3, 16, 16, 16)] * 4
    (fused.logits.sum() + net.alone(pyramid).square().sum() + sum(m.sum() for m in fused.maps)).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_suite_output_and_maps():
    net, image = suite(), torch.randn(2, 2, 16, 16, 16)
    pyramid = net.encode(image, torch.ones(2, 2, dtype=torch.bool))
    fused = net.fuse(pyramid, torch.tensor([[True, False], [True, True]]))
    for log_p in fused.maps:
        torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(2, 16, 16, 16))
    assert len(fused.maps) == len(WIDTHS)
    for logits in (fused.logits, net.alone(pyramid)):
        assert logits.shape == (2, 2, 3, 16, 16, 16)
        assert (logits.argmax(dim=2) == 0).float().mean() > 0.9


def test_no_gradient_reaches_the_coarse_maps_through_the_fusion():
    net, image = suite(), torch.randn(1, 2, 16, 16, 16)
    both = torch.ones(1, 2, dtype=torch.bool)
    fused = net.fuse(net.encode(image, both), both)
    fused.logits.square().sum().backward(retain_graph=True)
    assert all(p.grad is None for p in net.fusing.coarse.parameters())
    sum(log_p.square().sum() for log_p in fused.maps).backward()
    assert all(p.grad is not None for p in net.fusing.coarse.parameters())


def test_the_shared_decoder_treats_all_modalities_alike():
    net, image = suite(3), torch.randn(2, 3, 16, 16, 16)
    pyramid = net.encode(image, torch.ones(2, 3, dtype=torch.bool))
    order = [2, 0, 1]
    moved = net.alone([level[:, order] for level in pyramid])
    torch.testing.assert_close(moved, net.alone(pyramid)[:, order], rtol=1e-4, atol=1e-4)


def test_the_fusion_reads_the_modalities_in_their_order():
    net, image = suite(3), torch.randn(2, 3, 16, 16, 16)
    every, order = torch.ones(2, 3, dtype=torch.bool), [2, 0, 1]
    pyramid = net.encode(image, every)
    moved = net.fuse([level[:, order] for level in pyramid], every).logits
    assert not torch.allclose(moved, net.fuse(pyramid, every).logits, rtol=1e-2, atol=1e-2)


def test_weights_are_made_of_region_means_and_region_size(fusion, features, probability):
    found = fusion.weights(features, probability)
    assert found.shape == (2, 2, 3)
    for b in range(2):
        for c in range(2):
            p = probability[b, c]
            means = [(features[b, k] * p).sum(dim=(1, 2, 3)) / p.sum() for k in range(3)]
            described = torch.cat([*means, p.mean().view(1)])
            torch.testing.assert_close(
                found[b, c], fusion.weigh[c](described).sigmoid(), rtol=1e-5, atol=1e-6
            )


def test_regions_are_weighted_sums_of_the_modalities_in_their_place(fusion, features, probability):
    seen = {}
    fusion.regions.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0]))
    fusion(features, probability)
    weights = fusion.weights(features, probability)
    expected = [
        sum(weights[:, c, k].view(2, 1, 1, 1, 1) * features[:, k] for k in range(3))
        * probability[:, c : c + 1]
        for c in range(2)
    ]
    torch.testing.assert_close(seen["x"], torch.cat(expected, dim=1))


def test_a_region_without_voxels_gives_finite_weights(fusion, features):
    nothing = torch.zeros(2, 2, 4, 4, 4, dtype=torch.float64)
    assert fusion.weights(features, nothing).isfinite().all()


def test_a_coarse_map_is_a_distribution_over_classes():
    torch.manual_seed(0)
    coarse = CoarseMap(8, 2, 5, SUITE, lowest=False)
    p = coarse(torch.randn(1, 2, 8, 4, 4, 4), torch.randn(1, 8, 4, 4, 4))
    assert p.shape == (1, 5, 4, 4, 4)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(1, 4, 4, 4))


def test_styles_enlarge_with_and_without_aligned_corners():
    x = torch.randn(1, 2, 3, 4, 5)
    for style, corners in ((PUBLISHED, True), (SUITE, False)):
        expected = torch.nn.functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=corners)
        torch.testing.assert_close(style.enlarge(x), expected)
        assert torch.equal(style.enlarge(x, 0), x)
        assert style.enlarge(x, 2).shape == (1, 2, 12, 16, 20)
