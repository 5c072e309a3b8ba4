"""A run as an RO-Crate: results, configuration and code, and how the one came from the others."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import parallax
from parallax.exchange.finished import FinishedRun, new_folder
from parallax.plugin import plugin_root

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

_LICENCE = "https://spdx.org/licenses/Apache-2.0"
_PROFILES = {
    "ro/wfrun/process/0.5": "Process Run Crate",
    "ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_CODE = {
    "workflow": "Rules and scripts of the workflow",
    "parallax": "The engine",
    "methods": "The proposed method",
    "baselines": "One file per baseline",
    "datasets": "One file per dataset",
    "requirements.lock": "Exact versions of every dependency",
    "LICENSE": "Licence of the code",
    "CITATION.cff": "How to cite it",
}
_FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
}
_RESULTS = {
    "scores.csv": "One row per case, modality, structure and metric",
    "scores.parquet": "The same, typed",
    "costs.csv": "What each training took",
    "manifest.json": "Commit, versions, machine, seeds and digests of every input",
    "tables": "Tables of the run",
    "figures": "Figures of the run",
    "report/index.html": "Report of the run; its viewer of cases stays behind, since it holds images",
    "splits": "Cases of each part and of each label subset",
}


def export_crate(run: FinishedRun, out: Path) -> None:
    """Write the crate into `out`: a Workflow Run Crate (profile 0.5) with one action, the run.

    Images, weights and predictions are not in it: `manifest.json` has the digests of the data, and the other
    exports write data and predictions.

    Source: https://w3id.org/ro/wfrun/workflow/0.5; written by its library, rocrate.
    """
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")  # which the profile is made for
    _describe(crate, run)
    with new_folder(out) as folder, TemporaryDirectory() as scratch:
        workflow = _code(crate, Path(scratch))
        _action(crate, run, workflow, _configuration(crate, run, Path(scratch)), _results(crate, run))
        crate.write(folder)


def _describe(crate: ROCrate, run: FinishedRun) -> None:
    config = run.manifest["config"]
    crate.name = config.get("title") or run.name
    crate.description = f"Results of the Parallax run {run.name}. " + " ".join(config.get("notes", ()))
    crate.license = _named(crate, _LICENCE, "CreativeWork", "Apache License 2.0")
    crate.root_dataset["conformsTo"] = [
        _named(crate, f"https://w3id.org/{path}", "CreativeWork", name, version=path.rpartition("/")[2])
        for path, name in _PROFILES.items()
    ]


def _named(crate: ROCrate, identifier: str, kind: str, name: str, **more: str) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, {"@type": kind, "name": name, **more}))


def _code(crate: ROCrate, scratch: Path) -> Any:
    """The workflow and everything that it runs; files that Python left behind are not copied."""
    root = plugin_root()
    about = {"name": "Parallax", "version": parallax.__version__}
    workflow = crate.add_workflow(
        root / "Snakefile",
        "Snakefile",
        main=True,
        lang="snakemake",
        properties={**about, "encodingFormat": "text/plain"},
    )
    for name, meaning in _CODE.items():
        source, about = root / name, {"name": name, "description": meaning}
        if source.is_dir():
            shutil.copytree(source, scratch / name, ignore=shutil.ignore_patterns("__pycache__"))
            crate.add_dataset(scratch / name, f"{name}/", properties=about)
        else:
            crate.add_file(source, name, properties={**about, "encodingFormat": "text/plain"})
    return workflow


def _configuration(crate: ROCrate, run: FinishedRun, scratch: Path) -> Any:
    path = scratch / "config.json"
    path.write_text(json.dumps(run.manifest["config"], indent=1) + "\n", encoding="utf-8")
    about = {"name": "Configuration", "description": "What was run", "encodingFormat": "application/json"}
    return crate.add_file(path, "config.json", properties=about)


def _results(crate: ROCrate, run: FinishedRun) -> list[Any]:
    found = []
    for name, meaning in _RESULTS.items():
        path, about = run.folder / name, {"name": name, "description": meaning}
        if path.is_dir():
            found.append(crate.add_dataset(path, f"{name}/", properties=about))
        elif path.is_file():
            about["encodingFormat"] = _FORMATS[path.suffix]
            found.append(crate.add_file(path, name, properties=about))
    return found


def _action(crate: ROCrate, run: FinishedRun, workflow: Any, configuration: Any, results: list[Any]) -> None:
    ended = datetime.fromtimestamp((run.folder / "manifest.json").stat().st_mtime, UTC)
    crate.datePublished = ended
    machine = run.manifest["machine"]
    about = {
        "name": f"Run {run.name}",
        "endTime": ended.isoformat(timespec="seconds"),
        "description": f"Commit {run.manifest['commit']}, {machine['cores']} cores, {machine['processor']}",
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    action = crate.add_action(workflow, "#run", object=configuration, result=results, properties=about)
    crate.root_dataset["mentions"] = action
    crate.root_dataset["mainEntity"] = workflow
