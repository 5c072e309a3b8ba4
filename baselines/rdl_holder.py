"""Robust divergence learning: one backbone, norms per modality, every subset of modalities is supervised."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.case import IGNORE
from parallax.learn.availability import subsets, where_available
from parallax.learn.batch import Batch
from parallax.learn.losses import dice_ce
from parallax.learn.nets.rdl_holder import PublishedUNet, VariationalHead
from parallax.learn.network_method import Clock, NetworkMethod
from parallax.learn.networks import UNet, initialised
from parallax.learn.norms import ModalityNorm, group_norm, of_modality, replace_instance_norms

_MOST_SUBSETS = 15  # in one step: all of them up to four modalities


class RdlHolder(NetworkMethod):
    """Cheng, Sun, Zhang, Li: Robust Divergence Learning for Missing-Modality Segmentation."""

    name = "rdl_holder"
    title = "RDL-Hölder (re-implementation from released code)"
    source = "Cheng et al., arXiv 2411.08305, 2507.01254; Lboy11/Brain-Tumor-Segmentation@3607842"
    adapter = "native"
    presets = {
        "paper": {
            "network": "suite",
            "norm": "instance",
            "segmentation_loss": "published",
            "holder_weight": 1.0,
            "holder_alpha": 1.1,
            "holder_axis": "class",
            "output_activation": "softmax",
            "vid_weight": 1.0,
            "vid_trainable": True,
            "detach_full": True,
            "subset_reduction": "mean",
            "taught": "every_subset",
            "unlabelled": False,
            "output": "own",
        },
        "with_unlabelled": {"unlabelled": True},
        "fused": {"output": "fused"},
        "released": {
            "holder_axis": "depth",
            "output_activation": "sigmoid",
            "vid_trainable": False,
            "detach_full": False,
            "subset_reduction": "sum",
        },
        "no_divergence": {"holder_weight": 0.0, "vid_weight": 0.0},
        "single_modalities": {"taught": "single_modalities"},
        "group_norm": {"norm": "group"},
    }
    preset_adapters = {"fused": "broadcast"}
    choices = {
        "network": ("suite", "published"),
        "norm": ("instance", "group"),
        "segmentation_loss": ("published", "suite"),
        "holder_axis": ("class", "depth"),
        "output_activation": ("softmax", "sigmoid"),
        "vid_trainable": (True, False),
        "detach_full": (True, False),
        "subset_reduction": ("mean", "sum"),
        "taught": ("every_subset", "single_modalities"),
        "unlabelled": (False, True),
        "output": ("own", "fused"),
    }
    at_prediction = ("output",)
    min_modalities = 2
    needs_pairs = True

    def set_up(self) -> None:
        """One pass per modality, twice with unlabelled crops."""
        self.forward_passes_per_step = float(len(self.task.modalities) * (2 if self.uses_unlabelled else 1))

    def build(self) -> nn.Module:
        """`unet`: kernels shared, a group norm per modality; `vid`: predicts full-set features."""
        with initialised(self.seed, "unet/shared"):
            unet = self._unet()
        with initialised(self.seed, "rdl_holder/vid"):
            published = self.switches["network"] == "published"
            vid = VariationalHead(PublishedUNet.bottleneck if published else self.budget.widths[-1])
        return nn.ModuleDict({"unet": unet, "vid": vid.requires_grad_(self.switches["vid_trainable"])})

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """Segmentation, Hölder and VID term of every subset of the modalities, reduced over the subsets."""
        drawn = self._drawn(clock)
        features, logits = self._streams(net, labelled.image, labelled.available)
        parts: dict[str, list[Tensor]] = {"segmentation": [], "holder": [], "vid": []}
        for members in drawn:
            for key, value in self._supervised(logits, labelled, members).items():
                parts[key].append(value)
        if self.switches["vid_weight"]:
            parts["vid"] = self._transfer(net, features, labelled.available, drawn)
            if unlabelled is not None:
                more, _ = self._streams(net, unlabelled.image, unlabelled.available, decode=False)
                parts["vid_unlabelled"] = self._transfer(net, more, unlabelled.available, drawn)
        return {key: self._reduced(values, len(drawn)) for key, values in parts.items() if values}

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """`own`: each modality's own logits; `fused`: the mean of the available ones, for all modalities."""
        _, logits = self._streams(net, image, available)
        streams = torch.stack(logits, dim=1)
        if self.switches["output"] == "own":
            return streams
        return _mean_of_available(streams, available).unsqueeze(1).expand_as(streams)

    def _unet(self) -> nn.Module:
        classes, modalities = self.task.n_classes, len(self.task.modalities)
        if self.switches["network"] == "published":
            return PublishedUNet(classes, modalities)
        instance = partial(nn.InstanceNorm3d, affine=True)
        norm: Any = instance if self.switches["norm"] == "instance" else group_norm
        return replace_instance_norms(
            UNet(1, classes, self.budget.widths),
            lambda channels: ModalityNorm(partial(norm, channels), modalities),
        )

    def _streams(
        self, net: nn.Module, image: Tensor, available: Tensor, *, decode: bool = True
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Bottlenecks and (with `decode`) logits of each modality; zeros where it is missing."""

        def run(k: int, x: Any) -> list[Tensor]:
            unet: Any = of_modality(net.get_submodule("unet"), k)
            skips = unet.encode(x[0])
            return [skips[-1], unet.head(unet.decode(skips))] if decode else [skips[-1]]

        images = [image[:, k : k + 1] for k in range(image.shape[1])]
        streams = where_available(images, available, run)
        return [stream[0] for stream in streams], [stream[-1] for stream in streams] if decode else []

    def _drawn(self, clock: Clock) -> list[list[int]]:
        """The subsets of this step, as lists of modalities."""
        if self.switches["taught"] == "single_modalities":
            return [[k] for k in range(len(self.task.modalities))]
        every = [[k for k, taken in enumerate(row) if taken] for row in subsets(len(self.task.modalities))]
        if len(every) <= _MOST_SUBSETS:
            return every
        order = torch.randperm(len(every), generator=clock.generator("subsets"))
        return [every[i] for i in order[:_MOST_SUBSETS].tolist()]

    def _supervised(self, logits: list[Tensor], batch: Batch, members: list[int]) -> dict[str, Tensor]:
        """Terms of one subset: the mean of its logits against the mask of each member, averaged over them."""
        assert batch.label is not None
        complete = batch.available[:, members].all(dim=1)
        known = batch.labelled[complete]
        terms: dict[str, list[Tensor]] = {}
        z = fused([logits[k][complete] for k in members])
        for k in members:
            if not bool(known[:, k].any()):
                continue
            label = batch.label[complete, k]
            terms.setdefault("segmentation", []).append(self._segmentation(z, label))
            if self.switches["holder_weight"]:
                holder = self.switches["holder_weight"] * self._holder(z, label)
                terms.setdefault("holder", []).append(holder)
        return {key: torch.stack(values).mean() for key, values in terms.items()}

    def _segmentation(self, z: Tensor, label: Tensor) -> Tensor:
        if self.switches["segmentation_loss"] == "suite":
            return 0.5 * dice_ce(z, label)
        if self.switches["output_activation"] == "sigmoid":
            return dice_gmd(structure_maps(z), label)[1:].mean()
        return dice_gmd(z.float().softmax(dim=1), label).mean()

    def _holder(self, z: Tensor, label: Tensor) -> Tensor:
        alpha = self.switches["holder_alpha"]
        if self.switches["holder_axis"] == "class":
            return holder_over_classes(F.log_softmax(z.float(), dim=1), label, alpha)
        softmax = self.switches["output_activation"] == "softmax"
        maps = z.float().softmax(dim=1) if softmax else structure_maps(z)
        return holder_along_depth(maps[:, 1:], label, alpha)

    def _transfer(
        self, net: nn.Module, features: list[Tensor], available: Tensor, drawn: list[list[int]]
    ) -> list[Tensor]:
        """VID term of every subset: its mean feature shall tell the mean feature of all that is available."""
        full = _mean_of_available(torch.stack(features, dim=1), available)
        full = full.detach() if self.switches["detach_full"] else full
        values = []
        for members in drawn:
            rows = available[:, members].all(dim=1)
            if bool(rows.any()):
                vid = net.get_submodule("vid")(fused([features[k][rows] for k in members]), full[rows])
                values.append(self.switches["vid_weight"] * vid)
        return values

    def _reduced(self, values: list[Tensor], drawn: int) -> Tensor:
        stacked = torch.stack(values)
        if self.switches["subset_reduction"] == "mean":
            return stacked.mean()
        return stacked.sum() * (2 ** len(self.task.modalities) - 1) / drawn


def fused(maps: list[Tensor]) -> Tensor:
    """Mean of the maps of a subset of modalities, [B, ...] each; of one map that map itself."""
    total = maps[0]
    for more in maps[1:]:
        total = total + more
    return total / len(maps)


def dice_gmd(p: Tensor, label: Tensor) -> Tensor:
    """1 - (2 sum(py) + 1) / (sum(p) + sum(y) + 1) of each class, [C]; sums over the whole batch, as released.

    Voxels with `IGNORE` take no part.

    Args:
        p: class maps [B, C, ...], between 0 and 1.
        label: int64 [B, ...].
    """
    p, target = p.movedim(1, 0).flatten(1), label.flatten()
    known = target != IGNORE
    if not bool(known.all()):
        p, target = p[:, known], target[known]
    true_p = p.gather(0, target.unsqueeze(0))[0]
    overlap = p.new_zeros(len(p)).index_add(0, target, true_p)
    size = torch.bincount(target, minlength=len(p))
    return 1 - (2 * overlap + 1) / (p.sum(dim=1) + size + 1)


def _mean_of_available(maps: Tensor, available: Tensor) -> Tensor:
    # [B, K, F, X, Y, Z] to [B, F, X, Y, Z]; the maps of what is missing are zeros.
    return maps.sum(dim=1) / available.sum(dim=1).clamp(min=1)[:, None, None, None, None]


def structure_maps(z: Tensor) -> Tensor:
    """One sigmoid per structure, of its logit less that of background; [B, C, ...], background left 0.

    The largest class of `z` then is a structure where and only where one of the sigmoids exceeds one half.
    """
    sigmoids = torch.sigmoid(z[:, 1:].float() - z[:, :1].float())
    return torch.cat([torch.zeros_like(sigmoids[:, :1]), sigmoids], dim=1)


def holder_divergence(p: Tensor, q: Tensor, alpha: float, dim: int) -> Tensor:
    """-log(sum(pq) / ((sum p^a)^(1/a) (sum q^b)^(1/b))) along `dim`, with 1/a + 1/b = 1.

    Not negative; 0 where p^a is proportional to q^b, which is p = q only for alpha = 2. Scaling p or q does
    not change it.
    """
    beta = alpha / (alpha - 1)
    norm_p = p.pow(alpha).sum(dim).log() / alpha
    norm_q = q.pow(beta).sum(dim).log() / beta
    return norm_p + norm_q - (p * q).sum(dim).log()


def holder_over_classes(log_p: Tensor, label: Tensor, alpha: float) -> Tensor:
    """Mean over known voxels of the divergence between class probabilities and the one-hot label.

    There it is -log p_y + log of the alpha-norm of p: cross-entropy plus a term that is not positive.

    Args:
        log_p: [B, C, ...], logarithms, normalised or not.
        label: int64 [B, ...].
        alpha: above 1.
    """
    voxels = (label != IGNORE).sum().clamp(min=1)
    missed = F.nll_loss(log_p, label, ignore_index=IGNORE, reduction="sum")
    norm = torch.logsumexp(alpha * log_p, dim=1) / alpha
    return (missed + torch.where(label != IGNORE, norm, 0.0).sum()) / voxels


def holder_along_depth(p: Tensor, label: Tensor, alpha: float) -> Tensor:
    """As released: each structure's map and mask go through a softmax along the first spatial axis.

    The softmax is of values between 0 and 1, so that both sides are nearly uniform and a perfect map does not
    score 0. Mean over items, structures and columns that hold a known voxel.

    Args:
        p: maps of the structures [B, C - 1, X, Y, Z].
        label: int64 [B, X, Y, Z].
        alpha: above 1.
    """
    known = (label != IGNORE).unsqueeze(1)
    structures = torch.arange(1, p.shape[1] + 1, device=p.device).view(1, -1, 1, 1, 1)
    mask = (label.unsqueeze(1) == structures).to(p.dtype)
    # exp without its sum is enough: the divergence does not feel the scale
    value = holder_divergence(p.exp() * known, mask.exp() * known, alpha, dim=2)
    columns = known.any(dim=2).expand_as(value)
    return value.abs()[columns].mean()
