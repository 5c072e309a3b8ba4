"""Seals: what differs from what was written is refused, and the next start removes it."""

import os

import pytest

from parallax.data.files import write_json, write_text
from parallax.data.seal import (
    SealError,
    check,
    damaged,
    digests,
    fresh_folder,
    made_of,
    remove_damaged,
    seal,
    sealed_outputs,
    settle_times,
    sha256,
)


@pytest.fixture
def run(tmp_path):
    """A sealed folder, a sealed file, a file without a seal, and folders that hold no output."""
    with fresh_folder(tmp_path / "runs" / "a" / "model") as folder:
        write_text("weights", folder / "weights.pt")
        write_text("more", folder / "part" / "more.txt")
    write_json({"a": 1}, tmp_path / "runs" / "a" / "cost.json")
    seal(tmp_path / "runs" / "a" / "cost.json")
    write_text("x", tmp_path / "unsealed.csv")
    write_text("x", tmp_path / "scratch" / ".old.seal")
    return tmp_path


def test_what_is_as_it_was_passes(run):
    model, cost = run / "runs/a/model", run / "runs/a/cost.json"
    assert sorted(sealed_outputs(run)) == [cost, model]
    check(model, cost, run / "unsealed.csv", run / "absent")
    assert remove_damaged(run) == []
    assert digests(model) == {name: sha256(model / name) for name in ("weights.pt", "part/more.txt")}


@pytest.mark.parametrize("name", ["model/weights.pt", "model/part/more.txt", "cost.json"])
def test_a_file_cut_short_is_refused_and_removed_with_its_output_alone(run, name):
    path, output = run / "runs/a" / name, run / "runs/a" / name.split("/")[0]
    size = path.stat().st_size
    os.truncate(path, size - 1)
    told = f"Where: {path}. Expected: SHA-256 .* Found: .* Remedy: delete {output}"
    with pytest.raises(SealError, match=told):
        check(output)
    (error,) = remove_damaged(run)
    assert (error.where, error.expected, error.found) == (str(path), f"bytes {size}", str(size - 1))
    (left,) = sealed_outputs(run)
    assert {left.name, output.name} == {"model", "cost.json"}
    assert not output.exists()


def test_other_content_of_the_same_size_is_refused_but_not_removed(run):
    (run / "runs/a/model/weights.pt").write_text("WEIGHTS")
    with pytest.raises(SealError, match="SHA-256"):
        check(run / "runs/a/model")
    assert remove_damaged(run) == []


@pytest.mark.parametrize("left", [0, 5, 40])
def test_a_seal_cut_short_seals_nothing(run, left):
    os.truncate(run / "runs/a/model/.seal", left)
    with pytest.raises(SealError, match="a seal"):
        check(run / "runs/a/model")
    assert len(remove_damaged(run)) == 1
    assert not (run / "runs/a/model").exists()


def test_a_file_that_is_gone_is_told(run):
    (run / "runs/a/model/weights.pt").unlink()
    assert "a file that can be read" in str(damaged(run / "runs/a/model"))


def test_the_seal_of_a_file_that_was_removed_goes_without_a_word(run):
    (run / "runs/a/cost.json").unlink()
    assert remove_damaged(run) == []
    assert not (run / "runs/a/.cost.json.seal").exists()


def test_times_in_the_future_become_now(run):
    cost = run / "runs/a/cost.json"
    now = cost.stat().st_mtime + 10
    assert settle_times(run, now) == 0
    os.utime(cost, (now + 100, now + 100))
    assert settle_times(run, now) == 1
    assert cost.stat().st_mtime == now


def test_what_was_made_of_another_version_of_an_input_goes(run):
    cost, made = run / "runs/a/cost.json", run / "runs/a/scores.csv"
    write_text("x", made)
    seal(made)
    made_of([made], cost, run / "unsealed.csv")
    check(made)
    assert remove_damaged(run) == []
    seal(cost)  # the same again
    assert remove_damaged(run) == []
    write_json({"a": 2}, cost)
    seal(cost)
    (error,) = remove_damaged(run)
    assert error.where == str(made)
    assert f"of {cost.as_posix()}" in error.expected
    assert not made.exists()
    check(cost)
