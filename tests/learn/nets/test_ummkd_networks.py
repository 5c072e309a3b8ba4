"""The published networks of UMMKD: sizes, and the operations that PyTorch does not have ready-made."""

import pytest
import torch
from torch import nn

from parallax.learn.nets.ummkd import (
    Doubling,
    PhaseShift,
    PublishedSlices,
    PublishedVolumes,
    Residual,
    SymmetricConv,
)
from parallax.learn.norms import ModalityNorm

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose3d)


@pytest.mark.parametrize(
    ("network", "kernels", "norms", "channels", "both", "separate"),
    [
        (PublishedSlices, 39_302_456, 31, 10_096, 39_342_840, 78_645_296),
        (PublishedVolumes, 2_198_613, 17, 1_488, 2_204_565, 4_403_178),
    ],
)
def test_sizes(network, kernels, norms, channels, both, separate):
    with torch.device("meta"):
        net, alone = network(5, 2), network(5, 1)
    layers = [m for m in net.modules() if isinstance(m, ModalityNorm)]
    found = [p for m in net.modules() if isinstance(m, CONVOLUTIONS) for p in m.parameters()]
    assert sum(p.numel() for p in found) == kernels
    assert len(layers) == norms
    assert sum(layer.each[0].num_features for layer in layers) == channels
    assert sum(p.numel() for p in layers[0].parameters()) == 4 * layers[0].each[0].num_features
    assert sum(p.numel() for p in net.parameters()) == both
    assert 2 * sum(p.numel() for p in alone.parameters()) == separate


def test_kernels_of_the_network_of_slices():
    with torch.device("meta"):
        net = PublishedSlices(5, 2)
    sizes = [m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len(sizes) == 33
    assert sizes[-2:] == [11_796_480, 5_000]


def test_published_networks_keep_the_extent():
    with torch.device("meta"):
        nets = PublishedVolumes(3, 2), PublishedSlices(2, 2)
    volumes, net = (net.to_empty(device="cpu").eval() for net in nets)  # drawing 38 million weights takes 1 s
    with torch.no_grad():
        assert volumes(torch.zeros(1, 1, 16, 8, 8)).shape == (1, 3, 16, 8, 8)
        assert net(torch.zeros(2, 3, 24, 16)).shape == (2, 2, 24, 16)
    dilated = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.dilation == (2, 2)]
    assert len(dilated) == 4


def test_symmetric_padding_repeats_the_border_in_reverse():
    layer = SymmetricConv(1, 1, 5)
    ramp = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(1, 1, 4, 4)
    seen = []
    for shift in range(5):
        with torch.no_grad():
            layer.convolution.weight.zero_()
            layer.convolution.weight[0, 0, 2, shift] = 1
        seen.append(layer(ramp)[0, 0, 0].tolist())
    padded = [2.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 3.0]
    assert seen == [padded[shift : shift + 4] for shift in range(5)]


@pytest.mark.parametrize(("order", "channel"), [("pixel_shuffle", (8, 1)), ("tf", (1, 8))])
def test_phase_shift_reads_the_channel_of_its_order(order, channel):
    x = torch.arange(128.0).view(1, 128, 1, 1).expand(1, 128, 2, 2)
    shifted = PhaseShift(order)(x)
    assert shifted.shape == (1, 2, 16, 16)
    for m, i, j in ((0, 1, 2), (1, 7, 3), (1, 0, 5)):
        assert shifted[0, m, 8 + i, j] == 64 * m + channel[0] * i + channel[1] * j


def test_shortcut_gets_half_of_the_new_channels_on_either_side():
    unit = Residual(2, 6, 1).eval()
    with torch.no_grad():
        for m in unit.modules():
            if isinstance(m, nn.Conv2d):
                m.weight.zero_()
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    out = unit(x)
    assert torch.equal(out[:, 2:4], x)
    assert out[:, :2].abs().max() == out[:, 4:].abs().max() == 0


@pytest.mark.parametrize(("depth", "empty"), [(1, True), (3, False)])
def test_doubling_writes_voxel_2i_plus_k_and_leaves_every_second_plane_empty_at_depth_1(depth, empty):
    layer = Doubling(1, 1, depth, 1)
    layer.after = nn.Identity()
    with torch.no_grad():
        layer.convolution.weight.fill_(1.0)
        x = torch.zeros(1, 1, 3, 3, 2)
        x[0, 0, 1, 0, 0] = 1.0
        y = layer(x)
    assert y.shape == (1, 1, 6, 6, 4)
    assert y.nonzero()[:, 2].unique().tolist() == [2, 3, 4]
    assert y.nonzero()[:, 3].unique().tolist() == [0, 1, 2]
    assert y.nonzero()[:, 4].unique().tolist() == ([0] if empty else [0, 1, 2])
    ones = layer(torch.ones(1, 1, 3, 3, 2))
    assert bool((ones[..., 1::2] == 0).all()) is empty
