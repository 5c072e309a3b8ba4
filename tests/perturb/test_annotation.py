"""What annotators leave out is drawn once, replayed from JSON, and tells nothing of what was left out."""

import json

import numpy as np
import pytest
from balls import three_balls
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from toy import toy_task

from parallax.case import IGNORE
from parallax.data import files, store
from parallax.data.frame import CommonCase
from parallax.errors import DataError
from parallax.perturb.annotate import (
    AnnotationParameters,
    apply,
    check_dice,
    draw,
    draw_cases,
    mean_dice,
    realised_dice,
)
from parallax.perturb.annotation import Annotation, annotation_notes
from parallax.perturb.view import write_annotated_view

TASK = toy_task(2, 4)
SPACING = (2.0, 2.0, 2.0)
TRUTH = three_balls(0.5)
KINDS = {
    "one_modality": {"modalities": ["M0"]},
    "skipped": {"drop": {"structures": ["ball2"], "as": "background"}},
    "unknown": {"drop": {"structures": 2, "as": "unknown"}},
    "slices": {"coarse": {"as": "slices", "every": 4}},
    "blocks": {"coarse": {"as": "blocks", "dice": 0.9}},
    "noisy": {"noisy": {"sigma_mm": 1.5}, "drop": {"structures": ["ball3"], "as": "unknown"}},
}


def labels():
    return np.stack([TRUTH, TRUTH])


def annotation(**values):
    return Annotation.model_validate(values)


def drawn(spec, seed=0):
    return draw(np.random.default_rng(seed), labels(), annotation(**spec), TASK, SPACING)


@pytest.mark.parametrize("kind", KINDS)
def test_replay_from_json_gives_the_same_voxels(kind):
    parameters = drawn(KINDS[kind])
    again = AnnotationParameters.from_json(json.loads(json.dumps(parameters.to_json())))
    assert again == parameters == drawn(KINDS[kind])
    left = apply(labels(), parameters, TASK, SPACING)
    np.testing.assert_array_equal(left, apply(labels(), again, TASK, SPACING))
    assert (left != labels()).any()


@pytest.mark.parametrize(
    "spec", [{}, {"noisy": {"sigma_mm": 0}}, {"noisy": {"dice": 1}}, {"coarse": {"as": "blocks", "every": 1}}]
)
def test_nothing_left_out_is_the_identity(spec):
    np.testing.assert_array_equal(apply(labels(), drawn(spec), TASK, SPACING), labels())


def test_a_modality_without_labels_is_unknown_throughout():
    left = apply(labels(), drawn(KINDS["one_modality"]), TASK, SPACING)
    assert (left[1] == IGNORE).all()
    np.testing.assert_array_equal(left[0], labels()[0])


def test_a_skipped_structure_is_background_or_makes_background_unknown():
    naive = apply(labels(), drawn(KINDS["skipped"]), TASK, SPACING)
    assert (naive[labels() == 2] == 0).all()
    honest = apply(labels(), drawn({"drop": {"structures": ["ball2"], "as": "unknown"}}), TASK, SPACING)
    np.testing.assert_array_equal(honest == IGNORE, naive == 0)
    assert set(np.unique(honest)) == {1, 3, IGNORE}


@settings(max_examples=20)
@given(seed=st.integers(0, 100))
def test_the_unknown_region_does_not_tell_where_the_dropped_structure_lies(seed):
    rng = np.random.default_rng(seed)
    parameters = AnnotationParameters(("M0", "M1"), dropped=("ball2",), unknown=True)
    truth = labels()
    truth[truth == 2] = 0
    moved = truth.copy()
    moved[(truth == 0) & (rng.random(truth.shape) < 0.1)] = 2  # another truth, equal in what is kept
    first, second = (apply(t, parameters, TASK, SPACING) for t in (truth, moved))
    np.testing.assert_array_equal(first, second)


def test_a_share_of_the_cases_loses_structures_and_the_same_ones_in_every_subset():
    spec = annotation(drop={"structures": 1, "of_cases": 0.5})
    readers = {f"c{i}": labels for i in range(8)}
    spacings = dict.fromkeys(readers, SPACING)

    def of(cases):
        chosen = {case: readers[case] for case in cases}
        return draw_cases(chosen, spec, TASK, spacings, lambda c: np.random.default_rng([*c.encode()]))

    every, few = of(readers), of(list(readers)[:4])
    assert sum(bool(p.dropped) for p in every.values()) == 4
    assert sum(bool(p.dropped) for p in few.values()) == 2
    assert len({p.dropped for p in every.values()} - {()}) > 1  # drawn per case
    both = [case for case in few if few[case].dropped and every[case].dropped]
    assert all(few[case] == every[case] for case in both)


def test_realised_dice_is_that_of_the_maps_and_an_unreachable_one_is_refused():
    parameters = drawn({"noisy": {"dice": 0.9}})
    found = realised_dice(labels(), parameters, TASK, SPACING)
    assert mean_dice([found]) == pytest.approx(0.9, abs=0.02)
    left = apply(labels(), parameters, TASK, SPACING)[0]
    a, b = TRUTH == 2, left == 2
    assert found["M0"]["ball2"] == 2 * (a & b).sum() / (a.sum() + b.sum())
    assert (left != apply(labels(), parameters, TASK, SPACING)[1]).any()  # each modality errs on its own
    wanted = annotation(noisy={"dice": 0.9})
    check_dice(wanted, 0.91, "here")
    with pytest.raises(DataError, match=r"0\.9 within 0\.02.*Found: 0\.950 at the closest"):
        check_dice(wanted, 0.95, "here")


@pytest.mark.parametrize(
    "spec",
    [
        {"coarse": {"as": "slices"}},
        {"coarse": {"as": "slices", "every": 2, "dice": 0.8}},
        {"coarse": {"as": "blocks", "every": 2, "between": "interpolate"}},
        {"noisy": {"sigma_mm": 1}, "coarse": {"as": "blocks", "every": 2}},
        {"noisy": {"sigma_mm": -1}},
        {"drop": {"structures": ["a"], "of_cases": 0}},
        {"modalities": []},
    ],
)
def test_contradictions_are_refused(spec):
    with pytest.raises(ValidationError):
        annotation(**spec)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"modalities": ["PET"]}, "no modality PET"),
        ({"modalities": ["M1", "M0"]}, "no other modality"),
        ({"drop": {"structures": ["liver"]}}, "no structure liver"),
        ({"drop": {"structures": ["ball1", "ball2", "ball3"]}}, "without a structure"),
        ({"drop": {"structures": 3}}, "no 3 structures"),
        ({"drop": {"structures": 2}}, ""),
    ],
)
def test_an_annotation_says_why_it_does_not_fit_a_task(spec, reason):
    assert reason in annotation(**spec).unfit(TASK)
    assert bool(reason) == bool(annotation(**spec).unfit(TASK))


def test_every_used_annotation_is_told_in_one_sentence():
    config = {"annotations": KINDS, "conditions": [{"annotation": ["full", "skipped", "blocks"]}]}
    assert annotation_notes(config) == [
        "Annotation blocks: coarse masks (Dice 0.9 to the truth).",
        "Annotation skipped: ball2 missing from 100 % of the labelled cases (background there is called "
        "background).",
    ]


@pytest.fixture
def part(tmp_path):
    """A train part: `a` and `b` with both modalities, `c` with M1 alone, `d` without any label."""
    held, frames, folder = {}, {}, tmp_path / "train"
    for case, modalities in (("a", [0, 1]), ("b", [0, 1]), ("c", [1]), ("d", [0, 1])):
        label = np.full((2, *TRUTH.shape), IGNORE, dtype=np.uint8)
        label[modalities] = TRUTH
        grid = store.grid_from_json(
            {"shape": label.shape[1:], "affine": np.diag([2.0, 2.0, 2.0, 1.0]).tolist()}
        )
        common = CommonCase(np.zeros(label.shape, np.float32), label, (True, True), grid)
        store.write_arrays(common, case, folder, with_label=case != "d")
        names = [TASK.modality_names[k] for k in modalities]
        held[case] = {"modalities": names, "labelled": names if case != "d" else []}
        frames[case] = {"common": store.grid_to_json(grid), "native": {}}
    files.write_json(frames, folder / "frames.json")
    store.write_part(folder, TASK, held, crop=False)
    return folder


SUBSET = {"labelled": ["a", "b", "c"], "unlabelled": ["d"]}


def test_a_view_holds_what_is_left_and_says_what_was_drawn(part, tmp_path):
    before = {path: path.read_bytes() for path in part.rglob("*") if path.is_file()}
    write_annotated_view(part, SUBSET, "m0", annotation(**KINDS["one_modality"]), 3, tmp_path / "view")
    view = store.load_train_view(tmp_path / "view")
    assert [s.case for s in view.labelled] == ["a", "b"]
    assert [s.case for s in view.unlabelled] == ["d", "c"]  # nothing of `c` is labelled any more
    assert not (tmp_path / "view" / "c.label.npy").exists()
    assert (view.labelled[0].label[1] == IGNORE).all()
    notes = files.read_json(tmp_path / "view" / "annotations.json")
    assert (notes["name"], notes["left_without_labels"], notes["mean_dice"]) == ("m0", ["c"], 1.0)
    assert before == {path: path.read_bytes() for path in part.rglob("*") if path.is_file()}


def test_a_view_can_be_drawn_again_from_its_notes(part, tmp_path):
    spec = annotation(noisy={"dice": 0.9}, drop={"structures": 1, "of_cases": 0.7, "as": "unknown"})
    for name in ("one", "two"):
        write_annotated_view(part, SUBSET, "mixed", spec, 3, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in files)
    notes = files.read_json(tmp_path / "one" / "annotations.json")
    assert notes["mean_dice"] == pytest.approx(0.9, abs=0.02)
    for case, entry in notes["cases"].items():
        truth = np.load(part / "arrays" / f"{case}.label.npy")
        parameters = AnnotationParameters.from_json(entry["parameters"])
        written = np.load(tmp_path / "one" / f"{case}.label.npy")
        np.testing.assert_array_equal(written, apply(truth, parameters, TASK, SPACING))
    assert sum(bool(entry["parameters"]["dropped"]) for entry in notes["cases"].values()) == 2


def test_what_cannot_be_had_is_an_error_and_leaves_nothing(part, tmp_path):
    with pytest.raises(DataError, match="cannot be made to agree"):
        write_annotated_view(part, SUBSET, "x", annotation(noisy={"dice": 0.01}), 0, tmp_path / "view")
    only_c = {"labelled": ["c"], "unlabelled": []}
    with pytest.raises(DataError, match="no label at all"):
        write_annotated_view(part, only_c, "x", annotation(modalities=["M0"]), 0, tmp_path / "view")
    assert not (tmp_path / "view").exists()
