"""Unpaired multi-modal segmentation: kernels shared, a norm per modality, class means that agree (UMMKD)."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import torch
from torch import Tensor, nn

from parallax.case import IGNORE
from parallax.learn.availability import where_available
from parallax.learn.batch import Batch
from parallax.learn.loss_forms import dice_robustseg, wce
from parallax.learn.losses import dice_ce, kd
from parallax.learn.nets.ummkd import PublishedSlices, PublishedVolumes, batch_norm
from parallax.learn.network_method import Clock, NetworkMethod
from parallax.learn.networks import UNet, initialised
from parallax.learn.norms import of_modality, replace_instance_norms
from parallax.learn.slices import AXES, SliceWise

_L2 = 1e-4
_SURE = 20.0  # logit of background where a slice is left out


class Ummkd(NetworkMethod):
    """Dou, Liu, Heng, Glocker: Unpaired Multi-modal Segmentation via Knowledge Distillation."""

    name = "ummkd"
    title = "UMMKD (re-implementation from released code)"
    source = "Dou et al., IEEE TMI 39(7), 2020, doi 10.1109/TMI.2019.2963882; carrenD/ummkd@06ac478"
    adapter = "native"
    presets = {
        "paper": {
            "network": "suite",
            "dimensions": "3d",
            "plane": "coronal",
            "segmentation_loss": "published",
            "kd_weight": 0.5,
            "temperature": 2.0,
            "kd_missing_class": "skip",
            "l2_scope": "kernels",
            "tconv_depth": "one",
            "phase_shift_order": "pixel_shuffle",
            "predict_all_slices": True,
        },
        "released": {"kd_weight": 0.0, "kd_missing_class": "as_released", "l2_scope": "all_twice"},
        "slices": {"dimensions": "2d"},
        "slices_released": {
            "dimensions": "2d",
            "kd_missing_class": "as_released",
            "phase_shift_order": "tf",
            "predict_all_slices": False,
        },
        "no_distillation": {"kd_weight": 0.0},
    }
    choices = {
        "network": ("suite", "published"),
        "dimensions": ("3d", "2d"),
        "plane": ("coronal", "axial", "sagittal"),
        "segmentation_loss": ("published", "suite"),
        "kd_missing_class": ("skip", "as_released"),
        "l2_scope": ("kernels", "all_twice"),
        "tconv_depth": ("one", "full"),
        "phase_shift_order": ("pixel_shuffle", "tf"),
        "predict_all_slices": (True, False),
    }
    at_prediction = ("predict_all_slices",)
    min_modalities = 2

    def set_up(self) -> None:
        """Networks per step."""
        self.forward_passes_per_step = float(len(self.task.modalities))

    def build(self) -> nn.Module:
        """One network; its kernels serve all modalities, each of its norms is there once per modality."""
        volumes = self.switches["dimensions"] == "3d"
        with initialised(self.seed, "unet/shared"):
            network = self._published() if self.switches["network"] == "published" else self._suite()
        return network if volumes else SliceWise(network, self.switches["plane"])

    def loss(
        self,
        net: nn.Module,
        labelled: Batch,
        unlabelled: Batch | None,  # fully supervised
        clock: Clock,  # no ramp-up in the release
    ) -> dict[str, Tensor]:
        """Segmentation per modality, kd_weight * L_kd between their class means, L2 of the weights."""
        assert labelled.label is not None
        usable, logits, labels = labelled.available & labelled.labelled, {}, {}
        for k, name in enumerate(self.task.modality_names):
            rows = usable[:, k]
            if bool(rows.any()):
                labels[name] = labelled.label[rows, k]
                logits[name] = of_modality(net, k)(labelled.image[rows, k : k + 1])
        if not logits:
            return {}
        terms = {f"segmentation/{name}": self._segmentation(z, labels[name]) for name, z in logits.items()}
        if self.switches["kd_weight"] and len(logits) > 1:
            means = [class_means(z, labels[name], self.task.n_classes) for name, z in logits.items()]
            terms["kd"] = self.switches["kd_weight"] * self._distillation(means)
        return terms | {"l2": self._l2(net)}

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Each modality through the shared kernels with its own norms."""
        images = [image[:, k : k + 1] for k in range(image.shape[1])]
        streams = where_available(images, available, lambda k, x: [of_modality(net, k)(x[0])])
        logits = torch.stack([stream[0] for stream in streams], dim=1)
        if self.switches["dimensions"] == "2d" and not self.switches["predict_all_slices"]:
            return _without_ends(logits, 3 + AXES[self.switches["plane"]])
        return logits

    def _segmentation(self, logits: Tensor, label: Tensor) -> Tensor:
        if self.switches["segmentation_loss"] == "suite":
            return 0.5 * dice_ce(logits, label)
        return dice_robustseg(logits, label) - 1 + wce(logits, label)  # L_dice lies in [-1, 0]

    def _distillation(self, means: list[tuple[Tensor, Tensor]]) -> Tensor:
        values = []
        for (one, in_one), (two, in_two) in combinations(means, 2):
            known = (
                in_one & in_two if self.switches["kd_missing_class"] == "skip" else torch.ones_like(in_one)
            )
            values.append(class_mean_kd(one, two, known, self.switches["temperature"]))
        return torch.stack(values).mean()

    def _l2(self, net: nn.Module) -> Tensor:
        everything = self.switches["l2_scope"] == "all_twice"
        weights = [p for p in net.parameters() if everything or p.dim() > 1]
        squares = torch.stack([(p * p).sum() for p in weights]).sum()
        return (2 if everything else 1) * _L2 * 0.5 * squares

    def _suite(self) -> nn.Module:
        axes = 3 if self.switches["dimensions"] == "3d" else 2
        channels = 1 if axes == 3 else 3
        unet = UNet(channels, self.task.n_classes, self.budget.widths, axes=axes)
        return replace_instance_norms(
            unet, partial(batch_norm, modalities=len(self.task.modalities), axes=axes)
        )

    def _published(self) -> nn.Module:
        classes, modalities = self.task.n_classes, len(self.task.modalities)
        if self.switches["dimensions"] == "3d":
            return PublishedVolumes(classes, modalities, self.switches["tconv_depth"])
        return PublishedSlices(classes, modalities, self.switches["phase_shift_order"])


def class_means(logits: Tensor, label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Mean logits of the voxels of each class, over the whole batch.

    Args:
        logits: [B, C, ...].
        label: int64 [B, ...]; voxels with `IGNORE` take no part.
        classes: C.

    Returns:
        [C, C], row c the sum over the voxels of class c divided by (their number + 1e-6); bool [C], True
        where the class is present.
    """
    z, target = logits.movedim(1, -1).flatten(0, -2), label.flatten()
    known = target != IGNORE
    if not bool(known.all()):
        z, target = z[known], target[known]
    z = z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
    voxels = torch.bincount(target, minlength=classes)
    total = z.new_zeros(classes, classes).index_add(0, target, z)
    return total / (voxels.unsqueeze(1) + 1e-6), voxels > 0


def class_mean_kd(one: Tensor, two: Tensor, known: Tensor, temperature: float) -> Tensor:
    """1/C times the sum over classes of (KL(p || q) + KL(q || p)) / 2, p and q the softened class means.

    Args:
        one: class means of one modality, [C, C].
        two: those of the other.
        known: bool [C], classes that take part; the others count as 0.
        temperature: T; no T^2. Gradient flows into both.
    """
    if not bool(known.any()):
        return (one.sum() + two.sum()) * 0.0
    one, two = one[known], two[known]
    both = [
        kd(p, q, temperature=temperature, t_squared=False, detach_teacher=False)
        for p, q in ((one, two), (two, one))
    ]
    return 0.5 * (both[0] + both[1]) * len(one) / len(known)


def _without_ends(logits: Tensor, axis: int) -> Tensor:
    # The release never predicts the first and the last slice: they stay background.
    ends = torch.zeros(logits.shape[axis], dtype=torch.bool, device=logits.device)
    ends[[0, -1]] = True
    ends = ends.view([-1 if a == axis else 1 for a in range(logits.dim())])
    background = torch.zeros(logits.shape[2], device=logits.device)
    background[0] = _SURE
    return torch.where(ends, background.view(1, 1, -1, 1, 1, 1).to(logits.dtype), logits)
