import json

import pytest

from parallax.data.manifest import find_manifest, nnunet_classes, read_manifest
from parallax.errors import ConfigError, DataError


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def test_csv_with_optional_images_and_labels(tmp_path):
    text = "case,CT,MR,CT_label,MR_label\na,a_ct.nii,a_mr.nii,a_ctl.nii,\nb,,b_mr.nii,,b_mrl.nii\n"
    a, b = read_manifest(tmp_path, write(tmp_path / "m.csv", text), ["CT", "MR"])
    assert a.images == {"CT": tmp_path / "a_ct.nii", "MR": tmp_path / "a_mr.nii"}
    assert a.labels == {"CT": tmp_path / "a_ctl.nii"}
    assert b.images == {"MR": tmp_path / "b_mr.nii"}
    assert b.labels == {"MR": tmp_path / "b_mrl.nii"}
    assert b.where.endswith("m.csv, line 3")


def test_csv_with_a_shared_label(tmp_path):
    path = write(tmp_path / "m.csv", "case,T1,T2,label\na,1.nii,2.nii,l.nii\n")
    assert read_manifest(tmp_path, path, ["T1", "T2"])[0].labels == dict.fromkeys(
        ("T1", "T2"), tmp_path / "l.nii"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,CT,PET\na,1.nii,2.nii\n", "columns case, CT, PET"),
        ("name,CT\na,1.nii\n", "columns name, CT"),
        ("case,CT\n", "at least one case"),
        ("case,CT\na,1.nii\na,2.nii\n", "a again.*|line 3"),
        ("case,CT\na,\n", "case a without any"),
        ("case,CT\na/b,1.nii\n", "a/b"),
        ("case,CT\na__b,1.nii\n", "a__b"),
        ("case,CT\na,1.nii,extra\n", "another number of cells"),
        ("case,CT,CT_label\na,,l.nii\n", "label map of CT alone"),
    ],
)
def test_malformed_csv_names_the_place(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_manifest(tmp_path, write(tmp_path / "m.csv", text), ["CT"])
    assert "m.csv" in caught.value.where


@pytest.mark.parametrize("key", ["channel_names", "modality"])
def test_nnunet_raw_folder(tmp_path, key):
    write(tmp_path / "dataset.json", {key: {"0": "CT", "1": "MR"}, "labels": {"background": 0, "x": 1}})
    for name in ("a_0000", "a_0001", "b_c_0000", "ignored"):
        write(tmp_path / "imagesTr" / f"{name}.nii.gz", "")
    write(tmp_path / "labelsTr" / "a.nii.gz", "")
    a, b = read_manifest(tmp_path, None, ["CT", "MR"])
    assert list(a.images) == ["CT", "MR"]
    assert a.labels["MR"] == tmp_path / "labelsTr" / "a.nii.gz"
    assert (b.case, list(b.images), b.labels) == ("b_c", ["CT"], {})
    with pytest.raises(DataError, match="no channel PET"):
        read_manifest(tmp_path, None, ["PET"])


def test_monai_datalist(tmp_path):
    items = [
        {"image": ["x/a_0000.nii.gz", "x/a_0001.nii.gz"], "label": "a.nii.gz"},
        {"image": ["b.nii.gz", None], "label": ["bl.nii.gz", None], "id": "second"},
        {"image": ["c.nii.gz", "c2.nii.gz"]},
    ]
    path = write(
        tmp_path / "list.json", {"training": items[:2], "validation": items[2:], "testing": ["t.nii"]}
    )
    a, b, c = read_manifest(tmp_path, path, ["T1", "T2"])
    assert (a.case, a.labels["T1"], a.labels["T2"]) == ("a", tmp_path / "a.nii.gz", tmp_path / "a.nii.gz")
    assert (b.case, list(b.images), list(b.labels)) == ("second", ["T1"], ["T1"])
    assert (c.case, c.labels) == ("c", {})


def test_a_decathlon_folder_is_a_datalist_called_dataset_json(tmp_path):
    items = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    write(
        tmp_path / "dataset.json", {"modality": {"0": "CT"}, "labels": {"0": "background"}, "training": items}
    )
    (row,) = read_manifest(tmp_path, None, ["CT"])
    assert (row.case, row.images["CT"]) == ("a", tmp_path / "imagesTr" / "a.nii.gz")


def test_classes_of_both_versions_of_nnunet():
    assert nnunet_classes({"labels": {"background": 0, "liver": 1}}, "x") == {"liver": 1}
    assert nnunet_classes({"labels": {"0": "background", "1": "liver"}}, "x") == {"liver": 1}
    with pytest.raises(DataError, match="ignore"):
        nnunet_classes({"labels": {"background": 0, "liver": 1, "ignore": 2}}, "x")


def test_malformed_datalist_names_the_item(tmp_path):
    path = write(tmp_path / "list.json", {"training": [{"image": "a.nii"}]})
    with pytest.raises(DataError, match=r"training\[0\]"):
        read_manifest(tmp_path, path, ["T1", "T2"])
    with pytest.raises(DataError, match="key training"):
        read_manifest(tmp_path, write(tmp_path / "list.json", []), ["T1"])


def test_manifest_is_looked_up_in_root_then_here(tmp_path, monkeypatch):
    write(tmp_path / "here" / "m.csv", "")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "root").mkdir()
    assert find_manifest(tmp_path / "root", "m.csv").resolve() == tmp_path / "here" / "m.csv"
    write(tmp_path / "root" / "m.csv", "")
    assert find_manifest(tmp_path / "root", "m.csv") == tmp_path / "root" / "m.csv"
    assert find_manifest(tmp_path / "root", None) is None
    with pytest.raises(ConfigError, match=r"none\.csv"):
        find_manifest(tmp_path / "root", "none.csv")
