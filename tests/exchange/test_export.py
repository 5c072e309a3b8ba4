"""What is exported is read with the tool that it is for."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from tidy_run import write_run

from parallax.data.volumes import read_label_map
from parallax.exchange.crate import export_crate
from parallax.exchange.finished import ExportError, read_finished
from parallax.exchange.predictions import export_predictions
from parallax.exchange.training_data import export_data

MANIFEST = {
    "run": "toy",
    "commit": "0123abc",
    "scans": {},
    "machine": {"cores": 2, "processor": "a processor"},
    "config": {
        "run": "toy",
        "title": "Two balls",
        "notes": ["A note."],
        "datasets": {"toy": {"options": {"cases": 2, "seed": 1}}},
    },
}


@pytest.fixture
def run(tmp_path, two_modality_task):
    """A finished run: two cases to train on, the same to test on; MR is moved."""
    folder = write_run(tmp_path / "results" / "toy", two_modality_task)
    level = folder / "data" / "toy" / "shifted"
    shutil.copytree(level / "test", level / "train")
    (folder / "tables").mkdir()
    (folder / "tables" / "main.csv").write_text("method\n")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return read_finished(folder)


def make_alike(run):
    """Give MR the grid and the label maps of CT: channels of one dataset."""
    for path in run.folder.glob("data/toy/shifted/*/*/*__CT.nii.gz"):
        shutil.copyfile(path, path.with_name(path.name.replace("__CT", "__MR")))


@pytest.mark.parametrize("alike", [True, False])
def test_nnunet_reads_the_data(run, tmp_path, alike):
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    if alike:
        make_alike(run)
    names = export_data(run, tmp_path / "out")
    assert names == (
        ["Dataset001_toy_shifted_CT_MR"]
        if alike
        else ["Dataset001_toy_shifted_CT", "Dataset002_toy_shifted_MR"]
    )
    folder = tmp_path / "out" / names[-1]
    described = json.loads((folder / "dataset.json").read_text())
    files = get_filenames_of_train_images_and_targets(str(folder), described)
    assert sorted(files) == ["a", "b"]
    assert described["numTraining"] == 2
    assert described["labels"] == {"background": 0, "large": 1, "small": 2}
    reader = determine_reader_writer_from_dataset_json(described, files["a"]["images"][0], verbose=False)()
    images, _ = reader.read_images(files["a"]["images"])
    mask, _ = reader.read_seg(files["a"]["label"])
    assert len(images) == (2 if alike else 1)
    assert images.shape[1:] == mask.shape[1:]
    truth = run.folder / f"data/toy/shifted/train/labels/a__{'CT' if alike else 'MR'}.nii.gz"
    np.testing.assert_array_equal(mask[0].T, read_label_map(truth, (0, 1, 2)).array)


def test_monai_reads_the_data(run, tmp_path):
    from monai.data import load_decathlon_datalist
    from monai.transforms import LoadImaged

    make_alike(run)
    (name,) = export_data(run, tmp_path / "out")
    path = tmp_path / "out" / name / "datalist.json"
    for part in ("training", "test"):
        entries = load_decathlon_datalist(str(path), is_segmentation=True, data_list_key=part)
        assert [entry["case"] for entry in entries] == ["a", "b"]
        loaded = LoadImaged(["image", "label"])(entries[0])
        assert loaded["image"].shape == (2, *loaded["label"].shape)
        assert loaded["label"].max() == 2


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph:DeprecationWarning")  # of rdflib, by mlcroissant
def test_croissant_lists_the_cases_of_a_phantom(run, tmp_path):
    import mlcroissant

    first, _ = export_data(run, tmp_path / "out")
    folder = tmp_path / "out" / first
    records = list(mlcroissant.Dataset(jsonld=folder / "croissant.json").records("cases"))
    cases = pd.read_csv(folder / "cases.csv")
    assert [{key: value.decode() for key, value in record.items()} for record in records] == [
        {f"cases/{column}": row[column] for column in cases.columns} for row in cases.to_dict("records")
    ]
    assert all((folder / name).is_file() for name in [*cases["image_CT"], *cases["label"]])


def test_real_scans_get_no_croissant(run, tmp_path):
    run.manifest["scans"]["toy"] = {"/scans/a.nii.gz": "digest"}
    export_data(run, tmp_path / "out")
    assert list((tmp_path / "out").rglob("datalist.json"))
    assert not list((tmp_path / "out").rglob("croissant.json"))


def test_a_crate_leads_from_the_results_to_what_made_them(run, tmp_path):
    from rocrate.rocrate import ROCrate

    export_crate(run, tmp_path / "crate")
    crate = ROCrate(tmp_path / "crate")
    action = crate.root_dataset["mentions"]
    assert action["instrument"] is crate.mainEntity
    assert crate.mainEntity.id == "Snakefile"
    assert crate.mainEntity["programmingLanguage"].id.endswith("#snakemake")
    assert {result.id for result in action["result"]} == {"scores.parquet", "manifest.json", "tables/"}
    assert json.loads((tmp_path / "crate" / action["object"].id).read_text()) == MANIFEST["config"]
    for entity in crate.data_entities:
        assert (tmp_path / "crate" / entity.id).exists()
    assert not list((tmp_path / "crate").rglob("__pycache__"))


def test_predictions_say_what_they_are(run, tmp_path):
    assert export_predictions(run, tmp_path / "out") == 4
    listed = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert set(listed["modality"]) == {"CT", "MR"}
    path = tmp_path / "out" / "toy/shifted/f010-d0/nnunet/paper-s0/a__MR.nii.gz"
    image = nib.load(path)
    assert bytes(image.header["descrip"]).startswith(b"nnunet:paper seed 0 f010-d0 shifted")
    about = json.loads(image.header.extensions[0].get_content())
    assert (about["method"], about["case"], about["modality"], about["commit"]) == (
        "nnunet",
        "a",
        "MR",
        "0123abc",
    )
    source = run.folder / "runs/toy/shifted/f010-d0/nnunet/paper-s0/predictions/a__MR.nii.gz"
    np.testing.assert_array_equal(image.get_fdata(), nib.load(source).get_fdata())


def test_what_cannot_be_exported_is_said(run, tmp_path):
    with pytest.raises(ExportError, match="no such folder"):
        read_finished(tmp_path / "nowhere")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ExportError, match="Nothing is replaced"):
        export_data(run, tmp_path / "taken")
    (run.folder / "manifest.json").unlink()
    with pytest.raises(ExportError, match=r"no manifest\.json"):
        read_finished(run.folder)


def test_nothing_is_left_of_an_export_that_failed(run, tmp_path):
    next(run.folder.glob("data/toy/shifted/test/labels/b__*")).unlink()
    with pytest.raises(OSError, match="b__"):
        export_data(run, tmp_path / "out")
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["results"]
