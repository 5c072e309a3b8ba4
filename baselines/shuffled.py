"""Control that answers with somebody else: the true label map of another case, laid over the image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parallax.case import IGNORE, Grid, Prediction, TestView, TrainView, Volume
from parallax.data.frame import resample_labels
from parallax.learn.method import Cost, Method

Owned = tuple[str, Volume]


class Shuffled(Method):
    """The truth of the test case before this one, centred on its grid; the first case gets a training case's.

    A modality that no other case has had so far takes the label map of another modality of that case.
    """

    name = "shuffled"
    title = "Shuffled cases (control)"
    source = "control of this suite"
    adapter = "native"
    presets = {"paper": {}}
    control = True
    needs_truth = True
    no_released = "a control has no publication"
    # two patients never have the same label map: 1 says that a case is there twice, or was scored on itself
    bands = {"paper": {"dice": (0.0, 0.999)}}

    seen: dict[str, list[Owned]]  # modality to the last two cases that have it, the later one first

    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Keep the label maps of two labelled cases: one may be the test case itself."""
        self.seen = {}
        for sample in reversed(view.labelled[:2]):
            label = np.asarray(sample.label)
            for k, name in enumerate(view.task.modality_names):
                if (label[k] != IGNORE).any():
                    known = np.where(label[k] == IGNORE, 0, label[k]).astype(np.uint8)
                    self._keep(name, sample.case, Volume(known, sample.grid.affine))
        return Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")

    def save(self, folder: Path) -> None:
        """Write the label maps, one file for each case and modality, and a list of them."""
        folder.mkdir(parents=True, exist_ok=True)
        owned = [
            (name, case, volume) for name, pairs in self.seen.items() for case, volume in reversed(pairs)
        ]
        for number, (_, _, volume) in enumerate(owned):
            np.savez_compressed(folder / f"{number}.npz", array=volume.array, affine=volume.affine)
        text = json.dumps([[name, case] for name, case, _ in owned])
        (folder / "maps.json").write_text(text, encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read the label maps."""
        self.seen = {}
        listed = json.loads((folder / "maps.json").read_text(encoding="utf-8"))
        for number, (name, case) in enumerate(listed):
            with np.load(folder / f"{number}.npz", allow_pickle=False) as held:
                self._keep(name, case, Volume(held["array"], held["affine"]))

    def predict(self, view: TestView) -> Prediction:
        """Label maps of another case on the native grids of this one; then this one is kept for the next."""
        if view.truth is None:
            raise ValueError(f"the shuffled control was given no truth for case {view.sample.case}")
        maps = {name: self._of_another(view.sample.case, name, view.native[name]) for name in view.truth}
        for name, volume in view.truth.items():
            self._keep(name, view.sample.case, volume)
        return Prediction(maps)

    def _keep(self, modality: str, case: str, volume: Volume) -> None:
        self.seen[modality] = [(case, volume), *self.seen.get(modality, [])[:1]]

    def _of_another(self, case: str, modality: str, grid: Grid) -> NDArray[np.uint8]:
        pairs = [*self.seen.get(modality, []), *(pair for own in self.seen.values() for pair in own)]
        others = [volume for owner, volume in pairs if owner != case]
        # where the only case there is is the test case itself, nobody else can answer
        return resample_labels(_centred(others[0], grid), grid) if others else np.zeros(grid.shape, np.uint8)


def _centred(volume: Volume, grid: Grid) -> Volume:
    """The volume, moved so that the middle of its grid lies on that of the other.

    World coordinates depend on where a patient lay in the scanner, and would say little of two patients.
    """
    affine = volume.affine.copy()
    affine[:3, 3] += _middle(grid) - _middle(volume.grid)
    return Volume(volume.array, affine)


def _middle(grid: Grid) -> NDArray[np.float64]:
    middle: NDArray[np.float64] = (grid.affine @ [*((n - 1) / 2 for n in grid.shape), 1.0])[:3]
    return middle
