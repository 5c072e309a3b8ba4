"""Checks of what a trained network answers."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from parallax.case import Adapter, Pairing
from parallax.learn.batch import Batch
from parallax.trial.outcome import NotApplicableError, check, require
from parallax.trial.toys import toy_task
from parallax.trial.trial import (
    BUDGET,
    PATCH,
    SOME,
    TASK,
    Trial,
    all_finite,
    answer,
    crops,
    require_trained,
    unpaired_view,
)

# Switches that make an item depend on those beside it. Each is a declared defect of a release.
_BATCH_MATES_MATTER = {"norm": ("batch_always_train",)}
_ZEROED = (
    "leave absent modalities out before anything is computed: "
    "image.where(available[:, :, None, None, None], 0.0); multiplying by 0 keeps NaN"
)


@check(
    "shape of the answer",
    remedy="`logits` returns [B, K, C, X, Y, Z]: a map per modality and class, background first",
    needs=("it trains",),
)
def shape_of_the_answer(trial: Trial) -> str:
    """Logits are [B, K, C, X, Y, Z], and finite where the modality is there."""
    logits = answer(trial.trained, crops(SOME))
    expected = (len(SOME), len(TASK.modalities), TASK.n_classes, *PATCH)
    require(tuple(logits.shape) == expected, f"expected {list(expected)}, found {list(logits.shape)}")
    require(bool(logits[SOME].isfinite().all()), "NaN or infinity in the map of a modality that is there")
    return f"[B, K, C, X, Y, Z] = {list(expected)}"


@check(
    "the same answer twice",
    remedy="at test time draw nothing and change nothing; keep all state in the network",
    needs=("shape of the answer",),
)
def same_answer_twice(trial: Trial) -> str:
    """A deep copy answers as the network itself."""
    batch, method = crops(SOME), trial.trained
    copied = copy.deepcopy(method.net)
    alike = torch.equal(answer(method, batch, method.net), answer(method, batch, copied))
    method.net.train()
    require(alike, "a deep copy of the network gives other logits for the same image")
    return "a deep copy gives the same bits"


@check(
    "adapter",
    remedy="adapter = 'broadcast' for one map that all modalities share, 'heads' or 'native' for a map each",
    needs=("shape of the answer",),
)
def adapter_is_kept(trial: Trial) -> str:
    """`broadcast` gives one map for all modalities; `heads` and `native` do not."""
    declared = trial.card.adapter_of(trial.preset)
    logits = answer(trial.trained, crops(SOME[:1]))
    shared = torch.equal(logits[:, 0], logits[:, 1])
    if declared == Adapter.BROADCAST:
        require(shared, "declares broadcast, but the maps of two modalities differ")
        return "broadcast: one map for all modalities"
    require(not shared, f"declares {declared}, but the maps of two modalities are equal bit by bit")
    return f"{declared}: a map for each modality"


@check("an absent modality, in the answer", remedy=_ZEROED, needs=("the same answer twice",))
def absent_in_the_answer(trial: Trial) -> str:
    """What the image of an absent modality holds changes no bit of the maps of the others."""
    plain = answer(trial.trained, crops(SOME))
    for other in (7.5, float("nan")):
        changed = answer(trial.trained, crops(SOME, other))
        require(
            torch.equal(plain[SOME], changed[SOME]),
            f"filling the image of an absent modality with {other} changes the maps of the others",
        )
    return "no bit changes, even where it holds NaN"


@check(
    "alone and among others",
    remedy="normalise within an item (instance or group norm), never over the batch, at test time",
    needs=("the same answer twice",),
)
def alone_and_among_others(trial: Trial) -> str:
    """An item is answered alike alone and beside other items."""
    method, batch = trial.trained, crops(SOME)
    together = answer(method, batch)
    items = [Batch(batch.image[i : i + 1], None, SOME[i : i + 1], ("c",)) for i in range(len(SOME))]
    alone = torch.cat([answer(method, item) for item in items])
    alike = torch.allclose(together[SOME], alone[SOME], rtol=1e-4, atol=1e-3)
    declared = [f"{k} = {method.switches[k]}" for k in _BATCH_MATES_MATTER if k in method.switches]
    defect = [text for text in declared if text.split(" = ")[1] in _BATCH_MATES_MATTER[text.split(" = ")[0]]]
    require(alike or bool(defect), "the maps of an item depend on the items beside it")
    require(not (alike and defect), f"{', '.join(defect)} is declared to depend on other items, and does not")
    return f"differs, as {', '.join(defect)} of the release does" if defect else "an item is answered alike"


@check(
    "one and three modalities",
    remedy="take K from self.task.modalities, never a fixed number; min_modalities says where it cannot run",
    needs=("an absent modality, in the answer",),
)
def other_numbers_of_modalities(trial: Trial) -> str:
    """It trains and answers for other numbers of modalities than two."""
    rows = {1: [[True]], 3: [[True, True, True], [False, True, True], [False, True, False]]}
    numbers = [k for k in rows if k >= trial.card.min_modalities]
    for k in numbers:
        task, some = toy_task(k, 3), torch.tensor(rows[k])
        method = trial.method(task, replace(BUDGET, steps=1))
        method.fit(trial.view(task), trial.folder / f"modalities-{k}")
        plain, changed = (answer(method, crops(some, absent, task=task)) for absent in (0.0, float("nan")))
        expected = (len(some), k, task.n_classes, *PATCH)
        require(tuple(plain.shape) == expected, f"K = {k}: expected {expected}, found {tuple(plain.shape)}")
        require(bool(plain[some].isfinite().all()), f"K = {k}: the answer is not finite")
        alike = torch.equal(plain[some], changed[some])
        require(alike, f"K = {k}: NaN in an absent modality changes the maps of the others")
    return f"K = {', '.join(map(str, numbers))}" + (
        f"; it declares {trial.card.min_modalities} at least" if len(numbers) < len(rows) else ""
    )


@check(
    "saved weights",
    remedy="keep everything in net.state_dict(); what `save` writes, torch.load(weights_only=True) reads",
    needs=("the same answer twice",),
)
def saved_weights(trial: Trial) -> str:
    """Saved and loaded it answers with the same bits, and the file holds no code."""
    folder = trial.folder / "saved"
    trial.trained.save(folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".pt", ".pth"))
    for path in files:
        torch.load(path, map_location="cpu", weights_only=True)
    loaded = trial.method()
    loaded.load(folder)
    alike = torch.equal(answer(loaded, crops(SOME)), answer(trial.trained, crops(SOME)))
    require(alike, "saved and loaded it answers differently")
    kib = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1024
    return f"the same bits; {kib:.0f} KiB that weights_only reads"


@check(
    "unpaired cases",
    remedy="a case may have one modality only; where that cannot work, declare needs_pairs = True",
    needs=("shape of the answer",),
)
def unpaired_cases(trial: Trial) -> str:
    """It trains where every case is one scan, unless it declares that it needs pairs."""
    if trial.card.pairs_needed_by(trial.preset):
        raise NotApplicableError("declares needs_pairs: runs skip unpaired data")
    task = toy_task(2, 3, Pairing.UNPAIRED)
    method = trial.method(task, replace(BUDGET, steps=2))
    require(
        not method.paired_crops,
        "other methods would see more crops of each modality",
        "leave paired_crops as the base class sets it on unpaired tasks",
    )
    method.fit(unpaired_view(task), trial.folder / "unpaired")
    require_trained(method)
    logits = answer(method, crops(SOME[1:], task=task))[SOME[1:]]
    require(all_finite([logits]), "trained on single scans, its answer is not finite")
    return "trains where every case is one scan"


ANSWER_CHECKS = (
    shape_of_the_answer,
    same_answer_twice,
    adapter_is_kept,
    absent_in_the_answer,
    alone_and_among_others,
    saved_weights,
    other_numbers_of_modalities,
    unpaired_cases,
)
