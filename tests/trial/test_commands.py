"""`parallax try` and `parallax new-baseline`: what they print, and with which exit status they end."""

from __future__ import annotations

import io
import json
import textwrap

import pytest
from broken import BROKEN, GOOD
from rich.console import Console
from typer.testing import CliRunner

from parallax.cli import app
from parallax.errors import ConfigError, PluginError
from parallax.trial.outcome import Outcome, Status
from parallax.trial.starting_file import write_starting_file
from parallax.trial.suite import Wanted, find_card, try_method
from parallax.trial.table import as_json, outcome_table, summary


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def written(folder, what=None):
    path = folder / "tiny.py"
    path.write_text(GOOD + textwrap.indent(BROKEN[what][1] if what else "", "    "))
    return path


def test_a_good_file_ends_with_0(tmp_path):
    result = invoke("try", written(tmp_path), "--quick")
    assert result.exit_code == 0, result.output
    assert "0 failed" in result.output
    assert "snakemake --cores 2 --config methods=tiny,supervised datasets=phantom_heart" in result.output


def test_a_failure_ends_with_1_and_names_the_remedy(tmp_path):
    result = invoke("try", written(tmp_path, "builds a list"), "--quick", "--json")
    assert result.exit_code == 1
    values = json.loads(result.stdout)
    assert values["passed"] is False
    bad = [row for row in values["outcomes"] if row["status"] == "failed"]
    assert [(row["check"], row["preset"]) for row in bad] == [("it builds a network", "paper")]
    assert "nn.Module" in bad[0]["remedy"]


@pytest.mark.parametrize("given", ["nowhere.py", "README.md", "superfised", "folder/"])
def test_what_is_not_there_is_wrong_use(given):
    with pytest.raises(ConfigError, match=r"Expected: .* Found: .*Remedy: "):
        find_card(given)


def test_a_file_without_a_method_is_wrong_use(tmp_path):
    (tmp_path / "other.py").write_text("class Other:\n    name = 'another'\n")
    with pytest.raises(PluginError, match="name = 'other'"):
        find_card(str(tmp_path / "other.py"))


def test_an_unknown_preset_is_wrong_use(tmp_path):
    with pytest.raises(ConfigError, match="no preset 'fast'"):
        try_method(find_card(str(written(tmp_path))), Wanted("fast"), tmp_path)


def test_a_file_that_does_not_run_is_a_failure(tmp_path):
    path = written(tmp_path)
    path.write_text("import nothing_of_that_name\n" + path.read_text())
    [outcome] = try_method(find_card(str(path)), Wanted(), tmp_path)
    assert (outcome.check, outcome.status) == ("plug-in file", Status.FAILED)
    assert "nothing_of_that_name" in outcome.detail


def test_a_method_without_network_is_tried_too(tmp_path):
    outcomes = try_method(find_card("mean_shape"), Wanted(), tmp_path)
    skipped = [o.check for o in outcomes if o.status is Status.SKIPPED]
    assert skipped == ["steps and gradients", "phantom run"]
    assert {o.status for o in outcomes} == {Status.PASSED, Status.SKIPPED}


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_keeps_failures_of_one_preset_apart(width):
    card = find_card("mean_teacher")
    good = [Outcome("resume", Status.PASSED, "same bits", preset=p) for p in ("paper", "released")]
    bad = Outcome("resume", Status.FAILED, "other weights", "keep it in a buffer", "per_modality")
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(outcome_table(card, [*good, bad]))
    lines = [line for line in console.export_text().splitlines() if "│" in line]
    assert [line.split("│")[2].strip() for line in lines] == ["failed", "", "passed"]
    assert "per_modality: other weights" in lines[0]
    assert "Remedy: keep it in a buffer" in lines[1]
    assert "paper, released: same bits" in lines[2]
    assert "Not kept: “resume”." in summary(card, [*good, bad], 1.0)
    assert as_json(card, good, 1.0)["passed"] is True


@pytest.mark.parametrize("semi", [False, True], ids=["baseline", "semi-supervised"])
def test_a_starting_file_keeps_the_contract(semi, tmp_path):
    flags = ["--semi-supervised"] if semi else []
    result = invoke("new-baseline", "my_idea", "--folder", tmp_path, *flags)
    path = tmp_path / "my_idea.py"
    assert result.exit_code == 0
    assert f"  parallax try {path.as_posix()}\n" in result.stdout
    assert (
        "  snakemake --cores 2 --config methods=my_idea,supervised datasets=phantom_heart\n" in result.stdout
    )
    assert len(path.read_text().splitlines()) < 65
    outcomes = try_method(find_card(str(path)), Wanted("paper", quick=True), tmp_path / "runs")
    assert [o for o in outcomes if o.status is Status.FAILED] == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("supervised", "The name is taken"),
        ("class", "cannot be called that"),
        ("MyIdea", "cannot be called that"),
        ("my-idea", "cannot be called that"),
        ("../up", "cannot be called that"),
        ("_idea", "cannot be called that"),
        ("there", "is there already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name, why, tmp_path):
    (tmp_path / "there.py").write_text("mine")
    with pytest.raises(ConfigError, match=why):
        write_starting_file(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there.py"]
    assert (tmp_path / "there.py").read_text() == "mine"


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        write_starting_file("my_idea", tmp_path / "nowhere")
