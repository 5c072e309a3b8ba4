"""Profiles and recipes name what there is; whether they work, tests/cluster tells of one of them."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "workflow" / "profiles"
# What a checkout needs to run, as the copy of tests/workflow/test_reruns.py has it.
NEEDED = {"parallax", "workflow", "profiles", "datasets", "baselines", "methods", "config"}
NEEDED |= {"Snakefile", "requirements.lock", "claims.yaml", "results/published.csv", "pyproject.toml"}


def _rules():
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    return set(re.findall(r"^rule (\w+):", text, re.MULTILINE))


def _profile(name):
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", sorted(path.parent.name for path in PROFILES.glob("*/config.yaml")))
def test_a_profile_names_rules_that_there_are(name):
    profile = _profile(name)
    assert {*profile.get("groups", {}), *profile.get("set-resources", {})} <= _rules()
    assert set(profile.get("group-components", {})) <= set(profile.get("groups", {}).values())


def test_on_slurm_a_training_is_a_job_of_its_own_and_all_else_is_grouped():
    # a group that starts again begins each of its jobs anew; a training that is done has no checkpoint left
    assert _rules() - set(_profile("slurm")["groups"]) == {"train", "paper_tables"}


def test_on_slurm_a_preempted_job_is_requeued_and_a_group_runs_its_jobs_in_turn():
    profile = _profile("slurm")
    assert profile["slurm-requeue"] is True
    assert profile["default-resources"]["alone"] == profile["resources"]["alone"] == 1
    assert profile["set-resource-scopes"] == {"alone": "local"}


def test_the_pod_has_the_memory_that_its_runs_may_take():
    documents = list(yaml.safe_load_all((PROFILES / "kubernetes" / "job.yaml").read_text()))
    pod = next(d for d in documents if d["kind"] == "Job")["spec"]["template"]["spec"]["containers"][0]
    limit_mib = int(pod["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024
    assert _profile("kubernetes")["resources"]["mem_mb"] < limit_mib
    assert _profile("kubernetes")["cores"] == int(pod["resources"]["requests"]["cpu"])
    inside = [argument for argument in pod["args"] if argument.startswith("/opt/parallax/")]
    assert all((ROOT / Path(path).relative_to("/opt/parallax")).exists() for path in inside)


def test_the_apptainer_image_holds_what_a_run_needs():
    text = (ROOT / "containers" / "parallax.def").read_text()
    files = text.split("%files\n")[1].split("\n\n")[0].splitlines()
    copied = dict(line.split() for line in files)
    assert set(copied) >= NEEDED
    assert all(target == f"/opt/parallax/{name}" for name, target in copied.items())
    assert all((ROOT / name).exists() for name in copied)


def test_the_docker_image_leaves_out_only_what_a_run_does_not_need():
    lines = (ROOT / "containers" / "Dockerfile.dockerignore").read_text().split()
    assert NEEDED.isdisjoint(lines)
    assert lines.index("results/*") < lines.index("!results/published.csv")
