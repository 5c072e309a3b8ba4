"""MKD: the vectors and invariants that define it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mkd_toy
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from parallax.learn.losses import kd
from parallax.learn.networks import UNet, initialised
from parallax.plugin import load_method

# ---- vectors


HALF, THREE_TO_ONE = (0.5, 0.5), (0.75, 0.25)


@pytest.mark.parametrize(
    ("teacher", "student", "temperature", "t_squared", "expected"),
    [
        (np.log(HALF), np.log(THREE_TO_ONE), 1.0, True, 0.1438410),
        (np.log(THREE_TO_ONE), np.log(HALF), 1.0, True, 0.1308120),
        ((2.0, 0.0, 0.0), (1.0, 0.0, -1.0), 1.0, True, 0.0615542),
        ((1.0, 0.0, -1.0), (2.0, 0.0, 0.0), 1.0, True, 0.0766673),
        ((2.0, 0.0, 0.0), (1.0, 0.0, -1.0), 2.0, True, 0.0914167),
        ((2.0, 0.0, 0.0), (1.0, 0.0, -1.0), 2.0, False, 0.0228542),
    ],
)
def test_distillation_vectors(
    teacher: Any, student: Any, temperature: float, t_squared: bool, expected: float
) -> None:
    one, two = (torch.tensor(np.array(v), dtype=torch.float64).view(1, -1, 1) for v in (teacher, student))
    assert kd(one, two, temperature=temperature, t_squared=t_squared).item() == pytest.approx(
        expected, abs=1e-6
    )


class _Constant(nn.Module):
    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits, dtype=torch.float64).view(1, -1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1, *x.shape[2:])


def test_ensemble_is_the_mean_of_both_softmax_maps() -> None:
    method = mkd_toy.method()
    net = method.build()
    net.real[0], net.syn[0] = _Constant(2.0, 0.0, 0.0), _Constant(1.0, 0.0, -1.0)
    batch = mkd_toy.batch()
    p = method.logits(net, batch.image, batch.available)[:, 0].softmax(dim=1)
    expected = torch.tensor([0.7261134, 0.1756177, 0.0982688], dtype=p.dtype).view(1, 3, 1, 1, 1)
    torch.testing.assert_close(p, expected.expand_as(p), atol=1e-6, rtol=0)


# ---- invariants


def test_segmentors_share_no_tensor() -> None:
    net = mkd_toy.method().build()
    pointers = [p.data_ptr() for s in (*net.real, *net.syn) for p in s.parameters()]
    assert len(pointers) == len(set(pointers)) == 4 * len(list(net.real[0].parameters()))
    for real, syn in zip(net.real, net.syn, strict=True):
        assert not torch.equal(next(real.parameters()), next(syn.parameters()))


def test_s_real_starts_as_the_target_only_network() -> None:
    with initialised(3, "unet/MR"):
        expected = UNet(1, 3, mkd_toy.BUDGET.widths)
    torch.testing.assert_close(
        mkd_toy.method().build().real[1].state_dict(), expected.state_dict(), atol=0, rtol=0
    )


@pytest.mark.parametrize("kd_on", ["teacher_domain", "student_domain", "both"])
def test_equal_networks_on_equal_images_have_nothing_to_distil(kd_on: str) -> None:
    method, batch = mkd_toy.method(kd_on=kd_on), mkd_toy.batch()
    net = method.build()
    assert mkd_toy.terms(method, net, batch)["kd_syn_to_real/CT"].item() > 1e-4
    net.syn.load_state_dict(net.real.state_dict())
    batch.image[:, 1] = batch.image[:, 0]
    terms = mkd_toy.terms(method, net, batch)
    for name in ("CT", "MR"):
        assert terms[f"kd_syn_to_real/{name}"].item() == pytest.approx(0, abs=1e-7)
        assert terms[f"kd_real_to_syn/{name}"].item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("kd_on", ["teacher_domain", "student_domain", "both"])
@pytest.mark.parametrize("detach", [True, False])
def test_teachers_get_no_gradient_when_detached(kd_on: str, detach: bool) -> None:
    method, batch = mkd_toy.method(kd_on=kd_on, kd_detach_teacher=detach), mkd_toy.batch()
    net = method.build()
    terms = mkd_toy.terms(method, net, batch)
    for term, teacher, student in (
        ("kd_syn_to_real/CT", net.syn[0], net.real[0]),
        ("kd_real_to_syn/MR", net.real[1], net.syn[1]),
    ):
        assert (mkd_toy.gradient(terms[term], teacher) == 0) is detach
        assert mkd_toy.gradient(terms[term], student) > 0


@pytest.mark.parametrize(
    ("kd_on", "to_real_sees", "to_syn_sees"),
    [("teacher_domain", {1}, {0}), ("student_domain", {0}, {1}), ("both", {0, 1}, {0, 1})],
)
def test_each_reading_distils_on_its_own_images(
    kd_on: str, to_real_sees: set[int], to_syn_sees: set[int]
) -> None:
    method = mkd_toy.method(kd_on=kd_on)
    net = method.build()
    before = mkd_toy.terms(method, net, mkd_toy.batch())
    for modality in (0, 1):
        other = mkd_toy.batch()
        other.image[:, modality] *= -1
        after = mkd_toy.terms(method, net, other)
        for key, sees in (("kd_syn_to_real/CT", to_real_sees), ("kd_real_to_syn/CT", to_syn_sees)):
            changed = abs(before[key].item() - after[key].item()) > 1e-6
            assert changed is (modality in sees), (key, modality)


@pytest.mark.parametrize("use_iam", [True, False])
def test_without_distillation_s_real_is_the_target_only_baseline_bit_for_bit(
    tmp_path: Path, use_iam: bool
) -> None:
    view = mkd_toy.view(mkd_toy.task())
    mkd = mkd_toy.method(**mkd_toy.SEGMENTATION_ONLY, use_iam=use_iam)
    alone: Any = load_method("supervised")(mkd_toy.task(), mkd_toy.BUDGET, switches={}, seed=3)
    mkd.fit(view, tmp_path / "mkd")
    alone.fit(view, tmp_path / "supervised")
    for real, expected in zip(mkd.net.real, alone.net, strict=True):
        torch.testing.assert_close(real.state_dict(), expected.state_dict(), atol=0, rtol=0)
    distilled = mkd_toy.method()
    distilled.fit(view, tmp_path / "distilled")
    assert not torch.equal(next(distilled.net.real.parameters()), next(mkd.net.real.parameters()))


def test_identity_generators_mean_raw_assistant_images() -> None:
    aligned, raw = mkd_toy.method(), mkd_toy.method(use_iam=False)
    with_iam = mkd_toy.terms(aligned, aligned.build(), mkd_toy.batch())
    without = mkd_toy.terms(raw, raw.build(), mkd_toy.batch())
    assert with_iam["cycle/CT-MR"].item() == 0
    assert "cycle/CT-MR" not in without
    for key, value in without.items():
        assert with_iam[key].item() == value.item()


@pytest.mark.parametrize("online", [True, False])
def test_segmentation_reaches_the_generator_iff_online(online: bool) -> None:
    method = mkd_toy.method(online=online)
    net = method.build()
    terms = mkd_toy.terms(method, net, mkd_toy.batch())
    ct_maker, mr_maker = net.alignments[0].to_first, net.alignments[0].to_second
    assert (mkd_toy.gradient(terms["seg_syn/CT"], ct_maker) > 0) is online
    assert (mkd_toy.gradient(terms["seg_syn/MR"], mr_maker) > 0) is online
    assert mkd_toy.gradient(terms["seg_syn/CT"], mr_maker) == 0
    assert mkd_toy.gradient(terms["adversarial/CT-MR"], ct_maker) > 0


@pytest.mark.parametrize("kd_on", ["teacher_domain", "student_domain", "both"])
@pytest.mark.parametrize("detach", [True, False])
def test_offline_generators_learn_from_their_own_losses_alone(kd_on: str, detach: bool) -> None:
    gradients = []
    for segmentors_learn in (True, False):
        method = mkd_toy.method(online=False, kd_on=kd_on, kd_detach_teacher=detach)
        net = method.build()
        mkd_toy.awake(net)
        terms = mkd_toy.terms(method, net, mkd_toy.batch())
        own = ("adversarial", "cycle")
        paid = [v for key, v in terms.items() if segmentors_learn or key.split("/")[0] in own]
        makers = net.alignments[0].generator_parameters()
        gradients.append(torch.autograd.grad(torch.stack(paid).sum(), makers))
    for everything, alone in zip(*gradients, strict=True):
        torch.testing.assert_close(everything, alone, rtol=1e-5, atol=1e-8)
    assert any(bool(g.any()) for g in gradients[1])


def test_synthetic_images_lie_where_the_assistant_lies() -> None:
    method, batch = mkd_toy.method(beta_1=0.0, beta_2=0.0), mkd_toy.batch()
    net = method.build()
    mkd_toy.awake(net)
    crops = [mkd_toy.crops_of(method, batch, k) for k in (0, 1)]
    _, synthetic = method._align(net, crops)
    for assistant, target in ((1, 0), (0, 1)):
        fake = synthetic[assistant, target]
        assert fake.image.shape == crops[assistant].image.shape
        assert not torch.equal(fake.image, crops[assistant].image)
        assert torch.equal(fake.label, crops[assistant].label)


def test_inference_touches_neither_alignment_nor_assistant() -> None:
    method, batch = mkd_toy.method(), mkd_toy.batch()
    net = method.build().eval()
    with torch.no_grad():
        before = method.logits(net, batch.image, batch.available)
        net.alignments = nn.ModuleList()
        batch.image[:, 1] = torch.nan
        after = method.logits(net, batch.image, batch.available)
        batch.available[0, 1] = False
        some = method.logits(net, batch.image, batch.available)
        batch.available[:, 1] = False
        alone = method.logits(net, batch.image, batch.available)
    for found in (after, some, alone):
        assert torch.equal(before[:, 0], found[:, 0])
    assert torch.isnan(some[1, 1]).all()
    assert alone[:, 1].abs().max() == some[0, 1].abs().max() == 0


@pytest.mark.parametrize("ensemble", ["mean_softmax", "real_only", "syn_only"])
def test_output_sums_to_one_and_ensemble_chooses(ensemble: str) -> None:
    method, batch = mkd_toy.method(ensemble=ensemble), mkd_toy.batch()
    net = method.build()
    p = method.logits(net, batch.image, batch.available).softmax(dim=2)
    torch.testing.assert_close(p.sum(dim=2), torch.ones(2, 2, *mkd_toy.PATCH))
    real, syn = net.real[1](batch.image[:, 1:]).softmax(dim=1), net.syn[1](batch.image[:, 1:]).softmax(dim=1)
    expected = {"mean_softmax": (real + syn) / 2, "real_only": real, "syn_only": syn}[ensemble]
    torch.testing.assert_close(p[:, 1], expected)
