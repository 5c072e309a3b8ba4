import json

import numpy as np
import pytest

from parallax.case import Case, Repair, Volume
from parallax.data import files, seal, store
from parallax.data.frame import to_common
from parallax.data.repairs import repair_line
from parallax.errors import DataError, GeometryError


@pytest.fixture
def part(tmp_path, ball_case, two_modality_task):
    """A train part of two cases; `b` has an MR alone, without a label map."""
    cases = [ball_case, Case("b", {"MR": ball_case.images["MR"]})]
    folder, frames = tmp_path / "train", {}
    for case in cases:
        common = to_common(case, two_modality_task)
        store.write_case(case, folder)
        store.write_arrays(common, case.id, folder, with_label=True)
        frames[case.id] = store.frame_entry(common, case)
    files.write_json(frames, folder / "frames.json")
    store.write_part(folder, two_modality_task, {c.id: store.contents(c) for c in cases}, crop=False)
    return folder


def test_a_case_is_read_as_it_was_written(part, ball_case, two_modality_task):
    read = store.read_part(part)
    assert read.task == two_modality_task
    case = store.read_case(read, "a")
    for name in ("CT", "MR"):
        np.testing.assert_array_equal(case.images[name].array, ball_case.images[name].array)
        np.testing.assert_array_equal(case.labels[name].array, ball_case.labels[name].array)
        np.testing.assert_allclose(case.images[name].affine, ball_case.images[name].affine, atol=1e-5)
    assert list(store.read_case(read, "b").images) == ["MR"]


def test_view_holds_no_mask_of_an_unlabelled_case_on_disk(part, tmp_path):
    store.write_train_view(part, [], ["a", "b"], tmp_path / "view")
    assert not list((tmp_path / "view").glob("*label*"))
    assert all(s.label is None for s in store.load_train_view(tmp_path / "view").unlabelled)


def test_view_gives_arrays_as_memory_maps_without_copying_them(part, tmp_path):
    store.write_train_view(part, ["a"], ["b"], tmp_path / "view")
    view = store.load_train_view(tmp_path / "view")
    sample = view.labelled[0]
    np.testing.assert_array_equal(sample.image, np.load(part / "arrays" / "a.image.npy"))
    np.testing.assert_array_equal(sample.label, np.load(part / "arrays" / "a.label.npy"))
    assert isinstance(sample.image, np.memmap)
    assert (tmp_path / "view" / "a.image.npy").stat().st_nlink == 2
    assert view.unlabelled[0].available == (False, True)
    assert view.unlabelled[0].grid.shape == view.unlabelled[0].image.shape[1:]


@pytest.mark.parametrize(("labelled", "unlabelled"), [(["b"], ["a"]), (["a"], ["c"])])
def test_view_refuses_cases_without_mask_or_unknown(part, tmp_path, labelled, unlabelled):
    with pytest.raises(DataError, match="label subset"):
        store.write_train_view(part, labelled, unlabelled, tmp_path / "view")
    assert not (tmp_path / "view").exists()


def test_truth_is_given_only_when_asked_for(part, ball_case):
    without, with_truth = (list(store.load_test_views(part, with_truth=flag)) for flag in (False, True))
    assert [v.sample.case for v in without] == ["a", "b"]
    assert all(v.truth is None and v.sample.label is None for v in without)
    np.testing.assert_array_equal(with_truth[0].truth["MR"].array, ball_case.labels["MR"].array)
    assert without[0].native["MR"].shape == ball_case.images["MR"].array.shape


def test_grid_survives_json_to_the_last_bit(ball_case):
    grid = ball_case.images["MR"].grid
    back = store.grid_from_json(json.loads(json.dumps(store.grid_to_json(grid))))
    assert back.shape == grid.shape
    np.testing.assert_array_equal(back.affine, grid.affine)


def test_a_failed_block_leaves_the_old_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(FileNotFoundError), seal.fresh_folder(tmp_path / "out") as folder:
        (folder / "half" / "none").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "old"]
    with seal.fresh_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".seal", "new"]


def test_case_with_foreign_label_or_grid_is_refused(ball_case, two_modality_task):
    label = ball_case.labels["CT"]
    foreign = Volume(label.array * 2, label.affine)
    with pytest.raises(DataError, match="Found: 4"):
        store.check_case(Case("a", ball_case.images, {"CT": foreign}), two_modality_task)
    with pytest.raises(GeometryError, match="case a, CT"):
        store.check_case(Case("a", ball_case.images, {"CT": ball_case.labels["MR"]}), two_modality_task)


def test_a_log_line_names_every_repair_of_a_case_with_its_details():
    dropped = Repair("MR", "label map: pieces dropped", "aorta: 2 pieces")
    case = Case("a", {}, repairs=(Repair("CT", "axes LAS are turned to RAS"), dropped))
    text = "a: CT: axes LAS are turned to RAS; MR: label map: pieces dropped (aorta: 2 pieces)"
    assert repair_line(case) == text
    assert repair_line(Case("b", {})) == "b: nothing repaired"


def test_a_case_without_a_modality_is_as_if_it_had_never_been_taken(part, ball_case, two_modality_task):
    assert store.modality_subsets(part) == [("CT",), ("MR",)]
    for index, name in enumerate(("CT", "MR")):
        (view,) = store.load_reduced_views(part, (name,), with_truth=True)  # `b` has nothing to leave out
        alone = to_common(Case("a", {name: ball_case.images[name]}), two_modality_task)
        assert view.sample.available == alone.available
        assert sum(view.sample.available) == 1
        assert not view.sample.image[1 - index].any()
        np.testing.assert_allclose(view.sample.image, alone.image, atol=1e-3)
        np.testing.assert_allclose(view.sample.grid.affine, alone.grid.affine, atol=1e-4)
        assert list(view.native) == list(view.truth) == [name]
    (view,) = store.load_reduced_views(part, ("MR",))
    full = next(iter(store.load_test_views(part)))
    assert view.sample.grid.shape != full.sample.grid.shape  # the frame of the CT would tell where it lay
    assert view.truth is None
