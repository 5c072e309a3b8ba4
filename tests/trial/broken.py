"""A tiny method that keeps the contract, and for each check an addition to its class that breaks it."""

GOOD = """
import random

import numpy as np
import torch
from torch import nn

from parallax.case import Prediction
from parallax.learn.losses import dice_ce
from parallax.learn.method import Cost
from parallax.learn.network_method import NetworkMethod, TrainingError
from parallax.learn.networks import one_per_modality


class Tiny(NetworkMethod):
    name = "tiny"
    title = "Tiny"
    source = "a test"
    adapter = "native"
    presets = {"paper": {"weight": 1.0}}

    def set_up(self):
        self.forward_passes_per_step = float(len(self.task.modalities))

    def build(self):
        return one_per_modality(self.task.modality_names, self.seed, self.one)

    def one(self):
        return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, self.task.n_classes, 1))

    def loss(self, net, labelled, unlabelled, clock):
        known, terms = labelled.available & labelled.labelled, {}
        for k, part in enumerate(net):
            rows = known[:, k].nonzero()[:, 0]
            if len(rows):
                scores = part(labelled.image[rows, k : k + 1])
                terms[str(k)] = self.weight(scores, clock) * dice_ce(scores, labelled.label[rows, k])
        return terms

    def weight(self, scores, clock):
        return self.switches["weight"]

    def logits(self, net, image, available):
        return torch.stack([part(image[:, k : k + 1]) for k, part in enumerate(net)], dim=1)
"""

#: What happens to (check that fails, lines added at the end of the class).
BROKEN = {
    "title is empty": ("plug-in file", 'title = " "'),
    "adapter is no literal": ("plug-in file", 'adapter = "".join(["nat", "ive"])'),
    "default is not paper": ("presets and switches", 'presets = {"mine": {"weight": 1.0}}'),
    "text without choices": ("presets and switches", 'presets = {"paper": {"weight": 1.0, "mode": "fast"}}'),
    "choices of no switch": ("presets and switches", 'choices = {"mood": ("good",)}'),
    "adapter of no preset": ("presets and switches", 'preset_adapters = {"other": "heads"}'),
    "unknown adapter": ("presets and switches", 'adapter = "copied"'),
    "builds a list": ("it builds a network", "def build(self):\n    return [self.one()]"),
    "names a switch that is not there": (
        "it trains",
        "def weight(self, scores, clock):\n    return self.switches['wait']",
    ),
    "loss without gradient": (
        "it trains",
        "def weight(self, scores, clock):\n    scores.detach_()\n    return 1.0",
    ),
    "one map only": (
        "shape of the answer",
        "def logits(self, net, image, available):\n    return net[0](image[:, :1])[:, None]",
    ),
    "draws at test time": (
        "the same answer twice",
        "def logits(self, net, image, available):\n"
        "    image = image + torch.rand_like(image)\n"
        "    return torch.stack([part(image[:, k : k + 1]) for k, part in enumerate(net)], dim=1)",
    ),
    "declares a shared map": ("adapter", 'adapter = "broadcast"'),
    "answers the same for all": (
        "adapter",
        "def logits(self, net, image, available):\n"
        "    image = image.where(available[:, :, None, None, None], 0.0)\n"
        "    scores = sum(part(image[:, k : k + 1]) for k, part in enumerate(net))\n"
        "    return torch.stack([scores] * len(net), dim=1)",
    ),
    "looks at an absent modality": (
        "an absent modality, in the answer",
        "def logits(self, net, image, available):\n"
        "    image = image + 0.1 * image.nan_to_num().mean(dim=1, keepdim=True)\n"
        "    return torch.stack([part(image[:, k : k + 1]) for k, part in enumerate(net)], dim=1)",
    ),
    "multiplies an absent modality by 0": (
        "an absent modality, in training",
        "def loss(self, net, labelled, unlabelled, clock):\n"
        "    image = labelled.image * labelled.available[:, :, None, None, None]\n"
        "    pairs = [(net[k](image[:, k : k + 1]), labelled.label[:, k]) for k in range(len(net))]\n"
        "    return {'sum': sum(dice_ce(scores, label) for scores, label in pairs)}",
    ),
    "initial weights of any seed": (
        "same seed, same bits",
        "def build(self):\n    return nn.ModuleList([self.one() for _ in self.task.modalities])",
    ),
    "counts steps in an attribute": (
        "resume",
        "def weight(self, scores, clock):\n    self.n = getattr(self, 'n', 0) + 1\n    return 1.0 / self.n",
    ),
    "reads masks of unlabelled cases": (
        "masks of unlabelled cases",
        "def fit(self, view, scratch):\n"
        "    self.known = sum(s.label is not None for s in view.unlabelled)\n"
        "    return super().fit(view, scratch)\n"
        "def weight(self, scores, clock):\n    return 1.0 + self.known * scores.mean()"
        "\nknown = 0",
    ),
    "needs two items": (
        "batches of one",
        "def weight(self, scores, clock):\n    return 1.0 / (self.budget.batch - 1)",
    ),
    "goes through numpy": (
        "bfloat16",
        "def weight(self, scores, clock):\n    return 1.0 + float(np.abs(scores.detach().numpy()).mean())",
    ),
    "catches the error": (
        "a NaN stops the run",
        "def fit(self, view, scratch):\n"
        "    try:\n        return super().fit(view, scratch)\n"
        "    except TrainingError:\n        return Cost(0, 0, 0, 0.0, 0.0, 0.0, 'none')",
    ),
    "normalises over the batch": (
        "alone and among others",
        "def logits(self, net, image, available):\n"
        "    there = [image[:, k][available[:, k]] for k in range(len(net))]\n"
        "    means = [x.std() + 0.1 if len(x) else 1.0 for x in there]\n"
        "    return torch.stack([p(image[:, k : k + 1] / means[k]) for k, p in enumerate(net)], dim=1)",
    ),
    "keeps a result outside the net": (
        "saved weights",
        "def fit(self, view, scratch):\n"
        "    cost = super().fit(view, scratch)\n    self.scale = 2.0\n    return cost\n"
        "scale = 1.0\n"
        "def logits(self, net, image, available):\n"
        "    return self.scale * torch.stack([p(image[:, k : k + 1]) for k, p in enumerate(net)], dim=1)",
    ),
    "saves code": (
        "saved weights",
        "def save(self, folder):\n    super().save(folder)\n    torch.save(self.net, folder / 'whole.pt')",
    ),
    "knows two modalities": (
        "one and three modalities",
        "def build(self):\n    return one_per_modality(('CT', 'MR'), self.seed, self.one)",
    ),
    "knows paired tasks": (
        "unpaired cases",
        "def weight(self, scores, clock):\n"
        "    return {'registered': 1.0, 'same_subject': 0.5}[self.task.pairing]",
    ),
    "maps of the wrong type": (
        "label maps",
        "def predict(self, view):\n"
        "    maps = super().predict(view).label_maps\n"
        "    return Prediction({name: found.astype('int64') for name, found in maps.items()})",
    ),
    "learns from test cases": (
        "test cases leave no trace",
        "def predict(self, view):\n"
        "    with torch.no_grad():\n"
        "        for part in self.net:\n            part[2].weight.copy_(part[2].weight.roll(1, 0))\n"
        "    return super().predict(view)",
    ),
    "reads the truth": (
        "test cases leave no trace",
        "def predict(self, view):\n"
        "    found = super().predict(view)\n"
        "    truth = {name: volume.array for name, volume in (view.truth or {}).items()}\n"
        "    return Prediction({**found.label_maps, **truth})",
    ),
    "seeds the global generator": (
        "settings of the process",
        "def weight(self, scores, clock):\n    random.seed(0)\n    return 1.0",
    ),
    "counts too few networks": ("cost", "def set_up(self):\n    self.forward_passes_per_step = 0.5"),
}
