"""The published network of robust divergence learning and its variational head."""

import math

import pytest
import torch
from torch import nn

from parallax.learn.nets.rdl_holder import PublishedUNet, VariationalHead
from parallax.learn.norms import ModalityNorm, of_modality


def _identity(head):
    with torch.no_grad():
        for layer in head.mean:
            if isinstance(layer, nn.Conv3d):
                layer.weight.copy_(torch.eye(layer.out_channels)[:, :, None, None, None])
    return head


def test_sizes():
    net = PublishedUNet(3, 4)
    assert sum(p.numel() for p in net.parameters()) == 3_245_235
    assert sum(p.numel() for p in VariationalHead(128).parameters()) == 49_280
    norms = [m for m in net.modules() if isinstance(m, ModalityNorm)]
    assert {norm.each[0].num_groups for norm in norms} == {8}
    assert sum(p.numel() for norm in norms for p in norm.parameters()) == 4 * 2 * 1104


@pytest.mark.parametrize("extent", [16, 24])
def test_published_network_keeps_the_extent(extent):
    net, image = PublishedUNet(3, 2), torch.randn(1, 1, 16, 16, extent)
    with torch.no_grad():
        features = of_modality(net, 1).encode(image)
        assert [f.shape[1] for f in features] == [16, 32, 64, 128, 128]
        assert features[-1].shape[2:] == (1, 1, extent // 16)
        assert net(image).shape == (1, 3, 16, 16, extent)


def test_variational_term_at_its_first_variance():
    head, features = _identity(VariationalHead(4)), torch.rand(2, 4, 3, 3, 3)
    assert head.rho[0].item() == pytest.approx(4.99323, abs=1e-5)
    assert head(features, features).item() == pytest.approx(0.5 * math.log(5), abs=1e-6)
    assert head(features, features).item() == pytest.approx(0.804719, abs=1e-6)
    assert head(features, features + math.sqrt(5)).item() == pytest.approx(1.304719, abs=1e-5)
