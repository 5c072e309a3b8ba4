"""What every method that trains a network keeps, in each preset; found by file, so nothing is listed."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import toy_sample, toy_task, toy_view

from parallax.case import IGNORE, Budget, Pairing, Sample, Task, TrainView
from parallax.learn.batch import Batch
from parallax.learn.network_method import Clock, NetworkMethod
from parallax.plugin import MethodCard, load_method, method_cards

TASK = toy_task(2, 3)
PATCH = (16, 16, 16)
BUDGET = Budget(steps=4, batch=2, patch=PATCH, widths=(4, 8), checkpoint_every_s=0.0)
SOME = torch.tensor([[True, True], [True, False], [False, True]])  # what items of one batch have
KILLED = 1  # step after which a run is interrupted

# Switches that make an item depend on those beside it. Each is a declared defect of a release.
BATCH_MATES_MATTER = {"norm": ("batch_always_train",)}

CONTENDERS = [
    (card, preset)
    for card in method_cards().values()
    if not card.control and issubclass(load_method(card.name), NetworkMethod)
    for preset in card.presets
    if not card.missing_package(preset)
]


class KillError(Exception):
    """Stands for a kill."""


@dataclass(frozen=True)
class Contender:
    """A method with a preset."""

    card: MethodCard
    preset: str

    def method(self, task: Task = TASK, budget: Budget = BUDGET, *, killed: int | None = None) -> Any:
        """Untrained; `killed` is the step after which training ends with `KillError`."""
        kind = load_method(self.card.name)
        recorded = type("Recorded", (Recorded, kind), {})(
            task, budget, switches=self.card.presets[self.preset], seed=3
        )
        recorded.killed = killed
        return recorded


class Recorded:
    """Keeps the weights after step `KILLED`, and stops there if it is told to."""

    killed: int | None = None
    early: dict[str, Tensor]

    def after_step(self, net: nn.Module, clock: Clock) -> None:
        super().after_step(net, clock)  # type: ignore[misc]
        if clock.step == KILLED:
            self.early = copy.deepcopy(net.state_dict())
        if clock.step == self.killed:
            raise KillError


@pytest.fixture(scope="session", params=CONTENDERS, ids=lambda c: f"{c[0].name}:{c[1]}")
def contender(request: pytest.FixtureRequest) -> Contender:
    return Contender(*request.param)


@pytest.fixture(scope="session")
def trained(contender: Contender, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trained on cases of which some lack a modality; tests must not change it."""
    method = contender.method()
    method.fit(holed_view(TASK), tmp_path_factory.mktemp("trained"))
    return method


def without(sample: Sample, modality: int) -> Sample:
    """The same case if that modality had not been acquired."""
    image = sample.image.copy()
    image[modality] = 0
    label = None if sample.label is None else sample.label.copy()
    if label is not None:
        label[modality] = IGNORE
    there = tuple(flag and k != modality for k, flag in enumerate(sample.available))
    return replace(sample, image=image, label=label, available=there)


def holed_view(task: Task) -> TrainView:
    """Two labelled and two unlabelled cases; the second one of each lacks a modality."""
    view = toy_view(task, size=PATCH)
    return replace(
        view,
        labelled=(view.labelled[0], without(view.labelled[1], 1)),
        unlabelled=(view.unlabelled[0], without(view.unlabelled[1], 0)),
    )


def unpaired_view(task: Task) -> TrainView:
    """Every case is one scan."""
    view = toy_view(task, 4, 2, size=PATCH)
    single = [
        [without(s, 1 - i % 2) for i, s in enumerate(part)] for part in (view.labelled, view.unlabelled)
    ]
    return replace(view, labelled=tuple(single[0]), unlabelled=tuple(single[1]))


def crops(available: Tensor, absent: float = 0.0, *, labelled: bool = True, task: Task = TASK) -> Batch:
    """One crop per row of `available` [B, K]; images of absent modalities hold `absent` everywhere."""
    samples = [toy_sample(task, f"c{i}", PATCH) for i in range(len(available))]
    there = available[:, :, None, None, None]
    image = torch.stack([torch.from_numpy(s.image) for s in samples]).where(there, absent)
    label = torch.stack([torch.from_numpy(s.label) for s in samples]).long().where(there, IGNORE)
    return Batch(image, label if labelled else None, available, tuple(s.case for s in samples))


def answer(method: Any, batch: Batch, net: nn.Module | None = None) -> Tensor:
    """Logits as at test time."""
    network = (net or copy.deepcopy(method.net)).eval()
    with torch.no_grad():
        logits: Tensor = method.logits(network, batch.image, batch.available)
    return logits


def learnt(
    method: Any, step: int, available: Tensor, absent: float = 0.0
) -> tuple[dict[str, Tensor], list[Any]]:
    """Loss terms of one step and the gradients that they give."""
    method = copy.deepcopy(method)
    labelled = crops(available, absent)
    bare = crops(available, absent, labelled=False) if method.uses_unlabelled else None
    torch.manual_seed(0)
    terms = method.loss(method.net.train(), labelled, bare, Clock(step, BUDGET.steps, 3))
    if any(term.requires_grad for term in terms.values()):
        torch.stack([term.float() for term in terms.values()]).sum().backward()
    return terms, [parameter.grad for parameter in method.net.parameters()]


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def all_finite(tensors: Any) -> bool:
    return all(bool(t.isfinite().all()) for t in tensors if t is not None)


def has_trained(method: Any) -> bool:
    """Whether all weights are finite and the trainable ones are not those that it began with."""
    before, after = (dict(net.named_parameters()) for net in (method.build(), method.net))
    moved = [not torch.equal(before[key], value) for key, value in after.items() if value.requires_grad]
    return all_finite(method.net.state_dict().values()) and any(moved)


@pytest.mark.parametrize("other", [7.5, float("nan")])
def test_an_absent_modality_changes_no_bit_of_the_answer(trained: Any, other: float) -> None:
    plain, changed = (answer(trained, crops(SOME, absent)) for absent in (0.0, other))
    assert torch.equal(plain[SOME], changed[SOME])


@pytest.mark.parametrize("step", [0, 1, 3])
def test_an_absent_modality_takes_no_part_in_training(trained: Any, step: int) -> None:
    terms, gradients = learnt(trained, step, SOME)
    others, other_gradients = learnt(trained, step, SOME, float("nan"))
    assert terms
    assert all_finite([*terms.values(), *gradients])
    assert same_bits(terms, others)
    assert all(a is b or torch.equal(a, b) for a, b in zip(gradients, other_gradients, strict=True))


def test_an_interrupted_run_ends_with_the_bits_of_a_whole_one(
    contender: Contender, trained: Any, tmp_path: Path
) -> None:
    view = holed_view(TASK)
    interrupted = contender.method(killed=KILLED)
    with pytest.raises(KillError):
        interrupted.fit(view, tmp_path)
    assert same_bits(interrupted.early, trained.early), "the same seed gave other weights"
    resumed = contender.method()
    resumed.fit(view, tmp_path)
    assert same_bits(resumed.net.state_dict(), trained.net.state_dict())


def test_it_trains(trained: Any) -> None:
    assert has_trained(trained)


def test_it_trains_in_bfloat16(contender: Contender, tmp_path: Path) -> None:
    method = contender.method(budget=replace(BUDGET, steps=2, precision="bfloat16"))
    method.fit(holed_view(TASK), tmp_path)
    assert has_trained(method)


def test_it_trains_on_batches_of_one(contender: Contender, trained: Any, tmp_path: Path) -> None:
    method = contender.method(budget=replace(BUDGET, steps=2, batch=1))
    method.fit(holed_view(TASK), tmp_path)
    assert has_trained(method)
    for item in SOME.split(1):
        terms, gradients = learnt(trained, 3, item)
        assert all_finite([*terms.values(), *gradients])
        assert all_finite([answer(trained, crops(item))])


def test_a_deep_copy_answers_alike(trained: Any) -> None:
    batch = crops(SOME)
    original, copied = answer(trained, batch, trained.net), answer(trained, batch, copy.deepcopy(trained.net))
    trained.net.train()
    assert torch.equal(original, copied)


def test_saved_weights_answer_alike(contender: Contender, trained: Any, tmp_path: Path) -> None:
    trained.save(tmp_path)
    loaded = contender.method()
    loaded.load(tmp_path)
    assert torch.equal(answer(loaded, crops(SOME)), answer(trained, crops(SOME)))


def test_masks_of_unlabelled_cases_are_never_read(contender: Contender, trained: Any, tmp_path: Path) -> None:
    view = holed_view(TASK)
    bare = [replace(s, label=(s.image > 0).astype("uint8")) for s in view.unlabelled]
    method = contender.method(killed=KILLED)
    with pytest.raises(KillError):
        method.fit(replace(view, unlabelled=tuple(bare)), tmp_path)
    assert same_bits(method.early, trained.early)


def test_an_item_is_answered_alike_alone_and_among_others(contender: Contender, trained: Any) -> None:
    together = answer(trained, crops(SOME))
    batch = crops(SOME)
    alone = torch.cat(
        [answer(trained, Batch(batch.image[i : i + 1], None, SOME[i : i + 1], ("c",))) for i in range(3)]
    )
    same = torch.allclose(together[SOME], alone[SOME], rtol=1e-4, atol=1e-3)
    assert same is not any(trained.switches.get(key) in on for key, on in BATCH_MATES_MATTER.items())


def test_logits_have_one_map_per_modality_and_class(trained: Any) -> None:
    logits = answer(trained, crops(SOME))
    assert logits.shape == (3, 2, TASK.n_classes, *PATCH)
    assert logits[SOME].isfinite().all()


def test_the_first_preset_is_the_paper_and_texts_are_choices(contender: Contender) -> None:
    card = contender.card
    assert next(iter(card.presets)) == "paper"
    for key, value in card.presets[contender.preset].items():
        assert isinstance(value, bool | int | float) or value in card.choices[key], key
    assert set(card.choices) | set(card.at_prediction) <= set(card.presets["paper"])


def test_three_modalities(contender: Contender, tmp_path: Path) -> None:
    task = toy_task(3, 3)
    method = contender.method(task, replace(BUDGET, steps=1))
    method.fit(holed_view(task), tmp_path)
    some = torch.tensor([[True, True, True], [False, True, True], [False, True, False]])
    plain, changed = (answer(method, crops(some, absent, task=task)) for absent in (0.0, float("nan")))
    assert plain.shape == (3, 3, task.n_classes, *PATCH)
    assert plain[some].isfinite().all()
    assert torch.equal(plain[some], changed[some])


def test_it_trains_on_unpaired_cases(contender: Contender, tmp_path: Path) -> None:
    if contender.card.pairs_needed_by(contender.preset):
        pytest.skip("declares that it needs pairs")
    task = toy_task(2, 3, Pairing.UNPAIRED)
    method = contender.method(task, replace(BUDGET, steps=2))
    assert not method.paired_crops, "other methods would see more crops of each modality"
    method.fit(unpaired_view(task), tmp_path)
    assert has_trained(method)
    assert all_finite([answer(method, crops(SOME[1:], task=task))[SOME[1:]]])
