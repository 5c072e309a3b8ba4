"""Losses that several methods share. A loss that only one method uses lives in the file of that method."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from parallax.case import IGNORE


def dice_ce(
    logits: Tensor, label: Tensor, *, class_weights: Tensor | None = None, smooth: float = 20.0
) -> Tensor:
    """Cross-entropy plus soft Dice loss (not halved); voxels labelled `IGNORE` take no part in either.

    Equal to MONAI's `DiceCELoss(to_onehot_y=True, softmax=True, smooth_nr=smooth, smooth_dr=smooth)`
    where every voxel is known. The smoothing is in voxels: with it a crop without a class asks for few voxels
    of that class, not for none at any price.

    Args:
        logits: [B, C, ...].
        label: int64 [B, ...], values 0..C-1 or `IGNORE`.
        class_weights: [C], weights of the cross-entropy (weighted mean, as `torch.nn.CrossEntropyLoss`).
        smooth: added to numerator and denominator of the Dice of each sample and class (background counted).

    Returns:
        A scalar; exactly 0 (with a graph) where no voxel is known.
    """
    known = label != IGNORE
    if not bool(known.any()):
        return logits.sum() * 0.0
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    # one softmax for both terms: 8 ms instead of 13 on two crops of 48x48x32 with eight classes
    log_p = F.log_softmax(logits, dim=1)
    ce = _nll(log_p, label, class_weights, IGNORE)
    p = log_p.exp().flatten(2)
    target, known = label.flatten(1), known.flatten(1)
    if not bool(known.all()):
        p = p * known.unsqueeze(1)
        target = target.masked_fill(~known, 0)
    dice = _soft_dice(p, target, known, smooth)
    return ce + 1 - dice[known.any(dim=1)].mean()


def softmax_ce(logits: Tensor, label: Tensor, *, ignore: int = -100) -> Tensor:
    """`F.cross_entropy`, in a form that is deterministic on a GPU too where that is asked for.

    Args:
        logits: [B, C, ...].
        label: int64 [B, ...].
        ignore: entries of `label` that take no part.
    """
    if _needs_deterministic_form(logits):
        return nll_by_gather(F.log_softmax(logits, dim=1), label, None, ignore)
    return F.cross_entropy(logits, label, ignore_index=ignore)


def _nll(log_p: Tensor, label: Tensor, class_weights: Tensor | None, ignore: int) -> Tensor:
    if _needs_deterministic_form(log_p):
        return nll_by_gather(log_p, label, class_weights, ignore)
    return F.nll_loss(log_p, label, class_weights, ignore_index=ignore)


def _needs_deterministic_form(x: Tensor) -> bool:
    return x.is_cuda and torch.are_deterministic_algorithms_enabled()


def nll_by_gather(log_p: Tensor, label: Tensor, class_weights: Tensor | None, ignore: int) -> Tensor:
    """Equal to `F.nll_loss(log_p, label, class_weights, ignore_index=ignore)` up to the order of the sums.

    PyTorch lists `NLLLoss` among what has no deterministic kernel in CUDA, and `gather` among what has one:
    https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
    """
    known = label != ignore
    target = label.where(known, 0)
    weight = known.to(log_p.dtype) if class_weights is None else class_weights[target] * known
    return -(weight * log_p.gather(1, target.unsqueeze(1)).squeeze(1)).sum() / weight.sum()


def _soft_dice(p: Tensor, target: Tensor, known: Tensor, smooth: float) -> Tensor:
    """Dice [B, C]; gathers and scatters, as a float one-hot map costs three times as much on a CPU."""
    true_p = p.gather(1, target.unsqueeze(1)).squeeze(1)
    empty = p.new_zeros(p.shape[:2])
    overlap = empty.scatter_add(1, target, true_p)
    size = empty.scatter_add(1, target, known.to(p.dtype))
    return (2 * overlap + smooth) / (p.sum(dim=2) + size + smooth)


def kd(
    teacher_logits: Tensor,
    student_logits: Tensor,
    *,
    temperature: float = 1.0,
    t_squared: bool = True,
    detach_teacher: bool = True,
    temper_teacher: bool = True,
    log_of_softmax: bool = False,
) -> Tensor:
    """KL(teacher || student) of softmax(logits / T), summed over classes, averaged over samples and voxels.

    Args:
        teacher_logits: [B, C, ...].
        student_logits: [B, C, ...].
        temperature: T, applied to both.
        t_squared: multiply by T**2 (Hinton et al. 2015), so that gradients keep their size when T changes.
        detach_teacher: let no gradient flow into the teacher.
        temper_teacher: False applies T to the student alone, as torchmanager's `KLDiv` does.
        log_of_softmax: take the student's logarithm after its softmax; infinite once that underflows.
    """
    teacher = teacher_logits.detach() if detach_teacher else teacher_logits
    log_t = F.log_softmax(teacher / temperature if temper_teacher else teacher, dim=1)
    student = student_logits / temperature
    log_s = F.softmax(student, dim=1).log() if log_of_softmax else F.log_softmax(student, dim=1)
    divergence = (log_t.exp() * (log_t - log_s)).sum(dim=1).mean()
    return divergence * temperature**2 if t_squared else divergence


def softmax_mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean over samples, classes and voxels of the squared difference of two softmax maps [B, C, ...].

    No gradient flows into the teacher. Source: SSL4MIS@06df604, `train_mean_teacher_3D.py`.
    """
    return F.mse_loss(F.softmax(student_logits, dim=1), F.softmax(teacher_logits.detach(), dim=1))
