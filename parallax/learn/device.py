"""The device that a run trains on: which one `auto` means, its name and what memory it took."""

from __future__ import annotations

import os
import sys

import torch


def prepare_torch(device: str, threads: int, *, deterministic: bool = False) -> str:
    """Limit the threads of this process; returns the device, with `auto` resolved to `cuda` or `cpu`.

    `deterministic` asks for kernels whose bits are the same in every run; an operation that has none on a GPU
    raises `RuntimeError` and names itself. On a CPU the bits are the same in any case.
    Source: https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    torch.set_num_threads(threads)
    if deterministic:
        # read when cuBLAS starts, so before anything is sent
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.backends.cudnn.benchmark = False  # it picks kernels by stopwatch
        torch.backends.cudnn.deterministic = True
    if deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports PyTorch's compiler
        torch.use_deterministic_algorithms(deterministic)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def device_name(device: str) -> str:
    """Name of the GPU, or `cpu`."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "cpu"


def peak_memory_mib(device: str) -> float:
    """Most memory that PyTorch reserved on a GPU, or that this process held on a CPU (NaN on Windows)."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
