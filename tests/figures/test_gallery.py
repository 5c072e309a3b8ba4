"""One figure of a run, drawn again."""

import json
import re

import pytest
from tidy import method_rows, toy_rows
from tidy_run import write_run
from typer.testing import CliRunner

from parallax.cli import app
from parallax.errors import ConfigError
from parallax.figures.curves import save_figure
from parallax.figures.gallery import Gallery
from parallax.run.figures import gallery_of
from parallax.score.table import to_frame, write_parquet
from parallax.tables.layout import Context


def gallery(rows, tmp_path):
    return Gallery(tmp_path, to_frame(rows), Context({}))


def test_names_are_those_of_what_can_be_drawn(tmp_path):
    assert "case_toy" not in gallery(toy_rows(6), tmp_path).names
    (tmp_path / "data" / "toy").mkdir(parents=True)
    names = gallery(toy_rows(6), tmp_path).names
    assert names[0] == "dice_by_shift"
    assert set(names[1:]) == {"differences_toy", "case_toy"}
    fewer = gallery([*toy_rows(6), *method_rows("nnunet", 0.5, label_fraction=0.1)], tmp_path)
    assert fewer.names[:2] == ["dice_by_labels", "dice_by_shift"]
    assert "differences_toy" not in gallery(method_rows("nnunet", 0.8), tmp_path).names


def test_only_what_was_named_is_drawn(tmp_path):
    rows = [*toy_rows(6), *method_rows("alpha", 0.6, cases=6, preset="released")]
    narrowed = gallery(rows, tmp_path).only(["alpha", "nnunet:paper"], ["toy"])
    figure, caption = narrowed.draw("dice_by_shift")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["nnunet", "alpha"]
    assert "left out" not in caption
    assert "controls" not in caption
    assert set(narrowed.table["method"]) == {"alpha", "nnunet"}
    other = gallery(rows, tmp_path).only(["alpha:released"], [])
    assert set(other.table["preset"]) == {"released"}


def test_a_method_is_its_default_preset_unless_another_is_named(tmp_path):
    rows = [*toy_rows(6), *method_rows("alpha", 0.7, cases=6, preset="released")]
    rows += method_rows("solo", 0.7, cases=6, preset="released")

    def drawn(*methods):
        table = gallery(rows, tmp_path).only(methods, []).table
        return sorted({*zip(table["method"], table["preset"], strict=True)})

    assert drawn("alpha") == drawn("alpha:paper") == [("alpha", "paper")]
    assert drawn("alpha:released") == [("alpha", "released")]
    assert drawn("alpha", "alpha:released") == [("alpha", "paper"), ("alpha", "released")]
    assert drawn("solo") == [("solo", "released")]


def test_a_caption_names_the_controls_that_were_asked_for(tmp_path):
    drawn = gallery(toy_rows(6), tmp_path)
    assert "oracle (1)" in drawn.draw("dice_by_shift")[1]
    _, caption = drawn.only(["alpha", "nnunet"], []).draw("dice_by_shift")
    assert not any(word in caption for word in ("oracle", "empty", "control"))


def test_every_figure_fits_the_text_of_a_page(tmp_path):
    rows = [
        row
        for dataset in ("heart", "abdomen", "orbit")
        for method in ("nnunet", *(f"method with a long name {i}" for i in range(4)))
        for shift in (0.0, 7.0)
        for row in method_rows(
            method,
            0.6,
            cases=6,
            dataset=dataset,
            shift_mm=shift,
            misalignment="moved" if shift else "aligned",
        )
    ]
    drawn = gallery(rows, tmp_path)
    for name in ("dice_by_shift", "differences_heart"):
        save_figure(drawn.draw(name)[0], tmp_path / name)
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", (tmp_path / f"{name}.pdf").read_bytes())
        assert float(box[1]) * 25.4 / 72 <= 180, name


@pytest.mark.parametrize(("methods", "datasets", "name"), [(["alpa"], [], "alpa"), ([], ["toi"], "toi")])
def test_names_that_the_run_does_not_have_are_refused(tmp_path, methods, datasets, name):
    with pytest.raises(ConfigError, match=rf"did you mean .* Found: {name}"):
        gallery(toy_rows(), tmp_path).only(methods, datasets)


def test_the_command_writes_both_files_and_prints_the_caption(tmp_path, two_modality_task, monkeypatch):
    run = write_run(tmp_path / "run", two_modality_task)
    write_parquet(to_frame(toy_rows(6)), run / "scores.parquet")
    manifest = {"run": "run", "scans": {}, "config": {"run": "run", "datasets": {"toy": {}}}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.chdir(tmp_path)
    arguments = ["figure", "dice_by_shift", "--run", str(run), "--config", "methods=alpha,nnunet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Wrote dice_by_shift.pdf and dice_by_shift.png\nDice")
    assert (tmp_path / "dice_by_shift.pdf").stat().st_size > 5000
    with pytest.raises(ConfigError, match="did you mean 'dice_by_shift'"):
        gallery_of(run, []).draw("dice_by_shft")
    with pytest.raises(ConfigError, match="cannot be narrowed"):
        gallery_of(run, ["seeds=1"])
