"""Early fusion: what it depends on, and its modality dropout."""

import pytest
import torch
from toy import toy_task, toy_view

from parallax.learn.fusion import EarlyFusion, half_dice_ce
from parallax.learn.loop import Clock
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card


@pytest.fixture
def net():
    torch.manual_seed(0)
    return EarlyFusion(2, 3, (4, 8)).eval()


@pytest.fixture
def image():
    return torch.randn(2, 2, 16, 16, 16, generator=torch.Generator().manual_seed(1))


def both():
    return torch.ones(2, 2, dtype=torch.bool)


def test_every_head_depends_on_every_available_modality_and_on_no_other(net, image):
    moved = image.clone()
    moved[:, 1] += torch.randn(16, 16, 16)
    first = torch.tensor([[True, False]] * 2)
    with torch.no_grad():
        assert (net(image, both()) != net(moved, both())).flatten(2).any(dim=2).all()
        assert torch.equal(net(image, first), net(moved, first))


def test_swapping_channels_and_their_weights_changes_nothing(net, image):
    with torch.no_grad():
        wanted = net(image, both())
        first = net.unet.encoder.stages[0][0].convs[0].conv
        first.weight.copy_(first.weight.flip(1))
        torch.testing.assert_close(net(image.flip(1), both()), wanted, rtol=1e-4, atol=1e-4)


def test_each_head_is_taught_by_the_mask_of_its_modality(net, image):
    view = toy_view(toy_task())
    sampler = CropSampler(view.labelled, patch=(16, 16, 16), batch=2, augment=False, seed=0, stream=0)
    batch = sampler.batch(0)
    batch.label[:, 1] = 255
    logits = net(batch.image, batch.available)
    (gradient,) = torch.autograd.grad(half_dice_ce(logits, batch), logits)
    assert gradient[:, 0].abs().max() > 0
    assert gradient[:, 1].abs().max() == 0


def test_dropout_changes_the_loss_and_paper_does_not_drop(budget, net):
    kind, card = load_method("early_fusion"), method_card("early_fusion")
    view = toy_view(toy_task())
    batch = CropSampler(view.labelled, patch=(16,) * 3, batch=2, augment=False, seed=0, stream=0).batch(0)
    losses = {}
    for preset in card.presets:
        method = kind(view.task, budget, switches=card.presets[preset], seed=0)
        losses[preset] = [
            method.loss(net, batch, None, Clock(step, 9, 0))["supervised"].item() for step in range(6)
        ]
    assert len(set(losses["paper"])) == 1
    assert len(set(losses["dropout"])) > 1
