import pytest

from parallax.data.splits import make_split, split_hash, split_rng
from parallax.errors import ConfigError
from parallax.perturb.labels import draw_order

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
