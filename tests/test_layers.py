"""Imports of the engine point only upwards in the order of its rooms, and there is no cycle."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "parallax"
# The order in which data flows. `plugin` names the contracts of data and learn for the type checker only.
ORDER = [
    "errors",
    "case",
    "cards",
    "plugin",
    "data",
    "phantom",
    "perturb",
    "learn",
    "score",
    "tables",
    "claims",
    "figures",
    "report",
    "exchange",
    "trial",
    "run",
    "cli",
]


def _room(name: str) -> str:
    return name.split(".")[1]


def _runtime_imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and id(n) not in guarded]
    modules = set()
    for node in nodes:
        if node.module == "parallax":
            modules |= {f"parallax.{alias.name}" for alias in node.names}
        elif node.module and node.module.startswith("parallax."):
            modules.add(node.module)
    return modules


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_upwards(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    backwards = [m for m in _runtime_imports(path) if ORDER.index(_room(m)) > ORDER.index(room)]
    assert backwards == []


def test_every_room_has_its_place_in_the_order():
    rooms = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in FILES}
    assert rooms == set(ORDER)
