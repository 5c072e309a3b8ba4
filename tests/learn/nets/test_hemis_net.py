"""U-HeMIS: the moments over modalities, and the published network."""

import pytest
import torch

from parallax.learn.nets.hemis import HemisNet, PublishedDecoder, PublishedEncoder, SuiteDecoder, moments
from parallax.learn.networks import UNet

ALL = torch.ones(2, 3, dtype=torch.bool)


@pytest.fixture
def features():
    return torch.randn(2, 3, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_moments_by_hand():
    features = torch.tensor([[[1.0], [4.0], [7.0]]])
    for there, expected in (
        ([1, 1, 1], [4.0, 6.0]),
        ([1, 1, 0], [2.5, 2.25]),
        ([0, 0, 1], [7.0, 0.0]),
    ):
        assert moments(features, torch.tensor([there]).bool()).tolist() == [expected]


def test_moments_are_those_of_torch(features):
    found = moments(features, ALL)
    torch.testing.assert_close(found[:, :4], features.mean(dim=1))
    torch.testing.assert_close(found[:, 4:], features.var(dim=1, unbiased=False))


def test_moments_do_not_depend_on_the_order_of_modalities(features):
    some = torch.tensor([[True, False, True], [True, True, True]])
    order = [2, 0, 1]
    torch.testing.assert_close(moments(features[:, order], some[:, order]), moments(features, some))


def test_a_duplicate_of_every_modality_changes_nothing_and_of_one_keeps_the_mean_of_equals(features):
    torch.testing.assert_close(
        moments(features.repeat(1, 2, 1, 1, 1, 1), ALL.repeat(1, 2)), moments(features, ALL)
    )
    one = features[:, :1]
    alone, twice = moments(one, ALL[:, :1]), moments(one.repeat(1, 2, 1, 1, 1, 1), ALL[:, :2])
    assert torch.equal(alone, twice)
    assert twice[:, 4:].abs().max() == 0


def test_what_is_absent_may_be_nan_and_gets_no_gradient(features):
    some = torch.tensor([[True, False, True], [True, True, False]])
    holed = features.where(some[:, :, None, None, None, None], torch.nan).requires_grad_()
    found = moments(holed, some)
    assert torch.equal(found, moments(features, some))
    found.square().sum().backward()
    assert holed.grad[some].isfinite().all()
    assert holed.grad[~some].abs().max() == 0


def test_published_network_has_the_parameters_of_the_released_checkpoint():
    # models/u_hemis/models/model.ckpt-60000.index of the release lists 565,888 weights beside those of Adam:
    # per modality stem 8, blocks 8->8->4: 2,592 + 32, 4->16->8: 5,184 + 40, 8->32->16: 20,736 + 80 and
    # 16->64->32: 82,944 + 160 (convolutions 27 i o, norms 2 i): 111,776. Decoder: 96->32->16: 96,768 + 256,
    # 32->16->8: 17,280 + 96, 16->8->4: 4,320 + 48, scores 4 * 4: 118,784.
    encoders = [PublishedEncoder() for _ in range(4)]
    net = HemisNet(encoders, PublishedDecoder(4), (1, 4))
    assert [parameters(e) for e in encoders] == [111_776] * 4
    assert parameters(net.decoder) == 118_784
    assert parameters(net) == 565_888


def test_published_levels_and_output():
    x = torch.randn(1, 1, 16, 24, 16)
    assert [tuple(f.shape[1:]) for f in PublishedEncoder()(x)] == [
        (4, 16, 24, 16),
        (8, 8, 12, 8),
        (16, 4, 6, 4),
        (32, 2, 3, 2),
    ]
    net = HemisNet([PublishedEncoder(), PublishedEncoder()], PublishedDecoder(6), (2, 3))
    logits = net(x.repeat(1, 2, 1, 1, 1), torch.tensor([[True, True]]))
    assert logits.shape == (1, 2, 3, 16, 24, 16)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_suite_decoder_takes_moments_of_the_suite_encoder_and_favours_background():
    widths = (4, 8, 16)
    net = HemisNet([UNet(1, 3, widths).encoder for _ in range(2)], SuiteDecoder(widths, 6, 2), (2, 3))
    x = torch.randn(2, 2, 16, 16, 16)
    logits = net(x, torch.tensor([[True, True], [False, True]]))
    assert logits.shape == (2, 2, 3, 16, 16, 16)
    assert (logits.argmax(dim=2) == 0).float().mean() > 0.9
    logits.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())
