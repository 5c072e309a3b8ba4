"""Jobs of the workflow: outputs whole, failures recorded, interrupts passed on."""

import json

import numpy as np
import pytest
from toy import toy_task, toy_test_view, toy_view

from parallax.data.files import write_json
from parallax.data.volumes import read_label_map
from parallax.learn import job as jobs
from parallax.learn.job import Job, predict_job, read_budget, reuse_job, train_job
from parallax.learn.method import Cost


@pytest.fixture
def places(tmp_path, monkeypatch):
    task = toy_task()
    views = [toy_test_view(task, case=f"t{i}") for i in range(2)]
    monkeypatch.setattr(jobs, "load_train_view", lambda folder: toy_view(task))
    monkeypatch.setattr(jobs, "load_test_views", lambda folder, with_truth=False: iter(views))
    return tmp_path


def run(job, at):
    train_job(job, at / "view", at / "scratch", at / "model", at / "cost.json", at / "status.json")
    predict_job(job, at / "data", at / "model", at / "status.json", at / "predictions", at / "predict.json")
    return [json.loads((at / f"{name}.json").read_text()) for name in ("cost", "status", "predict")]


def test_train_then_predict(places, budget):
    cost, status, predicted = run(Job("supervised", {}, 0, budget), places)
    assert status == {"status": "ok", "reason": ""}
    assert cost["steps"] == 6
    assert sorted(predicted["predict_s"]) == ["t0", "t1"]
    files = sorted(path.name for path in (places / "predictions").glob("*.gz"))
    assert files == [f"t{i}__M{k}.nii.gz" for i in (0, 1) for k in (0, 1)]
    volume = read_label_map(places / "predictions" / files[0], [1, 2])
    assert volume.array.shape == (16, 16, 16)
    assert not (places / "scratch").exists()


def failing(error):
    def fit(self, view, scratch):
        raise error

    return fit


def test_failure_is_a_result(places, budget, monkeypatch, capfd):
    kind = jobs.load_method("empty")
    monkeypatch.setattr(kind, "fit", failing(ValueError("two\nlines")))
    monkeypatch.setattr(jobs, "load_method", lambda name: kind)
    cost, status, predicted = run(Job("empty", {}, 0, budget), places)
    assert status == {"status": "failed", "reason": "ValueError: two lines"}
    assert cost["steps"] == 0
    assert predicted == {**status, "predict_s": {}}
    for folder in ("model", "predictions"):
        assert [path.name for path in (places / folder).iterdir()] == [".seal"]
    assert "ValueError" in capfd.readouterr().err


def test_interrupt_is_not_a_result(places, budget, monkeypatch):
    kind = jobs.load_method("empty")
    monkeypatch.setattr(kind, "fit", failing(KeyboardInterrupt()))
    monkeypatch.setattr(jobs, "load_method", lambda name: kind)
    with pytest.raises(KeyboardInterrupt):
        run(Job("empty", {}, 0, budget), places)
    left = {path.name for path in places.iterdir()}  # what the next call resumes from
    assert left == {"scratch", "scratch.lock"}


def test_prediction_on_a_wrong_grid_is_a_failure(places, budget, monkeypatch, capfd):
    kind = jobs.load_method("empty")
    wrong = {"M0": np.zeros((2, 2, 2), np.uint8), "M1": np.zeros((2, 2, 2), np.uint8)}
    monkeypatch.setattr(kind, "predict", lambda self, view: type("P", (), {"label_maps": wrong})())
    monkeypatch.setattr(jobs, "load_method", lambda name: kind)
    _, status, predicted = run(Job("empty", {}, 0, budget), places)
    assert status["status"] == "ok"
    assert predicted["status"] == "failed"
    assert "case t0: expected label maps" in predicted["reason"]
    assert [path.name for path in (places / "predictions").iterdir()] == [".seal"]


def test_budget_from_text_and_file(tmp_path):
    text = '{"steps": 5, "patch": [16, 16, 16], "widths": [4, 8]}'
    budget = read_budget(text)
    assert (budget.patch, budget.widths, budget.batch) == ((16, 16, 16), (4, 8), 2)
    write_json(json.loads(text), tmp_path / "budget.json")
    assert read_budget(str(tmp_path / "budget.json")) == budget


def test_cost_of_a_control_is_zero(places, budget):
    cost, _, _ = run(Job("empty", {}, 0, budget), places)
    assert Cost(**cost) == Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")


def test_every_subset_of_the_modalities_gets_predictions_of_its_own(places, budget, monkeypatch):
    task = toy_task(3)
    full, reduced = toy_test_view(task), {}
    for given in ((0, 1), (0, 2), (1, 2), (0,), (1,), (2,)):
        missing = tuple({0, 1, 2} - set(given))
        reduced[tuple(f"M{k}" for k in given)] = toy_test_view(task, missing=missing)
    monkeypatch.setattr(jobs, "load_train_view", lambda folder: toy_view(task))
    monkeypatch.setattr(jobs, "load_test_views", lambda folder, with_truth=False: iter([full]))
    monkeypatch.setattr(jobs, "modality_subsets", lambda folder: list(reduced))
    monkeypatch.setattr(
        jobs, "load_reduced_views", lambda folder, given, with_truth=False: iter([reduced[given]])
    )
    job, at = Job("early_fusion", {}, 0, budget), places
    run(job, at)
    states = (at / "model", at / "status.json", at / "every", at / "every.json")
    predict_job(job, at / "data", *states, every_subset=True)
    status = json.loads((at / "every.json").read_text())
    assert list(status["subsets"]) == ["M0+M1", "M0+M2", "M1+M2", "M0", "M1", "M2"]
    assert all(entry["status"] == "ok" for entry in status["subsets"].values())
    files = {p.relative_to(at / "every").as_posix() for p in (at / "every").rglob("*.nii.gz")}
    expected = {f"{n}/t0__{m}.nii.gz" for n in status["subsets"] for m in n.split("+")}
    assert files == expected | {f"t0__M{k}.nii.gz" for k in range(3)}
    for path in (at / "predictions").glob("*.gz"):  # the full set is what it is without the others
        assert (at / "every" / path.name).read_bytes() == path.read_bytes()


def test_a_run_that_was_trained_alike_is_taken_over(places, budget):
    run(Job("mkd", {}, 0, budget), places)
    reuse_job(
        places, places / "again" / "model", places / "again" / "cost.json", places / "again" / "status.json"
    )
    for name in ("cost.json", "status.json", "model/weights.pt"):
        assert (places / "again" / name).read_bytes() == (places / name).read_bytes()
    single = Job("mkd", {"ensemble": "syn_only"}, 0, budget)
    again = places / "again"
    predict_job(
        single, places, again / "model", again / "status.json", again / "predictions", again / "p.json"
    )
    first, second = (at / "predictions" / "t0__M0.nii.gz" for at in (places, again))
    assert json.loads((again / "p.json").read_text())["status"] == "ok"
    assert first.read_bytes() != second.read_bytes()
