"""Any user's own scans, through one list of cases (CSV, nnU-Net raw folder or MONAI datalist)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from parallax.case import Case, Modality, Pairing, Task, one_voxel_mm
from parallax.data.checked import checked_files
from parallax.data.dataset import Dataset, modality_strata, read_tolerances
from parallax.data.header import SPACING_MM
from parallax.data.manifest import (
    Row,
    find_manifest,
    nnunet_channels,
    nnunet_classes,
    nnunet_description,
    read_manifest,
)
from parallax.data.reading import Loaded, ReadScan, Rules, finish_scan, header_notes
from parallax.data.volumes import check_same_grid, load_volume, read_grid, read_label_map
from parallax.errors import ConfigError, DataError

_KINDS: Mapping[str, type] = {"root": str, "manifest": str, "title": str, "crop": bool}
_EXPECTED: Mapping[type, str] = {str: "a text", bool: "true or false"}
DEFAULT_WINDOW_HU = (-175.0, 250.0)


@dataclass(frozen=True)
class Classes:
    """Structure ids by name, and raw label value to id."""

    ids: Mapping[str, int]
    raw: Mapping[int, int]


class Folder(Dataset):
    """Scans in a folder of the user's. Options are explained in docs/your-data.md."""

    name = "folder"
    title = "Scans in a folder"
    source = "the user's own data, through a list of cases"

    OPTIONS = (
        "root", "manifest", "modalities", "classes", "ignore_values", "pairing", "spacing_mm", "severity_mm",
        "title", "crop", "nsd_tolerance_mm",
    )  # fmt: skip

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        unknown = sorted(set(options) - set(self.OPTIONS))
        if unknown:
            raise _error("options", f"only {', '.join(self.OPTIONS)}", f"unknown {', '.join(unknown)}")
        for key in ("root", "spacing_mm"):
            if key not in options:
                raise _error(key, "a value", "none")
        for key, kind in _KINDS.items():
            if not isinstance(options.get(key, kind()), kind):
                raise _error(key, _EXPECTED[kind], repr(options[key]))
        self.root = Path(str(options["root"])).expanduser()
        if not self.root.is_dir():
            raise _error("root", "a folder that exists", str(self.root))

    @cached_property
    def task(self) -> Task:
        """The task that the options describe; ids follow the least raw value of each structure."""
        severity = self.options.get("severity_mm")
        names, spacing_mm = list(self._classes.ids), _spacing(self.options["spacing_mm"])
        stated = self.options.get("nsd_tolerance_mm", one_voxel_mm(names, spacing_mm))
        extra = {} if severity is None else {"severity_mm": _severity(severity)}
        return Task(
            name=_slug(str(self.options.get("title", self.name))),
            modalities=self._modalities,
            classes=self._classes.ids,
            pairing=_pairing(self.options.get("pairing", "registered")),
            spacing_mm=spacing_mm,
            nsd_tolerance_mm=read_tolerances(stated, names, f"options of dataset `{self.name}`"),
            **extra,
        )

    @property
    def crop(self) -> bool:
        """Option `crop`: cut the common frame to the foreground of the first image."""
        return bool(self.options.get("crop", False))

    def case_ids(self) -> list[str]:
        """Ids in the order of the list."""
        return list(self._rows)

    def unlabelled_ids(self) -> list[str]:
        """Cases that the list gives no label map for."""
        return [case for case, row in self._rows.items() if not row.labels]

    def strata(self) -> Mapping[str, str]:
        """Which modalities a case has, where cases differ in that."""
        return modality_strata({case: row.images for case, row in self._rows.items()})

    def patients(self) -> Mapping[str, str]:
        """The column `patient` of the list, where a case has one."""
        return {case: row.patient for case, row in self._rows.items() if row.patient}

    def inputs(self) -> list[Path]:
        """The list of cases, and every image and label map in it."""
        files = [path for row in self._rows.values() for path in (*row.images.values(), *row.labels.values())]
        return sorted({*files, *([self._manifest] if self._manifest else [])})

    def check(self) -> None:
        """Every file exists, label maps lie on the grids of their images and hold known values."""
        with checked_files((self.name, self._classes.raw)) as checked:
            for row in self._rows.values():
                try:
                    checked.once([*row.images.values(), *row.labels.values()], partial(self._check_row, row))
                except DataError as error:
                    raise error.within(f"{row.where}, case {row.case}") from error

    def read(self, case_id: str, folder: Path) -> Case:
        """Read a case where it lies; label maps take the affine of their image, repairs are listed."""
        del folder  # nothing is staged: scans are read where they lie
        row = self._rows[case_id]
        scans = {name: self._read_scan(row, name) for name in row.images}
        return Case(
            case_id,
            images={name: scan.image for name, scan in scans.items()},
            labels={name: scan.label for name, scan in scans.items() if scan.label is not None},
            repairs=tuple(repair for scan in scans.values() for repair in scan.repairs),
        )

    def _read_scan(self, row: Row, name: str) -> ReadScan:
        try:
            label = _load(row.labels[name]) if name in row.labels else None
            return finish_scan(name, _load(row.images[name]), label, Rules(self._classes.raw))
        except DataError as error:
            raise error.within(f"case {row.case}, {name}") from error

    def _check_row(self, row: Row) -> None:
        grids = {name: read_grid(path) for name, path in row.images.items()}
        checked: set[Path] = set()
        for name, path in row.labels.items():
            check_same_grid(grids[name], read_grid(path), f"{name}: image {row.images[name]}, label {path}")
            if path not in checked:  # one label map may serve all modalities
                read_label_map(path, self._classes.raw)
                checked.add(path)

    @cached_property
    def _manifest(self) -> Path | None:
        return find_manifest(self.root, self.options.get("manifest"))

    @cached_property
    def _rows(self) -> dict[str, Row]:
        rows = read_manifest(self.root, self._manifest, [m.name for m in self._modalities])
        return {row.case: row for row in rows}

    @cached_property
    def _nnunet(self) -> dict[str, Any] | None:
        if self._manifest is None:
            return nnunet_description(self.root)
        return nnunet_description(self._manifest.parent) if self._manifest.name == "dataset.json" else None

    @cached_property
    def _modalities(self) -> tuple[Modality, ...]:
        given = self.options.get("modalities")
        if given is None and self._nnunet is not None:
            names = nnunet_channels(self._nnunet).values()
            given = {n: {"kind": "ct" if n.lower() == "ct" else "mr"} for n in names}
        if not isinstance(given, Mapping) or not given:
            raise _error("modalities", "name: {kind: ct or mr}", repr(given))
        if len({str(name).lower() for name in given}) < len(
            given
        ):  # they name files, and a disk may take A for a
            raise _error("modalities", "names that differ in more than case", ", ".join(map(str, given)))
        return tuple(_modality(str(name), values) for name, values in given.items())

    @cached_property
    def _classes(self) -> Classes:
        given = self.options.get("classes")
        if given is None and self._nnunet is not None:
            given = nnunet_classes(self._nnunet, str(self.root / "dataset.json"))
        if not isinstance(given, Mapping) or not given:
            raise _error("classes", "structure: raw value, or structure: {values: [..]}", repr(given))
        return _read_classes(given, self.options.get("ignore_values", []))


def _load(path: Path) -> Loaded:
    return Loaded(path, load_volume(path), header_notes(path))


def _read_classes(given: Mapping[str, Any], ignored: Any) -> Classes:
    values = {str(name): _values(str(name), entry) for name, entry in given.items()}
    if ignored and not _whole(ignored):
        raise _error("ignore_values", "a list of whole numbers", repr(ignored))
    every = [v for raw in values.values() for v in raw] + list(ignored)
    twice = sorted({v for v in every if every.count(v) > 1})
    if twice or 0 in every:
        raise _error("classes", "each raw value once, and 0 for background alone", f"{twice or [0]}")
    order = sorted(values, key=lambda name: min(values[name]))
    ids = {name: index + 1 for index, name in enumerate(order)}
    raw = {v: ids[name] for name, held in values.items() for v in held}
    return Classes(ids, raw | dict.fromkeys(ignored, 0))


def _values(name: str, entry: Any) -> list[int]:
    held = entry.get("values") if isinstance(entry, Mapping) else entry
    held = held if isinstance(held, list) else [held]
    if not _whole(held):
        raise _error(f"classes.{name}", "a whole number, or {values: [whole numbers]}", repr(entry))
    return held


def _whole(values: Any) -> bool:
    """Whether this is a list of whole numbers that a label map can hold."""
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**53 for v in values)
    )


def _modality(name: str, values: Any) -> Modality:
    known = isinstance(values, Mapping) and set(values) <= {"kind", "window_hu"}
    if not known or values.get("kind") not in ("ct", "mr") or not re.fullmatch(r"[A-Za-z0-9.-]{1,40}", name):
        expected = (
            "{kind: ct or mr, window_hu: [low, high]}, a name of at most 40 letters, digits, '.' and '-'"
        )
        raise _error(f"modalities.{name}", expected, repr(values))
    window = _numbers(f"modalities.{name}.window_hu", values.get("window_hu", DEFAULT_WINDOW_HU))
    if len(window) != 2 or window[0] >= window[1]:
        raise _error(f"modalities.{name}.window_hu", "[low, high] in HU", repr(window))
    return Modality(name, values["kind"], (window[0], window[1]))


def _pairing(value: Any) -> Pairing:
    try:
        return Pairing(value)
    except ValueError:
        raise _error("pairing", f"one of {', '.join(Pairing)}", repr(value)) from None


def _spacing(value: Any) -> tuple[float, float, float]:
    spacing = _numbers("spacing_mm", value)
    least, most = SPACING_MM
    if len(spacing) != 3 or not all(least <= length <= most for length in spacing):
        raise _error("spacing_mm", f"three lengths from {least:g} to {most:g} mm", repr(value))
    return (spacing[0], spacing[1], spacing[2])


def _severity(value: Any) -> tuple[float, ...]:
    severity = _numbers("severity_mm", value)
    if not severity or min(severity) < 0:
        raise _error("severity_mm", "lengths in mm of at least 0", repr(value))
    return severity


def _numbers(key: str, value: Any) -> tuple[float, ...]:
    numbers = isinstance(value, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in value
    )
    if not numbers:
        raise _error(key, "a list of finite numbers", repr(value))
    return tuple(float(v) for v in value)


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", title[:100]).strip("-") or "folder"


def _error(key: str, expected: str, found: str) -> ConfigError:
    return ConfigError(
        "An option of dataset `folder` cannot be used",
        where=f"options.{key}",
        expected=expected,
        found=found,
        remedy="correct the option; docs/your-data.md explains each one",
    )
