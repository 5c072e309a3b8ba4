"""The networks of CMDFL: parameter counts of the release, transfer of weights, guide, history pool."""

import pytest
import torch
from torch import nn

from parallax.learn.nets.cmdfl import (
    CmdflNet,
    HistoryPool,
    PublishedCritic,
    PublishedUNet,
    SuiteUNet,
    copy_weights,
    guided,
    modality_groups,
)
from parallax.learn.translation import CycleGan

SIZE = (16, 16, 16)


def network(first=1, second=1, classes=3, *, one_map=False, widths=(4, 8), patch=SIZE):
    groups = (list(range(first)), list(range(first, first + second)))
    return CmdflNet(groups, classes, one_map=one_map, widths=widths, patch=patch, pool_index_max=9, seed=3)


def parameters(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_parameters_of_the_published_networks():
    with torch.device("meta"):
        net = network(2, 2, 4, one_map=True, widths=None)
        assert parameters(net.gan.to_second) == parameters(PublishedUNet(2, 2)) == 4_121_682
        assert parameters(net.gan.critic_first) == parameters(PublishedCritic(2)) == 698_609
        assert [parameters(segmentor) for segmentor in net.segmentors] == [4_121_716] * 2
        assert parameters(net.segmentors, net.fusion) == 8_285_212


def test_the_published_critic_halves_four_times_and_scores_7_patches_of_128_voxels():
    critic, sizes = PublishedCritic(1), []
    for layer in critic.body:
        if isinstance(layer, nn.Conv3d):
            layer.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[2]))
    with torch.no_grad():
        assert critic(torch.zeros(1, 1, 128, 32, 32)).shape == (1, 1, 7, 1, 1)
    assert sizes == [64, 32, 16, 8, 7]


def test_generators_leak_more_than_segmentors():
    def slopes(net):
        return {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)}

    with torch.device("meta"):
        net = network(widths=None)
        assert slopes(net.gan.to_first) == slopes(net.gan.critic_first) == {0.2}
        assert slopes(net.segmentors) == slopes(net.fusion) == {0.01}


@pytest.mark.parametrize("kind", [lambda: PublishedUNet(1, 2), lambda: SuiteUNet(1, 2, (4, 8))])
def test_the_last_map_is_what_the_head_reads(kind):
    net, x = kind().eval(), torch.randn(1, 1, 32, 16, 16)
    with torch.no_grad():
        coarse, fine = net.maps(x)
        assert torch.equal(net(x), net.head(fine))
    assert [n / 2 for n in fine.shape[2:]] == list(coarse.shape[2:])


@pytest.mark.parametrize("widths", [(4, 8), None])
@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 1), (2, 2)])
def test_one_map_per_modality_or_one_for_all(widths, first, second):
    size = (32, 16, 16)
    images = torch.randn(1, first, *size), torch.randn(1, second, *size)
    with torch.no_grad():
        answers = network(first, second, widths=widths)(*images)
        assert [z.shape[1] for z in answers.own] == [first, second]
        assert answers.fused.shape == (1, first + second, 3, *size)
        answers = network(first, second, widths=widths, one_map=True)(*images)
        assert [z.shape for z in (*answers.own, answers.fused)] == [(1, 1, 3, *size)] * 3


@pytest.mark.parametrize(
    ("kinds", "groups"),
    [
        (["ct", "mr"], ([0], [1])),
        (["mr", "mr"], ([0], [1])),
        (["mr", "mr", "mr"], ([0, 1], [2])),
        (["mr", "ct", "mr"], ([0, 2], [1])),
        (["ct", "mr", "mr"], ([0], [1, 2])),
        (["mr"] * 4, ([0, 1], [2, 3])),
    ],
)
def test_groups(kinds, groups):
    assert modality_groups(kinds) == groups


def test_the_guide_sums_to_2_and_both_segmentors_make_it():
    net, given = network(), {}
    net.fusion.register_forward_pre_hook(lambda module, inputs: given.update(guide=inputs[2]))
    images = torch.randn(1, 1, *SIZE), torch.randn(1, 1, *SIZE)
    guides = []
    for first, second in (images, (-images[0], images[1]), (images[0], -images[1])):
        with torch.no_grad():
            net(first, second)
        guides.append(given["guide"])
    torch.testing.assert_close(guides[0].sum(dim=1), torch.full((1, 8, 8, 8), 2.0))
    assert not torch.equal(guides[0], guides[1])
    assert not torch.equal(guides[0], guides[2])


def test_the_order_of_the_groups_matters():
    net, images = network(), (torch.randn(1, 1, *SIZE), torch.randn(1, 1, *SIZE))
    with torch.no_grad():
        answer, swapped = net(*images).fused, net(*images[::-1]).fused
    assert not torch.allclose(answer, swapped.flip(1), atol=1e-3)


def test_where_both_masks_say_one_class_only_its_features_pass_and_twice():
    features, guide = torch.randn(1, 16, 4, 4, 4), torch.zeros(1, 5, 4, 4, 4)
    guide[:, 3] = 2.0
    passed = guided(features, guide).unflatten(1, (5, 16))
    assert torch.equal(passed[:, 3], 2 * features)
    passed[:, 3] = 0
    assert passed.abs().max() == 0


def test_segmentors_take_over_all_but_the_head():
    net = network()
    before = {name: p.clone() for name, p in net.segmentors.named_parameters()}
    net.transfer(head=False)
    for g, generator in enumerate((net.gan.to_second, net.gan.to_first)):
        for name, p in net.segmentors[g].named_parameters():
            if name.startswith("head."):
                assert torch.equal(p, before[f"{g}.{name}"])
            else:
                assert torch.equal(p, dict(generator.named_parameters())[name])
    assert not torch.equal(next(net.segmentors[0].parameters()), next(net.segmentors[1].parameters()))


@pytest.mark.parametrize(
    ("classes", "head", "copied"), [(2, True, True), (2, False, False), (3, True, False)]
)
def test_the_head_is_copied_only_where_it_fits_and_is_asked_for(classes, head, copied):
    generator, segmentor = SuiteUNet(2, 2, (4, 8)), SuiteUNet(2, classes, (4, 8))
    copy_weights(generator, segmentor, head=head)
    theirs = dict(generator.named_parameters())
    same = {
        name: p.shape == theirs[name].shape and torch.equal(p, theirs[name])
        for name, p in segmentor.named_parameters()
    }
    assert same.pop("head.0.weight") is copied
    same.pop("head.0.bias")  # begins alike
    assert all(same.values())


def fakes(*values):
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1, 1)


def test_the_pool_fills_before_it_gives_anything_back():
    pool, generator = HistoryPool((1, 1, 1, 1), 9), torch.Generator().manual_seed(0)
    assert torch.equal(pool.exchange(fakes(*range(10)), generator), fakes(*range(10)))
    assert pool.slots.flatten().tolist() == list(range(10))
    shown = pool.exchange(fakes(*range(10, 410)), generator).flatten()
    old = (shown != torch.arange(10, 410)).float().mean()
    assert old == pytest.approx(0.5, abs=0.1)
    assert len(set(shown.tolist())) == 400  # nothing is shown twice or lost
    pool.clear()
    assert pool.slots.abs().max() == pool.filled == 0


@pytest.mark.parametrize(("index_max", "kept"), [(9, []), (8, [9.0])])
def test_the_released_pool_never_replaces_its_last_slot(index_max, kept):
    pool, generator = HistoryPool((1, 1, 1, 1), index_max), torch.Generator().manual_seed(0)
    pool.exchange(fakes(*range(510)), generator)
    assert [value for value in pool.slots.flatten().tolist() if value < 10] == kept


def test_the_pool_is_part_of_the_state():
    pool, other = HistoryPool((1, 1, 1, 1), 9), HistoryPool((1, 1, 1, 1), 9)
    pool.exchange(fakes(*range(12)), torch.Generator().manual_seed(0))
    other.load_state_dict(pool.state_dict())
    again = [p.exchange(fakes(*range(20, 30)), torch.Generator().manual_seed(1)) for p in (pool, other)]
    assert torch.equal(*again)


class _Half(nn.Module):
    def forward(self, x):
        return x.mean(dim=1, keepdim=True) * 0 + 0.5


def test_undecided_critics_and_identical_generators():
    gan = CycleGan(nn.Identity(), nn.Identity(), _Half(), _Half())
    x = torch.randn(2, 2, 4, 4, 4)
    losses = gan(x, x).losses
    assert losses["critic"].item() == pytest.approx(2 * 0.25)
    assert losses["adversarial"].item() == pytest.approx(2 * 0.25)
    assert losses["cycle"].item() == 0.0


def test_critics_are_shown_what_is_remembered():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean().view(1, 1)

    gan = CycleGan(nn.Identity(), nn.Identity(), Mean(), Mean())
    one, zero = torch.ones(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)
    plain = gan(one, one).losses
    other = gan(one, one, remember=(lambda fake: zero, lambda fake: fake)).losses
    assert other["critic"].item() != plain["critic"].item()
    assert other["adversarial"].item() == plain["adversarial"].item()
