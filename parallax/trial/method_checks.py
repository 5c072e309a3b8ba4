"""Checks of what any method gives, network or not: label maps of test cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from parallax.case import Adapter, TestView
from parallax.trial.outcome import NotApplicableError, check, require
from parallax.trial.trial import TASK, Trial, same_maps, segmented

_OF_PREDICT = "`predict` returns one uint8 map of ids 0 to C - 1 per modality, on view.native[modality]"
_READY = "label maps"


@check(_READY, remedy=_OF_PREDICT, needs=("shape of the answer",))
def label_maps(trial: Trial) -> str:
    """Each modality that a case has gets a map of known ids on its own grid."""
    for view in (trial.test_view(), trial.test_view("t1", absent=0.0)):
        for name, found in segmented(trial.trained, view).items():
            require(int(found.max()) < TASK.n_classes, f"{name}: id {found.max()} is outside the task")
    return "uint8, on the native grid of each modality"


@check(
    "test cases leave no trace",
    remedy="`predict` reads the weights and the image, and changes nothing",
    needs=(_READY, "the same answer twice"),
)
def leaves_no_trace(trial: Trial) -> str:
    """A case is segmented alike before and after another one, with or without the truth in reach."""
    if trial.card.needs_truth:
        raise NotApplicableError("declares needs_truth: a control that is given the truth")
    first = segmented(trial.trained, trial.test_view())
    segmented(trial.trained, trial.test_view("t1"))
    again = segmented(trial.trained, trial.test_view())
    require(same_maps(first, again), "a case is segmented otherwise after another test case was seen")
    told = segmented(trial.trained, trial.test_view(truth=True))
    require(same_maps(first, told), "the truth of a test case changes its answer", "never read view.truth")
    return "equal after other cases, and with the truth in reach"


@check(
    "settings of the process",
    remedy="leave them alone or put them back; draw from generators of your own",
    needs=(_READY,),
)
def settings_of_the_process(trial: Trial) -> str:
    """Training and segmenting leave threads, default dtype and the global generators as they were."""
    with trial.watched():
        segmented(trial.trained, trial.test_view())
    changed = "; ".join(f"{name}: {what}" for name, what in trial.disturbed.items())
    require(not changed, f"changed for everything that runs after it: {changed}")
    return "threads, dtype, generators, folder are as before"


def _fresh(trial: Trial, view: TestView) -> dict[str, NDArray[np.uint8]]:
    # the control `shuffled` remembers cases: here each answer is the first one after training
    return segmented(trial.just_trained(), view)


@check("same seed, same maps", remedy="seed every generator from self.seed", needs=(_READY,))
def same_seed_same_maps(trial: Trial) -> str:
    """Two trainings give the same maps."""
    again = trial.method()
    again.fit(trial.view(), trial.folder / "again")
    alike = same_maps(_fresh(trial, trial.test_view()), segmented(again, trial.test_view()))
    require(alike, "two trainings with one seed segment a case differently")
    return "two trainings give equal maps"


@check(
    "an absent modality, in the maps",
    remedy="look at the modalities that view.sample.available names, and at no other",
    needs=(_READY,),
)
def absent_in_the_maps(trial: Trial) -> str:
    """What the image of an absent modality holds changes nothing."""
    plain, odd = (_fresh(trial, trial.test_view(absent=value)) for value in (0.0, float("nan")))
    require(same_maps(plain, odd), "NaN in the image of an absent modality changes the maps of the others")
    return "no voxel changes, even where it holds NaN"


@check(
    "masks of unlabelled cases, not read",
    remedy="never read view.unlabelled[i].label: real runs have none on disk",
    needs=("same seed, same maps",),
)
def masks_not_read(trial: Trial) -> str:
    """Garbage in place of masks of unlabelled cases changes nothing."""
    view = trial.view()
    filled = tuple(replace(s, label=(s.image > 0).astype("uint8")) for s in view.unlabelled)
    method = trial.method()
    method.fit(replace(view, unlabelled=filled), trial.folder / "filled")
    alike = same_maps(_fresh(trial, trial.test_view()), segmented(method, trial.test_view()))
    require(alike, "masks of unlabelled cases change what it learns")
    return "filled with garbage they change no voxel"


@check(
    "saved model",
    remedy="`save` writes all that `load` needs; weights that torch.load(weights_only=True) reads",
    needs=(_READY,),
)
def saved_model(trial: Trial) -> str:
    """Saved and loaded it segments alike."""
    folder = trial.folder / "saved"
    trial.just_trained().save(folder)
    for path in folder.rglob("*.pt*"):
        torch.load(path, map_location="cpu", weights_only=True)
    loaded = trial.method()
    loaded.load(folder)
    alike = same_maps(_fresh(trial, trial.test_view()), segmented(loaded, trial.test_view()))
    require(alike, "saved and loaded it segments a case differently")
    return "the same maps after loading"


@check("adapter of the maps", remedy="declare adapter = 'broadcast' where it copies one map", needs=(_READY,))
def adapter_of_the_maps(trial: Trial) -> str:
    """`broadcast` gives one map for all modalities."""
    if (declared := trial.card.adapter_of(trial.preset)) != Adapter.BROADCAST:
        return f"{declared}: whether maps differ is not looked at"
    maps = list(_fresh(trial, trial.test_view()).values())
    require(all(np.array_equal(maps[0], other) for other in maps), "maps of two modalities differ")
    return "broadcast: one map for all modalities"


EVERY_METHOD = (label_maps, leaves_no_trace, settings_of_the_process)
OWN_TRAINING = (
    label_maps,
    same_seed_same_maps,
    absent_in_the_maps,
    masks_not_read,
    adapter_of_the_maps,
    saved_model,
    leaves_no_trace,
    settings_of_the_process,
)
