"""Discovery of plug-ins: what lies under datasets/, methods/ and baselines/, read without running it.

A file is a plug-in when it defines a class whose `name` equals the name of the file. Its class attributes are
literals, so they are read from the syntax tree, with those of its base classes in `parallax` behind them; the
file itself runs only when it is loaded by name.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parallax.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from parallax.data.dataset import Dataset
    from parallax.learn.method import Method

METHOD_FOLDERS = ("methods", "baselines")
DATASET_FOLDERS = ("datasets",)


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
        whole = _whole({**self.presets, **presets})
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


def plugin_root() -> Path:
    """The folder that holds datasets/, methods/ and baselines/: the checkout that the engine lies in."""
    return Path(__file__).resolve().parent.parent


def method_cards(root: Path | None = None) -> dict[str, MethodCard]:
    """All methods and baselines by name, sorted."""
    return {card.name: card for card in _cards(MethodCard, METHOD_FOLDERS, root)}


def dataset_cards(root: Path | None = None) -> dict[str, DatasetCard]:
    """All datasets by name, sorted."""
    return {card.name: card for card in _cards(DatasetCard, DATASET_FOLDERS, root)}


def method_card(name: str, root: Path | None = None) -> MethodCard:
    """The card of one method. Raises `ConfigError` with the nearest names when there is none."""
    card: MethodCard = _named(name, method_cards(root), "method", "methods/ or baselines/")
    return card


def read_method_card(path: Path) -> MethodCard:
    """The card of a method file that may lie anywhere. Raises `PluginError` where the file is no plug-in."""
    card: MethodCard = _read_card(MethodCard, path)
    return card


def load_method(name: str, root: Path | None = None) -> type[Method]:
    """Run the file of a method and return its class."""
    return load_method_of(method_card(name, root))


def load_method_of(card: MethodCard) -> type[Method]:
    """Run the file that a card was read from and return its class."""
    loaded: type[Method] = _load_class(card.path, card.class_name)
    return loaded


def load_dataset(name: str, options: Mapping[str, Any], root: Path | None = None) -> Dataset:
    """Run the file of a dataset and return it, built from the options of the configuration."""
    card = _named(name, dataset_cards(root), "dataset", "datasets/")
    dataset: Dataset = _load_class(card.path, card.class_name)(options)
    return dataset


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


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: the closest known one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"


def _named(name: str, cards: Mapping[str, Any], kind: str, where: str) -> Any:
    if name not in cards:
        raise ConfigError(
            f"There is no {kind} called {name!r}",
            where=where,
            expected=f"the name of a file there: {', '.join(cards)}",
            found=name,
            remedy=f"{nearest(name, cards)} (or add a file {name}.py there)",
        )
    return cards[name]


def _cards(kind: type[Any], folders: tuple[str, ...], root: Path | None) -> list[Any]:
    base = root or plugin_root()
    paths = [path for folder in folders for path in (base / folder).glob("*.py") if path.stem[0] != "_"]
    return [_read_card(kind, path) for path in sorted(paths, key=lambda path: path.stem)]


def _read_card(kind: type[Any], path: Path) -> Any:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise _broken(path, f"valid Python, line {error.lineno} is not", str(error.msg)) from error
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            values = _inherited(tree, node) | _literals(node)
            if values.get("name") == path.stem:
                known = {key: value for key, value in values.items() if key in kind.__dataclass_fields__}
                if known.get("presets"):
                    known["presets"] = _whole(known["presets"])
                try:
                    return kind(path=path, class_name=node.name, **known)
                except TypeError as error:
                    raise _broken(path, "class attributes name, title and source", str(error)) from error
    raise _broken(path, f"a class with the literal attribute name = {path.stem!r}", "no such class")


def _inherited(tree: ast.Module, node: ast.ClassDef) -> dict[str, Any]:
    """Literals of the base classes that the file imports from `parallax`, the nearer ones first in line."""
    modules = {
        alias.name: statement.module
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("parallax.")
        for alias in statement.names
    }
    values: dict[str, Any] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name) and base.id in modules:
            values |= _literals_of_class(str(modules[base.id]), base.id)
    return values


@cache
def _literals_of_class(module: str, name: str) -> dict[str, Any]:
    path = plugin_root().joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return _inherited(tree, found[0]) | _literals(found[0]) if found else {}


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            target, value = statement.targets[0].id, statement.value
        elif (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.value
        ):
            target, value = statement.target.id, statement.value
        else:
            continue
        try:
            values[target] = ast.literal_eval(value)
        except ValueError:
            continue  # not a literal: no part of the card
    return values


def _whole(presets: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
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


def _broken(path: Path, expected: str, found: str) -> PluginError:
    return PluginError(
        "A plug-in file cannot be read",
        where=f"{path.parent.name}/{path.name}",
        expected=expected,
        found=found,
        remedy="compare it with a neighbouring file; docs/add-a-baseline.md shows the smallest one",
    )


def _load_class(path: Path, class_name: str) -> Any:
    # Loaded by path under a private name: a package called `datasets` would shadow a well-known library.
    spec = importlib.util.spec_from_file_location(f"parallax_plugin_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up the module of a class by name
    spec.loader.exec_module(module)
    return getattr(module, class_name)
