"""Which methods would fail under `budget.deterministic` on a GPU, and over which operation.

Usage: `python benchmarks/without_deterministic_kernel.py [METHOD ...]`, on any machine.

Each preset of each method takes two optimiser steps on small heart phantoms on the CPU, with losses as there.
All operations that PyTorch carries out are looked up in its list of those that raise there:
https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from parallax.case import Budget
from parallax.learn import losses
from parallax.learn.device import prepare_torch
from parallax.plugin import load_method, method_cards
from parallax.trial.phantom_run import make_phantom

BUDGET = Budget(steps=2, patch=(32, 32, 16), widths=(8, 16, 32))
# Names inside PyTorch of what that list names. Left out: linear interpolation of planes and volumes, which
# `torch.nn.functional.interpolate` writes in other operations where determinism is asked for on a GPU.
RAISES = re.compile(
    r"(avg_pool3d|adaptive_avg_pool[23]d|adaptive_max_pool2d|fractional_max_pool[23]d|"
    r"upsample_linear1d|upsample_bicubic2d|reflection_pad[123]d|grid_sampler_[23]d|ctc_loss)\w*_backward"
    r"|nll_loss\w*_forward|max_unpool[23]d|histc|put_?|cumsum|median"
)


class Watched(TorchDispatchMode):
    """Notes the operations of the list; sums along an axis and medians count where they are of fractions."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if RAISES.fullmatch(name) and (name not in {"cumsum", "median"} or args[0].is_floating_point()):
            self.found.add(name)
        return func(*args, **(kwargs or {}))


def operations(name: str, preset: str) -> str:
    """Those that two steps of training meet, or why there was no training."""
    made, card = make_phantom(), method_cards()[name]
    method = load_method(name)(made.task, BUDGET, switches=card.presets[preset], seed=0)
    with tempfile.TemporaryDirectory() as folder, Watched() as watched:
        try:
            method.fit(made.view, Path(folder))
        except Exception as error:  # one line of the table, whatever it is
            return f"not trained: {type(error).__name__}: {str(error)[:80]}"
    return ", ".join(sorted(watched.found)) or "none"


def main() -> None:
    prepare_torch("cpu", 1)
    losses._needs_deterministic_form = lambda _: True  # as on a GPU where it is asked for
    print(f"PyTorch {torch.__version__}\n\n| method | preset | operations that raise |\n| --- | --- | --- |")
    for name in sys.argv[1:] or [card.name for card in method_cards().values() if not card.control]:
        for preset in method_cards()[name].presets:
            print(f"| {name} | {preset} | {operations(name, preset)} |", flush=True)


if __name__ == "__main__":
    main()
