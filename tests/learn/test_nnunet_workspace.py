"""What nnU-Net is given: which cases, on which files, planned how, and in an environment that is put back."""

import json
import os
import random
import sys
import types

import numpy as np
import pytest
import torch

from parallax.case import IGNORE, Budget, Grid, Modality, Pairing, Sample, Task, TrainView
from parallax.errors import DataError
from parallax.learn.nnunet_environment import nnunet_environment, workers_in_process
from parallax.learn.nnunet_workspace import (
    DATASET,
    nnunet_cases,
    nnunet_spacing,
    plans_of,
    prepare_workspace,
)

TASK = Task(
    "toy",
    (Modality("CT", "ct"), Modality("MR", "mr")),
    {"organ": 1, "lesion": 2},
    Pairing.REGISTERED,
    (1.5, 1.5, 2.0),
)
GRID = Grid((32, 24, 20), np.diag([1.5, 1.5, 2.0, 1.0]))


def sample(case, *, labelled=(True, True), available=(True, True)):
    rng = np.random.default_rng(len(case))
    image = rng.normal(size=(2, *GRID.shape)).astype(np.float32)
    label = np.zeros((2, *GRID.shape), dtype=np.uint8)
    label[:, 8:24, 8:16, 6:14] = 1
    label[:, 12:18, 10:14, 8:12] = 2
    for k in range(2):
        image[k] *= available[k]
        if not labelled[k]:
            label[k] = IGNORE
    return Sample(case, image, label, available, GRID)


def view(*samples):
    return TrainView(TASK, samples, ())


def test_only_cases_with_every_channel_and_the_reference_mask_are_used():
    both, mr_only = sample("a"), sample("bb", labelled=(False, True))
    no_mr = sample("ccc", available=(True, False), labelled=(True, False))
    everything = view(both, mr_only, no_mr)
    assert [s.case for s in nnunet_cases(everything, (0,), 0).samples] == ["a", "ccc"]
    assert [s.case for s in nnunet_cases(everything, (1,), 1).samples] == ["a", "bb"]
    assert [s.case for s in nnunet_cases(everything, (0, 1), 0).samples] == ["a"]


def test_no_case_at_all_is_an_error_that_names_the_modality(tmp_path):
    with pytest.raises(DataError, match="MR"):
        prepare_workspace(nnunet_cases(view(), (1,), 1), Budget(2), tmp_path / "w")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    workspace = tmp_path_factory.mktemp("nnunet") / "w"
    partly = sample("a")
    partly.label[0, :4] = IGNORE
    cases = nnunet_cases(view(partly, sample("bb")), (0,), 0)
    digest = prepare_workspace(cases, Budget(2, patch=(16, 16, 16), widths=(4, 8)), workspace)
    return workspace, cases, digest


def test_plans_follow_the_budget_and_nnunets_own_rules(prepared):
    plans, dataset = plans_of(prepared[0])
    plan = plans["configurations"]["3d_fullres"]
    assert plan["patch_size"] == [16, 16, 16]
    assert plan["median_image_size_in_voxels"] == [
        20,
        24,
        32,
    ]  # Z, Y, X: the file was read in nnU-Net's order
    assert plan["batch_size"] == 2
    assert plan["architecture"]["arch_kwargs"]["features_per_stage"] == [4, 8, 16]
    assert plan["normalization_schemes"] == ["CTNormalization"]
    assert plan["spacing"] == nnunet_spacing(GRID)
    assert dataset["labels"] == {"background": 0, "organ": 1, "lesion": 2, "ignore": 3}


def test_preprocessed_voxels_are_the_samples_voxels(prepared):
    workspace, cases, _ = prepared
    with nnunet_environment(workspace):
        from parallax.learn.nnunet_cases import PlainDataset

        folder = workspace / "preprocessed" / DATASET / "nnUNetPlans_3d_fullres"
        data, mask, _, properties = PlainDataset(str(folder)).load_case("c0000")
    expected = cases.samples[0].label[0].transpose(2, 1, 0).astype(int)
    expected[expected == IGNORE] = 3
    assert (np.asarray(mask[0]) == expected).all()
    places = properties["class_locations"]
    assert set(places) == {1, 2, (-1, 0, 1, 2)}
    assert all(np.isin(np.asarray(mask)[tuple(places[key].T)], key).all() for key in places)
    assert not list(workspace.rglob("*.pkl"))
    image = cases.samples[0].image[0].transpose(2, 1, 0)
    assert np.corrcoef(np.asarray(data[0]).ravel(), image.ravel())[0, 1] > 0.98  # scaled and clipped at 0.5 %


def test_a_workspace_is_kept_for_the_same_voxels_and_rebuilt_for_others(prepared):
    workspace, cases, digest = prepared
    budget = Budget(2, patch=(16, 16, 16), widths=(4, 8))
    (workspace / "kept").touch()
    assert prepare_workspace(cases, budget, workspace) == digest
    assert (workspace / "kept").exists()
    cases.samples[1].image[0, 0, 0, 0] += 1.0
    assert prepare_workspace(cases, budget, workspace) != digest
    assert not (workspace / "kept").exists()


def test_the_environment_is_put_back(tmp_path, capsys, monkeypatch):
    variable = "nnUNet_raw"
    monkeypatch.setenv(variable, "mine")
    before = state()
    with pytest.raises(KeyError), nnunet_environment(tmp_path, log=tmp_path / "log" / "n.log"):
        change_everything(os.environ[variable] == str(tmp_path / "raw"))
    assert state() == before
    assert capsys.readouterr().out == ""
    assert (tmp_path / "log" / "n.log").read_text() == "noise True\n"


def state():
    generators = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    return dict(os.environ), generators, torch.get_num_threads()


def change_everything(value):
    sys.stdout.write(f"noise {value}\n")
    random.random()
    np.random.random()  # noqa: NPY002
    torch.rand(1)
    torch.set_num_threads(torch.get_num_threads() + 1)
    raise KeyError


def test_pools_run_in_process_and_are_put_back():
    module = types.SimpleNamespace(multiprocessing=json)
    with workers_in_process(module), module.multiprocessing.get_context("spawn").Pool(1) as pool:
        result = pool.starmap_async(lambda a, b: (a + b, os.getpid()), ((1, 2),))
        assert result.ready()
        assert result.get() == [(3, os.getpid())]
    assert module.multiprocessing is json
