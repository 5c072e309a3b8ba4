"""The tutorial and the how-to of datasets, walked through in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_commands import ROOT, SHELLS, blocks, commands, reason_not_here

NEEDED = ("parallax", "workflow", "profiles", "datasets", "baselines", "methods", "config", "Snakefile")
NEEDED += ("requirements.lock", "claims.yaml", "results/published.csv", "pyproject.toml")


@pytest.fixture
def checkout(tmp_path):
    """A copy in which a reader may work."""
    for name in NEEDED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path


def lines(page):
    """The command lines of a page, in order; each is walked but those that get checkout and packages."""
    for language, text in blocks(page):
        for line in text.replace("\\\n", " ").splitlines() if language in SHELLS else ():
            parts = list(commands(f"```bash\n{line}\n```\n", page.name))
            yield line, not any(reason_not_here(part) or part.words[0] == "make" for part in parts)


def walk(page, checkout):
    """What the commands of a page print, one after another; each must end well."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(checkout), "PATH": path, "COLUMNS": "100"}
    said = []
    for line in [line for line, walked in lines(page) if walked]:
        done = subprocess.run(
            ["bash", "-c", line], cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said.append(done.stdout + done.stderr)
    return said


@pytest.mark.weekly
def test_the_tutorial_ends_with_a_row_of_ones_own(checkout):
    page = ROOT / "docs" / "tutorial.md"
    said = walk(page, checkout)
    assert len(said) == 6
    shown = next(text for language, text in blocks(page) if language == "text")
    rows = re.findall(r"^│ (\w[\w -]*?) +│", shown, re.MULTILINE)
    assert [row for row in rows if f"│ {row} " not in said[2]] == []
    assert "4 runs, 0 skipped" in said[2]
    assert "to train: 1 run," in said[-1]  # the others are taken as they are
    assert "│ My baseline " in said[-1]
    assert "My baseline" in (checkout / "results" / "first" / "report" / "index.html").read_text()


@pytest.mark.weekly
def test_the_dataset_of_the_how_to_runs_and_its_oracle_is_right(checkout):
    page = ROOT / "docs" / "add-a-dataset.md"
    for language, place in (("python", "datasets/boxes.py"), ("yaml", "config/boxes.yaml")):
        text = next(text for found, text in blocks(page) if found == language)
        (checkout / place).write_text(text)
    said = walk(page, checkout)
    assert len(said) == 2
    assert re.search(r"│ Oracle +│ 1\.000 ± 0\.000 │", said[-1])


def test_a_walk_leaves_out_only_what_sets_up():
    left = [line for line, walked in lines(ROOT / "docs" / "tutorial.md") if not walked]
    assert left == ["git clone URL parallax && cd parallax", "make .venv/.ready", "source .venv/bin/activate"]
    assert all(walked for _, walked in lines(ROOT / "docs" / "add-a-dataset.md"))
