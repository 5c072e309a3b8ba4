"""MAG-MS: the vectors and invariants that define it, and its switches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import toy_task, toy_view

from parallax.cards import preset_switches
from parallax.case import IGNORE, Budget
from parallax.learn.batch import Batch
from parallax.learn.losses import dice_ce, kd
from parallax.learn.network_method import Clock
from parallax.plugin import load_method, method_card

TINY = Budget(steps=30, batch=2, patch=(16, 16, 16), widths=(4, 8), checkpoint_every_s=1e9)


def magms(preset: str = "paper", modalities: int = 2, **switches: Any) -> Any:
    chosen = preset_switches(method_card("magms"), preset) | switches
    return load_method("magms")(toy_task(modalities), TINY, switches=chosen, seed=3)


def crops(modalities: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, modalities, 16, 16, 16, generator=generator)
    label = torch.randint(0, 3, image.shape, generator=generator)
    return Batch(image, label, torch.ones(2, modalities, dtype=torch.bool), ("p", "q"))


def terms(method: Any, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
    found: dict[str, Tensor] = method.loss(net, batch, None, Clock(0, 30, 3))
    return found


def values(found: dict[str, Tensor]) -> dict[str, float]:
    return {key: term.item() for key, term in found.items()}


def gradients(method: Any, batch: Batch) -> list[Tensor]:
    net = method.build()
    torch.stack([term.float() for term in terms(method, net, batch).values()]).sum().backward()
    return [p.grad for p in net.parameters() if p.grad is not None]


# ---- vectors


def test_segmentation_vector() -> None:
    logits = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)  # classes, then voxels
    method = magms(segmentation_loss="published")
    assert method._segmentation(logits, torch.tensor([[0, 1]])).item() == pytest.approx(0.8928741, abs=1e-6)


@pytest.mark.parametrize(("per_level", "expected"), [(False, 2.6), (True, 5.0)])
def test_feature_vector(per_level: bool, expected: float) -> None:
    feature_mse: Any = vars(sys.modules[load_method("magms").__module__])["feature_mse"]
    student, teacher = [torch.ones(4), torch.tensor([3.0])], [torch.zeros(4), torch.zeros(1)]
    found = feature_mse(student, teacher, per_level=per_level, dtype=torch.float32)
    assert found.item() == pytest.approx(expected, abs=1e-6)


# ---- invariants


@pytest.mark.parametrize("modalities", [2, 4])
def test_number_of_terms(modalities: int) -> None:
    method = magms(modalities=modalities)
    assert len(terms(method, method.build(), crops(modalities))) == 3 * modalities + 1


@pytest.mark.parametrize("network", ["suite", "published"])
def test_equal_encoders_on_equal_images_have_nothing_to_teach(network: str) -> None:
    method, batch = magms("broadcast", network=network, encoders_start_equal=True), crops()
    batch.image[:, 1] = batch.image[:, 0]
    found = values(terms(method, method.build(), batch))
    for name in ("M0", "M1"):
        assert found[f"kd/{name}"] == pytest.approx(0, abs=1e-7)
        assert found[f"features/{name}"] == 0
        assert found[f"segmentation/{name}"] == pytest.approx(found["segmentation/fused"], abs=1e-6)
    apart = magms("broadcast", network=network)
    assert terms(apart, apart.build(), batch)["kd/M0"].item() > 1e-4


def test_repeated_voxels_leave_the_divergence() -> None:
    one, two = torch.randn(2, 2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    twice = kd(one.repeat(1, 1, 2), two.repeat(1, 1, 2), temperature=2.0)
    assert twice.item() == pytest.approx(kd(one, two, temperature=2.0).item(), rel=1e-12)


def test_without_distillation_the_gradient_is_that_of_n_plus_one_segmentations() -> None:
    method, batch = magms("broadcast", kd_weight=0.0, feature_weight=0.0), crops()
    found = gradients(method, batch)
    net = method.build()
    pyramids = [encoder(batch.image[:, k : k + 1]) for k, encoder in enumerate(net.encoders)]
    fused = [(a + b) / 2 for a, b in zip(*pyramids, strict=True)]
    assert batch.label is not None
    label = batch.label[:, 0]
    sum(dice_ce(net.decoder(features), label, smooth=1e-5) for features in (fused, *pyramids)).backward()
    for a, b in zip(found, (p.grad for p in net.parameters() if p.grad is not None), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("detach", [False, True])
def test_fused_branch_is_pulled_unless_detached(detach: bool) -> None:
    method, batch = magms(kd_detach_teacher=detach), crops()
    net = method.build()
    found = terms(method, net, batch)
    for key in ("kd/M0", "features/M0"):  # encoder 1 is in the fused branch, not in output 0
        reached = torch.autograd.grad(
            found[key], list(net.encoders[1].parameters()), allow_unused=True, retain_graph=True
        )
        assert any(g is not None and bool(g.any()) for g in reached) is not detach


def test_presets_agree_at_temperature_one_and_differ_at_two() -> None:
    batch = crops()
    for temperature, same in ((1.0, True), (2.0, False)):
        paper, released = (magms(p, temperature=temperature) for p in ("paper", "released"))
        one, two = (values(terms(m, m.build(), batch)) for m in (paper, released))
        assert all(one[key] == pytest.approx(two[key], rel=1e-4) for key in one if "kd" not in key)
        assert (one["kd/M0"] == pytest.approx(two["kd/M0"], rel=1e-3)) is same


# ---- what takes part


def test_missing_and_unlabelled_modalities_take_no_part() -> None:
    method, batch = magms(), crops()
    assert batch.label is not None
    batch.available[0, 1] = False
    batch.label[1, 0] = IGNORE
    found = terms(method, method.build(), batch)
    assert all(bool(torch.isfinite(term)) for term in found.values())
    batch.image[0, 1] = torch.nan
    assert values(terms(method, method.build(), batch)) == values(found)
    batch.label[:, 1] = IGNORE
    assert "kd/M1" not in terms(method, method.build(), batch)
    batch.available[:, 1] = False
    assert "segmentation/M1" not in terms(method, method.build(), batch)


def test_each_output_learns_from_its_own_mask_alone_unless_there_is_one_head() -> None:
    for preset, moved in (("paper", {"segmentation/fused", "segmentation/M1"}), ("broadcast", set())):
        method, batch = magms(preset), crops()
        net = method.build()
        before = values(terms(method, net, batch))
        assert batch.label is not None
        batch.label[:, 1] = (batch.label[:, 1] + 1) % 3
        after = values(terms(method, net, batch))
        assert {key for key in before if before[key] != after[key]} == moved


def test_outputs_at_test_time() -> None:
    batch = crops()
    answers = {}
    for preset in ("paper", "own", "broadcast"):
        method = magms(preset)
        net = method.build()
        with torch.no_grad():
            answers[preset] = method.logits(net, batch.image, batch.available)
            alone = torch.tensor([[True, False]] * 2)
            one = method.logits(net, batch.image, alone)
        if preset == "own":  # the other modality has no say
            assert torch.equal(one[:, 0], answers["own"][:, 0])
        else:
            assert not torch.equal(one[:, 0], answers[preset][:, 0])
    assert torch.equal(answers["broadcast"][:, 0], answers["broadcast"][:, 1])
    assert not torch.equal(answers["paper"], answers["own"])
    fused, own = magms(), magms("own")
    net, first = fused.build(), torch.tensor([[True, False]] * 2)
    with torch.no_grad():  # with one modality both are the same answer
        wanted = own.logits(net, batch.image, first)[:, 0]
        torch.testing.assert_close(fused.logits(net, batch.image, first)[:, 0], wanted)


# ---- switches


@pytest.mark.parametrize(
    "switch",
    [
        {"network": "published"},
        {"answer": "one_map"},
        {"segmentation_loss": "suite"},
        {"kd_weight": 0.5},
        {"feature_weight": 0.5},
        {"temperature": 2.0},
        {"kd_detach_teacher": True},
        {"feature_mean": "per_level"},
        {"encoders_start_equal": True},
    ],
)
def test_each_switch_changes_the_gradient(switch: dict[str, Any]) -> None:
    paper, changed = gradients(magms(), crops()), gradients(magms(**switch), crops())
    assert [g.shape for g in paper] != [g.shape for g in changed] or any(
        not torch.allclose(a, b, rtol=1e-3) for a, b in zip(paper, changed, strict=True)
    )


def test_double_precision_changes_the_type_of_the_feature_term() -> None:
    method = magms(feature_dtype="float64")
    assert terms(method, method.build(), crops())["features/M0"].dtype is torch.float64


def test_overflow_of_the_release_is_reproduced() -> None:
    batch = crops()
    for preset, finite in (("paper", True), ("released", False)):
        method = magms(preset)
        net = method.build()
        with torch.no_grad():  # a gap of 400 between background and the rest, in every output
            scores = net.decoder.unet.head[0]
            scores.weight.zero_()
            scores.bias.view(2, -1)[:, 0] = 400.0
        assert bool(torch.isfinite(terms(method, net, batch)["kd/M0"])) is finite


def test_it_learns(tmp_path: Path) -> None:
    task = toy_task()
    method = magms()
    view = toy_view(task)
    samples = view.labelled
    batch = Batch(
        torch.stack([torch.from_numpy(s.image) for s in samples]),
        torch.stack([torch.from_numpy(s.label).long() for s in samples if s.label is not None]),
        torch.ones(2, 2, dtype=torch.bool),
        ("a", "b"),
    )
    before = sum(values(terms(method, method.build(), batch)).values())
    method.fit(view, tmp_path)
    assert sum(values(terms(method, method.net, batch)).values()) < 0.7 * before
