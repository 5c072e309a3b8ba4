"""Boxes, and items made of two."""

import pytest
import torch

from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.mixing import box_mask, chosen, pasted


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def extents(mask):
    """Sides of the bounding box of one mask [X, Y, Z], in voxels."""
    where = mask.nonzero()
    return (where.max(dim=0).values - where.min(dim=0).values + 1).tolist()


def items(value, *, label=None, available=((True, True),), n=None):
    there = torch.tensor(available)
    shape = (n or len(there), 2, 4, 4, 4)
    labels = None if label is None else torch.full(shape, label)
    return Batch(torch.full(shape, float(value)), labels, there, tuple(f"c{value}" for _ in range(shape[0])))


def test_a_box_of_two_thirds_of_the_published_crop():
    mask = box_mask(1, (112, 112, 80), 2 / 3, draw())
    assert mask.shape == (1, 112, 112, 80)
    assert extents(mask[0]) == [74, 74, 53]
    assert mask.float().mean().item() == pytest.approx(0.2892, abs=5e-5)
    assert torch.equal(mask, box_mask(1, (112, 112, 80), 0.6667, draw()))


def test_boxes_are_whole_and_at_all_places():
    masks = box_mask(400, (6, 5, 4), 0.5, draw())
    assert set(masks.flatten(1).sum(dim=1).tolist()) == {3 * 2 * 2}
    assert all(extents(mask) == [3, 2, 2] for mask in masks[:20])
    starts = [mask.nonzero().min(dim=0).values for mask in masks]
    for axis, places in enumerate((4, 4, 3)):
        counts = torch.bincount(torch.stack(starts)[:, axis], minlength=places)
        assert len(counts) == places
        assert (counts - 400 / places).abs().max() < 5 * (400 / places) ** 0.5
    assert torch.equal(masks, box_mask(400, (6, 5, 4), 0.5, draw()))


def test_each_item_and_axis_may_have_a_side_of_its_own():
    each = box_mask(2, (8, 8, 8), torch.tensor([0.25, 1.0]), draw())
    assert [extents(mask) for mask in each] == [[2, 2, 2], [8, 8, 8]]
    axes = box_mask(2, (8, 8, 8), torch.tensor([[0.25, 0.5, 1.0], [0.5, 0.5, 0.5]]), draw())
    assert [extents(mask) for mask in axes] == [[2, 4, 8], [4, 4, 4]]
    assert not box_mask(1, (8, 8, 8), 0.0, draw()).any()


def test_a_box_placed_within_a_larger_region_is_cut_off():
    masks = box_mask(200, (8, 8, 8), 0.5, draw(), placed_within=(16, 8, 8))
    sizes = masks.flatten(1).sum(dim=1)
    assert sizes.max() == 64
    assert sizes.min() == 0


def test_an_image_mixed_with_itself_is_itself():
    one = items(3, label=1)
    mixed = pasted(one, one, box_mask(1, (4, 4, 4), 0.5, draw()))
    assert torch.equal(mixed.image, one.image)
    assert torch.equal(mixed.label, one.label)


def test_every_voxel_comes_from_one_of_the_two():
    box = box_mask(1, (4, 4, 4), 0.5, draw())
    mixed = pasted(items(1, label=1), items(2, label=0), box)
    assert torch.equal(mixed.image[0, 0] == 1, box[0])
    assert torch.equal(mixed.image[0, 1] == 2, ~box[0])
    assert torch.equal(mixed.label[0, 0] == 1, box[0])
    assert mixed.cases == ("c1+c2",)
    assert pasted(items(1), items(2, label=0), box).label is None


def test_a_modality_that_one_of_the_two_lacks_is_absent_and_unknown():
    box = box_mask(1, (4, 4, 4), 0.5, draw())
    mixed = pasted(items(1, label=1, available=((True, False),)), items(2, label=0), box)
    assert mixed.available.tolist() == [[True, False]]
    assert bool((mixed.label[:, 1] == IGNORE).all())
    assert bool((mixed.label[:, 0] != IGNORE).all())


def test_items_may_be_chosen_again():
    batch = items(1, label=1, available=((True, True), (True, False)))
    again = chosen(batch, torch.tensor([1, 1, 0]))
    assert again.available.tolist() == [[True, False], [True, False], [True, True]]
    assert again.image.shape[0] == again.label.shape[0] == len(again.cases) == 3
