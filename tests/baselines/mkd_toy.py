"""What the tests of MKD share: crops of 16 voxels and a small network."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parallax.cards import preset_switches
from parallax.case import Budget, Grid, Modality, Pairing, Sample, Task, TrainView
from parallax.learn.batch import Batch
from parallax.learn.network_method import Clock
from parallax.plugin import load_method, method_card

PATCH = (16, 16, 16)
BUDGET = Budget(steps=3, patch=PATCH, widths=(4, 8), checkpoint_every_s=1e9)
SEGMENTATION_ONLY: dict[str, Any] = {"beta_1": 0.0, "beta_2": 0.0, "lambda_adv": 0.0}


def task(modalities: int = 2, pairing: Pairing = Pairing.REGISTERED) -> Task:
    names = ("CT", "MR", "PET")[:modalities]
    return Task("toy", tuple(Modality(n, "mr") for n in names), {"a": 1, "b": 2}, pairing, (3.0, 3.0, 3.0))


def method(chosen: Task | None = None, **switches: Any) -> Any:
    preset = preset_switches(method_card("mkd"), "paper")
    return load_method("mkd")(chosen or task(), BUDGET, switches=preset | switches, seed=3)


def batch(modalities: int = 2, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, modalities, *PATCH, generator=generator)
    label = torch.randint(0, 3, image.shape, generator=generator)
    return Batch(image, label, torch.ones(2, modalities, dtype=torch.bool), ("p", "q"))


def awake(net: nn.Module) -> None:
    """Give the last layer of each generator random weights: no longer the identity."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, parameter in net.alignments.named_parameters():  # type: ignore[union-attr]
            if "head" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def terms(model: Any, net: nn.Module, crops: Batch, *, step: int = 3) -> dict[str, Tensor]:
    """After three of three steps, where the ramp has reached 1, unless another step is asked for."""
    found: dict[str, Tensor] = model.loss(net, crops, None, Clock(step, 3, 3))
    return found


def crops_of(model: Any, crops: Batch, modality: int) -> Any:
    return vars(sys.modules[type(model).__module__])["_usable"](crops, modality)


def gradient(term: Tensor, module: nn.Module) -> float:
    gradients = torch.autograd.grad(term, list(module.parameters()), allow_unused=True, retain_graph=True)
    return sum(float(g.abs().sum()) for g in gradients if g is not None)


def view(chosen: Task, seed: int = 0) -> TrainView:
    rng, samples = np.random.default_rng(seed), []
    for case in ("p", "q", "r"):
        label = rng.integers(0, 3, (2, *PATCH)).astype(np.uint8)
        image = (label + rng.normal(0, 0.3, label.shape)).astype(np.float32)
        samples.append(Sample(case, image, label, (True, True), Grid(PATCH, np.eye(4))))
    return TrainView(chosen, tuple(samples), ())
