"""Canary: label maps of the test cases and of the unlabelled cases are poisoned on disk, and nobody notices.

Every method is found by file and trained as the workflow trains it. Training again after another method, with
all global generators elsewhere, is part of the same comparison: the bits depend on the seed alone.
"""

import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from canary import LABELLED, TEST, UNLABELLED, hashes, make_run, trained

from parallax.plugin import load_method_of, method_cards, plugin_root

CARDS = {card.name: card for card in method_cards().values()}


def families(card):
    """The presets that read different things: unlabelled cases or none, other adapters, other pairing."""

    def reads(preset):
        unlabelled = card.presets[preset].get("unlabelled", card.uses_unlabelled)
        return not unlabelled, card.adapter_of(preset), card.pairs_needed_by(preset)

    found = {}
    for preset in card.presets:
        if not card.missing_package(preset):
            found.setdefault(reads(preset), preset)
    return [found[key] for key in sorted(found, key=lambda key: key[0])]  # those with unlabelled cases first


ALL = [(name, preset) for name, card in CARDS.items() for preset in families(card)]
ALWAYS = [(name, families(card)[0]) for name, card in CARDS.items()]


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="session")
def poisoned(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("poisoned"), (*TEST, *UNLABELLED))


@pytest.fixture(scope="session")
def mislabelled(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("mislabelled"), tuple(LABELLED))


@pytest.fixture(scope="session", autouse=True)
def _cards_read_once():
    """The files of all methods are parsed at every look-up, which here would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parallax.learn.job.method_card", CARDS.__getitem__)
        patch.setattr("parallax.learn.job.load_method", lambda name: load_method_of(CARDS[name]))
        yield


@pytest.fixture(scope="session")
def before(clean, tmp_path_factory):
    """What a method with a preset leaves on clean data, trained once."""
    kept = {}

    def look(pair):
        if pair not in kept:
            folder = tmp_path_factory.mktemp("before")
            kept[pair] = trained(clean, folder, pair[0], CARDS[pair[0]].presets[pair[1]])
        return kept[pair]

    return look


def elsewhere(clean, folder):
    """Leave the process as another method would: it trained, and drew from every global generator."""
    trained(clean, folder / "other", "supervised", {})
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)


def unchanged(pair, expected, clean, poisoned, folder):
    name, preset = pair
    elsewhere(clean, folder)
    found = trained(poisoned, folder / "after", name, CARDS[name].presets[preset])
    if CARDS[name].needs_truth:  # the oracle answers with the truth of the test case, which is all it does
        expected, found = ({k: v for k, v in files.items() if "model" in k} for files in (expected, found))
    assert expected == found


def _files():
    """What lies in the two folders of methods, whatever the discovery makes of it."""
    return [path for folder in ("methods", "baselines") for path in (plugin_root() / folder).glob("[!_]*.py")]


def named(pair):
    return ":".join(pair)


def test_every_method_is_put_to_it():
    assert {name for name, _ in ALL} == set(method_cards())
    assert {name for name, _ in ALWAYS} == set(CARDS) == {p.stem for p in _files()}
    assert len(ALL) > 2 * len(ALWAYS)


@pytest.mark.parametrize("pair", ALWAYS, ids=named)
def test_poison_in_test_and_unlabelled_cases_changes_no_bit(pair, before, clean, poisoned, tmp_path):
    unchanged(pair, before(pair), clean, poisoned, tmp_path)


@pytest.mark.weekly
@pytest.mark.parametrize("pair", [pair for pair in ALL if pair not in ALWAYS], ids=named)
def test_nor_in_any_other_preset_that_reads_other_things(pair, before, clean, poisoned, tmp_path):
    unchanged(pair, before(pair), clean, poisoned, tmp_path)


LEARNS = [pair for pair in ALWAYS if pair[0] not in {"empty", "oracle"}]


@pytest.mark.parametrize("pair", LEARNS, ids=named)
def test_poison_in_labelled_cases_changes_what_is_learnt(pair, before, mislabelled, tmp_path):
    found = trained(mislabelled, tmp_path, pair[0], CARDS[pair[0]].presets[pair[1]])
    model = [file for file in found if file.startswith("model/")]
    assert model
    assert [before(pair)[file] for file in model] != [found[file] for file in model]


def test_all_that_a_method_is_given_is_the_same_file_by_file(clean, poisoned, mislabelled):
    """Whatever a method does with them: it cannot read what is not there."""
    given = hashes(clean, "view")
    assert given == hashes(poisoned, "view") != hashes(mislabelled, "view")
    assert not [file for file in given if any(f"{case}.label" in file for case in (*UNLABELLED, *TEST))]
    assert not [file for file in given if any(case in file for case in TEST)]
    assert hashes(clean, "data") != hashes(poisoned, "data")


@pytest.mark.parametrize("leak", ["data/train/arrays/u0.label.npy", "data/test/labels/t0__M0.nii.gz"])
def test_a_method_that_looks_is_found_out(leak, before, clean, poisoned, tmp_path, monkeypatch):
    class Peeking(load_method_of(CARDS["mean_shape"])):
        def fit(self, view, scratch):
            cost = super().fit(view, scratch)
            root = Path(view.labelled[0].image.filename).parents[1]
            self.maps = self.maps + np.float32(zlib.crc32((root / leak).read_bytes()) / 2**32)
            return cost

    pair = ("mean_shape", "paper")
    honest = before(pair)
    monkeypatch.setattr("parallax.learn.job.load_method", lambda _: Peeking)
    peeked = trained(clean, tmp_path / "clean", *pair[:1], {})
    assert peeked != honest
    with pytest.raises(AssertionError):
        unchanged(pair, peeked, clean, poisoned, tmp_path)
