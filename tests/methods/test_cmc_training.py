import logging

import pytest
import torch
from cmc_toy import batch, difference, method, trained
from toy import toy_sample, toy_task

from parallax.case import Pairing
from parallax.errors import ConfigError
from parallax.learn.network_method import Clock
from parallax.learn.sampler import CropSampler

LATE = Clock(step=9, steps=10, seed=1)


def terms(clock=LATE, unlabelled=True, **switches):
    made = method(**switches)
    torch.manual_seed(0)
    return made.loss(made.build(), batch(), batch(False) if unlabelled else None, clock)


def values(*args, **switches):
    return {term: float(value.detach()) for term, value in terms(*args, **switches).items()}


def gradients(preset, unlabelled, **switches):
    made = method(preset, **switches)
    net = made.build()
    terms = made.loss(net, batch(), batch(False) if unlabelled else None, LATE)
    torch.stack(list(terms.values())).sum().backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in net.named_parameters()}


def test_unlabelled_cases_change_gradients_under_paper_and_never_under_released():
    assert difference(gradients("paper", True), gradients("paper", False)) > 1e-4
    for value in ("skip", "matmul"):
        assert difference(gradients("released", True, csc_value=value), gradients("released", False)) == 0.0


@pytest.mark.parametrize("value", ["skip", "matmul"])
def test_released_equals_its_own_supervised_run_bit_for_bit(tmp_path, value):
    full = trained(method("released", csc_value=value), tmp_path / "full")
    alone = trained(method("released", terms="supervised"), tmp_path / "alone")
    assert difference(full, alone) == 0.0


def test_paper_differs_from_its_own_supervised_run(tmp_path):
    full = trained(method("paper"), tmp_path / "full")
    alone = trained(method("paper", terms="supervised"), tmp_path / "alone")
    assert difference(full, alone) > 1e-4


def test_released_with_gradient_is_no_longer_supervised_training():
    changed = gradients("released", True, unlabelled_grad=True, csc_value="matmul")
    assert difference(changed, gradients("released", True)) > 1e-4


def test_terms_choose_what_is_trained_for():
    assert {t: set(terms(terms=t)) for t in ("all", "supervised", "csc", "cac")} == {
        "all": {"supervised", "csc", "cac"},
        "supervised": {"supervised"},
        "csc": {"supervised", "csc"},
        "cac": {"supervised", "cac"},
    }


def test_skipped_terms_are_absent_rather_than_0_and_said_to_be_not_computed(caplog):
    with caplog.at_level(logging.INFO):
        made = method("released")
    assert "not computed" in caplog.text
    assert set(made.loss(made.build(), batch(), batch(False), LATE)) == {"supervised"}
    assert made.forward_passes_per_step == 2.0
    assert method("released", csc_value="matmul").forward_passes_per_step == 4.0


def test_without_gradient_the_terms_are_constants():
    found = terms(unlabelled_grad=False, norm="batch_always_train")
    assert {term: value.requires_grad for term, value in found.items()} == {
        "supervised": True,
        "csc": False,
        "cac": False,
    }


def test_one_joint_pass_gives_what_two_passes_give():
    assert values() == pytest.approx(values(unlabelled_grad=False), rel=1e-4)


@pytest.mark.parametrize(
    ("term", "switches"),
    [
        ("csc", {"csc_form": "memory_rows_ntxent"}),
        ("csc", {"csc_on": "unlabelled"}),
        ("cac", {"cac_form": "plus_similarity"}),
        ("cac", {"cac_input": "raw_logits_all"}),
        ("csc", {"unsup_schedule": "ones_rampup40"}),
        ("cac", {"unsup_schedule": "head_ramps_gate70"}),
        ("supervised", {"supervised_loss": "squared_dice_ce"}),
        ("supervised", {"share_networks": True}),
        ("supervised", {"norm": "batch_always_train"}),
    ],
)
def test_each_switch_of_the_loss_changes_its_term(term, switches):
    assert values(**switches)[term] != pytest.approx(values()[term], rel=1e-6)


@pytest.mark.parametrize("value", ["matmul", "broadcast"])
def test_the_ways_to_compute_csc_agree(value):
    assert values(csc_value=value)["csc"] == pytest.approx(values()["csc"], rel=1e-5)


def test_ramps_of_the_release_begin_at_70_percent():
    early = terms(Clock(6, 10, 1), unsup_schedule="head_ramps_gate70")
    assert set(early) == {"supervised"}
    assert set(terms(Clock(7, 10, 1), unsup_schedule="head_ramps_gate70")) == {"supervised", "csc", "cac"}


def test_cac_needs_pairs_of_one_patient_unless_taken_literally():
    unpaired = toy_task(pairing=Pairing.UNPAIRED)
    assert set(terms(of=unpaired)) == {"supervised", "csc"}
    assert set(terms(of=unpaired, cac_pairing="literal")) == {"supervised", "csc", "cac"}
    assert set(terms(pairing="independent_shuffle")) == {"supervised", "csc"}


def test_items_are_pairs_of_one_case_only_where_told():
    def names(made):
        samples, how = [toy_sample(toy_task(), f"c{i}", (8, 8, 8)) for i in range(6)], made.paired_crops
        sampler = CropSampler(samples, patch=(8, 8, 8), batch=2, augment=False, seed=0, stream=0, paired=how)
        return [name for step in range(5) for name in sampler.batch(step).cases]

    assert not any("+" in name for name in names(method()))
    mixed = [name.split("+") for name in names(method(pairing="independent_shuffle"))]
    assert any(a != b for a, b in mixed)
    assert not method(of=toy_task(pairing=Pairing.UNPAIRED)).paired_crops


def test_unlabelled_items_carry_no_mask_and_none_is_asked_for():
    unlabelled = batch(False)
    assert unlabelled.label is None
    assert set(terms()) == {"supervised", "csc", "cac"}


def test_rate_of_0_in_the_first_step_leaves_the_weights(tmp_path):
    for zero in (True, False):
        made = method(lr_epoch0_zero=zero, steps=1)
        start = {k: v.clone() for k, v in made.build().state_dict().items()}
        assert (difference(trained(made, tmp_path / str(zero)), start) == 0.0) is zero


def test_a_modality_without_a_label_takes_no_part_in_the_supervised_term():
    one, made = batch(), method()
    one.label[:, 1] = 255
    net = made.build()
    made.loss(net, one, None, LATE)["supervised"].backward()
    assert not any(p.grad is not None and p.grad.any() for p in net.backbones[1].head.parameters())
    assert any(p.grad.any() for p in net.backbones[0].head.parameters())


def test_training_lowers_the_supervised_loss(tmp_path):
    made = method(steps=30)
    before = made.loss(made.build(), batch(), None, LATE)["supervised"].detach()
    trained(made, tmp_path)
    assert made.loss(made.net, batch(), None, LATE)["supervised"].detach() < 0.8 * before


@pytest.mark.parametrize("switches", [{"csc_form": "wrong"}, {"no_such_switch": 1}, {"csc_value": "skip"}])
def test_switches_that_cannot_be_used_are_refused(switches):
    with pytest.raises(ConfigError, match="switch"):
        method(**switches)


def test_presets_name_the_same_switches_and_only_known_values():
    from parallax.plugin import method_card

    presets = method_card("cmc").presets
    assert list(presets) == ["paper", "released", "released_evaluation"]
    assert presets["paper"].keys() == presets["released"].keys() == type(method()).choices.keys()
    method("released"), method("paper")
