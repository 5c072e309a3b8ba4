"""Cross teaching: a convolutional network and a transformer learn from each other's likeliest classes."""

from __future__ import annotations

from torch import Tensor, nn

from parallax.learn.fusion import half_dice_ce
from parallax.learn.network_method import Batch, Clock
from parallax.learn.two_branches import TwoBranches


class CrossTeaching(TwoBranches):
    """Luo, Hu, Song, Wang, Zhang: Semi-Supervised Segmentation via Cross Teaching of CNN and Transformer."""

    name = "cross_teaching"
    title = "Cross Teaching (re-implementation from released code)"
    source = "arXiv 2112.04894; HiLab-git/SSL4MIS@06df604, train_cross_teaching_between_cnn_transformer_2D.py"
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 0.1,
            "ramp_fraction": 1.0,
            "ramp_stairs": 0,
            "dimensions": "3d",
            "plane": "axial",
            "transformer_rate": 0.05,
            "predict_with": "cnn",
        },
        "released": {"ramp_stairs": 200},
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {
        "input": ("fused", "per_modality"),
        "dimensions": ("3d", "2d"),
        "plane": ("axial", "coronal", "sagittal"),
        "predict_with": ("cnn", "transformer", "mean"),
    }
    at_prediction = ("predict_with",)

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 of both on labelled crops; lambda(t) times Dice on what the other says."""
        cnn, transformer = self.see(learner, labelled.image, labelled.available)
        terms = {
            "supervised/cnn": half_dice_ce(cnn.logits, labelled),
            "supervised/transformer": half_dice_ce(transformer.logits, labelled),
        }
        if unlabelled is not None:
            cnn, transformer = self.see(learner, unlabelled.image, unlabelled.available)
            terms |= self.taught_by_each_other(cnn.logits, transformer.logits, unlabelled.available, clock)
        return terms
