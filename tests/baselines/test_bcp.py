"""BCP: the two stages, what is pasted where, pseudo-labels and every switch."""

from dataclasses import replace

import pytest
import torch
from toy import toy_batches, toy_task, toy_view

from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.loop import Clock
from parallax.learn.pseudo import count_components, largest_components
from parallax.plugin import load_method, method_card

KIND = load_method("bcp")
CARD = method_card("bcp")
FIRST, SECOND = Clock(0, 10, 0), Clock(5, 10, 0)


def make(budget, task=None, preset="paper", **changes):
    return KIND(task or toy_task(), budget, switches={**CARD.presets[preset], **changes}, seed=0)


@pytest.fixture(scope="module")
def crops():
    return toy_batches(toy_view(toy_task()))


def seen_by_the_student(method, crops, clock):
    """The images that the student is given in a step."""
    net, seen = method.build(), []
    net[0]["student"].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    method.loss(net, *crops, clock)
    return seen


def test_stage_1_is_2000_of_17000_steps(budget):
    method = make(budget)
    assert [method.first_stage(Clock(step, 17000, 0)) for step in (0, 1999, 2000, 16999)] == [1, 1, 0, 0]
    longer = make(budget, stage_1_fraction=0.5)
    assert [longer.first_stage(Clock(step, 17000, 0)) for step in (8499, 8500)] == [1, 0]


def test_stage_1_pastes_labelled_crops_into_each_other(budget, crops):
    method = make(budget)
    labelled, bare = crops
    (mixed,) = seen_by_the_student(method, crops, FIRST)
    box = method.box(labelled, FIRST)[:, None]
    assert torch.equal(mixed, torch.where(box, labelled.image[[1, 0]], labelled.image))
    terms = method.loss(method.build(), labelled, bare, FIRST)
    assert set(terms) == {"supervised"}
    logits = method.build()[0]["student"](mixed, labelled.available)
    label = torch.where(box, labelled.label[[1, 0]], labelled.label)
    expected = method.cost(logits, replace(labelled, label=label))
    assert torch.equal(terms["supervised"], expected)


def test_stage_2_pastes_both_ways_and_uses_every_voxel_once(budget, crops):
    method = make(budget)
    labelled, bare = crops
    inwards, outwards = seen_by_the_student(method, crops, SECOND)
    box = method.box(labelled, SECOND)[:, None].expand_as(inwards)
    assert torch.equal(inwards[box], bare.image[box])
    assert torch.equal(inwards[~box], labelled.image[~box])
    assert torch.equal(outwards[box], labelled.image[box])
    assert torch.equal(outwards[~box], bare.image[~box])


def test_boxes_move_from_step_to_step_and_are_one_for_all_items(budget, crops):
    method = make(budget)
    boxes = [method.box(crops[0], Clock(step, 10, 0)) for step in range(6)]
    assert {tuple(box.shape) for box in boxes} == {(1, 16, 16, 16)}
    assert {int(box.sum()) for box in boxes} == {10**3}
    assert any(not torch.equal(boxes[0], box) for box in boxes)
    assert torch.equal(boxes[3], method.box(crops[0], Clock(3, 10, 0)))
    assert int(make(budget, box_side=0.5).box(crops[0], FIRST).sum()) == 8**3


def test_offsets_of_the_release_are_those_of_its_crop(budget, crops):
    ours, theirs = make(budget), make(budget, mask_offsets="literal_112_80")
    published = Batch(torch.empty(1, 1, 112, 112, 80), None, torch.ones(1, 1, dtype=torch.bool), ("c",))
    box = ours.box(published, FIRST)
    assert box.float().mean().item() == pytest.approx(0.2892, abs=5e-5)
    assert torch.equal(box, theirs.box(published, FIRST))
    sizes = {int(theirs.box(crops[0], Clock(step, 10, 0)).sum()) for step in range(10)}
    assert min(sizes) < 10**3, "a box drawn in 112x112x80 lies beyond a small crop"


def test_cost_is_half_of_ce_and_the_dice_of_the_release_within_the_mask(budget, crops):
    labelled, _ = crops
    method = make(budget, preset="released")
    box = torch.zeros(1, 16, 16, 16, dtype=torch.bool)
    box[:, 4:12, 4:12, 4:12] = True
    logits = torch.randn(2, 2, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    log_p = logits.log_softmax(dim=2)
    hot = torch.nn.functional.one_hot(labelled.label, 3).movedim(-1, 2)
    mask = box[:, None, None].expand(2, 2, 1, -1, -1, -1)
    ce = -(hot * log_p * mask).sum() / mask.sum()
    both = ((hot + log_p.exp()) * mask).flatten(3).sum(dim=3)
    dice = (2 * (hot * log_p.exp() * mask).flatten(3).sum(dim=3) + 1e-5) / (both + 1e-5)
    expected = 0.5 * (ce + 1 - dice.mean())
    assert method.cost(logits, labelled, box).item() == pytest.approx(expected.item(), rel=1e-5)
    assert make(budget).cost(logits, labelled, box) != method.cost(logits, labelled, box)


def test_guessed_voxels_weigh_half_as_much_as_true_ones(budget, crops):
    """By hand: each direction gives the cost of its true voxels and lambda times that of the guessed."""
    method = make(budget)
    labelled, bare = crops
    net, box = method.build(), method.box(labelled, SECOND)
    student = net[0]["student"]
    guess = replace(bare, label=method.pseudo_labels(net[0]["teacher"], bare, labelled))
    terms = method.loss(net, labelled, bare, SECOND)
    true = guessed = 0.0
    for image, where_true in zip(seen_by_the_student(method, crops, SECOND), (~box, box), strict=True):
        logits = student(image, labelled.available)
        true += method.cost(logits, labelled, where_true)
        guessed += method.cost(logits, guess, ~where_true)
    assert terms["supervised"].item() == pytest.approx(true.item(), rel=1e-6)
    assert terms["copy_paste"].item() == pytest.approx(0.5 * guessed.item(), rel=1e-6)


def test_the_teacher_is_the_student_until_stage_2_and_then_its_average(budget):
    method = make(budget, average_over="steps", alpha=0.75)
    net = method.build()
    student, teacher = (net[0][name].unet.head[0].bias for name in ("student", "teacher"))
    before = student.detach().clone()
    student.data += 1.0
    method.after_step(net, Clock(999, 17000, 0))
    assert torch.equal(teacher, student)
    student.data -= 1.0
    method.after_step(net, Clock(9999, 17000, 0))
    assert torch.allclose(teacher, before + 0.75)


def test_the_teacher_averages_over_the_same_share_of_any_budget(budget):
    ours, theirs = make(budget), make(budget, preset="released", mask_offsets="from_patch_size")
    assert ours.decay(Clock(0, 17000, 0)) == theirs.decay(Clock(0, 17000, 0)) == pytest.approx(0.99)
    assert [kind.decay(Clock(0, 1700, 0)) for kind in (ours, theirs)] == pytest.approx([0.9, 0.99])
    assert ours.decay(Clock(0, 100, 0)) == 0.0


def test_pseudo_labels_are_largest_components_and_carry_no_gradient(budget, crops):
    method, (labelled, bare) = make(budget), crops
    net = method.build()
    teacher = net[0]["teacher"].requires_grad_(True)
    teacher.unet.head[0].bias.data.zero_()
    label = method.pseudo_labels(teacher, bare, labelled)
    said = teacher(bare.image, bare.available).argmax(dim=2)
    assert count_components(labelled.label, 3) == [1, 1, 1]
    assert torch.equal(label, largest_components(said, [1, 1, 1]))
    assert not torch.equal(label, said)
    torch.stack(list(method.loss(net, labelled, bare, SECOND).values())).sum().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in net[0]["student"].parameters())


def test_components_of_each_structure_of_each_map():
    label = torch.zeros(2, 1, 5, 5, 5, dtype=torch.int64)
    label[0, 0, 0, 0, :2] = 1
    label[0, 0, 4, 4, :3] = 1
    label[0, 0, 2, 4, 0] = 1
    label[0, 0, 2, 2, 2] = 2
    label[1, 0, 0] = IGNORE
    assert count_components(label, 4) == [1, 3, 1, 1]
    expected = label.clone()
    assert torch.equal(largest_components(label, [1, 3, 1, 1]), expected)
    expected[0, 0, 2, 4, 0] = 0
    assert torch.equal(largest_components(label, [1, 2, 1, 1]), expected)
    expected[0, 0, 0, 0, :2] = 0
    assert torch.equal(largest_components(label, [1, 1, 1, 1]), expected)


def test_as_many_components_as_the_labelled_crops_show_or_one(budget, crops):
    """A structure may be a pair, such as the eyes: one component of it would teach that the other is none."""
    labelled, bare = crops
    net = make(budget).build()
    teacher = net[0]["teacher"]
    teacher.unet.head[0].bias.data.zero_()
    pair = torch.zeros_like(labelled.label)
    pair[..., :4] = pair[..., 12:] = 1
    kept = [
        make(budget, components=which).pseudo_labels(teacher, bare, replace(labelled, label=pair))
        for which in ("as_labelled", "one")
    ]
    said = teacher(bare.image, bare.available).argmax(dim=2)
    assert torch.equal(kept[0], largest_components(said, [1, 2, 1]))
    assert torch.equal(kept[1], largest_components(said, [1, 1, 1]))
    assert not torch.equal(*kept)


def test_an_absent_modality_gives_no_pseudo_label(budget, crops):
    method, (labelled, bare) = make(budget), crops
    one = replace(bare, available=torch.tensor([[True, False], [True, True]]))
    label = method.pseudo_labels(method.build()[0]["teacher"], one, labelled)
    assert bool((label[0, 1] == IGNORE).all())
    assert not bool((label[one.available] == IGNORE).any())
