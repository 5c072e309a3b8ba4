"""The network of RobustSeg: parameter counts of the release, gates, AdaIN, what depends on what."""

import pytest
import torch
from torch import nn

from parallax.learn.nets.robustseg import (
    CODE,
    ContentEncoder,
    GatedFusion,
    ImageDecoder,
    RobustSegNet,
    SegmentationDecoder,
    StyleEncoder,
    adain,
)
from parallax.learn.networks import UNet, initialised

SIZE = (16, 16, 16)


def network(modalities=2, classes=3, heads=1, widths=(4, 8), **switches):
    names = [f"M{k}" for k in range(modalities)]
    chosen = {"gate_norm": "instance", "share_image_head": False} | switches
    return RobustSegNet(names, classes, heads, widths=widths, seed=3, **chosen)


def weights(module):
    """Parameters but for those of norms, as the release is counted in our specification."""
    norms = (nn.InstanceNorm3d, nn.GroupNorm)
    return sum(
        p.numel()
        for m in module.modules()
        if not isinstance(m, norms)
        for p in m._parameters.values()
        if p is not None
    )


def images(batch=2, modalities=2):
    return torch.randn(batch, modalities, *SIZE, generator=torch.Generator().manual_seed(0))


def test_parameters_of_the_published_parts():
    with torch.device("meta"):
        assert weights(ContentEncoder()) == 1_466_496
        net = network(4, 5, widths=None)
        assert weights(net.styles[0]) == 2_765_000
        assert weights(net.painters[0]) + weights(net.image_heads[0]) == 4_940_257
        assert sum(weights(fusion.gate) for fusion in net.fusions) == 103_696
        assert sum(weights(fusion.merge) for fusion in net.fusions) == 87_280
        assert weights(SegmentationDecoder(5)) == weights(net.decoder) == 586_405


@pytest.mark.parametrize(
    ("modalities", "classes", "total"), [(4, 5, 37_464_393), (2, 5, 18_999_599), (3, 4, 28_225_499)]
)
def test_parameters_of_the_published_network(modalities, classes, total):
    with torch.device("meta"):
        net = network(modalities, classes, widths=None)
    assert weights(net) == total
    if (modalities, classes) == (4, 5):
        assert (
            weights(net) - sum(weights(part) for part in (net.styles, net.painters, net.image_heads))
            == 6_643_365
        )


def test_the_published_network_answers_and_paints_at_full_size():
    net = network(widths=None)
    with torch.no_grad():
        fused = net.fuse(images(1), torch.tensor([[True, True]]))
        assert [tuple(f.shape[1:]) for f in fused] == [
            (16, *SIZE),
            (32, 8, 8, 8),
            (64, 4, 4, 4),
            (128, 2, 2, 2),
        ]
        assert net.segment(fused).shape == (1, 1, 3, *SIZE)
        assert net.paint(1, images(1)[:, :1], fused[-1]).image.shape == (1, 1, *SIZE)


def test_encoders_of_the_suite_start_as_those_of_each_modality_alone():
    with initialised(3, "unet/M1"):
        alone = UNet(1, 3, (4, 8)).encoder
    torch.testing.assert_close(network().contents[1].state_dict(), alone.state_dict(), atol=0, rtol=0)


def test_adain_with_scale_0_erases_the_content():
    x = images()
    shift = torch.tensor([[1.0, -2.0]] * 2)
    wanted = shift[..., None, None, None].expand_as(x)
    assert torch.equal(adain(x, torch.zeros(2, 2), shift), wanted)
    restyled = adain(x, torch.full((2, 2), 3.0), shift)
    torch.testing.assert_close(restyled.mean(dim=(2, 3, 4)), shift)
    spread = restyled.std(dim=(2, 3, 4), unbiased=False)
    torch.testing.assert_close(spread, torch.full((2, 2), 3.0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_gates_lie_between_0_and_1_and_zero_content_stays_zero(norm):
    fusion = GatedFusion(2, 4, norm)
    contents = [torch.randn(2, 4, 6, 6, 6), torch.zeros(2, 4, 6, 6, 6)]
    gates = fusion.gate(torch.cat(contents, dim=1))
    assert gates.shape == (2, 2, 6, 6, 6)
    assert gates.min() > 0
    assert gates.max() < 1
    given = {}
    fusion.merge.register_forward_pre_hook(lambda module, inputs: given.update(merged=inputs[0]))
    fusion(contents)
    assert given["merged"][:, 4:].abs().max() == 0
    torch.testing.assert_close(given["merged"][:, :4], gates[:, :1] * contents[0])


def test_each_scale_has_gates_of_its_own():
    net = network()
    assert [fusion.merge[0].out_channels for fusion in net.fusions] == [4, 8]
    seen = torch.ones(2, 2, dtype=torch.bool)
    before = net.fuse(images(), seen)
    with torch.no_grad():
        net.fusions[0].gate[0].weight.mul_(-1)
    after = net.fuse(images(), seen)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_a_missing_modality_is_not_read_but_painted_from_its_own_style():
    net, x = network(), images()
    seen = torch.tensor([[True, False]] * 2)
    other = x.clone()
    other[:, 1] += torch.randn(SIZE)
    with torch.no_grad():
        content, moved = net.fuse(x, seen)[-1], net.fuse(other, seen)[-1]
        assert torch.equal(content, moved)
        painted = net.paint(1, x[:, 1:], content)
        assert not torch.equal(painted.image, net.paint(1, other[:, 1:], moved).image)
        assert painted.code.shape == (2, CODE)
        assert painted.image.shape == (2, 1, *SIZE)


def test_nothing_missing_is_the_plain_network():
    net, x = network(), images()
    contents = [content(x[:, k : k + 1]) for k, content in enumerate(net.contents)]
    plain = [fusion(scale) for fusion, scale in zip(net.fusions, zip(*contents, strict=True), strict=True)]
    fused = net.fuse(x, torch.ones(2, 2, dtype=torch.bool))
    assert all(torch.equal(a, b) for a, b in zip(fused, plain, strict=True))


def test_the_order_of_modalities_matters():
    net, seen = network(), torch.ones(2, 2, dtype=torch.bool)
    with torch.no_grad():
        assert not torch.allclose(net(images(), seen), net(images().flip(1), seen), atol=1e-3)


def test_painting_depends_on_content_and_on_style():
    painter, styles = ImageDecoder((4, 8), 3), StyleEncoder([(4, 4, 2), (8, 4, 2)])
    content, code = torch.randn(2, 8, 4, 4, 4), styles(images()[:, :1])
    before = painter(content, code)[0]
    assert not torch.equal(before, painter(content.flip(2), code)[0])
    assert not torch.equal(before, painter(content, 2 * code + 1)[0])


def test_one_image_head_for_all_or_one_each():
    assert len(network(share_image_head=True).image_heads) == 1
    assert len(network(share_image_head=False).image_heads) == 2


def test_every_parameter_takes_part():
    net, x = network(heads=2), images()
    fused = net.fuse(x, torch.ones(2, 2, dtype=torch.bool))
    painted = [net.paint(k, x[:, k : k + 1], fused[-1]).image for k in range(2)]
    (net.segment(fused).square().sum() + sum(p.square().sum() for p in painted)).backward()
    assert all(p.grad is not None for p in net.parameters())
