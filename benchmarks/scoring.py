"""How fast HD95 is computed, beside MONAI, medpy, SimpleITK and DeepMind's surface-distance, and how exactly.

Usage: `python benchmarks/scoring.py [--repeats 5] [--seed 0]`; needs `pip install -e '.[dev,bench]'`.

Pairs are organ-like blobs whose two boundaries disagree by a few mm, with islands. Every tool gets the full
volumes, as its users call it, in one process with one thread; tools take turns, and CPU time is what counts.
Every value of ours is compared with an independent exact one (SciPy's Euclidean distance transform of the
full volume). The first line scores a case of 15 organs in a fresh process: CPU time and growth of memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.score.metrics import diagonal_mm, hd95_mm, score_label_maps
from parallax.score.surface import boundary, surface_distances

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]
Tool = Callable[[Mask, Mask, Spacing], float]

#: Half axes in mm, about those of the organs.
ORGANS = {"liver": (95.0, 75.0, 70.0), "kidney": (30.0, 28.0, 52.0), "adrenal": (14.0, 7.0, 12.0)}
GRIDS: dict[tuple[int, int, int], Spacing] = {
    (256, 256, 256): (1.0, 1.0, 1.0),
    (240, 240, 155): (0.9, 0.9, 1.5),
}
CASE_SHAPE, CASE_SPACING_MM, CASE_ORGANS = (512, 512, 100), (0.75, 0.75, 2.5), 15


def smooth(rng: np.random.Generator, shape: tuple[int, ...], sigma_mm: float, spacing_mm: Spacing) -> Any:
    """Gaussian noise of standard deviation 1 whose bumps are about `sigma_mm` wide."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.normal(size=shape).astype(np.float32), [sigma_mm / s for s in spacing_mm])
    return noise / noise.std()


def organ_pair(
    half_mm: tuple[float, ...], shape: tuple[int, ...], spacing_mm: Spacing, rng: np.random.Generator
) -> tuple[Mask, Mask]:
    """A blob and another one whose boundary lies some mm off, with an island beside it."""
    room = [min(n, int(2.8 * h / s) + 8) for n, h, s in zip(shape, half_mm, spacing_mm, strict=True)]
    grid = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in room), indexing="ij", sparse=True)
    reach = np.sqrt(sum((g * s / h) ** 2 for g, s, h in zip(grid, spacing_mm, half_mm, strict=True)))
    size = float(np.mean(half_mm))
    depth_mm = (1 - reach) * size + 0.08 * size * smooth(rng, tuple(room), 0.3 * size, spacing_mm)
    off_mm = 2.5 * smooth(rng, tuple(room), 6.0, spacing_mm) + smooth(rng, tuple(room), 2.0, spacing_mm)
    other_mm = depth_mm + np.minimum(1.0, size / 30) * off_mm
    island = sum(((g * s - 0.8 * h) ** 2) for g, s, h in zip(grid, spacing_mm, half_mm, strict=True))
    masks = []
    for inside in (depth_mm > 0, (other_mm > 0) | (np.asarray(island) < (0.08 * size) ** 2)):
        mask = np.zeros(shape, dtype=bool)
        mask[tuple(slice((n - r) // 2, (n - r) // 2 + r) for n, r in zip(shape, room, strict=True))] = inside
        masks.append(mask)
    return masks[0], masks[1]


def ours(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> float:
    """Directed-max HD95 of Parallax."""
    return hd95_mm(surface_distances(reference, prediction, spacing_mm))


def monai(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> float:
    """`monai.metrics.compute_hausdorff_distance`, percentile 95 (directed-max)."""
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    pair = (torch.from_numpy(mask[None, None]) for mask in (prediction, reference))
    return float(
        compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing_mm)
    )


def medpy(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> float:
    """`medpy.metric.binary.hd95` (pooled)."""
    from medpy.metric.binary import hd95

    return float(hd95(prediction, reference, voxelspacing=spacing_mm))


def simpleitk(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> float:
    """`LabelContour` and `SignedMaurerDistanceMap`, then the larger of the two directed percentiles.

    `HausdorffDistanceImageFilter` has the maximum only, so this is the usual way to an HD95 with SimpleITK.
    """
    import SimpleITK

    contours, maps = [], []
    for mask in (reference, prediction):
        image = SimpleITK.GetImageFromArray(mask.view(np.uint8))
        image.SetSpacing([float(s) for s in spacing_mm[::-1]])  # the last axis of an array is ITK's first
        contour = SimpleITK.LabelContour(image)
        distance = SimpleITK.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True)
        contours.append(SimpleITK.GetArrayFromImage(contour).astype(bool))
        maps.append(SimpleITK.GetArrayFromImage(SimpleITK.Abs(distance)))
    return max(float(np.percentile(maps[i][contours[1 - i]], 95)) for i in (0, 1))


def deepmind(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> float:
    """`surface_distance.compute_robust_hausdorff`, percentile 95 (directed-max, by area, between corners)."""
    # release 0.1 wants a name that NumPy 2 took away
    vars(np).setdefault("Inf", np.inf)
    from surface_distance import compute_robust_hausdorff, compute_surface_distances

    return float(compute_robust_hausdorff(compute_surface_distances(reference, prediction, spacing_mm), 95))


TOOLS: dict[str, Tool] = {
    "Parallax": ours, "MONAI": monai, "SimpleITK": simpleitk, "DeepMind": deepmind, "medpy": medpy,
}  # fmt: skip


def exact_mm(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> float:
    """Directed-max HD95 by the distance transform of the full volume."""
    from scipy.ndimage import distance_transform_edt

    edges = [boundary(reference), boundary(prediction)]
    maps = [distance_transform_edt(~edge, sampling=spacing_mm) for edge in edges]
    return max(float(np.percentile(maps[i][edges[1 - i]], 95)) for i in (0, 1))


def time_tools(
    pair: tuple[Mask, Mask], spacing_mm: Spacing, repeats: int
) -> dict[str, tuple[float, list[float]]]:
    """Value and CPU seconds of every tool; tools take turns, the first turn warms up and does not count."""
    found: dict[str, tuple[float, list[float]]] = {name: (0.0, []) for name in TOOLS}
    for turn in range(repeats + 1):
        for name, tool in TOOLS.items():
            start = time.process_time()
            value = tool(*pair, spacing_mm)
            spent = time.process_time() - start
            found[name] = (value, found[name][1] + [spent] * (turn > 0))
    return found


def print_pairs(repeats: int, seed: int) -> None:
    """The table of pairs and tools, and how exact the values are."""
    import SimpleITK
    import torch

    torch.set_num_threads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print("| pair | tool | HD95 (mm) | CPU ms, best | median | Parallax is faster by |")
    print("|---|---|---:|---:|---:|---:|")
    worst_mm, fastest, over_medpy = 0.0, [], []
    for shape, spacing_mm in GRIDS.items():
        for organ, half_mm in ORGANS.items():
            pair = organ_pair(half_mm, shape, spacing_mm, np.random.default_rng([seed, len(organ), shape[2]]))
            found = time_tools(pair, spacing_mm, repeats)
            mine = float(np.median(found["Parallax"][1]))
            worst_mm = max(worst_mm, abs(found["Parallax"][0] - exact_mm(*pair, spacing_mm)))
            ratios = {name: float(np.median(spent)) / mine for name, (_, spent) in found.items()}
            fastest.append(min(ratio for name, ratio in ratios.items() if name != "Parallax"))
            over_medpy.append(ratios["medpy"])
            for name, (value, spent) in found.items():
                where = f"{organ}, {'x'.join(map(str, shape))}"
                times = f"{1000 * min(spent):.1f} | {1000 * float(np.median(spent)):.1f}"
                print(f"| {where} | {name} | {value:.4f} | {times} | {ratios[name]:.1f} |", flush=True)
    print(f"\nLargest difference from the exact distance transform: {worst_mm:.1e} mm.")
    least = f"{min(fastest):.1f}, than medpy by at least {min(over_medpy):.1f}"
    print(f"Faster than the fastest other tool by at least {least} (medians).")


def write_case(folder: Path, seed: int) -> None:
    """Two label maps with 15 organ-like blobs."""
    rng = np.random.default_rng([seed, CASE_ORGANS])
    maps = [np.zeros(CASE_SHAPE, dtype=np.uint8) for _ in range(2)]
    halves = [*ORGANS.values(), (50.0, 35.0, 50.0), (30.0, 28.0, 52.0), (45.0, 40.0, 50.0)]
    # the large ones first, so that none is covered up
    sizes = sorted((halves[i % len(halves)] for i in range(CASE_ORGANS)), key=sum, reverse=True)
    for label, half_mm in enumerate(sizes, start=1):
        pair = organ_pair(half_mm, CASE_SHAPE, CASE_SPACING_MM, rng)
        shift = rng.integers(-110, 110, 2)
        for held, mask in zip(maps, pair, strict=True):
            held[np.roll(mask, shift, axis=(0, 1))] = label
    for name, held in zip(("reference", "prediction"), maps, strict=True):
        np.save(folder / f"{name}.npy", held)


def score_case(folder: Path) -> dict[str, float]:
    """Score the case in `folder` in this process: CPU seconds and growth of the peak of memory."""
    classes = {f"organ{label}": label for label in range(1, CASE_ORGANS + 1)}
    reference, prediction = (np.load(folder / f"{name}.npy") for name in ("reference", "prediction"))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    penalty_mm = diagonal_mm(CASE_SHAPE, CASE_SPACING_MM)
    tolerances_mm = dict.fromkeys(classes, 1.5)
    scores = score_label_maps(
        reference, prediction, classes, CASE_SPACING_MM, penalty_mm, tolerances_mm, pooled=True
    )
    spent = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    scored = sum(score.status == "ok" for score in scores.values())
    return {"cpu_s": spent, "growth_mib": grown, "organs": scored}


def print_case(repeats: int, seed: int) -> None:
    """The line of the case of 15 organs, written and scored in fresh processes.

    This process must stay small until then: on Linux a child starts with the peak of its parent.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--seed", str(seed), "--case-folder", folder]
        subprocess.run([*command, "--write-case"], check=True)
        runs = [
            json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            for _ in range(repeats)
        ]
    spent, grown = [run["cpu_s"] for run in runs], max(run["growth_mib"] for run in runs)
    print(
        f"A case of {runs[0]['organs']} organs in {'x'.join(map(str, CASE_SHAPE))}, all metrics: "
        f"{min(spent):.2f} s of CPU time at best, {float(np.median(spent)):.2f} s in the median of "
        f"{repeats}; the peak of memory grows by {grown:.0f} MiB.\n"
    )


def main() -> None:
    """Print the table and the line of the case."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case-folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write-case", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write_case:
        write_case(given.case_folder, given.seed)
    elif given.case_folder:
        print(json.dumps(score_case(given.case_folder)))
    else:
        print_case(given.repeats, given.seed)
        print_pairs(given.repeats, given.seed)


if __name__ == "__main__":
    main()
