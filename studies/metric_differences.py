"""How our metrics relate to those of other tools. Prints the tables of docs/metrics.md.

Usage: `python studies/metric_differences.py`; needs `pip install -e '.[dev]'`. All is computed on masks made
here: balls whose NSD is known in closed form, the eight golden cases of tests/golden/hd95.json, 20 cases
of which three are missed, and 200 seeded pairs of smooth random blobs at anisotropic spacings.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from parallax.plugin import plugin_root
from parallax.score.metrics import assd_mm, diagonal_mm, dice, hd95_mm, hd95_pooled_mm, score_masks
from parallax.score.nsd import boundary_areas_mm2, nsd
from parallax.score.surface import SurfaceDistances, surface_distances

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]
Pair = tuple[Mask, Mask, Spacing]

PAIRS, TOLERANCE_MM = 200, 2.0
BALL_SHIFTS_MM = ((3.0, 0.0, 0.0), (0.0, 4.0, 0.0), (2.0, 2.0, 2.0))
BALL_SPACINGS_MM: tuple[Spacing, ...] = ((1.0, 1.0, 1.0), (0.8, 0.8, 2.5))


def ball(
    radius_mm: float, spacing_mm: Sequence[float], centre: Sequence[float], shape: Sequence[int]
) -> Mask:
    """Voxels whose centre lies within `radius_mm` of `centre` (in voxels)."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    squares = (((axis - c) * s) ** 2 for axis, c, s in zip(axes, centre, spacing_mm, strict=True))
    return np.asarray(sum(squares) <= radius_mm**2)


def golden_pairs() -> dict[str, tuple[Pair, dict[str, Any]]]:
    """The masks of the golden cases, and what is written of each."""
    cases = json.loads((plugin_root() / "tests" / "golden" / "hd95.json").read_text(encoding="utf-8"))
    return {name: (_golden_pair(case), case) for name, case in cases.items()}


def _golden_pair(case: dict[str, Any]) -> Pair:
    shape, centre = (96, 96, 96), np.array([36, 36, 36])
    spacing_mm = tuple(float(s) for s in case["reference"]["spacing_mm"])
    reference = ball(case["reference"]["radius"], spacing_mm, centre, shape)
    if "shift" in case:
        moved = ball(case["reference"]["radius"], spacing_mm, centre + case["shift"], shape)
        return reference, moved, spacing_mm
    blob = ball(case["blob"]["radius"], spacing_mm, centre + case["blob"]["offset"], shape)
    return reference, reference | blob, spacing_mm


def blob_pair(seed: int) -> Pair:
    """Two smooth random blobs and their spacing; none is empty, and the outermost layer is background."""
    rng = np.random.default_rng([7, seed])
    drawn = [1.0, rng.uniform(0.6, 1.5), rng.uniform(1.5, 4.0)]
    first, second, third = (float(s) for s in rng.permutation(drawn))
    spacing_mm = (first, second, third)
    shape = tuple(round(rng.uniform(24, 32) / s) for s in spacing_mm)
    common, own = (_noise(rng, shape, sigma_mm, spacing_mm) for sigma_mm in (5.0, 3.0))
    fields = (common, common + rng.uniform(0.1, 0.7) * own)
    masks = [np.pad(field > rng.uniform(0.6, 1.0), 1) for field in fields]
    for mask in masks:
        mask[tuple(n // 2 for n in mask.shape)] = True
    return masks[0], masks[1], spacing_mm


def _noise(rng: np.random.Generator, shape: Sequence[int], sigma_mm: float, spacing_mm: Spacing) -> Any:
    made = gaussian_filter(rng.normal(size=shape), np.divide(sigma_mm, spacing_mm), mode="constant")
    return made / made.std()


def monai_mm(pair: Pair) -> tuple[float, float]:
    """HD95 and symmetric average distance of MONAI."""
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_distance import compute_average_surface_distance

    reference, prediction, spacing_mm = pair
    maps = [torch.from_numpy(mask[None, None]) for mask in (prediction, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI deprecates options of its own
        hd95 = compute_hausdorff_distance(*maps, include_background=True, percentile=95, spacing=spacing_mm)
        mean = compute_average_surface_distance(
            *maps, include_background=True, symmetric=True, spacing=spacing_mm
        )
    return float(hd95), float(mean)


def simpleitk_mm(pair: Pair) -> tuple[float, float]:
    """HD95 and mean over both directions, from SimpleITK's contours and signed Maurer distance maps."""
    import SimpleITK

    *masks, spacing_mm = pair
    contours, maps = [], []
    for mask in masks:
        image = SimpleITK.GetImageFromArray(mask.view(np.uint8))
        image.SetSpacing([float(s) for s in spacing_mm[::-1]])
        contour = SimpleITK.LabelContour(image)
        distance = SimpleITK.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True)
        contours.append(SimpleITK.GetArrayFromImage(contour).astype(bool))
        maps.append(np.abs(SimpleITK.GetArrayFromImage(distance)))
    directed = [maps[i][contours[1 - i]] for i in (0, 1)]
    return max(float(np.percentile(d, 95)) for d in directed), float(np.concatenate(directed).mean())


def deepmind(pair: Pair, tolerance_mm: float) -> tuple[float, float, float]:
    """Robust HD95 (mm), NSD and area of the reference (mm2) of DeepMind's surface-distance."""
    vars(np).setdefault("Inf", np.inf)  # release 0.1 wants a name that NumPy 2 took away
    from surface_distance import metrics

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it calls SciPy by an old name
        found = metrics.compute_surface_distances(pair[0], pair[1], pair[2])
    hd95 = float(metrics.compute_robust_hausdorff(found, 95))
    return (
        hd95,
        float(metrics.compute_surface_dice_at_tolerance(found, tolerance_mm)),
        found["surfel_areas_gt"].sum(),
    )


def by_voxels(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """What the NSD would be if every boundary voxel counted alike: wrong, and close on cubic voxels."""
    near = [s.nearest_mm <= tolerance_mm * (1 + 1e-6) for s in (distances.reference, distances.prediction)]
    return float(np.concatenate(near).mean())


def compare_pairs(count: int = PAIRS) -> dict[str, NDArray[np.float64]]:
    """By name, the values [count] of ours, of the others, and of four wrong versions of ours."""
    found: dict[str, list[float]] = {}
    for seed in range(count):
        pair = blob_pair(seed)
        ours, blind = surface_distances(*pair), surface_distances(*pair[:2], (1.0, 1.0, 1.0))
        monai, itk, dm = monai_mm(pair), simpleitk_mm(pair), deepmind(pair, TOLERANCE_MM)
        values = {
            "hd95": hd95_mm(ours), "assd": assd_mm(ours), "nsd": nsd(ours, TOLERANCE_MM),
            "area": float(boundary_areas_mm2(ours.reference, pair[2]).sum()),
            "monai hd95": monai[0], "monai assd": monai[1], "itk hd95": itk[0], "itk assd": itk[1],
            "deepmind hd95": dm[0], "deepmind nsd": dm[1], "deepmind area": dm[2],
            "pooled hd95": hd95_pooled_mm(ours), "spacing forgotten hd95": hd95_mm(blind),
            "spacing forgotten nsd": nsd(blind, TOLERANCE_MM),
            "unweighted nsd": by_voxels(ours, TOLERANCE_MM),
        }  # fmt: skip
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


def peer_lines(found: dict[str, NDArray[np.float64]]) -> Iterator[str]:
    """Differences over all pairs, ours or a wrong version of ours minus the other tool."""
    yield "| ours minus theirs | mean | mean size | least | largest |"
    yield "|---|---:|---:|---:|---:|"
    for name, mine, theirs in (
        ("HD95, MONAI (mm)", "hd95", "monai hd95"),
        ("ASSD, MONAI (mm)", "assd", "monai assd"),
        ("HD95, SimpleITK (mm)", "hd95", "itk hd95"),
        ("ASSD, SimpleITK (mm)", "assd", "itk assd"),
        ("HD95, DeepMind (mm)", "hd95", "deepmind hd95"),
        ("*pooled* HD95, DeepMind (mm)", "pooled hd95", "deepmind hd95"),
        ("HD95 with the *spacing forgotten*, DeepMind (mm)", "spacing forgotten hd95", "deepmind hd95"),
        ("NSD at 2 mm, DeepMind", "nsd", "deepmind nsd"),
        ("NSD *by voxels*, DeepMind", "unweighted nsd", "deepmind nsd"),
        ("NSD with the *spacing forgotten*, DeepMind", "spacing forgotten nsd", "deepmind nsd"),
    ):
        off = np.round(found[mine] - found[theirs], 4)
        cells = (off.mean(), np.abs(off).mean(), off.min(), off.max())
        yield f"| {name} | " + " | ".join(f"{cell + 0.0:.3f}" for cell in cells) + " |"


def ball_values(
    spacing_mm: Spacing, shift_mm: Sequence[float], tolerance_mm: float
) -> tuple[float, float, float, float]:
    """NSD of a ball of 20 mm and the same moved: in closed form, ours, DeepMind's, and by voxels."""
    shape = [int(64 / s) for s in spacing_mm]
    centre = (np.array(shape) - 1) / 2 + 0.3
    pair = (
        ball(20.0, spacing_mm, centre, shape),
        ball(20.0, spacing_mm, centre + np.divide(shift_mm, spacing_mm), shape),
        spacing_mm,
    )
    ours = surface_distances(*pair)
    return (
        ball_nsd(20.0, float(np.linalg.norm(shift_mm)), tolerance_mm), nsd(ours, tolerance_mm),
        deepmind(pair, tolerance_mm)[1], by_voxels(ours, tolerance_mm),
    )  # fmt: skip


def ball_nsd(radius_mm: float, shift_mm: float, tolerance_mm: float) -> float:
    """NSD of two equal balls: the part of a sphere whose distance to the other one is within tolerance.

    On a sphere the area goes evenly with the cosine u of the angle to the shift, and a point of it lies
    sqrt(r^2 + s^2 - 2 r s u) from the other centre.
    """
    edges = [
        (radius_mm**2 + shift_mm**2 - (radius_mm + t) ** 2) / (2 * radius_mm * shift_mm)
        for t in (tolerance_mm, -tolerance_mm)
    ]
    low, high = (min(1.0, max(-1.0, edge)) for edge in edges)
    return (high - low) / 2


def ball_lines() -> Iterator[str]:
    """NSD of moved balls, where the right value is known."""
    yield "| spacing (mm) | moved by (mm) | tolerance (mm) | closed form | ours | DeepMind | by voxels |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    off = []
    for spacing_mm in BALL_SPACINGS_MM:
        for shift_mm in BALL_SHIFTS_MM:
            for tolerance_mm in (1.0, 2.0):
                exact, *others = ball_values(spacing_mm, shift_mm, tolerance_mm)
                off.append([abs(value - exact) for value in others])
                where = " | ".join(" × ".join(f"{v:g}" for v in values) for values in (spacing_mm, shift_mm))
                yield (
                    f"| {where} | {tolerance_mm:g} | "
                    + " | ".join(f"{v:.3f}" for v in (exact, *others))
                    + " |"
                )
    yield "| mean size of the error | | | | " + " | ".join(f"{v:.3f}" for v in np.mean(off, axis=0)) + " |"


def golden_lines() -> Iterator[str]:
    """The golden cases under both definitions of HD95, beside MONAI and DeepMind."""
    yield "| case | Dice | HD95 (mm) | hd95_pooled_mm | MONAI (mm) | DeepMind (mm) | NSD at 1 mm |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, (pair, _) in golden_pairs().items():
        ours, dm = surface_distances(*pair), deepmind(pair, 1.0)
        cells = (hd95_mm(ours), hd95_pooled_mm(ours), monai_mm(pair)[0], dm[0], nsd(ours, 1.0))
        yield f"| {name} | {dice(*pair[:2]):.5f} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |"


def missed_cases() -> list[Any]:
    """Scores of 20 cases: a ball of 16 mm, the prediction 1 to 4 voxels of 2 mm off, three times empty."""
    shape, spacing_mm, centre = (48, 48, 48), (2.0, 2.0, 2.0), np.array([23, 23, 23])
    reference = ball(16.0, spacing_mm, centre, shape)
    predictions = [ball(16.0, spacing_mm, centre + np.eye(3)[i % 3] * (1 + i % 4), shape) for i in range(17)]
    predictions += [np.zeros_like(reference)] * 3
    penalty_mm = diagonal_mm(shape, spacing_mm)
    return [score_masks(reference, prediction, spacing_mm, penalty_mm) for prediction in predictions]


def rule_lines() -> Iterator[str]:
    """Mean and median HD95 of `missed_cases`, by what a missed structure counts as."""
    scores = missed_cases()
    found = [score.values["hd95_mm"] for score in scores if score.status == "ok"]
    penalty_mm = next(score.values["hd95_mm"] for score in scores if score.status == "missed")
    missed = len(scores) - len(found)
    yield "| a missed case counts as | mean HD95 (mm) | median HD95 (mm) |"
    yield "|---|---:|---:|"
    rules = {
        "0": [0.0] * missed, "dropped": [], "fixed 100": [100.0] * missed,
        f"image diagonal ({penalty_mm:.0f} mm), the rule here": [penalty_mm] * missed,
        "infinite": [math.inf] * missed,
    }  # fmt: skip
    for name, counted in rules.items():
        values = [*found, *counted]
        mean = "∞" if math.inf in values else f"{fmean(values):.2f}"
        yield f"| {name} | {mean} | {median(values):.2f} |"


def main() -> None:
    """Print every table under the heading that it has in the docs."""
    for title, lines in (
        ("Golden cases", golden_lines()),
        ("What the rule does to a mean", rule_lines()),
        ("NSD of moved balls", ball_lines()),
        (f"{PAIRS} pairs of blobs", peer_lines(compare_pairs())),
    ):
        print(f"\n{title}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
