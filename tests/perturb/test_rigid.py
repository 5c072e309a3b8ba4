import json

import numpy as np
import pytest
from balls import ball_volumes, centred_affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallax.case import Case
from parallax.errors import ConfigError
from parallax.perturb.rigid import RigidParameters, apply, displacement_mm, draw, fixed, none


def foreground_mm(volume):
    return np.argwhere(volume.array > 0) @ volume.affine[:3, :3].T + volume.affine[:3, 3]


def rms_mm(parameters, points_mm):
    return np.sqrt((displacement_mm(parameters, points_mm) ** 2).sum(axis=1).mean())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    target_rms_mm=st.floats(0.1, 40),
    rotation_deg_per_mm=st.sampled_from([0.0, 0.5, 1.0, 5.0, 60.0]),
)
def test_realised_rms_is_the_target_over_the_moved_structures(
    ball_case, seed, target_rms_mm, rotation_deg_per_mm
):
    parameters = draw(
        np.random.default_rng(seed),
        ball_case,
        moved="MR",
        target_rms_mm=target_rms_mm,
        rotation_deg_per_mm=rotation_deg_per_mm,
    )
    measured = rms_mm(parameters, foreground_mm(ball_case.labels["MR"]))
    assert measured == pytest.approx(target_rms_mm, rel=0.01)
    assert parameters.realised_rms_mm == pytest.approx(measured, rel=1e-6)
    assert np.linalg.norm(parameters.axis) == pytest.approx(1)


def test_rotation_grows_with_the_level(ball_case):
    levels = [
        draw(np.random.default_rng(0), ball_case, moved="MR", target_rms_mm=t).rotation_deg
        for t in (1, 4, 12)
    ]
    assert 0 < levels[0] < levels[1] < levels[2] <= 12


def test_without_a_label_the_image_foreground_counts(ball_case):
    bare = Case("a", ball_case.images)
    parameters = draw(np.random.default_rng(0), bare, moved="MR", target_rms_mm=5)
    assert rms_mm(parameters, foreground_mm(ball_case.labels["MR"])) == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("zero", ["drawn", "none", "fixed"])
def test_zero_returns_the_very_arrays(ball_case, zero):
    parameters = {
        "drawn": draw(np.random.default_rng(0), ball_case, moved="MR", target_rms_mm=0),
        "none": none("MR"),
        "fixed": fixed(ball_case, moved="MR", translation_mm=(0.0, 0.0, 0.0)),
    }[zero]
    assert parameters.identity
    assert apply(ball_case, parameters).images["MR"].array is ball_case.images["MR"].array


def test_replay_from_json_gives_identical_voxels(ball_case):
    parameters = draw(np.random.default_rng(3), ball_case, moved="MR", target_rms_mm=7)
    again = RigidParameters.from_json(json.loads(json.dumps(parameters.to_json())))
    assert again == parameters
    first, second = apply(ball_case, parameters), apply(ball_case, again)
    np.testing.assert_array_equal(first.images["MR"].array, second.images["MR"].array)
    np.testing.assert_array_equal(first.labels["MR"].array, second.labels["MR"].array)


def test_only_the_moved_modality_changes(ball_case):
    moved = apply(ball_case, draw(np.random.default_rng(3), ball_case, moved="MR", target_rms_mm=7))
    assert moved.images["CT"] is ball_case.images["CT"]
    assert moved.labels["CT"] is ball_case.labels["CT"]
    np.testing.assert_array_equal(moved.images["MR"].affine, ball_case.images["MR"].affine)
    assert (moved.images["MR"].array != ball_case.images["MR"].array).any()


def test_mask_follows_its_image(ball_case):
    moved = apply(ball_case, draw(np.random.default_rng(3), ball_case, moved="MR", target_rms_mm=7))
    image, label = moved.images["MR"].array, moved.labels["MR"].array
    inside = image > -430  # half way between air and ball
    assert 2 * np.count_nonzero(inside & (label > 0)) / (inside.sum() + (label > 0).sum()) > 0.95


def test_a_written_shift_moves_the_centroid_by_itself_in_ras(ball_case):
    shift = (6.0, -4.0, 3.0)
    parameters = fixed(ball_case, moved="MR", translation_mm=shift)
    moved = apply(ball_case, parameters)
    before, after = (foreground_mm(c.labels["MR"]).mean(axis=0) for c in (ball_case, moved))
    # a label map moves by whole voxels, so by half of one (1.4 mm) too much or too little at worst
    np.testing.assert_allclose(after - before, shift, atol=0.75)
    assert parameters.realised_rms_mm == pytest.approx(np.linalg.norm(shift))


def test_a_written_rotation_turns_right_handed_about_the_centroid(ball_case):
    parameters = fixed(
        ball_case, moved="CT", translation_mm=(0.0, 0.0, 0.0), axis=(0, 0, 2.0), rotation_deg=90
    )
    centre = np.array(parameters.centre_mm)
    np.testing.assert_allclose(
        displacement_mm(parameters, centre[None] + [[1, 0, 0]]), [[-1, 1, 0]], atol=1e-9
    )


def test_integer_images_stay_integer_and_edges_repeat():
    shape = (12, 12, 12)
    image, label = ball_volumes(centred_affine(np.eye(3) * 3, shape), shape, np.int16)
    case = Case("a", {"MR": image, "CT": image}, {"MR": label})
    moved = apply(case, fixed(case, moved="MR", translation_mm=(9.0, 0.0, 0.0))).images["MR"].array
    assert moved.dtype == np.int16
    np.testing.assert_array_equal(moved[3:], image.array[:-3])
    np.testing.assert_array_equal(moved[:3], np.repeat(image.array[:1], 3, axis=0))


@pytest.mark.parametrize(("moved", "target"), [("MR", 3.0), ("PET", 3.0), ("CT", -1.0)])
def test_shift_without_a_second_modality_or_below_zero_is_refused(ball_case, moved, target):
    images = {"MR": ball_case.images["MR"]} if moved == "MR" else ball_case.images
    with pytest.raises(ConfigError):
        draw(np.random.default_rng(0), Case("a", images), moved=moved, target_rms_mm=target)
    with pytest.raises(ConfigError, match="axis"):
        fixed(ball_case, moved="MR", translation_mm=(1.0, 0.0, 0.0), axis=(0.0, 0.0, 0.0))
