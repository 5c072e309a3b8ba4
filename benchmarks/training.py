"""Optimiser steps per second of our training loop, beside nnU-Net's trainer and a plain MONAI loop.

Usage: `python benchmarks/training.py [--device cuda] [--precision bfloat16] [--steps 40] [--turns 5]`.
As in a run, keep freed memory (see workflow/rules/common.smk):
`MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000 python benchmarks/training.py`.

All three train the U-Net of `supervised` on the same heart phantoms (CT alone), with the same patch, batch,
precision and number of threads, and each crops and augments in the process that trains, as a job of the
workflow has one core. nnU-Net: `nnUNetTrainer` with its own loader, augmentation, loss and SGD, without deep
supervision, which this network does not have. MONAI: `CacheDataset`, `RandCropByPosNegLabeld`, random scale,
shift and gamma, `DiceCELoss`, AdamW. Turns alternate; ratios are those of medians. In the end one more
training says which parts a step of ours has.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from step_parts import RUN_STEPS, print_parts
from torch import nn

from parallax.case import Budget, Sample, Task, TrainView
from parallax.data.frame import to_common
from parallax.learn.device import device_name
from parallax.learn.loop import train
from parallax.learn.networks import UNet
from parallax.learn.nnunet_environment import nnunet_environment
from parallax.learn.nnunet_workspace import CONFIGURATION, nnunet_cases, plans_of, prepare_workspace
from parallax.plugin import load_dataset, load_method

CASES = 8


@dataclass(frozen=True)
class Setting:
    """What the three have in common."""

    view: TrainView
    budget: Budget
    device: str

    @property
    def classes(self) -> int:
        return self.view.task.n_classes

    def network(self) -> nn.Module:
        """The network of `supervised` for one modality."""
        torch.manual_seed(0)
        return UNet(1, self.classes, self.budget.widths).to(self.device).train()

    def reduced(self) -> Any:
        """The precision of the budget, for a forward pass."""
        enabled = self.budget.precision == "bfloat16"
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=enabled)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device != "cpu":
            torch.cuda.synchronize()


def heart_ct() -> TrainView:
    """Labelled CT of heart phantoms, of the size of the default run."""
    dataset = load_dataset("phantom_heart", {"cases": CASES, "seed": 1})
    task = replace(dataset.task, modalities=dataset.task.modalities[:1])
    with tempfile.TemporaryDirectory() as folder:
        dataset.stage(dataset.case_ids(), Path(folder))
        cases = [dataset.read(case_id, Path(folder)) for case_id in dataset.case_ids()]
    return TrainView(task, tuple(_sample(case, dataset.task) for case in cases), ())


def _sample(case: Any, task: Task) -> Sample:
    common = to_common(case, task, crop=True)
    assert common.label is not None
    return Sample(case.id, common.image[:1], common.label[:1], common.available[:1], common.grid)


Steps = Callable[[int], float]


def ours(setting: Setting) -> Steps:
    """The loop that every network method of the suite is trained with."""

    def steps(n: int) -> float:
        made = load_method("supervised")
        method: Any = made(
            setting.view.task, replace(setting.budget, steps=n), switches={}, seed=0, device=setting.device
        )
        with tempfile.TemporaryDirectory() as folder:
            _, cost = train(method, setting.view, Path(folder))
            setting.wait()
        return float(cost.train_s)

    return steps


def plain_monai(setting: Setting) -> Steps:
    """What a MONAI tutorial does, without workers."""
    from monai.data import CacheDataset, DataLoader
    from monai.losses import DiceCELoss
    from monai.transforms import (
        Compose,
        EnsureTyped,
        RandAdjustContrastd,
        RandCropByPosNegLabeld,
        RandScaleIntensityd,
        RandShiftIntensityd,
        SpatialPadd,
    )

    both, patch = ["image", "label"], setting.budget.patch
    transforms = Compose(
        [
            EnsureTyped(both),
            SpatialPadd(both, patch),
            RandCropByPosNegLabeld(both, "label", patch),
            RandScaleIntensityd("image", 0.15, prob=1.0),
            RandShiftIntensityd("image", 0.15, prob=1.0),
            RandAdjustContrastd("image", prob=1.0, gamma=(0.7, 1.5)),
        ]
    )
    cases = [
        {"image": np.array(s.image, np.float32), "label": np.array(s.label)} for s in setting.view.labelled
    ]
    dataset = CacheDataset(cases, transforms, progress=False)
    loader = DataLoader(dataset, batch_size=setting.budget.batch, shuffle=True, num_workers=0)
    net, loss_of = setting.network(), DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    def steps(n: int) -> float:
        start, source = time.perf_counter(), batches()
        for _ in range(n):
            batch = next(source)
            optimiser.zero_grad()
            with setting.reduced():
                scores = net(batch["image"].to(setting.device))
            loss = loss_of(scores.float(), batch["label"].to(setting.device))
            loss.backward()
            optimiser.step()
        setting.wait()
        return time.perf_counter() - start

    return steps


@contextlib.contextmanager
def nnunet(setting: Setting, workspace: Path) -> Iterator[Steps]:
    """nnU-Net's trainer on its own preprocessed copy of the cases."""
    prepare_workspace(nnunet_cases(setting.view, (0,), 0), setting.budget, workspace)
    plans, dataset = plans_of(workspace)
    configuration = plans["configurations"][CONFIGURATION]
    configuration["patch_size"] = list(reversed(setting.budget.patch))  # nnU-Net's axes are Z, Y, X
    configuration["batch_size"] = setting.budget.batch
    with nnunet_environment(workspace, log=workspace / "nnunet.log"):
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        from parallax.learn.nnunet_cases import PlainDataset

        class Trainer(nnUNetTrainer):  # type: ignore[misc]  # nnU-Net has no types
            @staticmethod
            def build_network_architecture(*_: Any, **__: Any) -> nn.Module:
                return setting.network()

            def set_deep_supervision_enabled(self, enabled: bool) -> None:
                """The network has none."""

        start = {**plans, "continue_training": False}
        trainer = Trainer(start, CONFIGURATION, "all", dataset, torch.device(setting.device))
        trainer.enable_deep_supervision = False
        trainer.initialize()
        trainer.dataset_class = PlainDataset  # the same voxels: our copy of the cases has no pickles
        trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()

        def steps(n: int) -> float:
            began = time.perf_counter()
            for _ in range(n):
                with setting.reduced():
                    trainer.train_step(next(trainer.dataloader_train))
            setting.wait()
            return time.perf_counter() - began

        yield steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--patch", type=int, nargs=3, default=(48, 48, 32))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    patch = (a.patch[0], a.patch[1], a.patch[2])
    setting = Setting(
        heart_ct(), Budget(steps=a.steps, batch=a.batch, patch=patch, precision=a.precision), a.device
    )
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, nnunet(setting, Path(folder) / "nnunet") as theirs:
        all_three = {"ours": ours(setting), "plain MONAI": plain_monai(setting), "nnU-Net's trainer": theirs}
        for steps in all_three.values():
            steps(max(a.steps // 4, 2))  # libraries are loaded, kernels chosen
        for _ in range(a.turns):
            for name, steps in all_three.items():
                seconds.setdefault(name, []).append(steps(a.steps))
    print(
        f"{device_name(a.device)}, {a.threads} thread(s), patch {'x'.join(map(str, patch))}, batch {a.batch},"
        f" {a.precision}; {a.turns} turns of {a.steps} steps\n"
    )
    print("| loop | steps per second (median) | range | ours is faster by |")
    print("| --- | ---: | ---: | ---: |")
    own = median(seconds["ours"])
    for name, taken in seconds.items():
        rates = [a.steps / one for one in taken]
        faster = "" if name == "ours" else f"{median(taken) / own:.2f}"
        print(f"| {name} | {median(rates):.2f} | {min(rates):.2f} to {max(rates):.2f} | {faster} |")
    print()
    budget = replace(setting.budget, steps=RUN_STEPS)
    print_parts({"supervised (CT)": ("supervised", {})}, setting.view, budget, a.device)


if __name__ == "__main__":
    main()
