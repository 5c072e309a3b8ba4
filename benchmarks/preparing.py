"""How fast cases are prepared, beside nnU-Net's own preprocessing of the same cases to the same spacing.

Usage: `python benchmarks/preparing.py [--cases 8] [--size 256 256 96] [--seed 0]`.

Both read compressed NIfTI (CT, LAS axes), turn it to RAS, normalise, resample image and label map to one
spacing and write arrays to train from, with two processes on two cores. Parallax runs its `prepare` and
`misalign` scripts on two halves, as the workflow does; nnU-Net runs its `DefaultPreprocessor` with two
workers, once with its own cubic interpolation and once with linear, as Parallax does. Start-up of the
processes counts; nnU-Net's fingerprint and planning do not. The last line compares the outputs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from parallax.case import Volume
from parallax.data.files import read_json, write_json
from parallax.data.volumes import write_volume
from parallax.plugin import plugin_root

SPACING_MM, TARGET_MM = (1.2, 1.2, 2.5), (1.5, 1.5, 2.0)
STRUCTURES = 13
SCRIPTS = plugin_root() / "workflow" / "scripts"


def write_cases(folder: Path, n_cases: int, size: tuple[int, int, int], seed: int) -> list[str]:
    """CT-like cases (noise, a body, 13 ellipsoids) along LAS axes, in the folders of an nnU-Net dataset."""
    ids = [f"case{i:03d}" for i in range(n_cases)]
    affine = np.diag([-SPACING_MM[0], SPACING_MM[1], SPACING_MM[2], 1.0])
    grid = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in size), indexing="ij", sparse=True)
    for index, case in enumerate(ids):
        rng = np.random.default_rng([seed, index])
        label = np.zeros(size, dtype=np.uint8)
        for structure in range(1, STRUCTURES + 1):
            centre, semi = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.08, 0.3, 3)
            reach = sum(((g - c) / s) ** 2 for g, c, s in zip(grid, centre, semi, strict=True))
            label[np.asarray(reach) < 1] = structure
        body = np.asarray(grid[0] ** 2 + grid[1] ** 2 < 0.8) & np.ones(size, dtype=bool)
        image = np.where(body, 40.0 + 8 * label, -1000.0) + rng.normal(0, 12, size)
        write_volume(Volume(image.astype(np.int16), affine), folder / "imagesTr" / f"{case}_0000.nii.gz")
        write_volume(Volume(label, affine), folder / "labelsTr" / f"{case}.nii.gz")
    return ids


def parallax_s(raw: Path, ids: list[str], out: Path) -> float:
    """Wall seconds of `prepare` and `misalign` on two halves side by side."""
    lines = ["case,CT,CT_label", *(f"{i},imagesTr/{i}_0000.nii.gz,labelsTr/{i}.nii.gz" for i in ids)]
    (raw / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = {
        "root": str(raw),
        "manifest": "cases.csv",
        "modalities": {"CT": {"kind": "ct"}},
        "classes": {f"structure{i}": i for i in range(1, STRUCTURES + 1)},
        "spacing_mm": list(TARGET_MM),
    }
    write_json({"train": ids[::2], "test": ids[1::2]}, out / "split.json")
    start = time.perf_counter()
    with ThreadPoolExecutor() as side_by_side:
        codes = list(
            side_by_side.map(lambda part: _prepare(part, json.dumps(options), out), ("train", "test"))
        )
    if any(codes):
        sys.exit("Parallax could not prepare the cases; see above")
    return time.perf_counter() - start


def _prepare(part: str, options: str, out: Path) -> int:
    """Run `prepare` and then `misalign` for one half; returns the exit status of what failed, or 0."""
    prepared, level = out / "prepared" / part, json.dumps({"name": "aligned", "severity": 0})
    prepare = [
        "--dataset",
        "folder",
        "--options",
        options,
        "--split",
        out / "split.json",
        "--raw",
        out / "raw",
    ]
    misalign = ["--prepared", prepared, "--misalignment", level]
    steps = (("prepare.py", prepare, prepared), ("misalign.py", misalign, out / "aligned" / part))
    for script, values, target in steps:
        command = [sys.executable, SCRIPTS / script, *values, "--part", part, "--out", target]
        if code := subprocess.run(command, check=False).returncode:
            return code
    return 0


def nnunet_plan(root: Path, n_cases: int) -> dict[str, str]:
    """Fingerprint and plans of nnU-Net with the target spacing put in; returns the environment to run it."""
    places = {f"nnUNet_{k}": str(root / k) for k in ("raw", "preprocessed", "results")}
    environment = {**os.environ, **places, "nnUNet_def_n_proc": "2", "nnUNet_n_proc_DA": "1"}
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0} | {f"structure{i}": i for i in range(1, STRUCTURES + 1)},
        "numTraining": n_cases,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "NibabelIOWithReorient",
    }
    write_json(description, root / "raw" / "Dataset001_speed" / "dataset.json")
    _nnunet("plan_and_preprocess_api as api; api.extract_fingerprints([1], num_processes=2)", environment)
    _nnunet("plan_and_preprocess_api as api; api.plan_experiments([1])", environment)
    return environment


def nnunet_s(root: Path, environment: dict[str, str], order: int) -> float:
    """Wall seconds of nnU-Net's preprocessing with two workers and interpolation of this order."""
    path = root / "preprocessed" / "Dataset001_speed" / "nnUNetPlans.json"
    plans = read_json(path)
    full: dict[str, Any] = plans["configurations"]["3d_fullres"]
    full["spacing"] = list(reversed(TARGET_MM))
    full["resampling_fn_data_kwargs"]["order"] = order
    write_json(plans, path)
    start = time.perf_counter()
    _nnunet(
        "plan_and_preprocess_api as api; "
        "api.preprocess([1], configurations=['3d_fullres'], num_processes=[2], verbose=False)",
        environment,
    )
    return time.perf_counter() - start


def _nnunet(what: str, environment: dict[str, str]) -> None:
    code = f"if __name__ == '__main__':\n    from nnunetv2.experiment_planning import {what}\n"
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:  # spawned workers import the main file
        script.write(code)
        script.flush()
        subprocess.run([sys.executable, script.name], env=environment, check=True, capture_output=True)


def likeness(root: Path, out: Path, case: str) -> str:
    """How much the arrays of one case agree: shape, correlation of images, share of equal label voxels."""
    program = (
        "import sys; from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class as f\n"
        "import numpy as np\n"
        "data, seg, *_ = f(sys.argv[1])(sys.argv[1]).load_case(sys.argv[2])\n"
        "np.savez(sys.argv[3], data=np.asarray(data[0]), seg=np.asarray(seg[0]))\n"
    )
    folder = root / "preprocessed" / "Dataset001_speed" / "nnUNetPlans_3d_fullres"
    held = out / "nnunet.npz"
    subprocess.run([sys.executable, "-c", program, str(folder), case, str(held)], check=True)
    theirs = np.load(held)
    image = np.load(out / "aligned/train/arrays" / f"{case}.image.npy")[0]
    label = np.load(out / "aligned/train/arrays" / f"{case}.label.npy")[0]
    data, seg = theirs["data"].transpose(2, 1, 0), theirs["seg"].transpose(2, 1, 0)
    if data.shape != image.shape:
        return f"shapes differ: {image.shape} and {data.shape}"
    inside = label > 0  # outside, the two clip at different HU
    r = np.corrcoef(image[inside], data[inside])[0, 1]
    equal = (label == seg).mean()
    return f"shape {image.shape}, images correlate {r:.4f} in structures, {equal:.2%} of label voxels equal"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=3, default=(256, 256, 96))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root, out = Path(place), Path(place) / "parallax"
        ids = write_cases(root / "raw" / "Dataset001_speed", given.cases, tuple(given.size), given.seed)
        environment = nnunet_plan(root, given.cases)
        cubic = nnunet_s(root, environment, 3)
        linear = nnunet_s(root, environment, 1)
        ours = parallax_s(root / "raw" / "Dataset001_speed", ids, out)
        size, n = "x".join(map(str, given.size)), given.cases
        print(f"{n} cases of {size}, {SPACING_MM} to {TARGET_MM} mm, 2 cores")
        for name, seconds in (("Parallax", ours), ("nnU-Net, linear", linear), ("nnU-Net, cubic", cubic)):
            print(f"{name:16} {seconds:7.1f} s  {n / seconds * 60:6.1f} cases/min  {seconds / ours:5.2f} x")
        print(f"nnU-Net (linear) and Parallax on {ids[0]}: {likeness(root, out, ids[0])}")


if __name__ == "__main__":
    main()
