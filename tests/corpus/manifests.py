"""Lists of cases."""

import yaml


def run_config(**changes):
    """A configuration of one method on a folder of scans."""
    return {
        "run": "bad", "methods": ["supervised"], "conditions": [{"labels": [1.0]}],
        "budget": {"steps": 1, "patch": [16, 16, 16], "widths": [4, 8]},
    } | changes  # fmt: skip


def folder_options(folder, **changes):
    return {
        "root": str(folder / "scans"), "manifest": "cases.csv", "modalities": {"CT": {"kind": "ct"}},
        "classes": {"liver": 1}, "spacing_mm": [1, 1, 1],
    } | changes  # fmt: skip


def plan(folder, values):
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return ("parallax", "plan", str(path))


def folder_run(folder, manifest, name="cases.csv", **options):
    """Write a list of cases beside the scans, and a configuration that reads it."""
    (folder / "scans").mkdir(exist_ok=True)
    content = manifest if isinstance(manifest, bytes) else manifest.encode()
    (folder / "scans" / name).write_bytes(content)
    dataset = {
        "options": folder_options(folder, **({"manifest": name} | options)),
        "split": {"train": 1, "test": 1},
    }
    return plan(folder, run_config(datasets={"own": {"plugin": "folder"} | dataset}))


def cases():
    return iter(())
