from tidy import row

from parallax.data.files import write_json, write_text
from parallax.data.seal import sha256
from parallax.run.verify import failed_runs, problems
from parallax.score.table import to_frame, write_parquet

FILES = ("scores.csv", "costs.csv", "manifest.json", "report/index.html", "tables/main.csv", "tables/main.md",
         "tables/main.tex", "figures/dice.png")  # fmt: skip


def finished(folder, *rows):
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("filled")
    write_parquet(to_frame(rows), folder / "scores.parquet")
    write_text("weights", folder / "runs" / "weights.pt")
    scores, weights = sha256(folder / "scores.parquet"), sha256(folder / "runs" / "weights.pt")
    manifest = {"scans": {}, "checkpoints": {"runs/weights.pt": weights}, "scores_sha256": scores}
    write_json(manifest, folder / "manifest.json")
    return folder


def test_a_finished_run_with_controls_in_their_bands_is_in_order(tmp_path):
    assert problems(finished(tmp_path, row(method="oracle", value=1.0))) == []


def test_what_is_missing_and_what_is_out_of_its_band_is_told(tmp_path):
    folder = finished(
        tmp_path, row(method="oracle", value=0.9), row(method="cmc", status="failed", reason="no")
    )
    band, failed = problems(folder)
    assert "Control oracle is out of its band" in band
    assert failed == "cmc failed on toy: no"
    (folder / "manifest.json").write_text("")
    assert problems(folder) == ["manifest.json is missing or empty"]


def test_a_failed_run_is_told_once():
    rows = [row(method="cmc", case=case, status="failed", reason="no loss") for case in "ab"]
    assert failed_runs(to_frame(rows)) == ["cmc failed on toy: no loss"]


def test_a_file_that_the_manifest_does_not_name_is_told(tmp_path):
    folder = finished(tmp_path, row(method="oracle", value=1.0))
    (folder / "runs" / "weights.pt").write_text("Weights")
    (told,) = problems(folder)
    assert f"{folder.as_posix()}/runs/weights.pt is not what the manifest names: expected SHA" in told
    (folder / "manifest.json").write_text("{")
    assert "manifest.json cannot be used" in problems(folder)[0]
