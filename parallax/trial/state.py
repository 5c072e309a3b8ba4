"""Settings of the whole process, which a method must leave as they are."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class GlobalState:
    """What other methods of the same process would inherit.

    torch's own generator is left out: the engine seeds it before each step.
    """

    default_dtype: torch.dtype
    threads: int
    gradients: bool
    deterministic: bool
    matmul_precision: str
    folder: str
    python_random: Any
    numpy_random: Any

    @staticmethod
    def now() -> GlobalState:
        """The settings at this moment."""
        return GlobalState(
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            str(Path.cwd()),
            random.getstate(),
            np.random.get_state(),  # noqa: NPY002
        )

    def differences(self, later: GlobalState) -> dict[str, str]:
        """Setting to what became of it, for those that are not as they were."""
        found = {}
        for name in (field.name for field in fields(self)):
            old, new = getattr(self, name), getattr(later, name)
            if str(old) != str(new):
                short = name.endswith("_random")
                found[name.replace("_", " ")] = "drawn from or seeded" if short else f"{old}, now {new}"
        return found

    def restore(self) -> None:
        """Put everything back."""
        import os

        torch.set_default_dtype(self.default_dtype)
        torch.set_num_threads(self.threads)
        torch.set_grad_enabled(self.gradients)
        torch.use_deterministic_algorithms(self.deterministic)
        torch.set_float32_matmul_precision(self.matmul_precision)
        os.chdir(self.folder)
        random.setstate(self.python_random)
        np.random.set_state(self.numpy_random)  # noqa: NPY002
