"""A hash of what a piece of source code *does*: comments, blank lines and docstrings do not count.

The hash covers the file and every module of `parallax` that it imports, directly or not, so that an edit of a
statement reruns exactly what depends on it.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from parallax.plugin import plugin_root


def source_hash(path: Path) -> str:
    """Hash (16 hex digits) of the statements of a file and of the parallax modules that it reaches."""
    digest = hashlib.sha256()
    for member in _closure(path.resolve()):
        digest.update(_statements(member, member.stat().st_mtime_ns).encode())
    return digest.hexdigest()[:16]


def _closure(path: Path) -> list[Path]:
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += _imported(current, current.stat().st_mtime_ns)
    return [path, *sorted(seen - {path})]


@cache
def _tree(path: Path, mtime_ns: int) -> ast.Module:  # noqa: ARG001  (the time is part of the cache's key)
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _statements(path: Path, mtime_ns: int) -> str:  # noqa: ARG001
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@cache
def _imported(path: Path, mtime_ns: int) -> tuple[Path, ...]:
    found: list[Path] = []
    for node in ast.walk(_tree(path, mtime_ns)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "parallax":
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [module for name in names if (module := _module_path(name))]
    return tuple(found)


def _module_path(name: str) -> Path | None:
    path = plugin_root().joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None
