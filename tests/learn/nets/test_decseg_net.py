"""The parts of DEC-Seg against hand computations, on slices and volumes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallax.learn.nets.decseg import (
    MOST_CHANNELS,
    CrossLevelAggregation,
    DualScale,
    DualScaleFusion,
    Generator,
    resized,
    small_shape,
    weighed,
)
from parallax.learn.networks import UNet

SIZES = {2: (12, 8), 3: (12, 8, 4)}
axes_of = pytest.mark.parametrize("axes", [2, 3])


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def network(axes, widths=(4, 8), heads=2, classes=3):
    encoder = UNet(heads, 1, widths, axes=axes).encoder
    return DualScale(encoder, widths, heads, classes, axes)


def test_rounding_of_the_release():
    table = {352: 192, 256: 128, 224: 128, 192: 96, 160: 64, 128: 64, 112: 64, 96: 64, 80: 32, 64: 32}
    assert {n: small_shape((n, 128), 32)[0] for n in table} == table


def test_thick_slices_keep_their_extent():
    assert small_shape((64, 64, 16), 4, (1.0, 1.0, 3.1)) == [32, 32, 16]
    assert small_shape((64, 64, 16), 4, (1.0, 1.0, 3.0)) == [32, 32, 8]


def test_small_scale_is_at_least_one_stride_and_more_than_one_position():
    assert small_shape((48, 16), 16) == [32, 16]
    assert small_shape((32, 32, 32), 16) == [32, 32, 32]


@axes_of
def test_linear_resizing_is_that_of_torch(axes):
    x, shape = torch.randn(2, 3, *SIZES[axes]), (5, 16, 3)[:axes]
    mode = {2: "bilinear", 3: "trilinear"}[axes]
    expected = F.interpolate(x, size=shape, mode=mode, align_corners=True)
    torch.testing.assert_close(resized(x, shape), expected, rtol=1e-5, atol=1e-5)
    assert resized(x, x.shape[2:]) is x


def test_nearest_resizing_takes_values_as_they_are():
    label = torch.tensor([[0, 7, -100, 2, 5]])
    assert resized(label, (3,), "nearest").tolist() == [[0, -100, 5]]
    assert resized(label[..., :2], (4,), "nearest").tolist() == [[0, 0, 7, 7]]


@axes_of
def test_gates_of_the_fusion_sum_to_one(axes):
    fusion = DualScaleFusion(6, 4, axes)
    a, b = torch.randn(2, 4, *SIZES[axes]), torch.randn(2, 4, *SIZES[axes])
    gates = fusion.gates(a, b)
    assert gates.shape == (2, 2, *SIZES[axes])
    torch.testing.assert_close(gates.sum(dim=1), torch.ones(2, *SIZES[axes]))
    assert gates.std() > 0
    torch.testing.assert_close(weighed(a, a, gates), a)


@axes_of
def test_fusion_by_hand(axes):
    fusion = DualScaleFusion(2, 2, axes)
    fusion.enter = fusion.complete = nn.ModuleList([nn.Identity(), nn.Identity()])
    full, small = torch.randn(1, 2, *SIZES[axes]), torch.randn(1, 2, *[n // 2 for n in SIZES[axes]])
    b = resized(small, SIZES[axes])
    more_a, more_b = full + b / (1 + (-b).exp()), b + full / (1 + (-full).exp())
    gates = fusion.gates(more_a, more_b)
    torch.testing.assert_close(fusion(full, small), gates[:, :1] * more_a + gates[:, 1:] * more_b)


@axes_of
def test_aggregation_by_hand(axes):
    cfa = CrossLevelAggregation(3, 5, 8, axes)
    lower, higher = torch.randn(2, 3, *SIZES[axes]), torch.randn(2, 5, *[n // 2 for n in SIZES[axes]])
    beside = cfa.after_higher(cfa.higher(resized(higher, SIZES[axes])))  # interpolated first
    x = cfa.mix(torch.cat([cfa.lower(lower), beside], dim=1))
    gate = cfa.gate(x.flatten(2).mean(2)).view(2, 8, *[1] * axes)
    assert bool(((gate > 0) & (gate < 1)).all())
    torch.testing.assert_close(cfa(lower, higher), cfa.out(x * (1 + gate)), rtol=1e-3, atol=1e-4)
    assert beside.shape[1] == 4


@axes_of
@pytest.mark.parametrize("half", [True, False])
def test_a_generator_keeps_the_size(axes, half):
    shape = (32, 16, 16)[:axes]
    generator = Generator(6, 2, (2, 2, 4, 4) if half else (2, 2, 4, 4, 4), axes, half=half)
    logits = torch.randn(1, 6, *shape, requires_grad=True)
    image = generator(logits)
    assert image.shape == (1, 2, *shape)
    assert image.min() < 0  # no activation at the end
    image.square().mean().backward()
    assert bool((logits.grad != 0).any())


def test_the_published_generator():
    """Widths, dropout and no skips: no layer reads two."""
    generator = Generator(2, 3, (16, 32, 64, 128, 256), 2, half=False)
    convolutions = [m for m in generator.modules() if isinstance(m, nn.Conv2d)]
    down, up = [16, 32, 64, 128, 256], [128, 64, 32, 16]
    assert [c.out_channels for c in convolutions] == [w for w in down + up for _ in range(2)] + [3]
    assert [m.p for m in generator.modules() if isinstance(m, nn.Dropout)] == [0.05, 0.1, 0.2, 0.3, 0.5]
    ups = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.in_channels, m.out_channels) for m in ups] == [(256, 128), (128, 64), (64, 32), (32, 16)]


@axes_of
def test_three_outputs_of_one_encoder(axes):
    net = network(axes)
    full, small = (16, 16, 8)[:axes], (8, 8, 4)[:axes]
    images = torch.randn(2, 2, *full), torch.randn(2, 2, *small)
    one, two, three = net(*images)
    assert one.shape == three.shape == (2, 2, 3, *full)
    assert two.shape == (2, 2, 3, *small)
    calls = []
    net.encoder.register_forward_hook(lambda _m, inputs, _out: calls.append(tuple(inputs[0].shape[2:])))
    net(*images)
    assert calls == [full, small]
    weights = [next(decoder.parameters()) for decoder in net.decoders]
    assert len({w.data_ptr() for w in weights}) == 3
    assert not torch.equal(weights[0], weights[1])


def test_each_output_reads_what_it_should():
    net, full, small = network(3), torch.randn(1, 2, 16, 16, 8), torch.randn(1, 2, 8, 8, 4)
    before = net(full, small)
    other_small, other_full = net(full, small + torch.randn_like(small)), net(full.roll(1, 2), small)
    assert [torch.equal(a, b) for a, b in zip(before, other_small, strict=True)] == [True, False, False]
    assert [torch.equal(a, b) for a, b in zip(before, other_full, strict=True)] == [False, True, False]


def test_no_fusion_is_wider_than_the_limit():
    net = network(2, widths=(16, 96, 256))
    widest = [fusion.complete[1][0].out_channels for fusion in net.fuse]
    assert widest == [16, MOST_CHANNELS, MOST_CHANNELS]
    assert [cfa.out[0].out_channels for cfa in net.aggregate] == [16, MOST_CHANNELS]
