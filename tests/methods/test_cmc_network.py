import copy

import pytest
import torch
from cmc_toy import batch, method
from toy import toy_task

from parallax.learn.attention import ChannelAttention, Fusion
from parallax.learn.cross_modality import CollaborationNet, PublishedUNet


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


def eval_logits(made, image, available=None):
    with torch.no_grad():
        made.net = made.net or made.build().eval()
        return made.logits(
            made.net, image, torch.ones(image.shape[:2]).bool() if available is None else available
        )


def test_parameters_of_the_published_network():
    backbone = PublishedUNet(14, norm="batch_always_train")
    fusion = Fusion(512, 2, mode="concat_merge", shared_merge=True, norm="batch_always_train")
    net = CollaborationNet([backbone], [ChannelAttention()], fusion)
    assert sum(p.numel() for p in backbone.encoder.parameters()) == 7_027_776
    assert sum(p.numel() for p in net.attentions.parameters()) == 1
    assert sum(p.numel() for p in fusion.fuse.parameters()) == 21_236_736
    assert sum(p.numel() for p in fusion.merge.parameters()) == 526_848
    assert round(millions(backbone.decoder) + millions(backbone.head), 2) == 12.05
    assert round(millions(net), 2) == 40.84


def test_published_network_of_the_paper_preset_has_two_u_nets():
    with torch.device("meta"):
        backbones = [PublishedUNet(14) for _ in range(2)]
    assert round(sum(map(millions, backbones)), 2) == 38.15


def test_published_network_segments():
    made = method(network="published")
    made.net = CollaborationNet(
        [PublishedUNet(3, widths=(4, 8, 8, 16)) for _ in range(2)], [ChannelAttention()], Fusion(16, 2)
    )
    assert eval_logits(made, batch().image).shape == (2, 2, 3, 16, 16, 16)


def test_output_of_a_case_ignores_its_batch_under_instance_norm_only():
    x = batch().image
    moved = {}
    for norm in ("instance", "batch_always_train"):
        made = method(norm=norm)
        alone = eval_logits(made, x[:1])
        moved[norm] = float((eval_logits(made, torch.cat([x[:1], 5 * x[1:] + 3]))[:1] - alone).abs().max())
    assert moved["instance"] < 1e-5
    assert moved["batch_always_train"] > 1e-2


@pytest.mark.parametrize("preset", ["paper", "released"])
@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_modality_is_never_read(preset, missing):
    made, x = method(preset), batch().image
    available = torch.ones(2, 2, dtype=torch.bool)
    available[:, missing] = False
    before = eval_logits(made, x, available)
    x[:, missing] = torch.nan
    after = eval_logits(made, x, available)
    assert torch.equal(before, after)
    assert not before[:, missing].any()
    assert torch.isfinite(before[:, 1 - missing]).all()


def test_a_modality_missing_in_one_item_leaves_the_other_item_alone():
    made, x = method(), batch().image
    some = torch.tensor([[True, True], [True, False]])
    both = eval_logits(made, x)
    assert torch.allclose(eval_logits(made, x, some)[0], both[0], atol=1e-5)
    assert not torch.allclose(eval_logits(made, x, some)[1, 0], both[1, 0], atol=1e-5)


def test_each_output_depends_on_the_other_modality():
    made, x = method(), batch().image
    before = eval_logits(made, x)
    x[:, 1] = torch.randn(x[:, 1].shape, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(eval_logits(made, x)[:, 0], before[:, 0], atol=1e-4)


def test_three_modalities_give_three_outputs():
    made = method(of=toy_task(3))
    assert eval_logits(made, batch(modalities=3).image).shape[:3] == (2, 3, 3)


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_the_network_can_be_copied_after_a_step(preset):
    made, x = method(preset), batch().image
    net = made.build()
    made.logits(net, x, torch.ones(2, 2).bool()).sum().backward()
    twin = copy.deepcopy(net)
    assert all(
        torch.equal(p, q) and p is not q for p, q in zip(net.parameters(), twin.parameters(), strict=True)
    )


def test_sharing_networks_halves_the_streams():
    own, shared = method().build(), method(share_networks=True).build()
    assert (len(own.backbones), len(own.attentions)) == (2, 2)
    assert (len(shared.backbones), len(shared.attentions)) == (1, 1)


def test_backbones_start_as_those_of_the_supervised_baseline():
    from parallax.learn.networks import UNet, initialised

    made = method()
    with initialised(made.seed, "unet/M1"):
        expected = UNet(1, 3, made.budget.widths)
    pairs = zip(expected.parameters(), made.build().backbones[1].parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_fusion_modes_weightings_and_energies_change_the_output():
    x, outputs = batch().image, []
    for switches in (
        {},
        {"fusion_mode": "concat_merge"},
        {"mia_weighting": "dissimilar"},
        {"mia_energy": "fp32_raw"},
    ):
        made = method(**switches)
        made.net = made.build().eval()
        for attention in made.net.attentions:
            attention.gamma.data.fill_(1.0)
        outputs.append(eval_logits(made, x))
    assert all(not torch.allclose(outputs[0], other, atol=1e-4) for other in outputs[1:])


@pytest.mark.parametrize("nesting", ["net", "student", None])
def test_weights_whose_names_do_not_match_are_never_taken_in_silence(tmp_path, nesting):
    weights = method().build().state_dict()
    wrong = {nesting: weights} if nesting else {f"module.{key}": value for key, value in weights.items()}
    torch.save(wrong, tmp_path / "weights.pt")
    with pytest.raises(RuntimeError, match=r"Missing key\(s\)"):
        method().load(tmp_path)
