"""MKD: how it is cast to the tasks of the suite, and its switches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mkd_toy
import pytest
import torch
from torch import Tensor

from parallax.cards import preset_switches
from parallax.case import IGNORE, Pairing
from parallax.errors import ConfigError, DataError
from parallax.plugin import method_card

# ---- casting


def test_crops_without_labels_of_a_modality_take_no_part() -> None:
    method, batch = mkd_toy.method(), mkd_toy.batch()
    net = method.build()
    mkd_toy.awake(net)
    assert batch.label is not None
    batch.label[1, 1] = IGNORE
    before = mkd_toy.terms(method, net, batch)
    batch.image[1, 1] = 1e3
    after = mkd_toy.terms(method, net, batch)
    assert {k: v.item() for k, v in before.items()} == {k: v.item() for k, v in after.items()}


def test_a_batch_without_the_assistant_trains_s_real_alone() -> None:
    method, batch = mkd_toy.method(), mkd_toy.batch()
    batch.available[:, 1] = False
    assert set(mkd_toy.terms(method, method.build(), batch)) == {"seg_real/CT"}


def test_three_modalities_form_a_ring() -> None:
    method = mkd_toy.method(mkd_toy.task(3))
    net = method.build()
    assert net.pairs == ((0, 1), (1, 2), (2, 0))
    terms = mkd_toy.terms(method, net, mkd_toy.batch(3))
    assert mkd_toy.gradient(terms["seg_syn/PET"], net.alignments[2].to_first) > 0  # CT assists PET
    assert sum(key.startswith("kd_") for key in terms) == 6


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, 18),
        ({"use_iam": False}, 8),
        ({"use_iam": False, "kd_on": "both"}, 8),
        ({**mkd_toy.SEGMENTATION_ONLY, "use_iam": False}, 4),
    ],
)
def test_forward_passes_are_counted(switches: dict[str, Any], expected: float) -> None:
    method = mkd_toy.method(**switches)
    net, calls = method.build(), [0]
    parts = [*net.real, *net.syn, *(net for alignment in net.alignments for net in alignment.children())]
    crops = mkd_toy.BUDGET.batch
    for part in parts:
        part.register_forward_hook(lambda module, x, y: calls.__setitem__(0, calls[0] + len(x[0]) // crops))
    mkd_toy.terms(method, net, mkd_toy.batch())
    assert calls[0] == method.forward_passes_per_step == expected


def test_unpaired_tasks_get_unpaired_crops() -> None:
    assert mkd_toy.method().paired_crops
    assert not mkd_toy.method(mkd_toy.task(pairing=Pairing.UNPAIRED)).paired_crops


def test_a_modality_without_labels_is_refused(tmp_path: Path) -> None:
    view = mkd_toy.view(mkd_toy.task())
    for sample in view.labelled:
        assert sample.label is not None
        sample.label[1] = IGNORE
    with pytest.raises(DataError, match="MR has none"):
        mkd_toy.method().fit(view, tmp_path)


# ---- switches


@pytest.mark.parametrize(
    "switch",
    [
        {"kd_on": "student_domain"},
        {"kd_on": "both"},
        {"kd_detach_teacher": False},
        {"online": False},
        {"use_iam": False},
        {"temperature": 1.0},
        {"t_squared": False},
        {"beta_1": 1.0},
        {"beta_2": 1.0},
        {"lambda_adv": 0.5},
        {"lambda_cyc": 1.0},
    ],
)
def test_each_switch_changes_the_gradient(switch: dict[str, Any]) -> None:
    def gradients(method: Any) -> list[Tensor]:
        net = method.build()
        mkd_toy.awake(net)
        torch.stack(list(mkd_toy.terms(method, net, mkd_toy.batch()).values())).sum().backward()
        return [p.grad for p in net.parameters() if p.grad is not None]

    paper, changed = gradients(mkd_toy.method()), gradients(mkd_toy.method(**switch))
    assert len(paper) != len(changed) or any(
        not torch.allclose(a, b, rtol=1e-3) for a, b in zip(paper, changed, strict=True)
    )


@pytest.mark.parametrize(
    ("length", "factor"), [(0.0, 1.0), (0.5, math.exp(-5 / 9)), (1.0, math.exp(-20 / 9))]
)
def test_distillation_alone_is_ramped(length: float, factor: float) -> None:
    method = mkd_toy.method(kd_ramp=length)
    net = method.build()
    one, end = (mkd_toy.terms(method, net, mkd_toy.batch(), step=step) for step in (1, 3))
    for key, term in one.items():
        wanted = end[key].item() * (factor if key.startswith("kd_") else 1)
        assert term.item() == pytest.approx(wanted, rel=1e-5)


def test_parameter_groups_cover_everything_once_and_give_the_gan_its_own_rate() -> None:
    method = mkd_toy.method(gan_learning_rate=3e-4)
    net = method.build()
    groups = method.parameter_groups(net)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in net.parameters())
    assert [g.get("lr_scale", 1.0) * mkd_toy.BUDGET.learning_rate for g in groups] == pytest.approx(
        [mkd_toy.BUDGET.learning_rate] * 4 + [3e-4] * 2
    )
    assert all(g["betas"] == (0.5, 0.999) and g["weight_decay"] == 0 for g in groups[4:])


@pytest.mark.parametrize(
    ("preset", "terms"),
    [
        (
            "offline",
            {"adversarial", "critic", "cycle", "seg_real", "seg_syn", "kd_syn_to_real", "kd_real_to_syn"},
        ),
        ("no_iam", {"seg_real", "seg_syn", "kd_syn_to_real", "kd_real_to_syn"}),
        ("no_kd", {"adversarial", "critic", "cycle", "seg_real", "seg_syn"}),
        ("no_syn_to_real", {"adversarial", "critic", "cycle", "seg_real", "seg_syn", "kd_real_to_syn"}),
        ("no_real_to_syn", {"adversarial", "critic", "cycle", "seg_real", "seg_syn", "kd_syn_to_real"}),
    ],
)
def test_ablations_leave_out_what_they_say(preset: str, terms: set[str]) -> None:
    method = mkd_toy.method(**preset_switches(method_card("mkd"), preset))
    found = mkd_toy.terms(method, method.build(), mkd_toy.batch())
    assert {key.split("/")[0] for key in found} == terms


def test_answers_of_one_training_are_three_presets() -> None:
    card = method_card("mkd")
    modes = {}
    for preset, switches in card.presets.items():
        same = {k: v for k, v in switches.items() if k not in card.at_prediction}
        if same == {k: v for k, v in card.presets["paper"].items() if k not in card.at_prediction}:
            modes[preset] = switches["ensemble"]
    assert modes == {"paper": "mean_softmax", "real_only": "real_only", "syn_only": "syn_only"}


def test_released_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="no official code was found"):
        preset_switches(method_card("mkd"), "released")


def test_unknown_switch_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="kd_on"):
        mkd_toy.method(kd_on="everywhere")
