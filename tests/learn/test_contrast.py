"""Class-balanced contrast: closed forms, invariances, and which voxels meet which."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from parallax.case import IGNORE
from parallax.learn.contrast import balanced_contrast, contrast_of_blocks, shuffled_blocks, tile_starts


def unit(vectors: int, width: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(vectors, width, generator=generator, dtype=torch.float64), dim=1)


def labels_of(*counts: int) -> torch.Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def by_definition(z: torch.Tensor, label: torch.Tensor, temperature: float) -> float:
    """Each vector and each of its partners in a loop."""
    losses = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        similar = {j: math.exp(float(z[i] @ z[j]) / temperature) for j in others}
        size = {c: sum(int(label[j]) == c for j in others) for c in label.tolist()}
        spread = sum(similar[j] / size[int(label[j])] for j in others)
        mates = [j for j in others if label[j] == label[i]]
        losses.append(-sum(math.log(similar[j] / spread) for j in mates) / len(mates) if mates else 0.0)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_contrast_is_its_definition(temperature):
    z, label = unit(11), torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 4])
    expected = by_definition(z, label, temperature)
    assert balanced_contrast(z, label, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_two_orthogonal_classes_of_two_equal_vectors():
    z = torch.eye(2, dtype=torch.float64).repeat_interleave(2, dim=0)
    value = balanced_contrast(z, labels_of(2, 2), 0.1).item()
    assert value == pytest.approx(4.5399e-5, rel=1e-5)
    assert value == pytest.approx(math.log(1 + math.exp(-10)), rel=1e-9)


@pytest.mark.parametrize(
    ("counts", "expected"), [((3, 2), 0.693147), ((5, 2, 2), 1.098612), ((30, 2, 7, 2), math.log(4))]
)
@pytest.mark.parametrize("temperature", [0.1, 3.0])
def test_equal_vectors_cost_the_logarithm_of_the_number_of_classes(counts, expected, temperature):
    z = unit(1).expand(sum(counts), -1)
    value = balanced_contrast(z, labels_of(*counts), temperature).item()
    assert value == pytest.approx(expected, abs=1e-6)


def test_a_vector_alone_in_its_class_costs_nothing_but_counts_in_the_mean():
    z, label = unit(1).expand(6, -1), labels_of(3, 2, 1)
    assert balanced_contrast(z, label, 0.1).item() == pytest.approx(5 / 6 * math.log(3), abs=1e-9)


def test_nothing_to_compare_is_0_with_a_graph():
    for label in (labels_of(1, 1, 1), torch.full((3,), IGNORE)):
        z = unit(3).requires_grad_()
        value = balanced_contrast(z, label, 0.1)
        value.backward()
        assert value == 0
        assert z.grad.abs().max() == 0


def test_unknown_vectors_take_no_part():
    z, label = unit(8), torch.tensor([0, 0, 1, 1, 1, IGNORE, IGNORE, IGNORE])
    known = balanced_contrast(z[:5], label[:5], 0.1)
    assert balanced_contrast(z, label, 0.1) == known


def test_single_precision_is_enough_and_reduced_precision_is_not_used():
    z, label = unit(40), torch.arange(40) % 3
    exact = balanced_contrast(z, label, 0.1)
    torch.testing.assert_close(balanced_contrast(z.float(), label, 0.1).double(), exact, rtol=1e-5, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        found = balanced_contrast(z.float(), label, 0.1)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)
    assert balanced_contrast(z.bfloat16(), label, 0.1).dtype == torch.float32


def test_descent_pulls_classes_together_and_apart_from_others():
    z, label = unit(24).requires_grad_(), torch.arange(24) % 3
    for _ in range(200):
        value = balanced_contrast(F.normalize(z, dim=1), label, 0.1)
        (gradient,) = torch.autograd.grad(value, z)
        z = (z - 0.5 * gradient).detach().requires_grad_()
    near = F.normalize(z, dim=1) @ F.normalize(z, dim=1).T
    same = label[:, None] == label
    assert near[same].min() > near[~same].max() + 0.5


@pytest.mark.parametrize(("size", "side", "blocks"), [(224, 19, 10), (28, 14, 1), (256, 19, 12)])
def test_blocks_of_the_release(size, side, blocks):
    starts = tile_starts(size, side, cover=False)
    assert starts == [side * i for i in range(blocks)]


@pytest.mark.parametrize("size", [3, 7, 8, 16, 24, 28, 224])
@pytest.mark.parametrize("side", [1, 7, 14, 19])
def test_blocks_cover_every_voxel_and_stay_inside(size, side):
    starts, side = tile_starts(size, side, cover=True), min(size, side)
    assert {at + i for at in starts for i in range(side)} == set(range(size))
    assert len(starts) == math.ceil(size / side)


def numbered(*extent: int) -> torch.Tensor:
    """Two maps of one feature, the index of the voxel."""
    return torch.arange(math.prod(extent)).view(1, 1, *extent).repeat(2, 1, *[1] * len(extent))


@pytest.mark.parametrize("extent", [(8, 8), (8, 4, 8)])
def test_vectors_keep_their_labels_and_every_voxel_is_there_once(extent):
    maps = numbered(*extent)
    vectors, labels = shuffled_blocks(
        maps, maps[:, 0], side=4, cover=True, at_most=99, generator=torch.Generator().manual_seed(0)
    )
    assert vectors.shape == (2, math.prod(n // 4 for n in extent), 4 ** len(extent), 1)
    assert torch.equal(vectors[..., 0], labels)
    for one in labels:
        assert one.flatten().sort().values.tolist() == list(range(math.prod(extent)))
    orders = labels[:, :, 0]
    assert not torch.equal(orders[0], orders[1])  # each map in an order of its own


def test_blocks_are_windows_of_neighbours():
    maps = numbered(6, 6)
    _, labels = shuffled_blocks(
        maps, maps[:, 0], side=3, cover=True, at_most=2, generator=torch.Generator().manual_seed(1)
    )
    windows = [
        [6 * (x + i) + y + j for i in range(3) for j in range(3)] for x, y in product((0, 3), repeat=2)
    ]
    assert labels.shape == (2, 2, 9)
    assert all(block in windows for block in labels.flatten(0, 1).tolist())


def test_labels_of_a_finer_map_are_those_of_the_nearest_voxel():
    label = torch.arange(64).view(1, 8, 8)
    _, labels = shuffled_blocks(
        torch.zeros(1, 1, 4, 4), label, side=4, cover=True, at_most=1, generator=torch.Generator()
    )
    nearest = F.interpolate(label[None].double(), size=(4, 4), mode="nearest").long()
    assert torch.equal(labels.flatten(), nearest.flatten())


def of_maps(maps: int, blocks: int, voxels: int = 5):
    generator = torch.Generator().manual_seed(2)
    z = unit(maps * blocks * voxels).view(maps, blocks, voxels, -1)
    return z, torch.randint(0, 3, (maps, blocks, voxels), generator=generator)


def test_contrast_of_blocks_is_the_mean_over_sets_of_kth_blocks():
    z, label = of_maps(4, 3)
    sets = [balanced_contrast(z[:, k].flatten(0, 1), label[:, k].flatten(), 0.1) for k in range(3)]
    assert contrast_of_blocks(z, label, 0.1) == torch.stack(sets).mean()


def test_sets_of_background_are_left_out():
    z, label = of_maps(4, 3)
    label[:, 1] = 0
    label[0, 1, 0] = IGNORE
    kept = [0, 2]
    assert contrast_of_blocks(z, label, 0.1) == contrast_of_blocks(z[:, kept], label[:, kept], 0.1)
    label[0, 1, 1] = 1
    assert contrast_of_blocks(z, label, 0.1) != contrast_of_blocks(z[:, kept], label[:, kept], 0.1)
    assert contrast_of_blocks(z, torch.zeros_like(label), 0.1) == 0


def test_swapping_the_branches_with_their_labels_changes_nothing():
    z, label = of_maps(6, 3)
    swapped = [3, 4, 5, 0, 1, 2]
    torch.testing.assert_close(
        contrast_of_blocks(z, label, 0.1), contrast_of_blocks(z[swapped], label[swapped], 0.1)
    )
    assert contrast_of_blocks(z, label, 0.1) != contrast_of_blocks(z, label[swapped], 0.1)
