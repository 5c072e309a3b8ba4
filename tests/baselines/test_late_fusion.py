"""Late fusion: what its average is of, and what a stream owes to the others."""

import pytest
import torch
from toy import toy_sample, toy_task, toy_view, without_labels

from parallax.learn.batch import Batch
from parallax.learn.fusion import reference_label
from parallax.learn.loop import Clock
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card

PATCH = (16, 16, 16)


def method(budget, modalities=2, **switches):
    return load_method("late_fusion")(toy_task(modalities), budget, switches=switches, seed=0)


def crops(modalities=2, view=None):
    view = view or toy_view(toy_task(modalities), size=PATCH)
    return CropSampler(view.labelled, patch=PATCH, batch=2, augment=False, seed=0, stream=0).batch(0)


def answers(budget, batch, available, modalities=2, **switches):
    with torch.no_grad():
        chosen = method(budget, modalities, **switches)
        return chosen.logits(chosen.build().eval(), batch.image, torch.tensor(available))


def test_the_average_is_over_what_is_there(budget):
    batch = crops(3)
    own = answers(budget, batch, [[True] * 3] * 2, 3)
    some = answers(budget, batch, [[True, False, True], [False, True, True]], 3, output="fused")
    torch.testing.assert_close(some[0], own[0, [0, 2]].mean(dim=0).expand(3, -1, -1, -1, -1))
    torch.testing.assert_close(some[1], own[1, [1, 2]].mean(dim=0).expand(3, -1, -1, -1, -1))


def test_with_one_modality_the_fused_answer_is_that_stream(budget):
    batch, one = crops(), [[True, False], [False, True]]
    own, fused = (answers(budget, batch, one, output=output) for output in ("own", "fused"))
    for item, there in ((0, 0), (1, 1)):
        assert torch.equal(fused[item], own[item, there].expand(2, -1, -1, -1, -1))
        assert torch.equal(own[item, 1 - there], own[item, there])


def test_no_stream_depends_on_another_image(budget):
    batch = crops()
    moved = Batch(batch.image.clone(), batch.label, batch.available, batch.cases)
    moved.image[:, 1] *= -1
    both = [[True, True]] * 2
    before, after = (answers(budget, b, both) for b in (batch, moved))
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_swapping_modalities_and_networks_swaps_the_answers(budget):
    chosen, batch = method(budget), crops()
    net = chosen.build().eval()
    swapped = torch.nn.ModuleList(reversed(list(net)))
    with torch.no_grad():
        wanted = chosen.logits(net, batch.image, batch.available).flip(1)
        assert torch.equal(chosen.logits(swapped, batch.image.flip(1), batch.available), wanted)


def test_without_the_fused_loss_it_is_supervised_bit_for_bit(budget, tmp_path):
    view = toy_view(toy_task())
    alone = load_method("supervised")(toy_task(), budget, switches={}, seed=0)
    alone.fit(view, tmp_path / "supervised")
    nets = {}
    for fused_loss in (False, True):
        late = method(budget, fused_loss=fused_loss)
        late.fit(view, tmp_path / str(fused_loss))
        nets[fused_loss] = late.net.state_dict()
    assert all(torch.equal(v, alone.net.state_dict()[k]) for k, v in nets[False].items())
    assert any(not torch.equal(v, alone.net.state_dict()[k]) for k, v in nets[True].items())


def test_the_fused_loss_reads_the_reference_mask_alone(budget):
    chosen, batch = method(budget), crops()
    net = chosen.build()

    def fused():
        return chosen.loss(net, batch, None, Clock(0, 6, 0))["fused"].item()

    before = fused()
    batch.label[:, 1] = 0
    assert fused() == before
    batch.label[:, 0] = 0
    assert fused() != before


def test_where_the_reference_has_no_mask_the_next_one_counts():
    samples = [without_labels(toy_sample(toy_task(), "a", PATCH), 0), toy_sample(toy_task(), "b", PATCH)]
    label = torch.stack([torch.from_numpy(s.label) for s in samples]).long()
    label[1, 1] = 0
    batch = Batch(torch.zeros(label.shape), label, torch.ones(2, 2, dtype=torch.bool), ("a", "b"))
    assert torch.equal(reference_label(batch), torch.stack([label[0, 1], label[1, 0]]))


@pytest.mark.parametrize("term", ["M0", "M1", "fused"])
def test_terms_have_equal_weights_and_reach_the_streams_that_they_should(budget, term):
    chosen, batch = method(budget), crops()
    net = chosen.build()
    terms = chosen.loss(net, batch, None, Clock(0, 6, 0))
    terms[term].backward()
    reached = [any(p.grad is not None and p.grad.abs().max() > 0 for p in n.parameters()) for n in net]
    assert reached == {"M0": [True, False], "M1": [False, True], "fused": [True, True]}[term]


def test_presets_share_one_training_and_differ_in_their_adapter():
    card = method_card("late_fusion")
    differ = {k for k, v in card.presets["fused"].items() if v != card.presets["paper"][k]}
    assert differ == set(card.at_prediction)
    assert [card.adapter_of(preset) for preset in ("paper", "fused")] == ["native", "broadcast"]
    assert not card.needs_pairs
