"""A finished run as an export sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parallax.data.files import read_json, replacing_folder
from parallax.data.store import Part, read_part
from parallax.errors import UserError


class ExportError(UserError):
    """A finished run that is asked for is not there, or what is written would replace something."""


@dataclass(frozen=True)
class FinishedRun:
    """A folder under results/ with its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its configuration."""
        return str(self.manifest["run"])

    def title(self, dataset: str) -> str:
        """How tables call a dataset."""
        options = self.manifest["config"]["datasets"][dataset].get("options", {})
        return str(options.get("title", dataset.replace("_", " ")))

    def is_made(self, dataset: str) -> bool:
        """Whether a dataset is a phantom: it was read from no file."""
        return not self.manifest["scans"].get(dataset)

    def levels(self) -> Iterator[tuple[str, str]]:
        """Dataset and misalignment of all data that the run trained on or was tested on."""
        for folder in sorted(self.folder.glob("data/*/*")):
            if folder.name != "prepared" and (folder / "test" / "dataset.json").is_file():
                yield folder.parent.name, folder.name

    def parts(self, dataset: str, misalignment: str) -> dict[str, Part]:
        """The `train` and the `test` part."""
        folder = self.folder / "data" / dataset / misalignment
        return {name: read_part(folder / name) for name in ("train", "test")}


def read_finished(folder: Path) -> FinishedRun:
    """The run in a folder; `ExportError` where none has finished there."""
    for name in ("manifest.json", "scores.parquet"):
        if not (folder / name).is_file():
            raise ExportError(
                "There is no finished run here",
                where=str(folder),
                expected="the folder of a run that came to its end, such as results/quick",
                found=f"no {name}" if folder.is_dir() else "no such folder",
                remedy="name another folder, or finish the run: make all",
            )
    return FinishedRun(folder, read_json(folder / "manifest.json"))


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill that takes the name `out` when all is written; `ExportError` where that is taken."""
    if out.exists():
        raise ExportError(
            "Nothing is replaced",
            where=str(out),
            expected="the name of a folder that does not exist",
            found="a file" if out.is_file() else "a folder",
            remedy="give another name, or remove it first",
        )
    with replacing_folder(out) as folder:
        yield folder
