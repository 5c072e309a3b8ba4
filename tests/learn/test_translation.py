import pytest
import torch

from parallax.learn.translation import (
    Alignment,
    Generator,
    PatchCritic,
    adversarial_loss,
    blocks_to_channels,
    channels_to_blocks,
    critic_loss,
    cycle_loss,
)


def _crops(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (2, 1, 16, 16, 8)), generator=torch.Generator().manual_seed(seed))


def _awake(module: torch.nn.Module, seed: int = 5) -> torch.nn.Module:
    """Random weights everywhere, so that no generator is the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


def _constant_critic(value: float) -> PatchCritic:
    critic = PatchCritic(2)
    last = critic.body[-1]
    assert isinstance(last, torch.nn.Conv3d)
    assert last.bias is not None
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, value)
    return critic


@pytest.mark.parametrize("size", [(16, 16, 8), (24, 8, 16), (18, 14, 6)])
def test_generator_keeps_the_geometry(size: tuple[int, int, int]) -> None:
    x = _crops(0, 2, 1, *size)
    y = _awake(Generator(4))(x)
    assert y.shape == x.shape
    assert not torch.equal(y, x)


def test_blocks_and_channels_are_strided_convolutions() -> None:
    x, w = _crops(0, 2, 3, 4, 6, 8), _crops(1, 5, 3, 2, 2, 2)
    folded = torch.nn.functional.conv3d(blocks_to_channels(x), w.reshape(5, 24, 1, 1, 1))
    torch.testing.assert_close(folded, torch.nn.functional.conv3d(x, w, stride=2))
    unfolded = channels_to_blocks(
        torch.nn.functional.conv3d(folded, w.reshape(5, 24).T[..., None, None, None])
    )
    torch.testing.assert_close(unfolded, torch.nn.functional.conv_transpose3d(folded, w, stride=2))


def test_untrained_generator_is_the_identity_bit_for_bit() -> None:
    x = _crops(0)
    assert torch.equal(Generator(4)(x), x)


def test_generator_can_invert_a_contrast() -> None:
    torch.manual_seed(0)
    x, generator = _crops(1), Generator(4)
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        cycle_loss(generator(x), -x).backward()
        optimiser.step()
    with torch.no_grad():
        assert float(cycle_loss(generator(x), -x)) < 0.2 * float(cycle_loss(x, -x))


@pytest.mark.parametrize(
    ("score", "generator_pays", "critic_pays"), [(0.0, 1.0, 0.5), (1.0, 0.0, 0.5), (0.5, 0.25, 0.25)]
)
def test_least_squares_values(score: float, generator_pays: float, critic_pays: float) -> None:
    critic, x, y = _constant_critic(score), _crops(0), _crops(1)
    assert adversarial_loss(critic, x).item() == pytest.approx(generator_pays)
    assert critic_loss(critic, x, y).item() == pytest.approx(critic_pays)


def test_cycle_loss_is_the_mean_absolute_difference() -> None:
    assert float(cycle_loss(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 1.0]))) == pytest.approx(1.75)


def test_adversarial_loss_leaves_the_critic_alone_and_critic_loss_the_images() -> None:
    critic, fake = PatchCritic(2), _crops(0).requires_grad_()
    adversarial_loss(critic, fake).backward()
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert fake.grad is not None
    assert float(fake.grad.abs().sum()) > 0
    fake.grad = None
    critic_loss(critic, _crops(1), fake).backward()
    assert fake.grad is None
    assert all(parameter.grad is not None for parameter in critic.parameters())


def test_one_backward_pass_is_the_simultaneous_update() -> None:
    alignment, x, y = Alignment(0, "a", width=2), _crops(0), _crops(1, 3, 1, 16, 16, 8)
    _awake(alignment)
    losses = alignment(x, y).losses
    generators, critics = alignment.generator_parameters(), alignment.critic_parameters()
    together = torch.autograd.grad(sum(losses.values()), generators + critics, retain_graph=True)
    for_generators = torch.autograd.grad(
        losses["adversarial"] + losses["cycle"], generators, retain_graph=True
    )
    for_critics = torch.autograd.grad(losses["critic"], critics)
    for a, b in zip(together, (*for_generators, *for_critics), strict=True):
        torch.testing.assert_close(a, b)


def test_identity_generators_have_no_cycle_loss_and_hand_images_on() -> None:
    x, y = _crops(0), _crops(1)
    done = Alignment(0, "a", width=2)(x, y)
    assert done.losses["cycle"].item() == 0.0
    assert torch.equal(done.first_to_second, x)
    assert torch.equal(done.second_to_first, y)


def test_cycle_goes_through_both_generators() -> None:
    alignment, x, y = Alignment(0, "a", width=2), _crops(0), _crops(1)
    _awake(alignment)
    expected = cycle_loss(alignment.to_first(alignment.to_second(x)), x)
    expected = expected + cycle_loss(alignment.to_second(alignment.to_first(y)), y)
    torch.testing.assert_close(alignment(x, y).losses["cycle"], expected)


def test_losses_that_are_off_are_not_computed() -> None:
    assert (
        set(Alignment(0, "a", width=2)(_crops(0), _crops(1), adversarial=False, cycle=False).losses) == set()
    )


def test_initial_weights_depend_on_seed_and_key_only() -> None:
    def stem(seed: int, key: str) -> torch.Tensor:
        torch.rand(7)
        return next(Alignment(seed, key, width=2).to_first.parameters()).detach()

    assert torch.equal(stem(0, "a"), stem(0, "a"))
    assert not torch.equal(stem(0, "a"), stem(0, "b"))
    assert not torch.equal(stem(0, "a"), stem(1, "a"))
