"""DEC-Seg: its eleven terms, the views, slices and volumes, and every switch."""

import copy
import dataclasses
import sys

import pytest
import torch
from toy import toy_task, toy_view

from parallax.learn.loop import Clock
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card

KIND = load_method("decseg")
CARD = method_card("decseg")
SIZE = (16, 16, 8)
STILL = {"brightness": 0.0, "contrast": 0.0}  # the perturbed view is the clean one


@pytest.fixture
def budget(budget):
    return dataclasses.replace(budget, patch=SIZE)


def make(budget, preset="paper", task=None, **changes):
    return KIND(task or toy_task(), budget, switches={**CARD.presets[preset], **changes}, seed=0)


def batches():
    view = toy_view(toy_task(), size=SIZE)
    labelled = CropSampler(view.labelled, patch=SIZE, batch=2, augment=False, seed=0, stream=0)
    bare = CropSampler(view.unlabelled, patch=SIZE, batch=2, augment=False, seed=0, stream=1)
    return labelled.batch(0), bare.batch(0)


def terms(method, net=None, *, step=3, unlabelled=True, seed=0):
    labelled, bare = batches()
    torch.manual_seed(seed)
    net = net or method.build().eval()
    return method.loss(net, labelled, bare if unlabelled else None, Clock(step, 6, 0))


def gradient(total, parameters):
    found = torch.autograd.grad(total, list(parameters), allow_unused=True, retain_graph=True)
    return [g for g in found if g is not None and bool((g != 0).any())]


@pytest.mark.parametrize("preset", ["paper", "slices"])
def test_three_supervised_three_scale_three_perturbation_two_generation_terms(budget, preset):
    found = terms(make(budget, preset))
    kinds = [name.split("/")[0] for name in found]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {"supervised": 3, "scale": 3, "perturbation": 3, "generation": 2}
    assert all(bool(term.isfinite()) and term > 0 for term in found.values())
    assert set(terms(make(budget, preset), unlabelled=False)) == {n for n in found if "supervised" in n}


@pytest.mark.parametrize("preset", ["paper", "slices"])
def test_without_perturbation_views_and_targets_coincide(budget, preset):
    method = make(budget, preset, **STILL)
    found = terms(method)
    assert [found[f"perturbation/{name}"].item() for name in ("full", "small", "fused")] == [0, 0, 0]
    clean = method.scales(batches()[1])
    perturbed = method.perturbed(clean, Clock(3, 6, 0))
    assert all(torch.equal(a.image, b.image) for a, b in zip(clean, perturbed, strict=True))


def test_generation_reaches_the_encoder_and_its_own_generator(budget):
    net = make(budget).build().eval()
    found = terms(make(budget), net)
    encoder = net[0]["student"].encoder
    for name, own, other in (("clean", 0, 1), ("perturbed", 1, 0)):
        term, generators = found[f"generation/{name}"], net[0]["generators"]
        assert gradient(term, encoder.parameters())
        assert gradient(term, generators[own].parameters())
        assert not gradient(term, generators[other].parameters())


def test_each_generator_paints_the_image_of_the_other_view(budget):
    """With generators that give nothing the terms are the mean squares of their targets."""
    method, (_, bare) = make(budget), batches()
    net = method.build().eval()
    for generator in net[0]["generators"]:
        for parameter in generator[-1].parameters():
            parameter.data.zero_()
    found = terms(method, net)
    clean = method.scales(bare)
    perturbed = method.perturbed(clean, Clock(3, 6, 0))
    assert found["generation/clean"].item() == pytest.approx(
        perturbed[0].image.square().mean().item(), rel=1e-4
    )
    assert found["generation/perturbed"].item() == pytest.approx(bare.image.square().mean().item(), rel=1e-4)
    assert found["generation/clean"] != found["generation/perturbed"]


def test_supervised_terms_never_read_unlabelled_items(budget):
    method, (labelled, bare) = make(budget), batches()
    net = method.build().eval()
    plain, other = (
        method.loss(net, labelled, dataclasses.replace(bare, **changed), Clock(3, 6, 0))
        for changed in ({}, {"image": bare.image + 1.0})
    )
    garbage = dataclasses.replace(bare, label=torch.randint(0, 3, bare.image.shape))
    read = method.loss(net, labelled, garbage, Clock(3, 6, 0))
    assert all(torch.equal(plain[name], read[name]) for name in plain)
    for name in plain:
        assert torch.equal(plain[name], other[name]) == (name.startswith("supervised") or "labelled" in name)


def test_terms_by_hand(budget):
    method, (_, bare) = make(budget), batches()
    net = method.build().eval()
    found = terms(method, net)
    clean = method.scales(bare)
    perturbed = method.perturbed(clean, Clock(3, 6, 0))
    p, q = (
        [z.softmax(2) for z in net[0]["student"](full.image, small.image)]
        for full, small in (clean, perturbed)
    )
    for k, name in enumerate(("full", "small", "fused")):
        torch.testing.assert_close(found[f"perturbation/{name}"], (p[k] - q[k]).square().mean())
    for maps, name in ((p, "clean"), (q, "perturbed")):
        up = torch.nn.functional.interpolate(
            maps[1].flatten(1, 2), size=SIZE, mode="trilinear", align_corners=True
        )
        expected = (maps[0].flatten(1, 2) - up).square().mean()
        torch.testing.assert_close(found[f"scale/{name}"], expected, rtol=1e-4, atol=1e-7)


def test_gradient_flows_into_both_views_but_not_into_a_teacher(budget):
    method = make(budget, mean_teacher=True)
    net = method.build().eval()
    assert "teacher" not in make(budget).build()[0]
    assert not any(p.requires_grad for p in net[0]["teacher"].parameters())
    with_teacher, without = terms(method, net), terms(make(budget))
    name = "perturbation/fused"
    assert with_teacher[name] == without[name]  # the teacher starts as the student
    plain = make(budget)
    both = gradient(terms(plain, alike := plain.build().eval())[name], alike.parameters())
    one = gradient(with_teacher[name], net[0]["student"].parameters())
    assert both
    assert one
    assert not all(torch.equal(a, b) for a, b in zip(both, one, strict=True))


def test_the_teacher_is_a_moving_average(budget):
    net = make(budget, mean_teacher=True).build()
    bias = net[0]["student"].heads[2][0].bias
    before = bias.detach().clone()
    bias.data += 1.0
    moved = []
    for alpha in (0.9, 0.99):
        learnt = copy.deepcopy(net)
        make(budget, mean_teacher=True, alpha=alpha).after_step(learnt, Clock(1000, 2000, 0))
        moved.append((learnt[0]["teacher"].heads[2][0].bias - before).mean().item())
    assert moved == pytest.approx([0.1, 0.01], rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"brightness": 0.4}, {"perturbation/full", "perturbation/small", "generation/clean"}),
        ({"contrast": 0.4}, {"perturbation/full", "perturbation/small", "generation/clean"}),
        ({"image_resize": "nearest"}, {"supervised/small", "supervised/fused", "scale/clean"}),
        ({"generator": "full"}, {"generation/clean", "generation/perturbed"}),
        ({"dimensions": "2d"}, {"supervised/full", "supervised/small", "supervised/fused"}),
        ({"dimensions": "2d", "plane": "coronal"}, {"supervised/full", "supervised/small"}),
        ({"lambda_max": 2.0}, {"scale/labelled", "perturbation/full", "generation/clean"}),
        ({"ramp_fraction": 1.0}, {"scale/labelled", "perturbation/full", "generation/clean"}),
    ],
)
def test_switches_change_terms(budget, changes, changed):
    usual = {"dimensions": "2d"} if "plane" in changes else {}
    before, after = terms(make(budget, **usual)), terms(make(budget, **changes))
    assert all(before[name] != after[name] for name in changed)
    if "dimensions" not in changes and "image_resize" not in changes:
        assert all(before[name] == after[name] for name in before if name.startswith("supervised"))


def test_released_differs_in_the_resizing_alone(budget):
    assert CARD.presets["released"] == {**CARD.presets["paper"], "image_resize": "nearest"}
    image = batches()[0].image
    small = make(budget, "released").scales(batches()[0])[1].image
    assert small.shape[2:] == (8, 8, 4)
    assert bool(torch.isin(small, image).all())
    assert not bool(torch.isin(make(budget).scales(batches()[0])[1].image, image).all())


def test_weight_is_one_from_the_first_step_unless_it_ramps(budget):
    assert [make(budget).weight(Clock(step, 100, 0)) for step in (0, 50)] == [1.0, 1.0]
    ramped = make(budget, ramp_fraction=0.5)
    assert ramped.weight(Clock(0, 100, 0)) == pytest.approx(0.0067379, rel=1e-4)
    assert ramped.weight(Clock(50, 100, 0)) == 1.0


def test_jitter_is_photometric_and_stays_within_the_extremes():
    jitter = vars(sys.modules[KIND.__module__])["jitter"]
    image = torch.rand(64, 2, 6, 6, 6) * 4 - 1
    image[0, 1] = 0.0
    changed = jitter(image, 0.2, 0.2, torch.Generator().manual_seed(0))
    assert not bool(changed[0, 1].any())
    low, high = image.flatten(2).aminmax(dim=2)
    assert bool(
        (changed.flatten(2) >= low[..., None]).all() and (changed.flatten(2) <= high[..., None]).all()
    )
    order = image[1].flatten(1).argsort(dim=1)
    assert bool((changed[1].flatten(1).gather(1, order).diff(dim=1) >= 0).all())  # monotone: nothing moved
    shift = (changed - image)[1:] / (high - low)[1:, :, None, None, None]
    assert 0.25 < shift.abs().max() <= 0.4 + 1e-6  # 0.2 of the range plus 0.2 of the grey value
    means = shift.flatten(2).mean(dim=2)
    assert means.unique().numel() == means.numel()  # each channel of each item on its own


def test_small_images_are_jittered_on_their_own(budget):
    method = make(budget, image_resize="nearest")
    clean = method.scales(batches()[1])
    first, again, later = (method.perturbed(clean, Clock(step, 6, 0)) for step in (1, 1, 2))
    assert torch.equal(first[0].image, again[0].image)
    assert not torch.equal(first[0].image, later[0].image)
    same = torch.isin(first[1].image, first[0].image).float().mean()
    assert same < 0.5  # of the clean pair all voxels of the small image are in the full one


def test_slices_are_segmented_one_by_one(budget):
    method = make(budget, "slices")
    net = method.build().eval()
    image, both = torch.randn(1, 2, *SIZE), torch.ones(1, 2, dtype=torch.bool)
    other = image.clone()
    other[..., 3] += torch.randn(1, 2, *SIZE[:2])
    with torch.no_grad():
        a, b = (method.logits(net, x, both) for x in (image, other))
    same = [torch.equal(a[..., k], b[..., k]) for k in range(SIZE[2])]
    assert a.shape == (1, 2, 3, *SIZE)
    assert same == [k != 3 for k in range(SIZE[2])]


def test_masks_are_sliced_with_their_images(budget):
    labelled = batches()[0]
    full, small = make(budget, "slices").scales(labelled)
    assert torch.equal(full.image[SIZE[2] + 3], labelled.image[1, ..., 3])
    assert torch.equal(full.label[SIZE[2] + 3], labelled.label[1, ..., 3])
    assert len(full.cases) == len(full.available) == 2 * SIZE[2]
    assert small.image.shape[2:] == small.label.shape[2:] == (8, 8)


def test_networks_per_step(budget):
    cases = [("paper", {}, 5), ("paper", {"mean_teacher": True}, 6), ("supervised_only", {}, 1)]
    for preset, changes, passes in [*cases, ("per_modality", {}, 10), ("paper", {"lambda_max": 0.0}, 1)]:
        assert make(budget, preset, **changes).forward_passes_per_step == passes
