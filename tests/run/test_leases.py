"""Leases of made-up GPUs: who gets what, who waits, and what a killed process leaves behind (nothing)."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from parallax.run import leases
from parallax.run.leases import leased, take

TWO = ("GPU-a", "GPU-b")


class NoRoomError(Exception):
    pass


def give_up():
    raise NoRoomError


@pytest.fixture
def lease(tmp_path):
    """Takes a lease, or gives up where it would have to wait; all are given back in the end."""
    held = []

    def one(devices=TWO, share=1, pause=give_up):
        held.append(take(devices, share, tmp_path, pause))
        return held[-1]

    yield one
    for each in held:
        each.release()


def test_devices_are_given_out_in_their_order(lease):
    assert [lease().device, lease().device] == ["GPU-a", "GPU-b"]
    with pytest.raises(NoRoomError):
        lease()


def test_runs_fill_one_device_before_the_next(lease):
    assert [lease(share=2).device for _ in range(4)] == ["GPU-a", "GPU-a", "GPU-b", "GPU-b"]
    with pytest.raises(NoRoomError):
        lease(share=2)


def test_invocations_that_share_differently_meet(lease):
    assert lease(share=2).device == "GPU-a"
    assert lease(share=1).device == "GPU-b"  # no whole device is left of the first
    assert [lease(share=4).device for _ in range(2)] == ["GPU-a", "GPU-a"]
    with pytest.raises(NoRoomError):
        lease(share=8)


def test_what_is_given_back_is_given_out_again(lease):
    first, _ = lease(), lease()
    first.release()
    assert lease().device == "GPU-a"


def test_more_room_takes_what_another_gave_back(lease):
    first, second = lease(("GPU-a",), 2), lease(("GPU-a",), 2)
    second.release()
    waited = []
    first._pause = lambda: waited.append(True)
    first.more()
    assert (first.share, len(waited)) == (1, 1)  # for the memory of a process that has just ended
    with pytest.raises(NoRoomError):
        lease(("GPU-a",), 8)


def test_two_that_want_more_at_once_come_one_after_the_other(tmp_path):
    pair = [take(("GPU-a",), 2, tmp_path, leases._sleep) for _ in range(2)]
    order = []

    def more(index):
        pair[index].more()
        order.append(("has all", index))
        order.append(("gives back", index))
        pair[index].release()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(more, range(2)))
    steps = [step for step, _ in order]
    assert steps == ["has all", "gives back"] * 2
    assert order[0][1] == order[1][1]


def test_nobody_slips_in_before_one_that_waits_for_a_whole_device(lease):
    small = lease(("GPU-a",), 2)
    refused = []

    def pause():
        try:
            lease(("GPU-a",), 2)
        except NoRoomError:
            refused.append(True)
        small.release()

    assert lease(("GPU-a",), 1, pause).share == 1
    assert refused == [True]  # half of the device was free at that moment


def test_one_that_waits_takes_whichever_device_becomes_free(lease):
    _, second = lease(), lease()
    assert lease(pause=second.release).device == "GPU-b"


def test_a_lock_on_a_file_that_was_cleared_away_counts_for_nothing(tmp_path, monkeypatch):
    opened = leases._open

    def cleared_after_opening(path):
        handle = opened(path)
        path.unlink()
        return handle

    monkeypatch.setattr(leases, "_open", cleared_after_opening)
    with pytest.raises(NoRoomError):
        take(("GPU-a",), 1, tmp_path, give_up)


HOLDER = """
import sys, time
from pathlib import Path
from parallax.run.leases import take
lease = take(sys.argv[2].split(","), int(sys.argv[3]), Path(sys.argv[1]))
print(lease.device, flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that takes a lease and keeps it; returns it and what it got."""
    started = []

    def start(share):
        command = [sys.executable, "-c", HOLDER, str(tmp_path), ",".join(TWO), str(share)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_share_and_a_killed_one_leaves_nothing(holder, lease):
    (first, device), (_, other) = holder(1), holder(1)
    assert (device, other) == TWO
    with pytest.raises(NoRoomError):
        lease(share=8)
    first.kill()
    first.wait()
    assert lease().device == "GPU-a"


def test_a_run_sees_its_device_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "FOLDER", tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    held = leased("supervised", ("GPU-b",), 2)
    assert leases.os.environ["CUDA_VISIBLE_DEVICES"] == held.device == "GPU-b"
    held.release()


def test_controls_and_machines_without_a_gpu_lease_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "FOLDER", tmp_path / "absent")
    assert leased("empty", TWO, 1) is leased("supervised", (), 1) is None
    assert not (tmp_path / "absent").exists()
