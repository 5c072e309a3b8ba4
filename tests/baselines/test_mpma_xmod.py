"""Paired masking: two stages, unpaired cases, and every switch."""

from dataclasses import replace

import pytest
import torch
from toy import toy_dice, toy_task, toy_test_view, toy_view

from parallax.cards import preset_switches
from parallax.errors import ConfigError
from parallax.learn.batch import Batch
from parallax.learn.network_method import Clock
from parallax.plugin import load_method, method_card

TASK = toy_task(2, 3)
CARD = method_card("mpma_xmod")
BOTH = torch.ones(2, 2, dtype=torch.bool)


def method(budget, preset="paper", **switches):
    made = load_method("mpma_xmod")(TASK, budget, switches=CARD.presets[preset] | switches, seed=0)
    made.net = made.build()
    return made


def batch(available=BOTH, seed=0, labelled=True):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(len(available), 2, 16, 16, 16, generator=generator)
    label = torch.randint(0, 3, image.shape, generator=generator)
    return Batch(image, label if labelled else None, available, ("a",) * len(available))


def terms_at(made, step, available=BOTH, image=None):
    labelled, bare = batch(available), batch(available, 1, labelled=False)
    if image is not None:
        labelled = replace(labelled, image=image)
    return made.loss(made.net, labelled, bare if made.uses_unlabelled else None, Clock(step, 10, 0))


def test_pretraining_takes_three_tenths_and_then_segmentation_alone(budget):
    made = method(budget)
    pretraining = {"rebuild/M0", "rebuild/M1", "global", "local"}
    assert [set(terms_at(made, step)) for step in (0, 2, 3, 9)] == [pretraining] * 2 + [{"supervised"}] * 2
    assert set(terms_at(method(budget, "no_pretraining"), 0)) == {"supervised"}


def test_both_stages_teach_the_encoder_and_only_the_second_the_decoder(budget):
    made = method(budget)
    for step, taught in ((0, {"blocks", "rebuild", "fusion"}), (9, {"blocks", "decoder", "fusion"})):
        made.net.zero_grad()
        sum(terms_at(made, step).values()).backward()
        moved = {name.split(".")[0] for name, p in made.net.named_parameters() if p.grad is not None}
        assert moved & {"blocks", "rebuild", "decoder", "fusion"} == taught


def test_weights_of_the_terms(budget):
    plain = terms_at(method(budget), 0)
    changed = terms_at(method(budget, global_weight=2.0, local_weight=0.0), 0)
    assert changed["global"].item() == pytest.approx(2 * plain["global"].item())
    assert changed["local"].item() == 0.0
    assert changed["rebuild/M0"] == plain["rebuild/M0"]


@pytest.mark.parametrize("available", [[True, False], [False, True]])
def test_a_case_of_one_modality_trains_only_its_own_reconstruction(budget, available):
    terms = terms_at(method(budget), 0, torch.tensor([available, available]))
    assert set(terms) == {"rebuild/M0" if available[0] else "rebuild/M1"}


def test_an_unpaired_case_among_pairs_gets_no_gradient_of_alignment(budget):
    made, available = method(budget), torch.tensor([[True, True], [True, False]])
    image = batch(available).image.requires_grad_()
    terms = terms_at(made, 0, available, image)
    for key in ("global", "local"):
        (gradient,) = torch.autograd.grad(terms[key], image, retain_graph=True)
        assert bool((gradient[1] == 0).all())
        assert bool((gradient[0] != 0).any())


def test_unlabelled_cases_are_pretrained_on(budget):
    with_them, without = (terms_at(method(budget, preset), 0) for preset in ("paper", "labelled_only"))
    assert with_them["rebuild/M0"] != without["rebuild/M0"]
    assert method(budget).forward_passes_per_step == pytest.approx(2 * (0.3 * 2 + 0.7))
    assert method(budget, "labelled_only").forward_passes_per_step == pytest.approx(2.0)


@pytest.mark.parametrize(
    "change",
    [
        {"mask_ratio": 0.5},
        {"mask_ratio": 0.5, "complementary": True},
        {"memory_slots": 8},
        {"memory_top": 1},
    ],
)
def test_switches_of_pretraining_change_it(budget, change):
    base = {"mask_ratio": 0.5} if "complementary" in change else {}
    plain, changed = (terms_at(method(budget, **switches), 0) for switches in (base, change))
    assert plain["rebuild/M0"] != changed["rebuild/M0"]


def test_segmentation_without_memory_and_partners(budget):
    plain, changed = (terms_at(method(budget, segment_with=w), 9) for w in ("memory", "encoder"))
    assert plain["supervised"] != changed["supervised"]


def test_the_transformer_has_its_own_rate(budget):
    made = method(budget, transformer_learning_rate=5e-4)
    transformer, decoder = made.parameter_groups(made.net)
    assert transformer["lr_scale"] == pytest.approx(5e-4 / budget.learning_rate)
    assert "lr_scale" not in decoder
    grouped = [*transformer["params"], *decoder["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in made.net.parameters()}
    assert len(grouped) == len(list(made.net.parameters()))


def test_complementary_masks_that_overlap_are_refused(budget):
    with pytest.raises(ConfigError, match="more than half"):
        method(budget, complementary=True)
    method(budget, "complementary")


def test_there_is_no_released_preset():
    with pytest.raises(ConfigError, match="no official code"):
        preset_switches(CARD, "released")


def test_both_stages_learn(budget, tmp_path):
    steps, first = 60, 18
    larger = replace(budget, steps=steps, widths=(8, 16), checkpoint_every_s=60.0)
    made = load_method("mpma_xmod")(TASK, larger, switches={}, seed=0)
    losses, loss = [], made.loss
    made.loss = lambda *arguments: losses.append(loss(*arguments)) or losses[-1]
    made.fit(toy_view(TASK, 4, 4), tmp_path)
    assert losses[first - 1]["rebuild/M0"] < 0.97 * losses[0]["rebuild/M0"]
    assert losses[first - 1]["local"] < losses[0]["local"]
    assert losses[-1]["supervised"] < 0.5 * losses[first]["supervised"]
    view = toy_test_view(TASK, with_truth=True)
    answer = made.predict(replace(view, truth=None))
    assert toy_dice(answer.label_maps["M0"], view.truth["M0"].array, 3) > 0.8
