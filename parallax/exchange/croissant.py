"""Croissant metadata of a phantom: what its cases are, where their files lie, their digests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

import parallax
from parallax.data.files import write_json
from parallax.data.seal import sha256
from parallax.exchange.finished import FinishedRun

_LICENCE = "https://spdx.org/licenses/Apache-2.0.html"


def write_croissant(folder: Path, run: FinishedRun, dataset: str, cases: pd.DataFrame) -> None:
    """Write `croissant.json` (Croissant 1.0) beside the `cases.csv` of an exported phantom.

    Source: mlcommons/croissant@v1.0 (docs/croissant-spec.md); written by its library, mlcroissant.
    """
    import mlcroissant as mlc

    table = "cases.csv"
    fields = [
        mlc.Field(
            id=f"cases/{column}",
            name=column,
            description=_meaning(str(column)),
            data_types=[mlc.DataType.TEXT],
            source=mlc.Source(file_object=table, extract=mlc.Extract(column=column)),
        )
        for column in cases.columns
    ]
    metadata = mlc.Metadata(
        name=folder.name,
        description=f"{run.title(dataset)}: {len(cases)} synthetic cases. {_made_by(run, dataset)}",
        license=[_LICENCE],
        version=parallax.__version__,
        date_published=datetime.fromtimestamp((run.folder / "manifest.json").stat().st_mtime, UTC),
        creators=[mlc.Organization(name="The Parallax developers")],
        cite_as="Parallax: segmentation from several modalities when labels are scarce (CITATION.cff)",
        url=f"data:,{folder.name}",
        distribution=[
            mlc.FileObject(
                id=table,
                name=table,
                content_url=table,
                encoding_formats=["text/csv"],
                sha256=sha256(folder / table),
            )
        ],
        record_sets=[mlc.RecordSet(id="cases", name="cases", description="One row per case.", fields=fields)],
    )
    write_json(metadata.to_json(), folder / "croissant.json")


def _meaning(column: str) -> str:
    if column.endswith("_sha256"):
        return f"SHA-256 of the file in {column.removesuffix('_sha256')}"
    return {
        "case": "name of the case",
        "part": "train or test",
        "label": "label map (NIfTI), relative to this file",
    }.get(column, f"{column.removeprefix('image_')} image (NIfTI), relative to this file")


def _made_by(run: FinishedRun, dataset: str) -> str:
    """What makes the same phantom again."""
    entry = run.manifest["config"]["datasets"][dataset]
    options = ", ".join(f"{key} {value}" for key, value in sorted(entry.get("options", {}).items()))
    commit = run.manifest["commit"] or "unknown"
    return f"Made by Parallax {parallax.__version__} at commit {commit} ({options})."
