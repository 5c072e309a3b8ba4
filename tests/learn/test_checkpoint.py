"""Damaged and foreign checkpoints are not resumed."""

import pytest
import torch

from parallax.learn.checkpoint import read_checkpoint, write_checkpoint


def state(step):
    return {"step": step, "net": {"w": torch.full((3,), float(step))}}


def test_newest_comes_back(tmp_path):
    assert read_checkpoint(tmp_path, "f") is None
    for step in (1, 2):
        write_checkpoint(tmp_path / "deep", "f", state(step))
    assert read_checkpoint(tmp_path / "deep", "f")["net"]["w"].tolist() == [2.0] * 3
    assert not list(tmp_path.glob("**/*.tmp"))


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_one_falls_back_to_the_one_before(tmp_path, damage):
    for step in (1, 2):
        write_checkpoint(tmp_path, "f", state(step))
    path = tmp_path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"truncate": content[:-100], "flip": content, "empty": b""}[damage])
    assert read_checkpoint(tmp_path, "f")["step"] == 1
    (tmp_path / "checkpoint.previous.pt").unlink()
    assert read_checkpoint(tmp_path, "f") is None


def test_checkpoint_of_another_run_is_left_alone(tmp_path):
    write_checkpoint(tmp_path, "f", state(1))
    assert read_checkpoint(tmp_path, "g") is None
