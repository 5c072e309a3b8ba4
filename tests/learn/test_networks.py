"""Shapes and initial weights of the backbone."""

import pytest
import torch

from parallax.learn.networks import TrilinearUpsample, UNet, initialised


def test_shapes():
    net = UNet(2, 5, (4, 8, 16))
    x = torch.zeros(1, 2, 16, 24, 32)
    skips = net.encode(x)
    assert [tuple(s.shape[1:]) for s in skips] == [(4, 8, 12, 16), (8, 4, 6, 8), (16, 2, 3, 4)]
    assert net.decode(skips).shape == (1, 4, 8, 12, 16)
    assert net(x).shape == (1, 5, 16, 24, 32)


def test_forward_is_head_of_decode_of_encode():
    net = UNet(1, 2, (4, 8)).eval()
    x = torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(net(x), net.head(net.decode(net.encode(x))))


def test_every_parameter_takes_part():
    net = UNet(1, 2, (4, 8))
    net(torch.randn(1, 1, 16, 16, 16)).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_initial_weights_depend_on_seed_and_key_alone():
    def weights(seed, key):
        with initialised(seed, key):
            return torch.cat([p.flatten() for p in UNet(1, 2, (4, 8)).parameters()])

    first = weights(0, "unet/CT")
    torch.rand(3)
    assert torch.equal(first, weights(0, "unet/CT"))
    assert not torch.equal(first, weights(1, "unet/CT"))
    assert not torch.equal(first, weights(0, "unet/MR"))


def test_initialised_leaves_the_generator_as_it_was():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    with initialised(0, "x"):
        torch.rand(10)
    assert torch.equal(torch.rand(1), wanted)


def test_first_class_of_each_head_is_favoured():
    net = UNet(1, 6, (4, 8), heads=2)
    assert net.head[0].bias.tolist() == [4.0, 0.0, 0.0, 4.0, 0.0, 0.0]


def test_upsampling_is_trilinear():
    x = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
    assert torch.allclose(TrilinearUpsample()(x), expected, atol=1e-12)


def test_the_same_design_in_two_dimensions():
    net = UNet(1, 3, (4, 8), axes=2)
    assert net(torch.zeros(5, 1, 16, 12)).shape == (5, 3, 16, 12)


def test_levels_end_with_what_is_decoded():
    net = UNet(1, 2, (4, 6, 8)).eval()
    skips = net.encode(torch.randn(1, 1, 16, 16, 32))
    levels = net.levels(skips)
    assert [level.shape[1] for level in levels] == [8, 6, 4]
    assert torch.equal(levels[0], skips[-1])
    assert torch.equal(levels[-1], net.decode(skips))


@pytest.mark.parametrize("axes", [2, 3])
def test_channels_drop_out_where_asked_and_in_training_alone(axes):
    torch.manual_seed(0)
    image = torch.randn(2, 1, *(16, 16, 32)[-axes:])
    plain, dropped = (UNet(1, 2, (4, 6, 8), axes=axes) for _ in range(2))
    dropped.drop_channels((0.9, 0.0, 0.9))
    for ours, theirs in zip(dropped.parameters(), plain.parameters(), strict=True):
        ours.data.copy_(theirs.data)
    empty = [
        [bool((level.flatten(2) == 0).all(dim=2).any(dim=1).all()) for level in net.levels(net.encode(image))]
        for net in (plain, dropped)
    ]
    assert empty == [[False] * 3, [True, False, True]]
    assert torch.equal(plain.eval()(image), dropped.eval()(image))
