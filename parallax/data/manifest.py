"""Lists of cases in three forms: a CSV, an nnU-Net raw folder, a MONAI datalist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parallax.data.case_ids import check_case_ids
from parallax.data.given import csv_reader, given_json
from parallax.errors import ConfigError, DataError
from parallax.plugin import plugin_root

ENDINGS = re.compile(r"\.(nii\.gz|nii|mha|mhd|nrrd)$")
_NUMBER = re.compile(r"[0-9]{1,4}")
DATALIST_PARTS = ("training", "validation")


@dataclass(frozen=True)
class Row:
    """One case of a manifest: paths by modality, where the row stands, and the patient where one is named."""

    case: str
    images: Mapping[str, Path]
    labels: Mapping[str, Path]
    where: str
    patient: str = ""


def read_manifest(root: Path, manifest: Path | None, modalities: Sequence[str]) -> tuple[Row, ...]:
    """Read a list of cases; no image is opened.

    Args:
        root: folder that paths in the list are relative to.
        manifest: a `.csv`, a datalist `.json`, or None where `root` is an nnU-Net raw folder.
        modalities: their names in the order of the task.

    Raises:
        DataError: the list is absent or malformed, a case occurs twice, or a path leads out of `root`
            by `..` or a link; the row is named.
    """
    if manifest is None or manifest.name == "dataset.json":
        folder = manifest.parent if manifest else root
        if _is_datalist(folder):
            rows = _read_datalist(folder / "dataset.json", folder, modalities)
        else:
            rows = _read_nnunet(folder, modalities)
    elif manifest.suffix == ".csv":
        rows = _read_csv(manifest, root, modalities)
    elif manifest.suffix == ".json":
        rows = _read_datalist(manifest, root, modalities)
    else:
        raise _error("a .csv, a .json datalist or an nnU-Net dataset.json", manifest.name, str(manifest))
    return _checked(rows, str(manifest or root), root)


def find_manifest(root: Path, name: str | None) -> Path | None:
    """Where a manifest lies: under `root`, the current folder or the checkout; None where none is named.

    Raises:
        ConfigError: it is in none of these.
    """
    if name is None:
        return None
    for path in (root / name, Path(name), plugin_root() / name):
        if path.is_file():
            return path
    raise ConfigError(
        "The manifest of a dataset does not exist",
        where=f"option manifest: {name}",
        expected=f"a file under {root}, {Path.cwd()} or {plugin_root()}",
        found="no such file",
        remedy="correct the path, or write the manifest (docs/your-data.md shows three forms)",
    )


def _numbered(channels: Mapping[str, Any]) -> bool:
    return all(_NUMBER.fullmatch(key) for key in channels)


def nnunet_description(folder: Path) -> dict[str, Any]:
    """`dataset.json` of an nnU-Net raw folder."""
    path = folder / "dataset.json"
    values = given_json(path)
    if not isinstance(values, dict) or not ({"channel_names", "modality"} & set(values)):
        raise _error("channel_names (or modality)", "neither", str(path))
    channels = values.get("channel_names", values.get("modality"))
    names = list(channels.values()) if isinstance(channels, dict) and _numbered(channels) else []
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise _error("channel_names: {number: name}, each name once", repr(channels), str(path))
    if not isinstance(values.get("labels", {}), dict):
        raise _error("labels: {name: value}", repr(values["labels"]), str(path))
    ending = values.get("file_ending", ".nii.gz")
    if not isinstance(ending, str) or not ENDINGS.fullmatch(ending):
        raise _error("file_ending: .nii.gz, .nii, .mha, .mhd or .nrrd", repr(ending), str(path))
    return values


def nnunet_classes(description: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Structure name to label value, from either order of the two (version 2: name first, version 1: value).

    Raises:
        DataError: there is a label `ignore`, which means voxels that nobody knows.
    """
    labels = dict(description.get("labels", {}))
    if labels and all(_NUMBER.fullmatch(key) for key in labels):
        labels = {str(name): int(value) for value, name in labels.items()}
    if "ignore" in labels:
        raise _error("structures and background alone", "the label `ignore`", where)
    return {name: value for name, value in labels.items() if name != "background"}


def nnunet_channels(description: Mapping[str, Any]) -> dict[str, str]:
    """Channel suffix (`0000`, ...) to channel name, in order."""
    channels = description.get("channel_names", description.get("modality"))
    assert isinstance(channels, dict)  # nnunet_description has seen to it
    return {f"{int(key):04d}": str(channels[key]) for key in sorted(channels, key=int)}


def _read_csv(path: Path, root: Path, modalities: Sequence[str]) -> list[Row]:
    with csv_reader(path) as reader:
        columns = [name.strip() for name in next(reader, [])]
        known = ["case", "patient", "label", *modalities, *(f"{m}_label" for m in modalities)]
        wrong = [name for name in columns if name not in known]
        twice = len(set(columns)) < len(columns)
        if wrong or twice or "case" not in columns or not set(columns) & set(modalities):
            raise _error(
                f"columns case, patient (optional), {', '.join(modalities)}, and <modality>_label or label",
                f"columns {', '.join(columns) or 'none'}{', one twice' * twice}",
                str(path),
            )
        lines = ((cells, f"{path}, line {reader.line_num}") for cells in reader if cells)
        return [_csv_row(columns, values, where, root, modalities) for values, where in lines]


def _csv_row(
    columns: Sequence[str], values: Sequence[str], where: str, root: Path, modalities: Sequence[str]
) -> Row:
    if len(values) != len(columns):
        raise _error("as many cells as columns", "another number of cells", where)
    cells = {name: value.strip() for name, value in zip(columns, values, strict=True)}
    images = {m: root / cells[m] for m in modalities if cells.get(m)}
    labels = {m: cells.get(f"{m}_label") or cells.get("label") or "" for m in images}
    stray = [m for m in modalities if cells.get(f"{m}_label") and m not in images]
    if stray:
        raise _error("an image beside each label map", f"a label map of {', '.join(stray)} alone", where)
    held = {m: root / path for m, path in labels.items() if path}
    return Row(cells["case"], images, held, where, cells.get("patient", ""))


def _read_nnunet(folder: Path, modalities: Sequence[str]) -> list[Row]:
    description = nnunet_description(folder)
    channels = nnunet_channels(description)
    absent = [m for m in modalities if m not in channels.values()]
    if absent:
        raise _error(
            f"modalities named as its channels: {', '.join(channels.values())}",
            f"no channel {', '.join(absent)}",
            str(folder / "dataset.json"),
        )
    ending = str(description.get("file_ending", ".nii.gz"))
    pattern = re.compile(rf"(.*)_([0-9]{{4}}){re.escape(ending)}", re.DOTALL)  # odd names are seen, too
    found: dict[str, dict[str, Path]] = {}
    for path in sorted((folder / "imagesTr").glob(f"*{ending}")):
        match = pattern.fullmatch(path.name)
        if match and channels.get(match[2]) in modalities:
            found.setdefault(match[1], {})[channels[match[2]]] = path
    return [_nnunet_row(folder, case, images, modalities, ending) for case, images in found.items()]


def _nnunet_row(
    folder: Path, case: str, images: Mapping[str, Path], modalities: Sequence[str], ending: str
) -> Row:
    label = folder / "labelsTr" / f"{case}{ending}"
    ordered = {m: images[m] for m in modalities if m in images}
    return Row(
        case, ordered, dict.fromkeys(ordered, label) if label.exists() else {}, f"{folder}, case {case}"
    )


def _is_datalist(folder: Path) -> bool:
    """A Decathlon folder: its `dataset.json` lists pairs, and no file name ends in a channel number."""
    listed = isinstance(nnunet_description(folder).get("training"), list)
    return listed and not any((folder / "imagesTr").glob("*_0000.*"))


def _read_datalist(path: Path, root: Path, modalities: Sequence[str]) -> list[Row]:
    values = given_json(path)
    parts = [part for part in DATALIST_PARTS if isinstance(values, dict) and part in values]
    if not parts:
        raise _error("a datalist with the key training", "no such key", str(path))
    lists = [part for part in parts if not isinstance(values[part], list)]
    if lists:
        raise _error(f"{lists[0]}: a list", repr(values[lists[0]]), str(path))
    items = [(f"{path}, {part}[{i}]", item) for part in parts for i, item in enumerate(values[part])]
    return [_datalist_row(item, where, root, modalities) for where, item in items]


def _datalist_row(item: Any, where: str, root: Path, modalities: Sequence[str]) -> Row:
    if not isinstance(item, dict) or "image" not in item:
        raise _error("an object with the key image", repr(item), where)
    images = _as_list(item["image"])
    if len(images) != len(modalities):
        raise _error(f"{len(modalities)} images ({', '.join(modalities)})", f"{len(images)}", where)
    labels = _as_list(item.get("label"))
    if len(labels) == 1:
        labels = labels * len(modalities)
    if len(labels) not in (0, len(modalities)):
        raise _error(f"one label map, or one per modality ({len(modalities)})", f"{len(labels)}", where)
    if not all(path is None or isinstance(path, str) for path in (*images, *labels)):
        raise _error("paths as texts, or null", repr([*images, *labels]), where)
    case = str(item.get("case", item.get("id", _stem(str(next(filter(None, images), ""))))))
    held = {m: root / p for m, p in zip(modalities, images, strict=True) if p}
    pairs = zip(modalities, labels, strict=False)
    return Row(
        case, held, {m: root / p for m, p in pairs if p and m in held}, where, str(item.get("patient") or "")
    )


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _stem(path: str) -> str:
    return re.sub(r"_\d{4}$", "", ENDINGS.sub("", Path(path).name))


def _checked(rows: Iterable[Row], where: str, root: Path) -> tuple[Row, ...]:
    kept = tuple(rows)
    check_case_ids((row.case, row.where) for row in kept)
    for row in kept:
        if not row.images:
            raise _error("at least one image", f"case {row.case} without any", row.where)
        _check_inside(row, root.resolve())
    if not kept:
        raise _error("at least one case", "none", where)
    return kept


def _lies_inside(path: Path, root: Path) -> bool:
    try:
        path.is_file()  # raises where resolve() does not: a name that no disk takes
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError, ValueError):  # it leads nowhere
        return False


def _check_inside(row: Row, root: Path) -> None:
    for path in (*row.images.values(), *row.labels.values()):
        if not _lies_inside(path, root):
            raise DataError(
                "A list of cases leads out of its folder",
                where=row.where,
                expected=f"paths of files below {root}, also where a link leads",
                found=str(path),
                remedy="make `root` a folder above all scans and write paths from there",
            )


def _error(expected: str, found: str, where: str) -> DataError:
    return DataError(
        "A list of cases cannot be used",
        where=where,
        expected=expected,
        found=found,
        remedy="correct the list; docs/your-data.md shows three forms",
    )
