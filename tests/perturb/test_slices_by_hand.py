"""Fields of view, thicker slices and wrong partners of cases small enough to be worked out on paper."""

import numpy as np
import pytest
from small_cases import case_of, grid_of

from parallax.errors import ConfigError
from parallax.perturb import fov, spacing, subject


def test_a_window_is_drawn_over_all_places_and_moves_the_origin():
    label = np.zeros((2, 2, 10), np.uint8)
    label[0, 0, [1, 4, 5, 8]] = 1
    case = case_of(grid_of(label.shape, (1.0, 1.0, 2.5), first_mm=(1.0, 2.0, 3.0)), label)
    drawn = [fov.draw(np.random.default_rng(s), case, moved="MR", target_fraction=0.8) for s in range(20)]
    assert {d.first for d in drawn} == {0, 1, 2}
    one = next(d for d in drawn if d.first == 1)
    assert (one.axis, one.count, one.target_fraction, one.covered_fraction, one.covered_mm) == (
        2,
        8,
        0.8,
        0.8,
        20.0,
    )
    assert one.structures_fraction == 1.0
    assert next(d for d in drawn if d.first == 2).structures_fraction == 0.75
    cut = fov.apply(case, one)
    assert cut.images["MR"].array.shape == (2, 2, 8)
    assert cut.labels["MR"].affine[:3, 3].tolist() == [1.0, 2.0, 5.5]
    assert cut.images["CT"] is case.images["CT"]
    assert cut.id == "a"
    assert fov.draw(np.random.default_rng(0), case, moved="MR", target_fraction=1.0).identity
    assert fov.draw(np.random.default_rng(0), case, moved="MR", target_fraction=0.001).count == 1
    with pytest.raises(ConfigError, match=r"above 0 and up to 1.*found: 1\.2|above 0 and up to 1"):
        fov.draw(np.random.default_rng(0), case, moved="MR", target_fraction=1.2)


def test_a_window_follows_the_axis_that_runs_upwards():
    upwards = np.array([[0, 1.0, 0], [0, 0, 1.0], [-1.0, 0, 0]])
    case = case_of(grid_of((10, 3, 4), (2.0, 1.0, 1.0), upwards))
    one = fov.draw(np.random.default_rng(1), case, moved="MR", target_fraction=0.5)
    assert (one.axis, one.count, one.covered_mm) == (0, 5, 10.0)
    cut = fov.apply(case, one).images["MR"]
    assert cut.array.shape == (5, 3, 4)
    assert cut.affine[:3, 3].tolist() == [0.0, 0.0, -2.0 * one.first]


def test_slices_half_as_thick_again_weigh_what_they_cover():
    """Five slices of 2 mm become three of 3 mm; half a millimetre is left out at both ends."""
    grid = grid_of((1, 1, 5), (1.0, 1.0, 2.0), first_mm=(0.0, 0.0, 10.0))
    image = np.array([0.0, 6.0, 12.0, 3.0, 9.0], np.float32).reshape(grid.shape)
    label = np.array([1, 2, 2, 0, 1], np.uint8).reshape(grid.shape)
    case = case_of(grid, label, image)
    found = spacing.draw(np.random.default_rng(0), case, moved="MR", factor=1.5)
    assert (found.axis, found.count, found.native_slice_mm, found.target_slice_mm, found.slice_mm) == (
        2,
        3,
        2,
        3,
        3,
    )
    thick = spacing.apply(case, found)
    wanted = [3.0, (0.25 * 6 + 12 + 0.25 * 3) / 1.5, 6.0]
    assert thick.images["MR"].array.ravel().tolist() == pytest.approx(wanted)
    assert thick.labels["MR"].array.ravel().tolist() == [1, 2, 0]  # a tie goes to the smaller id
    # the first new slice covers 0.5 to 3.5 mm above the lower face of the first old one, at 9 mm
    np.testing.assert_allclose(thick.images["MR"].affine[:3, 3], [0.0, 0.0, 11.0])
    np.testing.assert_allclose(thick.images["MR"].affine[:3, 2], [0.0, 0.0, 3.0])
    assert (thick.images["CT"], thick.id) == (case.images["CT"], "a")


def test_slices_thicker_than_the_scan_are_one_and_a_bit_thicker_are_none():
    case = case_of(grid_of((2, 2, 4), (1.0, 1.0, 2.0)))
    one = spacing.draw(np.random.default_rng(0), case, moved="MR", slice_mm=20.0)
    assert (one.count, one.slice_mm, one.target_slice_mm) == (1, 8.0, 20.0)
    assert spacing.apply(case, one).images["MR"].array.shape == (2, 2, 1)
    assert spacing.draw(np.random.default_rng(0), case, moved="MR", slice_mm=2.002).identity
    assert not spacing.draw(np.random.default_rng(0), case, moved="MR", slice_mm=2.003).identity
    assert spacing.draw(np.random.default_rng(0), case, moved="MR").identity
    assert spacing.draw(np.random.default_rng(0), case, moved="MR", factor=2.0).count == 2
    with pytest.raises(ConfigError, match=r"0\.9, 0 mm"):
        spacing.draw(np.random.default_rng(0), case, moved="MR", factor=0.9)


def test_a_donor_is_put_where_the_middle_of_the_replaced_scan_was():
    own = case_of(grid_of((5, 5, 5), (2.0, 2.0, 2.0), first_mm=(1.0, 0.0, 0.0)))
    label = np.zeros((3, 7, 5), np.uint8)
    other = case_of(grid_of((3, 7, 5), (1.0, 1.0, 1.0)), label)
    found = subject.draw(own, other, moved="MR", target_fraction=0.2, swapped_fraction=0.25)
    assert (found.donor, found.offset_mm) == ("a", (1 + 4.0 - 1.0, 4.0 - 3.0, 4.0 - 2.0))
    assert (found.moved, found.target_fraction, found.swapped_fraction) == ("MR", 0.2, 0.25)
    taken = subject.apply(own, found, {"a": other}.__getitem__)
    assert taken.images["MR"].array is other.images["MR"].array
    assert taken.labels["MR"].array is label
    assert taken.images["MR"].affine[:3, 3].tolist() == [4.0, 1.0, 2.0]
    assert taken.images["CT"] is own.images["CT"]
    bare = subject.apply(other, subject.SubjectParameters("MR", "b"), {"b": own}.__getitem__)
    assert dict(bare.labels) == {}
    assert subject.apply(own, subject.none("MR"), {}.__getitem__) is own


def held(modalities, labelled=("MR",)):
    return {"modalities": list(modalities), "labelled": list(labelled)}


def donors(cases, fraction=1.0, seed=0):
    return subject.draw_donors(np.random.default_rng(seed), cases, moved="MR", target_fraction=fraction)


def test_only_cases_with_both_modalities_swap_and_two_are_enough():
    pair = {"a": held(("CT", "MR")), "b": held(("CT", "MR"))}
    assert donors(pair) == donors(pair, 0.1) == {"a": "b", "b": "a"}
    assert donors({"a": pair["a"]}) == donors(pair, 0.0) == {}
    others = {"c": held(("MR",)), "d": held(("MR",)), "e": held(("CT", "PET")), "f": held(("CT", "PET"))}
    assert donors(pair | others) == {"a": "b", "b": "a"}


def test_the_largest_group_of_equal_cases_swaps_first_and_each_gives_to_the_next():
    cases = {f"l{i}": held(("CT", "MR")) for i in range(5)} | {
        f"u{i}": held(("CT", "MR"), ()) for i in range(2)
    }
    for seed in range(6):
        some = donors(cases, 3 / 7, seed)
        assert len(some) == 3
        assert all(name[0] == giver[0] == "l" for name, giver in some.items())
        everyone = donors(cases, 1.0, seed)
        assert sorted(everyone) == sorted(everyone.values()) == sorted(cases)
        assert all(name != giver and name[0] == giver[0] for name, giver in everyone.items())
    order = [sorted(cases)[i] for i in np.random.default_rng(0).permutation(7)]
    ring = [name for name in order if name[0] == "l"]
    whole_ring = donors(cases)
    assert [whole_ring[name] for name in ring] == [*ring[1:], ring[0]]
