"""Write the viewer of a run: its page, NiiVue, and volumes until the room for them is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from parallax.case import Task, Volume
from parallax.data.files import read_json, write_text
from parallax.data.store import Part, read_part
from parallax.data.volumes import load_volume
from parallax.figures.panels import structure_colours
from parallax.report.page import asset, policy, template
from parallax.report.viewer.cases import Place, Shown, worst_first
from parallax.report.viewer.niivue import find_niivue, pinned_version
from parallax.report.viewer.volumes import Cut, cut_for, image_bytes, label_bytes, script
from parallax.tables.layout import Context

#: Room for the volumes: the report of the quick run stays below 60 MB with them.
ROOM_MIB = 48.0


@dataclass
class Shelf:
    """The volumes written so far, each once.

    Attributes:
        folder: where the scripts go.
        sizes: bytes by name.
    """

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Bytes of all scripts."""
        return sum(self.sizes.values())

    def put(self, content: bytes) -> str:
        """The name of a volume on the shelf."""
        name, text = script(content)
        if name not in self.sizes:
            write_text(text, self.folder / f"{name}.js")
            self.sizes[name] = len(text)
        return name


@dataclass(frozen=True)
class Scan:
    """One modality of a test case as it was given to the methods, and before it was moved."""

    given: Part
    prepared: Part
    case: str
    modality: str

    @cached_property
    def truth(self) -> Volume:
        """The label map as given."""
        return load_volume(self.given.label_map(self.case, self.modality))

    @cached_property
    def cut(self) -> Cut:
        """What is kept of the grid as given; predictions lie on the same."""
        return cut_for(self.truth)

    @cached_property
    def image(self) -> Volume:
        """The image as given."""
        return load_volume(self.given.image(self.case, self.modality))

    def before(self) -> tuple[Volume, Volume] | None:
        """Image and label map before the misalignment; None where it left this modality alone."""
        image = load_volume(self.prepared.image(self.case, self.modality))
        if np.array_equal(image.array, self.image.array) and np.array_equal(image.affine, self.image.affine):
            return None
        truth = load_volume(self.prepared.label_map(self.case, self.modality))
        cut = cut_for(truth)
        return cut.of(image), cut.of(truth)


def write_viewer(
    run_dir: Path, table: pd.DataFrame, context: Context, title: str, out: Path, room_mib: float = ROOM_MIB
) -> None:
    """Write the viewer into the folder `out`: one page, to be opened from a disk.

    Where the environment has no NiiVue the page says how to get it and nothing else is written.

    Args:
        run_dir: `results/<run>` with data/ and runs/.
        table: its scores.
        context: what tables say beyond the scores.
        title: heading of the page.
        out: new folder.
        room_mib: most that the volumes may take; with 0 the page says that they are left out.
    """
    library = find_niivue() if room_mib else None
    values: dict[str, Any] = {"places": [], "datasets": {}, "left_out": 0}
    if library is not None:
        write_text(library.read_text(encoding="utf-8"), out / "niivue.js")
        write_text(asset("viewer/niivue-licence.txt"), out / "niivue-licence.txt")
        places, shelf = worst_first(table, context), Shelf(out / "volumes")
        values = catalogue(run_dir, places, shelf, round(room_mib * 2**20))
    code = asset("viewer/viewer.js")
    page = template("viewer.html.j2").render(
        title=title,
        niivue=pinned_version() if library else "",
        wanted=room_mib > 0,
        style=asset("style.css") + asset("viewer/viewer.css"),
        policy=policy(code, "'self' file:", "connect-src data: blob:; "),
        catalogue=values,
        code=code,
    )
    write_text(page, out / "index.html")


def catalogue(run_dir: Path, places: Sequence[Place], shelf: Shelf, room: int) -> dict[str, Any]:
    """What the page can show, as plain values; volumes are put on the shelf until they take `room` bytes."""
    shown = []
    for place in places:
        if shelf.total >= room:
            break
        shown.append(_entry(run_dir, place, shelf))
    datasets = {place.dataset: _about(run_dir, place) for place in places}
    return {"places": shown, "datasets": datasets, "left_out": len(places) - len(shown)}


def _entry(run_dir: Path, place: Place, shelf: Shelf) -> dict[str, Any]:
    given = read_part(run_dir / "data" / place.dataset / place.misalignment / "test")
    prepared = read_part(run_dir / "data" / place.dataset / "prepared" / "test")
    holds = given.cases[place.case]
    known = [name for name in holds["modalities"] if name in holds["labelled"]]
    scans = [Scan(given, prepared, place.case, name) for name in known]
    return {
        "dataset": place.dataset,
        "condition": place.condition,
        "case": place.case,
        "dice": place.mean,
        "shift_mm": place.shift_mm,
        "rotation_deg": place.rotation_deg,
        "scans": [_scan(scan, shelf) for scan in scans],
        "predictions": [_prediction(run_dir, one, scans, shelf) for one in place.predictions],
    }


def _scan(scan: Scan, shelf: Shelf) -> dict[str, Any]:
    before = scan.before()
    return {
        "modality": scan.modality,
        "every": max(scan.cut.every),
        "centre_mm": _centre_mm(scan.truth),
        **_pair(scan.cut.of(scan.image), scan.cut.of(scan.truth), shelf),
        **({"before": _pair(*before, shelf)} if before else {}),
    }


def _pair(image: Volume, truth: Volume, shelf: Shelf) -> dict[str, str]:
    return {"image": shelf.put(image_bytes(image)), "truth": shelf.put(label_bytes(truth))}


def _centre_mm(truth: Volume) -> list[float]:
    """The middle of the structures, or of the grid where there are none."""
    inside = np.argwhere(truth.array > 0)
    middle = np.median(inside, axis=0) if len(inside) else np.array(truth.array.shape) / 2
    return [round(float(x), 2) for x in (truth.affine @ [*middle, 1])[:3]]


def _prediction(run_dir: Path, one: Shown, scans: Sequence[Scan], shelf: Shelf) -> dict[str, Any]:
    maps = {}
    for scan, path in _maps(run_dir, one, scans):
        labels = load_volume(path)
        maps[scan.modality] = {
            "volume": shelf.put(label_bytes(scan.cut.of(labels))),
            "outside": round(scan.cut.share_outside(labels.array), 4),
        }
    return {"key": one.key, "name": one.name, "dice": one.mean, "by": one.dice, "maps": maps}


def _maps(run_dir: Path, one: Shown, scans: Sequence[Scan]) -> Iterator[tuple[Scan, Path]]:
    for scan in scans:
        path = run_dir / "runs" / one.folder / "predictions" / f"{scan.case}__{scan.modality}.nii.gz"
        if path.is_file():
            yield scan, path


def _about(run_dir: Path, place: Place) -> dict[str, Any]:
    part = run_dir / "data" / place.dataset / "prepared" / "test"
    task = Task.from_json(read_json(part / "dataset.json")["task"])
    colours = structure_colours(task)
    structures = [{"name": name, "label": n, "colour": colours[name]} for name, n in task.classes.items()]
    return {"title": place.dataset.replace("_", " "), "structures": structures}
