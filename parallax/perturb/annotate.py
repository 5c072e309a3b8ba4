"""Label maps as an annotation leaves them: drawn per labelled training case, saved, replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import IGNORE, Task
from parallax.errors import DataError
from parallax.perturb import masks
from parallax.perturb.annotation import Annotation, Drop
from parallax.perturb.labels import n_labelled
from parallax.perturb.masks import EVERY_MOST, SIGMA_MOST_MM, LabelMap, Spacing

#: How far the mean realised Dice may lie from the one that was asked for.
DICE_TOLERANCE = 0.02


@dataclass(frozen=True)
class AnnotationParameters:
    """What was drawn for one case; `apply` replays it.

    Attributes:
        modalities: names of those whose label maps are kept.
        change: `none`, `noisy`, `slices` (held), `interpolated` (slices) or `blocks`.
        size: of the change: SD in mm for `noisy`, else voxels.
        seed: of the fields of `noisy`.
        phase: where the first slice (third number) or block begins, each in [0, 1).
        dropped: names of the structures that are missing.
        unknown: whether background is unknown where structures are missing.
    """

    modalities: tuple[str, ...]
    change: str = "none"
    size: float = 0.0
    seed: int = 0
    phase: tuple[float, float, float] = (0.0, 0.0, 0.0)
    dropped: tuple[str, ...] = ()
    unknown: bool = False

    def to_json(self) -> dict[str, Any]:
        """The parameters as plain values."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> AnnotationParameters:
        """Inverse of `to_json`."""
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list | tuple)}
        plain: dict[str, Any] = {**values, **lists}
        return AnnotationParameters(**plain)


def apply(
    label: NDArray[np.uint8], parameters: AnnotationParameters, task: Task, spacing_mm: Spacing
) -> NDArray[np.uint8]:
    """The label maps [K, X, Y, Z] of one case as they were left; what is not known is `IGNORE`.

    The unknown region follows from the structures that are kept: it holds what was dropped and true
    background alike, so it tells nothing of where a dropped structure lies.
    """
    result = np.full(label.shape, IGNORE, dtype=np.uint8)
    dropped = [task.classes[name] for name in parameters.dropped]
    for k, name in enumerate(task.modality_names):
        if name in parameters.modalities and _known(label[k]):
            left = _redrawn(np.array(label[k]), k, parameters, spacing_mm)
            left[np.isin(left, dropped)] = 0
            if parameters.unknown and dropped:
                left[left == 0] = IGNORE
            result[k] = left
    return result


def draw(
    rng: np.random.Generator,
    label: NDArray[np.uint8],
    annotation: Annotation,
    task: Task,
    spacing_mm: Spacing,
) -> AnnotationParameters:
    """What one case loses. Each number is always drawn, so that no part depends on what else is asked for.

    Structures are drawn for every case; `draw_cases` decides which cases lose them.
    """
    order = rng.permutation(len(task.structures))
    seed = int(rng.integers(2**31))
    phase = rng.random(3)
    drawn = AnnotationParameters(
        modalities=tuple(
            m for m in task.modality_names if m in (annotation.modalities or task.modality_names)
        ),
        seed=seed,
        phase=(float(phase[0]), float(phase[1]), float(phase[2])),
        dropped=_structures_to_drop(annotation.drop, task, order),
        unknown=annotation.drop is not None and annotation.drop.left == "unknown",
    )
    return _with_size(drawn, label, annotation, task, spacing_mm)


def draw_cases(
    labels: Mapping[str, Callable[[], NDArray[np.uint8]]],
    annotation: Annotation,
    task: Task,
    spacings_mm: Mapping[str, Spacing],
    rng_of: Callable[[str], np.random.Generator],
) -> dict[str, AnnotationParameters]:
    """The parameters of all labelled cases.

    Args:
        labels: case to a function that reads its label maps [K, X, Y, Z].
        annotation: what is asked for.
        task: names of modalities and structures.
        spacings_mm: case to the spacing of its label maps.
        rng_of: case to its own generator, so that a case loses the same in every label subset.
    """
    generators = {case: rng_of(case) for case in labels}
    lots = {case: rng.random() for case, rng in generators.items()}
    share = annotation.drop.of_cases if annotation.drop else 0.0
    losing = sorted(lots, key=lambda case: (lots[case], case))[: n_labelled(share, len(lots))]
    drawn = {}
    for case, read in labels.items():
        found = draw(generators[case], read(), annotation, task, spacings_mm[case])
        drawn[case] = found if case in losing else replace(found, dropped=(), unknown=False)
    return drawn


def realised_dice(
    truth: NDArray[np.uint8], parameters: AnnotationParameters, task: Task, spacing_mm: Spacing
) -> dict[str, dict[str, float]]:
    """Dice of the annotated to the true label map, by modality and structure; dropped structures left out."""
    found = {}
    kept = {name: value for name, value in task.classes.items() if name not in parameters.dropped}
    for k, name in enumerate(task.modality_names):
        if name in parameters.modalities and _known(truth[k]):
            other = _redrawn(np.array(truth[k]), k, parameters, spacing_mm)
            found[name] = masks.dice_by_structure(truth[k], other, kept)
    return found


def mean_dice(found: Sequence[Mapping[str, Mapping[str, float]]]) -> float:
    """Mean over cases of the mean over modalities and structures; 1 where nothing was compared."""
    means = [
        np.mean(values)
        for values in ([d for m in case.values() for d in m.values()] for case in found)
        if values
    ]
    return float(np.mean(means)) if means else 1.0


def check_dice(annotation: Annotation, realised: float, where: str) -> None:
    """Raise `DataError` where the mean Dice that was asked for cannot be reached."""
    wanted = annotation.target_dice
    if wanted is not None and abs(realised - wanted) > DICE_TOLERANCE:
        raise DataError(
            "Label maps cannot be made to agree with the truth by this much",
            where=where,
            expected=f"a mean Dice of {wanted:g} within {DICE_TOLERANCE:g}",
            found=f"{realised:.3f} at the closest",
            remedy="ask for another dice, or for a size (sigma_mm, every)",
        )


def _structures_to_drop(drop: Drop | None, task: Task, order: NDArray[np.int64]) -> tuple[str, ...]:
    if drop is None:
        return ()
    if isinstance(drop.structures, int):
        return tuple(sorted(task.structures[i] for i in order[: drop.structures]))
    return tuple(drop.structures)


def _with_size(
    drawn: AnnotationParameters,
    label: NDArray[np.uint8],
    annotation: Annotation,
    task: Task,
    spacing_mm: Spacing,
) -> AnnotationParameters:
    if annotation.noisy:
        change, size, least, most = "noisy", annotation.noisy.sigma_mm, 0.0, SIGMA_MOST_MM
    elif annotation.coarse:
        change = "interpolated" if annotation.coarse.between == "interpolate" else annotation.coarse.way
        size, least, most = annotation.coarse.every, 1.0, EVERY_MOST
    else:
        return drawn
    drawn = replace(drawn, change=change, size=least if size is None else size)
    if annotation.target_dice is None:
        return drawn
    dice_at = _dice_at(drawn, label, task, spacing_mm)
    return replace(drawn, size=masks.scaled(dice_at, annotation.target_dice, least, most))


def _dice_at(
    drawn: AnnotationParameters, label: NDArray[np.uint8], task: Task, spacing_mm: Spacing
) -> Callable[[float], float]:
    """Size -> mean Dice of a case over modalities and structures."""
    truths = {k: np.array(label[k]) for k, m in enumerate(task.modality_names) if m in drawn.modalities}
    truths = {k: truth for k, truth in truths.items() if _known(truth)}
    redraw = {k: _redraw(truth, k, drawn, spacing_mm) for k, truth in truths.items()}

    def at(size: float) -> float:
        pairs = ((truths[k], redraw[k](size)) for k in truths)
        return mean_dice([{str(i): masks.dice_by_structure(*p, task.classes) for i, p in enumerate(pairs)}])

    return at


def _redrawn(label: LabelMap, k: int, parameters: AnnotationParameters, spacing_mm: Spacing) -> LabelMap:
    unchanged = 0.0 if parameters.change == "noisy" else 1.0
    if parameters.change == "none" or parameters.size == unchanged:
        return label
    return _redraw(label, k, parameters, spacing_mm)(parameters.size)


def _redraw(label: LabelMap, k: int, parameters: AnnotationParameters, spacing_mm: Spacing) -> masks.Redraw:
    if parameters.change == "noisy":  # modalities are annotated one by one: each errs on its own
        return masks.noisy(label, spacing_mm, (parameters.seed, k))
    if parameters.change == "blocks":
        return masks.blocks(label, parameters.phase)
    between = "interpolate" if parameters.change == "interpolated" else "hold"
    return masks.slices(label, spacing_mm, parameters.phase[2], between)


def _known(label: NDArray[np.uint8]) -> bool:
    return bool((label != IGNORE).any())
