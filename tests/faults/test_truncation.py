"""Files of a real run cut short as by a power failure: detected, made again, never read as valid."""

import os
import random
import subprocess
import sys

import pytest
import runs

from parallax.data.seal import SealError, check, damaged, sealed_outputs, sha256
from parallax.run.manifest import differing, make_manifest

RUN = "runs/phantom_heart/aligned/f100-d0/supervised/paper-s0"
# Written by Snakemake, or at every start and read by nobody who could not do without.
NO_OUTPUTS = {".snakemake_timestamp", ".lock", "plan.json", "wall.json"}
OF_EACH_KIND = {
    "checkpoint": f"{RUN}/model/weights.pt",
    "NIfTI": "data/phantom_heart/prepared/train/images/heart1001__CT.nii.gz",
    "predicted NIfTI": f"{RUN}/predictions/heart1004__CT.nii.gz",
    "parquet": "scores.parquet",
    "JSON": f"{RUN}/status.json",
    "JSON of a folder": "data/phantom_heart/aligned/test/frames.json",
    "array": "views/phantom_heart/aligned/f100-d0/heart1002.image.npy",
    "CSV": f"{RUN}/scores.csv",
    "split": "splits/phantom_heart/f100-d0.json",
    "seal": "data/phantom_heart/prepared/test/.seal",
}


def _files_of(output):
    return [path for path in output.rglob("*") if path.is_file()] if output.is_dir() else [output]


def _cut(path, size):
    """Cut a file short, for this folder alone: files of a run are links to one another."""
    content, times = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(content[:size])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return content


def test_every_file_of_a_run_is_sealed_and_cut_short_is_refused_at_any_length(undisturbed, tmp_path, count):
    root = runs.results(undisturbed.copy(tmp_path))
    outputs, done = list(sealed_outputs(root)), 0
    sealed = {path for output in outputs for path in _files_of(output)}
    seals = {path for path in root.rglob("*") if path.name.endswith(".seal")}
    others = {path for path in root.rglob("*") if path.is_file()} - sealed - seals
    unsealed = {path.relative_to(root).parts[0] for path in others if path.name not in NO_OUTPUTS}
    assert unsealed <= {"logs", "benchmarks", "raw", "scratch"}
    for output in outputs:
        assert damaged(output) is None
        check(output)
        for path in (path for path in _files_of(output) if path.name not in (*NO_OUTPUTS, ".seal")):
            for size in {0, path.stat().st_size // 2, path.stat().st_size - 1}:
                content = _cut(path, size)
                with pytest.raises(SealError, match=f"found: .*|{path.name}"):
                    check(output)
                assert path.as_posix() in str(damaged(output))
                path.write_bytes(content)
                done += 1
    assert done > 3 * len(outputs)
    count("truncation that a reader refuses", done)


def test_what_was_cut_short_is_made_again_and_the_scores_are_the_same(undisturbed, tmp_path, count):
    folder = undisturbed.copy(tmp_path)
    root = runs.results(folder)
    for name in OF_EACH_KIND.values():
        _cut(root / name, (root / name).stat().st_size // 2)
    runs.finish(folder)
    for name in OF_EACH_KIND.values():
        assert name in runs.said(folder), name
        assert (root / name).stat().st_size > 0
    assert runs.scores(folder) == runs.scores(undisturbed.folder)
    assert all(damaged(output) is None for output in sealed_outputs(root))
    count("truncation that the next start repairs", len(OF_EACH_KIND))


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
def test_a_random_quarter_of_all_files_cut_short_changes_no_score(undisturbed, tmp_path, count, seed):
    """Whatever they are for: also logs, the plan, and what Snakemake keeps in `.snakemake`."""
    folder, rng = undisturbed.copy(tmp_path), random.Random(seed)
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    files.remove(folder / "tiny.yaml")  # the user's own
    cut = rng.sample(sorted(files), len(files) // 4)
    for path in cut:
        _cut(path, rng.randrange(path.stat().st_size))
    runs.finish(folder)
    assert runs.scores(folder) == runs.scores(undisturbed.folder)
    assert all(damaged(output) is None for output in sealed_outputs(runs.results(folder)))
    count("truncation of any file, many at once", len(cut))


def test_a_checkpoint_with_another_content_of_the_same_size_is_refused(undisturbed, tmp_path, count):
    root = runs.results(undisturbed.copy(tmp_path))
    weights = root / RUN / "model" / "weights.pt"
    right = sha256(weights)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    script = runs.ROOT / "workflow" / "scripts" / "predict.py"
    paths = {
        "data": root / "data/phantom_heart/aligned/test",
        "model": weights.parent,
        "out": tmp_path / "out",
    }
    paths |= {"status": root / RUN / "status.json", "predict-status": tmp_path / "status.json"}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    options += ["--method", "supervised", "--budget", '{"steps": 1}']
    done = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, env=runs.environment()
    )
    assert done.returncode == 2
    assert f"Expected: SHA-256 {right}. Found: {sha256(weights)}" in done.stderr
    assert "Traceback" not in done.stderr
    assert f"Remedy: delete {weights.parent.as_posix()} and start the run again" in done.stderr
    assert not (tmp_path / "out").exists()
    count("same size, other content")


def test_data_and_checkpoints_that_the_manifest_does_not_name_are_told(
    undisturbed, tmp_path, monkeypatch, count
):
    import yaml

    folder = undisturbed.copy(tmp_path)
    monkeypatch.chdir(folder)
    root = runs.results(folder)
    from parallax.run.setup import make_setup

    config = make_setup(yaml.safe_load(runs.config())).config.model_dump(exclude_none=True)
    manifest = make_manifest(root, config)
    assert differing(root, manifest) == []
    changed = [f"{RUN}/model/weights.pt", OF_EACH_KIND["NIfTI"]]
    for name in changed:
        _cut(root / name, -1)
    told = differing(root, manifest)
    assert len(told) == 2
    assert all(any(name in line and "expected SHA-256" in line for line in told) for name in changed)
    count("other digest than in the manifest", len(changed))
