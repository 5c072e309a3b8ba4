import numpy as np
import pytest

from parallax.case import Modality
from parallax.data.normalise import foreground, foreground_box, normalise
from parallax.errors import ConfigError


def test_ct_window_maps_to_minus_one_and_one():
    hu = np.array([-1000, -175, 37.5, 250, 3000], np.int16).reshape(5, 1, 1)
    scaled = normalise(hu.astype(np.float32), Modality("CT", "ct")).ravel()
    np.testing.assert_allclose(scaled, [-1, -1, 0, 1, 1], atol=3e-3)


def test_mr_is_clipped_then_standardised_whatever_its_unit():
    array = np.random.default_rng(0).gamma(2.0, size=(20, 20, 20)).astype(np.float32)
    a = normalise(array, Modality("T1", "mr"))
    np.testing.assert_allclose(a, normalise(7 * array + 3, Modality("T1", "mr")), atol=1e-4)
    assert abs(a.mean()) < 1e-5
    assert a.std() == pytest.approx(1, abs=1e-4)
    assert np.count_nonzero(a == a.max()) >= 0.005 * a.size  # the clipped tail


def test_constant_image_becomes_zero():
    assert not normalise(np.full((4, 4, 4), 5, np.uint8), Modality("T1", "mr")).any()


def test_bad_kind_and_empty_window_are_config_errors():
    with pytest.raises(ConfigError, match="ct or mr"):
        normalise(np.zeros((2, 2, 2)), Modality("US", "us"))
    with pytest.raises(ConfigError, match="window"):
        normalise(np.zeros((2, 2, 2)), Modality("CT", "ct", (250.0, -175.0)))


def test_box_ignores_stray_noise_and_keeps_its_margin():
    array = np.random.default_rng(0).normal(0, 0.01, (40, 40, 40))
    array[10:20, 12:30, 15:25] += 1
    array[1, 1, 1] = 1
    assert foreground_box(array, (2, 2, 2)) == (slice(8, 22), slice(10, 32), slice(13, 27))


def test_an_image_without_contrast_is_all_foreground():
    assert foreground(np.zeros((3, 3, 3))).all()
