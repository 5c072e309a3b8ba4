"""MCSC: what is contrasted with what, and every switch. The loss itself: tests/learn/test_contrast.py."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from functools import partial
from typing import Any

import branches_toy
import pytest
import torch
from branches_toy import BRANCHES, batches

from parallax.case import IGNORE
from parallax.learn.nets.projectors import PairProjector
from parallax.learn.network_method import Clock
from parallax.plugin import load_method

KIND = load_method("mcsc")
make = partial(branches_toy.make, KIND)
MODULE: Any = inspect.getmodule(KIND)
LATE, FIRST = Clock(5, 6, 0), Clock(0, 6, 0)
CONTRAST = ("contrast/fine", "contrast/middle")


def terms(method: Any, net: Any, clock: Clock = LATE, *, without: bool = False) -> dict[str, torch.Tensor]:
    labelled, bare = batches()
    found: dict[str, torch.Tensor] = method.loss(net, labelled, None if without else bare, clock)
    return found


def gradients(term: torch.Tensor, part: Any) -> list[torch.Tensor]:
    found = torch.autograd.grad(term, list(part.parameters()), retain_graph=True, allow_unused=True)
    return [g for g in found if g is not None]


# ---- projectors


@pytest.mark.parametrize("norm", [False, True])
def test_projected_vectors_have_length_1_and_the_last_layer_is_shared(norm):
    projector = PairProjector((4, 6), norm=norm)
    vectors = projector(torch.randn(3, 5, 4), torch.randn(3, 5, 6))
    assert vectors.shape == (6, 5, 128)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(6, 5))
    for half in vectors.chunk(2):
        (gradient,) = torch.autograd.grad(half[..., 0].sum(), projector.shared.weight, retain_graph=True)
        assert gradient.abs().max() > 0
    assert sum(p.numel() for p in projector.parameters()) == 256 * (4 + 6 + 2) + 257 * 128 + 12 * norm


# ---- what is contrasted


def test_total_weight_of_contrast_is_0_002(monkeypatch):
    monkeypatch.setattr(MODULE, "contrast_of_blocks", lambda *_: torch.ones(()))
    found = terms(make(), make().build())
    assert [found[key].item() for key in CONTRAST] == pytest.approx([0.002, 0.002])


def spied(monkeypatch: pytest.MonkeyPatch, method: Any, net: Any, clock: Clock, **options: Any) -> list[Any]:
    """Maps and labels that are cut into blocks: fine scale, middle scale, each cnn then transformer."""
    cut = []

    def spy(features: torch.Tensor, label: torch.Tensor, **how: Any) -> Any:
        cut.append((features, label))
        return blocks(features, label, **how)

    blocks = MODULE.shuffled_blocks
    monkeypatch.setattr(MODULE, "shuffled_blocks", spy)
    terms(method, net, clock, **options)
    return cut


def test_labelled_maps_carry_the_truth_and_unlabelled_ones_what_the_other_branch_says(monkeypatch):
    method, (labelled, bare) = make(), batches()
    net = method.build()
    cut = spied(monkeypatch, method, net, LATE)
    said = [net[0][b](bare.image, bare.available)[:, 0].argmax(dim=1) for b in BRANCHES]
    assert not torch.equal(*said)
    for scale in (0, 2):
        for own, label in enumerate(cut[scale + i][1] for i in (0, 1)):
            assert torch.equal(label[:2], labelled.label[:, 0])
            assert torch.equal(label[2:], said[1 - own])
            assert not label.requires_grad
    assert [feature.shape[1:] for feature, _ in cut] == [(4, 8, 8, 8)] * 2 + [(8, 4, 4, 4)] * 2


@pytest.mark.parametrize(("step", "maps"), [(0, 2), (7, 2), (8, 4), (99, 4)])
def test_at_first_labelled_maps_alone_are_contrasted(monkeypatch, step, maps):
    method = make()
    cut = spied(monkeypatch, method, method.build(), Clock(step, 100, 0))
    assert [len(feature) for feature, _ in cut] == [maps] * 4


def test_a_map_carries_the_mask_of_the_first_modality_that_it_has(monkeypatch):
    method, (labelled, bare) = make(), batches()
    net = method.build()
    labelled.label[0, 0] = IGNORE
    labelled.label[1, 1] = IGNORE
    lacking = replace(bare, available=torch.tensor([[False, True], [True, True]]))
    cut = []
    monkeypatch.setattr(
        MODULE, "shuffled_blocks", lambda f, y, **_: cut.append(y) or (f[:, None], y[:, None])
    )
    monkeypatch.setattr(MODULE, "contrast_of_blocks", lambda *_: torch.zeros(()))
    monkeypatch.setattr(PairProjector, "forward", lambda *_: None)
    method.loss(net, labelled, lacking, LATE)
    assert torch.equal(cut[0][0], labelled.label[0, 1])
    assert torch.equal(cut[0][1], labelled.label[1, 0])
    said = net[0]["transformer"](lacking.image, lacking.available).argmax(dim=2)
    assert torch.equal(cut[0][2], said[0, 1])
    assert torch.equal(cut[0][3], said[1, 0])


def test_contrast_teaches_both_branches_and_the_projectors_at_both_scales():
    method = make()
    net = method.build()
    found = terms(method, net)
    for key in CONTRAST:
        scale = key.split("/")[1]
        parts = (*(net[0][b].unet for b in BRANCHES), net[0]["projectors"][scale])
        assert all(max(g.abs().max() for g in gradients(found[key], part)) > 0 for part in parts)
        # nothing flows through the classes that the branches gave each other
        assert not gradients(found[key], net[0]["cnn"].unet.head)


def test_labelled_crops_are_contrasted_without_unlabelled_ones():
    method = make()
    net = method.build()
    early, alone = terms(method, net, FIRST), terms(method, net, FIRST, without=True)
    assert all(early[key] == alone[key] > 0 for key in CONTRAST)


# ---- switches


def test_without_contrast_it_is_cross_teaching():
    plain = make(contrast_weight=0.0, ramp_fraction=1.0)
    other = branches_toy.make(load_method("cross_teaching"))
    found, expected = terms(plain, plain.build()), terms(other, other.build())
    assert found == expected


def test_ramp_is_that_of_the_release():
    method = make()
    assert method.weight(Clock(30000, 40000, 0)) == pytest.approx(0.1)
    values = [method.weight(Clock(150 * t, 40000, 0)) for t in (0, 50, 100, 150)]
    assert values == pytest.approx([6.738e-4, 6.005e-3, 0.02865, 0.07316], rel=1e-3)
    stairs = make("released")
    assert stairs.weight(Clock(15000, 40000, 0)) == stairs.weight(Clock(15149, 40000, 0))
    assert stairs.weight(Clock(15149, 40000, 0)) < method.weight(Clock(15149, 40000, 0))


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "batch"},
        {"temperature": 0.5},
        {"labelled_only_fraction": 0.9},
        {"tile": "release"},
        {"block_side": 4},
        {"blocks_at_most": 1},
        {"dimensions": "2d"},
        {"contrast_weight": 0.1},
    ],
    ids=lambda s: next(iter(s)),
)
def test_switch_changes_the_contrast(changes):
    plain, other = (terms(m, m.build()) for m in (make(block_side=3), make(**({"block_side": 3} | changes))))
    assert plain["contrast/fine"] != other["contrast/fine"]


def test_blocks_of_the_middle_scale_have_their_own_side():
    plain, other = (terms(m, m.build()) for m in (make(), make(middle_block_side=2)))
    assert plain["contrast/fine"] == other["contrast/fine"]
    assert plain["contrast/middle"] != other["contrast/middle"]


def test_plane_of_the_slices():
    plain, other = (terms(m, m.build()) for m in (make("slices"), make("slices", plane="sagittal")))
    assert plain["contrast/fine"] != other["contrast/fine"]


def test_one_slice_of_each_crop_is_contrasted(monkeypatch):
    method, (labelled, bare) = make("slices"), batches()
    net = method.build()
    cut = spied(monkeypatch, method, net, LATE)
    fine, label = cut[0]
    assert fine.shape == (4, 4, 8, 8)
    seen = torch.cat([net[0]["cnn"].see(b.image, b.available).fine for b in (labelled, bare)])
    stacks = labelled.label[:, 0].movedim(-1, 1)
    for item in range(4):
        row = next(i for i, one in enumerate(seen) if torch.equal(one, fine[item]))
        assert row // 16 == item
        if item < 2:
            assert torch.equal(label[item], stacks[item, row % 16])
    assert [len(feature) for feature, _ in cut] == [4] * 4


def statistics(net: Any) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in net[0]["cnn"].state_dict().items() if "running" in k}


@pytest.mark.parametrize("bug", [False, True])
def test_statistics_of_the_cnn_stand_still_after_the_first_validation_of_the_release(bug):
    """The first validation is at 0.03 of the training."""
    method = make("released", eval_bug=bug)
    net = method.build().train()
    for step, moves in ((2, True), (3, not bug), (50, not bug), (2, True)):  # a pure function of the step
        before = statistics(net)
        terms(method, net, Clock(step, 100, 0))
        after = statistics(net)
        assert before
        assert all(torch.equal(before[k], after[k]) for k in before) is not moves


def test_frozen_statistics_change_what_is_learnt():
    found = []
    for bug in (False, True):
        method = make("released", eval_bug=bug)
        found.append(terms(method, method.build().train()))
    assert found[0]["supervised/cnn"] != found[1]["supervised/cnn"]
    assert found[0]["supervised/transformer"] == found[1]["supervised/transformer"]


def test_batch_norms_stand_for_all_instance_norms_of_the_cnn():
    kinds = {type(m).__name__ for m in make(norm="batch").build()[0]["cnn"].modules()}
    assert "BatchNorm3d" in kinds
    assert not any("InstanceNorm" in kind for kind in kinds)
    flat = make(norm="batch", dimensions="2d").build()[0]["cnn"].modules()
    assert "BatchNorm2d" in {type(m).__name__ for m in flat}


def test_presets_that_differ_in_the_answer_alone():
    net, (labelled, _) = make().build(), batches()
    plain, mean = (
        make(preset).logits(net, labelled.image, labelled.available).softmax(dim=2)
        for preset in ("paper", "mean_of_both")
    )
    other = make(predict_with="transformer").logits(net, labelled.image, labelled.available).softmax(dim=2)
    torch.testing.assert_close(mean, (plain + other) / 2)


def test_order_of_blocks_follows_the_step_alone():
    method = make(block_side=3)
    net = method.build()
    first, again, later = (terms(method, copy.deepcopy(net), c) for c in (LATE, LATE, Clock(4, 6, 0)))
    assert first["contrast/fine"] == again["contrast/fine"] != later["contrast/fine"]


def test_projectors_are_clipped_apart():
    method = make()
    net = method.build()
    groups = method.parameter_groups(net)
    assert len(groups) == 4
    assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in net[0]["projectors"].parameters()}
    every = [id(p) for group in groups for p in group["params"]]
    assert sorted(every) == sorted(id(p) for p in net.parameters())
