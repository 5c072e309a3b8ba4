"""The experiment of a publication that a run repeats: what its numbers may be set beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from parallax.data.strict import Strict
from parallax.errors import ConfigError, nearest
from parallax.plugin import plugin_root
from parallax.tables.sourced import comparable_keys, is_reason, plain, read_published

PUBLISHED = "results/published.csv"


class Experiment(Strict):
    """What `paper_tables` needs to know of a run.

    Attributes:
        comparable_to: group of numbers in results/published.csv, or `none: reason`.
        dataset: the dataset of the run that the numbers are about; left out where nothing is compared.
        modalities: its modalities, each with the name that it is published under.
        structures: its structures that the publication reports; their mean is the headline.
        test_cases: test cases per modality of the publication; a run with others is listed apart.
        notes: what is known, what differs from the publication, what nobody could source.
    """

    comparable_to: str
    dataset: str | None = None
    modalities: dict[str, str] = Field(default_factory=dict)
    structures: list[str] = Field(default_factory=list)
    test_cases: int | None = Field(None, ge=1, le=10**6)
    notes: list[str] = Field(default_factory=list)


def check_experiment(experiment: Experiment, plugins: Mapping[str, str]) -> None:
    """Refuse a key that nobody published under, or one about other data than the run reads.

    Args:
        experiment: as the configuration has it.
        plugins: dataset of the run to the file under datasets/ that serves it.

    Raises:
        ConfigError: the key or the dataset is unknown, or the published numbers are about another dataset
            (phantoms are never set beside published numbers).
    """
    if experiment.dataset is not None and experiment.dataset not in plugins:
        raise _error(
            "dataset", f"one of {', '.join(plugins)}", experiment.dataset, "name it as datasets: does"
        )
    if is_reason(experiment.comparable_to):
        return
    published = read_published(plugin_root() / PUBLISHED)
    known = comparable_keys(published)
    if experiment.comparable_to not in known:
        expected = f"a key of {PUBLISHED} or `none: reason`; the keys are {', '.join(known)}"
        hint = nearest(experiment.comparable_to, known)
        raise _error("comparable_to", expected, experiment.comparable_to, hint if "mean" in hint else _ALONE)
    rows = [row for row in published if row["comparable_to"] == experiment.comparable_to]
    _check_dataset(experiment, plugins, sorted({row["dataset"] for row in rows}))


def _check_dataset(experiment: Experiment, plugins: Mapping[str, str], published: Sequence[str]) -> None:
    if experiment.dataset is None or not experiment.modalities or not experiment.structures:
        raise _error(
            "comparable_to", "dataset, modalities and structures beside it", "not all three", "add them"
        )
    plugin = plugins[experiment.dataset]
    if not all(plain(name).startswith(plain(plugin)) for name in published):
        expected = (
            f"a dataset that reads {', '.join(published)}: {experiment.comparable_to} is about that alone"
        )
        raise _error("dataset", expected, f"{experiment.dataset}, read by datasets/{plugin}.py", _ALONE)


_ALONE = "write `none: reason` where nothing published is comparable"


def _error(key: str, expected: str, found: str, remedy: str) -> ConfigError:
    return ConfigError(
        "A run cannot be bound to published numbers",
        where=f"experiment.{key}",
        expected=expected,
        found=found,
        remedy=remedy,
    )
