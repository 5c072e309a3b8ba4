import pytest
import torch

from parallax.errors import ConfigError, GeometryError
from parallax.learn.attention import ChannelAttention, Fusion
from parallax.learn.cross_modality import make_norm, replace_norms
from parallax.learn.networks import UNet


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("weighting", ["similar", "dissimilar"])
def test_attention_starts_as_the_identity_and_then_leaves_it(weighting):
    attention, x = ChannelAttention(weighting), noise(2, 6, 3, 3, 2)
    assert torch.equal(attention(x), x)
    attention.gamma.data.fill_(0.5)
    assert not torch.allclose(attention(x), x)


@pytest.mark.parametrize("energy", ["fp32_div_voxels", "fp32_raw"])
def test_attention_is_finite_at_activations_of_order_8(energy):
    x = 8.0 * noise(1, 64, 16, 16, 16)
    assert torch.isfinite(ChannelAttention("dissimilar", energy)(x)).all()


def test_energy_in_half_precision_is_not_finite_even_at_gamma_0():
    x = 8.0 * noise(1, 64, 16, 16, 16)
    assert torch.isnan(ChannelAttention("dissimilar", "fp16")(x)).any()


def test_dividing_the_energy_by_the_voxels_softens_the_weights():
    x = noise(1, 6, 4, 4, 4)
    own = [ChannelAttention("similar", e).weights(x).diagonal(dim1=1, dim2=2).mean() for e in
           ("fp32_raw", "fp32_div_voxels")]  # fmt: skip
    assert own[0] > 0.99 > own[1] > 1 / 6


def test_dissimilar_puts_least_weight_on_the_channel_itself_and_similar_most():
    x = noise(1, 8, 4, 4, 4)
    rows = torch.arange(8)
    assert torch.equal(ChannelAttention("dissimilar").weights(x)[0].argmin(dim=1), rows)
    assert torch.equal(ChannelAttention("similar").weights(x)[0].argmax(dim=1), rows)


@pytest.mark.parametrize("mode", ["add", "concat_merge"])
@pytest.mark.parametrize("second", [(4, 4, 4), (6, 4, 4), (4, 6, 4), (4, 4, 6), (3, 5, 6)])
def test_fusion_depends_on_both_inputs_at_unequal_sizes_too(mode, second):
    fusion = Fusion(8, 2, mode=mode)
    a, b = noise(1, 8, 4, 4, 4), noise(1, 8, *second, seed=1)
    before = fusion([a, b])
    assert [x.shape for x in before] == [a.shape, b.shape]
    for changed in ([a + noise(1, 8, 4, 4, 4, seed=2), b], [a, b + noise(1, 8, *second, seed=2)]):
        after = fusion(changed)
        assert all(not torch.allclose(x, y) for x, y in zip(before, after, strict=True))


@pytest.mark.parametrize("second", [(6, 4, 4), (4, 6, 4), (4, 4, 6)])
def test_fusion_refuses_unequal_sizes_where_told_to(second):
    with pytest.raises(GeometryError, match="resample_second"):
        Fusion(8, 2, grid_mismatch="error")([noise(1, 8, 4, 4, 4), noise(1, 8, *second)])


def test_copy_first_makes_the_fused_map_blind_to_the_second_modality():
    fusion, a = Fusion(8, 2, grid_mismatch="copy_first"), noise(1, 8, 4, 4, 4)
    fused = [fusion.fused([a, noise(1, 8, 4, 4, 6, seed=seed)]) for seed in (1, 2)]
    assert torch.equal(*fused)


def test_fused_map_lies_in_half_to_one_because_a_relu_comes_first():
    fused = Fusion(8, 2).fused([noise(1, 8, 4, 4, 4), noise(1, 8, 4, 4, 4, seed=1)]).detach()
    assert float(fused.min()) == 0.5
    assert 0.5 < float(fused.max()) < 1.0


def test_fusion_modes_differ_and_merges_are_shared_only_where_told():
    assert [len(Fusion(8, 2, mode=m, shared_merge=s).merge) for m, s in
            (("add", False), ("concat_merge", False), ("concat_merge", True))] == [0, 2, 1]  # fmt: skip
    a = noise(1, 8, 4, 4, 4)
    added = Fusion(8, 2)([a, a])[0]
    assert float((added - a).detach().min()) >= 0.5 - 1e-6


def test_fusion_of_three_modalities_depends_on_each():
    fusion, maps = Fusion(8, 3), [noise(1, 8, 4, 4, 4, seed=i) for i in range(3)]
    before = fusion.fused(maps)
    for k in range(3):
        changed = [m + noise(1, 8, 4, 4, 4, seed=9) if i == k else m for i, m in enumerate(maps)]
        assert not torch.allclose(before, fusion.fused(changed))


def test_norms_of_the_backbone_are_replaced_everywhere_at_equal_size():
    net = UNet(1, 3, (8, 16))
    size, x = sum(p.numel() for p in net.parameters()), noise(2, 1, 8, 8, 8)
    before = net(x)
    replaced = replace_norms(net, "batch_always_train")
    assert not any(isinstance(m, torch.nn.InstanceNorm3d) for m in replaced.modules())
    assert sum(p.numel() for p in replaced.parameters()) == size
    replaced(x).sum().backward()
    assert all(p.grad is not None for p in replaced.parameters())
    assert not torch.allclose(before, replaced(x))


def test_an_unknown_norm_is_refused():
    with pytest.raises(ConfigError, match="layer"):
        make_norm("layer", 8)
