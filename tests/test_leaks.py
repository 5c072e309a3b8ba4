"""Canary: label maps of the test cases and of the unlabelled cases are poisoned on disk, and nobody notices.

Every method is found by file and trained as the workflow trains it. Training again after another method, with
all global generators elsewhere, is part of the same comparison: the bits depend on the seed alone.
"""

import random

import numpy as np
import pytest
import torch
from canary import LABELLED, TEST, UNLABELLED, hashes, make_run, trained

from parallax.learn.method import Method
from parallax.plugin import load_method, method_cards

WEEKLY = "nnunet"  # plans and trains for seconds each time; what it is given is compared below
CARDS = {card.name: card for card in method_cards().values()}


def families(card):
    """The first preset, and those that read other things: unlabelled cases, other adapters, other pairing."""

    def reads(preset):
        unlabelled = card.presets[preset].get("unlabelled", card.uses_unlabelled)
        return card.adapter_of(preset), unlabelled, card.pairs_needed_by(preset)

    found = {}
    for preset in card.presets:
        if not card.missing_package(preset):
            found.setdefault(reads(preset), preset)
    return list(found.values())


ALL = [(name, preset) for name, card in CARDS.items() for preset in families(card)]
QUICK = [pair for pair in ALL if pair[0] != WEEKLY]


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="session")
def poisoned(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("poisoned"), (*TEST, *UNLABELLED))


@pytest.fixture(scope="session")
def mislabelled(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("mislabelled"), tuple(LABELLED))


def elsewhere(clean, folder):
    """Leave the process as another method would: it trained, and drew from every global generator."""
    trained(clean, folder / "other", "supervised", {})
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)


def unchanged(pair, clean, poisoned, folder):
    name, preset = pair
    switches = CARDS[name].presets[preset]
    before = trained(clean, folder / "before", name, switches)
    elsewhere(clean, folder)
    after = trained(poisoned, folder / "after", name, switches)
    if CARDS[name].needs_truth:  # the oracle answers with the truth of the test case, which is all it does
        before, after = ({k: v for k, v in found.items() if "model" in k} for found in (before, after))
    assert before == after


def named(pair):
    return ":".join(pair)


def test_every_method_is_put_to_it():
    assert {name for name, _ in ALL} == set(method_cards())
    assert len(QUICK) > 60


@pytest.mark.parametrize("pair", QUICK, ids=named)
def test_poison_in_test_and_unlabelled_cases_changes_no_bit(pair, clean, poisoned, tmp_path):
    unchanged(pair, clean, poisoned, tmp_path)


@pytest.mark.weekly
@pytest.mark.parametrize("pair", [pair for pair in ALL if pair not in QUICK], ids=named)
def test_poison_changes_no_bit_of_nnunet(pair, clean, poisoned, tmp_path):
    unchanged(pair, clean, poisoned, tmp_path)


LEARNS = [name for name in CARDS if name not in {WEEKLY, "empty", "oracle"}]


@pytest.mark.parametrize("name", LEARNS)
def test_poison_in_a_labelled_case_changes_what_is_learnt(name, clean, mislabelled, tmp_path):
    switches = CARDS[name].presets[families(CARDS[name])[0]]
    before = trained(clean, tmp_path / "before", name, switches)
    after = trained(mislabelled, tmp_path / "after", name, switches)
    model = [file for file in before if file.startswith("model/")]
    assert [before[file] for file in model] != [after[file] for file in model]


def test_all_that_a_method_is_given_is_the_same_file_by_file(clean, poisoned, mislabelled):
    """Of nnU-Net, which the weekly run trains, this is what can be said in a second."""
    given = hashes(clean, "view")
    assert given == hashes(poisoned, "view") != hashes(mislabelled, "view")
    assert not [file for file in given if any(f"{case}.label" in file for case in (*UNLABELLED, *TEST))]
    assert not [file for file in given if any(case in file for case in TEST)]
    assert hashes(clean, "data") != hashes(poisoned, "data")


@pytest.mark.parametrize("leak", ["unlabelled", "test"])
def test_a_method_that_looks_is_found_out(leak, clean, poisoned, tmp_path, monkeypatch):
    kind = load_method("mean_shape")

    class Peeking(kind):
        def fit(self, view, scratch):
            cost = super().fit(view, scratch)
            data = view.labelled[0].image.filename.parent
            found = {
                "unlabelled": "../data/train/arrays/u0.label.npy",
                "test": "../data/test/labels/t0__M0.nii.gz",
            }
            self.maps = self.maps + (data / found[leak]).read_bytes()[-200]
            return cost

    assert issubclass(Peeking, Method)
    monkeypatch.setattr("parallax.learn.job.load_method", lambda _: Peeking)
    with pytest.raises(AssertionError):
        unchanged(("mean_shape", "paper"), clean, poisoned, tmp_path)
