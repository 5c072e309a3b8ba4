"""The manifest of a run: everything that its numbers depend on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from parallax.data.files import read_json
from parallax.data.seal import digests, sha256
from parallax.plugin import load_dataset, plugin_root
from parallax.run.config import RunConfig
from parallax.run.plan import expand_methods
from parallax.run.setup import cards_of, fill_data
from parallax.run.source import source_hash


def make_manifest(run_dir: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Commit, versions, machine, seeds, configuration and hashes of every input of a finished run."""
    return {
        "run": config["run"],
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "lock_sha256": sha256(plugin_root() / "requirements.lock"),
        "config": config,
        "config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        "methods": method_hashes(config),
        "seeds": {"training": config["seeds"], "splits": _split_seeds(config)},
        "machine": _machine(),
        "versions": dict(sorted((d.metadata["Name"], d.version) for d in distributions())),
        "scans": _scans(config),
        "splits": _split_hashes(run_dir),
        "inputs": _hashes(run_dir, ("splits", "data")),
        "checkpoints": _checkpoints(run_dir),
        "scores_sha256": sha256(run_dir / "scores.parquet"),
    }


def method_hashes(config: dict[str, Any]) -> dict[str, str]:
    """Hash of the code of every method of the run, by name."""
    run = RunConfig.model_validate(config)
    chosen = {card.name: card for card, _ in expand_methods(run.methods, cards_of(run))}
    return {name: source_hash(chosen[name].path) for name in sorted(chosen)}


def _scans(config: dict[str, Any]) -> dict[str, dict[str, str]]:
    """SHA-256 of every file of the user's that a dataset was read from, by dataset."""
    run = RunConfig.model_validate(config)
    hashes = {}
    for name, entry in run.datasets.items():
        dataset = load_dataset(entry.plugin or name, fill_data(entry, run.data))
        hashes[name] = {path.as_posix(): sha256(path) for path in dataset.inputs()}
    return hashes


def _split_seeds(config: dict[str, Any]) -> dict[str, int]:
    return {name: entry["split"]["seed"] for name, entry in config["datasets"].items()}


def _split_hashes(run_dir: Path) -> dict[str, str]:
    """By dataset, the hash over the ids that it was trained, validated and tested on."""
    found = {path.stem: read_json(path) for path in sorted((run_dir / "splits").glob("*.json"))}
    return {name: str(split["hash"]) for name, split in found.items()}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=plugin_root(), capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None  # a downloaded archive has no history
    return done.stdout.strip()


def _machine() -> dict[str, Any]:
    import psutil

    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mib": round(psutil.virtual_memory().total / 2**20),
        "gpus": _gpus(),
    }


def _gpus() -> list[str]:
    """Names of the GPUs as the driver tells them; asking torch would cost a second of import."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def differing(run_dir: Path, manifest: Mapping[str, Any]) -> list[str]:
    """One sentence for each file of the run, or scan, that is not the one that its manifest names."""
    listed = {run_dir / name: digest for key in _OF_THE_RUN for name, digest in manifest.get(key, {}).items()}
    listed |= {run_dir / "scores.parquet": manifest["scores_sha256"]}
    # the scans are the user's: a run may be looked at where they are not
    scans = {Path(name): digest for found in manifest["scans"].values() for name, digest in found.items()}
    listed |= {path: digest for path, digest in scans.items() if path.exists()}
    found = ((path, digest, sha256(path) if path.is_file() else "no file") for path, digest in listed.items())
    return [
        f"{path.as_posix()} is not what the manifest names: expected SHA-256 {expected}, found {is_now}"
        for path, expected, is_now in found
        if is_now != expected
    ]


_OF_THE_RUN = ("inputs", "checkpoints")


def _checkpoints(run_dir: Path) -> dict[str, str]:
    """SHA-256 of every file of every trained model, by its path in the run, as it was when it was trained."""
    models = sorted((run_dir / "runs").glob("*/*/*/*/*/model"))
    return {
        (model / name).relative_to(run_dir).as_posix(): digest
        for model in models
        for name, digest in digests(model).items()
    }


def _hashes(run_dir: Path, folders: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of every file that a method was trained or tested on, by its path in the run."""
    files = sorted(p for folder in folders for p in (run_dir / folder).rglob("*") if p.is_file())
    return {path.relative_to(run_dir).as_posix(): sha256(path) for path in files if path.name[0] != "."}
