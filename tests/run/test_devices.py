"""Which GPUs a run uses. No GPU is needed: what lists them is given, or a program of that name is made up."""

import stat
from types import SimpleNamespace

import pytest
from snakemake.resources import Resources

from parallax.run import devices
from parallax.run.devices import DeviceError, Found, Gpus, begin_gpus, chosen_gpus, find_gpus, visible_devices

LISTED = ("GPU-aa11", "GPU-ab22", "GPU-cc33")


def three():
    return Found(LISTED)


def none():
    return Found((), "nvidia-smi is not on the path")


def test_all_gpus_are_used_where_none_are_asked_for():
    assert chosen_gpus(None, None, three) == Gpus(LISTED, 1, per_run=1)
    assert chosen_gpus(None, None, none) == Gpus()


def test_the_first_of_them_are_used_in_their_order():
    gpus = chosen_gpus(2, 4, three)
    assert gpus == Gpus(LISTED[:2], 4, per_run=1)
    assert gpus.slots == 8
    assert gpus.options() == "--devices GPU-aa11,GPU-ab22 --gpu-share 4"


def test_nothing_changes_without_a_gpu():
    gpus = chosen_gpus(None, 2, none)
    assert (gpus.options(), gpus.per_run, gpus.at_once(cores=4)) == ("", 0, 4)


def test_gpu_0_stays_on_the_cpu():
    gpus = chosen_gpus(0, None, three)
    assert (gpus.options(), gpus.per_run) == ("--device cpu", 0)


@pytest.mark.parametrize(("look", "found"), [(none, "0: nvidia-smi is not on the path"), (three, "3")])
def test_more_gpus_than_there_are(look, found):
    with pytest.raises(DeviceError, match="fewer GPUs than asked for") as caught:
        chosen_gpus(4, None, look)
    assert caught.value.found == found


@pytest.mark.parametrize("share", [0, 3, 16])
def test_a_share_that_cannot_be_halved_down_to_one(share):
    with pytest.raises(DeviceError, match="1, 2, 4, 8 runs on a device"):
        chosen_gpus(1, share, three)


@pytest.mark.parametrize(
    ("visible", "left"),
    [
        ("2,0", ["GPU-cc33", "GPU-aa11"]),
        ("GPU-ab", ["GPU-ab22"]),
        ("GPU-a", []),  # two begin so
        ("1,7,0", ["GPU-ab22"]),  # like CUDA: nothing after an entry that is not there
        ("0,0", ["GPU-aa11"]),
        ("-1", []),
        ("", []),
        ("MIG-1/2/0", ["MIG-1/2/0"]),
    ],
)
def test_cuda_visible_devices(visible, left):
    assert list(visible_devices(visible, LISTED)) == left


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Puts a program of this name on the path, with this body; PyTorch is taken for one with CUDA."""

    def put(body):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setattr(devices, "cuda_build", lambda: True)

    return put


def test_what_nvidia_smi_lists(nvidia_smi):
    nvidia_smi('test "$1" = --query-gpu=uuid && printf "GPU-aa11\\nGPU-ab22\\n"')
    assert find_gpus({}) == Found(("GPU-aa11", "GPU-ab22"))
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "1"}) == Found(("GPU-ab22",))
    assert find_gpus({"CUDA_VISIBLE_DEVICES": ""}).why_none == "CUDA_VISIBLE_DEVICES='' leaves none of 2"


def test_a_driver_that_does_not_answer(nvidia_smi):
    nvidia_smi('echo "could not communicate with the NVIDIA driver"; exit 9')
    assert find_gpus({}).why_none.endswith("could not communicate with the NVIDIA driver")


def test_a_pytorch_without_cuda_uses_no_gpu(nvidia_smi, monkeypatch):
    nvidia_smi("echo GPU-aa11")
    monkeypatch.setattr(devices, "cuda_build", lambda: False)
    assert find_gpus({}) == Found((), "the PyTorch that is installed was built without CUDA")


def test_cuda_build_says_what_pytorch_says():
    import torch

    assert devices.cuda_build() == (torch.version.cuda is not None)


def snakemake_workflow(resources, *, jobs=None):
    counted = Resources.parse(resources, allow_expressions=False)
    return SimpleNamespace(
        global_resources=counted,
        resource_settings=SimpleNamespace(nodes=jobs),
        register_resource=lambda name, n: counted.__setitem__(name, n),
    )


def test_snakemake_starts_as_many_runs_as_there_is_room_for(monkeypatch):
    monkeypatch.setattr(devices, "find_gpus", three)
    workflow = snakemake_workflow(["gpu=2", "gpu_share=4"])
    assert begin_gpus(workflow).devices == LISTED[:2]
    assert workflow.global_resources["gpu"].value == 8


def test_cores_bound_how_many_train_at_a_time():
    gpus = Gpus(LISTED[:2], 4)
    assert [gpus.at_once(cores) for cores in (3, 100)] == [3, 8]
    assert gpus.line(100) == "GPUs: 2, up to 4 run(s) on each: 8 at a time"
    assert gpus.line(3) == "GPUs: 2, up to 4 run(s) on each: 8 at a time, of which 3 cores allow 3"


def test_a_cluster_gives_out_devices_itself(monkeypatch):
    monkeypatch.setattr(devices, "find_gpus", none)
    workflow = snakemake_workflow(["gpu=2"], jobs=64)
    assert begin_gpus(workflow) == Gpus(per_run=1)
    assert workflow.global_resources["gpu"].value == 2
