"""Checks of how a network is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from parallax.learn.batch import Batch
from parallax.learn.network_method import Clock, TrainingError
from parallax.trial.outcome import NotKeptError, check, require
from parallax.trial.trial import (
    BUDGET,
    KILLED,
    SOME,
    TASK,
    Trial,
    all_finite,
    answer,
    crops,
    learnt,
    require_trained,
    same_bits,
)

_FLOAT32 = "compute losses in float32 (`term.float()`); keep the parameters as `build` made them"


@check("it builds a network", remedy="`build` returns an nn.Module on the CPU that can be trained")
def builds_a_network(trial: Trial) -> str:
    """`build` gives a module on the CPU with something to train."""
    net: Any = trial.method().build()
    require(isinstance(net, nn.Module), f"`build` returned {type(net).__name__}")
    places = {str(value.device) for value in net.state_dict().values()}
    require(places <= {"cpu"}, f"parts of it lie on {', '.join(sorted(places))}")
    n = sum(p.numel() for p in net.parameters() if p.requires_grad)
    require(n > 0, "it has no parameter that can be trained")
    return f"{type(net).__name__}, {n:,} parameters at this tiny size"


@check(
    "it trains",
    remedy="`loss` returns a dict of scalars that depend on the parameters, each finite",
    needs=("it builds a network",),
)
def it_trains(trial: Trial) -> str:
    """After four steps all weights are finite and some have moved."""
    require_trained(trial.trained)
    terms, _ = learnt(trial.trained, 0, SOME)
    return f"{BUDGET.steps} steps; terms: {', '.join(terms) or 'none at the first step'}"


@check(
    "an absent modality, in training",
    remedy="leave items that lack a modality out of its loss (rows of batch.available)",
    needs=("it trains",),
)
def absent_in_training(trial: Trial) -> str:
    """NaN in the image of an absent modality changes no bit of loss or gradient."""
    for step in (0, 1, BUDGET.steps - 1):
        terms, gradients = learnt(trial.trained, step, SOME)
        others, other_gradients = learnt(trial.trained, step, SOME, float("nan"))
        require(bool(terms), f"step {step}: `loss` returned no term")
        require(all_finite([*terms.values(), *gradients]), f"step {step}: a loss or gradient is not finite")
        odd = [key for key in terms if key not in others or not torch.equal(terms[key], others[key])]
        require(not odd, f"step {step}: NaN in an absent modality changes the terms {', '.join(odd)}")
        alike = all(_equal(a, b) for a, b in zip(gradients, other_gradients, strict=True))
        require(alike, f"step {step}: NaN in an absent modality changes gradients, though no term")
    return "no bit of a loss or gradient changes"


@check(
    "same seed, same bits",
    remedy="build parts inside `initialised(self.seed, key)`; draw from clock.generator(key)",
    needs=("it trains",),
)
def same_seed_same_bits(trial: Trial) -> str:
    """Two runs with one seed have the same weights."""
    alike = same_bits(trial.interrupted.early, trial.trained.early)
    require(alike, f"two runs with one seed have different weights after step {KILLED}")
    return "two runs have equal weights"


@check(
    "resume",
    remedy="keep nothing between steps outside net.state_dict() (a buffer is kept, an attribute is lost)",
    needs=("same seed, same bits",),
)
def resumes(trial: Trial) -> str:
    """A run that was interrupted ends with the bits of a whole one."""
    _ = trial.interrupted
    resumed = trial.method()
    resumed.fit(trial.view(), trial.folder / "interrupted")
    alike = same_bits(resumed.net.state_dict(), trial.trained.net.state_dict())
    require(
        alike, f"interrupted after step {KILLED} and resumed, it ends with other weights than a whole run"
    )
    return "interrupted and resumed, it ends with the same bits"


@check(
    "masks of unlabelled cases",
    remedy="never read view.unlabelled[i].label: real runs have none on disk",
    needs=("same seed, same bits",),
)
def masks_of_unlabelled_cases(trial: Trial) -> str:
    """Garbage in place of masks of unlabelled cases changes no bit."""
    view = trial.view()
    filled = tuple(replace(s, label=(s.image > 0).astype("uint8")) for s in view.unlabelled)
    method = trial.killed_on(replace(view, unlabelled=filled), "filled")
    require(same_bits(method.early, trial.trained.early), "masks of unlabelled cases change what it learns")
    return "filled with garbage they change no bit"


@check(
    "batches of one",
    remedy="an item may be alone and may lack a modality: no batch statistics, no mean over nothing",
    needs=("it trains",),
)
def batches_of_one(trial: Trial) -> str:
    """It trains on batches of one, whichever modality the item lacks."""
    method = trial.method(budget=replace(BUDGET, steps=2, batch=1))
    method.fit(trial.view(), trial.folder / "one")
    require_trained(method)
    for item in (SOME[i : i + 1] for i in range(len(SOME))):
        terms, gradients = learnt(trial.trained, BUDGET.steps - 1, item)
        logits = answer(trial.trained, crops(item))
        finite = all_finite([*terms.values(), *gradients, logits])
        require(finite, f"a single item with modalities {item[0].tolist()} gives NaN or infinity")
    return "trains and answers, whatever the item lacks"


@check("bfloat16", remedy=_FLOAT32, needs=("it trains",))
def bfloat16(trial: Trial) -> str:
    """It trains where the budget asks for reduced precision."""
    method = trial.method(budget=replace(BUDGET, steps=2, precision="bfloat16"))
    method.fit(trial.view(), trial.folder / "bfloat16")
    require_trained(method)
    return "trains with finite weights"


class _Poisoned:
    """From step `KILLED` on, the first loss term is NaN."""

    poisoned = ""

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = dict(super().loss(net, labelled, unlabelled, clock))  # type: ignore[misc]
        if clock.step >= KILLED and terms:
            self.poisoned = next(iter(terms))
            terms[self.poisoned] = terms[self.poisoned] * float("nan")
        return terms


@check(
    "a NaN stops the run",
    remedy="let `fit` of NetworkMethod train, and do not catch its TrainingError",
    needs=("it trains",),
)
def a_nan_stops_the_run(trial: Trial) -> str:
    """A term that becomes NaN ends training with an error that names method, step and term."""
    kind: Any = type(trial.kind.__name__, (_Poisoned, trial.kind), {"__module__": trial.kind.__module__})
    method = kind(TASK, BUDGET, switches=trial.card.presets[trial.preset], seed=0)
    try:
        method.fit(trial.view(), trial.folder / "poisoned")
    except TrainingError as error:
        wanted = (f"method {trial.card.name}", "step ", f"term {method.poisoned}")
        named = all(text in error.where for text in wanted)
        require(named, f"the error names {error.where!r}, not method, step and term")
        return f"stopped: {error.where}"
    raise NotKeptError("a loss term became NaN, and training went on")


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))


TRAINING_CHECKS = (
    builds_a_network,
    it_trains,
    absent_in_training,
    same_seed_same_bits,
    resumes,
    masks_of_unlabelled_cases,
    batches_of_one,
    bfloat16,
    a_nan_stops_the_run,
)
