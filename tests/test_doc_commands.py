"""Every command in the documentation is well formed, and is run where a test can run it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doc_commands import (
    MADE_BY_READER,
    ROOT,
    Command,
    all_commands,
    commands,
    configurations,
    fault,
    pages,
    reason_not_here,
    untagged,
)
from scan_trees import write_greys, write_series
from tidy import method_rows
from tidy_run import ball, write_run

from parallax.case import Volume
from parallax.cli import main
from parallax.data import layouts
from parallax.data.volumes import write_volume
from parallax.run.config import RunConfig
from parallax.score.gather import COST_COLUMNS, write_costs
from parallax.score.table import RUN_KEYS, to_frame, write_parquet, write_rows

#: Commands of `parallax` that are shown and not run here, and why.
RUN_ELSEWHERE = {
    "parallax new-baseline my_baseline": "tests/test_docs.py runs it",
    "parallax try baselines/my_baseline.py --quick": "tests/test_docs.py runs it",
    "parallax try mean_teacher": "tests/test_method_contract.py does what it does",
    "parallax plan config/boxes.yaml": "tests/test_docs.py runs the dataset that the page shows",
}
#: Commands that need scans which nobody has here: what they must say.
WITHOUT_SCANS = {
    "parallax plan config/paper/amos.yaml --config data=/path/to/scans": "/path/to/scans",
    "parallax plan config/from-labels.yaml --config data=/path/to/scans": "/path/to/scans",
}
#: Parts of command lines of Snakemake that cannot be planned here, and why.
NOT_PLANNED = {
    "my_baseline": "tests/test_docs.py tries it",
    "config/mine.yaml": "reads scans of the reader's",
    "config/boxes.yaml": "tests/test_docs.py reads the dataset that the page shows",
    "--profile mine": "a profile of the reader's",
    "--profile workflow/profiles/slurm": "tests/cluster runs it",
    "gpu=1": "tests/workflow/test_gpus.py runs it on made-up devices",
    "--report": "tests/workflow/test_report_and_catalogue.py runs it on a finished run",
}
#: The largest grids take a while to plan.
SLOW = "config/standard.yaml"
MANIFEST = {
    "run": "quick",
    "commit": "0123abc",
    "methods": {},
    "splits": {},
    "inputs": {},
    "scans": {},
    "versions": {},
    "machine": {"cores": 2, "processor": "a processor"},
    "config": {
        "run": "quick",
        "title": "Two balls",
        "notes": [],
        "methods": ["supervised"],
        "conditions": [{"labels": [1.0]}],
        "seeds": [0],
        "datasets": {"toy": {"options": {"cases": 2}}},
        "budget": {"steps": 3},
    },
}


def test_every_command_is_known_and_well_formed():
    found = all_commands()
    assert len(found) > 100
    assert [f"{c.page}: {c.text}: {wrong}" for c in found if (wrong := fault(c))] == []


def test_blocks_of_commands_say_that_they_are():
    assert {path.name: lines for path in pages() if (lines := untagged(path))} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("parallax plam config/quick.yaml", "there is no command plam"),
        ("parallax plan config/quik.yaml", "there is no config/quik.yaml"),
        ("parallax score a.nii.gz b.nii.gz --tolerance 2", "NoSuchOption"),
        ("parallax diff results/quick", "MissingParameter"),
        ("snakemake --coresx 2", "--coresx"),
        ("snakemake --cores 2 --configfile config/quik.yaml -- all", "not in the project"),
        ("snakemake --cores 2 -- everything", "no such target"),
        ("snakemake --cores 2 --config methods=superviced", "no such methods"),
        ("snakemake --cores 2 --config metods=cmc", "there is no key metods"),
        ("make everything", "the Makefile has no everything"),
        ("python studies/discriminat.py", "there is no studies/discriminat.py"),
        ("python studies/licences.py --chekc", "does not take --chekc"),
        ("python -m pytest -m weakly", "no such mark"),
        ("pytest tests/test_nothing.py", "there is no tests/test_nothing.py"),
        ("rm -rf results", "no test knows this program"),
    ],
)
def test_a_slip_in_a_command_is_found(line, wrong):
    found = [fault(command) for command in commands(f"```bash\n{line}\n```\n", "a page")]
    assert len(found) == 1
    assert wrong in found[0]


def test_a_mentioned_command_may_leave_out_its_arguments():
    (command,) = commands("as `parallax\nplan` and `snakemake` and `parallax diff A --x`"[:18], "a page")
    assert fault(command) == ""
    assert fault(replace(command, shown=True)) != ""


def test_configurations_that_pages_show_are_valid():
    shown = {c["run"]: RunConfig.model_validate(c) for path in pages() for c in configurations(path)}
    assert set(shown) == MADE_BY_READER - {"my_baseline"}


def finished(folder, task, rows):
    """A finished run with data and predictions of two balls, and these scores."""
    write_run(folder, task)
    shutil.copytree(
        folder / "data" / "toy" / "shifted" / "test", folder / "data" / "toy" / "shifted" / "train"
    )
    write_rows(rows, folder / "scores.csv")
    write_parquet(to_frame(rows), folder / "scores.parquet")
    runs = {tuple(getattr(row, name) for name in RUN_KEYS) for row in rows}
    spent = dict.fromkeys(COST_COLUMNS, 1.0) | {"device": "cpu"}
    write_costs([dict(zip(RUN_KEYS, keys, strict=True)) | spent for keys in runs], folder / "costs.csv")
    for name, text in (("splits/toy.json", "{}"), ("tables/main.csv", "method\n")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))


@pytest.fixture
def desk(tmp_path, two_modality_task, monkeypatch):
    """A folder in which the files that the commands name are there, small."""
    here, there = method_rows("supervised", 0.7, cases=6), method_rows("cmc", 0.8, cases=6)
    shifted = {"misalignment": "shifted", "shift_mm": 7.0}
    moved = [
        *method_rows("supervised", 0.6, cases=6, **shifted),
        *method_rows("cmc", 0.5, cases=6, **shifted),
    ]
    whole = [*here, *there, *moved]
    for name, rows in (("quick", whole), ("again", whole), ("here", here), ("there", there)):
        finished(tmp_path / "results" / name, two_modality_task, rows)
    for name in ("truth", "prediction"):
        write_volume(Volume(ball(), np.diag([2.0, 2.0, 3.0, 1.0])), tmp_path / f"{name}.nii.gz")
        folder = tmp_path / {"truth": "truth", "prediction": "predictions"}[name]
        write_volume(Volume(ball(), np.eye(4)), folder / "a.nii.gz")
    for name in ("config", "datasets", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    image = Volume(np.arange(480, dtype=np.float32).reshape(10, 8, 6), np.diag([2.0, 2.0, 3.0, 1.0]))
    downloads = tmp_path / "data"
    for files, value in (
        (layouts.mmwhs_files(downloads / "mmwhs", "CT", 1001), 205),
        (layouts.mmwhs_files(downloads / "mmwhs", "MR", 1001), 205),
        (layouts.amos_files(downloads / "amos22", 1), 6),
        (layouts.amos_files(downloads / "amos22", 501), 6),
    ):
        label = np.zeros(image.array.shape, np.uint16)
        label[2:5, 2:5, 2:4] = value
        layouts.write_scan(files, image, Volume(label, image.affine))
    scans = downloads / "CHAOS" / "Train_Sets" / "CT" / "1"
    write_series(scans / "DICOM_anon", "CT")
    write_greys(scans / "Ground", (255, 255, 0, 0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command, desk, monkeypatch):
    """Exit status of a `parallax` command on the desk; /data is the desk's."""
    words = [
        word.replace("/data/", f"{desk}/data/") if word.startswith("/data/") else word
        for word in command.words
    ]
    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


def runnable(program):
    """Commands of a program that a test can run: no patterns, and of `parallax` no mere mention of a name."""
    some = [c for c in all_commands() if c.words[0] == program and not c.pattern and not reason_not_here(c)]
    whole = [c for c in some if c.shown or len(c.words) > 2 or c.text == "parallax list"]
    return whole if program == "parallax" else some


def test_commands_of_parallax_do_what_they_say(desk, monkeypatch, capsys):
    mentioned = ("parallax try --quick", "parallax score --legacy")
    wanted = [
        c for c in runnable("parallax") if c.text not in (*RUN_ELSEWHERE, *mentioned) and SLOW not in c.text
    ]
    assert len(wanted) >= 15
    for command in wanted:
        status = run(command, desk, monkeypatch)
        said = "".join(capsys.readouterr())
        if command.text in WITHOUT_SCANS:
            assert (status, WITHOUT_SCANS[command.text] in said) == (2, True), said
        else:
            assert status == 0, f"{command.page}: {command.text}: {said}"
    assert (desk / "results" / "both" / "report" / "index.html").is_file()
    assert (desk / "quick-crate" / "ro-crate-metadata.json").is_file()
    assert (desk / "dice_by_shift.pdf").is_file()


def test_tables_of_exceptions_hold_nothing_that_is_gone():
    texts = {command.text for command in all_commands()}
    assert {*RUN_ELSEWHERE, *WITHOUT_SCANS} <= texts
    assert [part for part in (*NOT_PLANNED, SLOW) if not any(part in text for text in texts)] == []


@pytest.mark.skipif(shutil.which("flock") is None, reason="there is no flock")
def test_the_test_of_the_lock_works(desk):
    (command,) = runnable("flock")
    assert subprocess.run(command.words, cwd=desk, check=False).returncode == 0


@pytest.mark.weekly
@pytest.mark.parametrize("text", sorted(c.text for c in runnable("parallax") if SLOW in c.text))
def test_large_grids_are_planned(desk, monkeypatch, text):
    assert run(Command("", text, True), desk, monkeypatch) == 0


def plannable():
    """Distinct command lines of Snakemake that can be planned here."""
    texts = sorted(command.text for command in runnable("snakemake"))
    return [text for text in texts if not any(part in text for part in NOT_PLANNED)]


@pytest.mark.weekly
@pytest.mark.parametrize("text", plannable())
def test_commands_of_snakemake_plan_a_run(tmp_path, text):
    """As they stand, with `-n` in front; where scans are wanted that are not there, they say so."""
    words = Command("", text.replace("data=PATH", "data=/path/to/scans"), True).words[1:]
    base = [
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(tmp_path),
        "--workflow-profile",
        "none",
    ]
    command = [sys.executable, "-m", "snakemake", *base, "-n", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    wants_scans = "data=/path/to/scans" in words
    assert (done.returncode != 0, "/path/to/scans" in done.stderr) == (wants_scans, wants_scans), said


@pytest.mark.weekly
@pytest.mark.parametrize("text", sorted(c.text for c in runnable("make")))
def test_make_knows_what_to_do(text):
    words = ["make", "-n", "-C", str(ROOT), *Command("", text, True).words[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.weekly
@pytest.mark.parametrize(
    "script",
    sorted(
        {
            c.words[1]
            for c in runnable("python")
            if c.words[1].endswith(".py") and "argparse" in Path(ROOT, c.words[1]).read_text()
        }
    ),
)
def test_scripts_that_pages_name_start(script):
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
