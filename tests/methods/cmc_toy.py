"""The toy task as `cmc` is tested on it: a method, weights after training, one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from toy import toy_sample, toy_task, toy_view

from parallax.cards import preset_switches
from parallax.case import Budget, Task
from parallax.learn.batch import Batch
from parallax.learn.network_method import NetworkMethod
from parallax.plugin import load_method, method_card

SIDE = (16, 16, 16)


def method(preset: str = "paper", steps: int = 4, of: Task | None = None, **switches: Any) -> NetworkMethod:
    budget = Budget(steps, batch=2, patch=SIDE, widths=(8, 8, 16), augment=False)
    chosen = {**preset_switches(method_card("cmc"), preset), **switches}
    made = load_method("cmc")(of or toy_task(), budget, switches=chosen, seed=1)
    assert isinstance(made, NetworkMethod)
    return made


def trained(made: NetworkMethod, scratch: Path) -> dict[str, torch.Tensor]:
    """Weights after training through the engine."""
    made.fit(toy_view(made.task, 2, 3), scratch)
    assert made.net is not None
    return made.net.state_dict()


def difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Largest absolute difference of any weight."""
    assert a.keys() == b.keys()
    return max(float((a[key] - b[key]).abs().max()) for key in a)


def batch(labelled: bool = True, modalities: int = 2) -> Batch:
    """Two items; those with and those without labels are different cases."""
    names = ("l0", "l1") if labelled else ("u0", "u1")
    samples = [toy_sample(toy_task(modalities), name, SIDE, labelled=labelled) for name in names]
    image = torch.stack([torch.from_numpy(s.image) for s in samples])
    label = torch.stack([torch.from_numpy(s.label).long() for s in samples]) if labelled else None
    return Batch(image, label, torch.ones(2, modalities, dtype=torch.bool), names)
