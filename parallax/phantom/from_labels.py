"""CT and MR of a body that is built round real organs: the label map is kept, all else is made.

The tier between phantom and scan: shapes, sizes and positions of the organs are those of a patient, the
physics of the images is known, and no image of that patient is used. Image formation is that of the abdomen
phantom; what lies between the organs comes from `torso`, `surround` and `spine`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid, Volume
from parallax.phantom.abdomen import scan_abdomen
from parallax.phantom.canvas import SPLIT, Canvas, Painted, axes_mm, centred_grid, paint_in_slabs
from parallax.phantom.fields import Array, stream
from parallax.phantom.label_shapes import LabelMap, LabelShape, label_shapes, sample_shapes
from parallax.phantom.spine import fill_spine
from parallax.phantom.subject import Subject
from parallax.phantom.surround import Mask, Slab, fill_bowel, fill_chest, fill_wall
from parallax.phantom.torso import Torso, plan_torso

FAMILY = "from_labels"
PHASES = ("plain", "arterial", "portal")
_PHASE_SHARES = (0.3, 0.2, 0.5)
#: How far a body reaches beyond its organs: right and left, behind and in front, below and above (mm).
_ROUND_ORGANS_MM = ((60.0, 60.0), (85.0, 60.0), (25.0, 25.0))
#: Structures that run beyond the abdomen and do not say where it ends.
_LONG = ("aorta", "postcava", "esophagus", "bladder", "prostate_uterus")


@dataclass(frozen=True)
class Structure:
    """What a value of a label map means: a name, and a tissue of the tissue table that fills it."""

    name: str
    tissue: str


@dataclass(frozen=True)
class Lumen:
    """Contents of the stomach: what it holds, and the height (y, mm) above which there is gas."""

    content: str
    level_mm: float


def structure_tissues() -> dict[str, str]:
    """Structures that are known by name, and the tissue of each; hollow ones are given contents."""
    return {
        "spleen": "spleen",
        "right_kidney": "kidney_cortex",
        "left_kidney": "kidney_cortex",
        "gall_bladder": "bile",
        "esophagus": "bowel_wall",
        "liver": "liver",
        "stomach": "stomach_wall",
        "aorta": "blood_artery",
        "postcava": "blood_vein",
        "pancreas": "pancreas",
        "right_adrenal_gland": "adrenal",
        "left_adrenal_gland": "adrenal",
        "duodenum": "bowel_wall",
        "bladder": "fluid",
        "prostate_uterus": "bowel_wall",
    }


def labels_subject(
    label: Volume,
    structures: Mapping[int, Structure],
    seed: int,
    case: str,
    spacing_mm: tuple[float, float, float] | None = None,
    crop: bool = True,
) -> Subject:
    """CT and MR of one label map.

    Args:
        label: uint8 ids, at least one of them above 0; any orientation.
        structures: id to structure.
        seed: of the data set.
        case: name of the case; with the seed it decides everything that is drawn.
        spacing_mm: of the images along RAS axes; None keeps the voxels of the label map.
        crop: cut the field of view to the body round the organs; vessels alone do not widen it.

    Returns:
        Images and label map on one RAS grid that lies where the label map lies. Without `spacing_mm` the
        label map is that which was given (cut where `crop` says so), with it the structure at
        the centre of each voxel.
    """
    from parallax.data.layouts import reorder_axes

    label = reorder_axes(label, "RAS")
    names = {value: structure.name for value, structure in structures.items()}
    if crop:
        label = _cut(label, names)
    source = LabelMap(label.array, label.spacing_mm)
    grid = _grid(source, spacing_mm or source.spacing_mm)
    painted = _paint(source, grid, structures, seed, case)
    phase = drawn_phase(seed, case)
    images, facts = scan_abdomen(painted, phase, (_rng(seed, case, "CT"), _rng(seed, case, "MR")))
    kept = painted.label if spacing_mm else source.ids
    return Subject(Grid(grid.shape, _world(label, source, grid)), images, kept, facts)


def drawn_phase(seed: int, case: str) -> str:
    """Contrast phase of the CT that `labels_subject` makes of a case."""
    return str(_rng(seed, case, "phase").choice(PHASES, p=_PHASE_SHARES))


def _rng(seed: int, case: str, purpose: str) -> np.random.Generator:
    return stream(FAMILY, seed, zlib.crc32(case.encode()), purpose)


def _cut(label: Volume, names: Mapping[int, str]) -> Volume:
    """The part of the field of view that holds the organs and the body round them."""
    held = np.isin(label.array, [value for value, name in names.items() if name not in _LONG])
    held = held if held.any() else label.array > 0
    cuts = []
    for axis, (below, above) in enumerate(_ROUND_ORGANS_MM):
        at = np.nonzero(held.any(axis=tuple(other for other in range(3) if other != axis)))[0]
        spacing = label.spacing_mm[axis]
        cuts.append(slice(max(0, at[0] - round(below / spacing)), int(at[-1] + 1 + round(above / spacing))))
    affine = label.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [cut.start for cut in cuts]
    return Volume(np.ascontiguousarray(label.array[cuts[0], cuts[1], cuts[2]]), affine)


def _grid(source: LabelMap, spacing_mm: tuple[float, float, float]) -> Grid:
    """As many voxels of this size as the label map holds, about its centre."""
    x, y, z = (max(1, int(2 * half / s + 1e-4)) for half, s in zip(source.half_mm, spacing_mm, strict=True))
    return centred_grid((x, y, z), spacing_mm)


def _world(label: Volume, source: LabelMap, grid: Grid) -> NDArray[np.float64]:
    """Affine of the scan's grid where the label map lies."""
    to_index = np.diag([*(1 / np.array(source.spacing_mm)), 1.0])
    to_index[:3, 3] = np.array(source.half_mm) / source.spacing_mm - 0.5
    return np.asarray(label.affine @ to_index @ grid.affine)


def _paint(
    source: LabelMap, grid: Grid, structures: Mapping[int, Structure], seed: int, case: str
) -> Painted:
    shapes = label_shapes(source)
    names = {value: structure.name for value, structure in structures.items()}
    torso = plan_torso(source, names, _rng(seed, case, "build"))
    lumen = _stomach(shapes, names, _rng(seed, case, "stomach"))

    def paint(part: Grid) -> Painted:
        canvas = Canvas(part, "air")
        slab = _slab(canvas, torso, seed, case)
        fill_wall(slab)
        fill_bowel(slab)
        fill_chest(slab)
        fill_spine(slab)
        ids, depth = sample_shapes(shapes, canvas.axes_mm)
        _organs(slab, ids, depth, structures, lumen)
        label, _ = sample_shapes(shapes, axes_mm(part))
        return Painted(part, canvas.tissue, tuple(canvas.names), label)

    return paint_in_slabs(paint, grid, SPLIT)


def _slab(canvas: Canvas, torso: Torso, seed: int, case: str) -> Slab:
    """The whole of a canvas, in coordinates of the planned body."""
    axes, dome = canvas.axes_mm, torso.dome(canvas.axes_mm)
    height = axes[2][None, None, :]
    above = None if dome is None else np.asarray(height - dome, dtype=np.float32)
    top = 0.0 if torso.dome_mm is None else float(torso.dome_mm.max()) - torso.level_mm
    x, y, angle, distance, beyond = torso.polar(axes)
    return Slab(
        canvas, lambda purpose: _rng(seed, case, purpose), torso.half_mm, torso.fat, canvas.tissue, axes,
        x, y, height - np.float32(torso.level_mm), angle, distance, beyond, above, top,
    )  # fmt: skip


def _stomach(shapes: Sequence[LabelShape], names: Mapping[int, str], rng: np.random.Generator) -> Lumen:
    content, share = str(rng.choice(["fluid", "paste"])), float(rng.uniform(55, 95))
    for shape in shapes:
        if names[shape.value] == "stomach":
            held = shape.axes_mm[1][np.nonzero(shape.depth_mm > 0)[1]]
            return Lumen(content, float(np.percentile(held, share)))
    return Lumen(content, 0.0)


def _organs(
    slab: Slab, ids: NDArray[np.uint8], depth: Array, structures: Mapping[int, Structure], lumen: Lumen
) -> None:
    for value, structure in sorted(structures.items()):
        where = ids == value
        slab.put(where, structure.tissue)
        if structure.tissue == structure_tissues().get(structure.name):
            _inside(slab, structure.name, where, depth, lumen)


def _inside(slab: Slab, name: str, where: Mask, depth: Array, lumen: Lumen) -> None:
    """What lies inside an organ without a label of its own."""
    if name == "liver":
        slab.put(where & (depth > 4) & (slab.tubes("liver", 2.2, 13.0) < 1), "blood_portal")
    elif name in ("right_kidney", "left_kidney"):
        slab.put(where & (depth > 6) & (slab.field("pyramids", 5.0) > -0.3), "kidney_medulla")
    elif name == "pancreas":
        slab.put(where & (slab.field("lobules", 2.5) > 1.3), "visceral_fat")
    elif name == "duodenum":
        slab.put(where & (depth > 3), "paste")
        slab.put(where & (depth > 3) & (slab.field("content", 24.0) > 0), "fluid")
    elif name == "stomach":
        slab.put(where & (depth > 4), lumen.content)
        gas = slab.axes_mm[1][None, :, None] > lumen.level_mm
        slab.put(where & (depth > 4) & gas, "gas")
