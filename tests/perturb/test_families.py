"""What every family of misalignment promises: identity at zero, exact replay, units, the mask moves along."""

from dataclasses import replace

import numpy as np
import pytest
from families_toy import LEVELS, donors, draw, replayed

from parallax.case import Case, Volume
from parallax.errors import ConfigError
from parallax.perturb import families
from parallax.perturb.level import FAMILIES, Level, parameters_for, read_level
from parallax.perturb.subject import draw_donors

#: Keys that are plain numbers without a unit: names, counts, seeds, shares and unit vectors.
UNITLESS = {
    "moved", "family", "donor", "axis", "first", "count", "tries", "field_seed", "offset_seed",
    "jacobian_min", "low_gain", "measured_over", "slices_per_breath_hold",
}  # fmt: skip


@pytest.fixture
def other_case(ball_case):
    images = {m: Volume(v.array + 5, v.affine) for m, v in ball_case.images.items()}
    return Case("b", images, ball_case.labels)


def test_every_family_has_a_level_here():
    assert set(LEVELS) == set(FAMILIES)


@pytest.mark.parametrize("family", LEVELS)
def test_severity_zero_returns_the_very_case(family, ball_case, other_case, two_modality_task):
    level = read_level({"name": "s", "family": family, "severity": 0}, two_modality_task)
    assert level.zero
    parameters = parameters_for(ball_case, level, np.random.default_rng(0), donor=other_case)
    assert parameters.identity
    assert replayed(parameters) == parameters
    assert families.apply(ball_case, parameters, {}.__getitem__) is ball_case


@pytest.mark.parametrize("family", LEVELS)
def test_replay_from_json_gives_identical_voxels_of_that_modality_alone(family, ball_case, other_case):
    parameters = draw(ball_case, LEVELS[family], donor=other_case)
    again = replayed(parameters)
    assert again == parameters
    cases = {"b": other_case}
    first, second = (families.apply(ball_case, p, cases.__getitem__) for p in (parameters, again))
    for kind in ("images", "labels"):
        one, two, before = (getattr(c, kind) for c in (first, second, ball_case))
        assert one["MR"].array.tobytes() == two["MR"].array.tobytes()
        np.testing.assert_array_equal(one["MR"].affine, two["MR"].affine)
        assert one["CT"] is before["CT"]
        assert one["MR"].array.dtype == before["MR"].array.dtype
    assert first.images["MR"].array.tobytes() != ball_case.images["MR"].array.tobytes()
    assert first.images["MR"].grid.shape == first.labels["MR"].grid.shape
    np.testing.assert_array_equal(first.images["MR"].affine, first.labels["MR"].affine)


@pytest.mark.parametrize("family", LEVELS)
def test_mask_follows_its_image(family, ball_case, other_case):
    parameters = draw(ball_case, LEVELS[family], donor=other_case)
    changed = families.apply(ball_case, parameters, {"b": other_case}.__getitem__)
    inside = changed.images["MR"].array > -430  # half way between air and ball
    label = changed.labels["MR"].array > 0
    assert 2 * np.count_nonzero(inside & label) / (inside.sum() + label.sum()) > 0.93


@pytest.mark.parametrize("family", LEVELS)
def test_json_has_units_in_its_names(family, ball_case, other_case):
    values = families.to_json(draw(ball_case, LEVELS[family], donor=other_case))
    bare = {key for key in values if not key.endswith(("_mm", "_deg", "_fraction"))}
    assert bare <= UNITLESS
    assert values["family"] == family


@pytest.mark.parametrize("family", LEVELS)
def test_a_case_without_a_pair_is_left_as_it_is(family, ball_case):
    alone = Case("a", {"MR": ball_case.images["MR"]})
    assert draw(alone, LEVELS[family]).identity


@pytest.mark.parametrize(
    "values",
    [
        {"family": "shear", "severity": 1},
        {"family": "fov", "rms_mm": 3},
        {"family": "fov", "covered_fraction": 0},
        {"family": "fov", "covered_fraction": 1.2},
        {"family": "spacing", "covered_fraction": 0.5},
        {"family": "spacing", "slice_mm": 0},
        {"family": "spacing", "severity": 5},
        {"family": "subject", "swapped_fraction": 1.5},
        {"family": "subject", "rms_mm": 3},
        {"family": "elastic", "translation_mm": [1, 2, 3]},
        {"family": "elastic", "severity": 1, "knot_mm": 9},
        {"family": "respiratory", "severity": 1, "knot_mm": 20},
        {"rms_mm": 3, "knot_mm": 20},
        {"family": "composite"},
    ],
)
def test_unknown_families_and_wrong_combinations_are_config_errors(values, two_modality_task):
    with pytest.raises(ConfigError):
        read_level({"name": "s", **values}, two_modality_task)


def test_sizes_reach_the_field_of_their_family(two_modality_task):
    def level(**values):
        return read_level({"name": "s", **values}, two_modality_task)

    assert level(family="elastic", severity=2).target_rms_mm == 6.0
    assert level(family="composite", rms_mm=5, knot_mm=20) == replace(
        Level("s", "MR", 5.0, family="composite"), knot_mm=20.0
    )
    assert level(family="fov", severity=4).covered_fraction == 0.6
    assert level(family="spacing", severity=3).slice_factor == 3.0
    assert level(family="spacing", slice_mm=6).slice_mm == 6.0
    assert level(family="subject", severity=4).swapped_fraction == 1.0


def test_donors_are_a_derangement_and_depend_on_the_seed_alone():
    cases = [f"c{i}" for i in range(7)]
    for seed in range(20):
        pairs = donors(cases, LEVELS["subject"], seed)
        assert sorted(pairs) == sorted(pairs.values()) == cases
        assert all(case != donor for case, donor in pairs.items())
        assert donors(cases[::-1], LEVELS["subject"], seed) == pairs
    assert donors(cases, LEVELS["rigid"]) == {}
    assert donors(cases[:1], LEVELS["subject"]) == {}


@pytest.mark.parametrize(("fraction", "n"), [(0.0, 0), (0.05, 2), (0.2, 4), (1.0, 20)])
def test_share_of_the_cases_that_get_a_wrong_partner(fraction, n):
    level = replace(LEVELS["subject"], swapped_fraction=fraction)
    assert len(donors([f"c{i:02d}" for i in range(20)], level)) == n


def test_donors_hold_the_same_scans_and_labels():
    both, bare = ["CT", "MR"], []
    held = {f"l{i}": {"modalities": both, "labelled": both} for i in range(4)}
    held |= {f"u{i}": {"modalities": both, "labelled": bare} for i in range(3)}
    held |= {"alone": {"modalities": ["MR"], "labelled": ["MR"]}}
    for seed in range(10):
        pairs = draw_donors(np.random.default_rng(seed), held, moved="MR", target_fraction=1.0)
        assert len(pairs) == 7
        assert all(held[case] == held[donor] and case != donor for case, donor in pairs.items())


def test_a_donor_comes_to_the_place_of_the_one_it_replaces(ball_case, other_case):
    far = other_case.images["MR"].affine.copy()
    far[:3, 3] += [100.0, -30.0, 8.0]
    images = other_case.images | {"MR": Volume(other_case.images["MR"].array, far)}
    labels = other_case.labels | {"MR": Volume(other_case.labels["MR"].array, far)}
    donor = Case("b", images, labels)
    parameters = draw(ball_case, LEVELS["subject"], donor=donor)
    assert (parameters.donor, parameters.offset_mm) == ("b", pytest.approx((-100.0, 30.0, -8.0)))
    changed = families.apply(ball_case, parameters, {"b": donor}.__getitem__)
    np.testing.assert_array_equal(changed.images["MR"].array, images["MR"].array)
    np.testing.assert_allclose(changed.images["MR"].affine, ball_case.images["MR"].affine)
