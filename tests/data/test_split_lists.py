"""Splits that are written down: those of the project are what was drawn, and mistakes name their line."""

import csv

import pytest
import yaml

from parallax.data.split_list import read_split_list
from parallax.data.splits import case_index, make_split, split_rng
from parallax.errors import ConfigError
from parallax.perturb.labels import draw_order, label_subsets
from parallax.plugin import load_dataset, plugin_root
from parallax.run.config import RunConfig
from parallax.run.setup import split_spec

CONFIG = plugin_root() / "config"
LISTS = sorted((CONFIG / "splits").glob("*.csv"))


CHAOS_MR = (1, 2, 3, 5, 8, 10, 13, 15, 19, 20, 21, 22, 31, 32, 33, 34, 36, 37, 38, 39)
#: Own splits of public datasets: the ids of their labelled cases, and how many train, validate and test.
OWN = {
    "mmwhs": ([f"{m}_{n}" for m in ("ct", "mr") for n in range(1001, 1021)], (24, 8, 8)),
    "mscmrseg": ([f"patient{n}" for n in range(1, 36)], (20, 5, 10)),
    "chaos-mr": ([f"mr_{n}" for n in CHAOS_MR], (12, 2, 6)),
    "iseg": ([f"subject-{n}" for n in range(1, 11)], (6, 1, 3)),
    "brats2020": ([f"BraTS20_Training_{n:03d}" for n in range(1, 370)], (258, 37, 74)),
    "decathlon-task01": ([f"BRATS_{n:03d}" for n in range(1, 485)], (338, 48, 98)),
}


def draw(index, spec):
    return make_split(index, spec, draw_order(split_rng(spec["seed"]), index["cases"], index["strata"]))


def config_of(name):
    return RunConfig.model_validate(yaml.safe_load((CONFIG / name).read_text()))


@pytest.mark.parametrize("name", ["phantom_heart", "phantom_abdomen", "phantom_orbit"])
def test_the_lists_of_quick_are_what_counts_and_seed_draw(name):
    entry = config_of("quick.yaml").datasets[name]
    index = case_index(load_dataset(name, entry.options))
    counts, written = {"seed": 11, "train": 20, "test": 10}, split_spec(entry.split)
    assert draw(index, counts) == make_split(index, written, ())
    fractions = config_of("quick.yaml").fractions()
    assert label_subsets(index, counts, fractions, 2) == label_subsets(index, written, fractions, 2)


def test_the_list_of_the_left_atria_is_what_was_drawn():
    with (CONFIG / "manifests" / "la2018.csv").open() as stream:
        index = {"cases": [row["case"] for row in csv.DictReader(stream)], "strata": {}}
    counts = {"seed": 2018, "train": 56, "validation": 8, "test": 16}
    written = split_spec(config_of("real-la.yaml").datasets["left_atrium"].split)
    assert draw(index, counts) == make_split(index, written, ())


@pytest.mark.parametrize("name", OWN)
def test_own_lists_of_public_datasets_are_what_seed_0_draws(name):
    ids, (train, validation, test) = OWN[name]
    strata = {case: case[:2] for case in ids} if name == "mmwhs" else {}
    counts = {"seed": 0, "train": train, "validation": validation, "test": test}
    written = read_split_list(f"config/splits/{name}.csv")
    drawn = draw({"cases": ids, "strata": strata}, counts)
    assert {part: drawn[part] for part in ("train", "validation", "test")} == {
        part: sorted(written[part]) for part in ("train", "validation", "test")
    }


def test_the_fixed_test_cases_of_mmwhs():
    split = read_split_list("config/splits/mmwhs-uda.csv")
    cases = [f"ct_{n}" for n in (1003, 1008, 1014, 1019)] + [f"mr_{n}" for n in (1007, 1009, 1018, 1019)]
    assert sorted(split["test"]) == cases
    assert len(split["train"]) == 32
    assert split["validation"] == []


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_no_patient_of_a_list_is_on_two_sides(path):
    split = read_split_list(path.relative_to(plugin_root()).as_posix())
    make_split({"cases": list(split["patients"])}, split, ())
    assert f"`{path.name}`" in (CONFIG / "splits" / "README.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("case,part\na,train\n", "columns case, patient, part"),
        ("case,patient,part\na,,train\nb,,tset\n", "line 3.*'b', '', 'tset'"),
        ("case,patient,part\na,,train\na,,test\n", "line 3.*a again"),
        ("case,patient,part\na,,\n", "line 2"),
    ],
)
def test_mistakes_in_a_list_are_config_errors(tmp_path, text, message):
    if text is not None:
        (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_split_list(str(tmp_path / "s.csv"))


def test_an_empty_patient_is_the_case_itself(tmp_path):
    (tmp_path / "s.csv").write_text("case,patient,part\na,,train\nb,x,validation\nc,y,test\n")
    split = read_split_list(str(tmp_path / "s.csv"))
    assert split["patients"] == {"a": "a", "b": "x", "c": "y"}
    assert (split["train"], split["validation"], split["test"]) == (["a"], ["b"], ["c"])
