"""Every dataset says up to which distance the NSD takes two boundaries for one."""

from dataclasses import replace

import pytest

from parallax.case import Task, one_voxel_mm
from parallax.errors import ConfigError, DataError
from parallax.plugin import dataset_cards, load_dataset
from parallax.run.setup import make_setup

BY_CONFIG = {
    "folder": {"spacing_mm": [1, 2, 5], "modalities": {"CT": {"kind": "ct"}}, "classes": {"a": 1, "b": 2}}
}


@pytest.mark.parametrize("name", sorted(dataset_cards()))
def test_every_dataset_declares_every_structure(name, tmp_path):
    options = {} if name.startswith("phantom") and name != "phantom_from_labels" else {"root": str(tmp_path)}
    dataset = load_dataset(name, options | BY_CONFIG.get(name, {}))
    protocols = getattr(dataset, "protocols", [None])
    for protocol in protocols:
        chosen = load_dataset(name, {**dataset.options, "protocol": protocol}) if protocol else dataset
        task = chosen.task
        assert set(task.nsd_tolerance_mm) == set(task.structures)
        assert all(0.5 <= task.tolerance_mm(structure) <= 10 for structure in task.structures)


def test_tolerances_of_own_scans_are_stated_or_one_voxel_in_plane(tmp_path):
    given = {"root": str(tmp_path), **BY_CONFIG["folder"]}
    assert load_dataset("folder", given).task.nsd_tolerance_mm == {"a": 2.0, "b": 2.0}
    stated = load_dataset("folder", given | {"nsd_tolerance_mm": {"a": 1, "b": 2.5}})
    assert stated.task.nsd_tolerance_mm == {"a": 1.0, "b": 2.5}
    assert (
        load_dataset("amos", {"root": str(tmp_path), "nsd_tolerance_mm": 3}).task.tolerance_mm("liver") == 3
    )
    for wrong in ({"a": 1}, 0, True, "2 mm", float("inf"), {"a": 1, "b": -1}):
        with pytest.raises(ConfigError, match=r"nsd_tolerance_mm, [ab]"):
            _ = load_dataset("folder", given | {"nsd_tolerance_mm": wrong}).task


def test_default_is_the_middle_edge_of_a_voxel():
    assert one_voxel_mm(["a"], (5.0, 0.8, 0.9)) == {"a": 0.9}


def test_task_keeps_its_tolerances_and_an_older_file_has_none(two_modality_task):
    written = two_modality_task.to_json()
    assert Task.from_json(written) == two_modality_task
    del written["nsd_tolerance_mm"]
    with pytest.raises(DataError, match=r"without its tolerance.*toy.*large.*prepared again"):
        Task.from_json(written).tolerance_mm("large")
    with pytest.raises(DataError, match="Found: 0"):
        replace(two_modality_task, nsd_tolerance_mm={"large": 0}).tolerance_mm("large")


def test_a_dataset_without_tolerances_is_refused_before_training(monkeypatch):
    from parallax.run import setup

    config = {
        "run": "r",
        "datasets": {"phantom_heart": {"options": {"cases": 4}, "split": {"train": 2, "test": 2}}},
        "methods": ["oracle"], "conditions": [{"labels": [1.0]}], "budget": {"steps": 1},
    }  # fmt: skip
    make_setup(config)
    loaded = load_dataset("phantom_heart", {"cases": 4})
    bare = replace(loaded.task, nsd_tolerance_mm={})
    monkeypatch.setattr(type(loaded), "task", property(lambda _: bare))
    monkeypatch.setattr(setup, "load_dataset", lambda *_: loaded)
    with pytest.raises(DataError, match=r"datasets.phantom_heart, task of phantom_heart"):
        make_setup(config)
