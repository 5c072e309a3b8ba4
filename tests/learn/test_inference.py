"""Inference: shapes, padding that leaves no trace, and the sliding window."""

import dataclasses

import numpy as np
import pytest
import torch
from toy import toy_sample, toy_task

from parallax.learn.inference import class_scores


def pointwise(image, available):
    """Logits that depend on each voxel alone, so that neither padding nor windows may change them."""
    return torch.stack([image, -image, 0.5 * image], dim=2)


@pytest.mark.parametrize("size", [(16, 16, 16), (9, 21, 13), (24, 24, 24), (40, 18, 25)])
@pytest.mark.filterwarnings("ignore")
def test_scores_of_a_pointwise_network_do_not_depend_on_size(budget, size):
    sample = toy_sample(toy_task(), "c", size)
    scores = class_scores(pointwise, sample, budget, "cpu")
    image = torch.from_numpy(sample.image)
    wanted = torch.stack([image, -image, 0.5 * image], dim=1).softmax(dim=1).numpy()
    assert scores.shape == (2, 3, *size)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, wanted, atol=1e-5)


def test_network_sees_multiples_of_its_stride_and_background(budget):
    seen = []

    def spy(image, available):
        seen.append((image, available))
        return pointwise(image, available)

    sample = toy_sample(toy_task(), "c", (9, 21, 13))
    class_scores(spy, dataclasses.replace(sample, available=(True, False)), budget, "cpu")
    image, available = seen[0]
    assert image.shape == (1, 2, 16, 24, 16)
    assert available.tolist() == [[True, False]]
    assert image[0, 0, 0, 0, 0] == sample.image[0].min()
