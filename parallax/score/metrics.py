"""Dice, NSD, HD95, ASSD and volume difference of a structure, and what counts when a mask is empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.score.nearest import Spacing
from parallax.score.nsd import nsd
from parallax.score.surface import Mask, SurfaceDistances, surface_distances

#: Name of the empty-mask rule; printed under each table and written into the manifest.
EMPTY_RULE = "diagonal"

#: The same rule in words.
EMPTY_RULE_TEXT = (
    "Empty-mask rule “diagonal”: both masks empty, no value and counted apart; one mask empty (missed or "
    "false positive), Dice 0, NSD 0 and HD95 = diagonal of the image in mm, counted as a case."
)

#: Metrics of the tidy table, in its order.
METRICS = ("dice", "nsd", "hd95_mm", "assd_mm", "volume_difference_ml")


@dataclass(frozen=True)
class StructureScore:
    """Status (`ok`, `missed`, `false_positive`, `both_empty`) and one value per metric (NaN: no value)."""

    status: str
    values: Mapping[str, float]


def dice(reference: Mask, prediction: Mask) -> float:
    """2 |A and B| / (|A| + |B|); NaN where both masks are empty."""
    total = _size(reference) + _size(prediction)
    return 2.0 * _size(reference & prediction) / total if total else float("nan")


def hd95_mm(distances: SurfaceDistances) -> float:
    """Directed-max HD95: the larger of the two directed 95th percentiles (linear interpolation), in mm.

    Definition of Metrics Reloaded (Nat Methods 2024); equal to MONAI's `compute_hausdorff_distance`.
    """
    return max(
        float(np.percentile(distances.prediction_to_reference_mm, 95)),
        float(np.percentile(distances.reference_to_prediction_mm, 95)),
    )


def hd95_pooled_mm(distances: SurfaceDistances) -> float:
    """One 95th percentile over both directed sets together, in mm: another statistic, never called HD95.

    It ignores a false island until its boundary passes 5 % of all boundary voxels. For comparison with
    papers that used medpy only.
    """
    return float(np.percentile(_pooled(distances), 95))


def assd_mm(distances: SurfaceDistances) -> float:
    """Average symmetric surface distance: mean over both directed sets together, in mm."""
    return float(_pooled(distances).mean())


def volume_difference_ml(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> float:
    """Volume of the prediction minus volume of the reference, in mL; signed."""
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    return (_size(prediction) - _size(reference)) * voxel_ml


def diagonal_mm(shape: tuple[int, ...], spacing_mm: Spacing) -> float:
    """Length (mm) of the diagonal of an image: the HD95 of a missed structure."""
    return float(np.linalg.norm(np.asarray(shape, dtype=float) * np.asarray(spacing_mm)))


def score_masks(
    reference: Mask,
    prediction: Mask,
    spacing_mm: Spacing,
    penalty_mm: float,
    tolerance_mm: float | None = None,
    *,
    pooled: bool = False,
) -> StructureScore:
    """All metrics of two boolean masks [X, Y, Z] of one grid.

    Args:
        reference: the truth.
        prediction: what is scored.
        spacing_mm: distance of neighbouring voxels along each axis.
        penalty_mm: the image diagonal, HD95 and ASSD where one of the masks is empty.
        tolerance_mm: of the NSD, which is left out without one.
        pooled: adds the pooled HD95 as `hd95_pooled_mm`, for comparison with papers that used it.
    """
    status = _status(bool(reference.any()), bool(prediction.any()))
    if status == "ok":
        distances = surface_distances(reference, prediction, spacing_mm)
        values = {
            "dice": dice(reference, prediction),
            "hd95_mm": hd95_mm(distances),
            "assd_mm": assd_mm(distances),
        }
        values |= {"hd95_pooled_mm": hd95_pooled_mm(distances)} if pooled else {}
        values |= {"nsd": nsd(distances, tolerance_mm)} if tolerance_mm is not None else {}
    else:
        overlap, far_mm = (float("nan"),) * 2 if status == "both_empty" else (0.0, penalty_mm)
        values = {"dice": overlap, "hd95_mm": far_mm, "assd_mm": far_mm}
        values |= {"hd95_pooled_mm": far_mm} if pooled else {}
        values |= {"nsd": overlap} if tolerance_mm is not None else {}
    volume = volume_difference_ml(reference, prediction, spacing_mm)
    values["volume_difference_ml"] = float("nan") if status == "both_empty" else volume
    return StructureScore(
        status, {name: values[name] for name in metric_names(tolerance_mm is not None, pooled)}
    )


def metric_names(with_nsd: bool, pooled: bool) -> tuple[str, ...]:
    """Names of the metrics in the order of tables; the pooled HD95 comes last."""
    names = METRICS if with_nsd else tuple(name for name in METRICS if name != "nsd")
    return (*names, "hd95_pooled_mm") if pooled else names


def score_label_maps(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    classes: Mapping[str, int],
    spacing_mm: Spacing,
    penalty_mm: float,
    tolerances_mm: Mapping[str, float] | None = None,
    *,
    pooled: bool = False,
) -> dict[str, StructureScore]:
    """Scores of each structure (name to label id) of two label maps [X, Y, Z] of one grid.

    `tolerances_mm` holds the tolerance of the NSD of every structure; without it there is no NSD. The rest is
    as in `score_masks`. Each structure is cut out by its box, so the volumes are gone through only once.
    """
    boxes = _boxes(classes.values(), reference, prediction)
    return {
        name: score_masks(
            reference[boxes[label]] == label,
            prediction[boxes[label]] == label,
            spacing_mm,
            penalty_mm,
            None if tolerances_mm is None else tolerances_mm[name],
            pooled=pooled,
        )
        for name, label in classes.items()
    }


def labels_in(label_map: NDArray[Any]) -> list[int]:
    """Label values above 0 that a label map of whole numbers from 0 holds."""
    return [label for label, box in enumerate(_boxes_of_one(label_map, 0), start=1) if box is not None]


def _boxes(labels: Iterable[int], *maps: NDArray[Any]) -> dict[int, tuple[slice, ...]]:
    """The joint bounding box of each label in all maps; an empty one where no map holds it."""
    labels = list(labels)
    found = [_boxes_of_one(labels_of, max(labels, default=0)) for labels_of in maps]
    boxes = {}
    for label in labels:
        held = [own[label - 1] for own in found if own[label - 1] is not None]
        boxes[label] = (
            tuple(
                slice(min(side.start for side in sides), max(side.stop for side in sides))
                for sides in zip(*held, strict=True)
            )
            or (slice(0, 0),) * 3
        )
    return boxes


def _boxes_of_one(labels: NDArray[Any], largest: int) -> list[tuple[slice, ...] | None]:
    from scipy.ndimage import find_objects

    if labels.flags.c_contiguous:
        return list(find_objects(labels, largest))
    # Files are read in Fortran order, and SciPy walks in C order: it is four times faster on the transpose.
    return [box and box[::-1] for box in find_objects(labels.T, largest)]


def _status(reference: bool, prediction: bool) -> str:
    names = {
        (True, True): "ok",
        (True, False): "missed",
        (False, True): "false_positive",
        (False, False): "both_empty",
    }
    return names[(reference, prediction)]


def _size(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _pooled(distances: SurfaceDistances) -> NDArray[np.float64]:
    return np.concatenate([distances.prediction_to_reference_mm, distances.reference_to_prediction_mm])
