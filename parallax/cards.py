"""What methods and datasets declare about themselves: the cards that are read from their files."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from parallax.errors import ConfigError, nearest

#: What the column `pretraining` says of weights that were drawn at random.
NO_PRETRAINING = "none"
_SAW = re.compile(r" \[saw (.*)\]$")


def pretraining_text(weights: str, saw: Iterable[str]) -> str:
    """Such as `MedNet-B [saw amos, chaos]`: external weights by name, and the data they saw."""
    return f"{weights} [saw {', '.join(saw)}]"


def data_seen(pretraining: str) -> frozenset[str]:
    """The data that the weights of a `pretraining_text` saw, in small letters; empty for `none`."""
    found = _SAW.search(pretraining)
    return frozenset(part.strip().lower() for part in found[1].split(",")) if found else frozenset()


@dataclass(frozen=True)
class MethodCard:
    """What a method declares about itself; `parallax.learn.method.Method` explains each field."""

    name: str
    path: Path
    class_name: str
    title: str
    source: str
    adapter: str = "native"
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"paper": {}})
    preset_adapters: Mapping[str, str] = field(default_factory=dict)
    preset_packages: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    at_prediction: tuple[str, ...] = ()
    min_modalities: int = 1
    needs_pairs: bool = False
    without_pairs: tuple[str, ...] = ()
    uses_unlabelled: bool = False
    control: bool = False
    needs_truth: bool = False
    needs_every_label: bool = False
    no_released: str = ""
    pretrained: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def pretraining_of(self, preset: str) -> str:
        """The external weights that this preset starts from and the data they saw, as tables carry them."""
        if preset not in self.pretrained:
            return NO_PRETRAINING
        return pretraining_text(self.pretrained[preset]["weights"], self.pretrained[preset]["saw"])

    def trained_as(self, preset: str) -> str:
        """The first preset that is trained like this one: they differ in nothing but `at_prediction`."""
        wanted = self._training(preset)
        return next(name for name in self.presets if self._training(name) == wanted)

    def _training(self, preset: str) -> dict[str, Any]:
        return {key: value for key, value in self.presets[preset].items() if key not in self.at_prediction}

    def with_presets(self, presets: Mapping[str, Mapping[str, Any]]) -> MethodCard:
        """This card with presets of a configuration, which say only what differs from the first preset.

        Raises `ConfigError` for a name that is taken and for an unknown switch or value.
        """
        for name in presets:
            if name in self.presets:
                raise ConfigError(
                    f"Method {self.name!r} has a preset {name!r} of its own",
                    where=f"presets.{self.name}.{name}",
                    expected=f"a name that is none of {', '.join(self.presets)}",
                    found=name,
                    remedy="choose another name",
                )
        whole = whole_presets({**self.presets, **presets})
        for name in presets:
            check_switches(self.name, whole[name], self.presets, self.choices)
        return replace(self, presets=whole)

    def adapter_of(self, preset: str) -> str:
        """The output adapter of this preset."""
        return self.preset_adapters.get(preset, self.adapter)

    def pairs_needed_by(self, preset: str) -> bool:
        """Whether the modalities of a case must come from one patient."""
        return self.needs_pairs and preset not in self.without_pairs

    def missing_package(self, preset: str) -> str:
        """The optional Python package that this preset needs where it is not installed; else empty."""
        package = self.preset_packages.get(preset, "")
        return package if package and importlib.util.find_spec(package) is None else ""


@dataclass(frozen=True)
class DatasetCard:
    """What a dataset declares about itself."""

    name: str
    path: Path
    class_name: str
    title: str
    source: str


def preset_switches(card: MethodCard, preset: str) -> dict[str, Any]:
    """Switches of a preset. Raises `ConfigError` when the method has no such preset."""
    if preset not in card.presets:
        why = f" ({card.no_released})" if preset == "released" and card.no_released else ""
        raise ConfigError(
            f"Method {card.name!r} has no preset {preset!r}{why}",
            where=str(card.path.name),
            expected=f"one of {', '.join(card.presets)}",
            found=preset,
            remedy=f"write {card.name} or {card.name}:{next(iter(card.presets))}",
        )
    return dict(card.presets[preset])


def check_switches(
    method: str,
    switches: Mapping[str, Any],
    presets: Mapping[str, Mapping[str, Any]],
    choices: Mapping[str, tuple[Any, ...]],
) -> None:
    """Raise `ConfigError` for a switch that the first preset does not have or a value that is no choice."""
    known = next(iter(presets.values()))
    for key, value in switches.items():
        if key not in known:
            expected, hint = f"one of {', '.join(known) or 'none: it has no switches'}", nearest(key, known)
        elif key in choices and value not in choices[key]:
            expected, hint = f"one of {', '.join(map(repr, choices[key]))}", "correct the value"
        else:
            continue
        raise ConfigError(
            f"A switch of {method} cannot be used",
            where=f"switches of method {method}",
            expected=expected,
            found=f"{key} = {value!r}",
            remedy=f"{hint}; docs/methods/{method}.md explains the switches",
        )


def whole_presets(presets: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every preset with all its switches: a later one says only what differs from the first one.

    `based_on` names another preset that was described before and that it differs from instead.
    """
    first, whole = next(iter(presets)), dict[str, dict[str, Any]]()
    for name, switches in presets.items():
        base = str(switches.get("based_on", first))
        if base != name and base not in whole:
            raise ConfigError(
                f"Preset {name!r} is based on {base!r}, which is not there",
                where=f"preset {name}, based_on",
                expected=f"one of {', '.join(whole)}",
                found=base,
                remedy="name a preset that stands before it",
            )
        own = {key: value for key, value in switches.items() if key != "based_on"}
        whole[name] = {**whole.get(base, {}), **own}
    return whole
