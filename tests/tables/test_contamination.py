"""Rows of a method whose external weights saw the dataset that they are tested on are flagged."""

import json

import pytest
from tidy import method_rows

from parallax.cards import data_seen, pretraining_text
from parallax.plugin import method_cards
from parallax.report.build import build_report
from parallax.report.write import TableInputs, build
from parallax.run.setup import make_setup
from parallax.run.source import _closure
from parallax.score.table import to_frame, write_parquet
from parallax.tables.layout import run_notes
from parallax.tables.render import to_latex, to_markdown

NOTE = "its weights saw this dataset"
CONFIG = {"run": "toy", "datasets": {"toy": {"plugin": "amos"}}}


def scored(folder, *saw):
    rows = [*method_rows("nnunet", 0.5), *method_rows("cmc", 0.9, pretraining=pretraining_text("Big", saw))]
    write_parquet(to_frame(rows), folder / "scores.parquet")
    (folder / "manifest.json").write_text(json.dumps({"config": CONFIG}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("saw", "flagged"), [(["toy"], True), (["chaos", "AMOS"], True), (["chaos"], False), (["toys"], False)]
)
def test_tables_and_report_flag_it_and_only_it(tmp_path, saw, flagged):
    folder = scored(tmp_path, *saw)
    tables = build(TableInputs(folder / "scores.parquet", notes=run_notes(CONFIG)))
    for group in (tables.overview, tables.main):
        for text in (to_markdown(group, "x"), to_latex(group)):
            assert (NOTE in text) is flagged
            assert text.count("CONTAMINATED") == (2 if flagged else 0)
            assert "pretrained: Big" in text
    assert (NOTE in build_report(folder)) is flagged


def test_weights_and_what_they_saw_come_back_from_the_text():
    assert data_seen(pretraining_text("A [b]", ("amos", "CHAOS"))) == {"amos", "chaos"}
    assert data_seen("none") == set()


def test_a_run_carries_what_the_method_declares():
    values = {
        "run": "mine",
        "datasets": {"phantom_heart": {"split": {"train": 2, "test": 1}}},
        "methods": ["ichsc_mech:minilm", "ichsc_mech"],
        "conditions": [{"labels": [1.0]}],
        "budget": {"steps": 1},
    }
    setup = make_setup(values, None)
    cells = [*setup.plan.runs, *(skip.run for skip in setup.plan.skipped)]
    told = {run.preset: json.loads(setup.run_json(run))["pretraining"] for run in cells}
    assert told == {"minilm": "all-MiniLM-L6-v2 [saw English sentences]", "paper": "none"}


def test_whatever_loads_external_weights_declares_them():
    loads = {
        card.name: any("from_pretrained" in path.read_text() for path in _closure(card.path))
        for card in method_cards().values()
    }
    assert {name for name, found in loads.items() if found} == {
        card.name for card in method_cards().values() if card.pretrained
    }
    for card in method_cards().values():
        assert set(card.pretrained) <= set(card.presets)
        assert all(set(entry) == {"weights", "saw"} and entry["saw"] for entry in card.pretrained.values())
