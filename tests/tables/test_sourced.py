"""Every row of results/published.csv says where its number comes from and what it may stand beside."""

import csv

import pytest

from parallax.errors import DataError
from parallax.plugin import plugin_root
from parallax.tables.sourced import NOT_SOURCED, PUBLISHED_COLUMNS, comparable_keys, read_published

FILE = plugin_root() / "results" / "published.csv"
CELLS = ["CMC", "AMOS 2022", "README", "CT", "10%", "liver", "mean_dice", "85", "%", "r@1", "readme", "key"]
GOOD = dict(zip(PUBLISHED_COLUMNS, CELLS, strict=True))


@pytest.fixture(scope="module")
def published():
    return read_published(FILE)


def _write(path, *rows, header=PUBLISHED_COLUMNS):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerows([header, *rows])
    return path


def test_the_file_of_the_project_is_in_order(published):
    assert len(published) == 184
    assert "cmc_readme_head_amos4" in comparable_keys(published)
    assert not [key for key in comparable_keys(published) if key.startswith("none")]


def test_a_good_row_is_read_as_it_stands_and_a_missing_number_is_said_in_words(tmp_path):
    unknown = GOOD | {"metric": "hd95", "value": NOT_SOURCED, "unit": "mm"}
    assert read_published(_write(tmp_path / "p.csv", GOOD.values(), unknown.values())) == [GOOD, unknown]


@pytest.mark.parametrize("column", PUBLISHED_COLUMNS)
def test_no_cell_may_be_empty(tmp_path, column):
    bad = GOOD | {column: ""}
    with pytest.raises(DataError, match=rf"row 3\. Expected: {column}: a text.*never empty"):
        read_published(_write(tmp_path / "p.csv", GOOD.values(), bad.values()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": "about 80"}, "value: a number, or not sourced. Found: about 80"),
        ({"value": "nan"}, "value: a number"),
        ({"evidence": "memory"}, "evidence: one of readme, paper_abstract, .*Found: memory"),
        ({"unit": "percent"}, "unit: one of %, fraction"),
        ({"source": " repo"}, "source: a text without spaces around it"),
        ({"comparable_to": "none"}, "or `none: reason`. Found: none"),
        ({"comparable_to": "none:"}, "or `none: reason`"),
        ({"comparable_to": "A key"}, "a key of lower-case words"),
        ({"value": "80.00"}, "each number once. Found: row 2 again"),
    ],
)
def test_a_bad_row_is_refused_with_its_number(tmp_path, changes, message):
    bad = GOOD | changes
    with pytest.raises(DataError, match=rf"row 3\..*{message}"):
        read_published(_write(tmp_path / "p.csv", GOOD.values(), bad.values()))


def test_a_row_with_a_cell_too_few_and_other_columns_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"row 2\. Expected: 12 cells\. Found: 11"):
        read_published(_write(tmp_path / "p.csv", list(GOOD.values())[:-1]))
    with pytest.raises(DataError, match=r"other columns.*Found: method, value"):
        read_published(_write(tmp_path / "p.csv", header=("method", "value")))


#: Registered numbers: method, comparable_to, modality, labels, metric, part of the structure, value.
REGISTERED = [
    ("CMC", "cmc_readme_head_amos4", "CT", "10%", "mean_dice", "as stated", 78.46),
    ("CMC", "cmc_readme_head_amos4", "MRI", "10%", "mean_dice", "as stated", 81.70),
    ("CMC", "cmc_readme_head_amos4", "CT", "20%", "mean_dice", "as stated", 81.55),
    ("CMC", "cmc_readme_head_amos4", "MRI", "20%", "mean_dice", "as stated", 87.42),
    ("CMC", "none: ratio not stated", "MRI", "not stated", "mean_dice", "as reported", 59.65),
    ("nnU-Net ResEnc XL", "nnunet_revisited_amos_5fold", "CT+MR pooled", "100%", "mean_dice", "15", 89.68),
    ("DHC", "dhc_amos_ct15_vnet", "CT", "5%", "asd", "15", 13.89),
    ("UA-MT", "dhc_amos_ct15_vnet", "CT", "10%", "mean_dice", "15", 40.60),
    ("SIFA", "genericssl_mmwhs_uda_mr2ct", "CT", "source 100%, target 0%", "mean_dice", "AA", 74.1),
    ("BCP", "genericssl_la", "MR", "5%", "hd95", "atrium", 7.90),
    ("CHAOS best result", "chaos_challenge", "MR", "100%", "mssd", "liver", 20.9),
]


@pytest.mark.parametrize("wanted", REGISTERED, ids=lambda w: f"{w[0]}-{w[2]}-{w[3]}-{w[4]}")
def test_registered_numbers(published, wanted):
    *identity, structure, value = wanted
    columns = ("method", "comparable_to", "modality", "label_fraction", "metric")
    found = [r for r in published if [r[c] for c in columns] == identity and structure in r["structure"]]
    assert [float(row["value"]) for row in found] == [value]


def test_only_a_challenge_and_a_code_that_say_so_give_distances_in_mm(published):
    assert {r["metric"] for r in published if r["unit"] == "mm"} == {"mssd"}
    assert {r["unit"] for r in published if r["metric"] in ("asd", "hd95")} == {"not stated"}
