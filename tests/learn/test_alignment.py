"""Alignment of two modalities: closed forms, and what the terms depend on."""

import math

import pytest
import torch

from parallax.learn.alignment import global_alignment, local_alignment


def vectors(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("cases", [1, 2, 5])
def test_equal_vectors_cannot_be_told_apart(cases):
    same = vectors(1, 8).expand(cases, -1)
    assert global_alignment(same, same).item() == pytest.approx(math.log(cases), abs=1e-6)


@pytest.mark.parametrize("tokens", [1, 7])
def test_equal_tokens_cannot_be_told_apart(tokens):
    same = vectors(3, 1, 8).expand(-1, tokens, -1)
    assert local_alignment(same, same).item() == pytest.approx(math.log(tokens), abs=1e-6)


def test_global_alignment_of_right_angles():
    basis = torch.eye(4)
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 3))
    assert global_alignment(basis, basis, 0.5).item() == pytest.approx(expected, abs=1e-6)
    assert global_alignment(basis, basis.roll(1, 0)) > 10


def test_alignment_does_not_tell_the_modalities_apart():
    a, b = vectors(4, 6, 8), vectors(4, 6, 8, seed=1)
    torch.testing.assert_close(global_alignment(a[:, 0], b[:, 0]), global_alignment(b[:, 0], a[:, 0]))
    torch.testing.assert_close(local_alignment(a, b), local_alignment(b, a))


def test_local_alignment_goes_by_content_not_by_place():
    a, b = vectors(2, 6, 8), vectors(2, 6, 8, seed=1)
    torch.testing.assert_close(local_alignment(a, b), local_alignment(a, b[:, torch.randperm(6)]))
    apart = torch.eye(6)[None]
    assert local_alignment(apart, apart) < 0.001 < local_alignment(a, b)


def test_cases_are_not_mixed_by_local_alignment():
    a, b = vectors(2, 6, 8), vectors(2, 6, 8, seed=1)
    apart = torch.stack([local_alignment(a[i : i + 1], b[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(local_alignment(a, b), apart.mean())
