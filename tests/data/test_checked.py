"""Label maps that were found good are not read again until something about them changes."""

import os

import pytest

from parallax.data import checked
from parallax.data.checked import checked_files


@pytest.fixture
def scan(tmp_path):
    for name in ("image", "label"):
        (tmp_path / name).write_text(name)
    return [tmp_path / "image", tmp_path / "label"]


def reads(files, rule="rule", check=lambda: None):
    calls = []
    with checked_files(rule) as held:
        held.once(files, lambda: calls.append(1) or check())
    return len(calls)


def test_an_unchanged_file_is_read_once(scan):
    assert reads(scan) == 1
    assert reads(scan) == 0
    assert reads(scan, rule="another rule") == 1


@pytest.mark.parametrize("which", [0, 1])
def test_a_change_of_size_or_time_reads_again(scan, which):
    reads(scan)
    scan[which].write_text("something longer")
    assert reads(scan) == 1
    os.utime(scan[which], ns=(1, 1))
    assert reads(scan) == 1
    assert reads(scan) == 0


def test_a_bad_verdict_is_not_kept_and_good_ones_before_it_are(scan, tmp_path):
    def refuse():
        raise ValueError("no")

    other = [tmp_path / "other"]
    other[0].write_text("x")
    reads(other)
    with pytest.raises(ValueError, match="no"):
        reads(scan, check=refuse)
    assert reads(other) == 0
    assert reads(scan) == 1


def test_an_absent_file_is_left_to_the_check(scan):
    scan[0].unlink()
    assert reads(scan) == 1
    assert reads(scan) == 1


@pytest.mark.parametrize("content", ["{", "[1]", "", "\x00"])
def test_a_corrupted_cache_counts_as_none(scan, content):
    checked.CACHE.write_text(content)
    assert reads(scan) == 1
    assert reads(scan) == 0


def test_files_that_are_gone_are_forgotten(scan, tmp_path):
    reads(scan)
    scan[1].unlink()
    other = [tmp_path / "other"]
    other[0].write_text("x")
    reads(other)
    assert str(scan[1]) not in checked.CACHE.read_text()


def test_a_place_that_cannot_be_written_costs_only_time(scan, monkeypatch):
    monkeypatch.setattr(checked, "CACHE", scan[0] / "no folder.json")
    assert reads(scan) == 1
    assert reads(scan) == 1
