"""`parallax score`: any two label maps, or two folders of them."""

import csv
import json

import numpy as np
import pytest
from tidy_run import AFFINE, ball

from parallax import cli
from parallax.case import Volume
from parallax.data.volumes import write_volume
from parallax.errors import ConfigError, DataError, GeometryError
from parallax.score.compare import Wanted, read_names, score_pair


def write(path, array, affine=AFFINE):
    write_volume(Volume(array, affine), path)
    return path


@pytest.fixture
def folders(tmp_path):
    """Case a is right, b misses label 2, c has a false label 3, d has no prediction; `more` has no truth."""
    small = np.where(ball() == 1, ball(), 0).astype(np.uint8)
    false = small.copy()
    false[0, 0, 0] = 3
    for case, truth, prediction in (("a", ball(), ball()), ("b", ball(), small), ("c", small, false)):
        write(tmp_path / "truth" / f"{case}.nii.gz", truth)
        write(tmp_path / "prediction" / f"{case}.nii.gz", prediction)
    write(tmp_path / "truth" / "d.nii.gz", ball())
    write(tmp_path / "prediction" / "more.nii.gz", ball())
    return tmp_path


def run(monkeypatch, *arguments):
    """Exit status of the command."""
    monkeypatch.setattr("sys.argv", ["parallax", "score", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


def test_the_table_says_what_was_missed_and_what_is_absent(folders, monkeypatch, capsys):
    arguments = (folders / "truth", folders / "prediction", "--tolerance-mm", "2", "--legacy")
    assert run(monkeypatch, *arguments) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    words = " ".join(shown.replace("│", " ").split())
    for told in (
        "a label 1 1.0000 1.0000 0.00 0.00 0.00 0.00 ok",
        "Found 4, missed 1, false positive 1: these count.",
        "No prediction for 1 of 4 cases, which no mean holds: d.",
        "Predictions without a truth, not scored: more.",
        "mean all 0.6667 0.6667 – –",
        "mean found all 1.0000 1.0000 0.00",
        "6 values",
    ):
        assert told in words
    assert "NSD 2 mm" in " ".join(line for line in words.split("┃") if line.strip()) or "2 mm" in words


def test_without_a_tolerance_there_is_no_nsd_and_a_line_says_how(folders, monkeypatch, capsys):
    assert run(monkeypatch, folders / "truth" / "a.nii.gz", folders / "prediction" / "a.nii.gz") == 0
    shown = capsys.readouterr().out
    assert "add --tolerance-mm" in shown
    assert "2 mm" not in shown
    assert "pooled" not in shown


def test_csv_and_json_hold_the_same_rows_with_the_tolerance(folders, monkeypatch, capsys):
    arguments = (folders / "truth", folders / "prediction", "--json", "--csv", folders / "new" / "out.csv")
    assert run(monkeypatch, *arguments, "--tolerance-mm", "2", "--labels", "large=1,small=2") == 0
    printed = json.loads(capsys.readouterr().out)
    with (folders / "new" / "out.csv").open(encoding="utf-8") as stream:
        written = list(csv.DictReader(stream))
    assert [str(row["value"] or 0.0) for row in printed] == [row["value"] or "0.0" for row in written]
    assert {row["tolerance_mm"] for row in written if row["metric"] == "nsd"} == {"2.0"}
    assert {row["tolerance_mm"] for row in written if row["metric"] != "nsd"} == {""}
    assert {row["structure"] for row in written} == {"large", "small"}
    status = {(row["case"], row["structure"]): row["status"] for row in written}
    assert (status["b", "small"], status["c", "small"], status["d", "small"]) == (
        "missed",
        "both_empty",
        "failed",
    )


def test_nothing_is_written_when_something_is_wrong(folders, monkeypatch, capsys):
    write(folders / "prediction" / "b.nii.gz", ball(), np.diag([1.0, 2.0, 3.0, 1.0]))
    out = folders / "out.csv"
    assert run(monkeypatch, folders / "truth", folders / "prediction", "--csv", out) == 2
    told = capsys.readouterr().err
    assert told.startswith("GeometryError: ")
    assert "spacing 2x2x3 mm" in told
    assert "spacing 1x2x3 mm" in told
    assert told.count("origin (") == told.count("axes RAS") == told.count("shape 20x18x12") == 2
    assert not out.exists()
    assert (
        run(monkeypatch, folders / "truth" / "a.nii.gz", folders / "truth" / "a.nii.gz", "--csv", folders)
        == 2
    )
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.full((4, 4, 4), 0.5, np.float32), "not integers"),
        (np.full((4, 4, 4), np.nan, np.float32), "not finite"),
        (np.arange(-2, 62, dtype=np.int16).reshape(4, 4, 4), "values from -2 to 61"),
        (np.arange(300, dtype=np.int16).reshape(10, 10, 3), "values from 0 to 299 with 299 labels"),
        (np.full((4, 4, 4), 70_000, np.int32), "values from 70000 to 70000"),
    ],
)
def test_a_file_that_is_no_label_map_is_named(tmp_path, values, told):
    path = write(tmp_path / "map.nii.gz", values)
    with pytest.raises(DataError, match=told) as error:
        score_pair(path, path)
    assert path.as_posix() in str(error.value)


def test_large_label_values_are_scored_as_they_are(tmp_path):
    path = write(tmp_path / "map.nii.gz", ball().astype(np.int16) * 420)
    rows = score_pair(path, path)
    assert [row["structure"] for row in rows if row["metric"] == "dice"] == ["label 420", "label 840"]
    assert {row["value"] for row in rows if row["metric"] == "dice"} == {1.0}


def test_paths_that_do_not_fit_are_named(folders):
    with pytest.raises(DataError, match="folder cannot be scored against a file"):
        score_pair(folders / "truth", folders / "prediction" / "a.nii.gz")
    write(folders / "strange" / "x.nii.gz", ball())
    with pytest.raises(DataError, match=r"a, b, c, d.*Found: x"):
        score_pair(folders / "truth", folders / "strange")
    write(folders / "truth" / "a.nii", ball())
    with pytest.raises(DataError, match="a with both endings"):
        score_pair(folders / "truth", folders / "prediction")
    with pytest.raises(GeometryError):
        score_pair(write(folders / "m.nii.gz", ball()[:-1]), folders / "truth" / "b.nii.gz")


def test_names_come_from_text_or_a_file(tmp_path):
    assert read_names("left lung=1, spleen=20") == {"left lung": 1, "spleen": 20}
    ours, nnunet = tmp_path / "a.json", tmp_path / "b.json"
    ours.write_text(json.dumps({"task": {"classes": {"liver": 1}}}), encoding="utf-8")
    nnunet.write_text(json.dumps({"labels": {"background": 0, "liver": 2}}), encoding="utf-8")
    assert (read_names(str(ours)), read_names(str(nnunet))) == ({"liver": 1}, {"liver": 2})


@pytest.mark.parametrize(
    "text", ["liver", "a=1,a=2", "a=1,b=1", "a=0", "a=x", "=1", "", "absent.json", "a=99999"]
)
def test_names_that_cannot_be_used_are_refused(text):
    with pytest.raises(ConfigError, match="--labels"):
        read_names(text)


@pytest.mark.parametrize("tolerance_mm", [0.0, -1.0, float("nan"), float("inf")])
def test_a_tolerance_must_be_a_length(tolerance_mm):
    with pytest.raises(ConfigError, match="--tolerance-mm"):
        Wanted(tolerance_mm=tolerance_mm)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_names_of_files_steer_no_terminal(tmp_path, monkeypatch, capsys, form):
    for folder in ("truth", "prediction"):
        write(tmp_path / folder / "b\x1b[31mX\x07.nii.gz", ball())
    assert run(monkeypatch, tmp_path / "truth", tmp_path / "prediction", *form) == 0
    told = capsys.readouterr()
    assert "[31mX" in told.out
    assert not {"\x1b", "\x07"} & set(told.out + told.err)
