"""Label maps that annotators leave, and modalities left out, in examples worked out on paper."""

import math

import numpy as np
import pytest
import torch
from toy import toy_task

from parallax.case import IGNORE
from parallax.data.splits import split_rng
from parallax.errors import ConfigError, DataError
from parallax.learn.availability import any_size, any_subset, drop_modalities, subsets, where_available
from parallax.perturb import annotate, masks
from parallax.perturb.annotation import Annotation
from parallax.perturb.labels import draw_order, label_subsets, labels_name, n_labelled, subset

CUBE_MM = (1.0, 1.0, 1.0)


def line(*values):
    """A label map with these values along the third axis."""
    return np.array(values, np.uint8).reshape(1, 1, -1)


def test_a_boundary_lies_half_a_voxel_from_the_centres():
    mask = line(0, 0, 1, 1, 1, 0).astype(bool)
    found = masks.signed_distance_mm(mask, (2.0, 3.0, 2.0))
    assert found.dtype == np.float32
    assert found.ravel().tolist() == [3.0, 1.0, -1.0, -3.0, -1.0, 1.0]
    oblong = masks.signed_distance_mm(mask, (2.0, 3.0, 5.0))  # half of the shortest side, so 1 mm
    assert oblong.ravel().tolist() == [9.0, 4.0, -4.0, -9.0, -4.0, 4.0]
    for value, wanted in ((True, -np.inf), (False, np.inf)):
        flat = masks.signed_distance_mm(np.full((1, 2, 3), value), CUBE_MM)
        assert (flat == wanted).all()
        assert (flat.shape, flat.dtype) == ((1, 2, 3), np.float32)


def test_dice_of_structures_that_the_truth_shows():
    found = masks.dice_by_structure(line(1, 1, 2, 2, 0), line(1, 2, 2, 3, 3), {"a": 1, "b": 2, "c": 3})
    assert found == {"a": 2 / 3, "b": 2 / 4}


def test_the_size_at_which_a_dice_is_reached():
    assert masks.scaled(lambda s: 1 - s / 10, 0.5, 0.0, 10.0) == pytest.approx(5.0, abs=1e-3)
    assert masks.scaled(lambda s: 1 - (s - 1) / 31, 0.25, 1.0, 32.0) == pytest.approx(24.25, abs=2e-3)
    assert masks.scaled(lambda s: 1 - s / 100, 0.5, 0.0, 10.0) == 10.0
    assert masks.scaled(lambda s: 0.9, 1.0, 1.0, 32.0) == 1.0
    assert masks.scaled(lambda s: 1.0, 1.0, 1.0, 32.0) == 1.0  # of equal ones the least
    sizes = []
    masks.scaled(lambda s: sizes.append(s) or 1.0, 0.5, 2.0, 12.0)
    assert (len(sizes), sizes[0], sizes[-1]) == (12, pytest.approx(2.1), pytest.approx(12.0))
    assert np.diff(np.log(np.array(sizes) - 2)) == pytest.approx([math.log(100) / 11] * 11)


def test_held_slices_are_the_nearest_known_ones():
    label = line(1, 2, 3, 4, 5, 6, 7, 8)
    assert masks.slices(label, CUBE_MM, 0.0, "hold")(3.0).ravel().tolist() == [1, 1, 4, 4, 4, 7, 7, 7]
    # phase 0.4: slices 1, 4 and 7
    assert masks.slices(label, CUBE_MM, 0.4, "hold")(3.0).ravel().tolist() == [2, 2, 2, 5, 5, 5, 8, 8]
    assert masks.slices(label, CUBE_MM, 0.9, "hold")(20.0).ravel().tolist() == [8] * 8
    assert masks.slices(label, CUBE_MM, 0.0, "hold")(1.0).tolist() == label.tolist()


def test_slices_in_between_go_from_one_width_to_another():
    """A bar from 2 to 6 voxels wide over four steps: its ends move by half a voxel a step."""
    label = np.zeros((14, 1, 5), np.uint8)
    label[6:8, 0, 0] = label[4:10, 0, 4] = 3
    label[:, 0, 1:4] = 1  # what is not annotated has no say
    mixed = masks.slices(label, CUBE_MM, 0.0, "interpolate")(4.0)
    assert mixed[:, 0, 0].tolist() == label[:, 0, 0].tolist()
    assert mixed[:, 0, 4].tolist() == label[:, 0, 4].tolist()
    assert np.argwhere(mixed[:, 0, 2]).ravel().tolist() == [5, 6, 7, 8]
    assert set(mixed.ravel()) == {0, 3}


def test_a_structure_that_one_slice_lacks_ends_half_way():
    """Over 4 slices of 1 mm a bar 4 mm wide: SDF -0.5 to 4 at its edge, so it is gone at the fourth part."""
    label = np.zeros((12, 1, 5), np.uint8)
    label[4:8, 0, 0] = 2
    mixed = masks.slices(label, CUBE_MM, 0.0, "interpolate")(4.0)
    # SDF to the bar -1.5, to background 1.5 in the middle; from there to 4 and -4 by quarters
    assert [int((mixed[:, 0, z] == 2).sum()) for z in range(5)] == [4, 2, 0, 0, 0]
    empty = np.zeros_like(label)
    assert not masks.slices(empty, CUBE_MM, 0.0, "interpolate")(4.0).any()


def test_blocks_take_the_majority_and_the_least_id_on_a_tie():
    label = line(1, 1, 2, 2, 2, 1, 3, 0, 0)
    assert masks.blocks(label, (0.0, 0.0, 0.0))(3.0).ravel().tolist() == [1, 1, 1, 2, 2, 2, 0, 0, 0]
    # half a block of four comes first: 2, 4 and 3 voxels
    assert masks.blocks(label, (0.0, 0.0, 0.5))(4.0).ravel().tolist() == [1, 1, 2, 2, 2, 2, 0, 0, 0]
    assert masks.blocks(line(2, 1), (0.0,) * 3)(2.0).ravel().tolist() == [1, 1]
    assert not masks.blocks(line(0, 0), (0.0,) * 3)(2.0).any()


def test_blocks_and_noise_leave_what_is_far_away():
    label = np.zeros((90, 3, 2), np.uint8)
    label[40:44] = 1
    for redraw in (masks.blocks(label, (0.0,) * 3), masks.noisy(label, CUBE_MM, (0, 1))):
        left = redraw(4.0)
        assert left is not label
        assert left.shape == label.shape
        assert not left[:8].any()
        assert not left[-8:].any()
    seeds = [masks.noisy(label, CUBE_MM, (s, 1))(4.0) for s in (0, 0, 1)]
    assert (seeds[0] == seeds[1]).all()
    assert (seeds[0] != seeds[2]).any()


def test_names_and_numbers_of_label_subsets():
    assert [labels_name(f, d) for f, d in ((1.0, 0), (0.1, 2), (0.05, 1), (0.025, 0))] == [
        "f100-d0", "f010-d2", "f005-d1", "f002p5-d0",
    ]  # fmt: skip
    assert [n_labelled(f, 10) for f in (0.04, 0.05, 0.25, 1.0)] == [0, 1, 3, 10]
    assert subset(("c", "a", "b"), 0.5) == ("c", "a")
    assert subset(("c", "a"), 1) == ("c", "a")
    with pytest.raises(ConfigError) as caught:
        subset(("c", "a"), 0.2)
    for part in ("label fraction 0.2 of 2 cases", "found: 0 cases", "larger fraction", "(0, 1]"):
        assert part in str(caught.value).replace("Found", "found")


def test_an_order_is_the_permutation_of_the_sorted_names():
    names = ["d", "b", "a", "c"]
    order = np.random.default_rng(3).permutation(4)
    assert draw_order(np.random.default_rng(3), names) == tuple("abcd"[i] for i in order)
    strata = {"a": "CT", "b": "CT", "c": "CT", "d": "MR"}
    found = draw_order(np.random.default_rng(3), names, strata)
    # places 1/6, 3/6 and 5/6 of three CT, and 1/2 of one MR, which shares its place with the second CT
    assert found[0] != "d"
    assert found[3] != "d"
    assert draw_order(np.random.default_rng(3), names, {}) == draw_order(np.random.default_rng(3), names)


def test_all_scans_of_a_patient_are_labelled_together():
    names = [f"c{i}" for i in range(10)]
    index = {
        "cases": names,
        "without_labels": ["c7"],
        "patients": {c: f"p{i // 2}" for i, c in enumerate(names)},
        "strata": {c: "MR" if i % 2 else "CT" for i, c in enumerate(names)},
    }
    split, found = label_subsets(index, {"seed": 4, "train": 8, "test": 2}, (0.5, 1.0), 2)
    for (fraction, _), parts in found.items():
        assert "c7" not in parts["labelled"]
        assert sorted(parts["labelled"] + parts["unlabelled"]) == sorted(split["train"])
        assert parts["labelled"] == sorted(parts["labelled"])
        if fraction == 1.0:
            assert parts["unlabelled"] == [c for c in split["train"] if c == "c7"]
        else:
            patients = {index["patients"][c] for c in parts["labelled"]}
            wanted = [c for c in split["train"] if index["patients"][c] in patients and c != "c7"]
            assert (len(patients), parts["labelled"]) == (2, sorted(wanted))


def test_labels_are_drawn_by_seed_and_in_the_shares_of_the_strata():
    names = [f"c{i:02d}" for i in range(20)]
    index = {"cases": names, "strata": {c: "MR" if i % 2 else "CT" for i, c in enumerate(names)}}
    sizes = {"train": 16, "test": 4}

    def drawn(**spec):
        _, found = label_subsets(index, {**sizes, **spec}, (0.25,), 6)
        return [tuple(parts["labelled"]) for parts in found.values()]

    for cases in drawn(seed=7):
        assert sorted(index["strata"][c] for c in cases) == ["CT", "CT", "MR", "MR"]
    assert len(set(drawn(seed=7))) > 3
    assert drawn(seed=0) == drawn()
    split, found = label_subsets(index, {**sizes, "seed": 7}, (0.25,), 6)
    for (fraction, draw), parts in found.items():
        order = draw_order(split_rng(7, draw), split["train"], index["strata"])
        assert parts["labelled"] == sorted(subset(order, fraction))


def test_the_mean_dice_is_over_cases_of_means():
    found = [{"CT": {"a": 1.0, "b": 0.5}, "MR": {"a": 0.0}}, {"CT": {"a": 0.9}}, {}]
    assert annotate.mean_dice(found) == pytest.approx((0.5 + 0.9) / 2)
    assert annotate.mean_dice([{}]) == 1.0
    wanted = Annotation.model_validate({"coarse": {"as": "blocks", "dice": 0.9}})
    annotate.check_dice(wanted, 0.881, "here")
    annotate.check_dice(Annotation(), 0.1, "here")
    with pytest.raises(DataError) as caught:
        annotate.check_dice(wanted, 0.87, "here")
    for part in ("here", "0.9 within 0.02", "0.870 at the closest", "ask for another dice"):
        assert part in str(caught.value)


def test_dropped_structures_become_background_or_unknown_and_other_modalities_vanish():
    task = toy_task(2, 4)
    label = np.stack([line(0, 1, 2, 3), line(0, 3, 3, 1)])
    names = {value: name for name, value in task.classes.items()}
    both = annotate.AnnotationParameters(
        modalities=task.modality_names[1:], dropped=(names[3],), unknown=True
    )
    left = annotate.apply(label, both, task, CUBE_MM)
    assert left[0].ravel().tolist() == [IGNORE] * 4
    assert left[1].ravel().tolist() == [IGNORE, IGNORE, IGNORE, 1]
    plain = annotate.AnnotationParameters(modalities=task.modality_names, dropped=(names[3],))
    assert annotate.apply(label, plain, task, CUBE_MM)[0].ravel().tolist() == [0, 1, 2, 0]
    dice = annotate.realised_dice(label, plain, task, CUBE_MM)
    assert dice == {
        task.modality_names[0]: {names[1]: 1.0, names[2]: 1.0},
        task.modality_names[1]: {names[1]: 1.0},
    }


def test_what_lies_between_annotated_slices_is_held_or_interpolated():
    task = toy_task(1, 2)
    label = np.zeros((14, 1, 5), np.uint8)
    label[6:8, 0, 0] = label[4:10, 0, 4] = 1
    for change, between in (("slices", "hold"), ("interpolated", "interpolate")):
        every = annotate.AnnotationParameters(task.modality_names, change=change, size=4.0)
        left = annotate.apply(label[None], every, task, CUBE_MM)[0]
        np.testing.assert_array_equal(left, masks.slices(label, CUBE_MM, 0.0, between)(4.0))


def test_subsets_of_modalities_come_small_ones_first():
    assert subsets(2) == [[True, False], [False, True], [True, True]]
    assert [sum(s) for s in subsets(3)] == [1, 1, 1, 2, 2, 2, 3]
    assert subsets(3)[3] == [True, True, False]


def test_a_modality_that_is_absent_is_zero_and_never_read():
    inputs = [torch.tensor([[1.0], [math.nan], [3.0]]), torch.full((3, 1), math.nan), torch.ones(3, 1)]
    available = torch.tensor([[True, False, True], [False, False, True], [True, False, True]])
    read = []

    def twice(k, tensors):
        read.append((k, tensors[0].flatten().tolist()))
        return [2 * tensors[0], tensors[0] + k]

    found = where_available(inputs, available, twice)
    assert read == [(0, [1.0, 3.0]), (2, [1.0, 1.0, 1.0])]
    assert [t.flatten().tolist() for t in found[0]] == [[2.0, 0.0, 6.0], [1.0, 0.0, 3.0]]
    assert [t.flatten().tolist() for t in found[1]] == [[0.0] * 3] * 2
    assert [t.flatten().tolist() for t in found[2]] == [[2.0] * 3, [3.0] * 3]
    pairs = where_available([[inputs[0], inputs[0]]], available[:, :1], lambda k, t: [t[0] + t[1]])
    assert pairs[0][0].flatten().tolist() == [2.0, 0.0, 6.0]


@pytest.mark.parametrize("sampler", [drop_modalities, any_subset, any_size])
def test_what_is_left_out_is_drawn_from_the_generator_alone(sampler):
    available = torch.ones(50, 4, dtype=torch.bool)
    torch.manual_seed(0)
    first = sampler(available, torch.Generator().manual_seed(3))
    torch.manual_seed(1)
    assert torch.equal(sampler(available, torch.Generator().manual_seed(3)), first)
    assert not torch.equal(sampler(available, torch.Generator().manual_seed(4)), first)


def test_of_one_available_modality_one_is_kept():
    alone = torch.tensor([[False, True, False]]).repeat(64, 1)
    for sampler in (drop_modalities, any_size):
        assert torch.equal(sampler(alone, torch.Generator().manual_seed(0)), alone)
