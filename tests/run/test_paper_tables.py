"""Published beside reproduced: only where the key allows it, and visibly empty where there is nothing."""

import csv
import json
import math
from dataclasses import replace

import pytest
from tidy import row, skipped_row

from parallax.errors import DataError
from parallax.plugin import method_cards
from parallax.run.paper import experiments, make_pages, make_paper, write_pages
from parallax.run.plan import expand_methods
from parallax.score.table import to_frame, write_parquet
from parallax.tables.beside import MEAN, compare
from parallax.tables.layout import read_context
from parallax.tables.paper_tables import paper_tables, summary_table

ORGANS = ("spleen", "right_kidney", "left_kidney", "liver")
BASE = {"dataset": "amos", "pairing": "unpaired", "label_fraction": 0.1, "method": "cmc"}


def amos_rows(dice=0.5, cases=10, **changes):
    """CMC on test scans of either modality; organ number i has 0.01 * i more than `dice`."""
    return [
        row(
            case=f"{modality}{n}",
            modality=modality,
            available=modality,
            structure=organ,
            metric=metric,
            **({"value": dice + 0.01 * i if metric == "dice" else 7.0} | BASE | changes),
        )
        for modality in ("CT", "MR")
        for n in range(cases)
        for i, organ in enumerate((*ORGANS, "aorta"))
        for metric in ("dice", "hd95_mm", "assd_mm")
    ]


def amos_config():
    return next(config for config in experiments() if config.run == "amos")


def write_run(results, rows, **changes):
    """`results/amos` as a finished run leaves it; `changes` are what its configuration said otherwise."""
    write_parquet(to_frame(rows), results / "amos" / "scores.parquet")
    config = json.loads(amos_config().model_dump_json(exclude_none=True)) | changes
    (results / "amos" / "manifest.json").write_text(json.dumps({"config": config}))
    return results


def amos_page(results):
    (page,) = make_pages([amos_config()], results)
    return page


def cell(page, preset="paper", fraction=0.1, modality="CT", structure=MEAN, method="cmc"):
    about = {"method": method, "preset": preset, "label_fraction": fraction}
    (found,) = page.comparison.find(**about, modality=modality, structure=structure)
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return make_pages(experiments(), tmp_path_factory.mktemp("nothing"))


def test_where_nothing_was_run_published_values_stand_alone(bare):
    assert [page.comparison.paper.run for page in bare] == ["amos", "mscmrseg", "orbit", "robustness"]
    cells = [c for page in bare for c in page.comparison.cells]
    assert {c.reproduced_status for c in cells} == {"not run"}
    assert all(math.isnan(c.reproduced_percent) and math.isnan(c.difference) for c in cells)
    sourced = {(c.modality, c.label_fraction, c.structure) for c in cells if c.published_status == "sourced"}
    assert len(sourced) == 20
    assert cell(bare[0], modality="MR", fraction=0.2).published_percent == 87.42
    assert cell(bare[0], fraction=1.0).published_status == "not sourced"
    assert cell(bare[0], method="oracle").published_status == ""


def test_both_means_are_shown_where_a_source_contradicts_itself(bare):
    (table,) = [table for table in bare[0].tables if table.name == "amos_cmc"]
    means = {row[:4] for row in table.rows if "mean" in row[2]}
    assert means == {
        ("10 %", "CT", "mean, stated", "78.46"),
        ("10 %", "MR", "mean, stated", "81.70"),
        ("10 %", "MR", "mean, computed", "82.14"),
        ("20 %", "CT", "mean, stated", "81.55"),
        ("20 %", "MR", "mean, stated", "87.42"),
        ("20 %", "MR", "mean, computed", "85.36"),
    }
    told = " ".join(table.notes)
    assert "MR, 20 %: the mean that the source states (87.42) is not the mean of the structures" in told
    assert "med-air/CMC@cb8dd11 README" in told


def test_files_say_in_words_what_is_missing(bare, tmp_path):
    write_pages(bare, tmp_path)
    assert "78.46 & not run & -- & 81.70 & not run & --" in (tmp_path / "amos.tex").read_text()
    names = {
        f"{run}.{kind}"
        for run in ("amos", "mscmrseg", "orbit", "robustness")
        for kind in ("md", "tex", "csv")
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    amos, heart = ((tmp_path / f"{run}.md").read_text() for run in ("amos", "mscmrseg"))
    assert "| CMC | 78.46 | not run | – | 81.70 | not run | – |" in amos
    assert "| MKD | not sourced | not run | – |" in amos
    assert "200 AMOS CT scans" in amos
    assert "foreground-vs-background Dice" in amos  # listed apart, with the reason
    assert "no number, split or sequence of the cardiac experiment could be sourced" in heart
    assert "| CMC | not sourced | not run | – |" in heart
    with (tmp_path / "amos.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {r["reproduced_percent"] for r in rows} == {""}


def test_phantoms_never_stand_beside_published_numbers(bare):
    robustness = bare[-1]
    assert robustness.comparison.cells == ()
    assert robustness.shown == []
    assert [table.header[0] for table in robustness.tables] == ["Method"] * 3
    assert not any("ublished" in name for table in robustness.tables for name in table.header)


def test_runs_that_failed_are_counted_and_the_rest_is_compared(tmp_path):
    bad = amos_rows(seed=1, status="failed", reason="the loss is not finite")
    page = amos_page(write_run(tmp_path, [*amos_rows(), *bad]))
    assert cell(page).reproduced_percent == pytest.approx(51.5)
    assert (cell(page).runs, cell(page).runs_failed) == (2, 1)
    assert "Failed: CMC: 1 of 2 runs, the rest counts" in page.shown[0].notes
    assert cell(amos_page(write_run(tmp_path, bad))).reproduced_status == "failed"


def test_what_was_run_stands_beside_in_percent_with_the_difference(tmp_path):
    about = {"dataset": "amos", "pairing": "unpaired", "label_fraction": 0.1}
    skip = skipped_row("early_fusion", "needs the modalities of one patient", **about)
    page = amos_page(write_run(tmp_path, [*amos_rows(), *amos_rows(0.6, preset="released"), skip]))
    assert cell(page).reproduced_percent == pytest.approx(51.5)  # the aorta is not among the four
    assert cell(page).difference == pytest.approx(51.5 - 78.46)
    assert cell(page, structure="liver", modality="MR").difference == pytest.approx(53.0 - 86.10)
    assert cell(page, preset="released").difference == pytest.approx(61.5 - 78.46)
    assert cell(page).cases == 10
    assert cell(page).hd95_median_mm == cell(page).assd_found_mean_mm == 7.0
    assert cell(page, fraction=0.2).reproduced_status == "not run"
    assert cell(page, method="early_fusion").reproduced_status == "skipped"
    rows = dict(zip([r[0] for r in page.shown[0].rows], page.shown[0].rows, strict=True))
    assert rows["CMC"][1:4] == ("78.46", "51.50 ± 0.00", "−26.96")
    assert rows["Early fusion (K heads)"][1:4] == ("not sourced", "skipped", "–")
    assert "needs the modalities of one patient" in " ".join(page.shown[0].notes)
    assert "200 AMOS CT scans" in " ".join(page.shown[0].notes)
    summary = summary_table([page.comparison], [True])
    methods = expand_methods(amos_config().methods, method_cards())
    # two modalities, three label fractions
    assert summary.rows == (("amos", f"4 of {6 * len(methods)} means", "20", "20", "–"),)


def _kept_apart(page, reason):
    assert reason in page.comparison.apart
    assert cell(page).published_status == "listed apart"
    assert cell(page).reproduced_percent == pytest.approx(51.5)
    assert math.isnan(cell(page).difference)
    apart = page.tables[-1]
    assert sum(reason in row[-1] for row in apart.rows) == 20
    assert page.shown == []


def test_a_run_with_other_test_cases_is_listed_apart(tmp_path):
    page = amos_page(write_run(tmp_path, amos_rows(cases=3)))
    _kept_apart(page, "10 test cases per modality were published, this run has 3 in CT, 3 in MR")


def test_a_run_made_otherwise_than_its_configuration_says_is_listed_apart(tmp_path):
    page = amos_page(write_run(tmp_path, amos_rows(), budget={"steps": 1}, methods=["cmc"]))
    _kept_apart(page, "the run was made with another budget than its configuration has now")
    (tmp_path / "amos" / "manifest.json").unlink()
    _kept_apart(amos_page(tmp_path), "no manifest.json")


def test_no_table_is_made_of_a_run_whose_controls_are_out_of_their_bands(tmp_path):
    broken = amos_rows(0.9, method="oracle")
    with pytest.raises(
        DataError, match=r"Control oracle is out of its band\. Where: .*amos, amos, aligned, 10 % labels"
    ):
        amos_page(write_run(tmp_path, [*amos_rows(), *broken]))


def _published(**changes):
    entry = {"method": "CMC", "dataset": "AMOS", "setting": "s", "modality": "CT", "label_fraction": "10%",
             "structure": "liver", "metric": "mean_dice", "value": "0.75", "unit": "fraction", "source": "r",
             "evidence": "readme", "comparable_to": "a_key"}  # fmt: skip
    return entry | changes


def _compare(*rows):
    paper = replace(make_paper(amos_config()), comparable_to="a_key", test_cases=None)
    return compare(paper, rows, to_frame(amos_rows()), read_context())


def test_fractions_become_percent_and_only_equal_places_are_compared():
    others = [
        _published(modality="MR"),  # MR is published under the name MRI
        _published(label_fraction="5%"),
        _published(structure="aorta"),
        _published(structure="mean of spleen, liver"),
        _published(method="MKD", comparable_to="another_key"),
        _published(method="Somebody else"),
    ]
    found = _compare(_published(), *others)
    (liver,) = found.find(method="cmc", preset="paper", label_fraction=0.1, modality="CT", structure="liver")
    assert (liver.published_percent, liver.difference) == (75.0, pytest.approx(53.0 - 75.0))
    sourced = [c for c in found.cells if c.published_status == "sourced"]
    assert {(c.method, c.preset) for c in sourced} == {("cmc", "paper"), ("cmc", "released")}
    assert len(sourced) == 2
    assert list(found.rest) == others


@pytest.mark.parametrize("metric", ["hd95", "asd"])
def test_published_distances_are_listed_apart_as_nobody_checked_their_definition(metric):
    row = _published(metric=metric, value="7.0", unit="mm")
    found = _compare(row)
    assert list(found.rest) == [row]
    assert not [c for c in found.cells if c.published_status == "sourced"]
    tables = paper_tables(found, read_context())
    assert [row[-1] for row in tables[-1].rows] == ["a distance: how it was computed was not checked"]
    assert "a pooled percentile or a one-sided mean" in tables[-2].notes[0]


def test_a_cell_that_nobody_could_source_is_said_so():
    found = _compare(_published(value="not sourced"))
    (liver,) = found.find(method="cmc", preset="paper", label_fraction=0.1, modality="CT", structure="liver")
    assert liver.published_status == "not sourced"
    assert math.isnan(liver.published_percent)


def test_a_configuration_of_ones_own_joins_where_it_states_an_experiment(tmp_path):
    text = (
        "run: mine\ndatasets: {phantom_heart: {split: {test: 1}}}\nmethods: [cmc]\n"
        "conditions: [{labels: [0.1]}]\nbudget: {steps: 1}\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    assert "mine" not in [config.run for config in experiments(tmp_path / "mine.yaml")]
    (tmp_path / "mine.yaml").write_text(text + 'experiment: {comparable_to: "none: a test"}\n')
    assert experiments(tmp_path / "mine.yaml")[-1].run == "mine"
