"""Every real file beside the checkout is read by the adapter or reader that suits it; none is forgotten."""

import csv
from fnmatch import fnmatch

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from parallax.data.layouts import amos_values, mmwhs_values
from parallax.data.reading import Loaded, Rules, finish_scan, header_notes, keep_largest
from parallax.data.volumes import load_volume, read_grid, read_label_map, read_volume
from parallax.plugin import load_dataset, plugin_root

LIVER_HU = 140  # of CHAOS CT set 3 under its mask; 35 where slices and masks run against each other


def _rows(real_data):
    with (real_data / "MANIFEST.csv").open(newline="", encoding="utf-8") as handle:
        return {row["path"]: row for row in csv.DictReader(handle)}


def _same_header(grid, row):
    axes = "".join(nib.aff2axcodes(grid.affine))
    assert ("x".join(map(str, grid.shape)), axes) == (row["shape"], row["orientation"])
    assert grid.spacing_mm == pytest.approx([float(s) for s in row["spacing_mm"].split("x")], abs=1e-3)


def _image(path, row):
    volume = read_volume(path)
    _same_header(volume.grid, row)
    low, high = (float(text) for text in row["values"].removeprefix("range ").split(".."))
    assert volume.array.min() == pytest.approx(low, rel=1e-4)
    assert volume.array.max() == pytest.approx(high, rel=1e-4)


def _label(path, row, table=None):
    values = [int(text) for text in row["values"].split()]
    volume = read_label_map(path, table or values)
    _same_header(volume.grid, row)
    held = np.zeros(256, bool)
    for slab in volume.array.T:  # as it lies in memory
        held[slab] = True
    assert np.flatnonzero(held).tolist() == values


def _amos(path, row):
    names = amos_values().structures
    _label(path, row, amos_values().to_ids(names))


def _heart(path, row):
    _label(path, row)
    assert header_notes(path) == (("no sform, qform is used", ""),)
    assert len(mmwhs_values().structures) == 7  # the seven of MM-WHS, numbered 1 to 7 by its authors


def _header(path, row):
    _same_header(read_grid(path), row)


def _picture(path, row):
    with Image.open(path) as image:
        assert "x".join(map(str, np.asarray(image).shape)) == row["shape"]


def _text(path, row):
    assert path.read_text(encoding="utf-8").strip()


def _elsewhere(path, row):
    """Read in a test of its own, below."""


READERS = (
    ("*/amos-labels/*.nii.gz", _amos),
    ("*/amos-png-slices/*.png", _picture),
    ("*/brats2015/*/OTMultiClass.nii.gz", _label),
    ("*/brats2015/*/brainmask.nii.gz", _label),
    ("*/brats2015/*/*_subtrMeanDivStd.nii.gz", _image),
    ("*/la2018-half/*_image.nii.gz", _header),
    ("*/la2018-half/*_label.nii.gz", _elsewhere),
    ("*/heart-template/*.nii.gz", _heart),
    ("*/orbit-t1/*.nii.gz", _image),
    ("*/spine-multicontrast/*_seg-manual.nii.gz", _label),
    ("*/spine-multicontrast/*.nii.gz", _image),
    ("*/totalsegmentator/*pseudo-labels*.nii.gz", _label),
    ("*/totalsegmentator/*.nii.gz", _image),
    ("*/chaos-ct/*.nii.gz", _elsewhere),
    ("*/chaos-ct-mini/*", _elsewhere),
    ("*/msd-spleen2/*_seg-manual.nii.gz", _label),
    ("*/msd-spleen2/*_ct.nii.gz", _image),
    ("*/LICENSE", _text),
    ("*/License*.txt", _text),
    ("*.csv", _text),
    ("README.md", _text),
)


def _reader(path):
    return next((read for pattern, read in READERS if fnmatch(path, pattern)), None)


def test_every_file_has_a_reader_and_is_read(real_data):
    rows = _rows(real_data)
    lying = {p.relative_to(real_data).as_posix() for p in real_data.rglob("*") if p.is_file()}
    assert [path for path in sorted(lying | set(rows)) if _reader(path) is None] == []
    for path, row in rows.items():
        _reader(path)(real_data / path, row)


def test_cmc_masks_in_their_layout_are_unpaired_scans(real_data, tmp_path):
    for mask in sorted((real_data / "noncommercial" / "amos-labels").glob("*_gt.nii.gz")):
        name = mask.name.replace("_gt", "")  # no image is at hand: the mask stands for it
        for link in (f"images/{name}", f"masks/{mask.name}"):
            (tmp_path / "train_data" / link).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "train_data" / link).symlink_to(mask)
    dataset = load_dataset("amos", {"root": tmp_path, "protocol": "organs13"})
    assert sorted(dataset.strata().values()) == ["CT"] * 4 + ["MR"] * 4
    label = dataset.read("amos_00050_MRI", tmp_path).labels["MR"]
    assert np.unique(label.array).tolist() == [0, *range(2, 14)]  # this patient has no spleen


def test_all_left_atria_are_checked_and_two_are_read(real_data):
    options = {
        "root": str(real_data / "noncommercial" / "la2018-half"),
        "manifest": str(plugin_root() / "config" / "manifests" / "la2018.csv"),
        "modalities": {"LGE": {"kind": "mr"}},
        "classes": {"left_atrium": 1},
        "spacing_mm": [1.25, 1.25, 1.25],
    }
    dataset = load_dataset("folder", options)
    dataset.check()
    assert set(dataset.inputs()) >= set((real_data / "noncommercial/la2018-half").glob("*.nii.gz"))
    for case_id in dataset.case_ids()[:2]:
        case = dataset.read(case_id, real_data)
        atrium_ml = np.count_nonzero(case.labels["LGE"].array) * 1.25**3 / 1000
        assert 19 <= atrium_ml <= 135
        assert case.repairs == ()


@pytest.fixture(scope="module")
def liver(real_data):
    """Image and liver mask of the whole scan, as NIfTI."""
    folder = real_data / "sharealike" / "chaos-ct"
    files = [folder / f"chaos_ct3_256{end}.nii.gz" for end in ("", "_liver")]
    image, label = (Loaded(path, load_volume(path), header_notes(path)) for path in files)
    return finish_scan("CT", image, label, Rules({1: 1}))


def test_liver_hu_tell_whether_masks_go_with_their_slices(liver):
    mask = liver.label.array == 1
    assert liver.image.array[mask].mean() == pytest.approx(LIVER_HU, abs=5)
    assert liver.image.array[mask[:, :, ::-1]].mean() == pytest.approx(35, abs=5)
    kept, dropped = keep_largest(liver.label, {1: "liver"})
    assert np.count_nonzero(kept.array) > 0.99 * np.count_nonzero(mask)
    assert all(text.startswith("liver: ") for text in dropped)


def test_slices_and_pngs_agree_with_the_whole_scan(real_data, liver):
    root = real_data / "sharealike" / "chaos-ct-mini"
    dataset = load_dataset("chaos", {"root": root, "protocol": "ct_liver"})
    dataset.check()
    inside = {path for path in root.rglob("*") if path.is_file() and path.suffix in (".dcm", ".png")}
    assert set(dataset.inputs()) == inside
    case = dataset.read("ct_3", real_data)
    image, label = case.images["CT"], case.labels["CT"]
    assert image.array[label.array == 1].mean() == pytest.approx(LIVER_HU, abs=5)
    to_whole = np.linalg.inv(liver.image.affine) @ image.affine
    for k in (0, 5, 9):  # slices fall, those of the NIfTI rise; it was averaged over 2 x 2 pixels
        z = int(np.rint((to_whole @ [0, 0, k, 1])[2]))
        mean = image.array[:, :, k].reshape(256, 2, 256, 2).mean(axis=(1, 3))
        assert np.abs(mean - liver.image.array[:, :, z]).max() <= 1
        share = (label.array[:, :, k] == 1).reshape(256, 2, 256, 2).mean(axis=(1, 3))
        np.testing.assert_array_equal(liver.label.array[:, :, z][share == 1], 1)
        np.testing.assert_array_equal(liver.label.array[:, :, z][share == 0], 0)
