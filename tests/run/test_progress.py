"""The progress line, and what of Snakemake's own messages reaches the terminal."""

import json
import logging
import time

from parallax.run.progress import progress_line
from parallax.run.terminal import CalmTerminal


def _finished(root, path, seconds):
    folder = root / "runs" / path
    folder.mkdir(parents=True)
    (folder / "cost.json").write_text(json.dumps({"train_s": seconds}))


def test_time_left_is_that_of_the_methods_left_on_all_cores(tmp_path):
    runs = [f"heart/aligned/f100-d0/{m}/paper-s{s}" for m in ("mkd", "supervised", "empty") for s in (0, 1)]
    (tmp_path / "plan.json").write_text(json.dumps({"runs": runs, "at_once": 2, "waiting": [], "started": 0}))
    _finished(tmp_path, runs[0], 600.0)
    _finished(tmp_path, runs[4], 0.0)
    # left: mkd as the other mkd, empty as the other empty, supervised (twice) as a typical method
    assert progress_line(tmp_path, "empty") == "[2/6 runs] empty done, 4 left, about 15 min of training"


def test_controls_say_nothing_of_how_long_a_method_takes(tmp_path):
    runs = ["a/b/c/mkd/paper-s0", "a/b/c/empty/paper-s0"]
    (tmp_path / "plan.json").write_text(json.dumps({"runs": runs, "at_once": 1, "waiting": [], "started": 0}))
    _finished(tmp_path, runs[1], 0.0)
    assert progress_line(tmp_path, "empty") == "[1/2 runs] empty done, 1 left"


def test_an_older_version_of_a_run_that_waits_is_not_done(tmp_path):
    runs = [f"a/b/c/{method}/paper-s0" for method in ("mkd", "cmc")]
    for path in runs:
        _finished(tmp_path, path, 60.0)
    plan = {"runs": runs, "at_once": 1, "waiting": runs[:1], "started": time.time() + 60}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert progress_line(tmp_path, "cmc").startswith("[1/2 runs] cmc done, 1 left")


def test_nothing_left(tmp_path):
    (tmp_path / "plan.json").write_text(
        json.dumps({"runs": ["a/b/c/mkd/paper-s0"], "at_once": 2, "waiting": [], "started": 0})
    )
    _finished(tmp_path, "a/b/c/mkd/paper-s0", 3.0)
    assert progress_line(tmp_path, "mkd") == "[1/1 runs] mkd done, 0 left"


def _record(message, **fields):
    return logging.makeLogRecord({"msg": message, "levelno": logging.INFO, **fields})


def test_scheduling_is_not_printed():
    calm = CalmTerminal()
    assert not calm.filter(_record("Select jobs to execute..."))
    assert not calm.filter(_record("Execute 2 jobs...", event="job_started"))
    assert calm.filter(_record("Building DAG of jobs..."))


def test_a_failed_job_shows_the_end_of_its_log(tmp_path, capsys):
    log = tmp_path / "index.log"
    log.write_text("".join(f"line {i}\n" for i in range(100)) + "DataError: no such folder\n")
    record = _record("Error", event="job_error", rule_name="index", output=["cases.json"], log=[str(log)])
    assert CalmTerminal().filter(record)
    printed = capsys.readouterr().err
    assert "Rule index failed: cases.json" in printed
    assert "DataError: no such folder" in printed
    assert "line 99" in printed
    assert "line 50" not in printed
