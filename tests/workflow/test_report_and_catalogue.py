"""Snakemake's own report of a run, and the rules of the catalogue of Snakemake workflows.

The rules are those of snakemake/snakemake-workflow-catalog@55ed72c, source/docs/about/adding_workflows.md.
"""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "1", "--workflow-profile", "none"]
TINY = {
    "run": "tiny",
    "datasets": {
        "phantom_heart": {
            "options": {"cases": 4, "seed": 1, "size": "small"},
            "split": {"seed": 0, "train": 2, "test": 2},
        }
    },
    "methods": ["oracle", "empty"],
    "conditions": [{"labels": [1.0]}],
    "budget": {"steps": 2, "patch": [32, 32, 16], "widths": [4, 8]},
}


def _snakemake(folder, *arguments, snakefile="Snakefile"):
    command = [*SNAKEMAKE, "--snakefile", str(ROOT / snakefile), "--directory", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_catalogue_finds_what_its_standard_asks_for():
    assert re.search("snakemake", (ROOT / "README.md").read_text(), re.IGNORECASE)
    assert "workflow" in (ROOT / "README.md").read_text()
    assert (ROOT / "workflow" / "Snakefile").is_file()
    assert list((ROOT / "workflow" / "rules").glob("*.smk"))
    assert "# Configurations" in (ROOT / "config" / "README.md").read_text()
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    stack = usage["software-stack-deployment"]
    assert all(isinstance(value, bool) for value in stack.values())
    assert stack["report"] is usage["report"] is True
    # a rule with an environment of its own would make this true
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert stack["conda"] == bool(re.search(r"^ +conda:", rules, re.MULTILINE))


def test_the_workflow_of_the_catalogue_plans_the_whole_run(tmp_path):
    few = ["-n", "--config", "methods=oracle,empty", "datasets=phantom_heart"]
    done = _snakemake(tmp_path, *few, snakefile="workflow/Snakefile")
    assert done.returncode == 0, done.stderr
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    assert (jobs["predict"], jobs["report"], jobs["manifest"], jobs["whole_run"]) == ("6", "1", "1", "1")


def test_every_result_of_the_report_has_a_category_and_a_caption_that_is_there():
    text = (ROOT / "workflow" / "rules" / "results.smk").read_text()
    shown = re.findall(r" report\(\n(.*?)\n        \),\n", text, re.DOTALL)
    assert [re.search(r'category="(\w+)"', block)[1] for block in shown] == ["Tables", "Figures", "Report"]
    captions = {re.search(r'caption="([^"]+)"', block)[1] for block in shown} | {"../report/workflow.rst"}
    folder = ROOT / "workflow" / "rules"
    assert {(folder / caption).resolve() for caption in captions} == set(
        (ROOT / "workflow" / "report").glob("*.rst")
    )


@pytest.mark.weekly
def test_snakemake_reports_a_finished_run(tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    config = ["--configfile", str(tmp_path / "tiny.yaml")]
    done = _snakemake(tmp_path, *config, "--", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    verify = [sys.executable, "-m", "parallax.run.verify", str(tmp_path / "results" / "tiny")]
    assert subprocess.run(verify, cwd=ROOT, check=False).returncode == 0
    done = _snakemake(tmp_path, *config, "--report", str(tmp_path / "report.zip"), "--", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        held = {Path(name).name for name in archive.namelist()}
        page = archive.read("report/report.html").decode()
    run = tmp_path / "results" / "tiny"
    made = [*(run / "tables").glob("*.csv"), *(run / "figures").glob("*.png"), run / "report" / "index.html"]
    assert len(made) > 5
    assert {path.name for path in made} <= held
    for said in ("Tables", "Figures", "Report", "every method under one protocol", "main.csv"):
        assert said in page, said
