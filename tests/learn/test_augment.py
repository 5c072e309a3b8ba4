"""Augmentation keeps order and absent modalities."""

import numpy as np
import torch

from parallax.learn.augment import augment_intensity


def test_curve_is_monotone_and_changes_each_modality_on_its_own():
    ramp = torch.linspace(-2, 3, 64).reshape(1, 1, 4, 4, 4).repeat(3, 2, 1, 1, 1)
    for seed in range(20):
        image = augment_intensity(
            ramp.clone(), torch.ones(3, 2, dtype=torch.bool), np.random.default_rng(seed)
        )
        assert (image.flatten(2).diff(dim=2) > 0).all()
        assert not torch.equal(image[0, 0], image[0, 1])
        assert (image - ramp).abs().max() < 2.0


def test_absent_modality_stays_zero_and_noise_is_off():
    image = torch.zeros(1, 2, 4, 4, 4)
    available = torch.tensor([[True, False]])
    augment_intensity(image, available, np.random.default_rng(0))
    assert image[0, 0].unique().numel() == 1  # shifted as a whole: no noise
    assert image[0, 1].abs().max() == 0
    augment_intensity(image, available, np.random.default_rng(0), noise_sd=0.1)
    assert image[0, 0].unique().numel() > 1
    assert image[0, 1].abs().max() == 0
