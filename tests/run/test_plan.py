"""What runs, what is skipped, and what each run is called."""

from dataclasses import replace

import pytest
import yaml

from parallax.case import Modality, Pairing, Task
from parallax.errors import ConfigError
from parallax.perturb.labels import labels_name
from parallax.perturb.level import FAMILIES
from parallax.plugin import method_cards, plugin_root
from parallax.run.plan import expand_methods, make_plan
from parallax.run.resolve import resolve


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


def test_a_block_of_the_grid_may_name_its_datasets_and_methods():
    dataset = {"split": {"train": 4, "test": 2}}
    blocks = [
        {"labels": [1.0], "methods": ["all:paper"]},
        {"labels": [0.5], "datasets": ["one"], "methods": ["supervised", "cmc"]},
    ]
    config = _config(datasets={"one": dataset, "two": dataset}, conditions=blocks)
    plan = make_plan(config, {name: _task(name) for name in ("one", "two")}, method_cards())
    found = {(run.dataset, run.label_fraction, run.method) for run in plan.runs}
    everywhere = {(d, 1.0, m) for d in ("one", "two") for m in ("supervised", "early_fusion", "oracle")}
    assert found == everywhere | {("one", 0.5, "supervised")}, "cmc is none of the methods of the run"


def test_a_block_of_the_grid_may_take_fewer_draws():
    blocks = [{"labels": [0.5]}, {"labels": [0.25], "label_draws": 2}, {"labels": [0.5], "label_draws": 1}]
    plan = make_plan(_config(conditions=blocks, label_draws=3), {"one": _task("one")}, method_cards())
    drawn = sorted((r.label_fraction, r.label_draw) for r in plan.runs if r.method == "supervised")
    assert drawn == [(0.25, 0), (0.25, 1), (0.5, 0), (0.5, 1), (0.5, 2)]


def test_blocks_that_leave_nothing_to_run_are_refused():
    config = _config(conditions=[{"labels": [1.0], "methods": ["cmc"]}])
    with pytest.raises(ConfigError, match="nothing to run"):
        make_plan(config, {"one": _task("one")}, method_cards())


def test_a_block_with_an_unknown_dataset_is_refused():
    with pytest.raises(ConfigError, match="no dataset called 'won'") as caught:
        _config(conditions=[{"labels": [1.0], "datasets": ["won"]}])
    assert "did you mean 'one'" in str(caught.value)


def test_a_block_may_name_a_dataset_that_the_command_line_left_out(tmp_path):
    dataset = {"split": {"train": 4, "test": 2}}
    file = {"datasets": {"one": dataset, "two": dataset}}
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(file))
    given = _config().model_dump(exclude_none=True) | {"datasets": "one"}
    given["conditions"] = [{"labels": [1.0], "datasets": ["two"]}, {"labels": [0.5]}]
    config = resolve(given, path)
    plan = make_plan(config, {"one": _task("one")}, method_cards())
    assert {run.label_fraction for run in plan.runs} == {0.5}


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


def test_a_preset_whose_package_is_absent_is_skipped_with_its_reason():
    needing = {"minilm": "no_such_package_at_all", "dropout": "json"}  # the second one is part of Python
    cards = method_cards()
    cards["ichsc_mech"] = replace(cards["ichsc_mech"], preset_packages=needing)
    config = _config(methods=[f"ichsc_mech:{preset}" for preset in ("paper", "minilm", "dropout")])
    plan = make_plan(config, {"one": _task("one")}, cards)
    assert {run.preset for run in plan.runs} == {"paper", "dropout"}
    assert {(s.run.preset, "no_such_package_at_all" in s.reason) for s in plan.skipped} == {("minilm", True)}


def test_all_means_every_method_with_every_preset():
    cards = method_cards()
    pairs = {(card.name, preset) for card, preset in expand_methods(["all"], cards)}
    assert pairs == {(card.name, preset) for card in cards.values() for preset in card.presets}


def test_all_with_a_preset_means_every_method_that_has_it():
    cards = method_cards()
    released = {name for name, card in cards.items() if "released" in card.presets}
    pairs = expand_methods(["all:released", "cmc", "all:released"], cards)
    assert {card.name for card, preset in pairs if preset == "released"} == released
    assert len(pairs) == len(released) + 1
    with pytest.raises(ConfigError, match="did you mean 'released'"):
        expand_methods(["all:relesed"], cards)


def test_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"no method called 'superviced'.*did you mean 'supervised'"):
        expand_methods(["superviced"], method_cards())


ANNOTATIONS = {"m0_only": {"modalities": ["M0"]}, "noisy": {"noisy": {"dice": 0.9}}}


def _annotated(**changes):
    condition = {"labels": [1.0], "annotation": ["full", "m0_only", "noisy"]}
    names = ["supervised", "mkd", "oracle"]
    return _config(annotations=ANNOTATIONS, conditions=[condition], methods=names, **changes)


def test_annotations_have_folders_of_their_own_and_full_ones_keep_theirs():
    plan = make_plan(_annotated(), {"one": _task("one")}, method_cards())
    paths = [run.path for run in plan.runs if run.method == "supervised"]
    assert paths == [f"one/aligned/f100-d0{end}/supervised/paper-s0" for end in ("", "-m0_only", "-noisy")]
    before = make_plan(_config(), {"one": _task("one")}, method_cards())
    assert {run.annotation for run in before.runs} == {"full"}


def test_a_method_that_cannot_use_a_kind_of_label_is_skipped_with_its_reason():
    plan = make_plan(_annotated(), {"one": _task("one")}, method_cards())
    assert [(s.run.method, s.run.annotation) for s in plan.skipped] == [("mkd", "m0_only")]
    assert plan.skipped[0].reason == "needs labels of every modality, here only M0 is labelled"


def test_an_annotation_that_does_not_fit_a_dataset_is_skipped_there():
    plan = make_plan(_annotated(), {"one": _task("one", modalities=1)}, method_cards())
    reasons = {(s.run.method, s.run.annotation): s.reason for s in plan.skipped}
    assert reasons["supervised", "m0_only"] == "one has no other modality to leave unlabelled"
    assert ("supervised", "noisy") not in reasons


def test_standard_draws_the_five_fractions_three_times():
    values = yaml.safe_load((plugin_root() / "config" / "standard.yaml").read_text())
    config = resolve(values)
    assert config.fractions() == [0.05, 0.1, 0.2, 0.5, 1.0]
    assert config.label_draws >= 3
