"""The figures of a finished run, from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parallax.errors import ConfigError, nearest
from parallax.exchange.finished import read_finished
from parallax.figures.gallery import Gallery
from parallax.run.resolve import given_values, names_of
from parallax.score.table import read_table
from parallax.tables.layout import read_context, run_notes

_KEYS = ("methods", "datasets")


def gallery_of(run: Path, given: Sequence[str]) -> Gallery:
    """The figures of `results/<run>`, narrowed by `methods=A,B` and `datasets=C`. Raises `UserError`."""
    finished, values = read_finished(run), given_values(given)
    for key in values:
        if key not in _KEYS:
            raise ConfigError(
                "A figure cannot be narrowed by this",
                where=f"--config {key}",
                expected=nearest(key, _KEYS),
                found=key,
                remedy="leave it out: the scores are those of the run",
            )
    context = read_context(notes=run_notes(finished.manifest["config"]))
    gallery = Gallery(run, read_table(run / "scores.parquet"), context)
    return gallery.only(*(names_of(values.get(key)) or [] for key in _KEYS))
