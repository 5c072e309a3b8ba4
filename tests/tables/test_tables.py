import csv
import json
from dataclasses import replace

import pytest
from tidy import method_rows, row, toy_rows

from parallax.errors import DataError
from parallax.report.write import TableInputs, build, print_overview, write_all
from parallax.score.gather import gather, gather_costs, write_costs
from parallax.score.table import RUN_KEYS, to_frame, write_parquet, write_rows
from parallax.tables.layout import Context, in_order, read_context
from parallax.tables.per_condition import full_tables, main_tables, overview_tables
from parallax.tables.published import published_table
from parallax.tables.render import escape_latex, escape_markdown, to_latex, to_markdown
from parallax.tables.summary import summarise, summarise_by_structure

CONTEXT = Context({"zeta": "Zeta (re-implementation from released code)"})


@pytest.fixture
def run(tmp_path):
    """A folder with scores and costs of toy runs."""
    write_parquet(to_frame(toy_rows()), tmp_path / "scores.parquet")
    lines = summarise(to_frame(toy_rows()))
    cost = {"parameters": 1_250_000, "steps": 160, "train_s": 12.5, "peak_memory_mib": 700.0, "device": "cpu"}
    keys = {name: getattr(lines[0], name, 0) for name in RUN_KEYS}
    write_costs([keys | cost, keys | cost | {"seed": 1, "train_s": 13.5}], tmp_path / "costs.csv")
    return tmp_path


def names(cases, context=CONTEXT):
    lines = [line for line in summarise(to_frame(toy_rows(cases))) if line.misalignment == "aligned"]
    return [line.method for line in in_order(lines, context)]


def test_order_is_alphabetical_with_few_cases_and_by_dice_with_enough():
    assert names(4) == ["nnunet", "alpha", "zeta", "oracle"]
    assert names(6) == ["nnunet", "zeta", "alpha", "oracle"]
    assert names(6, Context({}, unranked=frozenset({"toy"}))) == ["nnunet", "alpha", "zeta", "oracle"]


def test_overview_keeps_failed_and_skipped_methods_with_their_reasons():
    table = to_frame(toy_rows())
    (overview,) = overview_tables(summarise(table), table, CONTEXT)
    assert overview.header == ("Method", "100 % labels, aligned", "100 % labels, shifted 7.0 mm")
    assert overview.rows == (
        ("nnunet", "0.715 ± 0.013", "0.615 ± 0.013"),
        ("alpha", "0.815 ± 0.013", "skipped"),
        ("Zeta", "0.915 ± 0.013", "failed"),
        ("oracle", "0.965 ± 0.013", "0.965 ± 0.013"),
    )
    assert overview.rules == (3,)
    text = "\n".join(overview.notes)
    assert "4 test cases: too few to rank; order is alphabetical" in text
    assert "Skipped: alpha: needs pairs & more" in text
    assert "Failed: Zeta: 1 of 1 runs, 8 values lost" in text
    assert "Zeta: re-implementation from released code." in text


def test_main_table_has_counts_intervals_and_costs(run):
    made = build(TableInputs(run / "scores.parquet", run / "costs.csv"))
    first = made.main[0]
    cells = dict(zip(first.header, first.rows[1], strict=True))
    assert (cells["Method"], cells["Missed"], cells["Runs"], cells["Parameters"]) == (
        "alpha",
        "0/8",
        "1",
        "1.25 M",
    )
    assert cells["Train (s)"] == "13"
    assert "95 % interval" not in first.header
    wide = main_tables(summarise(to_frame(toy_rows(6))), made.costs, CONTEXT)[0]
    assert "95 % interval" in wide.header
    assert "diagonal" in " ".join(first.notes)


def test_all_files_are_written_and_agree(run):
    made = build(TableInputs(run / "scores.parquet", run / "costs.csv"))
    write_all(made, run / "tables")
    stems = ("standing", "overview", "main", "full", "statistics", "excluded", "published")
    files = {f"{stem}.{kind}" for stem in stems for kind in ("md", "tex", "csv")} - {
        "overview.csv",
        "standing.csv",
    }
    files |= {"ranks.csv", "trends.csv"}
    assert {path.name for path in (run / "tables").iterdir()} == files
    with (run / "tables" / "main.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows].count("skipped") == 1
    assert len(rows) == len(made.lines) == 8
    assert "zeta" in (run / "tables" / "full.md").read_text(encoding="utf-8").lower()


def test_terminal_table_fits_100_columns(run, capsys):
    print_overview(build(TableInputs(run / "scores.parquet")))
    shown = capsys.readouterr().out
    assert "0.715 ± 0.013" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_text_is_escaped():
    assert escape_markdown("a|b_c<d>") == r"a\|b\_c\<d\>"
    assert escape_latex("50 % & a_b ± 1 − 2") == r"50 \% \& a\_b $\pm$ 1 $-$ 2"
    table = to_frame(method_rows("a_b|c", 0.5))
    tables = overview_tables(summarise(table), table, CONTEXT)
    assert r"a\_b\|c" in to_markdown(tables, "x")
    latex = to_latex(tables)
    assert r"a\_b\textbar{}c & 0.515" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1


def test_what_was_missed_and_what_is_false_stands_beside_each_hd95():
    far = {"metric": "hd95_mm", "value": 424.0}
    rows = [
        changed
        for metric in ("dice", "hd95_mm")
        for i, status in enumerate(("missed", "missed", "false_positive", "ok", "ok"))
        for changed in [row(case=f"c{i}", metric=metric, value=float(i > 2), status=status)]
    ]
    rows = [replace(r, **far) if r.metric == "hd95_mm" and r.status != "ok" else r for r in rows]
    frame = to_frame(rows)
    (main,) = main_tables(summarise(frame), to_frame([]), CONTEXT)
    cells = dict(zip(main.header, main.rows[0], strict=True))
    told = [cells[name] for name in ("HD95 median (mm)", "HD95 found (mm)", "Missed", "False pos.")]
    assert told == ["424.0", "1.0 ± 0.0", "2/5", "1/5"]
    hd95 = full_tables(summarise_by_structure(frame), summarise(frame), CONTEXT)[-1]
    assert hd95.rows[0][1] == "424.0 | 1.0 ± 0.0 | 2+1/5"
    assert "missed + false positives / all that count" in hd95.notes[0]


def test_label_counts_come_from_the_splits(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    split = {"labelled": ["a"], "unlabelled": ["b", "c"]}
    for name in ("f100-d0", "f002p5-d1"):
        (folder / f"{name}.json").write_text(json.dumps(split), encoding="utf-8")
    expected = {("toy", 1.0): "1 of 3 training cases", ("toy", 0.025): "1 of 3 training cases"}
    assert read_context(tmp_path).labels == expected


def test_gather_joins_runs_skips_and_costs_in_one_order(tmp_path):
    paths = [tmp_path / name / "scores.csv" for name in ("b", "a")]
    write_rows(method_rows("nnunet", 0.5), paths[0])
    write_rows(method_rows("alpha", 0.5), paths[1])
    paths[0].with_name("cost.json").write_text('{"parameters": 7}', encoding="utf-8")
    skip = {
        "dataset": "toy",
        "method": "beta",
        "misalignment": "shifted",
        "label_fraction": 0.1,
        "reason": "no",
    }
    rows = gather(paths, [skip, skip])
    assert rows == gather(paths[::-1], [skip])
    assert [row.method for row in rows if row.status == "skipped"] == ["beta"]
    assert [(cost["method"], cost["parameters"]) for cost in gather_costs(paths)] == [("nnunet", 7)]
    with pytest.raises(DataError, match="twice"):
        gather([paths[0], paths[0]], [])


def test_published_numbers_stand_apart_with_a_reason():
    entry = dict.fromkeys(
        ("dataset", "setting", "modality", "label_fraction", "structure", "metric", "source", "evidence"), "x"
    )
    entry |= {"value": "78.4", "unit": "not stated", "comparable_to": "none: user report"}
    given = [entry | {"method": "CMC"}, entry | {"method": "SIFA"}]
    table = published_table(given, ["cmc"], ["phantom_heart"])
    assert [(row[0], row[7], row[-1]) for row in table.rows] == [("CMC", "78.4", "user report")]
    other = published_table([given[0] | {"comparable_to": "key_a"}], ["cmc"], ["phantom_heart"])
    assert other.rows[0][-1] == "another dataset than those of this run"
