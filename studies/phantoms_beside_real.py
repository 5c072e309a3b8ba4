"""Phantom slices beside slices of real scans, at one scale and one window, and their histograms.

Usage: `python studies/phantoms_beside_real.py [--real DIR] [--noncommercial DIR]`.

Writes docs/images/phantoms-beside-real-*.png from samples that may be passed on (Apache-2.0, BSD,
CC BY-SA; sources in docs/phantoms-beside-real.md). Pages with samples for research use only are written to
results/phantoms-beside-real/, never to docs/, and only with `--noncommercial`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from histograms import BODY_HU, ORGAN_HU, SHARES, Curves, body_hu, draw_histograms, scaled
from numpy.typing import NDArray
from panels import Panel, draw_page

from parallax.case import Grid, Volume
from parallax.data.layouts import reorder_axes
from parallax.data.volumes import read_volume
from parallax.errors import DataError, UserError
from parallax.phantom.abdomen import abdomen_subject
from parallax.phantom.canvas import centred_grid
from parallax.phantom.from_labels import Structure, drawn_phase, labels_subject, structure_tissues
from parallax.phantom.heart import heart_subject
from parallax.phantom.orbit import orbit_subject
from parallax.phantom.sampling import Maker
from parallax.phantom.subject import Subject

ROOT = Path(__file__).resolve().parents[1]
SEED = 1
WINDOW_HU = (-160.0, 240.0)
HEART_HU = (-150.0, 450.0)
#: Classes of TotalSegmentator v2 (its class map) that AMOS has, too.
TOTALSEGMENTATOR = {
    1: "spleen", 2: "right_kidney", 3: "left_kidney", 4: "gall_bladder", 5: "liver", 6: "stomach",
    7: "pancreas", 8: "right_adrenal_gland", 9: "left_adrenal_gland", 15: "esophagus", 19: "duodenum",
    21: "bladder", 22: "prostate_uterus", 52: "aorta", 63: "postcava",
}  # fmt: skip


class Samples:
    """Real scans by short name; each is read when it is asked for."""

    FILES = {  # noqa: RUF012
        "ct": "permissive/totalsegmentator/ct_trunk_3mm.nii.gz",
        "ct_label": "permissive/totalsegmentator/ct_trunk_3mm_pseudo-labels-TSv2.nii.gz",
        "mr": "permissive/totalsegmentator/mr_abdomen_3mm.nii.gz",
        "chaos": "sharealike/chaos-ct/chaos_ct3_256.nii.gz",
        "chaos_liver": "sharealike/chaos-ct/chaos_ct3_256_liver.nii.gz",
        "orbit": "permissive/orbit-t1/chris_t1_orbits.nii.gz",
        "heart_label": "permissive/heart-template/mmwhs.nii.gz",
    }

    def __init__(self, root: Path) -> None:
        self.root = root
        missing = [name for name in self.FILES.values() if not (root / name).is_file()]
        if missing:
            raise DataError(
                "Real scans to compare with are not there",
                where=str(root),
                expected="the files that docs/phantoms-beside-real.md lists",
                found=f"without {', '.join(missing[:3])}",
                remedy="give their folder with --real",
            )

    def __getitem__(self, name: str) -> Volume:
        return read_volume(self.root / self.FILES[name], allow_no_codes=True)


def percent_window(volume: Volume) -> tuple[float, float]:
    """From 0 to the 99.5th percentile: how MR is usually looked at."""
    return 0.0, float(np.percentile(volume.array, 99.5))


def slab(spacing_mm: tuple[float, float, float], size_mm: tuple[float, float], z_mm: float) -> Grid:
    """Three axial slices about a height: any part of a phantom looks as in the whole."""
    shape = (int(size_mm[0] / spacing_mm[0]), int(size_mm[1] / spacing_mm[1]), 3)
    grid = centred_grid(shape, spacing_mm)
    grid.affine[2, 3] += z_mm
    return grid


def subject_with(fact: str, value: str, maker: Maker) -> int:
    """First subject of which this was drawn."""
    tiny = centred_grid((4, 4, 4), (40.0, 40.0, 40.0))
    return next(n for n in range(100) if maker(tiny, SEED, n, wanted=()).facts[fact] == value)


def panel(title: str, subject: Subject, modality: str, window: tuple[float, float] | None = None,
          plane: str = "axial", at: float = 0.5, label: bool = False) -> Panel:  # fmt: skip
    """A slice of a phantom."""
    image = Volume(subject.images[modality], subject.grid.affine)
    shown = Volume(subject.label, subject.grid.affine) if label else None
    return Panel(title, image, plane, at, window or percent_window(image), shown)


def abdomen(samples: Samples, out: Path) -> None:
    """CT without contrast and in the portal phase, and MR."""
    plain, portal = (subject_with("phase", phase, abdomen_subject) for phase in ("plain", "portal"))
    ct, chaos, mr = samples["ct"], samples["chaos"], samples["mr"]
    grids = [slab((0.78, 0.78, 5.0), (336.0, 270.0), z) for z in (-30.0, 24.0)]
    rows = []
    for number, name, real, heights in (
        (plain, "plain", ct, (0.74, 0.86)), (portal, "portal", chaos, (0.22, 0.5))
    ):  # fmt: skip
        source = "TotalSegmentator" if name == "plain" else "CHAOS"
        made = [abdomen_subject(grid, SEED, number, wanted=("CT",)) for grid in grids]
        line = [Panel(f"Real CT, {name} ({source})", real, "axial", at, WINDOW_HU) for at in heights]
        rows.append(line + [panel(f"Phantom CT, {name}", one, "CT", WINDOW_HU) for one in made])
    thick = [slab((1.25, 1.25, 6.0), (336.0, 270.0), z) for z in (-30.0, 24.0)]
    made = [abdomen_subject(grid, SEED, portal, (2, 2, 6), ("MR",)) for grid in thick]
    line = [
        Panel("Real MR, T1 (TotalSegmentator)", mr, "axial", at, percent_window(mr)) for at in (0.2, 0.75)
    ]
    rows.append(line + [panel("Phantom MR, T2, fat suppressed", one, "MR") for one in made])
    title = "Abdomen: real scans (left), phantom (right); CT window -160 to 240 HU"
    draw_page(rows, (360.0, 290.0), 50.0, title, out / "phantoms-beside-real-abdomen.png")


def heart(samples: Samples, out: Path, la: Path | None = None) -> None:
    """Phantom CT and MR with labels beside the label map of a patient; with `la` beside left-atrium MR."""
    number = subject_with("regime", "opacified", heart_subject)
    made = heart_subject(centred_grid((144, 144, 80), (1.0, 1.0, 1.5)), SEED, number)
    template = samples["heart_label"]
    small = reorder_axes(template, "RAS")
    held = np.argwhere(small.array > 0)
    low, high = held.min(0) - 20, held.max(0) + 20
    affine = small.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    cut = Volume(small.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]], affine)
    dark = Volume(np.zeros(cut.array.shape, np.uint8), cut.affine)
    rows = []
    for plane, axis in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        own, real = (ventricle(label, axis) for label in (made.label, cut.array))
        rows.append(
            [
                panel("Phantom CT angiography", made, "CT", HEART_HU, plane, own),
                panel("Phantom MR, balanced SSFP", made, "MR", None, plane, own),
                panel("Phantom label map on CT", made, "CT", HEART_HU, plane, own, label=True),
                Panel("Label map of a patient", dark, plane, real, (0, 1), cut, 1.0),
            ]
        )
    if la is not None:
        scan = read_volume(sorted(la.glob("*_image.nii.gz"))[0])
        window = tuple(np.percentile(scan.array, (1, 99.5)).tolist())
        for row in rows:
            row[3] = Panel("Real MR, late enhancement", scan, row[0].plane, 0.5, (window[0], window[1]))
    title = "Heart: phantom beside a real heart; CT window -150 to 450 HU"
    draw_page(rows, (150.0, 150.0), 20.0, title, out / "phantoms-beside-real-heart.png")


def ventricle(label: NDArray[np.integer], axis: int) -> float:
    """Where the centre of the left ventricle (label 3) lies, as a share of the extent along an axis."""
    middle = float(np.argwhere(label == 3)[:, axis].mean())
    return (middle + 0.5) / int(label.shape[axis])


def orbit(samples: Samples, out: Path) -> None:
    """Three contrasts of the phantom beside a real fat-suppressed T1."""
    number = subject_with("disease", "healthy", orbit_subject)
    made = orbit_subject(centred_grid((150, 102, 62), (0.7, 0.7, 0.7)), SEED, number)
    real = samples["orbit"]
    names = {"T1": "Phantom T1", "T1c": "Phantom T1c, fat suppressed", "T2": "Phantom T2, fat suppressed"}
    rows = [
        [Panel("Real T1, fat suppressed", real, plane, at, percent_window(real))]
        + [panel(title, made, modality, None, plane, at) for modality, title in names.items()]
        for plane, at in (("axial", 0.5), ("coronal", 0.4))
    ]
    title = "Orbits: real scan (left), phantom of a healthy subject"
    draw_page(rows, (116.0, 72.0), 20.0, title, out / "phantoms-beside-real-orbit.png")


def labels_to_images(label: Volume, values: Mapping[int, str], phase: str, case: str) -> Subject:
    """Images made from a label map, with the first seed that draws this contrast phase."""
    table = np.zeros(256, np.uint8)
    structures = {}
    for index, (value, name) in enumerate(values.items(), start=1):
        table[value] = index
        structures[index] = Structure(name, structure_tissues()[name])
    ids = Volume(table[label.array.astype(np.uint8)], label.affine)
    seed = next(seed for seed in range(100) if drawn_phase(seed, case) == phase)
    return labels_subject(ids, structures, seed, case, (1.5, 1.5, 3.0))


def from_labels(samples: Samples, out: Path) -> Subject:
    """Images made from the organs of a real CT, beside that CT."""
    ct = reorder_axes(samples["ct"], "RAS")
    made = labels_to_images(samples["ct_label"], TOTALSEGMENTATOR, "plain", "ct_trunk")
    to_share = np.linalg.inv(made.grid.affine)
    rows = []
    for plane, at in (("axial", 0.74), ("axial", 0.86), ("coronal", 0.5)):
        axis = 2 if plane == "axial" else 1
        world = ct.affine[:3, 3] + ct.affine[:3, axis] * int(at * ct.array.shape[axis])
        place = float((to_share @ [*world, 1.0])[axis] + 0.5) / made.grid.shape[axis]
        rows.append(
            [
                Panel("Real CT, plain (TotalSegmentator)", ct, plane, at, WINDOW_HU),
                panel("CT made from its label map", made, "CT", WINDOW_HU, plane, place),
                panel("with the label map", made, "CT", WINDOW_HU, plane, place, label=True),
                panel("MR (T2) made from its label map", made, "MR", None, plane, place),
            ]
        )
    title = "One patient: the real CT, and images made from its label map alone"
    draw_page(rows, (360.0, 330.0), 50.0, title, out / "phantoms-beside-real-labels.png")
    return made


def amos(folder: Path, out: Path) -> None:
    """Images made from AMOS label maps (research use only)."""
    rows = []
    for path in sorted(folder.glob("amos_0001_*_gt.nii.gz")):
        names = dict(enumerate(structure_tissues(), start=1))
        made = labels_to_images(read_volume(path), names, "portal", path.name.split(".")[0])
        title = path.name.removesuffix("_gt.nii.gz")
        rows.append([panel(f"{title}: CT", made, "CT", WINDOW_HU, "axial", at) for at in (0.25, 0.5, 0.7)])
        rows[-1].append(panel(f"{title}: MR", made, "MR", None, "axial", 0.5))
    title = "CT (portal phase) and MR made from AMOS label maps; research use only"
    draw_page(rows, (380.0, 310.0), 50.0, title, out / "phantoms-beside-real-amos.png")


def histograms(samples: Samples, made: Subject, out: Path) -> None:
    """HU in the body and in organs, and MR intensities over their 99.5th percentile."""
    fine = centred_grid((112, 90, 64), (3.0, 3.0, 3.0))
    plain, portal = (
        abdomen_subject(fine, SEED, subject_with("phase", phase, abdomen_subject))
        for phase in ("plain", "portal")
    )
    ct, label, chaos, liver = (
        reorder_axes(samples[name], "RAS").array for name in ("ct", "ct_label", "chaos", "chaos_liver")
    )
    own, portal_ct, remade = plain.images["CT"], portal.images["CT"], made.images["CT"]
    upper = ct[:, :, 69:]  # from the lower end of the liver: what the phantom shows
    by_name = {name: index for index, name in enumerate(TOTALSEGMENTATOR.values(), start=1)}
    orbits = orbit_subject(centred_grid((84, 58, 36), (1.25, 1.25, 1.25)), SEED, 0)
    curves = [
        Curves("CT in the body, plain", BODY_HU, {
            "real (TotalSegmentator)": body_hu(upper), "phantom": body_hu(own),
            "made from its label map": body_hu(remade),
        }),
        Curves("CT in the body, portal phase", BODY_HU, {
            "real (CHAOS)": body_hu(chaos), "phantom": body_hu(portal_ct),
        }),
        Curves("CT of the liver", ORGAN_HU, {
            "real, plain": ct[label == 5], "phantom, plain": own[plain.label == 6],
            "real, portal": chaos[liver > 0], "phantom, portal": portal_ct[portal.label == 6],
        }),
        Curves("CT of the spleen, plain", ORGAN_HU, {
            "real": ct[label == 1], "phantom": own[plain.label == 1],
            "made from its label map": remade[made.label == by_name["spleen"]],
        }),
        Curves("CT of the right kidney, plain", ORGAN_HU, {
            "real": ct[label == 2], "phantom": own[plain.label == 2],
            "made from its label map": remade[made.label == by_name["right_kidney"]],
        }),
        Curves("MR, over its 99.5th percentile", SHARES, {
            "real abdomen, T1": scaled(samples["mr"].array),
            "phantom abdomen, T2": scaled(plain.images["MR"]),
            "real orbit, T1": scaled(samples["orbit"].array),
            "phantom orbit, T1": scaled(orbits.images["T1"]),
        }, "share of the 99.5th percentile"),
    ]  # fmt: skip
    draw_histograms(curves, out / "phantoms-beside-real-histograms.png")


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--real", type=Path, default=ROOT.parent / "shared" / "real-data")
    parser.add_argument("--noncommercial", type=Path, help="folder with amos-labels and la2018-half")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    """Draw every page; 2 when something that is needed is not there."""
    options = arguments(given)
    try:
        samples = Samples(options.real)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    for page in (abdomen, heart, orbit):
        page(samples, options.out)
    histograms(samples, from_labels(samples, options.out), options.out)
    if options.noncommercial:
        local = ROOT / "results" / "phantoms-beside-real"
        heart(samples, local, options.noncommercial / "la2018-half")
        amos(options.noncommercial / "amos-labels", local)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
