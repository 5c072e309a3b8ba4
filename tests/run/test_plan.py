"""What runs, what is skipped, and what each run is called."""

import pytest

from parallax.case import Modality, Pairing, Task
from parallax.errors import ConfigError
from parallax.perturb.level import FAMILIES
from parallax.plugin import method_cards
from parallax.run.config import resolve
from parallax.run.plan import expand_methods, labels_name, make_plan


def _task(name, modalities=2, pairing=Pairing.SAME_SUBJECT):
    return Task(name, tuple(Modality(f"M{i}", "mr") for i in range(modalities)), {"a": 1}, pairing, (1, 1, 1))


def _config(**changes):
    dataset = {"split": {"train": 4, "test": 2}}
    base = {
        "run": "t",
        "datasets": {"one": dataset},
        "methods": ["supervised", "early_fusion", "oracle"],
        "conditions": [{"labels": [1.0, 0.5], "misalignment": ["aligned", "far"]}],
        "misalignments": {"far": {"rms_mm": 5.0}},
        "budget": {"steps": 1},
    }
    return resolve(base | changes)


@pytest.mark.parametrize(
    ("fraction", "name"), [(1.0, "f100-d0"), (0.1, "f010-d0"), (0.05, "f005-d0"), (0.025, "f002p5-d0")]
)
def test_names_of_label_subsets(fraction, name):
    assert labels_name(fraction, 0) == name


def test_grid_is_complete_and_controls_run_once():
    plan = make_plan(_config(seeds=[0, 1], label_draws=2), {"one": _task("one")}, method_cards())
    assert plan.skipped == ()
    # two misalignments x (one draw of all labels + two draws of half) x seeds
    assert sum(run.method == "supervised" for run in plan.runs) == 2 * 3 * 2
    assert sum(run.method == "oracle" for run in plan.runs) == 2 * 3
    assert len({run.path for run in plan.runs}) == len(plan.runs)


def test_single_modality_skips_with_its_reason():
    plan = make_plan(_config(), {"one": _task("one", modalities=1)}, method_cards())
    reasons = {(s.run.method, s.run.misalignment): s.reason for s in plan.skipped}
    assert reasons["early_fusion", "aligned"] == "needs 2 modalities, one has 1"
    assert "needs two of them" in reasons["supervised", "far"]
    assert {run.method for run in plan.runs} == {"supervised", "oracle"}


def test_shift_on_unpaired_data_is_skipped_never_run():
    plan = make_plan(_config(), {"one": _task("one", pairing=Pairing.UNPAIRED)}, method_cards())
    assert {run.misalignment for run in plan.runs} == {"aligned"}
    assert any("unpaired" in skip.reason for skip in plan.skipped)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_skipped_on_unpaired_data_with_the_reason(family):
    config = _config(misalignments={"far": {"family": family, "severity": 2}})
    plan = make_plan(config, {"one": _task("one", pairing=Pairing.UNPAIRED)}, method_cards())
    assert {run.misalignment for run in plan.runs} == {"aligned"}
    skipped = {skip.reason for skip in plan.skipped if skip.run.method == "supervised"}
    assert skipped == {"a shift means nothing between different patients: one is unpaired"}


def test_all_means_every_method_with_every_preset():
    cards = method_cards()
    pairs = {(card.name, preset) for card, preset in expand_methods(["all"], cards)}
    assert pairs == {(card.name, preset) for card in cards.values() for preset in card.presets}


def test_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"no method called 'superviced'.*did you mean 'supervised'"):
        expand_methods(["superviced"], method_cards())
