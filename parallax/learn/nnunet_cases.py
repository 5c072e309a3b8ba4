"""nnU-Net's preprocessed cases without the pickle that nnU-Net keeps beside each. Imports nnU-Net.

A pickle runs what it holds when it is read, and a scratch folder may have come from elsewhere. All that
training reads of it is where the voxels of each class lie; here that is kept as tensors, which
`weights_only=True` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import torch
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from parallax.learn.checkpoint import write_atomically

_ONE_THREAD = {"nthreads": 1}


class PlainPreprocessor(DefaultPreprocessor):  # type: ignore[misc]  # nnU-Net has no types
    """`DefaultPreprocessor` of nnU-Net 2.8.1; the pickle that it writes is never read and does not stay."""

    def run_case(self, *args: Any, **kwargs: Any) -> Any:
        """One case as nnU-Net prepares it; its properties are kept for `run_case_save`."""
        data, mask, self._properties = super().run_case(*args, **kwargs)
        return data, mask, self._properties

    def run_case_save(self, output_filename_truncated: str, *args: Any, **kwargs: Any) -> None:
        """Write voxels as nnU-Net does, and the places of the classes in place of its pickle."""
        super().run_case_save(output_filename_truncated, *args, **kwargs)
        written = Path(output_filename_truncated)
        written.with_name(written.name + ".pkl").unlink()
        _write_places(written, self._properties["class_locations"])


class PlainDataset(nnUNetDatasetBlosc2):  # type: ignore[misc]  # nnU-Net has no types
    """`nnUNetDatasetBlosc2` of nnU-Net 2.8.1 that reads what `PlainPreprocessor` wrote."""

    def load_case(self, identifier: str) -> tuple[Any, Any, None, dict[str, Any]]:
        """Voxels and mask [C, Z, Y, X], nothing of an earlier stage, and the places of the classes."""
        case = Path(self.source_folder) / identifier
        voxels, mask = (
            blosc2.open(urlpath=f"{case}{end}.b2nd", mode="r", dparams=_ONE_THREAD, **self.mmap_kwargs)
            for end in ("", "_seg")
        )
        return voxels, mask, None, {"class_locations": _read_places(case)}


def _places_path(case: Path) -> Path:
    # Not beside the voxels: nnU-Net tells the kind of a folder by its file endings and knows none of ours.
    return case.parent.parent / "places" / f"{case.name}.pt"


def _write_places(case: Path, places: Mapping[Any, Sequence[Any]]) -> None:
    path = _places_path(case)
    path.parent.mkdir(exist_ok=True)
    values = {key: torch.from_numpy(np.asarray(of_class)) for key, of_class in places.items()}
    write_atomically(path, {"places": values})


def _read_places(case: Path) -> dict[Any, Any]:
    values = torch.load(_places_path(case), map_location="cpu", weights_only=True)["places"]
    return {key: of_class.numpy() for key, of_class in values.items()}
