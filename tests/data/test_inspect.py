"""`parallax check-data`: a whole download is read, and whatever a run could not use is named."""

import json

import nibabel as nib
import numpy as np
import pytest
from scan_trees import blocks, ramp
from typer.testing import CliRunner

from parallax.case import Volume
from parallax.cli import app
from parallax.data import layouts
from parallax.data.inspect import inspect_dataset, remarks, structure_rows
from parallax.data.volumes import write_volume
from parallax.errors import ConfigError
from parallax.plugin import load_dataset

AFFINE = np.diag([-2.0, 2.0, 3.0, 1.0])
SHAPE = (6, 5, 4)


@pytest.fixture
def amos(tmp_path):
    raw = np.zeros(SHAPE, np.int16)
    raw[1:3, 1:3, 1:3] = 6
    image = Volume(np.arange(raw.size, dtype=np.int16).reshape(SHAPE), AFFINE)
    for number in (1, 2, 507):
        layouts.write_scan(layouts.amos_files(tmp_path, number), image, Volume(raw, AFFINE))
    return tmp_path


def _inspect(root):
    return inspect_dataset(load_dataset("amos", {"root": root}))


def test_volumes_sizes_and_axes(amos):
    found = _inspect(amos)
    assert found.usable
    assert [scan.modality for scan in found.scans] == ["CT", "CT", "MR"]
    assert found.scans[0].volumes_ml == {"liver": pytest.approx(8 * 12 / 1000, abs=0.005)}
    assert found.repairs() == {"axes LAS are turned to RAS": 3}
    assert ("liver", "CT", "2 of 2", "0.1 / 0.1 / 0.1") in structure_rows(found.scans, ["liver"])


def test_float_labels_and_headers_that_disagree_are_named(amos):
    _, label = layouts.amos_files(amos, 1)
    image = nib.load(label)
    floats = nib.Nifti1Image(np.asarray(image.dataobj).astype(np.float64), AFFINE)
    other = AFFINE.copy()
    other[0, 3] = 5.0
    floats.set_sform(AFFINE, 1)
    floats.set_qform(other, 1)
    nib.save(floats, label)
    repairs = [repair.what for repair in _inspect(amos).scans[0].repairs]
    assert "label map: stored as floats, read as integers" in repairs
    assert "label map: sform and qform disagree, sform is used" in repairs


def test_small_disagreements_of_headers_are_named_and_used_as_the_image_says(amos):
    _, label = layouts.amos_files(amos, 1)
    affine = AFFINE.copy()
    affine[:3, 3] += 0.005  # within the tolerance of 0.01 mm
    nib.save(nib.Nifti1Image(np.asarray(nib.load(label).dataobj), affine), label)
    dataset = load_dataset("amos", {"root": amos})
    text = "image and label map headers differ within tolerance, the image's is used"
    assert text in [repair.what for repair in inspect_dataset(dataset).scans[0].repairs]
    case = dataset.read("amos_0001", amos)
    np.testing.assert_array_equal(case.labels["CT"].affine, case.images["CT"].affine)


def test_sheared_axes_and_a_lone_qform_are_named(amos):
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.5
    for number in (1, 2):
        for path in layouts.amos_files(amos, number):
            array = np.asarray(nib.load(path).dataobj)
            changed = nib.Nifti1Image(array, sheared if number == 1 else AFFINE)
            if number == 1:
                changed.set_qform(None, 0)
            else:
                changed.set_sform(None, 0)
                changed.set_qform(AFFINE, 1)
            nib.save(changed, path)
    found = _inspect(amos)
    assert "image: axes are not orthogonal" in [repair.what for repair in found.scans[0].repairs]
    assert "image: no sform, qform is used" in [repair.what for repair in found.scans[1].repairs]
    assert found.usable


def test_dropped_pieces_and_aliases_are_named_by_case(tmp_path):
    raw = blocks((421, 500))
    raw[5, 4, 3] = 500
    files = layouts.mmwhs_files(tmp_path, "CT", 1010)
    layouts.write_scan(files, Volume(raw, AFFINE), Volume(raw, AFFINE))
    lines = remarks(inspect_dataset(load_dataset("mmwhs", {"root": tmp_path})))
    assert "repair in 1 of 1 scans: label map: value 421 is read as 420" in lines
    assert "dropped, case ct_1010, CT: left_ventricle: 1 pieces, 1 voxels, 0.012 mL" in lines


def test_what_a_release_should_hold_is_a_warning_only(amos):
    found = _inspect(amos)
    assert "CT: 2 labelled scans found, the whole release has 300 (298 missing)" in found.warnings
    assert found.usable


def test_files_that_no_rule_matches_are_listed(amos):
    for name in ("imagesTr/case_7.nii.gz", "notes/extra.nii", "dataset.json", "._amos_0001.nii.gz"):
        (amos / name).parent.mkdir(exist_ok=True)
        (amos / name).write_text("x")
    found = _inspect(amos)
    assert found.unknown == ("imagesTr/case_7.nii.gz", "notes/extra.nii")
    assert "unknown file: notes/extra.nii" in remarks(found)


def test_a_label_map_of_background_alone_is_a_warning(amos):
    image, label = layouts.amos_files(amos, 2)
    layouts.write_scan((image, label), Volume(ramp(), AFFINE), Volume(blocks(()), AFFINE))
    found = _inspect(amos)
    assert found.usable
    assert "warning, case amos_0002, CT: the label map is all background" in remarks(found)


def test_a_label_map_on_flipped_axes_is_refused(amos):
    image, label = layouts.amos_files(amos, 2)
    layouts.write_scan(
        (image, label), Volume(ramp(), AFFINE), Volume(blocks([6]), np.diag([2.0, 2.0, 3.0, 1.0]))
    )
    found = _inspect(amos)
    assert not found.usable
    problem = found.scans[1].problem
    assert "case amos_0002, CT" in problem
    assert "Two volumes that must lie on one grid do not" in problem
    assert problem.index("axes LAS") < problem.index("axes RAS")  # expected, found


def test_an_unknown_label_value_is_refused_with_its_case(amos):
    _, label = layouts.amos_files(amos, 507)
    write_volume(Volume(blocks([6, 99]), AFFINE), label)
    found = _inspect(amos)
    assert not found.usable
    assert "case amos_0507, MR" in found.scans[2].problem
    assert "99 (4 voxels)" in found.scans[2].problem


def test_a_broken_image_that_no_run_reads_stops_nothing(amos):
    (amos / "imagesTs").mkdir()
    (amos / "imagesTs" / "amos_0003.nii.gz").write_text("no image")
    found = _inspect(amos)
    assert found.usable
    assert any(line.startswith("problem, case amos_0003, CT (read only with") for line in remarks(found))


def _broken(kind, path):
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "text":
        path.write_text("no image")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "garbled":
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
        path.write_bytes(bytes(content))
    else:
        shape = {"flat": (6, 5), "series": (*SHAPE, 2), "nan": SHAPE}[kind]
        values = np.full(shape, np.nan if kind == "nan" else 1.0, np.float32)
        nib.save(nib.Nifti1Image(values, AFFINE), path)


@pytest.mark.parametrize("which", ["image", "label map"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "cannot be read"),
        ("garbled", "cannot be read"),
        ("text", "cannot be read"),
        ("empty", "cannot be read"),
        ("flat", "not three-dimensional. .*Found: shape (6, 5)"),
        ("series", "not three-dimensional. .*Found: shape (6, 5, 4, 2)"),
        (
            "nan",
            {"image": "120 of 120 voxels are NaN", "label map": "120 of 120 voxels between two integers"},
        ),
    ],
)
def test_a_file_that_a_run_could_not_use_is_named(amos, which, kind, message):
    path = layouts.amos_files(amos, 2)[which == "label map"]
    _broken(kind, path)
    found = _inspect(amos)
    assert not found.usable
    problem = found.scans[1].problem
    for part in (message[which] if isinstance(message, dict) else message).split(".*"):
        assert part.strip() in problem
    assert problem.count("case amos_0002, CT") == 1
    assert str(path) in problem


def test_the_command_prints_tables_and_answers_with_its_status(amos):
    good = CliRunner().invoke(app, ["check-data", "amos", str(amos)])
    assert good.exit_code == 0
    assert "A run would work." in good.output
    _broken("text", layouts.amos_files(amos, 507)[0])
    bad = CliRunner().invoke(app, ["check-data", "amos", str(amos), "--json"])
    assert bad.exit_code == 1
    found = json.loads(bad.output)
    assert not found["usable"]
    assert list(found["scans"][0]) == [
        "case", "modality", "image", "label", "shape", "spacing_mm", "axes", "labelled", "values",
        "volumes_ml", "repairs", "warnings", "problem",
    ]  # fmt: skip
    assert found["scans"][0]["values"] == [6]


def test_a_protocol_decides_which_modalities_a_run_needs(tmp_path):
    (tmp_path / "CT" / "1" / "DICOM_anon").mkdir(parents=True)
    whole = CliRunner().invoke(app, ["check-data", "chaos", str(tmp_path)])
    assert whole.exit_code == 1
    assert "take another protocol (mr_organs, ct_liver, ct_t2_liver)" in whole.output
    wrong = CliRunner().invoke(app, ["check-data", "chaos", str(tmp_path), "--protocol", "five"])
    assert isinstance(wrong.exception, ConfigError)


def test_an_empty_folder_is_no_answer_but_no(tmp_path):
    result = CliRunner().invoke(app, ["check-data", "mmwhs", str(tmp_path)])
    assert result.exit_code == 1
    assert "No labelled scan of MM-WHS" in result.output


def test_a_phantom_is_no_download(tmp_path):
    result = CliRunner().invoke(app, ["check-data", "phantom_heart", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)


def test_real_amos_label_maps_are_read(real_data, tmp_path):
    folder = real_data / "noncommercial" / "amos-labels"
    floats = folder / "as-shipped-float64" / "amos_0002_MRI_gt.nii.gz"
    sources = {13: folder / "amos_0013.nii.gz", 502: floats}
    for number, source in sources.items():
        for path in layouts.amos_files(tmp_path, number):  # no image is at hand: the map stands for both
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(source)
    ct, mr = _inspect(tmp_path).scans
    assert not ct.problem + mr.problem
    assert 900 < ct.volumes_ml["liver"] < 2500
    assert mr.volumes_ml["right_kidney"] > 50
    assert "label map: stored as floats, read as integers" in [repair.what for repair in mr.repairs]
