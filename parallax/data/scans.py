"""Datasets that lie in a folder as they unpack: found by name, checked by header, read where they lie."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from parallax.case import Case, Grid, Modality, Pairing, Task, Volume
from parallax.data.checked import checked_files
from parallax.data.dataset import Dataset, modality_strata, read_tolerances
from parallax.data.layouts import Values
from parallax.data.reading import Loaded, ReadScan, Rules, finish_label, finish_scan, header_notes
from parallax.data.volumes import check_same_grid, load_volume, read_grid
from parallax.errors import ConfigError, DataError, nearest

OPTIONS = ("root", "protocol", "spacing_mm", "unlabelled", "crop", "largest_component", "nsd_tolerance_mm")


@dataclass(frozen=True)
class ScanFile:
    """One scan of a downloaded dataset.

    Attributes:
        case: id of the case that the scan belongs to.
        modality: name of its modality.
        image: its file, or the folder of its slices.
        label: its label map (file or folder); None where none was released.
        channel: which image of a 4-D file it is; None for a file that holds one.
    """

    case: str
    modality: str
    image: Path
    label: Path | None
    channel: int | None = None

    def files(self) -> list[Path]:
        """Every file that is read: slices of a folder, and the voxels beside an Analyze header."""
        return [file for path in (self.image, self.label) if path for file in _files(path)]


class ScanDataset(Dataset):
    """A real download. A subclass declares the literals below and fills `values` and `find`; formats other
    than volumes that nibabel or SimpleITK read override `load_image`, `load_label` and `grid`.

    Options: `root` (where it was unpacked), `protocol` (a key of `protocols`, default the first),
    `spacing_mm` (of the common frame), `unlabelled` (true: cases without label maps join the training pool),
    `crop` (true: cut the common frame to the foreground), `largest_component` (true: keep only the largest
    connected component of each structure, and report what was dropped), `nsd_tolerance_mm` (of the NSD, one
    number or one by structure).

    Attributes:
        licence: terms under which the owner hands the data out.
        download: name of the page that it comes from.
        traps: what is known to go wrong with it, one sentence each.
        modality_kinds: modality name to `ct` or `mr`, in the order of the task.
        pairing_level: how scans of one case relate.
        protocols: name to the structures that are scored, in the order of their ids.
        protocol_modalities: protocol to the modalities that it has, where it has not all.
        protocol_pairing: protocol to its pairing level, where it is another one.
        spacing_mm: default of the common frame.
        nsd_tolerance_mm: default of the option.
        nan_fill: what replaces NaN in this dataset, counted as a repair; None refuses it.
        largest_component: default of the option.
        allow_no_codes: whether headers without sform and qform are accepted, counted as a repair.
    """

    licence: ClassVar[str]
    download: ClassVar[str]
    traps: ClassVar[Sequence[str]]
    modality_kinds: ClassVar[Mapping[str, str]]
    pairing_level: ClassVar[str]
    protocols: ClassVar[Mapping[str, Sequence[str]]]
    protocol_modalities: ClassVar[Mapping[str, Sequence[str]]] = {}
    protocol_pairing: ClassVar[Mapping[str, str]] = {}
    spacing_mm: ClassVar[tuple[float, float, float]]
    nsd_tolerance_mm: ClassVar[float | Mapping[str, float]]
    window_hu: ClassVar[tuple[float, float]] = (-175.0, 250.0)
    nan_fill: ClassVar[float | None] = None
    largest_component: ClassVar[bool] = False
    allow_no_codes: ClassVar[bool] = False

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

    def expected(self) -> Mapping[str, int]:
        """Labelled scans per modality in the whole release that `root` holds; empty where not known."""
        return {}

    def grid(self, scan: ScanFile) -> Grid:
        """Grid of an image from its header."""
        return read_grid(scan.image, channel=scan.channel, allow_no_codes=self.allow_no_codes)

    def load_image(self, scan: ScanFile) -> Loaded:
        """The image as it is stored."""
        return self._load(scan.image, scan.channel)

    def load_label(self, scan: ScanFile) -> Loaded:
        """The label map (there is one) as it is stored."""
        return self._load(scan.label or scan.image)

    def read_scan(self, scan: ScanFile, classes: Mapping[str, int]) -> ReadScan:
        """Read one scan in full; `classes` are the structures that are told apart.

        Raises:
            DataError: naming case, modality and file.
        """
        try:
            image, label = self.load_image(scan), self.load_label(scan) if scan.label else None
            return finish_scan(scan.modality, image, label, self._rules(classes))
        except DataError as error:
            raise error.within(f"case {scan.case}, {scan.modality}") from error

    @property
    def task(self) -> Task:
        """The task of the chosen protocol."""
        spacing = self.options.get("spacing_mm", self.spacing_mm)
        kinds = {name: self.modality_kinds[name] for name in self._modality_names}
        return Task(
            name=self.name,
            modalities=tuple(Modality(n, kind, self.window_hu) for n, kind in kinds.items()),
            classes={name: i for i, name in enumerate(self.protocols[self.protocol], start=1)},
            pairing=Pairing(self.protocol_pairing.get(self.protocol, self.pairing_level)),
            spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            nsd_tolerance_mm=read_tolerances(
                self.options.get("nsd_tolerance_mm", self.nsd_tolerance_mm),
                self.protocols[self.protocol],
                f"options of dataset `{self.name}`",
            ),
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
        return sorted({path for scan in self.scans for path in scan.files()})

    def check(self) -> None:
        """Headers and label maps of all cases; voxels of images are left to `check-data` and preparation."""
        with checked_files((self.name, self._rules(self.task.classes))) as checked:
            for case, scans in self._cases.items():
                files = [path for scan in scans for path in scan.files()]
                checked.once(files, partial(self._check_case, case, scans))

    def read(self, case_id: str, folder: Path) -> Case:
        """Read a case where it lies; label values become the ids of the task, repairs are listed."""
        del folder  # nothing is staged
        scans = {scan.modality: self.read_scan(scan, self.task.classes) for scan in self._cases[case_id]}
        return Case(
            case_id,
            images={name: scan.image for name, scan in scans.items()},
            labels={name: scan.label for name, scan in scans.items() if scan.label is not None},
            repairs=tuple(repair for scan in scans.values() for repair in scan.repairs),
        )

    @cached_property
    def scans(self) -> tuple[ScanFile, ...]:
        """The scans that a run uses: those of cases with label maps, and with `unlabelled: true` all."""
        found = [scan for scan in self.find() if scan.modality in self._modality_names]
        _check_once(found)
        labelled = {scan.case for scan in found if scan.label}
        if not labelled:
            raise DataError(
                f"No labelled scan of {self.title} was found",
                where=str(self.root),
                expected=f"the folders of the download as they unpack ({self.download})",
                found=f"{len(found)} scans without label maps in {', '.join(self._modality_names)}",
                remedy=f"point `root` at it, or take another protocol ({', '.join(self.protocols)}); "
                f"`parallax check-data {self.name} PATH` lists what is there",
            )
        every = bool(self.options.get("unlabelled", False))
        return tuple(scan for scan in found if every or scan.case in labelled)

    @cached_property
    def _cases(self) -> dict[str, list[ScanFile]]:
        cases: dict[str, list[ScanFile]] = {}
        for scan in self.scans:
            cases.setdefault(scan.case, []).append(scan)
        return cases

    @property
    def _modality_names(self) -> Sequence[str]:
        return self.protocol_modalities.get(self.protocol, tuple(self.modality_kinds))

    def _rules(self, classes: Mapping[str, int]) -> Rules:
        return Rules(
            table=self.values.to_ids(classes),
            names={i: name for name, i in classes.items()},
            aliases=self.values.aliases,
            nan_fill=self.nan_fill,
            largest_component=bool(self.options.get("largest_component", self.largest_component)),
        )

    def _load(self, path: Path, channel: int | None = None) -> Loaded:
        volume = load_volume(path, channel=channel, allow_no_codes=self.allow_no_codes)
        return Loaded(path, volume, header_notes(path))

    def _check_case(self, case: str, scans: Sequence[ScanFile]) -> None:
        read: dict[Path, Volume] = {}
        for scan in scans:
            try:
                grid = self.grid(scan)
                if scan.label:
                    # one map may serve all modalities of a case; slices take their grid from their image
                    key = scan.label if scan.label.is_file() else scan.image
                    if key not in read:
                        read[key] = self._check_label(scan)
                    check_same_grid(grid, read[key], f"{scan.image} and {scan.label}")
            except DataError as error:
                raise error.within(f"case {case}, {scan.modality}") from error

    def _check_label(self, scan: ScanFile) -> Volume:
        loaded = self.load_label(scan)
        finish_label(scan.modality, loaded, self._rules(self.task.classes))
        return loaded.volume

    def _option(self, key: str, expected: str, found: str, remedy: str = "correct the option") -> ConfigError:
        return ConfigError(
            f"An option of dataset `{self.name}` cannot be used",
            where=f"options.{key}",
            expected=expected,
            found=found,
            remedy=remedy,
        )


def find_files(root: Path, pattern: str) -> list[Path]:
    """Files below `root` that match, sorted; what archive tools of a Mac leave behind is passed over."""
    found = (path for path in root.rglob(pattern) if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in found if "__MACOSX" not in path.parts)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return find_files(path, "*")
    return [path, path.with_suffix(".img")] if path.suffix == ".hdr" else [path]


def _check_once(scans: Sequence[ScanFile]) -> None:
    first: dict[tuple[str, str], ScanFile] = {}
    for scan in scans:
        other = first.setdefault((scan.case, scan.modality), scan)
        if other is not scan:
            raise DataError(
                "A scan was found twice",
                where=f"case {scan.case}, {scan.modality}",
                expected="one file",
                found=f"{other.image} and {scan.image}",
                remedy="point `root` at one release, or take one of the files away",
            )
