"""Datasets that lie in a folder as they unpack: found by name, checked by header, read where they lie."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from parallax.case import Case, Modality, Pairing, Task
from parallax.data.dataset import Dataset, modality_strata
from parallax.data.layouts import Values
from parallax.data.volumes import check_same_grid, read_grid, read_label_map, read_volume
from parallax.errors import ConfigError, DataError
from parallax.plugin import nearest

OPTIONS = ("root", "protocol", "spacing_mm", "unlabelled", "crop")


@dataclass(frozen=True)
class ScanFile:
    """One scan of a downloaded dataset.

    Attributes:
        case: id of the case that the scan belongs to.
        modality: name of its modality.
        image: its file.
        label: its label map; None where none was released.
    """

    case: str
    modality: str
    image: Path
    label: Path | None


class ScanDataset(Dataset):
    """A real download. A subclass declares the literals below and fills `values` and `find`.

    Options: `root` (where it was unpacked), `protocol` (a key of `protocols`, default the first),
    `spacing_mm` (of the common frame), `unlabelled` (true: scans without label maps join the training pool),
    `crop` (true: cut the common frame to the foreground).

    Attributes:
        licence: terms under which the owner hands the data out.
        download: name of the page that it comes from.
        traps: what is known to go wrong with it, one sentence each.
        modality_kinds: modality name to `ct` or `mr`, in the order of the task.
        pairing_level: how scans of one case relate.
        protocols: name to the structures that are scored, in the order of their ids.
        spacing_mm: default of the common frame.
    """

    licence: ClassVar[str]
    download: ClassVar[str]
    traps: ClassVar[Sequence[str]]
    modality_kinds: ClassVar[Mapping[str, str]]
    pairing_level: ClassVar[str]
    protocols: ClassVar[Mapping[str, Sequence[str]]]
    spacing_mm: ClassVar[tuple[float, float, float]]
    window_hu: ClassVar[tuple[float, float]] = (-175.0, 250.0)

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise self._option(
                unknown[0], f"only {', '.join(OPTIONS)}", "unknown", nearest(unknown[0], OPTIONS)
            )
        if "root" not in options:
            raise self._option("root", "the folder that the download was unpacked into", "none")
        self.root = Path(str(options["root"])).expanduser()
        if not self.root.is_dir():
            raise self._option("root", "a folder that exists", str(self.root))
        self.protocol = str(options.get("protocol", next(iter(self.protocols))))
        if self.protocol not in self.protocols:
            raise self._option("protocol", f"one of {', '.join(self.protocols)}", self.protocol)

    @property
    @abstractmethod
    def values(self) -> Values:
        """Label values of the files."""

    @abstractmethod
    def find(self) -> list[ScanFile]:
        """Every scan under `root`, with or without a label map, in a stable order; no file is opened."""

    @property
    def task(self) -> Task:
        """The task of the chosen protocol."""
        spacing = self.options.get("spacing_mm", self.spacing_mm)
        return Task(
            name=self.name,
            modalities=tuple(Modality(n, kind, self.window_hu) for n, kind in self.modality_kinds.items()),
            classes={name: i for i, name in enumerate(self.protocols[self.protocol], start=1)},
            pairing=Pairing(self.pairing_level),
            spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        )

    @property
    def crop(self) -> bool:
        """Option `crop`; real scans have wide margins, so it is on by default."""
        return bool(self.options.get("crop", True))

    def case_ids(self) -> list[str]:
        """Ids in the order of `find`."""
        return list(self._cases)

    def unlabelled_ids(self) -> list[str]:
        """Cases of which no scan has a label map."""
        return [case for case, scans in self._cases.items() if not any(scan.label for scan in scans)]

    def strata(self) -> Mapping[str, str]:
        """Which modalities a case has, where cases differ in that."""
        return modality_strata({case: [s.modality for s in scans] for case, scans in self._cases.items()})

    def inputs(self) -> list[Path]:
        """Every image and label map that a run uses."""
        return sorted({path for scan in self.scans for path in (scan.image, scan.label) if path})

    def check(self) -> None:
        """Headers of every labelled scan; voxels are left to `parallax check-data` and to preparation."""
        for scan in self.scans:
            grid = read_grid(scan.image)
            if scan.label:
                check_same_grid(grid, read_grid(scan.label), f"{scan.image} and {scan.label}")

    def read(self, case_id: str, folder: Path) -> Case:
        """Read a case where it lies; label values become the ids of the task."""
        del folder  # nothing is staged
        table = self.values.to_ids(self.task.classes)
        images, labels = {}, {}
        for scan in self._cases[case_id]:
            images[scan.modality] = read_volume(scan.image)
            if scan.label:
                labels[scan.modality] = read_label_map(scan.label, table)
                check_same_grid(
                    images[scan.modality], labels[scan.modality], f"{scan.image} and {scan.label}"
                )
        return Case(case_id, images, labels)

    @cached_property
    def scans(self) -> tuple[ScanFile, ...]:
        """The scans that a run uses: those with label maps, and with `unlabelled: true` all."""
        found = [s for s in self.find() if s.label or self.options.get("unlabelled", False)]
        if not any(scan.label for scan in found):
            raise DataError(
                f"No labelled scan of {self.title} was found",
                where=str(self.root),
                expected=f"the folders of the download as they unpack ({self.download})",
                found=f"{len(self.find())} scans without label maps",
                remedy=f"point `root` at it; `parallax check-data {self.name} PATH` lists what is there",
            )
        return tuple(found)

    @cached_property
    def _cases(self) -> dict[str, list[ScanFile]]:
        cases: dict[str, list[ScanFile]] = {}
        for scan in self.scans:
            cases.setdefault(scan.case, []).append(scan)
        return cases

    def _option(self, key: str, expected: str, found: str, remedy: str = "correct the option") -> ConfigError:
        return ConfigError(
            f"An option of dataset `{self.name}` cannot be used",
            where=f"options.{key}",
            expected=expected,
            found=found,
            remedy=remedy,
        )
