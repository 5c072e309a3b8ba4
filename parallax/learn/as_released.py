"""Test-time mistakes of a release, so that their price can be told apart from that of its training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from parallax.case import Budget, TestView
from parallax.learn.inference import class_scores

Forward = Callable[[Tensor, Tensor], Tensor]


def released_scores(
    forward: Forward, view: TestView, budget: Budget, device: str, *, as_saved: bool, squeeze: bool
) -> NDArray[np.float32]:
    """Class probabilities [K, C, X, Y, Z] of a case in the common frame, as a release would have made them.

    Args:
        forward: logits [B, K, C, X, Y, Z] of (image [B, K, X, Y, Z], available [B, K]).
        view: the test case.
        budget: tells the patch.
        device: where the network lives.
        as_saved: the network is shown each modality in the direction of its file, not in that of training: a
            file saved from right to left is seen mirrored (med-air/CMC@cb8dd11, data_utils.py:176-204).
            Swapped axes are put right all the same.
        squeeze: the whole volume is resampled (trilinear) to one patch (trainer.py:118, there 128 cubed).
    """
    mirrors: list[tuple[int, ...]] = [()] * len(view.sample.available)
    mirrors = saved_backwards(view) if as_saved else mirrors

    def shown(image: Tensor, available: Tensor) -> Tensor:
        return _mirrored(forward(_mirrored(image, mirrors), available), mirrors)

    if not squeeze:
        return class_scores(shown, view.sample, budget, device)
    image = torch.from_numpy(np.array(view.sample.image, dtype=np.float32))[None].to(device)
    small = F.interpolate(image, size=budget.patch, mode="trilinear")
    with torch.no_grad():
        p = shown(small, torch.tensor([view.sample.available], device=device))[0].softmax(dim=1)
    scores: NDArray[np.float32] = (
        F.interpolate(p, size=image.shape[2:], mode="trilinear").float().cpu().numpy()
    )
    return scores


def saved_backwards(view: TestView) -> list[tuple[int, ...]]:
    """Per modality the axes (0 right, 1 anterior, 2 superior) along which its file runs the other way."""
    found: list[tuple[int, ...]] = []
    for name in view.task.modality_names:
        if name not in view.native:
            found.append(())
            continue
        turn = np.asarray(view.native[name].affine)[:3, :3]
        main = np.abs(turn / np.linalg.norm(turn, axis=0)).argmax(axis=1)
        found.append(tuple(axis for axis in range(3) if turn[axis, main[axis]] < 0))
    return found


def _mirrored(x: Tensor, mirrors: list[tuple[int, ...]]) -> Tensor:
    """`x` [B, K, ..., X, Y, Z] with the axes of each modality turned round that `mirrors` names."""
    parts = zip(x.unbind(1), mirrors, strict=True)
    return torch.stack([part.flip([axis - 3 for axis in axes]) for part, axes in parts], dim=1)
