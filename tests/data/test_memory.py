"""Preparing holds one case at a time, and a training view holds none."""

import json
import tracemalloc

import numpy as np
import pytest
from balls import ball_volumes, centred_affine
from data_scripts import run

from parallax.case import Volume
from parallax.data.files import write_json
from parallax.data.store import load_train_view, write_train_view
from parallax.data.volumes import write_volume

SHAPE = (64, 64, 48)


def prepare(root, n_cases):
    """Prepare and misalign `n_cases`; returns the greatest number of bytes held and the folder."""
    image, label = ball_volumes(centred_affine(np.diag([-1.5, 1.5, 2.0]), SHAPE), SHAPE, np.int16)
    ids = [f"p{i}" for i in range(n_cases)]
    for index, case in enumerate(ids):
        write_volume(Volume(image.array + index, image.affine), root / f"{case}.nii.gz")
        write_volume(label, root / f"{case}_l.nii.gz")
    rows = ["case,CT,CT_label", *(f"{case},{case}.nii.gz,{case}_l.nii.gz" for case in ids)]
    (root / "m.csv").write_text("\n".join(rows) + "\n")
    options = json.dumps(
        {
            "root": str(root),
            "manifest": "m.csv",
            "modalities": {"CT": {"kind": "ct"}},
            "classes": {"large": 1, "small": 2},
            "spacing_mm": [1.0, 1.0, 1.0],
        }
    )
    write_json({"train": ids, "test": []}, root / "split.json")
    level = json.dumps({"name": "aligned", "severity": 0})
    places = {"split": root / "split.json", "raw": root / "raw", "out": root / "prepared"}
    tracemalloc.start()
    run("prepare", dataset="folder", options=options, part="train", **places)
    run("misalign", prepared=root / "prepared", misalignment=level, part="train", out=root / "aligned")
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held, root / "aligned"


def test_memory_of_preparing_does_not_grow_with_the_number_of_cases(tmp_path):
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    prepare(tmp_path / "few", 1)  # imports and caches
    few, _ = prepare(tmp_path / "few", 2)
    many, _ = prepare(tmp_path / "many", 8)
    assert few > 2**20
    assert many == pytest.approx(few, rel=0.05)


def test_a_training_view_is_opened_without_reading_its_arrays(tmp_path):
    _, folder = prepare(tmp_path, 3)
    write_train_view(folder, ["p0", "p1"], ["p2"], tmp_path / "view")
    size = sum(path.stat().st_size for path in (tmp_path / "view").glob("*.npy"))
    tracemalloc.start()
    view = load_train_view(tmp_path / "view")
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 5 * 2**20
    assert held < size / 20
    crop = view.labelled[0].image[:, 10:20, 10:20, 10:20]
    assert isinstance(crop, np.memmap)
    assert np.shares_memory(crop, view.labelled[0].image)
