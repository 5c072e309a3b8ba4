"""The same run twice: methods in another order, on another number of cores, one killed while it trains."""

import pytest
import runs

METHODS = ["supervised", "mean_teacher", "mean_shape", "oracle"]


def _place(folder, methods):
    place = runs.place(folder)
    text = runs.config(", ".join(methods)).replace("labels: [1.0]", "labels: [0.4]").replace("60", "20")
    (place / "tiny.yaml").write_text(text, encoding="utf-8")
    return place


def _methods(folder):
    lines = (runs.results(folder) / "scores.csv").read_text(encoding="utf-8").splitlines()
    return {line.split(",")[lines[0].split(",").index("method")] for line in lines[1:]}


@pytest.mark.weekly
def test_order_cores_and_a_kill_change_no_byte_of_the_scores(tmp_path):
    first, second = _place(tmp_path / "first", METHODS), _place(tmp_path / "second", METHODS[::-1])
    runs.finish(first, "--cores=1", "scores")
    process = runs.start(second, "--cores=2", "scores")
    try:
        runs.wait_for(lambda: any(runs.results(second).glob("scratch/**/checkpoint.pt")), process)
        assert runs.kill(process), "it was over before it could be killed"
    finally:
        runs.kill(process)
    runs.finish(second, "--cores=2", "scores")
    assert _methods(first) == set(METHODS)
    rows = [(runs.results(folder) / "scores.csv").read_bytes().splitlines() for folder in (first, second)]
    assert sorted(rows[0]) == sorted(rows[1])
    for model in sorted(runs.results(first).glob("runs/**/model/weights.pt")):
        other = runs.results(second) / model.relative_to(runs.results(first))
        assert model.read_bytes() == other.read_bytes(), model.name
