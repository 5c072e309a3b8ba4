"""Discovery of plug-ins: what lies under datasets/, methods/ and baselines/, read without running it.

A file is a plug-in when it defines a class whose `name` equals the name of the file. Its class attributes are
literals, so they are read from the syntax tree, with those of its base classes in `parallax` behind them; the
file itself runs only when it is loaded by name.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parallax.cards import DatasetCard, MethodCard, whole_presets
from parallax.errors import ConfigError, PluginError, nearest

if TYPE_CHECKING:
    from parallax.data.dataset import Dataset
    from parallax.learn.method import Method

METHOD_FOLDERS = ("methods", "baselines")
DATASET_FOLDERS = ("datasets",)


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
                    known["presets"] = whole_presets(known["presets"])
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
