"""The estimate of a run, against sums made by hand, and the fit, against a run whose costs are known."""

import importlib
import json
import sys

import pytest
from typer.testing import CliRunner

from parallax.case import Budget
from parallax.cli import app
from parallax.errors import ConfigError
from parallax.plugin import plugin_root
from parallax.run.costs import Estimate, Estimator, read_cost_model, step_voxels, to_cost_model
from parallax.run.forecast import ahead_line
from parallax.run.resolve import given_values
from parallax.run.setup import make_setup

STAGES = {
    "data_s": 0.5,
    "data_mib": 2.0,
    "score_start_s": 0.25,
    "score_s": 0.125,
    "score_mib": 90.0,
    "prediction_mib": 0.5,
    "table_mib": 0.25,
    "results_s": 1.0,
}
ROW = {
    "method": "supervised",
    "preset": "paper",
    "modalities": 2,
    "passes": 2.0,
    "pass_ns": 1000.0,
    "train_start_s": 3.0,
    "predict_start_s": 2.0,
    "predict_s": 0.5,
    "idle_mib": 300.0,
    "step_bytes": 1024.0,
    "model_mib": 10.0,
}
MODEL = to_cost_model({"measured_on": "nothing", "stages": STAGES, "methods": [ROW]})
VOXELS = 2 * 32 * 32 * 16


def _setup(**changes):
    base = {
        "run": "t",
        "datasets": {
            "phantom_heart": {
                "options": {"cases": 6, "seed": 1, "size": "small"},
                "split": {"train": 3, "test": 2},
            }
        },
        "methods": ["supervised"],
        "conditions": [{"labels": [1.0], "misalignment": ["aligned", "far"]}],
        "misalignments": {"far": {"severity": 1}},
        "budget": {"steps": 100, "batch": 2, "patch": [32, 32, 16], "widths": [16, 32, 64, 128]},
    }
    return make_setup(base | changes)


def test_one_run_is_the_sum_of_its_jobs():
    found = Estimator(MODEL, _setup()).run("phantom_heart", "supervised", "paper")
    train_s = 3.0 + 100 * VOXELS * 2 * 1e-6
    scans = 2 * 2  # test cases x modalities
    assert found.core_s == pytest.approx(train_s + (2.0 + scans * 0.5) + (0.25 + scans * 0.125))
    assert found.memory_mib == pytest.approx(300 + VOXELS / 1024)
    assert found.disk_mib == pytest.approx(10 + scans * 0.75)
    assert found.measured


def test_the_whole_plan_is_its_runs_and_the_data_and_the_tables():
    estimator = Estimator(MODEL, _setup())
    one, total = estimator.run("phantom_heart", "supervised", "paper"), estimator.total()
    kept = 5 * 2 * 3  # cases of the split x modalities x (prepared, aligned, far)
    assert total.core_s == pytest.approx(2 * one.core_s + kept * 0.5 + 2 * 1.0)
    assert total.disk_mib == pytest.approx(2 * one.disk_mib + kept * 2.0)
    assert total.memory_mib == one.memory_mib


def test_the_start_of_a_run_says_what_is_left_to_train():
    setup = _setup()
    estimator, left = Estimator(MODEL, setup), setup.plan.runs[:1]
    one = estimator.run("phantom_heart", "supervised", "paper")
    hours, memory = f"{one.core_s / 3600:.2f}", f"{one.memory_mib:.0f}"
    assert f"1 run, about {hours} core-hours, up to {memory} MiB each" in ahead_line(estimator, left)


def test_every_subset_segments_each_of_two_modalities_twice():
    given, every = (Estimator(MODEL, _setup(test_modalities=name)) for name in ("given", "every"))
    assert every.segmented("phantom_heart") == 2 * given.segmented("phantom_heart")


def test_a_preset_that_takes_the_weights_of_another_costs_no_training():
    row = ROW | {"method": "mkd"}
    model = to_cost_model({"measured_on": "", "stages": STAGES, "methods": [row]})
    setup = _setup(methods=["mkd", "mkd:real_only"])
    assert setup.trained_as("mkd", "real_only") == "paper"
    own, taken = (Estimator(model, setup).run("phantom_heart", "mkd", p) for p in ("paper", "real_only"))
    assert own.core_s - taken.core_s == pytest.approx(3.0 + 100 * VOXELS * 2 * 1e-6)
    assert taken.memory_mib == 300


def test_nnunet_has_steps_of_its_own():
    budget = {"steps": 100, "nnunet_steps": 50, "patch": [32, 32, 16], "widths": [16, 32, 64, 128]}
    model = to_cost_model({"measured_on": "", "stages": STAGES, "methods": [ROW | {"method": "nnunet"}]})
    estimator = Estimator(model, _setup(methods=["nnunet", "supervised"], budget=budget))
    runs = [estimator.run("phantom_heart", name, "paper").core_s for name in ("nnunet", "supervised")]
    assert runs[1] - runs[0] == pytest.approx(50 * VOXELS * 2 * 1e-6)


def test_a_method_never_measured_gets_the_median_and_says_so():
    other = ROW | {"method": "cmc", "passes": 4.0, "pass_ns": 3000.0}
    control = ROW | {"method": "empty", "passes": 0.0, "pass_ns": 0.0}
    model = to_cost_model({"measured_on": "", "stages": STAGES, "methods": [ROW, other, control]})
    row, measured = model.of("ua_mt", "paper", 2)
    assert not measured
    assert row.passes * row.pass_ns == pytest.approx((2 * 1000 + 4 * 3000) / 2)
    estimator = Estimator(model, _setup(methods=["supervised", "ua_mt"]))
    assert not estimator.total().measured
    assert estimator.methods()["supervised", "paper"].measured


def test_the_nearest_row_is_the_preset_first_and_then_the_number_of_modalities():
    rows = [ROW, ROW | {"modalities": 3, "passes": 3.0}, ROW | {"preset": "own", "passes": 9.0}]
    model = to_cost_model({"measured_on": "", "stages": STAGES, "methods": rows})
    assert model.of("supervised", "paper", 4)[0].passes == 3
    assert model.of("supervised", "own", 3)[0].passes == 9
    assert model.of("supervised", "unheard_of", 1)[0].passes == 2


def test_voxels_are_weighed_by_channels():
    whole = step_voxels(Budget(1, 2, (32, 32, 16), (16, 32, 64, 128)))
    assert whole == VOXELS
    assert step_voxels(Budget(1, 2, (32, 32, 16), (8, 16, 32, 64))) == pytest.approx(whole / 2)


def test_estimates_add_up_and_memory_does_not():
    total = Estimate(1.0, 10.0, 2.0).times(3) + Estimate(2.0, 30.0, 1.0, measured=False)
    assert total == Estimate(5.0, 30.0, 7.0, measured=False)


def test_the_committed_model_knows_every_method_of_the_default_run():
    model = read_cost_model()
    for name in ("nnunet", "supervised", "early_fusion", "mean_teacher", "mkd", "cmc", "oracle", "shuffled"):
        assert model.of(name, "paper", 2)[1], name
    assert "Xeon" in model.measured_on


def test_the_plan_is_printed_with_what_it_takes():
    shown = CliRunner().invoke(app, ["plan", str(plugin_root() / "config" / "quick.yaml")])
    assert shown.exit_code == 0, shown.output
    last = next(line for line in shown.output.splitlines() if "in all" in line)
    cells = [cell.strip() for cell in last.split("│")]
    setup = make_setup({}, None)
    total = Estimator(read_cost_model(), setup).total()
    assert cells[2:7] == [
        "99",
        "0",
        f"{total.core_s / 3600:.2f}",
        f"{total.memory_mib:.0f}",
        f"{total.disk_mib / 1024:.2f}",
    ]
    assert "never measured" not in shown.output


@pytest.fixture
def fit_costs(monkeypatch):
    monkeypatch.syspath_prepend(plugin_root() / "benchmarks")
    yield importlib.import_module("fit_costs")
    sys.modules.pop("fit_costs", None)


def _write_finished(root, setup, slower):
    """A finished run as the workflow leaves it; jobs of the first run take `slower` s more than they need."""
    estimator = Estimator(MODEL, setup)
    for number, run in enumerate(setup.plan.runs):
        folder, late_s = root / "runs" / run.path, slower if number == 0 else 0.0
        for name, mib in (("model", 10), ("predictions", 4 * 0.5)):
            (folder / name).mkdir(parents=True)
            (folder / name / "file").write_bytes(bytes(int(mib * 2**20)))
        (folder / "scores.csv").write_bytes(bytes(2**20))
        train_s = 100 * VOXELS * 2 * 1e-6 + late_s
        cost = {"forward_passes_per_step": 2.0, "train_s": train_s, "peak_memory_mib": 300 + VOXELS / 1024}
        (folder / "cost.json").write_text(json.dumps(cost))
        (folder / "predict_status.json").write_text(json.dumps({"predict_s": {"a": 1.0, "b": 1.0}}))
        _write_job(root, run.path, "train", 3.0 + train_s, 0)
        _write_job(root, run.path, "predict", 4.0 + late_s, 300)
        _write_job(root, run.path, "score", 0.75 + late_s, 90)
        (root / "logs" / run.path).mkdir(parents=True)
        (root / "logs" / run.path / "score.log").write_text('{"score_s": 0.5}\n')
    (root / "data").mkdir()
    (root / "data" / "scan").write_bytes(bytes(2 * 2**20 * estimator.kept_scans()))
    _write_job(root, "phantom_heart", "prepare-train", 0.5 * estimator.kept_scans(), 50)
    _write_job(root, ".", "tables", 1.0 * len(setup.plan.runs), 50)
    config = setup.config.model_dump(exclude_none=True)
    (root / "manifest.json").write_text(json.dumps({"config": config, "machine": {"processor": "P"}}))


def _write_job(root, folder, job, wall_s, mib):
    path = root / "benchmarks" / folder / f"{job}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tmax_rss\n{wall_s}\t{mib}\n")


def test_the_fit_finds_the_costs_that_a_run_was_made_with(fit_costs, tmp_path, capsys):
    conditions = [{"labels": [1.0], "misalignment": ["aligned", "far", "near"]}]
    levels = {"far": {"severity": 2}, "near": {"severity": 1}}
    _write_finished(tmp_path, _setup(conditions=conditions, misalignments=levels), slower=50.0)
    finished = fit_costs.read_finished(tmp_path)
    values = fit_costs.fit([finished], "idle")
    assert values["measured_on"] == "P, idle"
    assert values["stages"] == pytest.approx(STAGES, rel=1e-3)
    assert values["methods"] == [ROW]
    fit_costs.check(to_cost_model(values), finished)
    table = capsys.readouterr().out
    assert f"| {tmp_path.name}, 3 runs | measured | estimated | difference |" in table
    assert "| most memory of one job (MiB) | 332 | 332 | +0 % |" in table


def test_a_plan_takes_values_as_snakemake_does():
    small = ["--config", "methods=supervised,empty", "--config", "datasets=phantom_heart"]
    shown = CliRunner().invoke(
        app, ["plan", str(plugin_root() / "config/quick.yaml"), *small, "--config", "seeds=[0, 1]"]
    )
    assert (
        "quick: 9 runs" in shown.stdout
    )  # 3 conditions: supervised with 2 seeds, and a control, which has one


def test_a_value_without_a_name_is_refused():
    with pytest.raises(ConfigError, match=r"KEY=VALUE.*Found: cmc"):
        given_values(["seeds=[0]", "cmc"])
