"""How a run was made, as a table: what its manifest says, and whose weights saw the test data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from parallax.report.write import Tables
from parallax.tables.layout import Table, contaminated, label

_LIBRARIES = (
    "torch",
    "monai",
    "nnunetv2",
    "dynamic-network-architectures",
    "numpy",
    "SimpleITK",
    "snakemake",
)


def facts_table(tables: Tables, manifest: Mapping[str, Any]) -> Table:
    """Commit, configuration, data, versions, machine and contamination; no rows without a manifest."""
    rows = tuple(_rows(tables, manifest)) if manifest else ()
    notes = ("Hashes are SHA-256, their first 16 digits. manifest.json below has all of them, file by file.",)
    return Table("made", "How it was run", ("What", "Value"), rows, notes, text=True)


def _rows(tables: Tables, manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    changed = " with uncommitted changes" if manifest.get("uncommitted_changes") else ""
    yield "Commit", f"{manifest.get('commit') or 'not known'}{changed}"
    for name, key in (
        ("Configuration", "config_sha256"),
        ("Pins", "lock_sha256"),
        ("Scores", "scores_sha256"),
    ):
        if manifest.get(key):
            yield name, str(manifest[key])[:16]
    for group in ("scans", "splits"):
        for dataset, content in sorted((manifest.get(group) or {}).items()):
            if content:  # phantoms are drawn, and have no scans
                yield f"{group.capitalize()} of {dataset}", _digest(content)
    versions: Mapping[str, str] = manifest.get("versions") or {}
    yield "Versions", _listed(f"{name} {versions[name]}" for name in _LIBRARIES if name in versions)
    yield "Machine", _listed(f"{key} {value}" for key, value in (manifest.get("machine") or {}).items())
    yield "Seeds", json.dumps(manifest.get("seeds") or {})
    weights = {line.pretraining for line in tables.lines} - {"none", ""}
    yield "External weights", _listed(sorted(weights))
    saw = {f"{label(line, tables.context)} on {line.dataset}" for line in tables.lines
           if contaminated(line, tables.context)}  # fmt: skip
    yield "Contaminated", _listed(sorted(saw))


def _listed(parts: Iterable[str]) -> str:
    return "; ".join(parts) or "none"


def _digest(content: Any) -> str:
    """The hash that the manifest has, or one over all that it has."""
    if isinstance(content, str):
        return content[:16]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:16]
