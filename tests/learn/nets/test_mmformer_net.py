"""The network of mmFormer: published sizes, what reads what, tokens, positions."""

from dataclasses import replace

import pytest
import torch

from parallax.learn.nets.mmformer import Tokens, channels_of_voxels, published_mmformer, suite_mmformer

TOKENS = Tokens(width=8, heads=4, mlp_width=16, grid=(4, 4, 4), dropout=0.0)
BOTH = torch.ones(2, 2, dtype=torch.bool)
FIRST = torch.tensor([[True, False]] * 2)


def size(*parts):
    return sum(p.numel() for part in parts for p in part.parameters())


@pytest.fixture(scope="module")
def published():
    tokens = Tokens(width=512, heads=8, mlp_width=4096, grid=(8, 8, 8))
    with torch.device("meta"):  # shapes without numbers
        return published_mmformer(4, 4, tokens, 1)


def suite(**changes):
    torch.manual_seed(0)
    return suite_mmformer(2, 3, (4, 8), replace(TOKENS, **changes), 2).eval()


def fused(net, image, seen, *, all_levels=False):
    with torch.no_grad():
        return net.fused(net.encode(image, BOTH), seen, all_levels=all_levels)


@pytest.fixture(scope="module")
def image():
    return torch.randn(2, 2, 16, 16, 16, generator=torch.Generator().manual_seed(1))


def test_published_sizes(published):
    """Counts of the release's modules, less four 1x1x1 convolutions (262,656) that its forward never uses."""
    assert [size(encoder) for encoder in published.encoders] == [1_473_216] * 4
    assert [size(layer) for layer in (*published.intra, published.inter)] == [5_250_048] * 5
    assert [size(into) for into in published.into] == [66_048] * 4
    assert [size(table) for table in published.positions] == [512 * 512] * 4
    assert size(published.out_of) == 1_049_088
    assert size(published.fusing, published.merges, published.heads) == 1_293_444
    assert size(published.auxiliary, published.auxiliary_head) == 593_356
    assert size(published) == 36_391_760


def test_published_network_has_four_coarser_maps_at_full_size(published):
    image = torch.zeros(1, 4, 32, 32, 32, device="meta")
    seen = torch.ones(1, 4, dtype=torch.bool)
    pyramids = published.encode(image, seen)
    assert [tuple(x.shape[1:3]) for x in pyramids[0]] == [(8, 32), (16, 16), (32, 8), (64, 4), (128, 2)]
    levels = published.fused(pyramids, seen, all_levels=True)
    assert [tuple(z.shape) for z in levels] == [(1, 1, 4, 32, 32, 32)] * 5
    assert tuple(published.own(pyramids).shape) == (1, 4, 4, 32, 32, 32)


def test_coarser_maps_come_first_and_the_finest_is_the_answer(image):
    net = suite()
    levels = fused(net, image, BOTH, all_levels=True)
    assert [tuple(z.shape) for z in levels] == [(2, 2, 3, 16, 16, 16)] * 2
    assert torch.equal(levels[-1], fused(net, image, BOTH)[0])
    assert not torch.equal(levels[0], levels[1])


def test_correct_channels_are_one_token_of_each_modality_and_the_release_mixes():
    tokens = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # B, K, N, D
    correct, mixed = (channels_of_voxels(tokens, mixed=mixed) for mixed in (False, True))
    assert correct.shape == mixed.shape == (2, 4, 15)
    for n in range(4):
        assert torch.equal(correct[1, n], torch.cat([tokens[1, k, n] for k in range(3)]))
    # voxel 0 of the release: the first three tokens of the first modality, nothing of the others
    assert torch.equal(mixed[1, 0], tokens[1, 0, :3].flatten())
    alone = tokens[:, :1]
    assert torch.equal(channels_of_voxels(alone, mixed=True), channels_of_voxels(alone, mixed=False))


def test_reshape_changes_the_answer(image):
    assert not torch.equal(fused(suite(), image, BOTH)[0], fused(suite(mixed=True), image, BOTH)[0])


def test_tokens_of_an_unseen_modality_take_part_unless_masked(image):
    """Only zeros and positions of it, but attention counts them: the release has no key mask."""
    for key_mask, takes_part in ((False, True), (True, False)):
        net = suite(key_mask=key_mask)
        torch.nn.init.normal_(net.out_of.weight[:, :8])
        with torch.no_grad():
            net.out_of.weight[:, 8:] = 0  # what the second modality's own tokens become is not read
        before = fused(net, image, FIRST)[0]
        torch.nn.init.normal_(net.positions[1].table)
        assert torch.equal(before, fused(net, image, FIRST)[0]) is not takes_part


def test_what_is_not_seen_or_not_available_is_not_read(image):
    net, other = suite(), image.clone()
    other[:, 1] = torch.randn(16, 16, 16)
    assert torch.equal(fused(net, image, FIRST)[0], fused(net, other, FIRST)[0])
    assert not torch.equal(fused(net, image, BOTH)[0], fused(net, other, BOTH)[0])
    other[:, 1] = torch.nan
    assert all(bool(level.isfinite().all()) for level in net.encode(other, FIRST)[1])


def test_own_maps_read_one_modality_and_no_transformer(image):
    net, other = suite(), image.clone()
    other[:, 1] += 1.0 + torch.randn(16, 16, 16)
    own, changed = (net.own(net.encode(x, BOTH)) for x in (image, other))
    assert torch.equal(own[:, 0], changed[:, 0])
    assert not torch.equal(own[:, 1], changed[:, 1])
    gradients = torch.autograd.grad(own.sum(), net.transformers(), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_positions_adapt_to_volumes_of_another_size():
    net = suite()
    torch.nn.init.normal_(net.positions[0].table)
    volume = torch.randn(2, 2, 24, 16, 20)
    assert fused(net, volume, BOTH)[0].shape == (2, 2, 3, 24, 16, 20)
    assert size(net.positions) == 2 * 8 * 4**3


def test_most_voxels_are_background_at_first(image):
    net = suite()
    for logits in (*fused(net, image, BOTH, all_levels=True), net.own(net.encode(image, BOTH))):
        assert (logits.argmax(dim=2) == 0).float().mean() > 0.8
