"""From a case in the common frame to class scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from parallax.case import Budget, Sample

_WHOLE = 1.5  # volumes up to this many patches along each axis go through the network at once


def class_scores(
    forward: Callable[[Tensor, Tensor], Tensor], sample: Sample, budget: Budget, device: str
) -> NDArray[np.float32]:
    """Class probabilities of one case.

    Args:
        forward: logits [B, K, C, X, Y, Z] of (image [B, K, X, Y, Z], available [B, K]).
        sample: the case; its label is not looked at.
        budget: tells the patch and the depth of the network.
        device: where the network lives.

    Returns:
        float32 [K, C, X, Y, Z].
    """
    image = torch.from_numpy(np.array(sample.image, dtype=np.float32))[None]
    available = torch.tensor([sample.available])
    with torch.no_grad():
        if all(n <= _WHOLE * p for n, p in zip(image.shape[2:], budget.patch, strict=True)):
            scores = _whole(forward, image.to(device), available.to(device), budget)
        else:
            scores = _sliding(forward, image.to(device), available.to(device), budget)
    result: NDArray[np.float32] = scores[0].float().cpu().numpy()
    return result


def _whole(
    forward: Callable[[Tensor, Tensor], Tensor], image: Tensor, available: Tensor, budget: Budget
) -> Tensor:
    """Padded like a training crop: to the patch at least, with the background of each modality."""
    multiple = 2 ** len(budget.widths)
    shape = image.shape[2:]
    wanted = [max(p, -(-n // multiple) * multiple) for n, p in zip(shape, budget.patch, strict=True)]
    before = [(w - n) // 2 for w, n in zip(wanted, shape, strict=True)]
    x, y, z = (slice(b, b + n) for b, n in zip(before, shape, strict=True))
    floor = image.amin(dim=(2, 3, 4), keepdim=True)
    padded = floor.expand(*image.shape[:2], *wanted).clone()
    padded[..., x, y, z] = image
    return F.softmax(forward(padded, available), dim=2)[..., x, y, z]


def _sliding(
    forward: Callable[[Tensor, Tensor], Tensor], image: Tensor, available: Tensor, budget: Budget
) -> Tensor:
    from monai.inferers.utils import sliding_window_inference

    modalities = image.shape[1]

    def window(x: Tensor) -> Tensor:
        return F.softmax(forward(x, available.expand(len(x), -1)), dim=2).flatten(1, 2)

    flat: object = sliding_window_inference(image, budget.patch, 1, window, overlap=0.5, mode="gaussian")
    if not isinstance(flat, Tensor):
        raise TypeError("sliding_window_inference returned several maps")
    return flat.reshape(1, modalities, -1, *flat.shape[2:])
