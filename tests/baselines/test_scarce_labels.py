"""Every method trains on every kind of annotation and answers from any modality, or its card says why not."""

from dataclasses import replace

import numpy as np
import pytest
from toy import toy_task, toy_test_view, toy_view

from parallax.perturb.annotate import apply, draw
from parallax.perturb.annotation import Annotation
from parallax.plugin import load_method, method_cards

TASK = toy_task(2, 3)
SIZE = (16, 16, 16)
SPACING = (2.0, 2.0, 2.0)
KINDS = {
    "one modality": {"modalities": ["M0"]},
    "background": {"drop": {"structures": ["ball1"], "as": "background"}},
    "unknown": {"drop": {"structures": ["ball1"], "as": "unknown"}},
    "coarse": {"coarse": {"as": "slices", "every": 4}},
    "noisy": {"noisy": {"sigma_mm": 2.0}},
}
CARDS = [card for card in method_cards().values() if card.name != "nnunet"]


def annotated_view(kind, lose=(0,)):
    """Two labelled cases; those numbered in `lose` are annotated as `kind` says."""
    view = toy_view(TASK, size=SIZE)
    annotation = Annotation.model_validate(KINDS[kind])
    samples = list(view.labelled)
    for i in lose:
        label = np.asarray(samples[i].label)
        drawn = draw(np.random.default_rng(i), label, annotation, TASK, SPACING)
        samples[i] = replace(samples[i], label=apply(label, drawn, TASK, SPACING))
    return replace(view, labelled=tuple(samples))


def fitted(card, preset, view, budget, scratch):
    method = load_method(card.name)(TASK, budget, switches=card.presets[preset], seed=0)
    method.fit(view, scratch)
    return method


def lose(kind):
    """All cases lack a modality; half of them lack a structure, as otherwise nobody could learn it."""
    return (0, 1) if kind == "one modality" else (0,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_method_trains_on_the_labels_that_there_are(card, kind, budget, tmp_path):
    if kind == "one modality" and card.needs_every_label:
        with pytest.raises(Exception, match="needs labelled cases of every modality"):
            fitted(card, "paper", annotated_view(kind, lose(kind)), replace(budget, steps=1), tmp_path)
        return
    method = fitted(card, "paper", annotated_view(kind, lose(kind)), replace(budget, steps=2), tmp_path)
    answer = method.predict(toy_test_view(TASK, SIZE, with_truth=card.needs_truth))
    assert {name: m.shape for name, m in answer.label_maps.items()} == {"M0": SIZE, "M1": SIZE}
    assert all(m.max() < TASK.n_classes for m in answer.label_maps.values())


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_method_answers_for_the_modality_that_is_given(card, missing, budget, tmp_path):
    for preset in card.presets:
        if card.missing_package(preset):
            continue
        method = fitted(card, preset, toy_view(TASK, size=SIZE), replace(budget, steps=1), tmp_path / preset)
        answer = method.predict(toy_test_view(TASK, SIZE, missing=(missing,), with_truth=card.needs_truth))
        assert set(answer.label_maps) == {f"M{1 - missing}"}


def test_mean_shape_of_an_unknown_background_keeps_the_background_of_other_cases(budget, tmp_path):
    card = method_cards()["mean_shape"]
    whole = fitted(card, "paper", toy_view(TASK, size=SIZE), budget, tmp_path).maps
    partly = fitted(card, "paper", annotated_view("unknown"), budget, tmp_path).maps
    assert 0 < (partly != whole).mean() < 0.1
    assert set(np.unique(partly)) == {0, 1, 2}
