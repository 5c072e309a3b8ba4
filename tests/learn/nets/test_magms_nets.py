"""The network of MAG-MS: its published sizes, and what fusion and decoder do."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets.unetr import UNETR
from torch import nn

from parallax.learn.nets.magms import (
    ModalityAgnosticNet,
    PublishedDecoder,
    SuiteDecoder,
    mean_of_available,
    published_encoder,
    suite_encoder,
)
from parallax.learn.nets.magms_unetr import UnetrDecoder, UnetrEncoder, unetr_encoder
from parallax.learn.networks import UNet, initialised

WIDTHS = (16, 32, 64, 128)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def small(modalities: int = 2) -> ModalityAgnosticNet:
    with initialised(0, "test"):
        encoders = [published_encoder((4, 8)) for _ in range(modalities)]
        return ModalityAgnosticNet(encoders, PublishedDecoder(3, (4, 8)))


def pictures(modalities: int = 2, items: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(items, modalities, 8, 8, 8, generator=generator)


# ---- published sizes


def test_parameters_of_the_published_unet() -> None:
    with torch.device("meta"):
        encoder, decoder = published_encoder(WIDTHS), PublishedDecoder(4, WIDTHS)
    assert parameters(encoder) == 1_488_256
    assert parameters(encoder.fusion) == 21_760
    assert parameters(decoder) == 727_828
    assert [n * parameters(encoder) + parameters(decoder) for n in (2, 4)] == [3_704_340, 6_680_852]


def test_parameters_of_the_published_unetr() -> None:
    with torch.device("meta"):
        encoder, decoder = unetr_encoder((96, 96, 96)), UnetrDecoder(4)
    assert parameters(encoder) == 90_716_864
    assert parameters(decoder) == 2_678_596
    assert 2 * parameters(encoder) + parameters(decoder) == 184_112_324


def test_shapes_of_four_modalities() -> None:
    net = ModalityAgnosticNet([published_encoder(WIDTHS) for _ in range(4)], PublishedDecoder(4, WIDTHS))
    with torch.no_grad():
        out = net(torch.randn(1, 4, 32, 32, 32), torch.ones(1, 4, dtype=torch.bool))
    assert [tuple(z.shape) for z in (out.fused, *out.own.values())] == [(1, 4, 32, 32, 32)] * 5
    wanted = [(1, 16 << i, *(32 >> i,) * 3) for i in range(4)]
    for features in (out.fused_features, *out.own_features.values()):
        assert [tuple(level.shape) for level in features] == wanted


def test_unetr_in_two_is_that_of_monai() -> None:
    with initialised(0, "unetr"):
        whole = UNETR(1, 3, (16, 16, 32), 4, 24, 32, 3, proj_type="perceptron").eval()
        decoder = UnetrDecoder(3, (4, 8, 16, 32, 24)).eval()
    image = torch.randn(1, 1, 16, 16, 32, generator=torch.Generator().manual_seed(2))
    for step, name in zip(decoder.steps, ("decoder5", "decoder4", "decoder3", "decoder2"), strict=True):
        step.load_state_dict(getattr(whole, name).state_dict())
    decoder.head.load_state_dict(whole.out.state_dict())
    with torch.no_grad():
        wanted = whole(image)
        encoder = UnetrEncoder(whole)
        torch.testing.assert_close(decoder(encoder(image)), wanted)
        larger = encoder(image.repeat(1, 1, 2, 1, 1))
    assert [tuple(level.shape[2:]) for level in larger] == [(32 >> i, 16 >> i, 32 >> i) for i in range(5)]


# ---- the suite's network


def test_suite_encoder_starts_as_that_of_the_unet_and_the_decoder_has_its_parts() -> None:
    with initialised(3, "unet/MR"):
        unet = UNet(1, 3, (4, 8))
    with initialised(3, "unet/MR"):
        encoder = suite_encoder(3, (4, 8))
    torch.testing.assert_close(encoder.encoder.state_dict(), unet.encoder.state_dict(), atol=0, rtol=0)
    decoder = SuiteDecoder(3, (4, 8), heads=1)
    assert parameters(decoder) == parameters(unet) - parameters(unet.encoder)
    assert decoder(encoder(torch.randn(1, 1, 16, 16, 16))).shape == (1, 3, 16, 16, 16)


# ---- fusion


def test_mean_is_over_the_modalities_that_an_item_has() -> None:
    available = torch.tensor([[True, True, False], [False, True, False]])
    zero = torch.zeros(2, 1)
    first, second = torch.full((2, 1), 4.0), torch.tensor([[[1.0], [2.0]], [[7.0], [8.0]]])
    pyramids = [[torch.stack([first, zero])], [second], [torch.stack([zero, zero])]]
    (mean,) = mean_of_available(pyramids, available)
    assert mean.tolist() == [[[2.5], [3.0]], [[7.0], [8.0]]]


def test_one_modality_through_the_fusion_is_its_encoder_straight_into_the_decoder() -> None:
    net, image = small(3).eval(), pictures(3)
    available = torch.tensor([[False, True, False]] * 2)
    with torch.no_grad():
        straight = net.decoder(net.encoders[1](image[:, 1:2]))
        assert torch.equal(net.fused(image, available), straight)
        assert torch.equal(net.alone(image, available)[:, 1], straight)


def test_outputs_of_training_are_those_of_evaluation() -> None:
    net, image = small(), pictures()
    available = torch.tensor([[True, True], [False, True]])
    with torch.no_grad():
        out, fused, alone = net(image, available), net.fused(image, available), net.alone(image, available)
    torch.testing.assert_close(out.fused, fused)
    torch.testing.assert_close(out.own[0], alone[:1, 0])
    torch.testing.assert_close(out.own[1], alone[:, 1])
    assert alone[1, 0].abs().max() == 0


def test_order_of_the_modalities_changes_nothing() -> None:
    net, image, order = small(3).eval(), pictures(3), [2, 0, 1]
    available = torch.tensor([[True, True, False], [True, True, True]])
    turned = copy.deepcopy(net)
    turned.encoders = nn.ModuleList(turned.encoders[k] for k in order)
    with torch.no_grad():
        wanted = net.fused(image, available)
        torch.testing.assert_close(turned.fused(image[:, order], available[:, order]), wanted)
        # the wrong encoders for the same channels do change it
        assert (turned.fused(image, available) - wanted).abs().max() > 0.01


@pytest.mark.parametrize("absent", [0, 1])
def test_absent_modality_is_not_read(absent: int) -> None:
    net, image = small(), pictures()
    available = torch.ones(2, 2, dtype=torch.bool)
    available[0, absent] = False
    with torch.no_grad():
        before = net(image, available)
        image[0, absent] = torch.nan
        after = net(image, available)
    assert torch.equal(before.fused, after.fused)
    assert all(torch.equal(before.own[k], after.own[k]) for k in (0, 1))


def test_encoders_share_nothing_and_there_is_one_decoder() -> None:
    net = small(3)
    pointers = [p.data_ptr() for encoder in net.encoders for p in encoder.parameters()]
    assert len(set(pointers)) == 3 * len(list(net.encoders[0].parameters()))
    assert parameters(net) == 3 * parameters(net.encoders[0]) + parameters(net.decoder)
