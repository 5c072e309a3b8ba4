import pytest

from parallax.data.splits import make_split, split_hash, split_rng
from parallax.errors import ConfigError
from parallax.perturb.labels import draw_order, label_subsets

INDEX = {"cases": [f"c{i:02d}" for i in range(20)]}


def drawn(spec, index=INDEX):
    order = draw_order(split_rng(spec["seed"]), index["cases"], index.get("strata"))
    return make_split(index, spec, order)


def test_counts_are_kept_and_sides_are_apart():
    split = drawn({"seed": 1, "train": 12, "test": 5})
    assert (len(split["train"]), len(split["test"])) == (12, 5)
    assert not set(split["train"]) & set(split["test"])
    assert drawn({"seed": 1, "train": 12, "test": 5}) == split
    assert drawn({"seed": 2, "train": 12, "test": 5})["hash"] != split["hash"]


def test_all_others_are_trained_on_when_no_count_is_given():
    assert len(drawn({"seed": 1, "train": None, "test": 5})["train"]) == 15
    assert len(drawn({"seed": 1, "test_fraction": 0.25})["test"]) == 5


def test_hash_does_not_depend_on_order():
    assert split_hash({"train": ["a", "b"], "test": ["c"]}) == split_hash(
        {"test": ["c"], "train": ["b", "a"]}
    )
    assert split_hash({"train": ["a"], "test": ["b"]}) != split_hash({"train": ["b"], "test": ["a"]})


def test_written_lists_are_taken_as_they_are():
    split = make_split(INDEX, {"train": ["c03", "c01"], "test": ["c02"]}, ())
    assert split["train"] == ["c01", "c03"]
    overlap = make_split(INDEX, {"train": ["c01"], "test": ["c01"], "allow_overlap": True}, ())
    assert overlap["train"] == overlap["test"] == ["c01"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"train": ["c01"], "test": ["c01"]}, "both: c01"),
        ({"train": ["c01"], "test": ["zz"]}, "unknown zz"),
        ({"train": ["c01", "c01"], "test": ["c02"]}, "repeated c01"),
        ({"train": ["c01"], "test": 3}, "lists of ids for both"),
        ({"train": [], "test": ["c01"]}, "train 0"),
        ({"seed": 0, "train": 18, "test": 5}, "train 18, test 5"),
        ({"seed": 0, "train": 3, "test": 0}, "test 0"),
    ],
)
def test_impossible_splits_are_config_errors(spec, message):
    with pytest.raises(ConfigError, match=message):
        make_split(INDEX, spec, INDEX["cases"])


def test_cases_without_labels_are_never_tested_on():
    index = INDEX | {"without_labels": INDEX["cases"][:15]}
    split = drawn({"seed": 3, "train": None, "test": 4}, index)
    assert not set(split["test"]) & set(index["without_labels"])
    with pytest.raises(ConfigError, match="without labels: c00"):
        make_split(index, {"train": ["c19"], "test": ["c00"]}, ())


def test_both_sides_hold_both_strata():
    index = INDEX | {"strata": {c: "CT" if i < 10 else "MR" for i, c in enumerate(INDEX["cases"])}}
    for seed in range(20):
        split = drawn({"seed": seed, "train": 16, "test": 4}, index)
        assert sorted(index["strata"][c] for c in split["test"]) == ["CT", "CT", "MR", "MR"]


def test_validation_cases_change_the_hash():
    with_validation = drawn({"seed": 1, "train": 12, "validation": 2, "test": 5})
    without = drawn({"seed": 1, "train": 12, "test": 5})
    assert (with_validation["train"], with_validation["test"]) == (without["train"], without["test"])
    assert with_validation["hash"] != without["hash"]
    assert len(with_validation["hash"]) == 64


#: 8 patients: two sequences each, but one scan of p6 and four of p7.
SCANS = (
    {f"p{i}{s}": f"p{i}" for i in range(6) for s in "ab"} | {"p6a": "p6"} | {f"p7{s}": "p7" for s in "abcd"}
)
PATIENTS = {"cases": list(SCANS), "patients": SCANS}


@pytest.mark.parametrize("seed", range(8))
def test_no_patient_is_on_two_sides_of_a_drawn_split(seed):
    split = drawn({"seed": seed, "train": 8, "validation": 4, "test": 5}, PATIENTS)
    sides = [{SCANS[c] for c in split[side]} for side in ("train", "validation", "test")]
    assert sum(map(len, sides)) == len(set.union(*sides))
    # sizes 1, 2 and 4 add up to 8, to 4 and to 5 in the order drawn, or fall short by one
    assert [len(split[side]) for side in ("train", "test")] in ([8, 5], [8, 4], [7, 5])


def test_a_side_holds_as_many_cases_as_whole_patients_fill():
    index = {
        "cases": ["a1", "a2", "b1", "b2", "c1"],
        "patients": {"a1": "a", "a2": "a", "b1": "b", "b2": "b"},
    }
    split = make_split(index, {"train": 2, "test": 3}, ["a1", "b1", "c1", "a2", "b2"])
    assert (split["test"], split["train"]) == (["a1", "a2", "c1"], ["b1", "b2"])
    only_pairs = {"cases": ["a1", "a2", "b1", "b2"], "patients": index["patients"]}
    with pytest.raises(ConfigError, match="all cases of a patient on one side"):
        make_split(only_pairs, {"train": 2, "test": 1}, only_pairs["cases"])


def test_an_unlabelled_scan_of_a_test_patient_is_not_trained_on():
    index = {"cases": ["a1", "a2", "b1"], "patients": {"a1": "a", "a2": "a"}, "without_labels": ["a2"]}
    split = make_split(index, {"train": None, "test": 1}, ["a1", "a2", "b1"])
    assert (split["train"], split["test"]) == (["b1"], ["a1"])


def test_written_lists_with_a_patient_on_two_sides_name_patient_and_cases():
    with pytest.raises(ConfigError, match=r"patient p0 on 2: train p0a; test p0b"):
        make_split(PATIENTS, {"train": ["p0a", "p1a"], "test": ["p0b"]}, ())
    with pytest.raises(ConfigError, match=r"patient p1 on 2: train p1a; validation p1b"):
        make_split(PATIENTS, {"train": ["p1a"], "validation": ["p1b"], "test": ["p0b"]}, ())
    with pytest.raises(ConfigError, match="patient x on 2"):  # the list itself may say who is who
        make_split(INDEX, {"train": ["c01"], "test": ["c02"], "patients": {"c01": "x", "c02": "x"}}, ())


@pytest.mark.parametrize("draw", range(3))
def test_labels_are_drawn_by_patient_and_nested(draw):
    fractions = [0.2, 0.5, 1.0]
    split, subsets = label_subsets(PATIENTS, {"seed": 3, "train": 12, "test": 4}, fractions, 3)
    held = [set(subsets[fraction, draw]["labelled"]) for fraction in fractions]
    assert held[0] < held[1] < held[2] == set(split["train"])
    for labelled in held:
        rest = set(split["train"]) - labelled
        assert not {SCANS[c] for c in labelled} & {SCANS[c] for c in rest}
