"""The network of masked pairs: memory, partners, what masking hides, sizes."""

import pytest
import torch

from parallax.learn.nets.masked_pairs import MaskedPairNet, MemoryFusion, heads_of, patch_size, token_width
from parallax.learn.nets.masking import draw_masks, patches_of
from parallax.learn.networks import initialised

BOTH = torch.ones(1, 2, dtype=torch.bool)


def network(**changes):
    arguments = {"patch": 4, "widths": (4, 8), "slots": 16, "top": 4} | changes
    with initialised(0, "test"):
        return MaskedPairNet(arguments.pop("modalities", 2), 3, **arguments).eval()


def memory(slots, top, width=12):
    with initialised(0, "memory"):
        return MemoryFusion(width, slots, top)


def volumes(items=1, size=(16, 16, 16), seed=0):
    return torch.randn(items, 2, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("crop", "levels", "side"),
    [
        ((48, 48, 32), 4, 8),
        ((64, 48, 32), 4, 8),
        ((16, 16, 16), 2, 4),
        ((128, 128, 96), 5, 16),
        ((8, 8, 8), 2, 2),
    ],
)
def test_patches_go_with_the_crop(crop, levels, side):
    assert patch_size(crop, levels) == side
    assert all(n % side == 0 for n in crop)


def test_the_transformer_grows_with_the_backbone():
    assert [token_width((n,)) for n in (128, 256, 8, 5)] == [192, 384, 12, 12]
    assert [heads_of(width) for width in (192, 384, 12, 150)] == [6, 12, 1, 3]


def test_parameters_at_the_default_widths():
    net = network(patch=8, widths=(16, 32, 64, 128), slots=512, top=32)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert counts["blocks"] == 6 * 444_864
    assert counts["embed"] == 2 * (512 + 1) * 192
    assert counts["fusion"] == 512 * 192 + 7 * 192 * 192 + 7 * 192 + 3 * 2 * 192
    assert net.taps == [2, 4, 6]
    assert network(patch=16, widths=(16, 32, 64, 128)).taps == [2, 3, 5, 6]


# ---- memory


def test_one_slot_answers_every_query_with_its_value():
    fusion = memory(1, 32)
    read = fusion.read(torch.randn(2, 5, 12))
    torch.testing.assert_close(read, fusion.value(fusion.memory)[0].expand(2, 5, -1))


def test_equal_scores_read_the_mean_value():
    fusion = memory(7, 7)
    torch.nn.init.zeros_(fusion.key.weight)
    read = fusion.read(torch.randn(3, 12))
    torch.testing.assert_close(read, fusion.value(fusion.memory).mean(0).expand(3, -1))


def test_the_order_of_slots_does_not_matter():
    fusion, tokens = memory(9, 4), torch.randn(5, 12)
    before = fusion.read(tokens)
    fusion.memory.data = fusion.memory.data.roll(3, 0)
    torch.testing.assert_close(fusion.read(tokens), before)


def test_only_the_best_slots_are_read():
    fusion, tokens = memory(9, 1), torch.randn(5, 12)
    best = (fusion.query(tokens) @ fusion.key(fusion.memory).T).argmax(dim=1)
    torch.testing.assert_close(fusion.read(tokens), fusion.value(fusion.memory)[best])


# ---- partners


def test_without_partner_a_token_keeps_what_it_read():
    fusion, tokens = memory(9, 4), torch.randn(2, 2, 5, 12)
    available = torch.tensor([[True, True], [True, False]])
    fused = fusion(tokens, tokens, available)
    own = tokens + fusion.read(fusion.norm_read(tokens))
    assert torch.equal(fused[1, 0], own[1, 0])
    assert not torch.allclose(fused[0, 0], own[0, 0])


def test_three_modalities_attend_to_those_that_exist():
    fusion, tokens = memory(9, 4), torch.randn(1, 3, 5, 12)
    two = fusion(tokens[:, :2], tokens[:, :2], BOTH)
    three = fusion(tokens, tokens, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(three[:, :2], two)


# ---- masking


def test_nothing_of_a_masked_patch_is_seen():
    net, image = network(), volumes()
    masks = draw_masks(torch.Generator().manual_seed(0), BOTH, 64, 0.75)
    hidden = masks.hidden[..., None].expand(-1, -1, -1, 64).float()[0]
    volume = torch.stack([_assembled(h) for h in hidden])[None].bool()
    made, changed = (net.pretrain(x, BOTH, masks) for x in (image, image.where(~volume, 5.0)))
    assert torch.equal(made.predicted, changed.predicted)
    assert all(torch.equal(a, b) for a, b in zip(made.parts, changed.parts, strict=True))
    assert not torch.equal(made.target, changed.target)


def test_the_partner_takes_part_in_rebuilding():
    net, image = network(), volumes()
    masks = draw_masks(torch.Generator().manual_seed(0), BOTH, 64, 0.75)
    other = torch.cat([image[:, :1], volumes(seed=1)[:, 1:]], dim=1)
    made, changed = (net.pretrain(x, BOTH, masks) for x in (image, other))
    assert not torch.allclose(made.predicted[0], changed.predicted[0])
    assert torch.equal(made.parts[0], changed.parts[0])


def test_nothing_masked_encodes_as_without_masks():
    net, image = network(), volumes()
    masks = draw_masks(torch.Generator().manual_seed(0), BOTH, 64, 0.0)
    plain = net.encode(image, BOTH)[-1]
    shuffled = net.encode(image, BOTH, masks)[-1]
    order = masks.order[..., None].expand_as(plain)
    torch.testing.assert_close(shuffled, plain.gather(2, order), atol=1e-5, rtol=1e-4)


# ---- segmentation


@pytest.mark.parametrize("patch", [2, 4, 8])
@pytest.mark.parametrize("size", [(16, 16, 16), (24, 16, 8)])
def test_any_size_that_patches_cut(patch, size):
    logits = network(patch=patch)(volumes(2, size), torch.tensor([[True, True], [False, True]]))
    assert logits.shape == (2, 2, 3, *size)


def test_the_order_of_tokens_is_that_of_the_volume():
    """A change in one corner of a volume moves the logits there most."""
    net, image = network(), volumes()
    changed = image.clone()
    changed[..., :4, 12:, :4] += 3.0
    with torch.no_grad():
        features = [net.encode(x, BOTH)[0][0, 0].unflatten(0, (4, 4, 4)) for x in (image, changed)]
    moved = (features[0] - features[1]).norm(dim=-1)
    assert (
        moved.argmax()
        == moved.new_zeros(4, 4, 4).index_put((*map(torch.tensor, (0, 3, 0)),), torch.tensor(1.0)).argmax()
    )


def test_segmentation_with_and_without_fusion():
    with_memory, without = network(), network(fuse=False)
    assert not torch.allclose(with_memory(volumes(), BOTH), without(volumes(), BOTH))


def _assembled(patches):
    """Volume [16, 16, 16] of patches [64, 4**3]: the inverse of `patches_of`."""
    volume = patches.reshape(4, 4, 4, 4, 4, 4).permute(0, 3, 1, 4, 2, 5).reshape(16, 16, 16)
    assert torch.equal(patches_of(volume[None], 4)[0], patches)
    return volume
