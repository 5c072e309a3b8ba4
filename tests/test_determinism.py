"""Another machine: how far scores may drift is stated in docs/determinism.md and holds on one tiny run.

That the same machine gives the same bits is checked elsewhere: tests/test_leaks.py (again, after others),
tests/test_method_contract.py, tests/baselines/test_nnunet.py (resumed), `make weekly` (the quick job again).
"""

import importlib.util
import platform
import re

import pytest

from parallax.plugin import plugin_root

ROOT = plugin_root()
PAGE = (ROOT / "docs" / "determinism.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def drift():
    spec = importlib.util.spec_from_file_location("drift", ROOT / "benchmarks" / "drift.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_other_kernels_stay_within_the_drift_that_is_stated(drift):
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the variables that choose kernels are those of x86 processors")
    one, mean = (float(re.search(rf"{what}: (0\.\d+)", PAGE)[1]) for what in ("one Dice", "the mean"))
    kernels = (drift.MACHINES[name] for name in ("as it is", "all without AVX"))
    here, there = (drift.on_machine(variables, "supervised", 12) for variables in kernels)
    found = drift.apart(here, there)
    assert len(here) > 20
    assert found[0] <= one
    assert found[1] <= mean


def test_the_drift_of_a_run_that_went_another_way_would_be_seen(drift):
    assert drift.apart({"a": 0.5, "b": 0.7}, {"a": 0.5, "b": 0.6}) == pytest.approx((0.1, 0.05))


def test_every_training_and_prediction_has_one_thread_whatever_the_cores():
    text = (ROOT / "workflow" / "rules" / "train.smk").read_text(encoding="utf-8")
    assert re.findall(r"threads: (\S+)", text) == ["1", "1"]
    assert "--threads {threads}" in text
