"""Images made from label maps: the labels are kept, the body round them is where a body must be."""

import json

import numpy as np
import pytest

from parallax.case import Volume
from parallax.data.layouts import amos_values, reorder_axes
from parallax.data.volumes import read_volume, write_volume
from parallax.errors import ConfigError, DataError
from parallax.phantom.from_labels import Structure, labels_subject, structure_tissues
from parallax.phantom.label_shapes import LabelMap, label_shapes, sample_shapes
from parallax.plugin import load_dataset

SPACING = (5.0, 5.0, 6.0)
# Centre and semi-axes in mm from the middle between the kidneys (AMOS, data of the abdomen phantom).
ORGANS = {
    "spleen": ((-86, 5, 55), (26, 40, 50)),
    "right_kidney": ((58, -1, -3), (24, 28, 50)),
    "left_kidney": ((-58, 1, 4), (24, 28, 50)),
    "liver": ((61, 43, 62), (66, 62, 60)),
    "stomach": ((-43, 61, 56), (34, 30, 50)),
    "aorta": ((-10, 31, 20), (11, 11, 150)),
}


def _organs():
    shape = (78, 62, 48)
    x, y, z = np.meshgrid(
        *((np.arange(n) - (n - 1) / 2) * s + c for n, s, c in zip(shape, SPACING, (0, 20, 30), strict=True)),
        indexing="ij",
    )
    ids = np.zeros(shape, np.uint8)
    for name, (centre, semi) in ORGANS.items():
        u, v, w = ((p - c) / s for p, c, s in zip((x, y, z), centre, semi, strict=True))
        ids[u**2 + v**2 + w**2 < 1] = amos_values().structures[name]
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-300.0, 40.0, 1200.0)
    return reorder_axes(Volume(ids, affine), "LAS")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("labels")
    for name in ("p1", "p2"):
        write_volume(_organs(), root / f"{name}.nii.gz")
    return root


@pytest.fixture(scope="module")
def staged(tree, tmp_path_factory):
    dataset = load_dataset("phantom_from_labels", {"root": tree, "spacing_mm": [6, 6, 8]})
    folder = tmp_path_factory.mktemp("staged")
    dataset.check()
    dataset.stage(dataset.case_ids(), folder)
    return dataset, folder


def _bytes(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_cases_bytes_and_seeds(staged, tree, tmp_path):
    dataset, folder = staged
    assert dataset.case_ids() == ["p1", "p2"]
    dataset.stage(["p2"], tmp_path / "one")
    alone = _bytes(tmp_path / "one")
    assert alone == {k: v for k, v in _bytes(folder).items() if "p2" in k}
    assert len(alone) == 4
    other = load_dataset("phantom_from_labels", {"root": tree, "spacing_mm": [6, 6, 8], "seed": 5})
    other.stage(["p2"], tmp_path / "other")
    changed = _bytes(tmp_path / "other")
    assert changed["labels/p2.nii.gz"] == alone["labels/p2.nii.gz"]
    assert changed["CT/p2.nii.gz"] != alone["CT/p2.nii.gz"]


def test_cases_of_one_anatomy_differ_in_what_is_drawn(staged):
    dataset, folder = staged
    first, second = (dataset.read(case, folder) for case in dataset.case_ids())
    assert np.array_equal(first.labels["CT"].array, second.labels["MR"].array)
    assert not np.array_equal(first.images["CT"].array, second.images["CT"].array)


def test_resampled_organs_keep_place_and_volume(staged):
    dataset, folder = staged
    truth, case = reorder_axes(_organs(), "RAS"), dataset.read("p1", folder)
    label = case.labels["CT"]
    for name, value in dataset.task.classes.items():
        want = np.argwhere(truth.array == value)
        if name in ORGANS and name != "aorta":  # the aorta leaves the field of view
            got = np.argwhere(label.array == value)
            volume = len(got) * np.prod(label.spacing_mm), len(want) * np.prod(SPACING)
            assert volume[0] == pytest.approx(volume[1], rel=0.08)
            centres = [
                (at @ v.affine[:3, :3].T + v.affine[:3, 3]).mean(0) for at, v in ((want, truth), (got, label))
            ]
            assert np.allclose(*centres, atol=1.5)


@pytest.mark.parametrize("crop", [False, True])
def test_native_label_maps_are_kept_voxel_by_voxel(tree, tmp_path, crop):
    dataset = load_dataset("phantom_from_labels", {"root": tree, "native": True, "crop": crop})
    dataset.stage(["p1"], tmp_path)
    want, got = reorder_axes(_organs(), "RAS"), read_volume(tmp_path / "labels" / "p1.nii.gz")
    start = np.rint(np.linalg.inv(want.affine) @ got.affine[:, 3])[:3].astype(int)
    cut = tuple(slice(i, i + n) for i, n in zip(start, got.array.shape, strict=True))
    assert np.array_equal(want.array[cut], got.array)
    assert (got.array.shape == want.array.shape) is not crop
    assert np.allclose(got.affine, want.affine) is not crop
    short = want.array * (want.array != 8)
    assert np.count_nonzero(short[cut]) == np.count_nonzero(short)


def test_a_body_lies_round_the_organs(staged):
    dataset, folder = staged
    case = dataset.read("p1", folder)
    ct, label, s = case.images["CT"].array, case.labels["CT"].array, case.images["CT"].spacing_mm

    def middle(name):
        return np.argwhere(label == dataset.task.classes[name]).mean(0)

    def hu(point, mm=(0, 0, 0), reach=1):
        at = np.rint(np.asarray(point) + np.divide(mm, s)).astype(int)
        return ct[tuple(slice(i - reach, i + reach + 1) for i in at)].mean()

    aorta = middle("aorta")
    phase = json.loads((folder / "draws" / "p1.json").read_text())["phase"]
    assert phase in ("plain", "arterial", "portal")
    assert 30 < hu(middle("liver")) < 150
    assert hu(aorta, (10, -29, 0)) > 120  # vertebra
    top = [middle("liver")[0], middle("liver")[1], np.argwhere(label == 6)[:, 2].max()]
    assert hu(top, (30, 0, 18)) < -600  # lung
    assert ct[0, -1].max() < -850  # air in the corners
    body = ct > -300
    assert 0.3 < body.mean() < 0.8
    assert not np.any(label[~body.any(axis=(1, 2))])
    mr = case.images["MR"].array
    assert mr[label == 2].mean() > 3 * mr[ct < -850].mean()


def test_other_values_are_tied_to_tissues(tree, tmp_path):
    values = {v: {"structure": f"s{v}", "tissue": "gas" if v == 6 else "muscle"} for v in (1, 2, 3, 6, 7, 8)}
    dataset = load_dataset(
        "phantom_from_labels", {"root": tree, "values": values, "spacing_mm": [9, 9, 9], "structures": ["s6"]}
    )
    dataset.stage(["p1"], tmp_path)
    case = dataset.read("p1", tmp_path)
    assert dict(dataset.task.classes) == {"s6": 1}
    assert set(np.unique(case.labels["CT"].array)) == {0, 1}
    assert case.images["CT"].array[case.labels["CT"].array == 1].mean() < -700


def test_distances_between_thick_slices_are_interpolated():
    ids = np.zeros((9, 9, 6), np.uint8)
    ids[2:7, 2:7, :3] = 1
    ids[4, 4, 3] = 1
    label = LabelMap(ids, (1.0, 1.0, 5.0))
    same, _ = sample_shapes(label_shapes(label), label.axes_mm)
    assert np.array_equal(same, ids)
    between = (*label.axes_mm[:2], label.axes_mm[2][2:4].mean(keepdims=True))
    middle, depth = sample_shapes(label_shapes(label), between)
    assert 1 < np.count_nonzero(middle) < 25
    assert depth[4, 4, 0] > 0


def test_label_map_of_organs_without_landmarks():
    ids = np.zeros((30, 30, 12), np.uint8)
    ids[12:18, 14:20, 4:8] = 1
    label = Volume(ids, np.diag([9.0, 9.0, 12.0, 1.0]))
    made = labels_subject(label, {1: Structure("pancreas", "pancreas")}, 0, "x", (9, 9, 12), crop=False)
    assert np.array_equal(made.label, ids)
    assert made.images["CT"].min() < -900


@pytest.mark.parametrize(
    "options",
    [
        {"rot": 1}, {"seed": -1}, {"spacing_mm": [1, 2]}, {"native": 1}, {"values": {1: "spleeen"}},
        {"values": {0: "spleen"}}, {"values": {1: "liver", 2: "liver"}}, {"values": {1: {"tissue": "fat"}}},
        {"values": {1: {"structure": "a", "tissue": "stone"}}},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_options_are_refused(tree, options):
    with pytest.raises(ConfigError, match=str(next(iter(options)))):
        load_dataset("phantom_from_labels", {"root": tree, **options}).task  # noqa: B018


def test_missing_root_is_refused(tmp_path):
    for options in ({}, {"root": tmp_path / "none"}):
        with pytest.raises(ConfigError, match="root"):
            load_dataset("phantom_from_labels", options)
    with pytest.raises(DataError, match="No label map"):
        load_dataset("phantom_from_labels", {"root": tmp_path}).case_ids()


def test_bad_label_maps_are_named_before_a_run(tmp_path):
    volume = _organs()
    write_volume(Volume(np.zeros_like(volume.array), volume.affine), tmp_path / "empty.nii.gz")
    with pytest.raises(DataError, match=r"empty\.nii\.gz"):
        load_dataset("phantom_from_labels", {"root": tmp_path}).check()
    write_volume(Volume(volume.array * 3, volume.affine), tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="does not know"):
        load_dataset("phantom_from_labels", {"root": tmp_path, "pattern": "a.*"}).check()
    large = np.zeros((260, 260, 180), np.uint8)
    large[0, 0, 0] = 1
    write_volume(Volume(large, volume.affine), tmp_path / "large.nii.gz")
    with pytest.raises(DataError, match="too large"):
        load_dataset("phantom_from_labels", {"root": tmp_path, "pattern": "l*", "native": True}).check()


def test_a_real_label_map(real_data, tmp_path):
    options = {
        "root": real_data / "noncommercial" / "amos-labels", "pattern": "amos_0002_MRI*",
        "spacing_mm": [5, 5, 6],
    }  # fmt: skip
    dataset = load_dataset("phantom_from_labels", options)
    case_id = dataset.case_ids()[0]
    dataset.stage([case_id], tmp_path)
    case = dataset.read(case_id, tmp_path)
    label, ct = case.labels["CT"], case.images["CT"].array
    volumes = {n: np.count_nonzero(label.array == i) * 0.15 for n, i in dataset.task.classes.items()}
    assert volumes["spleen"] == pytest.approx(133, rel=0.05)  # ml, of the file
    assert set(structure_tissues()) == set(volumes)
    liver = ct[label.array == dataset.task.classes["liver"]]
    assert 35 < np.median(liver) < 150
    assert (ct < -900).mean() < 0.6
