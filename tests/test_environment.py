"""The three lists of dependencies agree: pyproject.toml, environment.yml, requirements.lock."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"torch": "pytorch"}
CONDA_ONLY = {"python", "git", "make", "pip"}


def _split(requirement: str) -> tuple[str, str]:
    name, bound = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[\w+\])?(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name).lower(), bound


def _wanted() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return dict(_split(r) for r in project["dependencies"] + extras["dev"] + extras["docs"])


def test_environment_yml_lists_the_same_dependencies():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_pip = next(e["pip"] for e in entries if isinstance(e, dict))
    names = [e for e in entries if isinstance(e, str)] + [e for e in by_pip if not e.startswith("-e")]
    assert {n: b for n, b in map(_split, names) if n not in CONDA_ONLY} == _wanted()


def test_lock_pins_every_dependency_exactly():
    lines = [r for r in (ROOT / "requirements.lock").read_text().splitlines() if not r.startswith("#")]
    assert all("==" in line for line in lines)
    pinned = {_split(line)[0].replace("_", "-") for line in lines}
    assert set(_wanted()) - pinned == set()


def test_python_bound_is_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert "python" + project["requires-python"] in entries


def test_pip_understands_the_lines_that_conda_hands_to_it():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    lines = next(e["pip"] for e in entries if isinstance(e, dict))
    # A line of a requirements file takes no further options behind `-e PATH`.
    assert [line for line in lines if line.startswith("-")] == ["-e ."]
    assert all(Requirement(line).name for line in lines if not line.startswith("-"))


def _pins() -> list[str]:
    """Lines of the lock file."""
    return [r for r in (ROOT / "requirements.lock").read_text().splitlines() if r.strip() and r[0] != "#"]


def test_every_pin_is_exact_and_one_version():
    bare = [line.partition(";")[0] for line in _pins()]
    assert [line for line in bare if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.+!]*", line)] == []
    assert len({_split(line)[0] for line in bare}) == len(bare)


def test_what_is_pinned_for_some_machines_alone_is_wanted_for_those_alone():
    wanted = [Requirement(name + bound) for name, bound in _wanted().items()]
    partial = {r.name: str(r.marker) for r in wanted if r.marker}
    assert {r.name: str(r.marker) for r in map(Requirement, _pins()) if r.marker} == partial
    assert set(partial) == {"atheris"}


def test_the_list_of_licences_is_that_of_the_pins():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)[2:]
    assert [f"{name}=={version}" for name, version, _ in rows] == [line.partition(";")[0] for line in _pins()]
    assert [name for name, _, licence in rows if licence in ("not stated", "not installed here", "")] == []
