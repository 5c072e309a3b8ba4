"""UMMKD: the vectors and invariants that define it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from toy import toy_sample, toy_task, toy_view

from parallax.cards import preset_switches
from parallax.case import IGNORE, Budget, Pairing, TrainView
from parallax.learn.batch import Batch
from parallax.learn.loss_forms import dice_robustseg, wce
from parallax.learn.network_method import Clock
from parallax.learn.norms import ModalityNorm, of_modality
from parallax.plugin import load_method, method_card

UMMKD = load_method("ummkd")
FORMS: Any = inspect.getmodule(UMMKD)
BUDGET = Budget(steps=3, patch=(16, 16, 16), widths=(4, 8), checkpoint_every_s=1e9)


def method(preset: str = "paper", task=None, budget=BUDGET, **switches: Any) -> Any:
    chosen = preset_switches(method_card("ummkd"), preset) | switches
    return UMMKD(task or toy_task(), budget, switches=chosen, seed=3)


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 2, 16, 16, 16, generator=generator)
    label = torch.randint(0, 3, image.shape, generator=generator)
    return Batch(image, label, torch.ones(2, 2, dtype=torch.bool), ("p", "q"))


def terms(model: Any, net: Any, crops: Batch) -> dict[str, float]:
    torch.manual_seed(0)
    return {key: value.item() for key, value in model.loss(net, crops, None, Clock(0, 3, 3)).items()}


def double(rows):
    return torch.tensor(rows, dtype=torch.float64)


def all_of(classes: int) -> torch.Tensor:
    return torch.ones(classes, dtype=torch.bool)


def voxels(seed: int = 0, classes: int = 3):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, 6, 6, 6, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (2, 6, 6, 6), generator=generator)


def distillation(one, two) -> torch.Tensor:
    (a, in_a), (b, in_b) = (FORMS.class_means(z, y, z.shape[1]) for z, y in (one, two))
    value: torch.Tensor = FORMS.class_mean_kd(a, b, in_a & in_b, 2.0)
    return value


# ---- vectors


def test_u1_two_classes():
    one, two = double([[2, 0], [0, 2]]), double([[0, 0], [0, 2]])
    value = FORMS.class_mean_kd(one, two, all_of(2), 2.0).item()
    assert value == pytest.approx(0.0577646, abs=1e-6)
    assert method().switches["kd_weight"] * value == pytest.approx(0.0288823, abs=1e-6)
    # both agree on the second class, so that the first alone makes up the sum
    assert FORMS.class_mean_kd(one, two, all_of(2) & torch.tensor([True, False]), 2.0) == pytest.approx(value)


@pytest.mark.parametrize(("mode", "expected"), [("as_released", 0.0897569), ("skip", 0.0)])
def test_u2_class_that_one_modality_lacks(mode, expected):
    labels = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 1, 2, 3, 4]])
    logits = torch.zeros(1, 5, 4, dtype=torch.float64), torch.zeros(1, 5, 5, dtype=torch.float64)
    logits[1][0, 4, 4] = 4.0
    means = [FORMS.class_means(z, y, 5) for z, y in zip(logits, labels, strict=True)]
    assert [int(present.sum()) for _, present in means] == [4, 5]
    value = method(kd_missing_class=mode)._distillation(means)
    assert value.item() == pytest.approx(expected, abs=1e-7)


def test_u3_segmentation_of_two_pixels():
    p = double([[[0.8, 0.4], [0.2, 0.6]]])
    label = torch.tensor([[0, 1]])
    assert dice_robustseg(p.log(), label).item() - 1 == pytest.approx(-0.8730158, abs=1e-6)
    assert wce(p.log(), label).item() == pytest.approx(0.1834923, abs=1e-6)
    both = method(segmentation_loss="published")._segmentation(p.log(), label)
    assert both.item() == pytest.approx(-0.8730158 + 0.1834923, abs=1e-6)


def test_perfect_prediction():
    label = torch.tensor([[0, 1, 2]])
    logits = 60.0 * double([torch.eye(3).tolist()])
    assert dice_robustseg(logits, label).item() - 1 == pytest.approx(-1, abs=1e-6)
    assert wce(logits, label).item() == pytest.approx(0, abs=1e-6)


# ---- what the distillation sees


def test_equal_modalities_have_nothing_to_distil():
    assert distillation(voxels(), voxels()).item() == pytest.approx(0, abs=1e-12)
    assert distillation(voxels(), voxels(1)).item() > 1e-5


def test_distillation_is_symmetric_and_teaches_both():
    (a, la), (b, lb) = voxels(), voxels(1)
    a.requires_grad_()
    b.requires_grad_()
    value = distillation((a, la), (b, lb))
    assert value.item() == pytest.approx(distillation((b, lb), (a, la)).item(), abs=1e-12)
    for gradient in torch.autograd.grad(value, (a, b)):
        assert gradient.abs().max() > 0


def test_distillation_knows_class_means_alone():
    (a, la), other = voxels(), voxels(1)
    wanted = distillation((a, la), other).item()
    order = torch.randperm(216, generator=torch.Generator().manual_seed(2))
    shuffled = a.flatten(2)[:, :, order], la.flatten(1)[:, order]
    per_pixel = torch.randn(2, 1, 6, 6, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    means, _ = FORMS.class_means(a, la, 3)
    for same in (
        shuffled,
        (torch.cat([a, a]), torch.cat([la, la])),
        (a + per_pixel, la),
        (means[la].movedim(-1, 1), la),
    ):
        assert distillation(same, other).item() == pytest.approx(wanted, abs=1e-7)


def test_equal_answers_that_are_confused_differently_are_distilled():
    label = torch.tensor([[0, 1, 2]])
    one = double([[[9, 4, 0], [4, 9, 4], [0, 4, 9]]])
    two = double([[[9, 0, 4], [0, 9, 0], [4, 0, 9]]])
    assert torch.equal(one.argmax(1), two.argmax(1))
    assert distillation((one, label), (two, label)).item() > 0.1


def test_unknown_voxels_take_no_part_in_class_means():
    logits, label = voxels()
    known = FORMS.class_means(logits[:, :, :3], label[:, :3], 3)
    label[:, 3:] = IGNORE
    torch.testing.assert_close(FORMS.class_means(logits, label, 3), known)


# ---- kernels are one object, norms are not


@pytest.mark.parametrize("preset", ["paper", "slices"])
def test_kernels_are_shared_and_norms_are_not(preset):
    model = method(preset)
    net = model.build()
    used = []
    for k in (0, 1):
        net.zero_grad()
        net.train()
        of_modality(net, k)(batch().image[:, k : k + 1]).square().mean().backward()
        used.append({id(p): p.dim() for p in net.parameters() if p.grad is not None})
    shared = set(used[0]) & set(used[1])
    kernels = {id(p) for p in net.parameters() if p.dim() > 1}
    norms = {id(p) for m in net.modules() if isinstance(m, ModalityNorm) for p in m.parameters()}
    assert kernels <= shared
    assert not shared & norms
    assert set(used[0]) | set(used[1]) == {id(p) for p in net.parameters()}
    optimised = [id(p) for group in model.parameter_groups(net) for p in group["params"]]
    assert len(optimised) == len(set(optimised)) == len(list(net.parameters()))


def test_a_batch_of_one_modality_leaves_the_statistics_of_the_other():
    model, crops = method(), batch()
    net = model.build()
    crops.label[:, 1] = IGNORE
    found = terms(model, net, crops)
    assert set(found) == {"segmentation/M0", "l2"}
    statistics = {k: v for k, v in net.state_dict().items() if "running" in k}
    for key, value in statistics.items():
        fresh = float("var" in key)
        assert bool((value == fresh).all()) is (".each.1." in key), key


def test_one_image_gives_one_answer_until_statistics_differ():
    net, image = method().build().train(), batch().image[:, :1]
    assert torch.equal(of_modality(net, 0)(image), of_modality(net, 1)(image))
    of_modality(net, 1)(5 * image)
    net.eval()
    assert not torch.equal(of_modality(net, 0)(image), of_modality(net, 1)(image))


# ---- switches


def test_without_distillation_it_is_joint_training():
    with_kd, without = method(), method("no_distillation")
    one, two = (terms(m, m.build(), batch()) for m in (with_kd, without))
    assert one.pop("kd") > 0
    assert one == two


@pytest.mark.parametrize(
    "switches",
    [
        {"network": "published"},
        {"dimensions": "2d"},
        {"segmentation_loss": "suite"},
        {"kd_weight": 1.0},
        {"temperature": 1.0},
        {"l2_scope": "all_twice"},
    ],
    ids=lambda s: next(iter(s)),
)
def test_switch_changes_the_loss(switches):
    plain, other = method(), method(**switches)
    assert terms(plain, plain.build(), batch()) != terms(other, other.build(), batch())


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_plane_of_the_slices(plane):
    plain, other = method("slices"), method("slices", plane=plane)
    assert terms(plain, plain.build(), batch()) != terms(other, other.build(), batch())


def test_missing_class_matters_in_training():
    crops = batch()
    crops.label[:, 0][crops.label[:, 0] == 2] = 1
    values = [terms(m, m.build(), crops)["kd"] for m in (method(), method(kd_missing_class="as_released"))]
    assert values[0] < values[1]


def test_switches_of_the_published_networks():
    nets = [method(network="published", tconv_depth=depth).build() for depth in ("one", "full")]
    assert [net.doublings[0].convolution.kernel_size[2] for net in nets] == [1, 3]
    with torch.device("meta"):
        slices = method("slices_released", network="published").build().network
    assert [m.order for m in slices.modules() if hasattr(m, "order")] == ["tf"]


def test_first_and_last_slice_stay_background_where_the_release_left_them():
    crops, (whole, cut) = batch(), (method("slices"), method("slices", predict_all_slices=False))
    net = whole.build().eval()
    with torch.no_grad():
        net.network.head[0].bias[1] = 50.0  # everything is structure 1
        every, some = (m.logits(net, crops.image, crops.available).argmax(2) for m in (whole, cut))
    assert bool((every == 1).all())
    assert bool((some[:, :, :, [0, -1]] == 0).all())
    assert bool((some[:, :, :, 1:-1] == 1).all())


def test_l2_is_half_the_squares_of_the_kernels():
    model, both = method(), method(l2_scope="all_twice")
    net = model.build()
    squares = [(p.dim() > 1, p.detach().square().sum().item()) for p in net.parameters()]
    kernels = sum(value for is_kernel, value in squares if is_kernel)
    everything = sum(value for _, value in squares)
    assert model._l2(net).item() == pytest.approx(0.5e-4 * kernels, rel=1e-5)
    assert both._l2(net).item() == pytest.approx(1e-4 * everything, rel=1e-5)


# ---- training


@pytest.mark.parametrize("preset", ["paper", "released", "slices"])
def test_it_learns(preset):
    model, view = method(preset), toy_view(toy_task(), 2, 0)
    net = model.build().train()
    crops = Batch(
        torch.from_numpy(view.labelled[0].image)[None],
        torch.from_numpy(view.labelled[0].label).long()[None],
        torch.ones(1, 2, dtype=torch.bool),
        ("l0",),
    )
    optimiser = torch.optim.Adam(model.parameter_groups(net), lr=2e-2)
    losses = []
    for step in range(12):
        loss = torch.stack(list(model.loss(net, crops, None, Clock(step, 12, 3)).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3


def test_modalities_may_come_from_different_patients(tmp_path):
    task = toy_task(pairing=Pairing.UNPAIRED)
    model = method(task=task)
    assert not model.paired_crops
    samples = []
    for k in (0, 1):
        full = toy_sample(task, f"c{k}", (16, 16, 16))
        image, label = full.image.copy(), full.label.copy()
        image[1 - k], label[1 - k] = 0, IGNORE
        samples.append(type(full)(full.case, image, label, (k == 0, k == 1), full.grid))
    cost = model.fit(TrainView(task, tuple(samples), ()), tmp_path)
    assert cost.steps == 3
    statistics = [v for k, v in model.net.state_dict().items() if "num_batches_tracked" in k]
    assert {int(v) for v in statistics} == {3}
