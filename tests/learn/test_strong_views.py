"""Strong views keep every voxel in its place, and what is absent as it is."""

import pytest
import scipy.ndimage
import torch

from parallax.learn.strong_views import StrongView, gaussian_blur, jitter

ALWAYS = StrongView(jitter=0.8, curve=0.8, jitter_probability=1.0, blur_sd_voxels=2.0, blur_probability=1.0)
NEVER = StrongView(jitter=0.8, curve=0.8, jitter_probability=0.0, blur_sd_voxels=2.0, blur_probability=0.0)
BOTH = torch.ones(2, 2, dtype=torch.bool)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*size, seed=0):
    return torch.randn(size, generator=draw(seed))


def changes(level=1.0, slope=1.0, bend=0.0):
    return tuple(torch.full((1, 1), value) for value in (level, slope, bend))


def grey(*values):
    """A crop [1, 1, n, 1, 1]."""
    return torch.tensor(values).view(1, 1, -1, 1, 1)


def test_jitter_by_hand():
    image = grey(0.0, 0.25, 0.75, 1.0)  # mean 1/2
    assert jitter(image, *changes()).equal(image)
    assert jitter(image, *changes(level=1.2)).flatten().tolist() == pytest.approx([0.0, 0.3, 0.9, 1.0])
    assert jitter(image, *changes(slope=0.5)).flatten().tolist() == pytest.approx([0.25, 0.375, 0.625, 0.75])
    assert jitter(image, *changes(bend=0.8)).flatten().tolist() == pytest.approx([0.0, 0.4, 0.9, 1.0])
    wider = jitter(image * 8.0 - 4.0, *changes(slope=0.5))  # the same in other units
    assert wider.flatten().tolist() == pytest.approx([-2.0, -1.0, 1.0, 2.0])


def test_jitter_keeps_order_and_extremes():
    ramp = torch.linspace(-2, 3, 64).reshape(1, 1, 4, 4, 4).repeat(20, 2, 1, 1, 1)
    view = StrongView(0.8, 0.8, 1.0, 0.1, 0.0)(ramp, torch.ones(20, 2, dtype=torch.bool), draw())
    assert (view.flatten(2).diff(dim=2) > -1e-6).all()
    assert view.min() >= -2
    assert view.max() <= 3
    assert len({tuple(one.tolist()) for one in view.flatten(0, 1).flatten(1)}) == 40  # each on its own


def test_an_even_crop_stays_finite():
    assert ALWAYS(torch.zeros(2, 2, 4, 4, 4), BOTH, draw()).isfinite().all()


def test_blur_is_that_of_scipy_away_from_the_border():
    image, sd = noise(2, 2, 24, 20, 22), torch.tensor([[0.5, 1.0], [1.5, 0.7]])
    blurred = gaussian_blur(image, sd)
    for item, modality in ((0, 0), (0, 1), (1, 0), (1, 1)):
        of_scipy = scipy.ndimage.gaussian_filter(
            image[item, modality].numpy(), sd[item, modality].item(), truncate=8.0
        )
        inner = (slice(8, -8),) * 3
        assert torch.allclose(blurred[item, modality][inner], torch.from_numpy(of_scipy)[inner], atol=1e-4)


def test_blur_of_width_zero_changes_no_bit_and_an_even_image_stays_even():
    image = noise(2, 2, 6, 5, 4)
    assert gaussian_blur(image, torch.zeros(2, 2)).equal(image)
    even = torch.full((1, 1, 6, 5, 4), 3.0)
    assert torch.allclose(gaussian_blur(even, torch.ones(1, 1)), even)


def test_blur_leaves_a_point_where_it_is():
    image = torch.zeros(1, 1, 11, 11, 11)
    image[0, 0, 5, 5, 5] = 1.0
    blurred = gaussian_blur(image, torch.ones(1, 1))
    assert blurred.argmax() == image.argmax()
    for axis in (2, 3, 4):
        assert torch.allclose(blurred, blurred.flip(axis))


def test_blur_keeps_single_precision_in_bfloat16_training():
    image, sd = noise(2, 2, 6, 5, 4), torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert gaussian_blur(image, sd).equal(gaussian_blur(image.clone(), sd))
        assert gaussian_blur(image, sd).dtype == torch.float32


def test_absent_modalities_stay_as_they_are():
    some = torch.tensor([[True, False], [False, True]])
    image = noise(2, 2, 6, 5, 4)
    image[~some] = torch.nan
    before = image.clone()
    view = ALWAYS(image, some, draw())
    assert view[~some].isnan().all()
    assert view[some].isfinite().all()
    assert not torch.equal(view[some], image[some])
    assert torch.equal(image[some], before[some])  # the batch itself is not changed
    other = ALWAYS(image.nan_to_num(7.0), some, draw())
    assert torch.equal(view[some], other[some])


def test_a_view_is_drawn_by_its_generator_alone():
    image = noise(2, 2, 6, 5, 4)
    assert ALWAYS(image, BOTH, draw(1)).equal(ALWAYS(image, BOTH, draw(1)))
    assert not ALWAYS(image, BOTH, draw(1)).equal(ALWAYS(image, BOTH, draw(2)))
    assert NEVER(image, BOTH, draw()).equal(image)


@pytest.mark.parametrize(("field", "p"), [("jitter_probability", 0.8), ("blur_probability", 0.5)])
def test_probabilities(field, p):
    image = noise(500, 2, 2, 2, 2)
    setting = {"jitter_probability": 0.0, "blur_probability": 0.0, field: p}
    view = StrongView(0.8, 0.8, blur_sd_voxels=2.0, **setting)(image, torch.ones(500, 2, dtype=bool), draw())
    changed = (view != image).flatten(2).any(dim=2).float().mean().item()
    assert changed == pytest.approx(p, abs=5 * (p * (1 - p) / 1000) ** 0.5)


def test_of_switches():
    switches = {"jitter": 0.8, "curve": 0.8, "jitter_probability": 1.0, "blur_sd_voxels": 2.0}
    assert StrongView.of({**switches, "blur_probability": 1.0, "input": "fused"}) == ALWAYS
