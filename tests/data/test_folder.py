import numpy as np
import pytest

from parallax.case import Volume
from parallax.data.frame import to_common
from parallax.data.volumes import write_volume
from parallax.errors import ConfigError, DataError, GeometryError
from parallax.plugin import load_dataset, plugin_root

MANIFESTS = plugin_root() / "config" / "manifests"
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def write_case(root, name, values=(0, 1, 4), shift_mm=0.0, shape=(6, 6, 6)):
    label = np.resize(np.array(values, np.int16), shape)
    affine = AFFINE.copy()
    affine[0, 3] = shift_mm
    write_volume(
        Volume(np.arange(label.size, dtype=np.int16).reshape(shape), AFFINE), root / f"{name}.nii.gz"
    )
    write_volume(Volume(label, affine), root / f"{name}_l.nii.gz")


def options(folder, **changed):
    return {
        "root": str(folder),
        "manifest": "m.csv",
        "modalities": {"CT": {"kind": "ct"}},
        "classes": {"b": 4, "a": {"values": [1, 2]}},
        "spacing_mm": [1, 1, 1],
    } | changed


@pytest.fixture
def root(tmp_path):
    write_case(tmp_path, "a")
    write_case(tmp_path, "b")
    text = "case,CT,CT_label\na,a.nii.gz,a_l.nii.gz\nb,b.nii.gz,b_l.nii.gz\nc,a.nii.gz,\n"
    (tmp_path / "m.csv").write_text(text)
    return tmp_path


def test_raw_values_become_ids_in_the_order_of_their_values(root):
    dataset = load_dataset("folder", options(root))
    dataset.check()
    assert dataset.task.classes == {"a": 1, "b": 2}
    assert dataset.case_ids() == ["a", "b", "c"]
    assert dataset.unlabelled_ids() == ["c"]
    assert np.unique(dataset.read("a", root).labels["CT"].array).tolist() == [0, 1, 2]


def test_values_to_ignore_become_background_and_others_are_refused(root):
    write_case(root, "b", values=(0, 1, 4, 9))
    with pytest.raises(DataError, match=r"line 3, case b.*9 \(54 voxels\)"):
        load_dataset("folder", options(root)).check()
    dataset = load_dataset("folder", options(root, ignore_values=[9]))
    dataset.check()
    assert np.unique(dataset.read("b", root).labels["CT"].array).tolist() == [0, 1, 2]


def test_absent_file_and_shifted_grid_name_the_row(root):
    write_case(root, "b", shift_mm=0.5)
    with pytest.raises(GeometryError, match="line 3, case b"):
        load_dataset("folder", options(root)).check()
    (root / "b_l.nii.gz").unlink()
    with pytest.raises(DataError, match=r"case b.*no such file"):
        load_dataset("folder", options(root)).check()


@pytest.mark.parametrize(
    "changed",
    [
        {"colour": 1},
        {"root": "/nowhere"},
        {"modalities": {"CT": {"kind": "pet"}}},
        {"modalities": {"C_T": {"kind": "ct"}}},
        {"modalities": {"CT": {"kind": "ct", "window_hu": [5, 5]}}},
        {"classes": {"a": 1, "b": 1}},
        {"classes": {"a": 0}},
        {"classes": {"a": "1"}},
        {"classes": {}},
        {"pairing": "twins"},
        {"spacing_mm": [1, 1]},
        {"spacing_mm": [1, 0, 1]},
        {"manifest": "none.csv"},
    ],
)
def test_options_that_make_no_sense_are_config_errors(root, changed):
    with pytest.raises(ConfigError):
        _use(load_dataset("folder", options(root, **changed)))


def _use(dataset):
    return dataset.task, dataset.case_ids()


def test_nnunet_folder_needs_no_manifest_modalities_or_classes(tmp_path):
    text = '{"channel_names": {"0": "CT", "1": "T1"}, "labels": {"background": 0, "x": 1, "y": [2, 4]}}'
    (tmp_path / "dataset.json").write_text(text)
    write_case(tmp_path, "a")
    for source, target in (("a", "imagesTr/a_0000"), ("a", "imagesTr/a_0001"), ("a_l", "labelsTr/a")):
        (tmp_path / target).parent.mkdir(exist_ok=True)
        (tmp_path / f"{target}.nii.gz").write_bytes((tmp_path / f"{source}.nii.gz").read_bytes())
    dataset = load_dataset("folder", {"root": str(tmp_path), "spacing_mm": [1, 1, 1]})
    dataset.check()
    assert [(m.name, m.kind) for m in dataset.task.modalities] == [("CT", "ct"), ("T1", "mr")]
    assert dataset.task.classes == {"x": 1, "y": 2}
    assert set(dataset.read("a", tmp_path).labels) == {"CT", "T1"}


def real(real_data, folder, manifest, kinds, classes, spacing):
    given = {
        "root": str(real_data / folder),
        "manifest": str(MANIFESTS / manifest),
        "modalities": {name: {"kind": "mr"} for name in kinds},
        "classes": classes,
        "spacing_mm": spacing,
    }
    return load_dataset("folder", given)


def test_brats_images_and_labels_differ_in_codes_only(real_data):
    classes = {"whole_tumour": {"values": [1, 2, 3, 4]}}
    dataset = real(
        real_data, "noncommercial/brats2015", "brats2015.csv", ["FLAIR", "T1c"], classes, [6, 6, 6]
    )
    case = dataset.read("brats_2013_pat0005_1", real_data)
    assert case.images["FLAIR"].array.shape == (240, 240, 155)
    assert np.unique(case.labels["T1c"].array).tolist() == [0, 1]
    common = to_common(case, dataset.task, crop=True)
    tumour_ml = np.count_nonzero(case.labels["FLAIR"].array) / 1000
    assert np.count_nonzero(common.label[0]) * 0.216 == pytest.approx(tumour_ml, rel=0.05)


def test_spine_has_one_mask_per_contrast(real_data):
    contrasts = ["T1w", "T2w", "T2star"]
    dataset = real(
        real_data, "permissive/spine-multicontrast", "spine.csv", contrasts, {"cord": 1}, [1, 1, 1]
    )
    dataset.check()
    case = dataset.read("sub-unf01", real_data)
    assert list(case.labels) == contrasts
    assert all(100 < np.count_nonzero(v.array) < 5000 for v in case.labels.values())


def test_left_atrium_list_fits_the_80_scans(real_data):
    root = "noncommercial/la2018-half"
    dataset = real(real_data, root, "la2018.csv", ["LGE"], {"left_atrium": 1}, [1.25] * 3)
    assert len(dataset.case_ids()) == 80
    case = dataset.read(dataset.case_ids()[0], real_data)
    common = to_common(case, dataset.task)
    np.testing.assert_array_equal(common.label[0], case.labels["LGE"].array)


def test_scans_of_one_patient_are_told_by_a_column(root):
    text = "case,patient,CT,CT_label\na,p1,a.nii.gz,a_l.nii.gz\nb,p1,b.nii.gz,b_l.nii.gz\nc,,a.nii.gz,\n"
    (root / "m.csv").write_text(text)
    assert load_dataset("folder", options(root)).patients() == {"a": "p1", "b": "p1"}
