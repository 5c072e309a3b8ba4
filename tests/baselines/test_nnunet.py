"""nnU-Net end to end on 32 voxels a side: it learns, resumes to the same bits, comes back from disk."""

import json
import os
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from parallax.case import IGNORE, Budget, Grid, Modality, Pairing, Sample, Task, TestView, TrainView
from parallax.learn import nnunet_driver
from parallax.plugin import load_method, method_card

TASK = Task(
    "toy", (Modality("CT", "ct"), Modality("MR", "mr")), {"ball": 1}, Pairing.REGISTERED, (1.0, 1.0, 1.0)
)
GRID = Grid((32, 32, 32), np.eye(4))
BUDGET = Budget(4, patch=(32, 32, 32), widths=(4, 8), checkpoint_every_s=0.0)


def sample(seed, *, labelled=(True, True)):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(12, 20, 3)[:, None, None, None]
    ball = (np.square(np.indices(GRID.shape) - centre).sum(0) < 64).astype(np.uint8)
    image = rng.normal(0, 0.2, (2, *GRID.shape)) + np.array([2.0, -2.0])[:, None, None, None] * ball
    label = np.stack([ball if known else np.full_like(ball, IGNORE) for known in labelled])
    return Sample(f"case{seed}", image.astype(np.float32), label, (True, True), GRID)


def method(preset="paper", budget=BUDGET, **switches):
    kind = load_method("nnunet")
    return kind(TASK, budget, switches={**kind.presets[preset], **switches}, seed=3)


def case_view(available=(True, True)):
    image = sample(9).image * np.array(available, dtype=np.float32)[:, None, None, None]
    names = [name for name, there in zip(TASK.modality_names, available, strict=True) if there]
    unlabelled = Sample("case9", image, None, available, GRID)
    return TestView(TASK, unlabelled, dict.fromkeys(names, GRID))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("uninterrupted")
    before = dict(os.environ)
    fitted = method()
    cost = fitted.fit(TrainView(TASK, (sample(0), sample(1)), ()), scratch)
    assert dict(os.environ) == before
    return fitted, cost, scratch


@pytest.fixture
def no_pickle(monkeypatch):
    """Nothing is unpickled but what `torch.load(weights_only=True)` reads with a reader of its own."""
    load = torch.load

    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    def only_weights(*args, **kwargs):
        assert kwargs.get("weights_only") is True
        return load(*args, **kwargs)

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", only_weights)


@pytest.mark.usefixtures("no_pickle")
def test_a_killed_run_resumes_to_the_same_bits(uninterrupted, tmp_path, monkeypatch):
    view = TrainView(TASK, (sample(0), sample(1)), ())
    train = nnunet_driver.train_nnunet
    steps = []

    def dies(step):
        steps.append(step)
        if step == 3:
            raise KeyboardInterrupt

    cases = nnunet_driver.NnunetCases(TASK, (0,), 0, view.labelled)
    settings = {"seed": 3, "learning_rate": BUDGET.learning_rate, "short": True, "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        train(cases, BUDGET, tmp_path, **settings, report=dies)
    np.random.seed(0)  # noqa: NPY002  (another process has another state)
    resumed = train(cases, BUDGET, tmp_path, **settings, report=steps.append)
    assert steps == [1, 2, 3, 3, 4]  # two steps came from the checkpoint, the third was taken twice
    expected = uninterrupted[0]._networks[0].weights
    assert all(torch.equal(value, expected[name]) for name, value in resumed.trained.weights.items())


def test_cost_and_progress(uninterrupted):
    fitted, cost, scratch = uninterrupted
    assert (cost.steps, cost.samples_seen, cost.forward_passes_per_step) == (4, 16, 2.0)
    networks = [fitted._predictor(k).predictor.network for k in (0, 1)]
    assert cost.parameters == sum(p.numel() for network in networks for p in network.parameters())
    assert json.loads((scratch / "progress.json").read_text())["step"] == 8


@pytest.mark.usefixtures("no_pickle")
def test_saved_and_loaded_it_predicts_the_same(uninterrupted, tmp_path):
    fitted, _, _ = uninterrupted
    fitted.save(tmp_path)
    loaded = method()
    loaded.load(tmp_path)
    expected, found = fitted.predict(case_view()), loaded.predict(case_view())
    assert sorted(found.label_maps) == ["CT", "MR"]
    for name, label_map in found.label_maps.items():
        assert label_map.dtype == np.uint8
        assert np.array_equal(label_map, expected.label_maps[name])
    assert sorted(fitted.predict(case_view((False, True))).label_maps) == ["MR"]


def test_channels_learns_from_one_case_and_broadcasts(tmp_path):
    card = method_card("nnunet")
    assert (card.adapter_of("paper"), card.adapter_of("channels")) == ("native", "broadcast")
    fitted = method("channels", replace(BUDGET, steps=2, nnunet_steps=25, widths=(8, 16)), optimiser="adamw")
    only_mr = sample(0, labelled=(False, True))
    cost = fitted.fit(TrainView(TASK, (only_mr,), ()), tmp_path)
    assert (cost.steps, cost.forward_passes_per_step) == (25, 1.0)
    found = fitted.predict(case_view()).label_maps
    truth = sample(9).label[0]
    assert np.array_equal(found["CT"], found["MR"])
    dice = 2 * (found["CT"] & truth).sum() / (found["CT"].sum() + truth.sum())
    assert dice > 0.8
    assert sorted(fitted.predict(case_view((True, False))).label_maps) == ["CT"]


def test_the_optimiser_is_nnunets_own_in_long_runs_and_the_suites_in_short_ones():
    assert method()._short(100)
    assert not method()._short(10_000)
    assert not method(optimiser="sgd")._short(100)


def test_a_modality_without_labels_takes_the_network_of_another(uninterrupted):
    alone = method()
    alone._networks = {0: uninterrupted[0]._networks[0]}
    both = alone.predict(case_view()).label_maps
    swapped = case_view()
    as_ct = replace(swapped, sample=replace(swapped.sample, image=swapped.sample.image[::-1]))
    assert np.array_equal(both["MR"], alone.predict(as_ct).label_maps["CT"])


def test_mirroring_is_off_and_augmentation_follows_the_budget(uninterrupted, tmp_path):
    workspace = uninterrupted[2] / "network-0"
    names = {augment: _transforms(workspace, augment, tmp_path) for augment in (True, False)}
    assert "MirrorTransform" not in names[True]
    assert "SpatialTransform" in names[True]
    assert names[False] == ["RemoveLabelTransform", "DownsampleSegForDSTransform"]


def _transforms(workspace, augment, folder):
    plans, dataset = nnunet_driver.plans_of(workspace)
    with nnunet_driver.nnunet_environment(workspace):
        from parallax.learn.nnunet_trainer import BudgetTrainer, TrainerSettings

        trainer = BudgetTrainer(
            {**plans, "continue_training": False}, "3d_fullres", "all", dataset, torch.device("cpu")
        )
        trainer.use(TrainerSettings(2, 0, 0.01, False, augment, "float32", folder, "none", 0.0, print))
        loader, _ = trainer.get_dataloaders()
        return [type(t).__name__ for t in loader.data_loader.transforms.transforms]


def test_an_unknown_background_is_nnunets_ignore_label(tmp_path):
    first, second = sample(0), sample(1)
    label = first.label.copy()
    label[label == 0] = IGNORE
    view = TrainView(TASK, (replace(first, label=label), second), ())
    fitted = method(budget=replace(BUDGET, steps=1))
    fitted.fit(view, tmp_path)
    description = json.loads(next(tmp_path.rglob("raw/**/dataset.json")).read_text())
    assert description["labels"]["ignore"] == 2
    answer = fitted.predict(case_view((True, False)))
    assert answer.label_maps["CT"].max() <= 1  # it never answers "ignore"


@pytest.mark.parametrize(
    ("precision", "inside"), [("bfloat16", torch.bfloat16), ("float32", torch.float16)]
)  # nnU-Net's own autocast on a GPU takes PyTorch's default, which is float16
def test_precision_of_nnunets_own_autocast_on_a_gpu(tmp_path, precision, inside):
    with nnunet_driver.nnunet_environment(tmp_path):
        from parallax.learn.nnunet_trainer import BudgetTrainer

        settings = SimpleNamespace(precision=precision)
        with BudgetTrainer._precision(SimpleNamespace(settings=settings, device=torch.device("cuda"))):
            assert torch.get_autocast_dtype("cuda") == inside
    assert torch.get_autocast_dtype("cuda") == torch.float16
