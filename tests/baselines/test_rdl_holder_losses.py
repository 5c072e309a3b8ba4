"""RDL-Hölder: the divergence and the Dice of the release, by their vectors."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from parallax.case import IGNORE
from parallax.plugin import load_method

FORMS: Any = inspect.getmodule(load_method("rdl_holder"))


def double(rows: Any) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# ---- Hölder divergence


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        ((0.5, 0.5), (0.5, 0.5), (0, 0, 0)),
        ((0.8, 0.2), (1, 0), (0.179011, 0.078522, 0.030312)),
        ((0.5, 0.5), (1, 0), (0.630134, 0.462098, 0.346574)),
        ((0.8, 0.2), (0.8, 0.2), (0.118387, 0.023065, 0)),
        ((0.7, 0.2, 0.1), (1, 0, 0), (0.285971, 0.125268, 0.048582)),
    ],
)
def test_divergence_vectors(p, q, expected):
    for alpha, value in zip((1.1, 1.5, 2.0), expected, strict=True):
        found = FORMS.holder_divergence(double(p), double(q), alpha, 0).item()
        assert found == pytest.approx(value, abs=1e-6)


def test_divergence_of_uniform_and_one_hot():
    found = FORMS.holder_divergence(double([1 / 3] * 3), double([1, 0, 0]), 1.1, 0).item()
    assert found == pytest.approx(math.log(3) / 1.1, abs=1e-12)
    assert found == pytest.approx(0.998738, abs=1e-6)


def test_divergence_is_zero_where_powers_are_proportional_not_where_equal():
    q = double([0.6, 0.4])
    p = q.pow(11 / 1.1)
    p = p / p.sum()
    torch.testing.assert_close(p, double([0.98295, 0.01705]), atol=1e-5, rtol=0)
    assert FORMS.holder_divergence(p, q, 1.1, 0).item() == pytest.approx(0, abs=1e-12)
    assert FORMS.holder_divergence(q, q, 1.1, 0).item() > 0.01


def test_divergence_ignores_scale_and_is_symmetric_at_two_alone():
    p, q = double([0.7, 0.2, 0.1]), double([0.2, 0.3, 0.5])
    for alpha in (1.1, 2.0):
        one, other = (FORMS.holder_divergence(*pair, alpha, 0).item() for pair in ((p, q), (q, p)))
        assert FORMS.holder_divergence(3 * p, 7 * q, alpha, 0).item() == pytest.approx(one, abs=1e-12)
        assert (abs(one - other) < 1e-12) is (alpha == 2.0)


@pytest.mark.parametrize("alpha", [1.1, 1.5, 2.0])
def test_over_classes_it_is_cross_entropy_plus_a_norm(alpha):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 3, (2, 4, 4, 4), generator=generator)
    one_hot = F.one_hot(label, 3).movedim(-1, 1).double()
    wanted = FORMS.holder_divergence(logits.softmax(1), one_hot, alpha, 1)
    found = FORMS.holder_over_classes(logits.log_softmax(1), label, alpha)
    assert found.item() == pytest.approx(wanted.mean().item(), abs=1e-12)
    label[:, :2] = IGNORE
    found = FORMS.holder_over_classes(logits.log_softmax(1), label, alpha)
    assert found.item() == pytest.approx(wanted[:, 2:].mean().item(), abs=1e-12)


def test_near_one_it_is_cross_entropy():
    logits, label = double([[[2.0, 0.0], [-1.0, 1.0]]]), torch.tensor([[0, 0]])
    found = FORMS.holder_over_classes(logits.log_softmax(1), label, 1 + 1e-7).item()
    assert found == pytest.approx(F.cross_entropy(logits, label).item(), abs=1e-5)


@pytest.mark.parametrize(
    ("column", "expected"),
    [((1, 0, 0, 0), 0.28875), ((0.5,) * 4, 0.51660), ((0, 1, 1, 1), 0.70810)],
)
def test_along_depth_even_a_perfect_map_is_charged(column, expected):
    label = torch.tensor([1, 0, 0, 0]).view(1, 4, 1, 1)
    found = FORMS.holder_along_depth(double(column).view(1, 1, 4, 1, 1), label, 1.1)
    assert found.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_along_depth_a_constant_costs_nothing_against_an_empty_class(value):
    p, label = double([value] * 4).view(1, 1, 4, 1, 1), torch.zeros(1, 4, 1, 1, dtype=torch.long)
    assert FORMS.holder_along_depth(p, label, 1.1).item() == pytest.approx(0, abs=1e-12)


def test_along_depth_unknown_voxels_take_no_part():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(1, 2, 6, 3, 3, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 3, (1, 6, 3, 3), generator=generator)
    label[:, 4:] = IGNORE
    wanted = FORMS.holder_along_depth(p[:, :, :4], label[:, :4], 1.1)
    assert FORMS.holder_along_depth(p, label, 1.1).item() == pytest.approx(wanted.item(), abs=1e-12)


# ---- Dice


def test_dice_is_that_of_the_release_and_forgives_an_absent_class():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(2, 3, 4, 4, 4, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 2, (2, 4, 4, 4), generator=generator)
    y = F.one_hot(label, 3).movedim(-1, 1).double()
    over = (0, 2, 3, 4)
    wanted = 1 - (2 * (p * y).sum(over) + 1) / (p.sum(over) + y.sum(over) + 1)
    torch.testing.assert_close(FORMS.dice_gmd(p, label), wanted)
    assert FORMS.dice_gmd(0 * p, label)[2].item() == 0
    label[:, 2:] = IGNORE
    torch.testing.assert_close(FORMS.dice_gmd(p, label), FORMS.dice_gmd(p[:, :, :2], label[:, :2]))


def test_largest_class_is_a_structure_where_a_sigmoid_exceeds_one_half():
    z = torch.randn(1, 4, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    maps = FORMS.structure_maps(z)
    assert torch.equal(maps.argmax(1).where(maps.amax(1) > 0.5, 0), z.argmax(1))
