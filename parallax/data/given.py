"""Text that users hand over (lists, tables, configurations): read within bounds, or refused by its name."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from parallax.errors import ConfigError, DataError

#: A list of a million cases is smaller; what is larger is another file.
MOST_MIB = 64
#: A configuration with its aliases written out.
MOST_NODES = 100_000


@contextmanager
def csv_reader(path: Path) -> Iterator[Any]:
    """Open a CSV (UTF-8, with or without a byte-order mark): the block gets a `csv.reader`.

    Raises:
        DataError: the file is absent, is no UTF-8, or a line is no CSV; the line is named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            try:
                yield reader
            except csv.Error as error:
                raise _error(f"{path}, line {reader.line_num}", "cells between commas", str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _error(str(path), "a CSV file in UTF-8", _named(error)) from error


def given_json(path: Path) -> Any:
    """Values of a JSON file. Raises `DataError` where it is absent, too large, broken or says a key twice."""
    try:
        return json.loads(_text(path), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        raise _error(str(path), "a readable JSON file, each key once", _named(error)) from error


def given_yaml(path: Path) -> dict[str, Any]:
    """The mapping of a YAML file. Raises `ConfigError` where it is none, or says a key twice."""
    try:
        loader = yaml.SafeLoader(_text(path))
        root = loader.get_single_node()
        _check_nodes(root)
        values = None if root is None else loader.construct_document(root)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _yaml_error(path, _named(error)) from error
    if not isinstance(values, dict):
        raise _yaml_error(path, "nothing" if values is None else f"a {type(values).__name__}")
    return values


def _text(path: Path) -> str:
    mib = path.stat().st_size / 2**20
    if mib > MOST_MIB:
        raise ValueError(f"{mib:.0f} MiB, more than {MOST_MIB}")
    return path.read_text(encoding="utf-8-sig")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in names if names.count(key) > 1)!r} twice")
    return values


def _check_nodes(root: yaml.Node | None) -> None:
    """Raise `ValueError` where a mapping has a key twice, or aliases make more of a file than it is."""
    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            counts[id(node)] = MOST_NODES + 1  # held while below: an alias of what it lies in has no end
            counts[id(node)] = 1 + sum(count(child) for child in _children(node))
        return counts[id(node)]

    if root is not None and count(root) > MOST_NODES:
        raise ValueError(f"aliases that make more than {MOST_NODES} values")


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"the key {twice!r} twice, at line {node.start_mark.line + 1}")
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _named(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"{type(error).__name__}: {error}"


def _yaml_error(path: Path, found: str) -> ConfigError:
    return ConfigError(
        "A configuration cannot be read",
        where=str(path),
        expected="a YAML file of keys and values, each key once",
        found=found,
        remedy="correct it; config/README.md lists every key with an example",
    )


def _error(where: str, expected: str, found: str) -> DataError:
    return DataError(
        "A file cannot be read",
        where=where,
        expected=expected,
        found=found,
        remedy="correct it, or name another file",
    )
