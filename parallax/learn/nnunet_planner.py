"""nnU-Net's planner, told the largest patch, the batch size and the width. Imports nnU-Net."""

from __future__ import annotations

from typing import Any

import numpy as np
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

from parallax.case import Budget


class BudgetPlanner(ExperimentPlanner):  # type: ignore[misc]  # nnU-Net has no types
    """`ExperimentPlanner` of nnU-Net 2.8.1 within a budget.

    The patch is capped by handing `budget.patch` to nnU-Net's own topology rules as the median shape of the
    data, so patch, pooling and kernels stay consistent; nnU-Net may round it up to what its pooling divides.
    """

    def __init__(self, dataset: str, budget: Budget) -> None:
        super().__init__(dataset)
        self.budget = budget
        self.UNet_base_num_features = budget.widths[0]
        # Only the full-resolution configuration is trained; 0 stops the search for a low-resolution one.
        self.lowres_creation_threshold = 0.0

    def determine_fullres_target_spacing(self) -> Any:
        """nnU-Net's median spacing, coarser by the factor that the budget allows itself on a CPU."""
        return super().determine_fullres_target_spacing() * self.budget.nnunet_spacing

    def get_plans_for_configuration(
        self, spacing: Any, median_shape: Any, data_identifier: str, n_voxels: float, cache: dict[str, Any]
    ) -> dict[str, Any]:
        """nnU-Net's plans of one configuration, with patch, batch size and width from the budget."""
        capped = np.minimum(median_shape, self._cap()[-len(spacing) :])
        plan: dict[str, Any] = super().get_plans_for_configuration(
            spacing, capped, data_identifier, n_voxels, cache
        )
        return plan | {"median_image_size_in_voxels": median_shape, "batch_size": self.budget.batch}

    def _cap(self) -> Any:
        transpose_forward = self.determine_transpose()[0]
        patch = np.array(self.budget.patch[::-1]) / self.budget.nnunet_spacing
        return np.ceil(patch).astype(int)[transpose_forward]
