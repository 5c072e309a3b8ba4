"""The plan of the workflow: complete, fast to make, and without a way from a test file to a training job."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
PROFILE = ["--workflow-profile", "none"]


def _snakemake(folder, *arguments):
    command = [*SNAKEMAKE, "--directory", str(folder), *PROFILE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def inputs_of(tmp_path_factory):
    """File -> files that its job reads, over the whole smoke run, from the job list of a dry run."""
    config = str(ROOT / "config" / "smoke.yaml")
    done = _snakemake(tmp_path_factory.mktemp("dag"), "-n", "--configfile", config)
    assert done.returncode == 0, done.stderr
    edges, inputs = defaultdict(set), set()
    for line in done.stdout.splitlines():
        key, _, files = line.strip().partition(": ")
        if line.startswith(("rule ", "localrule ")):
            inputs = set()
        elif key == "input":
            inputs = set(files.split(", "))
        elif key == "output":
            for file in files.split(", "):
                edges[file] |= inputs
    return edges


def _ancestors(edges, file):
    seen, waiting = set(), [file]
    while waiting:
        for parent in edges[waiting.pop()] - seen:
            seen.add(parent)
            waiting.append(parent)
    return seen


def _is_test_file(name):
    return "/test" in name or "predictions" in name or name.endswith(("scores.csv", "predict_status.json"))


def test_no_training_job_has_a_test_file_among_its_ancestors(inputs_of):
    models = [name for name in list(inputs_of) if name.endswith("/model")]
    assert len(models) > 20
    for model in models:
        ancestors = _ancestors(inputs_of, model)
        assert any("/train" in name for name in ancestors)
        assert [name for name in ancestors if _is_test_file(name)] == []


def test_the_walk_would_find_a_leak(inputs_of):
    prediction = next(name for name in inputs_of if name.endswith("/predictions"))
    assert any(_is_test_file(name) for name in _ancestors(inputs_of, prediction))


@pytest.mark.parametrize("target", [["all"], []], ids=["all", "no target named"])
def test_both_forms_plan_the_same_jobs(tmp_path, target):
    done = _snakemake(
        tmp_path, "-n", "--config", "methods=oracle,empty", "datasets=phantom_heart", "--", *target
    )
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout
    assert "report" in done.stdout
    assert not (tmp_path / "results" / "quick" / "scores.csv").exists()


@pytest.mark.parametrize("name", ["real-la", "real-sample"])
def test_runs_on_real_scans_can_be_planned(tmp_path, real_data, name):
    arguments = ["--configfile", str(ROOT / "config" / f"{name}.yaml"), "--config", f"data={real_data}"]
    done = _snakemake(tmp_path, "-n", *arguments)
    assert done.returncode == 0, done.stderr
    assert "rule report:" in done.stdout


@pytest.mark.parametrize(
    ("target", "last", "absent"),
    [("scores", "scores", "figures"), ("tables", "tables", "figures"), ("figures", "figures", "report")],
)
def test_targets_stop_where_they_say(tmp_path, target, last, absent):
    done = _snakemake(tmp_path, "-n", "--config", "methods=oracle", "datasets=phantom_heart", "--", target)
    assert f"rule {last}:" in done.stdout
    assert f"rule {absent}:" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "methods=superviced"], "did you mean 'supervised'"),
        (["--config", "metods=cmc"], "did you mean 'methods'"),
        (["--configfile", str(ROOT / "config" / "real-la.yaml")], "--config data="),
        (
            ["--configfile", str(ROOT / "config" / "real-la.yaml"), "--config", "data=/nowhere"],
            "/nowhere",
        ),
    ],
)
def test_bad_input_stops_before_any_job(tmp_path, arguments, message):
    done = _snakemake(tmp_path, *arguments, "--", "all")
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert not (tmp_path / "results").exists()


def test_annotations_are_planned_as_views_and_runs_of_their_own(tmp_path):
    config = ["--configfile", str(ROOT / "config" / "scarcity.yaml")]
    few = ["--config", "methods=supervised,mkd,oracle"]
    done = _snakemake(tmp_path, "-n", "-p", *config, *few, "--", "scores")
    assert done.returncode == 0, done.stderr
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    # six annotations of one label subset; mkd needs labels of every modality, so it is skipped at one of them
    assert (counts["view"], counts["train"], counts["predict"], counts["score"]) == ("6", "17", "17", "17")
    assert (counts["split"], counts["prepare"], counts["misalign"]) == ("1", "2", "2")
    assert done.stdout.count("--test-modalities every") == 17
    assert done.stdout.count("--annotation ") == 5
    assert "views/phantom_heart/aligned/f050-d0-ct_only" in done.stdout


def test_tables_of_the_paper_need_no_run_and_start_none(tmp_path):
    done = _snakemake(tmp_path, "--", "paper_tables")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"paper_tables"}
    assert "not sourced" in (tmp_path / "results" / "paper_tables" / "amos.md").read_text()
    assert "Experiments of the paper" in done.stdout
    assert "Parallax: " not in done.stdout  # no folder of a run was opened


def test_a_preset_that_differs_in_prediction_alone_takes_the_weights_of_the_other(tmp_path):
    config = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
    config |= {"methods": ["mkd:real"], "presets": {"mkd": {"real": {"ensemble": "real_only"}}}}
    config["datasets"] = {"phantom_heart": config["datasets"]["phantom_heart"]}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    done = _snakemake(tmp_path, "-n", "--configfile", str(tmp_path / "run.yaml"), "-p")
    assert done.returncode == 0, done.stderr
    folder = "results/smoke/runs/phantom_heart/shifted/f050-d0/mkd"
    jobs = [block for block in done.stdout.split("\n\n") if "train.py" in block]
    assert len(jobs) == 2
    reused = [block for block in jobs if f"--reuse {folder}/" in block]
    assert len(reused) == 1
    assert f"{folder}/real-s0/model" in reused[0]
