"""Sizes of a phantom: from coarse grids for a CPU to the spacing of the data set that it stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from parallax.case import Grid, Volume
from parallax.data.layouts import reorder_axes
from parallax.phantom.canvas import SPLIT, Split, centred_grid
from parallax.phantom.subject import Subject

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Sampling:
    """How one modality is scanned.

    Attributes:
        shape: voxels along x, y and z.
        spacing_mm: distance of voxels; slices are as thick as they are far apart, with a boxcar profile.
        codes: direction in which each stored axis grows.
        split: parts per voxel in which anatomy is painted; many along a thick slice.
    """

    shape: tuple[int, int, int]
    spacing_mm: Spacing
    codes: str
    split: Split = SPLIT

    @property
    def grid(self) -> Grid:
        """The RAS grid, centred on the origin."""
        return centred_grid(self.shape, self.spacing_mm)


@dataclass(frozen=True)
class Size:
    """One size of a family: the spacing in which networks are trained, and how each modality is scanned."""

    frame_mm: Spacing
    scans: Mapping[str, Sampling]


@dataclass(frozen=True)
class Scanned:
    """A subject as it is stored: image and label map of each modality on its own grid, and what was drawn."""

    scans: Mapping[str, tuple[Volume, Volume]]
    facts: Mapping[str, str | float]


class Maker(Protocol):
    """`heart_subject` and its like: some modalities of one subject on one grid."""

    def __call__(  # noqa: D102
        self, grid: Grid, seed: int, subject: int, split: Split = SPLIT, wanted: Collection[str] | None = None
    ) -> Subject: ...


def heart_size(size: str) -> Size:
    """A view of 144 mm round the heart. MM-WHS: CT 0.44 x 0.44 x 0.625 mm, MR 1 mm in slices of up to 1.6."""
    small, default = ((32, 32, 16), (4.5, 4.5, 7.5)), ((48, 48, 32), (3.0, 3.0, 3.75))
    table = {
        "small": (Sampling(*small, "LAS"), Sampling(*small, "RAS")),
        "default": (Sampling(*default, "LAS"), Sampling(*default, "RAS")),
        "fine": (
            Sampling((72, 72, 60), (2.0, 2.0, 2.0), "LAS"),
            Sampling((72, 72, 30), (2.0, 2.0, 4.0), "RAS", (2, 2, 4)),
        ),
        "real": (
            Sampling((328, 328, 192), (0.44, 0.44, 0.625), "LAS", (1, 1, 1)),
            Sampling((144, 144, 75), (1.0, 1.0, 1.6), "RAS", (2, 2, 3)),
        ),
    }
    ct, mr = table[size]
    return Size((1.0, 1.0, 1.0) if size == "real" else ct.spacing_mm, {"CT": ct, "MR": mr})


def abdomen_size(size: str, coronal: bool = False) -> Size:
    """The upper abdomen. AMOS: CT 0.78 x 0.78 x 5 mm; MR in thick slices, axial or `coronal`."""
    small, default = ((32, 32, 16), (9.0, 7.5, 12.0)), ((64, 48, 32), (4.5, 5.0, 6.0))
    stack = Sampling((240, 50, 154), (1.25, 5.0, 1.25), "RSA", (2, 4, 2))
    table = {
        "small": (Sampling(*small, "LAS"), Sampling(*small, "RAS")),
        "default": (Sampling(*default, "LAS"), Sampling(*default, "RAS")),
        "fine": (
            Sampling((96, 80, 64), (3.0, 3.0, 3.0), "LAS"),
            Sampling((96, 80, 32), (3.0, 3.0, 6.0), "RAS", (2, 2, 4)),
        ),
        "real": (
            Sampling((416, 336, 40), (0.78, 0.78, 5.0), "LAS", (1, 1, 5)),
            stack if coronal else Sampling((240, 200, 32), (1.25, 1.25, 6.0), "RAS", (2, 2, 4)),
        ),
    }
    ct, mr = table[size]
    return Size((1.5, 1.5, 3.0) if size == "real" else ct.spacing_mm, {"CT": ct, "MR": mr})


def orbit_size(size: str) -> Size:
    """Both orbits. T1 and T1c are axial, T2 is coronal; a clinical scan has 0.6 mm in slices of 3 mm."""
    small, default = ((32, 32, 16), (3.25, 2.25, 2.75)), ((64, 48, 32), (1.625, 1.5, 1.375))
    table = {
        "small": (Sampling(*small, "RAS"), Sampling(*small, "LSA")),
        "default": (Sampling(*default, "RAS"), Sampling(*default, "LSA")),
        "fine": (
            Sampling((84, 58, 18), (1.25, 1.25, 2.5), "RAS", (2, 2, 4)),
            Sampling((84, 29, 36), (1.25, 2.5, 1.25), "LSA", (2, 4, 2)),
        ),
        "real": (
            Sampling((176, 120, 15), (0.6, 0.6, 3.0), "RAS", (2, 2, 6)),
            Sampling((176, 24, 75), (0.6, 3.0, 0.6), "LSA", (2, 6, 2)),
        ),
    }
    frame_mm = {"fine": (1.25, 1.25, 1.25), "real": (0.8, 0.8, 1.5)}.get(size, table[size][0].spacing_mm)
    axial, coronal = table[size]
    return Size(frame_mm, {"T1": axial, "T1c": axial, "T2": coronal})


def scan_subject(maker: Maker, size: Size, seed: int, subject: int) -> Scanned:
    """One subject, each modality on its own grid and stored along its own axes.

    Modalities on equal grids share one painted anatomy, so their label maps are equal voxel by voxel.
    """
    scans: dict[str, tuple[Volume, Volume]] = {}
    facts: Mapping[str, str | float] = {}
    for how in {(s.shape, s.spacing_mm): s for s in size.scans.values()}.values():
        alike = [m for m, s in size.scans.items() if (s.shape, s.spacing_mm) == (how.shape, how.spacing_mm)]
        made = maker(how.grid, seed, subject, how.split, alike)
        facts, affine = made.facts, made.grid.affine
        for modality in alike:
            volumes = (Volume(made.images[modality], affine), Volume(made.label, affine))
            codes = size.scans[modality].codes
            scans[modality] = (reorder_axes(volumes[0], codes), reorder_axes(volumes[1], codes))
    return Scanned(scans, facts)
